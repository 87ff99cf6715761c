"""What the store needs of a database.

A driver opens a ``Database`` and translates the text of a ``Query`` and of a migration for it: see ``sql`` for what
that text may hold. Parameters are text, integers (up to 64 bits), or None; JSON is text. What a driver must keep:

- ``fetch`` outside a transaction sees the last committed state, and what this process has committed in any case.
- A transaction sees what was committed before each of its statements and what it wrote itself. ``fetch`` and ``many``
  may be put by and run later in the transaction, in order, but before the next ``fetch`` answers; their errors may
  come as late as that.
- A transaction is durable when its block ends without an exception. ``after_commit`` actions run then, in order,
  before anybody else hears of it. Where the answer to a commit was lost, the driver finds out what became of it.
- ``errors.Unavailable`` says that the database cannot take it now and that nothing was stored; ``Collision`` that
  another transaction came between, and that the same again may succeed; ``errors.Invalid`` that it cannot hold such
  a text at all. Anything else is a bug.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Any, Protocol

from service.store.sql import Query

Row = Any  # by index and by column name: sqlite3.Row and asyncpg.Record are the same shape
Params = Mapping[str, Any]


class Collision(Exception):
    """Another transaction, of another process, came between: roll back and try again."""


@dataclass(slots=True)
class Later:
    """The rows of a statement that was put by: there after the transaction's next ``fetch``, or its commit."""

    rows: list[Row] = field(default_factory=list)


class Reader(Protocol):
    """Something that answers queries: a snapshot outside, or the state inside a transaction."""

    async def fetch(self, query: Query, params: Params | None = ...) -> list[Row]:
        """All rows of a query; a data-changing one with RETURNING answers its rows too."""
        ...


class Transaction(Reader, Protocol):
    """An open transaction: all of it is committed, or nothing.

    Statements run in the order in which they were given. Only the answer of ``fetch`` is there at once: a driver may put
    the others by, and send them along with the next ``fetch`` or the commit, which fails if one of them does.
    """

    @property
    def is_shared(self) -> bool:
        """As that of the database: what is read to be written has to be locked."""
        ...

    async def later(self, query: Query, params: Params) -> Later:
        """A query whose rows are wanted only after the next ``fetch``, or after the commit."""
        ...

    async def many(self, query: Query, rows: Sequence[Params]) -> Later:
        """One data-changing statement for each of the rows; with RETURNING, all of the rows they answer.

        A driver may write a text that has ``VALUES (...)`` with several rows of values at once, so it must mean the
        same for many rows as for each of them alone.
        """
        ...

    def after_commit(self, action: Callable[[], None]) -> None:
        """Call this once the transaction is durable, before anyone is told of it, and never if it is not."""
        ...


class Database(Reader, Protocol):
    """An open database."""

    @property
    def is_shared(self) -> bool:
        """Whether other processes write to it too, so that several transactions may be open at once."""
        ...

    def transaction(self, *, alone: bool = False) -> AbstractAsyncContextManager[Transaction]:
        """One transaction, committed at the end of the block.

        Unless the database is shared, the caller sees to it that there is one at a time. ``alone``: it changes what
        all others lean on (a watch, a key): none of them overlaps with it, in whichever process.
        """
        ...

    async def script(self, text: str) -> None:
        """Run several statements as one transaction; Unavailable when one of them fails, and then none has run."""
        ...

    def upkeep(self) -> Mapping[str, Coroutine[Any, Any, None]]:
        """What it has to do for as long as the service runs, by name."""
        ...

    def exclusively(self) -> AbstractAsyncContextManager[None]:
        """For the time of the block no other process migrates this database; those that want to, wait."""
        ...
