"""What the dispatcher knows of one watch: a bounded handful of jobs, and whether more wait in the table."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass, field

from service.delivery.pace import Pace
from service.model import HEALTHY, Health
from service.store.deliveries import Job


@dataclass(slots=True)
class Channel:
    """The way to one receiver. Channels share nothing, so a dead receiver holds up only its own."""

    watch_id: str
    slots: int  # how many attempts may be under way
    waiting: deque[Job] = field(default_factory=deque)  # leased to us, not being sent yet
    running: int = 0  # attempts under way
    unsettled: int = 0  # attempts that have ended, whose outcome is not durable yet
    heaviness: int = 0  # of the heaviest job that was claimed last; 0: none was yet
    backlog: bool = False  # the table has claimable ones that are due
    is_proven: bool = False  # the last attempt succeeded
    hold_until: int = 0  # nothing is sent before
    wake_at: int | None = None  # the earliest timer set for it
    pace: Pace | None = None  # how fast it may be sent to; None: as fast as it takes them
    turn: asyncio.TimerHandle | None = None  # what pumps it when the next turn of its pace has come
    health: Health = HEALTHY  # as this process has seen it
    noted: int = 0  # when its last success was last written down

    @property
    def held(self) -> int:
        """How many jobs it has in memory."""
        return len(self.waiting) + self.running + self.unsettled
