"""The watches, their secrets sealed, and which crypto keys they name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import orjson

from service.model import Document
from service.store import sql
from service.store.driver import Reader, Row, Transaction

Q = sql.beside(__file__)


@dataclass(frozen=True, slots=True)
class WatchRow:
    """A watch as it is stored: what it says in the open, and its secrets sealed."""

    id: str
    tenant: str
    spec: Document
    sealed: str | None
    hold_until: int = 0  # nothing is sent to it before: the receiver asked for it
    revision: int = 0  # of the write that made it so
    is_deleted: bool = False


async def save(transaction: Transaction, row: WatchRow, crypto_key_ids: Sequence[str]) -> int:
    """Insert or replace one, with the keys that it names; its revision."""
    spec, revision = row.spec, await _next_revision(transaction)
    await transaction.fetch(
        Q.save,
        {
            "id": row.id,
            "tenant": row.tenant,
            "object_type": spec["objectType"],
            "status": spec["status"],
            "name": spec.get("name"),
            "address": spec["address"],
            "spec": orjson.dumps(spec).decode(),
            "sealed": row.sealed,
            "created": spec["created"],
            "updated": spec["updated"],
            "revision": revision,
        },
    )
    await transaction.fetch(Q.forget_keys, {"watch_id": row.id})
    await transaction.many(Q.name_key, [{"watch_id": row.id, "key_id": key_id} for key_id in crypto_key_ids])
    return revision


async def rename_key(transaction: Transaction, former: str, key_id: str, now: int) -> tuple[int, list[str]]:
    """Let all watches that name one crypto key name another in its place; their revision, and their ids."""
    found = [(row["id"], orjson.loads(row["spec"])) for row in await transaction.fetch(Q.naming, {"key_id": former})]
    revision = await _next_revision(transaction) if found else 0
    if found:
        for _, spec in found:
            named = spec["signature"]["cryptoKeyIds"]
            spec["signature"]["cryptoKeyIds"] = [key_id if id_ == former else id_ for id_ in named]
            spec["updated"] = now
        changed = [
            {"id": id_, "spec": orjson.dumps(spec).decode(), "updated": now, "revision": revision}
            for id_, spec in found
        ]
        await transaction.many(Q.respecify, changed)
        await transaction.fetch(Q.rename_key, {"former": former, "key_id": key_id})
    return revision, [id_ for id_, _ in found]


async def remove(transaction: Transaction, watch_id: str, now: int) -> int:
    """Delete one; its name and address stay for the log. Its last revision."""
    revision = await _next_revision(transaction)
    await transaction.fetch(Q.forget_keys, {"watch_id": watch_id})
    await transaction.fetch(Q.remove, {"id": watch_id, "now": now, "revision": revision})
    return revision


async def one(reader: Reader, tenant: str, watch_id: str) -> WatchRow | None:
    """A tenant's watch, or None."""
    rows = await reader.fetch(Q.one, {"tenant": tenant, "id": watch_id})
    return _row(rows[0]) if rows else None


async def anyones(reader: Reader, watch_id: str) -> WatchRow | None:
    """A watch, whoever owns it, or None."""
    rows = await reader.fetch(Q.any, {"id": watch_id})
    return _row(rows[0]) if rows else None


async def page(reader: Reader, tenant: str, after: str, limit: int) -> list[WatchRow]:
    """The next ``limit`` watches in the order of ids; ``after`` is "" at first."""
    return [_row(row) for row in await reader.fetch(Q.page, {"tenant": tenant, "after": after, "limit": limit})]


async def everyone(reader: Reader) -> list[WatchRow]:
    """All watches of all tenants, for the registry at the start."""
    return [_row(row) for row in await reader.fetch(Q.all)]


async def since(reader: Reader, revision: int) -> list[WatchRow]:
    """Those that were written after a revision, deleted ones too, each as it is now."""
    return [_row(row) for row in await reader.fetch(Q.since, {"revision": revision})]


async def hold(transaction: Transaction, watch_id: str, until: int) -> None:
    """Send nothing to it before ``until``, also after a restart."""
    await transaction.fetch(Q.hold, {"id": watch_id, "until": until, "revision": await _next_revision(transaction)})


async def users_of_key(reader: Reader, key_id: str) -> list[str]:
    """Ids of watches that name a crypto key, five at most."""
    return [row["id"] for row in await reader.fetch(Q.users_of_key, {"key_id": key_id})]


async def _next_revision(transaction: Transaction) -> int:
    return int((await transaction.fetch(Q.next_revision))[0][0])


def _row(row: Row) -> WatchRow:
    return WatchRow(
        row["id"],
        row["tenant"],
        orjson.loads(row["spec"]),
        row["sealed"],
        row["hold_until"],
        row["revision"],
        row["deleted"] is not None,
    )
