"""The processes that serve one database, which know each other only through it.

A process is alive for as long as its row says so, by the database's own clock; it writes that anew every few
seconds. Everything that it holds (deliveries, turns of sources, jobs, locks) bears its id, and is free again once
somebody has taken its row out: that and the freeing are one transaction. Each transaction of a process locks its own
row against that, so that nothing can be leased to one that is dead already; and a process that has not been able to
write for as long as its lease lasts stops sending by its own clock. One that was taken for dead goes on under
another id. A file of SQLite has one process, whose lease is the lock on the file.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from service import ids
from service.store import sql
from service.store.driver import Reader, Row, Transaction

Q = sql.beside(__file__)

LEASE = 15_000  # ms that a process is believed to live after it was last heard of
MARGIN = 3_000  # ms before its end from which it does not rely on it any more
FOREVER = 1 << 62


@dataclass(slots=True)
class Lease:
    """Under which name this process holds what it holds, and until when (milliseconds, by its own clock)."""

    worker_id: str = field(default_factory=lambda: ids.new("wrk"))
    until: int = FOREVER


class Attendant(Protocol):
    """Who looks at the beginning of each transaction of this process whether everything is as it thinks."""

    @property
    def worker_id(self) -> str:
        """The id that has to be alive."""
        ...

    async def begun(self, transaction: Transaction, row: Row) -> None:
        """What ``begin`` answered; Unavailable when there must be no transaction now."""
        ...


async def join(reader: Reader, worker_id: str) -> None:
    """Live, under this id."""
    await reader.fetch(Q.join, {"id": worker_id, "lease": LEASE})


async def beat(reader: Reader, worker_id: str, *, works: bool) -> int | None:
    """Live on, and say whether this process delivers; how many others do, None when they have taken it for dead."""
    rows = await reader.fetch(Q.beat, {"id": worker_id, "lease": LEASE, "works": int(works)})
    return int(rows[0]["others"]) if rows else None


async def bury(transaction: Transaction, worker_id: str) -> list[str]:
    """Take out those that have not been heard of for too long; their ids."""
    return [row["id"] for row in await transaction.fetch(Q.bury, {"id": worker_id})]


async def gone(reader: Reader) -> list[str]:
    """Those whose jobs still seem to run, and who are no more."""
    return [row["worker"] for row in await reader.fetch(Q.gone)]


async def leave(transaction: Transaction, worker_id: str) -> None:
    """End, holding nothing."""
    await transaction.fetch(Q.unlock_all, {"id": worker_id})
    await transaction.fetch(Q.leave, {"id": worker_id})


async def begin(transaction: Transaction, worker_id: str) -> Row:
    """The transaction's ``number``, the revisions of ``watches`` and ``keys``, and ``id``: None when it is dead."""
    return (await transaction.fetch(Q.begin, {"id": worker_id}))[0]


async def revisions(reader: Reader) -> tuple[int, int]:
    """How often watches, and keys, were written."""
    row = (await reader.fetch(Q.revisions))[0]
    return row["watches"], row["keys"]


async def lock(reader: Reader, name: str, worker_id: str, milliseconds: int) -> bool:
    """Whether this process may do what has this name now, before all others, for no longer than that."""
    return bool(await reader.fetch(Q.lock, {"name": name, "id": worker_id, "lease": milliseconds}))


async def unlock(reader: Reader, name: str, worker_id: str) -> None:
    """It is done."""
    await reader.fetch(Q.unlock, {"name": name, "id": worker_id})


async def free_locks(transaction: Transaction, worker_ids: Sequence[str]) -> None:
    """What these had locked is not locked any more."""
    for worker_id in worker_ids:
        await transaction.fetch(Q.unlock_all, {"id": worker_id})
