"""A value under a name in a database: the least that a test of transactions can write."""

from __future__ import annotations

from service.store.driver import Reader, Transaction
from service.store.sql import Query

GET = Query("test.get", "SELECT value FROM meta WHERE name = :name")
SET = Query(
    "test.set",
    "INSERT INTO meta (name, value) VALUES (:name, :value) ON CONFLICT (name) DO UPDATE SET value = excluded.value",
)


async def note(transaction: Transaction, name: str, value: str) -> None:
    await transaction.fetch(SET, {"name": name, "value": value})


async def noted(reader: Reader, name: str) -> str | None:
    rows = await reader.fetch(GET, {"name": name})
    return rows[0]["value"] if rows else None
