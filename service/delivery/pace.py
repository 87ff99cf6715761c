"""How fast a watch is sent to: the generic cell rate algorithm, as a function of time alone.

Turns are spaced evenly. What was not used is lost but for ``LEEWAY``: that much lateness, of an event loop or of a
delivery that just did not come sooner, is made up for, so that a rate holds over a minute and no burst is larger.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

LEEWAY = 100.0  # ms that a turn may be taken early


@dataclass(slots=True)
class Pace:
    """The turns of one watch in this process. An attempt takes one, whatever comes of it."""

    rate: float  # turns a second
    _next: float = 0.0  # ms: when the next turn is, were each taken on time

    @property
    def ahead(self) -> int:
        """How many jobs are worth having at hand: those of a second, for the rest waits as well in the table."""
        return math.ceil(self.rate)

    def wait(self, now: int) -> float:
        """Take a turn at ``now`` (ms) and answer 0; or take none, and answer how many milliseconds are left to it."""
        interval = 1000 / self.rate
        self._next = min(self._next, now + interval + LEEWAY)  # it is further away only if the clock was set back
        if (early := self._next - LEEWAY - now) > 0:
            return early
        self._next = max(self._next, now) + interval
        return 0.0


def changed(current: Pace | None, rate: float | None) -> Pace | None:
    """The pace at a rate (None: as fast as the receiver takes them); ``current``, if it is that pace already."""
    if rate is None:
        return None
    return current if current is not None and current.rate == rate else Pace(rate)
