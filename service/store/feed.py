"""Reading the changes in the order in which they were committed.

A *place* is what a reader has come to: the number of a change's transaction, and of the change in it. Changes become
visible in the order of places: what is read lies below the horizon, the first transaction that is still under way,
and whatever is committed later lies above it. So who reads on from the last place he has seen misses nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from service.store import sql
from service.store.driver import Reader, Row
from service.store.sql import Query

Q = sql.beside(__file__)

# A filter's name to its fragment: no SQL is made of anything a caller sent.
FILTERS: Mapping[str, str] = {
    "type": "c.type = :type",
    "objectId": "c.object_id = :objectId",
    "since": "c.time >= :since",
}
# Behind a place: the rest of its transaction, and later ones. Each is one stretch of the index; a condition for both
# would be none.
REST, LATER, BEHIND = "c.tx = :tx AND c.seq > :seq", "c.tx > :tx", "(+c.tx, +c.seq) > (:tx, :seq)"


class Place(NamedTuple):
    """Where a change stands; places are compared as pairs."""

    tx: int
    seq: int


START = Place(0, 0)  # before every change


async def page(reader: Reader, tenant: str, filters: Mapping[str, Any], after: Place, limit: int) -> list[Row]:
    """The next ``limit`` changes behind a place that pass the filters, whose names are those of FILTERS.

    ``objectId`` goes with ``type``: together they name one resource.
    """
    chosen = [FILTERS[name] for name in FILTERS if name in filters]
    params = {"tenant": tenant, "tx": after.tx, "seq": after.seq, **filters}
    rows: list[Row] = []
    for query, behind in ((Q.of_one, BEHIND),) if "objectId" in filters else ((Q.page, REST), (Q.page, LATER)):
        if len(rows) < limit:
            text = query.text.replace("@filters@", " AND ".join((behind, *chosen)))
            rows += await reader.fetch(Query(query.name, text), {**params, "limit": limit - len(rows)})
    return rows


async def unsettled(reader: Reader, tenant: str) -> int | None:
    """The last transaction whose changes of the tenant are committed but not to be read yet; None: all are."""
    rows = await reader.fetch(Q.unsettled, {"tenant": tenant})
    return int(rows[0]["tx"]) if rows else None


async def horizon(reader: Reader) -> int:
    """The first transaction that is still under way."""
    return int((await reader.fetch(Q.horizon))[0]["tx"])


async def before(reader: Reader, id_: str) -> Place | None:
    """The place just before the first change whose id is this one or a later one; None when there is none yet."""
    rows = await reader.fetch(Q.first, {"id": id_})
    return Place(rows[0]["tx"], rows[0]["seq"] - 1) if rows else None


async def newest(reader: Reader, tenant: str) -> Place:
    """The place of the tenant's newest change."""
    rows = await reader.fetch(Q.newest, {"tenant": tenant})
    return Place(rows[0]["tx"], rows[0]["seq"]) if rows else START


async def forgotten(reader: Reader, tenant: str) -> tuple[Place, int | None]:
    """The place and the time of the newest change of the tenant that retention has dropped; no time: none was."""
    rows = await reader.fetch(Q.forgotten, {"tenant": tenant})
    return (Place(rows[0]["tx"], rows[0]["seq"]), rows[0]["time"]) if rows else (START, None)
