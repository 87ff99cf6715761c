"""From a change to its deliveries, however many watches hear of it.

A few are written with the change, in its own transaction. For many, that transaction notes who hears of it, an
*audience* in portions, and a cursor; the deliveries are made afterwards, a portion in each transaction, so that no
other write waits for more than one of them. The cursor moves in the transaction that writes the portion's
deliveries: whenever the process is killed, the next one goes on exactly there, and of two processes that tell the
same portion the second finds the cursor moved.

Who hears of a change is settled when it is committed. A watch that is made later is not in the audience; one that is
disabled meanwhile gets its delivery, which is held like any other; one that is deleted meanwhile gets none.

Order. While a change of a resource is being told, every later change of that resource goes the same way, however few
hear of it, and the changes of a resource are told one after another. Tenants take turns, portion by portion.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Collection, Sequence

from service import clock, errors
from service.delivery import outbox
from service.delivery.recipient import Recipient, Recipients
from service.model import Change
from service.store import fanouts, store
from service.store.driver import Transaction
from service.store.fanouts import Audience, Resource
from service.store.store import Store

log = logging.getLogger(__name__)

MOST_AT_ONCE = 64  # watches whose deliveries are written with the change itself
PORTION = 100  # deliveries of one transaction, of a change that more watches hear of
KNOWN = 16  # audiences, and changes that are being told, in memory
PAUSE = 1.0  # seconds before another try while the database cannot write

Told = tuple[Change, Sequence[Recipient]]


class FanOut:
    """Tells changes to watches. ``load`` it before use, and ``run`` it in a task group."""

    def __init__(
        self,
        store: Store,
        recipients: Recipients,
        handoff: outbox.Handoff,
        *,
        now: Callable[[], int] = clock.now_ms,
    ) -> None:
        self._store = store
        self._recipients = recipients
        self._handoff = handoff
        self.now = now
        self._open: Counter[Resource] = Counter()  # how many changes of it are being told
        self._tenants: dict[str, None] = {}  # those with something to tell, whose turn is next first
        self._changes: dict[str, Change] = {}  # those whose first portions were told: all deliveries share one
        self._audiences: dict[int, tuple[Sequence[Recipient], Audience]] = {}  # by their list's id
        self._arrived = asyncio.Event()

    async def load(self) -> None:
        """Take up what an earlier process has left, or another one has begun."""
        self._open = Counter(await fanouts.open_(self._store))
        self._tenants.update((tenant, None) for tenant, _, _ in self._open)
        self._arrived.set()

    @property
    def open(self) -> int:
        """How many changes are being told."""
        return self._open.total()

    async def tell(self, transaction: Transaction, told: Sequence[Told], now: int, heavy: Collection[str] = ()) -> None:
        """Write the deliveries of changes, or how they will come to be, in the transaction that writes the changes."""
        being_told: Collection[Resource] = self._open
        if transaction.is_shared:  # others may be telling some
            keys = {(change.tenant, change.type, change.object_id) for change, recipients in told if recipients}
            being_told = await fanouts.among(transaction, keys) if keys else ()
        if being_told or any(len(recipients) > MOST_AT_ONCE for _, recipients in told):
            told = await self._put_off(transaction, told, being_told)
        await outbox.enqueue(transaction, told, self._handoff, now, heavy)

    async def run(self) -> None:
        """Make the deliveries that were put off, for as long as the service runs."""
        while True:
            self._arrived.clear()
            while self._tenants:
                await self._step()
            await self._arrived.wait()

    async def _step(self) -> None:
        """One portion of the tenant whose turn it is."""
        tenant = next(iter(self._tenants))
        del self._tenants[tenant]
        try:
            more = await self._store.submit(self._portions, tenant)
        except errors.Unavailable as error:
            log.warning("cannot write deliveries: %s", error.detail)
            await asyncio.sleep(PAUSE)
            more = True
        if more:
            self._tenants[tenant] = None  # behind the others

    async def _put_off(
        self, transaction: Transaction, told: Sequence[Told], being_told: Collection[Resource]
    ) -> list[Told]:
        """Note what is told later; what is left is told at once."""
        at_once: list[Told] = []
        later: list[tuple[Change, Audience]] = []
        begun: Counter[Resource] = Counter()
        for change, recipients in told:
            resource = (change.tenant, change.type, change.object_id)
            if len(recipients) > MOST_AT_ONCE or (recipients and (resource in being_told or resource in begun)):
                begun[resource] += 1
                later.append((change, self._audience(recipients)))
            else:
                at_once.append((change, recipients))
        if later:
            await fanouts.insert(transaction, later)
            transaction.after_commit(lambda: self._begin(begun))
        return at_once

    def _audience(self, recipients: Sequence[Recipient]) -> Audience:
        """Mostly the one of the change before, for as long as no watch has changed."""
        known = self._audiences.get(id(recipients))
        if known is None or known[0] is not recipients:
            known = recipients, Audience.of([recipient.watch.id for recipient in recipients], PORTION)
            self._audiences[id(recipients)] = known  # which keeps the list, and so its id
            if len(self._audiences) > KNOWN:
                del self._audiences[next(iter(self._audiences))]
        return known[1]

    def _begin(self, begun: Counter[Resource]) -> None:
        self._open += begun
        self._tenants.update((tenant, None) for tenant, _, _ in begun)
        self._arrived.set()
        self._store.tell(store.FAN_OUTS)

    async def _portions(self, transaction: Transaction, tenants: Sequence[str]) -> list[bool]:
        return [await self._portion(transaction, tenant) for tenant in tenants]

    async def _portion(self, transaction: Transaction, tenant: str) -> bool:
        """Write the deliveries of a tenant's next portion; False when there is none."""
        portion = await fanouts.take(transaction, tenant)
        if portion is None:
            return False
        change = self._changes.get(portion.change_id) or await fanouts.change(transaction, portion.change_id)
        recipients = [self._recipients.recipient(watch_id) for watch_id in portion.watch_ids]
        there = [recipient for recipient in recipients if recipient is not None]
        await outbox.enqueue(transaction, [(change, there)], self._handoff, self.now())
        transaction.after_commit(lambda: self._written(portion, change))
        return True

    def _written(self, portion: fanouts.Portion, change: Change) -> None:
        if not portion.is_last:
            self._changes[change.id] = change
            if len(self._changes) > KNOWN:
                del self._changes[next(iter(self._changes))]
            return
        self._changes.pop(change.id, None)
        self._open[portion.resource] -= 1
        if self._open[portion.resource] <= 0:
            del self._open[portion.resource]
