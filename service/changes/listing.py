"""A list that was asked for: which items, which part of them, and how they are written.

A dialect makes it of a query, whoever serves it reads the store (``api/lists``): so a dialect never waits, and a
list of any length takes the memory of one page.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from service.changes.filters import Predicate
from service.changes.order import Order, Position
from service.model import Document, Json


@dataclass(frozen=True, slots=True)
class Keyset:
    """The next items after a place, or the last ones before it."""

    order: Order
    size: int
    after: Position | None = None
    before: Position | None = None  # not together with ``after``
    count: bool = True  # whether the number of all items is asked for


@dataclass(frozen=True, slots=True)
class Numbered:
    """The items of one page, pages being counted from 1, in the order of ids."""

    page: int
    size: int


Window: TypeAlias = Keyset | Numbered


@dataclass(frozen=True, slots=True)
class Found:
    """What is said of a list besides its items."""

    total: int | None = None  # of all items, on whatever page; None: not counted
    first: Position | None = None  # of this page; None: it is empty, or has no order
    last: Position | None = None
    earlier: bool = False  # there are items before this page
    later: bool = False  # and after it


@dataclass(frozen=True, slots=True)
class Listing:
    """One answer to a list."""

    passes: Predicate | None  # which items; None: all
    window: Window | None  # which part of them; None: everything, in the order of ids
    element: Callable[[str, Document], Json]  # one of them, from its id and its document
    prefix: bytes  # what stands before the first
    suffix: Callable[[Found], bytes]  # and behind the last; a comma stands between two
