"""The query of a JSON:API request: what of each resource is shown, and which part of a list.

``page[size]``, ``page[after]`` and ``page[before]`` (as in the cursor pagination profile), ``sort``, ``filter[...]`` as
the type declares them, ``fields[type]``, ``count``, and the metadata that is given on request only. Anything else is
refused: JSON:API demands it of its own names, and a filter that went unheard would answer with everybody.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from service.changes import parameters
from service.changes.listing import Keyset
from service.changes.order import Key, Order
from service.changes.parameters import BadParameter, Query
from service.changes.resourcetype import ResourceType

SIZE, MOST = 50, 1000  # resources on a page
SHOWING = ("provideAuthorizationMeta", "provideDataConnections")
LISTING = ("sort", "count", "page[size]", "page[after]", "page[before]")


@dataclass(frozen=True, slots=True)
class Shown:
    """What of each resource is shown."""

    fields: frozenset[str] | None  # attributes and relationships; None: all
    authorization: bool  # meta.canWrite
    connections: bool  # meta.dataConnections


def shown(rtype: ResourceType, query: Query, *, also: Iterable[str] = ()) -> Shown:
    """From the query of any request; ``also`` are the parameters that it may have besides."""
    _check(query, (*SHOWING, *also))
    fields = query.get(f"fields[{rtype.singular}]")
    return Shown(
        fields=None if fields is None else frozenset(name.strip() for name in fields.split(",")),
        authorization=parameters.flag(query, SHOWING[0], default=False),
        connections=parameters.flag(query, SHOWING[1], default=False),
    )


def listed(rtype: ResourceType, query: Query) -> tuple[Shown, Keyset]:
    """What of each resource, and which of them, but for the filters."""
    what = shown(rtype, query, also=(*LISTING, *rtype.filters))
    names = query["sort"].split(",") if "sort" in query else ()
    order = Order(tuple(_key(rtype, name.strip()) for name in names), numeric=rtype.integer_ids)
    if "page[after]" in query and "page[before]" in query:
        raise BadParameter("page[before]", "cannot be given together with page[after]")
    return what, Keyset(
        order=order,
        size=parameters.whole(query, "page[size]", SIZE, MOST),
        after=order.read("page[after]", query["page[after]"]) if "page[after]" in query else None,
        before=order.read("page[before]", query["page[before]"]) if "page[before]" in query else None,
        count=parameters.flag(query, "count", default=True),
    )


def _key(rtype: ResourceType, text: str) -> Key:
    name = text.removeprefix("-")
    path = rtype.sort.get(name)
    if path is None:
        raise BadParameter("sort", f"cannot sort by {name[:80]!r}, only by {', '.join(rtype.sort)}")
    return Key(path, rtype.kind(path), descending=text.startswith("-"))


def _check(query: Query, known: Collection[str]) -> None:
    names = [name for name, _ in query.items()]
    for name in names:
        if name not in known and not (name.startswith("fields[") and name.endswith("]")):
            family = name.partition("[")[0]
            kin = [other for other in known if other.startswith(f"{family}[")]
            raise BadParameter(name[:80], f"is not known here, only {', '.join(kin or known)}")
        if names.count(name) > 1:
            raise BadParameter(name[:80], "is given twice: separate values by commas")
