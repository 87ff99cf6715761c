"""Whose turn it is: the sources that are due, each worked at by one process at a time.

A turn is held by a lease, which is prolonged while it goes on (see ``store.sources``). It ends by itself when
there is a reason to wait; a failure of ours ends it too, is logged, and does not stop the others.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from service import clock, errors
from service.changes.poll import sweep
from service.changes.poll.keeper import Sources
from service.changes.poll.turn import Lost, Means, Turn
from service.changes.poll.upstream import Refusal, Upstream
from service.changes.snapshot import Snapshots
from service.changes.types import ResourceType
from service.store import sources
from service.store.driver import Transaction
from service.store.sources import End, SourceRow
from service.store.store import Store

log = logging.getLogger(__name__)

MOST_TURNS = 8  # at once
LEASE = 30_000  # ms
BEAT = 10.0  # seconds between two prolongations
LOOK = 5.0  # seconds after which the table is looked at whatever happens: another process may have let go of a source
PAUSE = 1.0  # seconds between two looks while the database cannot write


class Poller:
    """The one who polls. ``run`` it in a task group."""

    def __init__(
        self,
        store: Store,
        keeper: Sources,
        snapshots: Snapshots,
        upstream: Upstream,
        types: Mapping[str, ResourceType],
        *,
        now: Callable[[], int] = clock.now_ms,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._store = store
        self._keeper = keeper
        self._means = Means(store, snapshots, upstream, types, now, jitter)
        self._turns: dict[str, asyncio.Task[None]] = {}
        self._nudge = asyncio.Event()

    async def run(self) -> None:
        """Take over what an earlier process left, then poll until it is cancelled."""
        if not self._store.is_shared:
            await self._store.write(sources.take_over)
        async with asyncio.TaskGroup() as group:
            while True:
                self._nudge.clear()
                try:
                    await self._begin_turns(group)
                    rest = await self._rest()
                except errors.Unavailable as error:
                    log.warning("polling waits: %s", error.detail)
                    rest = PAUSE
                try:
                    async with asyncio.timeout(rest):
                        await self._nudge.wait()
                except TimeoutError:
                    pass

    @property
    def worker_id(self) -> str:
        """Under whose name turns are taken."""
        return self._store.lease.worker_id

    # What the keeper says

    def wake(self) -> None:
        """A source may be due now."""
        self._nudge.set()

    async def leave(self, source_id: str) -> None:
        """Stop working at a source, now."""
        task = self._turns.get(source_id)
        if task is not None:
            task.cancel()
            await asyncio.wait((task,))

    async def _begin_turns(self, group: asyncio.TaskGroup) -> None:
        free = MOST_TURNS - len(self._turns)
        now = self._means.now()
        # Our own are due, too, while they are under way: look past them.
        found = await sources.due(self._store, self.worker_id, now, free + len(self._turns)) if free else []
        for source_id in found:
            if source_id in self._turns or len(self._turns) >= MOST_TURNS:
                continue
            row = await self._store.submit(self._claim, source_id)
            if row is not None:
                self._turns[source_id] = group.create_task(self._turn(row), name=f"turn {source_id}")

    async def _claim(self, transaction: Transaction, source_ids: Sequence[str]) -> list[SourceRow | None]:
        now = self._means.now()
        return [
            await sources.claim(transaction, source_id, self.worker_id, now, now + LEASE) for source_id in source_ids
        ]

    async def _rest(self) -> float:
        if len(self._turns) >= MOST_TURNS:
            return LOOK
        due = await sources.next_due(self._store, self.worker_id)
        return LOOK if due is None else min(LOOK, max(0, due - self._means.now()) / 1000)

    async def _turn(self, row: SourceRow) -> None:
        try:
            async with asyncio.TaskGroup() as group:
                beating = group.create_task(self._beat(row))
                end = await self._work(row)
                beating.cancel()
            await self._store.submit(self._settle, (row, end))
        except* Lost:
            log.info("source %s: the turn ended early", row.id)
        except* errors.Unavailable as group_error:
            log.warning("source %s: %s", row.id, group_error.exceptions[0])
            await asyncio.sleep(PAUSE)
        finally:
            del self._turns[row.id]
            self._nudge.set()

    async def _work(self, row: SourceRow) -> End:
        source = self._keeper.open(row)
        rtype = self._means.types.get(source.type)
        try:
            if rtype is None:
                return self._failed(row, f"there is no resource type {source.type} any more: bring its file back")
            return await Turn(self._means, row, source, rtype).run()
        except (Lost, errors.Unavailable):
            raise
        except Exception:  # a bug of ours must not stop the other sources
            log.exception("source %s could not be swept", row.id)
            return self._failed(row, "internal error; see the service's own log")

    def _failed(self, row: SourceRow, detail: str) -> End:
        source, now = self._keeper.open(row), self._means.now()
        before = replace(sweep.load(row.sweep), stage=sweep.Stage.IDLE, started=now)
        wait = sweep.refuse(before, source, Refusal(detail, final=True), now, self._means.jitter())
        return End(sweep.store(wait.sweep), wait.due, 0, completed=False)

    async def _beat(self, row: SourceRow) -> None:
        """Prolong the lease for as long as the turn goes on. Raises Lost."""
        until = row.lease_until
        while True:
            await asyncio.sleep(BEAT)
            until_next = self._means.now() + LEASE
            try:
                kept = await self._store.submit(_keep, (row, until_next))
            except errors.Unavailable:
                kept = self._means.now() < until
            else:
                until = until_next
            if not kept:
                raise Lost

    async def _settle(self, transaction: Transaction, ends: Sequence[tuple[SourceRow, End]]) -> list[bool]:
        now = self._means.now()
        return [await sources.settle(transaction, row.id, row.fence, end, now) for row, end in ends]


async def _keep(transaction: Transaction, items: Sequence[tuple[SourceRow, int]]) -> list[bool]:
    return [await sources.keep(transaction, row.id, row.fence, until) for row, until in items]
