"""One replay while this process goes on with it: planning it, then giving its deliveries away a few at a time.

Two that go on at once with the same replay, in two processes, share it step by step: a step is taken only from the one
before it, and whoever finds it taken reads where the other has come to.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Protocol, TypeVar

from service import errors, ids
from service.model import DeliveryStatus, Ordering
from service.store import deliveries, fanouts, jobs, replays, resources
from service.store.deliveries import NewDelivery
from service.store.driver import Later, Transaction
from service.store.jobs import Job, State
from service.store.replays import Given, Phase, Replay
from service.store.store import Store
from service.watches.registry import Prepared, Registry
from service.watches.wanted import Wanted

log = logging.getLogger(__name__)

MOST_UNDER_WAY = 16  # deliveries of a replay
PAUSE = 0.01  # seconds between two steps at least
LOOK = 0.2  # seconds after which a replay looks again though nothing was committed
RETRY = 1.0  # seconds before another try while the database cannot write
APART = "replay\x1f"  # what lanes of changes that were missing begin with: no live delivery waits for them

Item = TypeVar("Item")
Result = TypeVar("Result")


class Handoff(Protocol):
    """Who sends: the dispatcher."""

    @property
    def worker_id(self) -> str:
        """Under whose name deliveries are leased."""
        ...

    def spare(self, watch_id: str) -> int:
        """How many deliveries that can wait may be offered now."""
        ...

    def offer(self, jobs: Sequence[deliveries.Job]) -> None:
        """Send these."""
        ...


class Running:
    """One replay while this process goes on with it."""

    def __init__(
        self, store: Store, registry: Registry, handoff: Handoff, now: Callable[[], int], found: Replay
    ) -> None:
        self._store = store
        self._registry = registry
        self._handoff = handoff
        self._now = now
        self._replay = found
        self._wanted = Wanted(found, registry)
        self._found: deque[str] = deque()  # ids that are to be sent next in this phase
        self._looked = found.place  # the last id that was looked at for that
        self._is_through = False  # there are no more in this phase

    async def to_the_end(self) -> None:
        """Until all is sent that was to be, or the job is canceled."""
        if self._replay.phase is Phase.PLAN:
            await self._plan()
        going = True
        while going:
            await self._look()
            if self._is_due():
                going = await insist(self._store, _steps, self)
            mark = self._store.commits()
            await asyncio.sleep(PAUSE)
            await self._store.committed_since(mark, LOOK)

    def _is_due(self) -> bool:
        """Whether a step may come to something."""
        if self._replay.under_way or self._is_through or self._watch() is None:
            return True
        return self._handoff.spare(self._replay.watch_id) > 0

    def _watch(self) -> Prepared | None:
        return self._registry.get(self._replay.watch_id)

    # Planning

    async def _plan(self) -> None:
        """Count what is to be sent, and note of which changes there are deliveries."""
        plan, wanted = self._replay, self._wanted
        while plan.missing and await replays.is_telling(self._store, plan.tenant, wanted.end("chg")):
            await self._store.committed_since(self._store.commits(), LOOK)
        total = 0
        async for count, change_ids in wanted.deliveries(self._store, ids.new("dlv", self._now())):
            total += count
            if plan.missing:
                await insist(self._store, _see, (plan.job_id, change_ids))
        place: str | None = wanted.begin("chg")
        while plan.missing and place is not None:
            found, place = await wanted.following(self._store, Phase.MISSING, place)
            total += len(found)
            await asyncio.sleep(0)
        await insist(self._store, _planned, (self, total))

    async def planned(self, transaction: Transaction, total: int) -> None:
        """All is counted: begin to send."""
        job = await jobs.one(transaction, self._replay.tenant, self._replay.job_id)
        after = replace(self._replay, phase=Phase.AGAIN, place=self._wanted.begin("dlv"))
        if job is not None and await self._take(transaction, after):
            await jobs.save(transaction, replace(job, total=total))

    # Sending

    async def _look(self) -> None:
        """Find what is to be sent next, unless that is known."""
        while not (self._found or self._is_through):
            found, last = await self._wanted.following(self._store, self._replay.phase, self._looked)
            self._found.extend(found)
            self._looked = last or self._looked
            self._is_through = last is None

    async def step(self, transaction: Transaction) -> bool:
        """Hear of what is under way, and send more; False when the replay has ended."""
        replay = self._replay
        job = await jobs.one(transaction, replay.tenant, replay.job_id)
        if job is None or job.state is not State.RUNNING:
            return False
        prepared = self._watch()
        if prepared is None:
            await self._end_job(transaction, job, State.FAILED, f"watch {replay.watch_id} was deleted")
            return False
        heard, still = await self._hear(transaction, replay)
        room = min(self._handoff.spare(replay.watch_id), MOST_UNDER_WAY - len(still), len(self._found))
        taken = [self._found[index] for index in range(room)]
        through = self._is_through and len(taken) == len(self._found)
        if not (heard or taken or through):
            return True
        after = replace(replay, under_way=tuple(still), place=taken[-1] if taken else replay.place)
        if through and replay.phase is Phase.AGAIN and replay.missing:
            after, through = replace(after, phase=Phase.MISSING, place=self._wanted.begin("chg")), False
        if through and not (still or taken):
            await self._end_job(transaction, _counted(job, heard, 0, is_all=True), State.SUCCEEDED, None)
            return False
        if after == replay:
            return True
        if not await self._take(transaction, after):
            return True
        send = self._again if replay.phase is Phase.AGAIN else self._missing
        sent = await send(transaction, prepared, taken)
        await replays.give(transaction, replace(after, under_way=(*still, *sent)))
        await jobs.save(transaction, _counted(job, heard, len(taken) - len(sent)))
        transaction.after_commit(lambda: self._sent(sent, len(taken)))
        return True

    async def _take(self, transaction: Transaction, after: Replay) -> bool:
        """Write how far it is now; False when another process was there before, which has then gone on from here."""
        if await replays.save(transaction, after):
            transaction.after_commit(lambda: self._adopt(replace(after, step=after.step + 1)))
            return True
        current = await replays.one(transaction, after.job_id)
        if current is not None:
            self._adopt(current, anew=True)
        return False

    def _adopt(self, replay: Replay, *, anew: bool = False) -> None:
        if anew or replay.phase is not self._replay.phase:
            self._looked, self._is_through = replay.place, False
            self._found.clear()
        self._replay = replay

    def _sent(self, sent: Sequence[Given], taken: int) -> None:
        self._replay = replace(self._replay, under_way=(*self._replay.under_way, *sent))
        for _ in range(min(taken, len(self._found))):
            self._found.popleft()

    async def _end_job(self, transaction: Transaction, job: Job, state: State, detail: str | None) -> None:
        await jobs.save(transaction, replace(job, state=state, detail=detail, finished=self._now()))
        await replays.remove(transaction, job.id)
        log.info("redelivery %s to watch %s: %s", job.id, job.subject, detail or state)

    async def _hear(self, transaction: Transaction, replay: Replay) -> tuple[Counter[str], list[Given]]:
        """What became of those under way, and those still so."""
        rows = await replays.progress(transaction, [given.id for given in replay.under_way])
        now = {row["id"]: row for row in rows}
        heard: Counter[str] = Counter()
        still = []
        for given in replay.under_way:
            row = now.get(given.id)
            if row is None or row["status"] in {DeliveryStatus.FAILED, DeliveryStatus.CANCELED}:
                heard["failed"] += 1
            elif row["status"] == DeliveryStatus.SUCCEEDED:
                heard["succeeded"] += 1
            elif row["attempts"] > given.attempts:
                heard["failed"] += 1  # and will be tried again, by its watch's schedule
            elif row["due"] is None:
                heard["waiting"] += 1  # behind an earlier one of its resource
            else:
                still.append(given)
        return heard, still

    async def _again(self, transaction: Transaction, _prepared: Prepared, taken: Sequence[str]) -> list[Given]:
        """Once more what has ended."""
        rows = await replays.progress(transaction, taken)
        ended = [row["id"] for row in rows if row["status"] in self._replay.statuses]
        sent = await deliveries.take_again(transaction, ended, self._handoff.worker_id, self._now())
        transaction.after_commit(lambda: self._handoff.offer(sent))
        return [Given(job.id, job.attempts) for job in sent]

    async def _missing(self, transaction: Transaction, prepared: Prepared, taken: Sequence[str]) -> list[Given]:
        """New deliveries of changes."""
        watch, now = prepared.watch, self._now()
        told = [await fanouts.change(transaction, change_id) for change_id in taken]
        told = [change for change in told if self._registry.touches(prepared, change)]
        await resources.hold(transaction, {(change.tenant, change.type, change.object_id) for change in told})
        ordered = watch.ordering is Ordering.RESOURCE
        asked = [(watch.id, change.object_id, change.version) for change in told] if ordered else []
        behind = await replays.behind(transaction, asked)
        seen: set[str] = set()  # lanes that have one of these already
        new = []
        for change in told:
            lane = None
            if ordered:
                waits = (change.object_id, change.version) in behind
                lane = change.object_id if waits else APART + change.object_id
            blocked = lane in seen
            if lane is not None:
                seen.add(lane)
            new.append(
                NewDelivery(
                    id=ids.new("dlv", now),
                    watch_id=watch.id,
                    change=change,
                    lane=lane,
                    due=None if blocked else now,
                    worker=None if blocked else self._handoff.worker_id,
                )
            )
        placed = await deliveries.insert(transaction, new, now)
        transaction.after_commit(lambda: self._hand_on(new, placed))
        return [Given(item.id, 0) for item in new]

    def _hand_on(self, new: Sequence[NewDelivery], placed: Later) -> None:
        waiting = {row["id"] for row in placed.rows if row["due"] is None}
        self._handoff.offer(
            [
                deliveries.Job(item.id, item.watch_id, item.change, item.lane, 1, 0, single=False, body=None)
                for item in new
                if item.id not in waiting
            ]
        )


def _counted(job: Job, heard: Counter[str], passed_over: int, *, is_all: bool = False) -> Job:
    """The job after some more; those passed over, which need no sending any more, never were of its total."""
    done = job.done + heard.total()
    result = dict(job.result)
    for name, count in heard.items():
        before = result.get(name)
        result[name] = count + (before if isinstance(before, int) else 0)
    total = None if job.total is None else max(done, job.total - passed_over)
    return replace(job, done=done, total=done if is_all else total, result=result)


async def insist(
    store: Store, batch: Callable[[Transaction, Sequence[Item]], Awaitable[Sequence[Result]]], item: Item
) -> Result:
    """Write, however long the database cannot."""
    while True:
        try:
            return await store.submit(batch, item)
        except errors.Unavailable as error:
            log.warning("a redelivery waits: %s", error.detail)
            await asyncio.sleep(RETRY)


async def _steps(transaction: Transaction, running: Sequence[Running]) -> list[bool]:
    return [await each.step(transaction) for each in running]


async def _planned(transaction: Transaction, items: Sequence[tuple[Running, int]]) -> list[None]:
    for running, total in items:
        await running.planned(transaction, total)
    return [None] * len(items)


async def _see(transaction: Transaction, items: Sequence[tuple[str, Sequence[str]]]) -> list[None]:
    for job_id, change_ids in items:
        await replays.see(transaction, job_id, change_ids)
    return [None] * len(items)
