"""Snapshots: readings of a whole directory, and which resources each has shown."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from service.store import sql
from service.store.driver import Reader, Transaction

Q = sql.beside(__file__)


@dataclass(frozen=True, slots=True)
class SnapshotRow:
    """A snapshot as it is stored."""

    id: str  # snp_...
    tenant: str
    type: str
    origin: str  # whose resources it may delete
    started: int
    finished: int | None = None


async def begin(transaction: Transaction, row: SnapshotRow) -> None:
    """Write a new one down."""
    await transaction.fetch(
        Q.begin,
        {"id": row.id, "tenant": row.tenant, "type": row.type, "origin": row.origin, "started": row.started},
    )


async def one(reader: Reader, snapshot_id: str) -> SnapshotRow | None:
    """One snapshot, or None."""
    rows = await reader.fetch(Q.one, {"id": snapshot_id})
    return SnapshotRow(*rows[0]) if rows else None


async def mark(transaction: Transaction, snapshot_id: str, ids: Iterable[str]) -> None:
    """These resources were shown."""
    await transaction.many(Q.mark, [{"id": snapshot_id, "object_id": object_id} for object_id in ids])


async def total(reader: Reader, row: SnapshotRow) -> int:
    """How many resources there are of the snapshot's origin."""
    names = {"tenant": row.tenant, "type": row.type, "origin": row.origin}
    return int((await reader.fetch(Q.total, names))[0][0])


async def count_missing(reader: Reader, row: SnapshotRow) -> int:
    """How many of them it has not shown, and nobody has changed since it began."""
    return int((await reader.fetch(Q.count_missing, _names(row)))[0][0])


async def missing(reader: Reader, row: SnapshotRow, limit: int) -> list[str]:
    """Up to ``limit`` of those."""
    return [found["id"] for found in await reader.fetch(Q.missing, {**_names(row), "limit": limit})]


async def forget(transaction: Transaction, snapshot_id: str, limit: int) -> int:
    """Drop up to ``limit`` of the marks; how many went."""
    return len(await transaction.fetch(Q.forget, {"id": snapshot_id, "limit": limit}))


async def finish(transaction: Transaction, snapshot_id: str, now: int) -> None:
    """It is over."""
    await transaction.fetch(Q.finish, {"id": snapshot_id, "now": now})


def _names(row: SnapshotRow) -> dict[str, object]:
    return {"tenant": row.tenant, "type": row.type, "origin": row.origin, "started": row.started, "id": row.id}
