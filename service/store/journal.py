"""Reading the delivery log, its events, and dropping what is old."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from service.store import sql
from service.store.driver import Reader, Row, Transaction
from service.store.sql import Query

Q = sql.beside(__file__)

# A filter's name to its fragment: no SQL is made of anything a caller sent.
FILTERS: Mapping[str, str] = {
    "watchId": "d.watch_id = :watchId",
    "objectId": "d.object_id = :objectId",
    "objectType": "d.object_type = :objectType",
    "objectEvent": "d.object_event = :objectEvent",
    "status": "d.status = :status",
    "statusCode": "a.status_code = :statusCode",
    "reason": "d.reason = :reason",
    "since": "d.created >= :since",
    "until": "d.created < :until",
    "cursor": "d.id < :cursor",
}

# The same for the event stream, where a line of the journal says what was so at its time.
EVENT_FILTERS: Mapping[str, str] = {
    **{name: FILTERS[name] for name in ("watchId", "objectId", "objectType", "objectEvent", "statusCode")},
    "status": "j.status = :status",
    "reason": "j.reason = :reason",
}


async def page(reader: Reader, tenant: str, filters: Mapping[str, Any], limit: int) -> list[Row]:
    """The newest ``limit`` deliveries that pass the filters, whose names are those of FILTERS."""
    query = _filtered(Q.list, FILTERS, filters)
    return await reader.fetch(query, {"tenant": tenant, "limit": limit, **filters})


async def history(reader: Reader, tenant: str, delivery_id: str) -> list[Row]:
    """One delivery with its body, a row for each attempt, first to last; one without attempt if none was made."""
    return await reader.fetch(Q.history, {"tenant": tenant, "id": delivery_id})


async def events(reader: Reader, tenant: str, after: int, until: int, filters: Mapping[str, Any]) -> list[Row]:
    """The lines of the journal with ``after < seq <= until`` that pass the filters, oldest first."""
    query = _filtered(Q.events, EVENT_FILTERS, filters)
    return await reader.fetch(query, {"tenant": tenant, "after": after, "until": until, **filters})


async def last_seq(reader: Reader) -> int:
    """The number of the journal's newest line before which nothing can come any more.

    Where several processes write, a line may be committed after one with a higher number. Whoever is about to write
    lines has left a mark before that; asked for in this order, none of what was not committed yet is passed.
    """
    newest = int((await reader.fetch(Q.last_seq))[0][0])
    marks = [int(row["mark"]) for row in await reader.fetch(Q.marks) if row["mark"] is not None]
    return min([newest, *marks])


async def first_seq(reader: Reader) -> int:
    """The number of the journal's oldest line that retention has left; 0 when there is none."""
    return int((await reader.fetch(Q.first_seq))[0][0])


async def drop_expired(transaction: Transaction, before_id: str, before: int, limit: int) -> int:
    """Delete up to ``limit`` ended deliveries and journal lines from before a time; how many went."""
    rows = await transaction.fetch(Q.expired, {"before": before_id, "limit": limit})
    gone: Sequence[Mapping[str, Any]] = [{"id": row["id"]} for row in rows]
    await transaction.many(Q.drop_attempts, gone)
    await transaction.many(Q.drop_delivery, gone)
    lines = await transaction.fetch(Q.drop_journal, {"before": before, "limit": limit * 4})
    if not gone:
        await transaction.fetch(Q.drop_watches, {"before": before})
    return len(gone) + len(lines)


def _filtered(query: Query, fragments: Mapping[str, str], filters: Mapping[str, Any]) -> Query:
    chosen = tuple(name for name in fragments if name in filters)
    text = " AND ".join(fragments[name] for name in chosen) or "1 = 1"
    return Query(f"{query.name}({','.join(chosen)})", query.text.replace("@filters@", text))
