"""Access tokens that one process has obtained for all of them, sealed."""

from __future__ import annotations

from service.store import sql
from service.store.driver import Reader, Transaction

Q = sql.beside(__file__)


async def find(reader: Reader, owner: str) -> tuple[str, int] | None:
    """What is kept for a watch or a source, sealed, and until when (ms) it is good."""
    rows = await reader.fetch(Q.find, {"owner": owner})
    return (rows[0]["sealed"], rows[0]["good_until"]) if rows else None


async def keep(transaction: Transaction, owner: str, sealed: str, good_until: int) -> None:
    """Keep this in the place of what was kept before."""
    await transaction.fetch(Q.keep, {"owner": owner, "sealed": sealed, "good_until": good_until})


async def purge(transaction: Transaction, before: int) -> None:
    """Forget those that were good only until before a time (ms)."""
    await transaction.fetch(Q.purge, {"before": before})
