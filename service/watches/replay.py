"""Sending again: the ended deliveries of a watch, and the changes that were never queued for it, as a job.

What is live goes first. A replay gives its deliveries to the dispatcher a few at a time, only while nothing else of the
watch waits, and never in all of its places; it gives more when it has heard of those. Its deliveries are no part of the
lanes of live ones, which therefore never wait for them. Among themselves, changes that were missing keep the order of
their resource, in lanes of their own; one whose resource has an earlier live delivery pending waits behind that.

How far a replay is, and what it has given away, is written in the transaction that gives it away. So whichever process
goes on with it sends nothing twice and passes nothing over; of two that go on at once, one finds that the other was
there.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from service import clock, errors, ids
from service.model import DeliveryStatus, Document, WatchStatus
from service.store import jobs, replays
from service.store.driver import Transaction
from service.store.jobs import Job, State
from service.store.replays import Replay
from service.store.store import Store
from service.watches import resending, wanted
from service.watches.registry import Registry
from service.watches.resending import Handoff, Running

KIND = "redeliver"
POLL = 5.0  # seconds between two looks for replays that another process began
KEPT = 30 * 24 * 3600 * 1000  # ms that a job can be looked up


@dataclass(frozen=True, slots=True)
class Terms:
    """What is to be sent."""

    since: int | None  # ms; None: as far back as the log goes
    until: int | None  # ms; None: now
    statuses: frozenset[DeliveryStatus]  # of the ended deliveries that are sent again
    missing: bool  # whether changes are sent that were never queued


class Replayer:
    """Begins replays, cancels them, and ``run``s them in a task group."""

    def __init__(
        self, store: Store, registry: Registry, handoff: Handoff, *, now: Callable[[], int] = clock.now_ms
    ) -> None:
        self._store = store
        self._registry = registry
        self._handoff = handoff
        self._now = now
        self._running: set[str] = set()
        self._arrived = asyncio.Event()

    async def begin(self, tenant: str, watch_id: str, terms: Terms, kept: int) -> Job:
        """A new replay; it goes on by itself.

        Of changes older than ``kept`` (ms) nobody knows any more whether they were sent: none of those is missing.

        Raises:
            NotFound: the tenant has no such watch.
            Conflict: the watch is disabled, or another replay of it is running.
        """
        now = self._now()
        until = min(now, terms.until if terms.until is not None else now)
        if terms.missing:
            terms = replace(terms, since=max(now - kept, terms.since or 0))
        job = Job(ids.new("job", now), tenant, KIND, watch_id, now, result=_result(watch_id, terms, until, Counter()))
        begun = Replay(job.id, tenant, watch_id, terms.since, until, terms.statuses, terms.missing)

        async def action(transaction: Transaction) -> None:
            prepared = self._registry.get(watch_id)
            if prepared is None or prepared.watch.tenant != tenant:
                raise errors.NotFound(f"there is no watch {watch_id}")
            if prepared.watch.status is WatchStatus.DISABLED:
                raise errors.Conflict(f"watch {watch_id} is disabled: enable it first")
            other = await jobs.running(transaction, tenant, KIND, watch_id)
            if other is not None:
                raise errors.Conflict(
                    f"job {other.id} redelivers to watch {watch_id} already: wait until it has ended, or cancel it"
                )
            await jobs.purge(transaction, tenant, ids.floor("job", now - KEPT))
            await jobs.insert(transaction, job)
            await replays.insert(transaction, begun)
            transaction.after_commit(self._arrived.set)

        await self._store.write(action)
        return job

    async def cancel(self, tenant: str, job_id: str) -> Job:
        """Stop a replay; what it has given to be sent is sent.

        Raises:
            NotFound: the tenant has no such job.
            Conflict: it has ended, or is no replay.
        """

        async def action(transaction: Transaction) -> Job:
            job = await jobs.one(transaction, tenant, job_id)
            if job is None:
                raise errors.NotFound(f"there is no job {job_id}; those that ended long ago are forgotten")
            if job.state is not State.RUNNING:
                raise errors.Conflict(f"job {job_id} has ended: {job.state}")
            if job.kind != KIND:
                raise errors.Conflict(f"job {job_id} is no redelivery: an {job.kind} ends with its stream")
            ended = replace(
                job, state=State.CANCELED, detail="canceled; what was sent by then is sent", finished=self._now()
            )
            await jobs.save(transaction, ended)
            await replays.remove(transaction, job_id)
            return ended

        return await self._store.write(action)

    async def run(self) -> None:
        """Go on with every replay, for as long as the service runs."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._forget(await replays.left_over(self._store)))
            while True:
                self._arrived.clear()
                for found in await replays.everyone(self._store):
                    if found.job_id not in self._running:
                        self._running.add(found.job_id)
                        group.create_task(self._go_on(found), name=f"replay {found.job_id}")
                try:
                    async with asyncio.timeout(POLL):
                        await self._arrived.wait()
                except TimeoutError:
                    continue

    async def _go_on(self, found: Replay) -> None:
        try:
            await Running(self._store, self._registry, self._handoff, self._now, found).to_the_end()
            await self._forget([found.job_id])
        finally:
            self._running.discard(found.job_id)

    async def _forget(self, job_ids: Sequence[str]) -> None:
        for job_id in job_ids:
            while await resending.insist(self._store, _forget, job_id):
                await self._store.committed_since(self._store.commits(), resending.PAUSE)


def _result(watch_id: str, terms: Terms, until: int, counts: Counter[str]) -> Document:
    return {
        "watchId": watch_id,
        "since": None if terms.since is None else clock.rfc3339(terms.since),
        "until": clock.rfc3339(until),
        "status": [*sorted(terms.statuses)],
        "missing": terms.missing,
        "succeeded": counts["succeeded"],
        "failed": counts["failed"],
        "waiting": counts["waiting"],
    }


async def _forget(transaction: Transaction, job_ids: Sequence[str]) -> list[int]:
    return [await replays.forget(transaction, job_id, wanted.WINDOW) for job_id in job_ids]
