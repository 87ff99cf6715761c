"""Writing down how receivers do, in the transaction that settles their deliveries.

What is in the table is the truth, whichever process saw the attempts; what a channel remembers of its own attempts
only serves to slow it down at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from service.delivery import breaker
from service.model import HEALTHY, Event, Health
from service.store import health
from service.store.deliveries import Settlement
from service.store.driver import Transaction


@dataclass(frozen=True, slots=True)
class Findings:
    """What attempts have done to the health of their watches."""

    news: Sequence[tuple[str, Event]]  # watch ids, and what is worth telling of them, in order
    hopeless: frozenset[str]  # ids of watches to be disabled


async def note(transaction: Transaction, settlements: Sequence[Settlement], now: int) -> Findings:
    """Count attempts, in the order in which they are given."""
    known = await health.locked(transaction, {each.job.watch_id for each in settlements})
    found: dict[str, Health] = {}
    news = []
    for each in settlements:
        watch_id = each.job.watch_id
        before = found.get(watch_id) or known.get(watch_id) or HEALTHY
        found[watch_id] = breaker.after(before, each.reason, each.attempt.started)
        if event := breaker.news(before, found[watch_id]):
            news.append((watch_id, event))
    await health.save(transaction, found)
    return Findings(news, frozenset(id_ for id_, one in found.items() if breaker.is_hopeless(one, now)))
