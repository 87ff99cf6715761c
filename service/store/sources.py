"""The sources: what is polled, how far each sweep is, and whose turn it is.

A *turn* is the time in which one process works at one source. It is claimed with a lease and a fence, as a
delivery is: the lease is prolonged while the turn goes on, and runs out on its own when the process is gone;
every claim raises the fence, and what a turn writes is taken only under the fence that it was given. So one
process sweeps a source at a time, however many run, and one that was asleep for too long finds out that it is
not its turn any more.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import orjson

from service.model import Document
from service.store import sql
from service.store.driver import Reader, Row, Transaction

Q = sql.beside(__file__)


@dataclass(frozen=True, slots=True)
class SourceRow:
    """A source as it is stored."""

    id: str
    tenant: str
    spec: Document  # what it says in the open; "type" and "status" among it
    sealed: str | None  # its secrets
    declared: str | None  # the file that it was declared in, as it was then, sealed; None: made over HTTP
    sweep: Document  # how far the sweep is, or what the last one came to
    due: int  # when it is looked at next
    hold_until: int = 0  # the upstream is not to be asked before
    asked: bool = False  # an operator wants a full sweep
    confirmed: bool = False  # an operator wants the held deletions done
    worker: str | None = None  # whose turn it is
    lease_until: int = 0
    fence: int = 0


@dataclass(frozen=True, slots=True)
class End:
    """How a turn leaves a source behind."""

    sweep: Document
    due: int
    hold_until: int
    completed: bool  # the sweep reached its end, so that the next one may begin at once if it was asked for


async def insert(transaction: Transaction, row: SourceRow) -> None:
    """Store a new one."""
    await transaction.fetch(Q.insert, _params(row))


async def save(transaction: Transaction, row: SourceRow) -> None:
    """Replace its definition; a turn that is under way ends at its next checkpoint."""
    await transaction.fetch(Q.save, _params(row))


async def save_secrets(transaction: Transaction, source_id: str, sealed: str) -> None:
    """Replace its secrets alone."""
    await transaction.fetch(Q.save_secrets, {"id": source_id, "sealed": sealed})


async def one(reader: Reader, tenant: str | None, source_id: str) -> SourceRow | None:
    """A tenant's source, or for None anybody's."""
    query = Q.any if tenant is None else Q.one
    rows = await reader.fetch(query, {"tenant": tenant, "id": source_id} if tenant is not None else {"id": source_id})
    return _row(rows[0]) if rows else None


async def page(reader: Reader, tenant: str, after: str, limit: int) -> list[SourceRow]:
    """The next ``limit`` sources in the order of ids; ``after`` is "" at first."""
    return [_row(row) for row in await reader.fetch(Q.page, {"tenant": tenant, "after": after, "limit": limit})]


async def declared(reader: Reader) -> list[SourceRow]:
    """All that come from files."""
    return [_row(row) for row in await reader.fetch(Q.declared)]


async def remove(transaction: Transaction, row: SourceRow, origin: str) -> None:
    """Delete it; the resources that it has shown stay, with this origin."""
    former = f"source:{row.id}"
    names = {"tenant": row.tenant, "type": row.spec["type"], "former": former, "origin": origin}
    await transaction.fetch(Q.release, names)
    await transaction.fetch(Q.end_snapshots, {"origin": former})
    await transaction.fetch(Q.forget_seen, {"origin": former})
    await transaction.fetch(Q.forget_snapshots, {"origin": former})
    await transaction.fetch(Q.remove, {"id": row.id})


async def sweep_now(transaction: Transaction, source_id: str, now: int) -> None:
    """An operator wants a full sweep."""
    await transaction.fetch(Q.sweep_now, {"id": source_id, "now": now})


async def confirm(transaction: Transaction, source_id: str, now: int) -> None:
    """An operator wants the held deletions done."""
    await transaction.fetch(Q.confirm, {"id": source_id, "now": now})


async def due(reader: Reader, worker: str, now: int, limit: int) -> list[str]:
    """Ids of sources whose turn it could be, those that wait longest first."""
    rows = await reader.fetch(Q.due, {"worker": worker, "now": now, "limit": limit})
    return [row["id"] for row in rows]


async def next_due(reader: Reader, worker: str) -> int | None:
    """When the next one is due that this worker does not hold."""
    found = (await reader.fetch(Q.next_due, {"worker": worker}))[0]["due"]
    return None if found is None else int(found)


async def claim(transaction: Transaction, source_id: str, worker: str, now: int, lease_until: int) -> SourceRow | None:
    """Begin a turn, under a new fence; None when it is somebody else's after all."""
    names = {"id": source_id, "worker": worker, "now": now, "lease_until": lease_until}
    rows = await transaction.fetch(Q.claim, names)
    return _row(rows[0]) if rows else None


async def keep(transaction: Transaction, source_id: str, fence: int, lease_until: int) -> bool:
    """Prolong the lease; False when the turn is over."""
    return bool(await transaction.fetch(Q.keep, {"id": source_id, "fence": fence, "lease_until": lease_until}))


async def checkpoint(
    transaction: Transaction,
    source_id: str,
    fence: int,
    sweep: Document,
    *,
    begins: bool = False,
    concluded: bool = False,
) -> bool | None:
    """Where the turn is; None when it is over, else whether an operator wants the held deletions done.

    ``begins``: a full sweep does, which whoever asked for one gets. ``concluded``: what was confirmed is done.
    """
    names = {
        "id": source_id,
        "fence": fence,
        "sweep": orjson.dumps(sweep).decode(),
        "begins": int(begins),
        "concluded": int(concluded),
    }
    rows = await transaction.fetch(Q.checkpoint, names)
    return bool(rows[0]["confirmed"]) if rows else None


async def settle(transaction: Transaction, source_id: str, fence: int, end: End, now: int) -> bool:
    """End a turn, and drop the snapshots that it has ended; False when it was over already."""
    names = {
        "id": source_id,
        "fence": fence,
        "sweep": orjson.dumps(end.sweep).decode(),
        "due": end.due,
        "hold_until": end.hold_until,
        "completed": int(end.completed),
        "now": now,
    }
    settled = bool(await transaction.fetch(Q.settle, names))
    if settled:
        await transaction.fetch(Q.forget_seen, {"origin": f"source:{source_id}"})
        await transaction.fetch(Q.forget_snapshots, {"origin": f"source:{source_id}"})
    return settled


async def free(transaction: Transaction, workers: Sequence[str]) -> None:
    """End the turns of those who are no more."""
    await transaction.fetch(Q.free, {"workers": orjson.dumps(list(workers)).decode()})


async def take_over(transaction: Transaction) -> None:
    """End every turn: called by the one process that owns the database."""
    await transaction.fetch(Q.take_over)


async def count_seen(reader: Reader, snapshot_id: str) -> int:
    """How many resources a snapshot has shown."""
    return int((await reader.fetch(Q.count_seen, {"snapshot_id": snapshot_id}))[0][0])


def _params(row: SourceRow) -> dict[str, object]:
    return {
        "id": row.id,
        "tenant": row.tenant,
        "type": row.spec["type"],
        "status": row.spec["status"],
        "spec": orjson.dumps(row.spec).decode(),
        "sealed": row.sealed,
        "declared": row.declared,
        "sweep": orjson.dumps(row.sweep).decode(),
        "due": row.due,
        "hold_until": row.hold_until,
    }


def _row(row: Row) -> SourceRow:
    return SourceRow(
        id=row["id"],
        tenant=row["tenant"],
        spec=orjson.loads(row["spec"]),
        sealed=row["sealed"],
        declared=row["declared"],
        sweep=orjson.loads(row["sweep"]),
        due=row["due"],
        hold_until=row["hold_until"],
        asked=bool(row["asked"]),
        confirmed=bool(row["confirmed"]),
        worker=row["worker"],
        lease_until=row["lease_until"],
        fence=row["fence"],
    )
