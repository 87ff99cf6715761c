"""The changes as others read them, to catch up: oldest first, from any place on, without a gap."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from service import clock, errors, ids
from service.model import Document
from service.store import feed
from service.store.driver import Reader, Row
from service.store.feed import START, Place

PORTION = 50  # changes that are read at once
LARGEST_PAGE = 4 * 1024 * 1024  # characters of documents and diffs, after which a page ends
LOOK, LOOKS = 0.01, 100  # seconds between two looks whether what began before has ended, and how many there are
LAG = 10_000  # ms: ids and places may differ in their order by as much, where several processes write
BEGIN_ANEW = "read the resources as they are now (GET /api/v1/resources/{type}), and go on with the changes since then"


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which changes are asked for."""

    types: Sequence[str] | None = None  # None: all
    object_id: str | None = None
    since: int | None = None  # ms: those of this time and later


@dataclass(frozen=True, slots=True)
class Item:
    """A change, and the place that a reader has come to with it."""

    place: Place
    document: Document


async def page(reader: Reader, tenant: str, wanted: Wanted, after: Place | None, limit: int) -> tuple[list[Item], bool]:
    """The next changes behind a place, ``limit`` at most, and whether there are more.

    Without a place it begins with the oldest that is kept, or the first of ``since``.

    Raises:
        Gone: changes behind that place, or after that time, are forgotten.
    """
    await _settle(reader, tenant)
    kept_from, forgotten_at = await feed.forgotten(reader, tenant)
    start = after
    if start is None:
        start = max(kept_from, await _place_of(reader, wanted.since)) if wanted.since is not None else kept_from
    items, more = await _read(reader, tenant, wanted, start, limit)
    if after is not None:
        await _check(reader, tenant, after, empty=not items)
    elif wanted.since is not None and forgotten_at is not None and wanted.since <= forgotten_at:
        raise errors.Gone(f"changes up to {clock.rfc3339(forgotten_at)} are forgotten: {BEGIN_ANEW}")
    return items, more


async def _settle(reader: Reader, tenant: str) -> None:
    """Let what is committed by now come below the horizon: whoever has just written finds it. Not for ever, though."""
    last = await feed.unsettled(reader, tenant)
    if last is None:
        return
    for _ in range(LOOKS):
        if await feed.horizon(reader) > last:
            return
        await asyncio.sleep(LOOK)


async def _place_of(reader: Reader, since: int) -> Place:
    """A place before every change of this time and later, and not much farther back."""
    place = await feed.before(reader, ids.floor("chg", max(0, since - LAG)))
    return START if place is None else place


async def _read(reader: Reader, tenant: str, wanted: Wanted, place: Place, limit: int) -> tuple[list[Item], bool]:
    items: list[Item] = []
    size = 0
    while True:
        portion = min(PORTION, limit + 1 - len(items))  # one more than asked for tells whether there are more
        rows = await _portion(reader, tenant, wanted, place, portion)
        for row in rows:
            if len(items) == limit or size > LARGEST_PAGE:
                return items, True
            place = Place(row["tx"], row["seq"])
            items.append(Item(place, shown(row)))
            size += len(row["after"] or "") + len(row["diff"])
        if len(rows) < portion:
            return items, False


async def _portion(reader: Reader, tenant: str, wanted: Wanted, place: Place, limit: int) -> list[Row]:
    filters: dict[str, Any] = {}
    if wanted.object_id is not None:
        filters["objectId"] = wanted.object_id
    if wanted.since is not None:
        filters["since"] = wanted.since
    if wanted.types is None:
        return await feed.page(reader, tenant, filters, place, limit)
    found = [
        row
        for type_ in wanted.types
        for row in await feed.page(reader, tenant, {**filters, "type": type_}, place, limit)
    ]
    return sorted(found, key=lambda row: (row["tx"], row["seq"]))[:limit]


async def _check(reader: Reader, tenant: str, after: Place, *, empty: bool) -> None:
    """See to it that nobody waits for what will not come; asked after reading, so that nothing can vanish between."""
    kept_from, _ = await feed.forgotten(reader, tenant)
    if after < kept_from:
        raise errors.Gone(f"changes behind this cursor are forgotten: {BEGIN_ANEW}")
    if empty and after > max(kept_from, await feed.newest(reader, tenant)):
        raise errors.Gone(f"this cursor is ahead of all changes, as after the return of a backup: {BEGIN_ANEW}")


def shown(row: Row) -> Document:
    """A change, its documents as they are stored."""
    after: Any = None if row["after"] is None else orjson.Fragment(row["after"])
    diff: Any = orjson.Fragment(row["diff"])
    return {
        "id": row["id"],
        "objectType": row["type"],
        "objectId": row["object_id"],
        "objectEvent": row["event"],
        "version": row["version"],
        "time": clock.rfc3339(row["time"]),
        "resource": after,
        "changes": diff,
        "filtered": None if row["watches"] is None else {"watches": row["watches"], "ids": orjson.loads(row["ids"])},
    }
