"""Authorizations that are under way: which state was given out for which watch, and whether it has come back."""

from __future__ import annotations

from dataclasses import dataclass, field

from service.store import sql
from service.store.driver import Reader, Row, Transaction

Q = sql.beside(__file__)


@dataclass(frozen=True, slots=True)
class AuthorizationRow:
    """One of them."""

    id: str  # the hash of its state
    tenant: str
    watch_id: str
    sealed: str | None = field(repr=False)  # None once it was used
    expires: int
    used: int | None = None


async def insert(transaction: Transaction, row: AuthorizationRow) -> None:
    """Write a new one down."""
    names = {"id": row.id, "tenant": row.tenant, "watch_id": row.watch_id, "sealed": row.sealed}
    await transaction.fetch(Q.insert, {**names, "expires": row.expires})


async def one(reader: Reader, id_: str) -> AuthorizationRow | None:
    """Whoever's it is, or None."""
    rows = await reader.fetch(Q.one, {"id": id_})
    return _row(rows[0]) if rows else None


async def use(transaction: Transaction, id_: str, now: int) -> bool:
    """Use it up; False when somebody has done so before."""
    return bool(await transaction.fetch(Q.use, {"id": id_, "now": now}))


async def purge(transaction: Transaction, before: int) -> None:
    """Forget those that expired before this moment."""
    await transaction.fetch(Q.purge, {"before": before})


def _row(row: Row) -> AuthorizationRow:
    return AuthorizationRow(row["id"], row["tenant"], row["watch_id"], row["sealed"], row["expires"], row["used"])
