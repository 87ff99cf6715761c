"""The one store: reads from committed state, writes through the group commit.

In a database of our own there is one writer, and so one order of everything. In a shared one each kind of write has
a queue of its own, and they go on side by side: while one waits for its commit, another one works.
"""

from __future__ import annotations

import asyncio
import importlib
import logging
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, TypeVar

from service import errors
from service.store import migrate, sqlite
from service.store.driver import Database, Params, Row, Transaction
from service.store.replicas import Attendant, Lease
from service.store.sql import Query
from service.store.witness import WITNESS
from service.store.writer import Writer

if TYPE_CHECKING:  # it stands on an extra of the package
    from service.store.postgres import PostgresDatabase

log = logging.getLogger(__name__)

POLL = 0.1  # seconds after which who waits for commits looks whether another process had one
REST = 0.002  # seconds between two messages to other processes: what comes meanwhile goes together
AGAIN = 1.0  # seconds before another try to listen
LONGEST_MESSAGE = 7000  # bytes; PostgreSQL takes 8000

# What processes tell each other: that there is something to look at. What is missed is found by looking anyway.
EVERYTHING, ALONE, WATCHES, DELIVERIES, FAN_OUTS, SOURCES = "", "alone", "watches", "deliveries", "fan-outs", "sources"
REPLICAS = "replicas"

Item = TypeVar("Item")
Result = TypeVar("Result")
Hear = Callable[[str, Collection[str]], None]


class Store:
    """An open database with its writer running. Make one with ``opened``."""

    def __init__(self, database: Database, writer: Writer) -> None:
        self._database = database
        self.writer = writer
        self.lease = Lease()  # what this process holds, it holds under this name

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
        """Rows of a query, from the last committed state; of a request with a witness, from what it is writing."""
        witness = WITNESS.get()
        if witness is not None and witness.transaction is not None:
            return await witness.transaction.fetch(query, params)
        return await self._database.fetch(query, params)

    async def submit(
        self, batch: Callable[[Transaction, Sequence[Item]], Awaitable[Sequence[Result | Exception]]], item: Item
    ) -> Result:
        """A write that shares its transaction with those that wait at the same time: see ``writer``."""
        witness = WITNESS.get()
        if witness is not None:
            return await witness.carry(self.writer, batch, item)
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
        witness = WITNESS.get()
        if witness is not None:
            return await witness.carry(self.writer, _each, action)
        return await self.writer.submit(_each, action, alone=True)

    def tell(self, topic: str, name: str = "") -> None:
        """Say to other processes that there is something to look at; here there are none."""


class SharedStore(Store):
    """A store whose database other processes write to as well."""

    def __init__(self, database: PostgresDatabase, group: asyncio.TaskGroup) -> None:
        super().__init__(database, Writer(database))
        self._shared = database
        self._group = group
        self._writers: dict[str, Writer] = {}
        self._writing: list[asyncio.Task[None]] = []
        self._news: dict[str, set[str]] = {}
        self._has_news = asyncio.Event()
        self._hear: Hear | None = None
        self._is_closed = False

    async def submit(
        self, batch: Callable[[Transaction, Sequence[Item]], Awaitable[Sequence[Result | Exception]]], item: Item
    ) -> Result:
        """See Store: it shares its transaction with those of its kind."""
        witness = WITNESS.get()
        if witness is not None:
            return await witness.carry(self._of("alone"), batch, item)
        return await self._of(batch.__qualname__).submit(batch, item)

    def post(
        self,
        batch: Callable[[Transaction, Sequence[Item]], Awaitable[Sequence[Result | Exception]]],
        item: Item,
        failed: Callable[[Item, Exception], None],
    ) -> None:
        """See Store."""
        try:
            self._of(batch.__qualname__).post(batch, item, failed)
        except errors.Unavailable as error:
            failed(item, error)

    async def write(self, action: Callable[[Transaction], Awaitable[Result]]) -> Result:
        """See Store: no other transaction overlaps with it, in whichever process."""
        witness = WITNESS.get()
        if witness is not None:
            return await witness.carry(self._of("alone"), _each, action)
        return await self._of("alone").submit(_each, action, alone=True)

    def commits(self) -> int:
        """See Store."""
        return sum(writer.commits for writer in self._writers.values())

    async def committed_since(self, mark: int, seconds: float) -> bool:
        """See Store; it may answer True too soon, since another process may have committed something."""
        if self.commits() == mark:
            await asyncio.sleep(min(POLL, seconds))
        return True

    def tell(self, topic: str, name: str = "") -> None:
        """See Store."""
        self._news.setdefault(topic, set()).add(name)
        self._has_news.set()

    def attend(self, attendant: Attendant, hear: Hear) -> None:
        """Let this one look at the beginning of each transaction, and hear what other processes tell."""
        self._shared.attendant = attendant
        self._hear = hear

    async def telling(self) -> None:
        """Tell other processes what there is to be told, for as long as the service runs."""
        while True:
            await self._has_news.wait()
            self._has_news.clear()
            news, self._news = self._news, {}
            try:
                for topic, names in news.items():
                    await self._shared.notify(_message(self.lease.worker_id, topic, names))
            except errors.Unavailable as error:
                log.debug("others are not told: %s", error.detail)  # they look by themselves, too
            await asyncio.sleep(REST)

    async def listening(self) -> None:
        """Hear what other processes tell, for as long as the service runs."""
        while True:
            try:
                await self._shared.listen(self._heard)
            except errors.Unavailable as error:
                log.warning("cannot listen to the other processes: %s", error.detail)
            await asyncio.sleep(AGAIN)

    async def close(self) -> None:
        """Take nothing more, and end when everything is written."""
        self._is_closed = True
        for writer in self._writers.values():
            writer.close()
        if self._writing:
            await asyncio.wait(self._writing)

    def _of(self, kind: str) -> Writer:
        writer = self._writers.get(kind)
        if writer is None:
            if self._is_closed:
                raise errors.Unavailable("the service is stopping; nothing was stored")
            writer = self._writers[kind] = Writer(self._database)
            self._writing.append(self._group.create_task(writer.run(), name=f"writer {kind}"))
        return writer

    def _heard(self, message: str) -> None:
        sender, _, rest = message.rpartition("|")
        topic, *names = rest.split(" ")
        if self._hear is not None and sender != self.lease.worker_id:
            self._hear(topic, names)


def _message(sender: str, topic: str, names: Collection[str]) -> str:
    """Without names, when they are too many: then it is about all of them."""
    message = f"{sender}|{' '.join([topic, *filter(None, names)])}"
    return message if len(message) < LONGEST_MESSAGE else f"{sender}|{topic}"


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
        if found.is_shared:
            async with _shared(found, group) as shared:
                yield shared
            return
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


@asynccontextmanager
async def _shared(found: Any, group: asyncio.TaskGroup) -> AsyncIterator[SharedStore]:
    shared = SharedStore(found, group)
    tasks = [
        group.create_task(shared.telling(), name="telling"),
        group.create_task(shared.listening(), name="listening"),
    ]
    try:
        yield shared
    finally:
        await shared.close()
        for task in tasks:
            task.cancel()
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
