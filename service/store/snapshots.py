"""Snapshots: readings of a whole directory, and which resources each has shown."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass

import orjson

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


async def left_over(reader: Reader, origin: str) -> list[SnapshotRow]:
    """Those of an origin that were not ended, or whose marks were not all dropped."""
    return [SnapshotRow(*row) for row in await reader.fetch(Q.left_over, {"origin": origin})]


async def mark(transaction: Transaction, snapshot_id: str, ids: Iterable[str]) -> set[str]:
    """These resources are shown; which of them were not shown before."""
    rows = await transaction.fetch(Q.mark, {"id": snapshot_id, "ids": orjson.dumps(list(ids)).decode()})
    return {row["object_id"] for row in rows}


async def total(reader: Reader, row: SnapshotRow) -> int:
    """How many resources there are of the snapshot's origin."""
    names = {"tenant": row.tenant, "type": row.type, "origin": row.origin}
    return int((await reader.fetch(Q.total, names))[0][0])


async def windows(reader: Reader, row: SnapshotRow, size: int) -> AsyncIterator[tuple[str, str]]:
    """All of them as ranges of ``size`` ids, each from after one id until another, so that no query takes long."""
    after, names = "", {"tenant": row.tenant, "type": row.type, "origin": row.origin}
    while (until := (await reader.fetch(Q.window, {**names, "after": after, "limit": size}))[0][0]) is not None:
        yield after, until
        after = until


async def missing(reader: Reader, row: SnapshotRow, after: str, until: str, limit: int) -> list[str]:
    """The first ``limit`` of a range that it has not shown, and nobody has changed since it began."""
    names = {
        "tenant": row.tenant,
        "type": row.type,
        "origin": row.origin,
        "started": row.started,
        "id": row.id,
        "after": after,
        "until": until,
        "limit": limit,
    }
    return [found["id"] for found in await reader.fetch(Q.missing, names)]


async def forget(transaction: Transaction, snapshot_id: str, limit: int) -> int:
    """Drop up to ``limit`` of the marks; how many went."""
    return len(await transaction.fetch(Q.forget, {"id": snapshot_id, "limit": limit}))


async def finish(transaction: Transaction, snapshot_id: str, now: int) -> None:
    """It is over."""
    await transaction.fetch(Q.finish, {"id": snapshot_id, "now": now})


async def purge(transaction: Transaction, before: int) -> None:
    """Forget those that were over before a time (milliseconds)."""
    await transaction.fetch(Q.purge, {"before": before})
