"""The crypto keys, sealed; which of them follows which; and how much each is used."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from service.model import Algorithm
from service.store import sql
from service.store.driver import Reader, Row, Transaction

Q = sql.beside(__file__)


@dataclass(frozen=True, slots=True)
class CryptoKeyRow:
    """A crypto key, its secret sealed."""

    id: str
    tenant: str
    name: str | None
    algorithm: Algorithm
    sealed: str = field(repr=False)
    created: int
    successor: str | None = None
    expires: int | None = None
    last_used: int | None = None  # to the hour
    revision: int = 0
    watches: int = 0  # how many name it; only ``one`` and ``page`` say so


async def add(transaction: Transaction, row: CryptoKeyRow) -> int:
    """Store a new one; its revision."""
    revision = await _next_revision(transaction)
    await transaction.fetch(
        Q.add,
        {
            "id": row.id,
            "tenant": row.tenant,
            "name": row.name,
            "algorithm": row.algorithm,
            "sealed": row.sealed,
            "created": row.created,
            "revision": revision,
        },
    )
    return revision


async def retire(transaction: Transaction, key_id: str, successor: str | None, expires: int) -> int:
    """Say which key follows one, and until when it signs beside it; its revision."""
    revision = await _next_revision(transaction)
    await transaction.fetch(Q.retire, {"id": key_id, "successor": successor, "expires": expires, "revision": revision})
    return revision


async def remove(transaction: Transaction, key_id: str, successor: str | None) -> int:
    """Delete one, whose predecessors are followed by its ``successor``; their revision.

    The tables refuse it while a watch names the key.
    """
    revision = await _next_revision(transaction)
    await transaction.fetch(Q.adopt_predecessors, {"id": key_id, "successor": successor, "revision": revision})
    await transaction.fetch(Q.remove, {"id": key_id})
    return revision


async def used(transaction: Transaction, times: Mapping[str, int], stale: int) -> None:
    """Note when keys were used last, where what is noted is missing or before ``stale``."""
    await transaction.many(Q.used, [{"id": id_, "at": at, "stale": stale} for id_, at in times.items()])


async def one(reader: Reader, tenant: str, key_id: str) -> CryptoKeyRow | None:
    """A tenant's key, or None."""
    rows = await reader.fetch(Q.one, {"tenant": tenant, "id": key_id})
    return _row(rows[0]) if rows else None


async def page(reader: Reader, tenant: str, after: str, limit: int) -> list[CryptoKeyRow]:
    """The next ``limit`` keys of a tenant in the order of ids; ``after`` is "" at first."""
    return [_row(row) for row in await reader.fetch(Q.page, {"tenant": tenant, "after": after, "limit": limit})]


async def changed(reader: Reader, revision: int) -> list[CryptoKeyRow]:
    """The keys of all tenants that were made or changed after a revision; -1 is before all."""
    return [_row(row) for row in await reader.fetch(Q.changed, {"revision": revision})]


async def state(reader: Reader) -> tuple[int, int]:
    """How many there are of all tenants, and the revision of the last one that was made or changed."""
    row = (await reader.fetch(Q.state))[0]
    return int(row["keys"]), int(row["revision"])


async def ids(reader: Reader) -> set[str]:
    """The ids of all tenants' keys."""
    return {row["id"] for row in await reader.fetch(Q.ids)}


async def _next_revision(transaction: Transaction) -> int:
    return int((await transaction.fetch(Q.next_revision))[0][0])


def _row(row: Row) -> CryptoKeyRow:
    return CryptoKeyRow(
        id=row["id"],
        tenant=row["tenant"],
        name=row["name"],
        algorithm=Algorithm(row["algorithm"]),
        sealed=row["sealed"],
        created=row["created"],
        successor=row["successor"],
        expires=row["expires"],
        last_used=row["last_used"],
        revision=row["revision"],
        watches=row["watches"],
    )
