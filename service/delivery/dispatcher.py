"""Sending what is due, each watch at its own pace.

Every watch has a channel: at most ``concurrency`` attempts under way, a bounded handful of leased jobs
behind them, and a flag that says whether more wait in the table. Channels share nothing but the event loop,
so that a receiver which never answers fills its own channel and no other. Jobs come to a channel three ways:
handed on in memory by the commit that made them, handed on by the settlement of the one before them in their
lane, or claimed from the table when the channel runs dry. What is not due yet exists in the table alone; a
timer for each watch, not for each delivery, says when to look. Where a watch has a rate, its jobs wait for their
turns in the channel, few of them, and never in an attempt's place. One whose receiver fails and fails is probed, one
delivery at a time.

An attempt whose watch has a free connection begins at once and ends by a call; only what has to wait before (for
a connection, for a token) takes a task. Its outcome is settled through the group commit, while the channel's next
attempt is under way already; but no more than a few outcomes of a channel may wait to become durable, so that a
database which cannot write stops the sending instead of losing what came of it.
"""

from __future__ import annotations

import asyncio
import functools
import heapq
import logging
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Sequence
from itertools import islice
from typing import Any, TypeVar

from service import clock, errors
from service.delivery import breaker, checkup
from service.delivery import pace as paces
from service.delivery.attempt import Verdict
from service.delivery.channel import Channel
from service.delivery.pace import Pace
from service.delivery.recipient import Recipient, Recipients, is_active
from service.delivery.sender import Sender
from service.model import HEALTHY, WATCH, DeliveryStatus, Event, Health, StatusReason, Watch
from service.store import deliveries, health, store, watches
from service.store.deliveries import Job, Settlement
from service.store.driver import Transaction
from service.store.store import Store
from service.values import value

log = logging.getLogger(__name__)

MOST_JOBS = 5000  # in memory at once, by their weights, all channels together; past it each may still hold a few, or
FEWEST_JOBS = 4  # one that is heavy: else receivers that never answer would fill the memory and starve the others
CLAIMS_AT_ONCE = 100
MOST_CLAIMED = 128  # deliveries of a watch that one claim reads...
FIRST_CLAIMED = 8  # ...and before it is known how heavy they are
UNSETTLED = 4  # times the concurrency: outcomes of a channel that may wait to become durable
FIRST_PAUSE, LONGEST_PAUSE = 0.1, 5.0  # seconds between tries to settle while the database cannot write


Item = TypeVar("Item")


@value
class Ended:
    """An attempt that is over."""

    channel: Channel
    settlement: Settlement
    verdict: Verdict
    watch: Watch  # as it was when the attempt began
    is_news: bool  # more is to be written than the delivery: the watch's health, or what others are told


class Dispatcher:
    """The queue's one consumer in this process. ``run`` it in a task group."""

    def __init__(
        self,
        store: Store,
        recipients: Recipients,
        sender: Sender,
        *,
        concurrency: int = 32,
        buffer: int = 128,
        now: Callable[[], int] = clock.now_ms,
    ) -> None:
        self._lease = store.lease
        self._store = store
        self._recipients = recipients
        self._sender = sender
        self._concurrency = concurrency
        self._most_unsettled = UNSETTLED * concurrency
        self._buffer = buffer
        self._now = now
        self._channels: dict[str, Channel] = {}
        self._processes = 1  # that deliver
        self._hungry: dict[str, None] = {}  # watches to claim for, in the order they asked
        self._timers: list[tuple[int, str]] = []
        self._jobs = 0  # in memory
        self._open = 0  # attempts that are under way or not settled yet
        self._changed: asyncio.Future[None] | None = None  # is done when one of them is
        self._active: set[asyncio.Task[None]] = set()
        self._nudge = asyncio.Event()
        self._stopping = False
        self._is_cut_off = False
        self._group: asyncio.TaskGroup | None = None

    async def run(self) -> None:
        """Take over what an earlier process left, then claim what is due until ``stop``."""
        if not self._store.is_shared:
            await self._store.write(lambda transaction: deliveries.take_over(transaction, self.worker_id))
        for row in await watches.everyone(self._store):
            if row.hold_until > self._now():
                self._channel(row.id).hold_until = row.hold_until
        await self.look()
        try:
            async with asyncio.TaskGroup() as self._group:
                for channel in self._channels.values():
                    self._pump(channel)
                while not self._stopping:
                    self._fire_timers()
                    await self._feed()
                    await self._rest()
        finally:
            self._group = None

    async def look(self) -> None:
        """See what waits in the table, and which receivers fail, whoever has written it there."""
        known = await health.ailing(self._store)
        for watch_id in known.keys() | {id_ for id_, one in self._channels.items() if breaker.is_failing(one.health)}:
            self._learn(self._channel(watch_id), known.get(watch_id, HEALTHY))
        for watch_id, due in (await deliveries.backlog(self._store)).items():
            self.wake(watch_id, due)

    def share(self, processes: int) -> None:
        """So many deliver: each of them keeps to its part of what a watch's rate allows."""
        if processes != self._processes:
            self._processes = processes
            for channel in self._channels.values():
                if channel.pace is not None:
                    self._adjust(channel)
                    self._pump(channel)

    def _learn(self, channel: Channel, found: Health) -> None:
        """A receiver fails, or does not any more, as an earlier process or another one has seen it."""
        differs = breaker.is_failing(found) is not breaker.is_failing(channel.health)
        if differs or found.failures > channel.health.failures:
            channel.health = found
        if differs:
            self._adjust(channel)
            self._lay_down(channel)

    def renounce(self) -> None:
        """Others were given all that is leased to us: forget it. What is under way ends, and changes nothing."""
        for channel in self._channels.values():
            self._jobs -= _weight(channel.waiting)
            channel.waiting.clear()

    async def stop(self, grace: float) -> None:
        """Begin nothing new; let what is under way end within ``grace`` seconds, then leave it to the next process."""
        self._stopping = True
        self._nudge.set()
        loop = asyncio.get_running_loop()
        deadline = loop.time() + grace
        while (self._active or self._open) and (left := deadline - loop.time()) > 0:
            self._changed = loop.create_future()  # what ends may leave something to settle
            await asyncio.wait((self._changed, *self._active), timeout=left, return_when=asyncio.FIRST_COMPLETED)
        self._is_cut_off = True
        for task in self._active:
            task.cancel()
        if running := self.in_flight:
            log.warning("%d deliveries were cut off at the stop; they will be sent again", running)

    # What the outbox and the watches say to it

    @property
    def worker_id(self) -> str:
        """Under whose name deliveries are leased."""
        return self._lease.worker_id

    def room(self, watch_id: str) -> int:
        """How many more deliveries of a watch may be handed on in memory; none while older ones are in the table."""
        channel = self._channels.get(watch_id)
        if self._group is None or self._stopping:
            return 0
        if channel is None:
            channel = self._channel(watch_id)
        return 0 if channel.backlog or channel.hold_until > self._now() else self._capacity(channel)

    def spare(self, watch_id: str) -> int:
        """How many deliveries that can wait may be offered now: none while others wait, and never all the places."""
        channel = self._channel(watch_id)
        if self._group is None or self._stopping or not self._may_send(channel):
            return 0
        if channel.backlog or channel.waiting or (channel.pace is not None and channel.held):
            return 0
        most = 1 if channel.pace is not None else max(1, channel.slots // 2) - channel.held
        return max(0, min(most, self._capacity(channel), MOST_JOBS // 2 - self._jobs))

    def offer(self, jobs: Sequence[Job]) -> None:
        """Send these, which are leased to us already."""
        touched = {}
        for job in jobs:
            channel = self._channel(job.watch_id)
            channel.waiting.append(job)
            touched[job.watch_id] = channel
        self._jobs += _weight(jobs)
        for channel in touched.values():  # after the writer's next transaction has begun, which others wait for
            asyncio.get_running_loop().call_soon(self._called, self._pump, channel)

    def wake(self, watch_id: str, due: int) -> None:
        """Something of this watch waits in the table and may be sent from ``due`` on."""
        channel = self._channel(watch_id)
        due = max(due, channel.hold_until)
        if due <= self._now():
            channel.backlog = True
            self._ask(channel)
        elif channel.wake_at is None or due < channel.wake_at:
            channel.wake_at = due
            heapq.heappush(self._timers, (due, watch_id))
            self._nudge.set()

    def watch_changed(self, watch_id: str, *, moved: bool = False, forgiven: bool = False) -> None:
        """A watch was enabled, disabled, changed or deleted: take up its deliveries again, or lay them down.

        ``moved``: its address is another one, which has not asked for a pause. ``forgiven``: its failures are forgotten.
        """
        channel = self._channel(watch_id)
        if moved:
            channel.hold_until = 0
        if forgiven:
            channel.health = HEALTHY
        self._adjust(channel)
        if is_active(self._recipients.recipient(watch_id)):
            self._pump(channel)
            self.wake(watch_id, self._now())
        elif channel.waiting:
            self._lay_down(channel)
        elif self._recipients.recipient(watch_id) is None and not channel.running:
            del self._channels[watch_id]

    def watch_held(self, watch_id: str, until: int) -> None:
        """Another process was asked to leave the receiver alone until then."""
        channel = self._channel(watch_id)
        if until > max(channel.hold_until, self._now()):
            channel.hold_until = until
            self._lay_down(channel)

    @property
    def in_flight(self) -> int:
        """Attempts under way."""
        return sum(channel.running for channel in self._channels.values())

    # Feeding the channels from the table

    def _ask(self, channel: Channel) -> None:
        self._hungry[channel.watch_id] = None
        self._nudge.set()

    async def _feed(self) -> None:
        """Claim for the watches that ask, a hundred in one transaction."""
        while self._hungry and not self._stopping:
            asking = [self._channel(watch_id) for watch_id in islice(self._hungry, CLAIMS_AT_ONCE)]
            claims = []
            for channel in asking:
                del self._hungry[channel.watch_id]
                limit = min(self._capacity(channel), MOST_CLAIMED if channel.heaviness else FIRST_CLAIMED)
                if limit > 0 and self._may_send(channel):
                    claims.append(self._claim(channel, limit))
            for jobs in await asyncio.gather(*claims):
                self.offer(jobs)

    def _capacity(self, channel: Channel) -> int:
        """How many more jobs a channel may take: a receiver that has not answered well gets no more than it can use."""
        most = self._buffer if channel.is_proven else min(self._buffer, 2 * channel.slots)
        room = min(most - channel.held, max(MOST_JOBS - self._jobs, FEWEST_JOBS - channel.held))
        if channel.heaviness > 1:
            room = min(room, max((MOST_JOBS - self._jobs) // channel.heaviness, 1 - channel.held))
        if channel.pace is not None:
            room = min(room, channel.pace.ahead - len(channel.waiting))
        return max(0, room)

    async def _claim(self, channel: Channel, limit: int) -> list[Job]:
        try:
            jobs, next_due = await self._store.submit(self._claim_batch, (channel.watch_id, limit))
        except errors.Unavailable as error:
            log.warning("cannot claim deliveries: %s", error.detail)
            self.wake(channel.watch_id, self._now() + int(LONGEST_PAUSE * 1000))
            return []
        channel.heaviness = max((job.weight for job in jobs), default=channel.heaviness)
        channel.backlog = len(jobs) == limit
        if not channel.backlog and next_due is not None:
            self.wake(channel.watch_id, next_due)
        return jobs

    async def _claim_batch(
        self, transaction: Transaction, items: Sequence[tuple[str, int]]
    ) -> list[tuple[list[Job], int | None]]:
        now = self._now()
        return [await deliveries.claim(transaction, watch_id, self.worker_id, now, limit) for watch_id, limit in items]

    def _fire_timers(self) -> None:
        now = self._now()
        while self._timers and self._timers[0][0] <= now:
            due, watch_id = heapq.heappop(self._timers)
            channel = self._channel(watch_id)
            if channel.wake_at == due:
                channel.wake_at = None
            self.wake(watch_id, due)

    async def _rest(self) -> None:
        if self._stopping:
            return
        delay = None if not self._timers else max(0.0, (self._timers[0][0] - self._now()) / 1000)
        try:
            async with asyncio.timeout(delay):
                await self._nudge.wait()
        except TimeoutError:
            return
        self._nudge.clear()

    # Sending

    def _channel(self, watch_id: str) -> Channel:
        channel = self._channels.get(watch_id)
        if channel is None:
            channel = self._channels[watch_id] = Channel(watch_id, self._concurrency)
            self._adjust(channel)
        return channel

    def _adjust(self, channel: Channel) -> None:
        """Send at the watch's rate, and with the caution that its health asks for."""
        recipient = self._recipients.recipient(channel.watch_id)
        rate = None if recipient is None or recipient.rate is None else recipient.rate / self._processes
        channel.slots = 1 if breaker.is_failing(channel.health) else self._concurrency
        channel.pace = paces.changed(channel.pace, rate)
        if channel.turn is not None:
            channel.turn.cancel()
            channel.turn = None

    def _may_send(self, channel: Channel) -> bool:
        return channel.hold_until <= self._now() < self._lease.until and is_active(
            self._recipients.recipient(channel.watch_id)
        )

    def _pump(self, channel: Channel) -> None:
        """Begin what may begin now."""
        if self._group is None or self._stopping:
            return
        while channel.waiting and channel.running < channel.slots and channel.unsettled <= self._most_unsettled:
            recipient = self._recipients.recipient(channel.watch_id)
            if recipient is None or not self._may_send(channel):
                self._lay_down(channel)
                return
            if channel.pace is not None and not self._takes_turn(channel, channel.pace):
                return
            self._begin(channel, channel.waiting.popleft(), recipient)

    def _begin(self, channel: Channel, job: Job, recipient: Recipient) -> None:
        channel.running += 1
        self._open += 1
        ended = functools.partial(self._called, self._ended, channel, recipient.watch)

        def patiently() -> None:
            self._spawn(self._attempt(job, recipient, ended))

        if not self._sender.begin(job, recipient, ended, patiently):
            patiently()

    async def _attempt(self, job: Job, recipient: Recipient, ended: Callable[[Settlement, Verdict], None]) -> None:
        ended(*await self._sender.attempt(job, recipient))

    def _ended(self, channel: Channel, watch: Watch, settlement: Settlement, verdict: Verdict) -> None:
        """An attempt is over: settle it, and let the channel's next one begin."""
        if self._is_cut_off:
            return
        channel.running -= 1
        channel.unsettled += 1
        channel.is_proven = settlement.status is DeliveryStatus.SUCCEEDED
        if verdict.hold_until is not None and verdict.hold_until > channel.hold_until and self._is_at(watch):
            channel.hold_until = verdict.hold_until
            self._lay_down(channel)
        is_news = self._count(channel, settlement, watch) or settlement.status is DeliveryStatus.FAILED
        self._store.post(self._settle_batch, Ended(channel, settlement, verdict, watch, is_news), self._not_settled)
        self._pump(channel)

    def _called(self, function: Callable[..., None], *values: object) -> None:
        """What the event loop or a connection calls: they would only log an error of ours, and go on without us."""
        try:
            function(*values)
        except Exception as error:  # noqa: BLE001  whatever it is, the process ends with it
            self._spawn(_end_with(error))

    def _takes_turn(self, channel: Channel, pace: Pace) -> bool:
        """Whether the next attempt may begin now; if not, the channel is pumped when it may."""
        if channel.turn is not None:
            return False
        if wait := pace.wait(self._now()):
            channel.turn = asyncio.get_running_loop().call_later(wait / 1000, self._called, self._next_turn, channel)
            return False
        if channel.backlog and len(channel.waiting) <= pace.ahead // 2 + 1:
            self._ask(channel)
        return True

    def _next_turn(self, channel: Channel) -> None:
        channel.turn = None
        self._pump(channel)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        if self._group is None:
            work.close()
            return
        task = self._group.create_task(work)
        self._active.add(task)
        task.add_done_callback(self._active.discard)

    def _refill(self, channel: Channel) -> None:
        if channel.backlog and channel.held <= self._buffer // 2:
            self._ask(channel)

    def _count(self, channel: Channel, settlement: Settlement, watch: Watch) -> bool:
        """Take note of how an attempt went; whether the table must hear of it."""
        reason, at, before = settlement.reason, settlement.attempt.started, channel.health
        if reason is None and not before.failures:
            if at - channel.noted < breaker.NOTED_EVERY:
                return False
            channel.noted = at
            return True
        if not breaker.counts(reason) or not self._is_at(watch):
            return False
        channel.health = breaker.after(before, reason, at)
        if breaker.is_failing(before) is not breaker.is_failing(channel.health):
            self._adjust(channel)
            self._lay_down(channel)
            self.wake(channel.watch_id, self._now())
        return True

    def _not_settled(self, ended: Ended, error: Exception) -> None:
        """An outcome could not be written: try until it can, but end the process if that is our own fault."""
        patient = isinstance(error, errors.Unavailable)
        self._spawn(self._settle_patiently(ended) if patient else _end_with(error))

    async def _settle_patiently(self, ended: Ended) -> None:
        """Make an outcome durable, however long the database cannot write."""
        if not await self._insist(self._settle_batch, ended, f"settle delivery {ended.settlement.job.id}"):
            self._over(ended)

    def _over(self, ended: Ended) -> None:
        """Nothing is left to do for an attempt."""
        ended.channel.unsettled -= 1
        self._jobs -= ended.settlement.job.weight
        self._open -= 1
        if self._changed is not None and not self._changed.done():
            self._changed.set_result(None)

    async def _insist(
        self, batch: Callable[[Transaction, Sequence[Item]], Awaitable[Sequence[None]]], item: Item, what: str
    ) -> bool:
        """Write until it is written; False when the service stops before the database takes it."""
        pause = FIRST_PAUSE
        while True:
            try:
                await self._store.submit(batch, item)
                return True
            except errors.Unavailable as error:
                if self._stopping:
                    log.warning("could not %s before the stop; the next start takes it over", what)
                    return False
                log.warning("cannot %s: %s", what, error.detail)
                await asyncio.sleep(pause)
                pause = min(pause * 2, LONGEST_PAUSE)

    async def _settle_batch(self, transaction: Transaction, items: Sequence[Ended]) -> list[None]:
        now = self._now()
        news = [item for item in items if item.is_news]
        ending = await self._check_up(transaction, news, now) if news else {}
        for item in items:
            if item.verdict.hold_until is not None and self._is_at(item.watch):  # its pause lasts across a restart
                await watches.hold(transaction, item.watch.id, item.channel.hold_until)
                transaction.after_commit(lambda: self._store.tell(store.WATCHES))
        settlements = [item.settlement for item in items]
        mine = {item.watch.id for item in items if item.watch.id not in ending and self._may_go_on(item.channel)}
        onward = await deliveries.settle(transaction, settlements, mine, self.worker_id, now)
        for item in news:
            if _is_given_up(item.settlement):
                await self._recipients.tell(transaction, item.watch.id, Event.EXHAUSTED, item.settlement.job.id)
        transaction.after_commit(lambda: self._after_settling(items, onward.jobs()))
        return [None] * len(items)

    async def _check_up(self, transaction: Transaction, news: Sequence[Ended], now: int) -> dict[str, StatusReason]:
        """Write the health of watches down, and disable those that it is the end of, before their lanes go on."""
        there = [item for item in news if breaker.counts(item.settlement.reason) and self._is_at(item.watch)]
        if not there:
            return {}
        findings = await checkup.note(transaction, [item.settlement for item in there], now)
        for watch_id, event in findings.news:
            await self._recipients.tell(transaction, watch_id, event)
            transaction.after_commit(lambda: self._store.tell(store.EVERYTHING))  # others spare it now, or do no more
        ending = dict.fromkeys(findings.hopeless, StatusReason.FAILING)
        ending |= {item.watch.id: StatusReason.GONE for item in there if item.verdict.gone}
        for watch_id, reason in ending.items():
            await self._recipients.disable(transaction, watch_id, reason)
        return ending

    def _is_at(self, watch: Watch) -> bool:
        """Whether the watch is still where this attempt found it: what an old address asks for is not the new one's."""
        recipient = self._recipients.recipient(watch.id)
        return recipient is not None and recipient.watch.address == watch.address

    def _may_go_on(self, channel: Channel) -> bool:
        """Whether the next of a lane may be leased to us at once."""
        return not self._stopping and self._may_send(channel)

    def _after_settling(self, items: Sequence[Ended], onward: Sequence[Job]) -> None:
        self.offer(onward)
        handed, now = {job.watch_id for job in onward}, self._now()
        for item in items:
            self._over(item)
            channel, settlement = item.channel, item.settlement
            if settlement.due is not None:
                self.wake(channel.watch_id, settlement.due)
            elif channel.hold_until > now and settlement.job.lane is not None and channel.watch_id not in handed:
                self.wake(channel.watch_id, channel.hold_until)
        for channel in {item.channel.watch_id: item.channel for item in items}.values():
            self._pump(channel)
            self._refill(channel)

    def _lay_down(self, channel: Channel) -> None:
        """Give the channel's waiting jobs back to the table; a timer or an enabled watch takes them up again."""
        jobs = list(channel.waiting)
        channel.waiting.clear()
        channel.backlog = False
        self._jobs -= _weight(jobs)
        if jobs:
            self._spawn(self._give_back(jobs))
        if channel.hold_until > self._now():
            self.wake(channel.watch_id, channel.hold_until)

    async def _give_back(self, jobs: Sequence[Job]) -> None:
        if await self._insist(self._release_batch, [job.id for job in jobs], "give deliveries back"):
            for job in jobs:
                if is_active(self._recipients.recipient(job.watch_id)):
                    self.wake(job.watch_id, self._now())

    async def _release_batch(self, transaction: Transaction, items: Sequence[list[str]]) -> list[None]:
        await deliveries.release(transaction, self.worker_id, [id_ for item in items for id_ in item])
        return [None] * len(items)


async def _end_with(error: Exception) -> None:
    """As a task of the dispatcher's group: the process ends, and whoever starts it again loses nothing."""
    raise error


def _weight(jobs: Iterable[Job]) -> int:
    return sum([job.weight for job in jobs])


def _is_given_up(settlement: Settlement) -> bool:
    """Whether others are told: not of what somebody asked for by hand and can see, nor of what told of others itself."""
    job = settlement.job
    return settlement.status is DeliveryStatus.FAILED and not job.single and job.change.type != WATCH
