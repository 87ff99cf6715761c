"""The resources of a type, as lists go through them.

Documents stay text until somebody looks at them: a scan that parsed them by the hundred would have them outlive the
garbage collector's young generations, and so make it halt the event loop for all that the process holds.
"""

from __future__ import annotations

from collections.abc import Sequence

import orjson

from service.store import sql
from service.store.driver import Reader

Q = sql.beside(__file__)

Text = tuple[str, str]  # a resource's id and its document


async def portion(reader: Reader, tenant: str, type_: str, after: str, limit: int, *, length: int = 0) -> list[Text]:
    """The next ones in the order of ids; ``after`` is "" at first, a ``length`` leaves out ids of any other."""
    rows = await reader.fetch(
        Q.portion, {"tenant": tenant, "type": type_, "after": after, "limit": limit, "length": length}
    )
    return [(row["id"], row["document"]) for row in rows]


async def lengths(reader: Reader, tenant: str, type_: str) -> list[int]:
    """The lengths of its ids, the shortest first: numbers of one length are in order when their texts are."""
    return [int(row[0]) for row in await reader.fetch(Q.lengths, {"tenant": tenant, "type": type_})]


async def some(reader: Reader, tenant: str, type_: str, ids: Sequence[str]) -> list[Text]:
    """Those of these ids that are there, in the order of ``ids``."""
    keys = orjson.dumps([(tenant, type_, id_) for id_ in ids]).decode()
    documents = {row["id"]: row["document"] for row in await reader.fetch(Q.some, {"keys": keys})}
    return [(id_, documents[id_]) for id_ in ids if id_ in documents]


async def count(reader: Reader, tenant: str, type_: str) -> int:
    """How many are there."""
    rows = await reader.fetch(Q.count, {"tenant": tenant, "type": type_})
    return int(rows[0][0])


async def nth(reader: Reader, tenant: str, type_: str, n: int) -> str | None:
    """The id of one, counted from 0 in the order of ids; None when there are not so many."""
    rows = await reader.fetch(Q.nth, {"tenant": tenant, "type": type_, "n": n})
    return str(rows[0][0]) if rows else None
