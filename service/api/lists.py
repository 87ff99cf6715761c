"""Reading what a list asks for from the store, in portions: the event loop goes on between two of them.

Whatever the length of a collection, what is held of it is one portion and one page.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from operator import itemgetter
from typing import Any

import orjson

from service.changes.filters import Predicate
from service.changes.listing import Found, Keyset, Numbered
from service.changes.order import Position
from service.store import lists
from service.store.lists import Text
from service.store.store import Store

PORTION = 100  # resources that are read at once


@dataclass(frozen=True, slots=True)
class Scan:
    """The resources of a type that pass the filters, in the order of ids."""

    store: Store
    tenant: str
    type: str
    passes: Predicate | None  # None: all

    async def by_number(self, after: str) -> AsyncIterator[list[Text]]:
        """Portions of what follows an id where ids are numbers, in their order; any may be empty."""
        for length in await lists.lengths(self.store, self.tenant, self.type):
            if length >= len(after):
                async for portion in self.portions(after if length == len(after) else "", length=length):
                    yield portion

    async def portions(self, after: str = "", *, length: int = 0) -> AsyncIterator[list[Text]]:
        """Portions of what follows an id, of ids of one ``length`` or of all; at least one, and any may be empty."""
        passes = self.passes
        while True:
            texts = await lists.portion(self.store, self.tenant, self.type, after, PORTION, length=length)
            yield texts if passes is None else [(id_, text) for id_, text in texts if passes(orjson.loads(text))]
            if len(texts) < PORTION:
                return
            after = texts[-1][0]

    async def count(self) -> int:
        """How many there are of all, filters or not."""
        return await lists.count(self.store, self.tenant, self.type)


async def page(scan: Scan, window: Keyset | Numbered) -> tuple[list[Text], Found]:
    """The items of a window, and what is to be said of it."""
    if isinstance(window, Numbered):
        return await _numbered(scan, window)
    if window.order.keys or window.before is not None or (window.count and scan.passes is not None):
        return await _sorted(scan, window)
    return await _following(scan, window)


async def _numbered(scan: Scan, window: Numbered) -> tuple[list[Text], Found]:
    skipped = (window.page - 1) * window.size
    if scan.passes is not None:
        return await _counted(scan, skipped, skipped + window.size)
    total = await scan.count()
    before = await lists.nth(scan.store, scan.tenant, scan.type, skipped - 1) if 0 < skipped < total else ""
    if skipped >= total or before is None:
        return [], Found(total)
    kept, _ = await _first(scan.portions(before), window.size)
    return kept, Found(total)


async def _counted(scan: Scan, low: int, high: int) -> tuple[list[Text], Found]:
    """Those from one number to another of all that pass, which have to be looked at to be counted."""
    kept: list[Text] = []
    total = 0
    async for portion in scan.portions():
        kept += portion[max(low - total, 0) : max(high - total, 0)]
        total += len(portion)
    return kept, Found(total)


async def _following(scan: Scan, window: Keyset) -> tuple[list[Text], Found]:
    """In the order of ids the store can begin where the window does."""
    after = str(window.after[-1]) if window.after is not None else ""
    portions = scan.by_number(after) if window.order.numeric else scan.portions(after)
    kept, later = await _first(portions, window.size)
    return kept, Found(
        total=await scan.count() if window.count else None,
        first=(kept[0][0],) if kept else None,
        last=(kept[-1][0],) if kept else None,
        earlier=window.after is not None,
        later=later,
    )


async def _first(portions: AsyncIterator[list[Text]], size: int) -> tuple[list[Text], bool]:
    """The first so many, and whether there are more."""
    kept: list[Text] = []
    async for portion in portions:
        kept += portion
        if len(kept) > size:
            break
    return kept[:size], len(kept) > size


async def _sorted(scan: Scan, window: Keyset) -> tuple[list[Text], Found]:
    """In any other order, or to count: look at everything, and keep the places that may be on the page and one more."""
    order = window.order
    edge = window.after if window.before is None else window.before
    bound = None if edge is None else order.rank(edge)
    backwards = window.before is not None
    kept: list[tuple[Any, Position]] = []
    total, beyond = 0, False
    async for portion in scan.portions():
        positions = [order.position(orjson.loads(text), id_) for id_, text in portion]
        ranked = [(order.rank(position), position) for position in positions]
        inside = [one for one in ranked if bound is None or (one[0] < bound if backwards else bound < one[0])]
        total += len(ranked)
        beyond = beyond or len(inside) < len(ranked)
        kept = sorted(kept + inside, key=itemgetter(0), reverse=backwards)[: window.size + 1]
    more = len(kept) > window.size
    positions = [position for _, position in kept[: window.size]]
    if backwards:
        positions.reverse()
    ids = [str(position[-1]) for position in positions]
    return await lists.some(scan.store, scan.tenant, scan.type, ids), Found(
        total=total if window.count else None,
        first=positions[0] if positions else None,
        last=positions[-1] if positions else None,
        earlier=more if backwards else beyond,
        later=beyond if backwards else more,
    )
