"""A clock for services under test: it goes as the real one does, and jumps ahead when it is told to."""

from __future__ import annotations

from service import clock

MINUTE, DAY = 60_000, 86_400_000  # ms


class Clock:
    """Call it for the time (ms)."""

    def __init__(self) -> None:
        self._ahead = 0

    def __call__(self) -> int:
        return clock.now_ms() + self._ahead

    def jump(self, ms: int) -> None:
        self._ahead += ms
