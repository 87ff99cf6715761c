"""A clock for services under test: it goes as the real one does, and jumps ahead when it is told to.

It begins in the past and must not jump beyond the present: ids go by time, and those of the tests that follow in the
same process would come before those of the future.
"""

from __future__ import annotations

from service import clock

MINUTE, DAY = 60_000, 86_400_000  # ms
BEHIND = 9 * DAY  # less than the log is kept


class Clock:
    """Call it for the time (ms)."""

    def __init__(self) -> None:
        self._behind = BEHIND

    def __call__(self) -> int:
        return clock.now_ms() - self._behind

    def jump(self, ms: int) -> None:
        self._behind -= ms
        assert self._behind >= 0, "it would be in the future"
