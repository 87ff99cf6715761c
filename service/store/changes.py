"""The committed changes: the outbox that deliveries are made from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import orjson

from service.model import CHANGES, Change, Document, Event
from service.store import sql
from service.store.driver import Row, Transaction

Q = sql.beside(__file__)

UNIT = 16 * 1024  # characters of a change's documents
HEAVY = 4 * UNIT  # more than this, and many of them must not be in memory at once


async def insert(transaction: Transaction, changes: Sequence[Change]) -> set[str]:
    """Write changes down; the ids of those that are HEAVY."""
    rows = [
        {
            "id": change.id,
            "tenant": change.tenant,
            "type": change.type,
            "object_id": change.object_id,
            "event": change.event,
            "version": change.version,
            "time": change.time,
            "source": change.source,
            "before": change.before_text or _text(change.before),
            "after": change.after_text or _text(change.after),
            "diff": orjson.dumps(change.diff).decode() if change.diff else "[]",
        }
        for change in changes
    ]
    await transaction.many(Q.insert, rows)
    return {change.id for change, row in zip(changes, rows, strict=True) if _size(row) > HEAVY}


async def note_filtered(transaction: Transaction, filtered: Sequence[tuple[Change, int, Sequence[str]]]) -> None:
    """Note of updates that some watches are not told of them: of how many, and the ids of some."""
    await transaction.many(
        Q.filter,
        [
            {"change_id": change.id, "watches": watches, "ids": orjson.dumps(list(ids)).decode()}
            for change, watches, ids in filtered
        ],
    )


async def purge(transaction: Transaction, before_id: str, limit: int) -> int:
    """Delete up to ``limit`` changes older than this id that no delivery leans on; how many went.

    How far each tenant's are gone is kept, so that whoever reads on from there can be told: see ``feed``.
    """
    gone = await transaction.fetch(Q.purge, {"before": before_id, "limit": limit})
    of_resources = [row for row in gone if row["event"] in CHANGES]
    newest = {row["tenant"]: row for row in sorted(of_resources, key=lambda row: (row["tx"], row["seq"]))}
    names = ("tenant", "tx", "seq", "time")
    await transaction.many(Q.forget, [{name: row[name] for name in names} for row in newest.values()])
    await transaction.many(Q.drop_filtered, [{"id": row["id"]} for row in of_resources])
    return len(gone)


def from_row(row: Row) -> Change:
    """The change in a row whose columns are named as the table's, its id ``change_id``."""
    return Change(
        id=row["change_id"],
        tenant=row["tenant"],
        type=row["type"],
        object_id=row["object_id"],
        event=Event(row["event"]),
        version=row["version"],
        time=row["time"],
        before=_document(row["before"]),
        after=_document(row["after"]),
        diff=orjson.loads(row["diff"]),
        source=row["source"],
        before_text=row["before"],
        after_text=row["after"],
    )


def weight(row: Row) -> int:
    """What the change in such a row takes in memory, in units of UNIT; 1 at least."""
    return 1 + _size(row) // UNIT


def _size(row: Row | Mapping[str, str | None]) -> int:
    return len(row["before"] or "") + len(row["after"] or "") + len(row["diff"] or "")


def _text(document: Document | None) -> str | None:
    return None if document is None else orjson.dumps(document).decode()


def _document(text: str | None) -> Document | None:
    return None if text is None else orjson.loads(text)
