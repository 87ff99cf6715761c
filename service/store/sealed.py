"""Everything that is stored under the encryption key, wherever it stands; and a canary that tells the key."""

from __future__ import annotations

from collections.abc import Callable

from service.store import sql
from service.store.driver import Reader, Transaction

Q = sql.beside(__file__)

CANARY = "canary"
PORTION = 500  # kept answers that are sealed anew at once
PLACES = (
    (Q.crypto_keys, Q.save_crypto_keys),
    (Q.watches, Q.save_watches),
    (Q.sources, Q.save_sources),
    (Q.authorizations, Q.save_authorizations),
    (Q.canary, Q.save_canary),
)


async def canary(reader: Reader) -> str | None:
    """What was sealed at the first start; None before it."""
    rows = await reader.fetch(Q.canary)
    return rows[0]["sealed"] if rows else None


async def set_canary(transaction: Transaction, sealed: str) -> None:
    """Leave a canary for later starts."""
    await transaction.fetch(Q.save_canary, {"id": CANARY, "sealed": sealed})


async def seal_anew(transaction: Transaction, again: Callable[[str], str]) -> None:
    """Replace every sealed text by what ``again`` makes of it."""
    for find, save in PLACES:
        rows = await transaction.fetch(find)
        await transaction.many(save, [{"id": row["id"], "sealed": again(row["sealed"])} for row in rows])
    after = ""
    while rows := await transaction.fetch(Q.kept_answers, {"after": after, "limit": PORTION}):
        await transaction.many(Q.save_kept_answers, [{"id": row["id"], "sealed": again(row["sealed"])} for row in rows])
        after = rows[-1]["id"]
