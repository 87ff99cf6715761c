"""The answers to requests that may come again: sealed, since some show a secret, and kept for a day."""

from __future__ import annotations

from service.store import sql
from service.store.driver import Reader, Transaction

Q = sql.beside(__file__)

KEPT = 24 * 3600 * 1000  # ms


async def find(reader: Reader, id_: str, now: int) -> str | None:
    """The sealed answer with this id, if it has not expired."""
    rows = await reader.fetch(Q.find, {"id": id_})
    return str(rows[0]["sealed"]) if rows and rows[0]["created"] > now - KEPT else None


async def keep(transaction: Transaction, id_: str, sealed: str, now: int) -> bool:
    """Keep an answer; False when there is one with this id already."""
    params = {"id": id_, "sealed": sealed, "now": now, "expired": now - KEPT}
    return bool(await transaction.fetch(Q.keep, params))


async def expire(transaction: Transaction, now: int, limit: int) -> int:
    """Drop up to ``limit`` of those that have expired; how many went."""
    return len(await transaction.fetch(Q.expired, {"before": now - KEPT, "limit": limit}))
