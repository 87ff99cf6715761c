"""How a receiver behaves: well, or as badly as it is told to, so that a sender's retries can be seen."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field

TAKEN, DISTRUSTED, FAILING = 204, 401, 503
REMEMBERED = 10_000  # deliveries whose attempts are counted


@dataclass(slots=True)
class Manners:
    """Chooses the status of each answer."""

    status: int | None = None  # instead of TAKEN; with ``fail_first``, instead of FAILING
    fail_first: int = 0  # attempts of each delivery that fail
    _seen: OrderedDict[str, int] = field(default_factory=OrderedDict)  # attempts by webhook-id, the latest last

    def count(self, message_id: str) -> int:
        """Which attempt this is of its delivery, 1 for the first; one without an id is always a first."""
        if not message_id:
            return 1
        attempt = self._seen[message_id] = self._seen.pop(message_id, 0) + 1
        if len(self._seen) > REMEMBERED:
            self._seen.popitem(last=False)
        return attempt

    def answer(self, attempt: int, fault: str | None) -> int | None:
        """The status for an attempt; None: a well-behaved receiver takes it. ``fault``: why it is not believed."""
        if attempt <= self.fail_first:
            return FAILING if self.status is None else self.status
        if self.status is not None and not self.fail_first:
            return self.status
        return None if fault is None else DISTRUSTED
