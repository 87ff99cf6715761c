"""Keeping the watches: registered, changed, disabled and removed in the store and in memory alike.

Every write goes alone, in a transaction of its own, and reaches the registry after its commit and before any
other write begins: a change is told to exactly the watches that were answered 201 before it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from service import clock, errors, ids, jsontext
from service.delivery import material
from service.delivery.fanout import FanOut
from service.delivery.keyring import KeyRing
from service.errors import FieldError
from service.model import CryptoKey, Event, Health, Json, OAuth2, StatusReason, Watch, WatchStatus
from service.store import deliveries, health, replicas, store, verifications, watches
from service.store.driver import Reader, Transaction
from service.store.store import Store
from service.store.watches import WatchRow
from service.vault import Vault
from service.watches import registration, spec, verification
from service.watches.notices import SUBJECT, Notices, facts
from service.watches.registration import Registration, TypeInfo, World
from service.watches.registry import Prepared, Registry

log = logging.getLogger(__name__)

Check = Callable[[int], None]  # judges the revision that is there, and may raise

WHY = {  # the service itself disables a watch
    StatusReason.GONE: "its receiver answered 410",
    StatusReason.FAILING: "nothing but failures for days",
}


class Listener(Protocol):
    """Who must know when a watch has changed: the dispatcher."""

    def watch_changed(self, watch_id: str, *, moved: bool = False, forgiven: bool = False) -> None:
        """A watch was made, changed or deleted; ``moved``: it has another address; ``forgiven``: no failure counts."""
        ...

    def watch_held(self, watch_id: str, until: int) -> None:
        """Its receiver has asked for a pause, until then."""
        ...


@dataclass(frozen=True, slots=True)
class Registered:
    """What a registration came to."""

    watch: Watch
    warnings: tuple[FieldError, ...]
    signing_secret: str | None = field(
        default=None, repr=False
    )  # of the key that was made for it, to be shown this once


class Registrar:
    """The one place where watches are written. ``load`` it before use."""

    def __init__(
        self,
        store: Store,
        registry: Registry,
        vault: Vault,
        keyring: KeyRing,
        types: Mapping[str, TypeInfo],
        blocked: Callable[[str], str | None],
        origin: str | None = None,
    ) -> None:
        self._store = store
        self._registry = registry
        self._vault = vault
        self._keyring = keyring
        self._types = {**types, SUBJECT.name: SUBJECT}
        self._blocked = blocked
        self._origin = origin  # in whose name receivers are asked for their consent
        self._notices = Notices(registry)
        self._listeners: list[Listener] = []
        self._revision = 0  # up to which what others have written is in the registry
        self._revisions: dict[str, int] = {}  # of each watch in it

    async def load(self) -> None:
        """Compile what is stored."""
        revision, _ = await replicas.revisions(self._store)
        rows = await watches.everyone(self._store)
        await self._keyring.refresh()  # after the watches: every key that they name
        for row in rows:
            self._registry.adopt(Prepared.of(self._open(row)))
            self._revisions[row.id] = row.revision
        self._revision = revision

    async def refresh(self, reader: Reader) -> None:
        """Take in what other processes have written of watches, and of the keys that they name."""
        newest, _ = await replicas.revisions(reader)
        rows = await watches.since(reader, self._revision)
        await self._keyring.refresh(reader)  # after the watches: every key that they name
        for row in rows:
            if row.is_deleted:
                self._forget(row.id, row.revision)
                continue
            self._adopt(Prepared.of(self._open(row)), row.revision)
            for listener in self._listeners:
                listener.watch_held(row.id, row.hold_until)
        self._revision = max(self._revision, newest)

    @property
    def revision(self) -> int:
        """Of all watches and keys, up to which what others have written is in memory."""
        return self._revision

    def listen(self, fan_out: FanOut, *listeners: Listener) -> None:
        """Tell these of every change, and other watches through the fan-out."""
        self._listeners += listeners
        self._notices.send_by(fan_out)

    # What owners ask for

    async def check(
        self, tenant: str, body: Json, object_type: str | None = None, reader: Reader | None = None
    ) -> Registration:
        """A registration as it would be, without storing anything; raises Invalid as ``register`` does."""
        world = await self._world(reader or self._store, tenant)
        return registration.parse(body, world, tenant=tenant, watch_id=ids.new("wch"), object_type=object_type)

    async def register(self, tenant: str, body: Json, object_type: str | None = None) -> Registered:
        """A new watch; durable, and told of every later change, when this returns. Raises Invalid."""

        async def action(transaction: Transaction) -> Registered:
            # Judged in here, where nobody else can delete the keys that it names.
            return await self._save(transaction, await self.check(tenant, body, object_type, transaction))

        return await self._store.write(action)

    async def replace(self, tenant: str, watch_id: str, body: Json, check: Check) -> Registered:
        """A PUT. Raises NotFound, Invalid, and what ``check`` raises of the revision that is there."""
        return await self._change(tenant, watch_id, body, check, registration.replace)

    async def merge(self, tenant: str, watch_id: str, body: Json, check: Check) -> Registered:
        """A PATCH. Raises NotFound, Invalid, and what ``check`` raises of the revision that is there."""
        return await self._change(tenant, watch_id, body, check, registration.merge)

    async def remove(self, tenant: str, watch_id: str, check: Check) -> None:
        """Delete a watch and cancel what it has pending. Raises NotFound, and what ``check`` raises."""

        async def action(transaction: Transaction) -> None:
            check((await self._current(transaction, tenant, watch_id)).revision)
            now = clock.now_ms()
            await deliveries.cancel(transaction, watch_id, now)
            await health.forget(transaction, watch_id)
            revision = await watches.remove(transaction, watch_id, now)
            transaction.after_commit(lambda: self._forget(watch_id, revision))

        await self._store.write(action)

    async def get(self, tenant: str, watch_id: str) -> Watch:
        """One watch. Raises NotFound."""
        return await self._current(self._store, tenant, watch_id)

    async def health(self, watch_ids: Collection[str]) -> Mapping[str, Health]:
        """How their receivers do; those that were never attempted are not in it."""
        return await health.of(self._store, watch_ids)

    async def page(self, tenant: str, after: str, limit: int) -> list[Watch]:
        """The next ``limit`` watches in the order of ids; ``after`` is "" at first."""
        return [self._open(row) for row in await watches.page(self._store, tenant, after, limit)]

    # What the service does by itself

    def recipient(self, watch_id: str) -> Prepared | None:
        """A watch, ready to be told; None once it is deleted."""
        return self._registry.get(watch_id)

    async def stored(self, reader: Reader, watch_id: str) -> Watch | None:
        """A watch as the database has it; None once it is deleted."""
        row = await watches.anyones(reader, watch_id)
        return None if row is None else self._open(row)

    def verified_for_others(self, origin: str | None) -> list[Watch]:
        """Enabled ones whose receivers were asked in another name than ``origin``; none while that is unknown."""
        enabled = (one.watch for one in self._registry.everyone() if one.watch.status is WatchStatus.ENABLED)
        states = ((watch, watch.verification_state) for watch in enabled)
        return [watch for watch, state in states if state is not None and origin not in {state.origin, None}]

    async def disable(self, transaction: Transaction, watch_id: str, reason: StatusReason) -> None:
        """Stop telling a watch; what it has pending is held. Nothing happens to one that is deleted or disabled.

        A part of a larger transaction: a change that is taken in with it may still be queued, and is held too.
        """
        watch = await self.stored(transaction, watch_id)
        if watch is not None and watch.status is WatchStatus.ENABLED:
            disabled = replace(watch, status=WatchStatus.DISABLED, status_reason=reason, updated=clock.now_ms())
            await self._store_watch(transaction, disabled)
            transaction.after_commit(lambda: self._store.tell(store.WATCHES))
            transaction.after_commit(lambda: log.warning("watch %s is disabled: %s", watch_id, WHY[reason]))

    async def tell(self, transaction: Transaction, watch_id: str, event: Event, delivery_id: str | None = None) -> None:
        """Let the watches that hear of other watches hear this; a part of the transaction that makes it so."""
        known = self._registry.get(watch_id)
        if known is not None and self._notices.audience(known.watch, event):
            watch = await self.stored(transaction, watch_id)
            if watch is not None:
                await self._notices.tell(transaction, watch, event, delivery_id)

    async def credentials(self, watch_id: str) -> OAuth2 | None:
        """How a watch is authorized, as it is stored now."""
        watch = await self.stored(self._store, watch_id)
        return None if watch is None else watch.oauth2

    async def keep_refresh_token(self, watch_id: str, refresh_token: str, former: Collection[str]) -> None:
        """Store a rotated refresh token in the place of a former one; durable when this returns.

        Where the owner has given the watch another one meanwhile, that one stays.
        """

        def renewed(watch: Watch) -> Watch | None:
            oauth2 = watch.oauth2
            if oauth2 is None or oauth2.refresh_token not in former:
                return None
            return replace(watch, oauth2=replace(oauth2, refresh_token=refresh_token))

        await self._store.write(lambda transaction: self.alter(transaction, watch_id, renewed))

    async def lose_authorization(self, watch_id: str, former: Collection[str]) -> None:
        """The token endpoint takes none of the ``former`` refresh tokens any more: deliveries wait for the owner.

        Where the watch has another one meanwhile, that one is what the next attempt begins with.
        """

        def waiting(watch: Watch) -> Watch:
            if watch.status is WatchStatus.DISABLED or watch.oauth2 is None or watch.oauth2.refresh_token not in former:
                return watch
            log.warning("watch %s: its refresh token is not taken any more; its deliveries wait", watch_id)
            return replace(watch, status_reason=StatusReason.AUTHORIZATION, updated=clock.now_ms())

        await self._store.write(lambda transaction: self.alter(transaction, watch_id, waiting))

    async def authorize(self, tenant: str, watch_id: str, settings: OAuth2, refresh_token: str) -> Watch:
        """Give a watch the refresh token that its owner has consented to; what waited for it goes out.

        Raises:
            Conflict: it was deleted, or its OAuth2 settings are not these any more.
        """

        def authorized(watch: Watch) -> Watch | None:
            if watch.tenant != tenant or watch.oauth2 is None or watch.oauth2.settings != settings:
                return None
            renewed = replace(watch, oauth2=replace(settings, refresh_token=refresh_token), updated=clock.now_ms())
            waited = watch.status_reason is StatusReason.AUTHORIZATION
            return replace(renewed, status_reason=verification.reason(watch, unauthorized=False)) if waited else renewed

        stored = await self._store.write(lambda transaction: self.alter(transaction, watch_id, authorized))
        if stored is None:
            raise errors.Conflict(f"watch {watch_id} was changed meanwhile, so its authorization was not stored")
        return stored

    # Inside the transactions

    async def alter(
        self, transaction: Transaction, watch_id: str, change: Callable[[Watch], Watch | None]
    ) -> Watch | None:
        """Make something else of a watch as it is stored now; None: it is deleted, or ``change`` does not want to."""
        watch = await self.stored(transaction, watch_id)
        altered = None if watch is None else change(watch)
        return None if altered is None else await self._store_watch(transaction, altered)

    async def _change(
        self, tenant: str, watch_id: str, body: Json, check: Check, judge: Callable[[Watch, Json, World], Registration]
    ) -> Registered:
        async def action(transaction: Transaction) -> Registered:
            current = await self._current(transaction, tenant, watch_id)
            check(current.revision)
            return await self._save(transaction, judge(current, body, await self._world(transaction, tenant)))

        return await self._store.write(action)

    async def _save(self, transaction: Transaction, asked: Registration) -> Registered:
        watch, secret = asked.watch, None
        if asked.make_key:
            key: CryptoKey = await self._keyring.add(transaction, watch.tenant, watch.name)
            watch = replace(watch, signature=replace(watch.signature, crypto_key_ids=(key.id,)))
            secret = material.encode_secret(key.secret)
        watch = await self._store_watch(transaction, watch)
        if asked.verify:
            await verifications.ask(transaction, watch.id, clock.now_ms(), anew=True)
        return Registered(watch, asked.warnings, secret)

    async def _store_watch(self, transaction: Transaction, watch: Watch) -> Watch:
        prepared = Prepared.of(watch)
        public, secrets = spec.to_record(watch)
        sealed = self._vault.seal(jsontext.dumps(dict(secrets))) if secrets else None
        row = WatchRow(watch.id, watch.tenant, public, sealed)
        revision = await watches.save(transaction, row, watch.signature.crypto_key_ids)
        former = self._registry.get(watch.id)
        if _is_forgiven(former, watch):
            await health.forgive(transaction, watch.id)
        if verification.is_due(watch):
            await verifications.ask(transaction, watch.id, clock.now_ms(), anew=False)
        for event in facts(None if former is None else former.watch, watch):
            await self._notices.tell(transaction, watch, event)
        transaction.after_commit(lambda: self._adopt(prepared, revision))
        return replace(watch, revision=revision)

    async def _current(self, reader: Reader, tenant: str, watch_id: str) -> Watch:
        row = await watches.one(reader, tenant, watch_id)
        if row is None:
            raise errors.NotFound(f"there is no watch {watch_id}")
        return self._open(row)

    def _adopt(self, prepared: Prepared, revision: int) -> None:
        if revision < self._revisions.get(prepared.watch.id, 0):  # another process was faster, and we have its version
            return
        self._revisions[prepared.watch.id] = revision
        former = self._registry.get(prepared.watch.id)
        if former is not None and replace(former.watch, revision=0) == replace(prepared.watch, revision=0):
            return
        self._registry.adopt(prepared)
        moved = former is not None and former.watch.address != prepared.watch.address
        self._tell(prepared.watch.id, moved=moved, forgiven=_is_forgiven(former, prepared.watch))

    def _forget(self, watch_id: str, revision: int) -> None:
        self._revisions[watch_id] = revision
        self._registry.remove(watch_id)
        self._tell(watch_id)

    def _tell(self, watch_id: str, *, moved: bool = False, forgiven: bool = False) -> None:
        for listener in self._listeners:
            listener.watch_changed(watch_id, moved=moved, forgiven=forgiven)

    def _open(self, row: WatchRow) -> Watch:
        opened: Any = jsontext.loads(self._vault.open(row.sealed)) if row.sealed else {}
        return replace(spec.from_record(row.id, row.tenant, row.spec, opened), revision=row.revision)

    async def _world(self, reader: Reader, tenant: str) -> World:
        await self._keyring.refresh(reader)
        return World(clock.now_ms(), self._types, self._keyring.of_tenant(tenant), self._blocked, self._origin)


def _is_forgiven(former: Prepared | None, watch: Watch) -> bool:
    """Whether the failures so far say nothing any more: it goes elsewhere now, or its owner has enabled it again."""
    if former is None:
        return False
    enabled = former.watch.status is WatchStatus.DISABLED and watch.status is WatchStatus.ENABLED
    return enabled or former.watch.address != watch.address
