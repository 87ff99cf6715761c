"""Reading the delivery log, its events, and dropping what is old."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from service import ids
from service.model import DeliveryStatus, Event
from service.store import sql
from service.store.driver import Reader, Row, Transaction
from service.store.sql import Query

Q = sql.beside(__file__)

# A filter's name to its fragment: no SQL is made of anything a caller sent. Ids are as old as what they name, and have
# an index; LATE is for a clock that was set back.
FILTERS: Mapping[str, str] = {
    "watchId": "d.watch_id = :watchId",
    "objectId": "d.object_id = :objectId",
    "objectType": "d.object_type = :objectType",
    "objectEvent": "d.object_event = :objectEvent",
    "status": "d.status = :status",
    "statusCode": "a.status_code = :statusCode",
    "reason": "d.reason = :reason",
    "since": "d.created >= :since AND d.id >= :sinceId",
    "until": "d.created < :until AND d.id < :untilId",
    "cursor": "d.id < :cursor",
}
# Values that an index holds and no others: it serves where its own condition stands beside them, word for word.
INDEXED: Mapping[tuple[str, object], str] = {
    **{
        ("status", status): f"d.status = '{status}' AND d.status IN ('failed', 'canceled')"
        for status in (DeliveryStatus.FAILED, DeliveryStatus.CANCELED)
    },
    **{
        ("objectEvent", event): f"d.object_event = '{event}' AND d.object_event <> 'updated'"
        for event in Event
        if event is not Event.UPDATED
    },
    ("status", DeliveryStatus.PENDING): "d.status = 'pending'",
}


@dataclass(frozen=True, slots=True)
class Source:
    """Where a list's rows come from."""

    rows: str  # a table, or two
    tie: str  # what ties them together
    order: str  # what is the delivery's id


PLAIN = Source("deliveries AS d", "1 = 1", "d.id")
# Of a tenant, but not by its index: these are few, and may lie behind very many others.
PENDING = Source(
    "(SELECT p.id FROM deliveries AS p WHERE p.status = 'pending' AND p.tenant || '' = :tenant) AS p "
    "CROSS JOIN deliveries AS d",
    "d.id = p.id",
    "d.id",
)
ANSWERED = Source(
    "(SELECT p.delivery_id, p.number FROM attempts AS p WHERE p.status_code = :statusCode AND p.status_code <> 200) AS p "
    "CROSS JOIN deliveries AS d",
    "d.id = p.delivery_id AND d.attempts = p.number",
    "p.delivery_id",
)
RAREST = ("reason", "statusCode", "status", "objectEvent")
LATE = 1_000  # ms
FEW_PENDING = 5_000  # of all tenants, that are sorted for a page
FOUND_BY = ("watchId", "objectId")  # filters that have an index of their own, whatever else is asked
FEW_WATCHES = 20  # that are asked one by one for a page

# The same for the event stream, where a line of the journal says what was so at its time.
EVENT_FILTERS: Mapping[str, str] = {
    **{name: FILTERS[name] for name in ("watchId", "objectId", "objectType", "objectEvent", "statusCode")},
    "status": "j.status = :status",
    "reason": "j.reason = :reason",
}


async def page(reader: Reader, tenant: str, filters: Mapping[str, Any], limit: int) -> list[Row]:
    """The newest ``limit`` deliveries that pass the filters, whose names are those of FILTERS."""
    if "objectType" not in filters or not filters.keys().isdisjoint(FOUND_BY):
        return await _page(reader, tenant, filters, limit)
    # A watch has one type: its watches lead to what may be rare among all deliveries.
    rest = {name: value for name, value in filters.items() if name != "objectType"}
    asked = {"tenant": tenant, "objectType": filters["objectType"]}
    watches = await reader.fetch(Q.of_type, {**asked, "limit": FEW_WATCHES + 1})
    if watches and not await reader.fetch(Q.of_others, asked):
        return await _page(reader, tenant, rest, limit)
    if len(watches) > FEW_WATCHES:
        return await _page(reader, tenant, filters, limit)
    pages = [await _page(reader, tenant, {**rest, "watchId": row["id"]}, limit) for row in watches]
    return sorted(itertools.chain(*pages), key=lambda row: str(row["id"]), reverse=True)[:limit]


async def _page(reader: Reader, tenant: str, filters: Mapping[str, Any], limit: int) -> list[Row]:
    source = await _source(reader, filters)
    query = _filtered(Q.list, {**FILTERS, **_indexed(filters)}, filters)
    text = query.text.replace("@from@", source.rows).replace("@tie@", source.tie).replace("@order@", source.order)
    bounds = {
        f"{name}Id": ids.floor("dlv", max(0, filters[name] + slack))
        for name, slack in (("since", 0), ("until", LATE))
        if name in filters
    }
    return await reader.fetch(Query(query.name, text), {"tenant": tenant, "limit": limit, **filters, **bounds})


def _indexed(filters: Mapping[str, Any]) -> Mapping[str, str]:
    """The filter whose value has an index of its own: one, the rarest first; a resource has few deliveries anyway."""
    if "objectId" in filters:
        return {}
    for name in RAREST:
        if (found := INDEXED.get((name, filters.get(name)))) is not None:
            return {name: found}
        if name in filters:
            break
    return {}


async def _source(reader: Reader, filters: Mapping[str, Any]) -> Source:
    if "objectId" in filters:
        return PLAIN
    if filters.get("status") == DeliveryStatus.PENDING:
        rows = await reader.fetch(Q.pending, {"limit": FEW_PENDING + 1})
        return PENDING if rows[0]["found"] <= FEW_PENDING else PLAIN
    is_rare = "watchId" not in filters and filters.get("statusCode", 200) != 200
    return ANSWERED if is_rare else PLAIN


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
