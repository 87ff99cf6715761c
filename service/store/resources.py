"""The resources and their identities."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import cast

import orjson

from service.model import Document
from service.store import sql
from service.store.driver import Reader, Row, Transaction
from service.values import value

Q = sql.beside(__file__)

Key = tuple[str, str, str]  # tenant, type, id
IdentityKey = tuple[str, str, str, str]  # tenant, type, member, value


@value
class Stored:
    """A resource as it is stored; ``document`` is None for the tombstone of a deleted one."""

    tenant: str
    type: str
    id: str
    version: int
    origin: str  # hosted, pushed or imported: what may delete it
    updated: int
    document: Document | None
    text: str | None  # the document as JSON

    @property
    def key(self) -> Key:
        """What finds it."""
        return self.tenant, self.type, self.id


@dataclass(frozen=True, slots=True)
class Text:
    """A resource's stored text, not parsed."""

    updated: int
    text: str | None  # None for a tombstone


async def load(transaction: Transaction, keys: Iterable[Key]) -> dict[Key, Stored]:
    """Those of the resources that are there, tombstones too; nobody else writes them before the transaction has ended."""
    rows = await transaction.fetch(Q.load, {"keys": orjson.dumps(list(keys)).decode()})
    return {stored.key: stored for stored in map(_stored, rows)}


async def load_with_owners(
    transaction: Transaction, keys: Iterable[Key], identities: Iterable[IdentityKey]
) -> tuple[dict[Key, Stored], dict[IdentityKey, str]]:
    """``load`` and ``owners`` in one, but that others may write the resources."""
    there = await transaction.later(Q.peek, {"keys": orjson.dumps(list(keys)).decode()})
    found = await owners(transaction, identities)
    return {stored.key: stored for stored in map(_stored, there.rows)}, found


async def hold(transaction: Transaction, keys: Iterable[Key]) -> None:
    """See to it that nobody else writes these resources, nor ends deliveries of them, before the transaction has ended.

    Whoever holds some takes them all at once: then the order is the same for everyone, and nobody waits for each other.
    """
    if transaction.is_shared:
        await transaction.fetch(Q.hold, {"keys": orjson.dumps(list(keys)).decode()})


async def texts(reader: Reader, keys: Iterable[Key]) -> dict[Key, Text]:
    """The stored texts of those of the resources that are there, tombstones too."""
    rows = await reader.fetch(Q.texts, {"keys": orjson.dumps(list(keys)).decode()})
    return {(row["tenant"], row["type"], row["id"]): Text(row["updated"], row["document"]) for row in rows}


async def one(reader: Reader, tenant: str, type_: str, id_: str) -> Stored | None:
    """One resource, or its tombstone, or None."""
    rows = await reader.fetch(Q.one, {"tenant": tenant, "type": type_, "id": id_})
    return _stored(rows[0]) if rows else None


async def page(reader: Reader, tenant: str, type_: str, after: str, limit: int) -> list[Stored]:
    """The next ``limit`` resources in the order of ids, without tombstones; ``after`` is "" at first."""
    rows = await reader.fetch(Q.page, {"tenant": tenant, "type": type_, "after": after, "limit": limit})
    return [_stored(row) for row in rows]


async def latest(reader: Reader, tenant: str, type_: str, id_: str | None) -> Stored | None:
    """This resource, or any one when ``id_`` is None."""
    rows = await reader.fetch(Q.latest, {"tenant": tenant, "type": type_, "id": id_})
    return _stored(rows[0]) if rows else None


async def owners(reader: Reader, keys: Iterable[IdentityKey]) -> dict[IdentityKey, str]:
    """The ids of the resources that have these identities."""
    rows = await reader.fetch(Q.owners, {"keys": orjson.dumps(list(keys)).decode()})
    return {(row["tenant"], row["type"], row["member"], row["value"]): row["object_id"] for row in rows}


async def insert(transaction: Transaction, resources: Sequence[Stored]) -> None:
    """Make those that ``load`` has not found."""
    await transaction.many(Q.insert, [_row(stored) for stored in resources])


async def save(transaction: Transaction, resources: Sequence[Stored]) -> None:
    """Replace those that ``load`` has found."""
    await transaction.many(Q.save, [_row(stored) for stored in resources])


async def move_identities(
    transaction: Transaction, released: Iterable[IdentityKey], claimed: Iterable[tuple[IdentityKey, str]]
) -> None:
    """Give identities up, then give them to their new owners."""
    names = ("tenant", "type", "member", "value")
    await transaction.many(Q.release, [dict(zip(names, key, strict=True)) for key in released])
    await transaction.many(
        Q.claim, [{**dict(zip(names, key, strict=True)), "object_id": owner} for key, owner in claimed]
    )


def _row(stored: Stored) -> dict[str, object]:
    return {
        "tenant": stored.tenant,
        "type": stored.type,
        "id": stored.id,
        "version": stored.version,
        "origin": stored.origin,
        "updated": stored.updated,
        "deleted": int(stored.document is None),
        "document": stored.text,
    }


def _stored(row: Row) -> Stored:
    document = row["document"]
    return Stored(
        row["tenant"],
        row["type"],
        row["id"],
        row["version"],
        row["origin"],
        row["updated"],
        None if document is None else cast(Document, orjson.loads(document)),
        document,
    )
