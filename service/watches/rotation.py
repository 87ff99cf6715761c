"""Rotating a crypto key: its successor takes its place in every watch that names it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from service.delivery.keyring import KeyRing
from service.model import CryptoKey
from service.store import store as stores
from service.store import watches
from service.store.driver import Transaction
from service.store.store import Store
from service.watches.registry import Registry


@dataclass(frozen=True, slots=True)
class Rotated:
    """What came of it."""

    former: CryptoKey
    successor: CryptoKey | None  # None: the overlap was ended, and nothing else


async def rotate(store: Store, keyring: KeyRing, registry: Registry, tenant: str, key_id: str, overlap: int) -> Rotated:
    """Make a successor of a key, beside which it signs for ``overlap`` seconds; durable when this returns.

    A key that was rotated already takes an overlap of 0 only: it then signs no more.

    Raises:
        NotFound: the tenant has no such key.
        Conflict: it was rotated already, or too many keys of its line still sign.
    """

    async def action(transaction: Transaction) -> Rotated:
        await keyring.refresh(transaction)
        key = keyring.get(tenant, key_id)
        if key is not None and key.expires is not None and overlap == 0:
            return Rotated(await keyring.end_overlap(transaction, tenant, key_id), None)
        former, successor = await keyring.succeed(transaction, tenant, key_id, overlap)
        revision, named = await watches.rename_key(transaction, key_id, successor.id, successor.created)
        transaction.after_commit(lambda: _rename(registry, named, key_id, successor, revision))
        transaction.after_commit(lambda: store.tell(stores.WATCHES))
        return Rotated(former, successor)

    return await store.write(action)


def _rename(registry: Registry, watch_ids: Iterable[str], former: str, successor: CryptoKey, revision: int) -> None:
    """The same in memory. Nothing else of a watch changes, so that what is compiled of it stays."""
    for watch_id in watch_ids:
        prepared = registry.get(watch_id)
        if prepared is not None:
            signature = prepared.watch.signature
            named = tuple(successor.id if id_ == former else id_ for id_ in signature.crypto_key_ids)
            signature = replace(signature, crypto_key_ids=named)
            watch = replace(prepared.watch, signature=signature, updated=successor.created, revision=revision)
            registry.adopt(replace(prepared, watch=watch))
