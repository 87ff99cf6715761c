"""Handing deliveries on where other processes deliver too: see outbox.Handoff."""

from __future__ import annotations

from collections.abc import Sequence

from service.delivery.dispatcher import Dispatcher
from service.store import store
from service.store.deliveries import Job
from service.store.store import Store


class Elsewhere:
    """For a process that delivers nothing itself: everything waits in the table, and the others are told."""

    in_flight = 0

    def __init__(self, store_: Store) -> None:
        self._store = store_

    @property
    def worker_id(self) -> str:
        """Nothing is leased to it."""
        return self._store.lease.worker_id

    def room(self, _watch_id: str) -> int:
        """None."""
        return 0

    def spare(self, _watch_id: str) -> int:
        """None."""
        return 0

    def offer(self, jobs: Sequence[Job]) -> None:
        """There was no room for any."""
        if jobs:
            raise RuntimeError("a process that does not deliver was given deliveries")

    def wake(self, watch_id: str, _due: int) -> None:
        """The others see to it."""
        self._store.tell(store.DELIVERIES, watch_id)


class Shared:
    """For one that does: what it has room for it delivers at once, the rest is for whoever comes first."""

    def __init__(self, store_: Store, dispatcher: Dispatcher) -> None:
        self._store = store_
        self._dispatcher = dispatcher

    @property
    def worker_id(self) -> str:
        """See Handoff."""
        return self._dispatcher.worker_id

    @property
    def in_flight(self) -> int:
        """Attempts under way here."""
        return self._dispatcher.in_flight

    def room(self, watch_id: str) -> int:
        """See Handoff."""
        return self._dispatcher.room(watch_id)

    def spare(self, watch_id: str) -> int:
        """See watches.resending.Handoff."""
        return self._dispatcher.spare(watch_id)

    def offer(self, jobs: Sequence[Job]) -> None:
        """See Handoff."""
        self._dispatcher.offer(jobs)

    def wake(self, watch_id: str, due: int) -> None:
        """See Handoff."""
        self._dispatcher.wake(watch_id, due)
        self._store.tell(store.DELIVERIES, watch_id)
