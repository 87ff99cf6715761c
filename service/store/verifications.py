"""Which receivers are to be asked for their consent, and when: leased and fenced as deliveries are.

What a receiver has said stands with its watch; a row here only says when it is asked next.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import orjson

from service.store import sql
from service.store.driver import Reader, Transaction

Q = sql.beside(__file__)


@dataclass(frozen=True, slots=True)
class Claim:
    """One that this worker is to ask."""

    watch_id: str
    attempts: int  # that have come to nothing
    fence: int


async def ask(transaction: Transaction, watch_id: str, now: int, *, anew: bool) -> None:
    """Have a receiver asked; ``anew``: as if it never had been, else only if nobody is about to."""
    await transaction.fetch(Q.ask if anew else Q.resume, {"watch_id": watch_id, "now": now})


async def claim(transaction: Transaction, worker: str, now: int, lease_until: int, limit: int) -> Sequence[Claim]:
    """Those that are due, at most ``limit``, for as long as the lease."""
    names = {"worker": worker, "now": now, "lease_until": lease_until, "limit": limit}
    rows = await transaction.fetch(Q.claim, names)
    return [Claim(row["watch_id"], row["attempts"], row["fence"]) for row in rows]


async def next_due(reader: Reader) -> int | None:
    """When the next one can be claimed."""
    found = (await reader.fetch(Q.next_due))[0]["due"]
    return None if found is None else int(found)


async def settle(transaction: Transaction, claim: Claim, due: int | None) -> bool:
    """It was asked, and is asked again at ``due``, if at all; False when that is not this worker's to say any more."""
    names = {"watch_id": claim.watch_id, "fence": claim.fence, "due": due}
    return bool(await transaction.fetch(Q.settle, names))


async def release(transaction: Transaction, worker: str) -> None:
    """Give back what this worker holds."""
    await transaction.fetch(Q.release, {"worker": worker})


async def free(transaction: Transaction, workers: Sequence[str]) -> None:
    """Free what these held, who are no more."""
    await transaction.fetch(Q.free, {"workers": orjson.dumps(list(workers)).decode()})


async def take_over(transaction: Transaction) -> None:
    """Free what every other worker holds."""
    await transaction.fetch(Q.take_over)
