"""Following the log: each new delivery, attempt and change of status, in the order of commits, without a gap."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass

from service.journal import log
from service.model import Document
from service.store import journal
from service.store.store import Store

WINDOW = 500  # lines of the journal that are read at once
PAUSE = 0.05  # seconds between two looks while commits keep coming: a tail costs the writer nothing


@dataclass(frozen=True, slots=True)
class Line:
    """One event: its place in the journal, what kind it is, and the delivery as a list row at that time."""

    seq: int
    kind: str  # created, attempt or status
    at: int  # when
    attempt: int  # how many attempts had been made
    delivery: Document


async def follow(
    store: Store, tenant: str, after: int | None, filters: log.Filters, heartbeat: float
) -> AsyncIterator[Line | int]:
    """Lines after ``after`` (None: only new ones); at first, and after ``heartbeat`` silent seconds, the place reached.

    The place, a number, goes on over lines that the filters hide too, so that whoever resumes there misses nothing and
    reads nothing twice.
    """
    newest = await journal.last_seq(store)
    place = newest if after is None else min(after, newest)  # a place beyond all is of a database that was replaced
    yield place
    loop = asyncio.get_running_loop()
    silent_since = loop.time()
    while True:
        commit = store.commits()
        newest = await journal.last_seq(store)
        moved = newest > place
        while place < newest:
            until = min(newest, max(place, await journal.first_seq(store) - 1) + WINDOW)
            for row in await journal.events(store, tenant, place, until, filters):
                yield Line(row["seq"], row["kind"], row["at"], row["attempts"], log.summary(row))
                silent_since = loop.time()
            place = until
        if moved:
            await asyncio.sleep(PAUSE)
        await store.committed_since(commit, max(0, silent_since + heartbeat - loop.time()))
        if loop.time() >= silent_since + heartbeat:
            yield place
            silent_since = loop.time()
