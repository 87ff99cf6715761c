"""The crypto keys of all tenants: unsealed once, looked up at each attempt, so that a change holds at once.

**Rotation.** A key that is rotated is followed by its *successor*: from that moment on watches name the successor, and
until its ``expires`` the old key signs beside it, so that a receiver has time to change. Nothing has to happen when
that time comes: which keys sign is a question of the clock. A successor may be rotated in turn while the overlap of
its predecessor runs; then all of them sign, the newest first.

What is held here is the database's state, as of a revision: ``refresh`` brings it up to date with what other
processes did. When a key was used last is noted in the table now and then, and never more than once an hour.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial
from math import inf

from service import clock, errors, ids
from service.delivery import material, sign
from service.delivery.lines import Lines
from service.delivery.material import Material, Public
from service.delivery.sign import Signing
from service.model import Algorithm, CryptoKey, Signature
from service.store import cryptokeys, watches
from service.store.cryptokeys import CryptoKeyRow
from service.store.driver import Reader, Transaction
from service.store.store import Store
from service.vault import Vault

DEFAULT_OVERLAP = 86_400  # seconds
LONGEST_OVERLAP = 30 * 86_400
MOST_OVERLAPPING = 5  # keys that sign beside their successor at once: each makes every callback larger
NOTED_EVERY = 60.0  # seconds between looks at which keys were used
NOTED_FOR = 3_600_000  # ms; a use is noted again after that

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Shown:
    """A key, its public half, and what is to be said of its use."""

    key: CryptoKey
    public: Public | None
    watches: int  # that it signs for
    last_used: int | None  # ms, to the hour


class KeyRing:
    """Making, finding, rotating and deleting crypto keys. ``refresh`` it before use."""

    def __init__(self, store: Store, vault: Vault, *, now: Callable[[], int] = clock.now_ms) -> None:
        self._store = store
        self._vault = vault
        self._now = now
        self._lines = Lines()
        self._revision = -1  # of the last change of a key that is known here
        self._public: dict[str, Public] = {}
        self._signing: dict[Signature, Signing] = {}
        self._used: dict[str, int] = {}  # when keys signed last, in ms
        self._noted: dict[str, int] = {}  # and what is noted of it

    # What is known

    async def refresh(self, reader: Reader | None = None) -> None:
        """Learn what any process has committed. Inside a transaction: before it has written anything itself."""
        reader, since = reader or self._store, self._revision
        count, revision = await cryptokeys.state(reader)
        if revision > since:
            for row in await cryptokeys.changed(reader, since):
                self._put(self._open(row), row.revision)
                self._noted[row.id] = max(self._noted.get(row.id, 0), row.last_used or 0)
            self._revision = max(self._revision, revision)
        if count != len(self._lines):
            for key_id in self._lines.absent(await cryptokeys.ids(reader), since):
                self._drop(key_id)

    def get(self, tenant: str, key_id: str) -> CryptoKey | None:
        """A tenant's key, or None."""
        return self._lines.of_tenant(tenant).get(key_id)

    def of_tenant(self, tenant: str) -> Mapping[str, CryptoKey]:
        """A tenant's keys by their ids."""
        return self._lines.of_tenant(tenant)

    def published(self, tenant: str) -> list[tuple[CryptoKey, Public]]:
        """A tenant's keys that have a public half and may sign, the newest first."""
        now = self._now()
        live = [key for key in self._lines.of_tenant(tenant).values() if key.expires is None or key.expires > now]
        live.sort(key=lambda key: key.id, reverse=True)
        return [(key, public) for key in live if (public := self._public_of(key)) is not None]

    async def page(self, tenant: str, after: str, limit: int) -> list[Shown]:
        """The next ``limit`` keys of a tenant in the order of ids."""
        return [await self._shown(row) for row in await cryptokeys.page(self._store, tenant, after, limit)]

    async def show(self, tenant: str, key_id: str) -> Shown:
        """One key of a tenant. Raises NotFound."""
        row = await cryptokeys.one(self._store, tenant, key_id)
        if row is None:
            raise errors.NotFound(f"there is no crypto key {key_id}")
        return await self._shown(row)

    # Signing

    def signing(self, signature: Signature, now: int) -> Signing:
        """The keys with which a watch is signed at a time, ready to sign."""
        found = self._signing.get(signature)
        return found if found is not None and now < found.until else self._prepare(signature, now)

    async def note_uses(self) -> None:
        """Write down which keys signed lately, where that is news."""
        self._gather_uses()
        stale = self._now() - NOTED_FOR
        news = {id_: at for id_, at in self._used.items() if self._noted.get(id_, 0) < stale}
        if news:
            await self._store.write(lambda transaction: cryptokeys.used(transaction, news, stale))
            self._noted.update(news)

    @asynccontextmanager
    async def noting(self, group: asyncio.TaskGroup) -> AsyncIterator[None]:
        """Note uses now and then, and at the end of the block."""

        async def every(seconds: float) -> None:
            while True:
                await asyncio.sleep(seconds)
                await self._try_to_note()

        task = group.create_task(every(NOTED_EVERY), name="key uses")
        try:
            yield
        finally:
            task.cancel()
            await asyncio.wait((task,))
            await self._try_to_note()

    async def _try_to_note(self) -> None:
        try:
            await self.note_uses()
        except errors.Unavailable as error:
            log.warning("cannot note which crypto keys were used: %s", error.detail)

    # Changes, each in a transaction

    async def make(self, tenant: str, name: str | None, made: Material) -> CryptoKey:
        """A new key, generated or imported."""
        return await self._store.write(lambda transaction: self.add(transaction, tenant, name, made))

    async def add(
        self,
        transaction: Transaction,
        tenant: str,
        name: str | None,
        made: Material | None = None,
        now: int | None = None,
    ) -> CryptoKey:
        """A new key, as a part of a larger transaction; a random HMAC key by default."""
        made = made or material.generate(Algorithm.HMAC_SHA256)
        now = self._now() if now is None else now
        key = CryptoKey(ids.new("key", now), tenant, name, made.algorithm, made.secret, now)
        row = CryptoKeyRow(key.id, tenant, name, made.algorithm, self._vault.seal(made.secret), now)
        revision = await cryptokeys.add(transaction, row)
        transaction.after_commit(lambda: self._put(key, revision))
        return key

    async def succeed(
        self, transaction: Transaction, tenant: str, key_id: str, overlap: int
    ) -> tuple[CryptoKey, CryptoKey]:
        """Rotate a key, which then signs beside its successor for ``overlap`` seconds; itself and the successor.

        Raises:
            NotFound: the tenant has no such key.
            Conflict: it was rotated already, or too many keys of its line still sign.
        """
        key, now = self._known(tenant, key_id), self._now()
        if key.expires is not None:
            raise errors.Conflict(
                f"crypto key {key_id} was rotated already: rotate its successor {key.successor}, "
                'or end the overlap with {"overlap": 0}'
            )
        if overlap and len(self._lines.signing(key_id, now)) > MOST_OVERLAPPING:
            raise errors.Conflict(
                f"{MOST_OVERLAPPING} keys before {key_id} still sign beside it: end the overlap of one first, "
                'by rotating it with {"overlap": 0}'
            )
        successor = await self.add(transaction, tenant, key.name, material.generate(key.algorithm), now)
        return await self._retire(transaction, key, successor.id, now + overlap * 1000), successor

    async def end_overlap(self, transaction: Transaction, tenant: str, key_id: str) -> CryptoKey:
        """Let a key that was rotated sign no more from now on. Raises NotFound."""
        key, now = self._known(tenant, key_id), self._now()
        return key if (key.expires or 0) <= now else await self._retire(transaction, key, key.successor, now)

    async def delete(self, tenant: str, key_id: str) -> None:
        """Delete a key with which no watch is signed.

        Raises:
            NotFound: the tenant has no such key.
            Conflict: a watch names it, or it still signs beside its successor.
        """

        async def action(transaction: Transaction) -> None:
            await self.refresh(transaction)
            key = self._known(tenant, key_id)
            users = await watches.users_of_key(transaction, key_id)
            if users:
                raise errors.Conflict(
                    f"crypto key {key_id} is named by watch {', '.join(users)}: "
                    "take it out of signature.cryptoKeyIds first"
                )
            if self._overlaps(key) and await watches.users_of_key(transaction, self._lines.head(key).id):
                raise errors.Conflict(
                    f"crypto key {key_id} signs beside its successor {key.successor} until "
                    f'{clock.rfc3339(key.expires or 0)}: to end that now, rotate it with {{"overlap": 0}}'
                )
            revision = await cryptokeys.remove(transaction, key_id, key.successor)
            transaction.after_commit(lambda: self._drop(key_id))
            for former in self._lines.former(key_id):
                transaction.after_commit(partial(self._put, replace(former, successor=key.successor), revision))

        await self._store.write(action)

    async def _retire(self, transaction: Transaction, key: CryptoKey, successor: str | None, expires: int) -> CryptoKey:
        retired = replace(key, successor=successor, expires=expires)
        revision = await cryptokeys.retire(transaction, key.id, successor, expires)
        transaction.after_commit(lambda: self._put(retired, revision))
        return retired

    def _known(self, tenant: str, key_id: str) -> CryptoKey:
        key = self.get(tenant, key_id)
        if key is None:
            raise errors.NotFound(f"there is no crypto key {key_id}")
        return key

    def _overlaps(self, key: CryptoKey) -> bool:
        return (key.expires or 0) > self._now()

    # In memory

    def _prepare(self, signature: Signature, now: int) -> Signing:
        if (former := self._signing.get(signature)) is not None:
            self._gather_use(former)
        named = signature.crypto_key_ids if signature.enabled else ()
        unknown = [head for head in named if head not in self._lines]
        if unknown:  # not made ready for good: they come with the next refresh
            return sign.refusing(f"crypto key {', '.join(unknown)} is not known to this process yet")
        keys = [key for head in named for key in self._lines.signing(head, now)]
        until = min((key.expires for key in keys if key.expires is not None), default=inf)
        made = self._signing[signature] = sign.signing(keys, signature.scheme, until)
        return made

    def _put(self, key: CryptoKey, revision: int) -> None:
        if key.id in self._lines:  # a new one is in nobody's signature yet
            self._forget_signing()
        self._lines.put(key, revision)

    def _drop(self, key_id: str) -> None:
        self._forget_signing()
        self._lines.drop(key_id)
        for known in (self._public, self._used, self._noted):
            known.pop(key_id, None)

    def _forget_signing(self) -> None:
        self._gather_uses()
        self._signing.clear()

    def _gather_uses(self) -> None:
        for signing in self._signing.values():
            self._gather_use(signing)

    def _gather_use(self, signing: Signing) -> None:
        for key in signing.keys if signing.used else ():
            self._used[key.id] = max(self._used.get(key.id, 0), signing.used)

    def _open(self, row: CryptoKeyRow) -> CryptoKey:
        held = self._lines.get(row.id)
        secret = self._vault.open(row.sealed) if held is None else held.secret
        return CryptoKey(row.id, row.tenant, row.name, row.algorithm, secret, row.created, row.successor, row.expires)

    def _public_of(self, key: CryptoKey) -> Public | None:
        found = self._public.get(key.id) or material.public(key)
        if found is not None and key.id in self._lines:
            self._public[key.id] = found
        return found

    async def _shown(self, row: CryptoKeyRow) -> Shown:
        """All from the store: it may be what a transaction is about to commit, of which nothing is known here yet."""
        key, head = self._open(row), row
        while self._overlaps(key) and head.successor is not None:
            head = await cryptokeys.one(self._store, key.tenant, head.successor) or replace(head, successor=None)
        return Shown(key, self._public_of(key), head.watches, row.last_used)
