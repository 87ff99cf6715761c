"""The SQLite driver: one connection that writes, one that reads, one that checkpoints.

WAL lets readers go on while a transaction is written, and ``synchronous=FULL`` makes a commit durable before
anyone hears of it. Checkpoints, which copy the log back into the database and fsync twice, run on a
connection (and so a thread) of their own: inside the writer they would hold up every write behind them.
"""

from __future__ import annotations

import asyncio
import fcntl
import logging
import os
import re
import sqlite3
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any, Self

import aiosqlite

from service import errors
from service.store import sql
from service.store.driver import Later, Params, Row
from service.store.sql import Query
from service.values import value

log = logging.getLogger(__name__)

CHECKPOINT_INTERVAL = 1.0  # seconds
LARGE_WAL = 16 * 1024 * 1024  # bytes, past which the writer ends what the background has begun
BUSY_TIMEOUT = 5000  # milliseconds
ROWS_AT_ONCE = 64  # of a cursor that is iterated, which none is here

ROWS_OF_A_STATEMENT = (64, 16, 4, 1)
_VALUES = re.compile(r"\bVALUES\s*(\((?:[^()]|\([^()]*\))*\))")
_NAME = re.compile(r":(\w+)")

PRAGMAS = (
    "PRAGMA journal_mode = WAL",
    "PRAGMA synchronous = FULL",
    "PRAGMA foreign_keys = ON",
    f"PRAGMA busy_timeout = {BUSY_TIMEOUT}",
    "PRAGMA temp_store = MEMORY",
    "PRAGMA cache_size = -16000",
    "PRAGMA wal_autocheckpoint = 0",
    f"PRAGMA journal_size_limit = {LARGE_WAL}",
)


@value
class Step:
    """A statement to run."""

    text: str
    params: Any = ()
    many: bool = False  # the parameters are rows of them
    answer: Later | None = None  # where its rows go


BEGIN, COMMIT = Step("BEGIN IMMEDIATE"), Step("COMMIT")


class Connection(aiosqlite.Connection):
    """A connection that runs several statements in one hop to its thread."""

    async def play(self, steps: Sequence[Step]) -> None:
        """Run the statements in order."""
        await self._execute(_play, self._conn, steps)  # type: ignore[no-untyped-call]

    @classmethod
    def to(cls, path: Path | str, **options: Any) -> Self:
        """A connection, not open yet, with the options of ``sqlite3.connect``."""
        return cls(lambda: sqlite3.connect(path, isolation_level=None, cached_statements=256, **options), ROWS_AT_ONCE)

    async def __aenter__(self) -> Self:
        await super().__aenter__()
        self.row_factory = sqlite3.Row
        return self


def _play(connection: sqlite3.Connection, steps: Sequence[Step]) -> None:
    for step in steps:
        if step.many:
            _play_many(connection, step)
        elif step.answer is None:
            connection.execute(step.text, step.params)
        else:
            step.answer.rows = connection.execute(step.text, step.params).fetchall()


def _play_many(connection: sqlite3.Connection, step: Step) -> None:
    """One statement for each row; a text with values goes many rows in one.

    Each statement gives up the interpreter's lock and has to wait for it again behind the event loop, which costs
    more than the statement: so the fewer, the better.
    """
    rows: Sequence[Params] = step.params
    if _with_rows(step.text, 1) is None:
        connection.executemany(step.text, rows)
        return
    start = 0
    for size in ROWS_OF_A_STATEMENT:
        while len(rows) - start >= size:
            statement, names = _with_rows(step.text, size) or (step.text, ())
            values = [row[name] for row in rows[start : start + size] for name in names]
            answer = connection.execute(statement, values).fetchall()
            if answer and step.answer is not None:
                step.answer.rows += answer
            start += size


@lru_cache(maxsize=256)
def _with_rows(text: str, size: int) -> tuple[str, tuple[str, ...]] | None:
    """``... VALUES (:a, :b) ...`` with ``size`` rows, and the names of a row's values; None for another statement."""
    match = _VALUES.search(text)
    if match is None:
        return None
    row = _NAME.sub("?", match[1])
    return text[: match.start(1)] + ", ".join([row] * size) + text[match.end(1) :], tuple(_NAME.findall(match[1]))


class SqliteTransaction:
    """The writer's connection while a transaction is open.

    A hop to the connection's thread and back costs more than most statements. What answers nothing is put by
    and goes along with the next one that does, or with the commit; should it fail, the transaction fails then.
    """

    is_shared = False

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._put_by: list[Step] = [BEGIN]
        self.actions: list[Callable[[], None]] = []

    async def fetch(self, query: Query, params: Params | None = None) -> list[Row]:
        """See driver.Reader."""
        if not query.text:  # one that databases with several writers need
            return []
        answer = await self.later(query, params or {})
        await self._play()
        return answer.rows

    async def later(self, query: Query, params: Params) -> Later:
        """See driver.Transaction."""
        answer = Later()
        self._put_by.append(Step(query.text, dict(params), answer=answer))
        return answer

    async def many(self, query: Query, rows: Sequence[Params]) -> Later:
        """See driver.Transaction."""
        answer = Later()
        if rows:
            self._put_by.append(Step(query.text, rows, many=True, answer=answer))
        return answer

    async def commit(self) -> None:
        """Make it durable."""
        self._put_by.append(COMMIT)
        await self._play()

    def after_commit(self, action: Callable[[], None]) -> None:
        """See driver.Transaction."""
        self.actions.append(action)

    async def _play(self) -> None:
        steps, self._put_by = self._put_by, []
        await self._connection.play(steps)


class SqliteDatabase:
    """An open database file. Make one with ``opened``."""

    is_shared = False

    def __init__(self, path: Path, writer: Connection, reader: Connection) -> None:
        self._path = path
        self._writer = writer
        self._reader = reader
        self._wal_is_large = False

    async def fetch(self, query: Query, params: Params | None = None) -> list[Row]:
        """Rows of a query, from the last committed state."""
        if not query.text:
            return []
        answer = Later()
        await self._reader.play([Step(query.text, dict(params or {}), answer=answer)])
        return answer.rows

    @asynccontextmanager
    async def transaction(self, *, alone: bool = False) -> AsyncIterator[SqliteTransaction]:  # noqa: ARG002  each is
        """One transaction; the caller sees to it that there is one at a time."""
        transaction = SqliteTransaction(self._writer)
        try:
            yield transaction
            await transaction.commit()
        except BaseException as error:
            if self._writer.in_transaction:
                await asyncio.shield(self._writer.rollback())
            if isinstance(error, sqlite3.OperationalError):
                raise errors.Unavailable(
                    f"the database cannot take writes now ({error}); nothing was stored"
                ) from error
            raise
        # It is durable: whatever fails from here on must not look as if it were not.
        for action in transaction.actions:
            try:
                action()
            except Exception:
                log.exception("what follows a commit failed")
        if self._wal_is_large:
            self._wal_is_large = False
            await _checkpoint(self._writer)

    async def script(self, text: str) -> None:
        """Run several statements as one transaction; Unavailable when one of them fails, and then none has run."""
        text = sql.migration(text, "sqlite").replace("@serial@", "INTEGER PRIMARY KEY AUTOINCREMENT")
        try:
            await self._writer.executescript(f"BEGIN IMMEDIATE;\n{text}\nCOMMIT;")
        except sqlite3.DatabaseError as error:
            if self._writer.in_transaction:
                await self._writer.rollback()
            raise errors.Unavailable(str(error)) from error

    @asynccontextmanager
    async def exclusively(self) -> AsyncIterator[None]:
        """See driver.Database: ``sole_owner`` sees to it."""
        yield

    def upkeep(self) -> dict[str, Coroutine[Any, Any, None]]:
        """See driver.Database."""
        return {"checkpoints": self._checkpoints()}

    async def _checkpoints(self) -> None:
        """Copy the log back into the database for as long as the service runs."""
        wal = Path(f"{self._path}-wal")
        async with aiosqlite.connect(self._path, isolation_level=None) as connection:
            await connection.execute_fetchall(f"PRAGMA busy_timeout = {BUSY_TIMEOUT}")
            while True:
                await asyncio.sleep(CHECKPOINT_INTERVAL)
                await _checkpoint(connection)
                # Under unbroken load it never reaches the end of the log, which would grow without bound. What
                # little is left the writer itself copies between two transactions, and begins the log anew.
                self._wal_is_large = wal.exists() and wal.stat().st_size > LARGE_WAL


async def _checkpoint(connection: aiosqlite.Connection) -> None:
    try:
        await connection.execute_fetchall("PRAGMA wal_checkpoint(PASSIVE)")
    except sqlite3.OperationalError as error:  # a full disk, say: the log holds everything until there is room
        log.warning("cannot checkpoint the database: %s", error)


@asynccontextmanager
async def opened(path: Path) -> AsyncIterator[SqliteDatabase]:
    """The database in this file, made if it is not there; ConfigError when it cannot be opened."""
    async with AsyncExitStack() as stack:
        try:
            path.touch(mode=0o600)  # it holds what your directories hold, and its -wal and -shm files follow it
            writer, reader = [await stack.enter_async_context(Connection.to(path)) for _ in range(2)]
            for connection in (writer, reader):
                for pragma in PRAGMAS:
                    await connection.execute_fetchall(pragma)
            await reader.execute_fetchall("PRAGMA query_only = ON")
            path.chmod(0o600)
        except (sqlite3.DatabaseError, OSError) as error:
            raise errors.ConfigError(f"database {path}: {error}") from error
        yield SqliteDatabase(path, writer, reader)


@asynccontextmanager
async def sole_owner(path: Path) -> AsyncIterator[None]:
    """Hold the file's lock: one process serves a database file, and may take over what another left behind.

    The lock is the kernel's, so it ends with the process however that ends.
    """
    lock = Path(f"{path}.lock")
    try:
        descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise errors.ConfigError(f"database {path}: cannot be written here: {error.strerror}") from error
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise errors.ConfigError(
                f"database {path}: another process serves this file; stop it first, or use another database.url"
            ) from error
        yield
    finally:
        os.close(descriptor)
