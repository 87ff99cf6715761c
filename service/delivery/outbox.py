"""From a change to its deliveries, inside the transaction that commits the change.

What is committed here will be sent, whatever happens to the process. What there is room for is handed on
in memory once it is durable, already leased, and never read back; the rest waits in the table.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Container, Sequence
from typing import Protocol

from service import ids
from service.delivery.recipient import Recipient, is_active
from service.model import Change, Event, Ordering
from service.store import deliveries
from service.store.driver import Transaction


class Handoff(Protocol):
    """Who takes deliveries on after the commit: the dispatcher."""

    @property
    def worker_id(self) -> str:
        """Under whose name they are leased."""
        ...

    def room(self, watch_id: str) -> int:
        """How many more deliveries of a watch may be handed on in memory now."""
        ...

    def spare(self, watch_id: str) -> int:
        """The same of deliveries that can wait."""
        ...

    def offer(self, jobs: Sequence[deliveries.Job]) -> None:
        """Send these."""
        ...

    def wake(self, watch_id: str, due: int) -> None:
        """Something of this watch waits in the table."""
        ...


async def enqueue(
    transaction: Transaction,
    told: Sequence[tuple[Change, Sequence[Recipient]]],
    handoff: Handoff,
    now: int,
    heavy: Collection[str] = (),
) -> list[str]:
    """Write a delivery for each change and recipient; their ids in that order.

    Changes that are ``heavy`` (their ids) wait in the table: those who claim there weigh what they take.
    """
    pairs = [(change, recipient) for change, recipients in told for recipient in recipients]
    if not pairs:
        return []
    behind: set[deliveries.Lane] = set()  # lanes that have one of these already
    room: Counter[str] = Counter()
    new: list[deliveries.NewDelivery] = []
    for change, recipient in pairs:
        watch_id = recipient.watch.id
        lane = _lane(change, recipient)
        blocked = lane is not None and (watch_id, lane) in behind
        if lane is not None:
            behind.add((watch_id, lane))
        if watch_id not in room:
            room[watch_id] = handoff.room(watch_id) if is_active(recipient) else 0
        handed = not blocked and room[watch_id] > 0 and change.id not in heavy
        room[watch_id] -= int(handed)
        new.append(
            deliveries.NewDelivery(
                id=ids.new("dlv", now),
                watch_id=watch_id,
                change=change,
                lane=lane,
                due=None if blocked else now,
                worker=handoff.worker_id if handed else None,
                single=change.event is Event.TEST,
            )
        )
    placed = await deliveries.insert(transaction, new, now)
    transaction.after_commit(
        lambda: _hand_on(new, {row["id"] for row in placed.rows if row["due"] is None}, handoff, now)
    )
    return [delivery.id for delivery in new]


def _lane(change: Change, recipient: Recipient) -> str | None:
    ordered = recipient.watch.ordering is Ordering.RESOURCE and change.event is not Event.TEST
    return change.object_id if ordered else None


def _hand_on(new: Sequence[deliveries.NewDelivery], waiting: Container[str], handoff: Handoff, now: int) -> None:
    """``waiting`` are those that found another one before them in their lane."""
    due = [item for item in new if item.id not in waiting]
    handoff.offer(
        [
            deliveries.Job(item.id, item.watch_id, item.change, item.lane, 1, 0, item.single, None)
            for item in due
            if item.worker is not None
        ]
    )
    for watch_id in {item.watch_id for item in due if item.worker is None}:
        handoff.wake(watch_id, now)
