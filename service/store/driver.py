"""What the store needs of a database."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from service.store.sql import Query

Row = Any  # by index and by column name: sqlite3.Row now, asyncpg.Record is the same shape
Params = Mapping[str, Any]


class Reader(Protocol):
    """Something that answers queries: a snapshot outside, or the state inside a transaction."""

    async def fetch(self, query: Query, params: Params = ...) -> list[Row]:
        """All rows of a query; a data-changing one with RETURNING answers its rows too."""
        ...


class Transaction(Reader, Protocol):
    """An open transaction: all of it is committed, or nothing."""

    async def many(self, query: Query, rows: Sequence[Params]) -> None:
        """One data-changing statement for each of the rows."""
        ...

    def after_commit(self, action: Callable[[], None]) -> None:
        """Call this once the transaction is durable, before anyone is told of it, and never if it is not."""
        ...
