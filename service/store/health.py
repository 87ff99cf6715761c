"""How the receivers of watches do: what the breaker leans on, kept across restarts.

A healthy watch has a row at most once it has succeeded, and is written once a minute at most; one that fails is
written with each settlement.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

import orjson

from service.model import Health
from service.store import sql
from service.store.driver import Reader, Row, Transaction

Q = sql.beside(__file__)


async def of(reader: Reader, watch_ids: Collection[str]) -> dict[str, Health]:
    """Those of these watches that have any."""
    return _healths(await reader.fetch(Q.of, _keys(watch_ids)))


async def ailing(reader: Reader) -> dict[str, Health]:
    """Every watch whose last attempt failed."""
    return _healths(await reader.fetch(Q.ailing))


async def locked(transaction: Transaction, watch_ids: Collection[str]) -> dict[str, Health]:
    """As ``of``, and no other transaction changes them before this one ends."""
    return _healths(await transaction.fetch(Q.locked, _keys(watch_ids)))


async def save(transaction: Transaction, healths: Mapping[str, Health]) -> None:
    """Write the health of watches."""
    await transaction.many(
        Q.save,
        [
            {
                "watch_id": watch_id,
                "failures": health.failures,
                "since": health.since,
                "last_success": health.last_success,
            }
            for watch_id, health in healths.items()
        ],
    )


async def forgive(transaction: Transaction, watch_id: str) -> None:
    """Begin anew: no failures."""
    await transaction.fetch(Q.forgive, {"watch_id": watch_id})


async def forget(transaction: Transaction, watch_id: str) -> None:
    """Drop the health of a watch that is deleted."""
    await transaction.fetch(Q.forget, {"watch_id": watch_id})


async def next_notice(transaction: Transaction, watch_id: str) -> int:
    """The number of the next notice about a watch: 1, 2, 3, without gaps."""
    return int((await transaction.fetch(Q.next_notice, {"watch_id": watch_id}))[0][0])


def _keys(watch_ids: Collection[str]) -> dict[str, str]:
    return {
        "ids": orjson.dumps(sorted(watch_ids)).decode()
    }  # sorted: two that lock the same do not wait for each other


def _healths(rows: list[Row]) -> dict[str, Health]:
    return {row["watch_id"]: Health(row["failures"], row["since"], row["last_success"]) for row in rows}
