"""The one store: reads from committed state, writes through the group commit."""

from __future__ import annotations

import asyncio
import importlib
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from types import ModuleType
from typing import TypeVar

from service import errors
from service.store import migrate, sqlite
from service.store.driver import Database, Params, Row, Transaction
from service.store.sql import Query
from service.store.writer import Writer

Item = TypeVar("Item")
Result = TypeVar("Result")


class Store:
    """An open database with its writer running. Make one with ``opened``."""

    def __init__(self, database: Database, writer: Writer) -> None:
        self._database = database
        self.writer = writer

    @property
    def is_shared(self) -> bool:
        """Whether other processes write to the same database."""
        return self._database.is_shared

    def commits(self) -> int:
        """How many transactions were committed: a mark for ``committed_since``."""
        return self.writer.commits

    async def committed_since(self, mark: int, seconds: float) -> bool:
        """Wait until something was committed after ``mark``; False when ``seconds`` pass before."""
        return await self.writer.committed_since(mark, seconds)

    async def fetch(self, query: Query, params: Params | None = None) -> list[Row]:
        """Rows of a query, from the last committed state."""
        return await self._database.fetch(query, params)

    async def submit(
        self, batch: Callable[[Transaction, Sequence[Item]], Awaitable[Sequence[Result | Exception]]], item: Item
    ) -> Result:
        """A write that shares its transaction with those that wait at the same time: see ``writer``."""
        return await self.writer.submit(batch, item)

    def post(
        self,
        batch: Callable[[Transaction, Sequence[Item]], Awaitable[Sequence[Result | Exception]]],
        item: Item,
        failed: Callable[[Item, Exception], None],
    ) -> None:
        """A write that nobody waits for: see ``writer``."""
        self.writer.post(batch, item, failed)

    async def write(self, action: Callable[[Transaction], Awaitable[Result]]) -> Result:
        """A rare write in a transaction of its own, such as making a watch or a key."""
        return await self.writer.submit(_each, action, alone=True)


async def _each(
    transaction: Transaction, actions: Sequence[Callable[[Transaction], Awaitable[Result]]]
) -> list[Result]:
    return [await action(transaction) for action in actions]


def is_postgresql(url: str) -> bool:
    """Whether this is the URL of a PostgreSQL database; else it is that of an SQLite file."""
    return url.startswith(("postgresql://", "postgres://"))


def path_of(url: str) -> Path:
    """The file of ``sqlite:///relative.db`` or ``sqlite:////absolute.db``."""
    match = re.fullmatch(r"sqlite:///(.+)", url)
    if not match:
        raise errors.ConfigError(
            "database.url: write sqlite:///file.db, sqlite:////absolute/file.db or postgresql://..."
        )
    if match[1] == ":memory:":
        raise errors.ConfigError("database.url: a database in memory would lose everything; name a file")
    return Path(match[1])


@asynccontextmanager
async def database(url: str) -> AsyncIterator[Database]:
    """The database at this URL, as it is; ConfigError when it cannot be opened."""
    if is_postgresql(url):
        async with _postgres().opened(url) as shared:
            yield shared
        return
    path = path_of(url)
    if not path.parent.is_dir():
        raise errors.ConfigError(f"database.url: the directory {path.parent} does not exist; make it first")
    async with sqlite.sole_owner(path), sqlite.opened(path) as own:
        yield own


@asynccontextmanager
async def opened(url: str, group: asyncio.TaskGroup) -> AsyncIterator[Store]:
    """The store at this URL, migrated, its background work in ``group``; closed after what waits is written."""
    async with database(url) as found:
        await migrate.migrate(found)
        writer = Writer(found)
        tasks = [group.create_task(work, name=name) for name, work in found.upkeep().items()]
        writing = group.create_task(writer.run(), name="writer")
        try:
            yield Store(found, writer)
        finally:
            writer.close()
            await asyncio.wait((writing,))
            for task in tasks:
                task.cancel()
            if tasks:
                await asyncio.wait(tasks)


def _postgres() -> ModuleType:
    """The driver, with the library that it stands on, which is an extra of the package."""
    try:
        return importlib.import_module("service.store.postgres")
    except ModuleNotFoundError as error:
        if error.name != "asyncpg":
            raise
        raise errors.ConfigError(
            "database.url: PostgreSQL takes the extra webhook-watch[postgres]: install it, or use sqlite:///file.db"
        ) from None
