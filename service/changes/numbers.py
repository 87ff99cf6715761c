"""Ids for types whose ids are integers: each larger than the one before.

It is the time in microseconds since the epoch, or one more than the last id if that is not over yet: 16 digits
until the year 2286, so that such ids sort as texts as they do as numbers; and until 2255 less than 2**53, so that
every JSON reader has them exactly.
"""

from __future__ import annotations

import time

_last = 0


def new(now: int | None = None) -> int:
    """A new id; ``now`` in microseconds, the clock by default."""
    global _last  # noqa: PLW0603  the counter is the process's own
    _last = max(_last + 1, time.time_ns() // 1000 if now is None else now)
    return _last
