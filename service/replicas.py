"""Being one of several processes over one database: staying alive, taking over, and hearing of what others did.

There is no leader: every process looks after its own row (see ``store.replicas``), and whoever first finds that
another one's time has passed takes what that one held. What is in memory here (watches, keys) is compared with the
database at the beginning of each transaction, so that a change is told to exactly the watches that were answered 201
before it, whichever process answered; between transactions others say when something has changed, and should that
get lost, it is found out at the next beat.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass

from service import clock, errors, ids
from service.access import Access
from service.changes.importer import Importer
from service.changes.poll.poller import Poller
from service.delivery.dispatcher import Dispatcher
from service.delivery.fanout import FanOut
from service.store import deliveries, replicas, sources, store, verifications
from service.store.driver import Reader, Row, Transaction
from service.store.store import SharedStore, Store
from service.watches.registrar import Registrar

log = logging.getLogger(__name__)

BEAT = 3.0  # seconds between two signs of life
LOOK = 5  # beats between two looks at the tables, whatever others say
PAUSE = 1.0  # seconds before another try while the database is away


@dataclass(frozen=True, slots=True)
class Memory:
    """What this process keeps in memory of what others may write."""

    registrar: Registrar
    access: Access


@dataclass(frozen=True, slots=True)
class Work:
    """What this process does besides answering calls."""

    importer: Importer
    fan_out: FanOut
    dispatcher: Dispatcher | None = None  # None: others deliver, and tell many watches
    poller: Poller | None = None


class Others:
    """Who is told of what happens to sources: see changes.poll.keeper.Listener."""

    def __init__(self, shared: Store) -> None:
        self._store = shared

    def wake(self) -> None:
        """One may be due."""
        self._store.tell(store.SOURCES)

    async def leave(self, _source_id: str) -> None:
        """Whoever works at it finds at its next checkpoint that it is not his any more."""


class Replica:
    """This process among the others. ``join`` before anything else; ``run`` it in a task group."""

    def __init__(self, shared: SharedStore, *, now: Callable[[], int] = clock.now_ms) -> None:
        self._store = shared
        self._lease = shared.lease
        self._now = now
        self._memory: Memory | None = None
        self._work: Work | None = None
        self._keys = 0  # revision of the API keys in memory
        self._called = asyncio.Event()  # for a sign of life, now
        self._nudge = asyncio.Event()  # to look after what was heard
        self._heard: set[str] = set()  # topics to look after
        self._away = False  # the database was, at the last beat

    @property
    def worker_id(self) -> str:
        """See store.replicas.Attendant."""
        return self._lease.worker_id

    async def join(self) -> None:
        """Begin to live. Raises Unavailable."""
        self._lease.until = self._now() + replicas.LEASE - replicas.MARGIN
        await replicas.join(self._store, self._lease.worker_id)
        self._store.attend(self, self._hear)

    async def leave(self) -> None:
        """Give everything back, and end."""

        async def action(transaction: Transaction, _items: Sequence[None]) -> list[None]:
            await self._free(transaction, [self.worker_id])
            await replicas.leave(transaction, self.worker_id)
            return [None]

        try:
            await self._store.submit(action, None)
        except errors.Unavailable as error:
            log.warning("others take over when the lease has run out: %s", error.detail)

    def remember(self, memory: Memory, keys: int) -> None:
        """Keep this up to date from now on; ``keys`` is the revision of the API keys in it."""
        self._memory, self._keys = memory, keys

    def tend(self, work: Work) -> None:
        """Look after this from now on."""
        self._work = work

    async def begun(self, transaction: Transaction, row: Row) -> None:
        """See store.replicas.Attendant."""
        if row["id"] is None:
            self._called.set()
            raise errors.Unavailable("others took this process for dead, and it begins anew; nothing was stored")
        await self._remember_anew(transaction, row["watches"], row["keys"])

    async def run(self) -> None:
        """Stay alive and look after the work, for as long as the service runs."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._live())
            group.create_task(self._attend())

    async def _live(self) -> None:
        """A sign of life every few seconds, and at once when a process has come or this one is taken for dead."""
        is_new = True
        while True:
            self._called.clear()
            try:
                await self._beat()
                if is_new:
                    self._store.tell(store.REPLICAS)
                    is_new = False
            except errors.Unavailable as error:
                log.warning("the other replicas are out of sight: %s", error.detail)
                self._away = True
            await _until(self._called, BEAT)

    async def _attend(self) -> None:
        """See to what others tell, and now and then to everything, for it may have got lost."""
        looks = 0
        while True:
            self._nudge.clear()
            try:
                await self._see(everything=looks % LOOK == 0)
                looks += 1
            except errors.Unavailable as error:
                log.debug("cannot look after the work: %s", error.detail)
                self._heard.add(store.EVERYTHING)
                await asyncio.sleep(PAUSE)
            await _until(self._nudge, BEAT)

    async def _beat(self) -> None:
        asked = self._now()
        dispatcher = None if self._work is None else self._work.dispatcher
        others = await replicas.beat(self._store, self.worker_id, works=dispatcher is not None)
        if others is None:
            await self._begin_anew()
        elif dispatcher is not None:
            dispatcher.share(others + 1)
        self._lease.until = asked + replicas.LEASE - replicas.MARGIN
        if self._away:  # it was away from the others, too: let them come back before they are judged
            self._away = False
            self._look_at_everything()
            return
        buried = await self._store.submit(self._bury, None)
        if buried:
            log.warning("took over from %s", ", ".join(buried))
            self._look_at_everything()

    async def _begin_anew(self) -> None:
        log.warning("this process was taken for dead by others, and begins anew")
        worker_id = ids.new("wrk")
        await replicas.join(self._store, worker_id)
        self._lease.worker_id = worker_id
        if self._work is not None and self._work.dispatcher is not None:
            self._work.dispatcher.renounce()
        self._look_at_everything()

    async def _bury(self, transaction: Transaction, items: Sequence[None]) -> list[list[str]]:
        dead = await replicas.bury(transaction, self.worker_id)
        if dead:
            await self._free(transaction, dead)
        return [dead] * len(items)

    async def _free(self, transaction: Transaction, workers: Sequence[str]) -> None:
        await deliveries.free(transaction, workers)
        await sources.free(transaction, workers)
        await verifications.free(transaction, workers)
        await replicas.free_locks(transaction, workers)

    def _hear(self, topic: str, names: Collection[str]) -> None:
        """Another process tells that there is something to look at."""
        dispatcher = self._work.dispatcher if self._work is not None else None
        if topic == store.DELIVERIES and names:
            if dispatcher is not None:
                for name in names:
                    dispatcher.wake(name, self._now())
            return
        if topic == store.REPLICAS:  # there is a new one: count at once who is there
            self._called.set()
            return
        self._heard.add(topic)
        self._nudge.set()

    def _look_at_everything(self) -> None:
        self._heard.add(store.EVERYTHING)
        self._nudge.set()

    async def _remember_anew(self, reader: Reader, watches: int, keys: int) -> None:
        """Bring what is in memory up to these revisions."""
        memory = self._memory
        if memory is None:
            return
        if watches > memory.registrar.revision:
            await memory.registrar.refresh(reader)
        if keys != self._keys:
            memory.access.forget()
            self._keys = keys

    async def _see(self, *, everything: bool = False) -> None:
        """Look after what was told."""
        topics, self._heard = self._heard, set()
        everything = everything or store.EVERYTHING in topics
        watches, keys = await replicas.revisions(self._store)
        await self._remember_anew(self._store, watches, keys)
        if self._work is not None and everything and (gone := await replicas.gone(self._store)):
            await self._work.importer.recover(gone)
        if self._work is None or self._work.dispatcher is None:
            return
        if everything or store.DELIVERIES in topics:
            await self._work.dispatcher.look()
        if everything or store.FAN_OUTS in topics:
            await self._work.fan_out.load()
        if self._work.poller is not None and (everything or store.SOURCES in topics):
            self._work.poller.wake()


async def _until(event: asyncio.Event, seconds: float) -> None:
    """Wait for it, but no longer than that."""
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await event.wait()
