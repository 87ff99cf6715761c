"""Dropping what is older than the log is kept, a little at a time, so that nothing waits for it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence

from service import clock, errors, ids
from service.store import changes, journal, keptanswers, snapshots, tokens
from service.store.driver import Transaction
from service.store.store import Store

log = logging.getLogger(__name__)

CHUNK = 200  # deliveries of one transaction
PAUSE = 0.05  # seconds between two


async def run(store: Store, days: float, interval: float) -> None:
    """Sweep every ``interval`` seconds, for as long as the service runs."""
    while True:
        try:
            dropped = await sweep(store, clock.now_ms() - int(days * 86_400_000))
            if dropped:
                log.info("retention dropped %d old rows of the log", dropped)
            await expire(store, clock.now_ms())
        except errors.Unavailable as error:
            log.warning("retention waits: %s", error.detail)
        await asyncio.sleep(interval)


async def sweep(store: Store, before: int) -> int:
    """Drop everything that ended before this time (milliseconds); how many rows went. Pending deliveries stay."""
    total = 0
    while True:
        dropped = await store.submit(drop, before)
        total += dropped
        if not dropped:
            return total
        await asyncio.sleep(PAUSE)


async def expire(store: Store, now: int) -> None:
    """Drop the kept answers whose time is over."""
    while True:
        if not await store.submit(_expire, now):
            return
        await asyncio.sleep(PAUSE)


async def _expire(transaction: Transaction, times: Sequence[int]) -> list[int]:
    return [await keptanswers.expire(transaction, now, CHUNK) for now in times]


async def drop(transaction: Transaction, times: Sequence[int]) -> list[int]:
    """A part of what ended before these times, as a batch of the store; how many rows went, 0 when all is gone."""
    results = []
    for before in times:
        oldest = ids.floor("dlv", before)
        dropped = await journal.drop_expired(transaction, oldest, before, CHUNK)
        dropped += await changes.purge(transaction, ids.floor("chg", before), CHUNK)
        if not dropped:
            await snapshots.purge(transaction, before)
            await tokens.purge(transaction, before)
        results.append(dropped)
    return results
