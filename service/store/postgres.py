"""The PostgreSQL driver: a pool of connections, the SQL text translated once for each query.

Several transactions are open at once, here and in other replicas, each under READ COMMITTED: every statement sees
what was committed before it. What must not change between reading and writing is locked by its row (``FOR UPDATE``
in the PostgreSQL form of a query); what is made twice collides in a unique index and is tried again. Transactions
share a lock that one which goes *alone* takes for itself, so that it overlaps with none of them.

The answer to a COMMIT can get lost with its connection, and then nobody knows whether it is durable: each
transaction knows its number, and PostgreSQL tells what became of it (``pg_xact_status``).
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import Any
from urllib.parse import urlsplit

import asyncpg

from service import errors
from service.store import replicas, sql
from service.store.driver import Collision, Later, Params, Row
from service.store.replicas import Attendant
from service.store.sql import Query

log = logging.getLogger(__name__)

CONNECTIONS = 10  # of one process, at most
STATEMENTS = 1000  # that a connection keeps prepared
CONNECT_TIMEOUT = 10.0  # seconds
STATEMENT_TIMEOUT = 60.0  # seconds for one statement, waiting for locks included
LOCK_TIMEOUT = 10_000  # ms that a statement waits for a lock
ASKING = 20.0  # seconds for which it is asked what became of a commit
PAUSE = 0.1  # seconds between two such questions
MIGRATING = 3600.0  # seconds that one waits for another to migrate
CLOSING = 5.0  # seconds
IDLE_TIMEOUT = 10_000  # ms: a process that stops in the middle of a transaction must not hold up the others
LISTENING = 5.0  # seconds between two questions whether the connection that listens still lives
CHANNEL = "webhook_watch"  # what is told to other processes

SESSION = {
    "application_name": "webhook-watch",
    "lock_timeout": str(LOCK_TIMEOUT),
    "idle_in_transaction_session_timeout": str(IDLE_TIMEOUT),
    "jit": "off",
}

# Names of advisory locks: ours among those of others in the same database.
EVERYTHING = 0x5757_0000_0000_0001  # shared by transactions, held by one that goes alone
MIGRATION = 0x5757_0000_0000_0002

_CUT = (  # the connection is gone, or going
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,  # it is stopped, starts, or recovers
    OSError,
    TimeoutError,
)
_UNAVAILABLE = (
    *_CUT,
    asyncpg.InsufficientResourcesError,  # a full disk, too many connections
    asyncpg.PostgresSystemError,  # one that cannot be written
    asyncpg.ReadOnlySQLTransactionError,  # it is a standby now
)
_COLLISIONS = (
    asyncpg.UniqueViolationError,
    asyncpg.TransactionRollbackError,  # deadlock, serialization
    asyncpg.LockNotAvailableError,
    asyncpg.OutOfMemoryError,  # no room for so many locks
)
_UNFIT = (asyncpg.CharacterNotInRepertoireError, asyncpg.UntranslatableCharacterError)

_NAME = re.compile(r"(?<!:):(\w+)")
_VALUES = re.compile(r"\bVALUES\s*(\((?:[^()]|\([^()]*\))*\))")
_NUMBERED = re.compile(r"\$(\d+)")
_EACH = re.compile(r"\bjson_each\((:\w+)\) AS k\b")

_BEGIN = {
    False: f"BEGIN; SELECT pg_advisory_xact_lock_shared({EVERYTHING})",
    True: f"BEGIN; SELECT pg_advisory_xact_lock({EVERYTHING}); NOTIFY {CHANNEL}, 'alone'",
}
_NUMBER = "SELECT CAST(pg_current_xact_id() AS TEXT)"
_FATE = "SELECT pg_xact_status(CAST(CAST($1 AS TEXT) AS xid8))"


class Connections:
    """Connections to one database, made when they are needed and kept for the next one who does."""

    def __init__(self, url: str, most: int) -> None:
        self._url = url
        self._free: list[asyncpg.Connection[Any]] = []
        self._places = asyncio.Semaphore(most)

    @asynccontextmanager
    async def borrowed(self) -> AsyncIterator[asyncpg.Connection[Any]]:
        """One of them, for the time of the block; it is kept unless something has happened to it."""
        async with self._places:
            connection = await self._one()
            is_sound = False
            try:
                yield connection
                is_sound = True
            except (asyncpg.PostgresError, errors.WatchError, Collision):
                is_sound = True
                raise
            finally:
                if is_sound and not connection.is_closed() and not connection.is_in_transaction():
                    self._free.append(connection)
                else:
                    connection.terminate()

    async def connect(self) -> asyncpg.Connection[Any]:
        """A new one, that is not of these. Raises Unavailable."""
        try:
            return await asyncpg.connect(
                self._url,
                timeout=CONNECT_TIMEOUT,
                command_timeout=STATEMENT_TIMEOUT,
                statement_cache_size=STATEMENTS,
                max_cached_statement_lifetime=0,
                server_settings=SESSION,
            )
        except (*_UNAVAILABLE, asyncpg.PostgresError) as error:  # also one that does not know us any more
            why = str(error) or type(error).__name__
            raise errors.Unavailable(f"the database cannot be reached ({why}); nothing was stored") from error

    async def close(self) -> None:
        """End those that nobody has."""
        for connection in self._free:
            try:
                await connection.close(timeout=CLOSING)
            except (*_UNAVAILABLE, asyncpg.PostgresError):
                connection.terminate()
        self._free.clear()

    async def _one(self) -> asyncpg.Connection[Any]:
        while self._free:
            connection = self._free.pop()  # the one that rested least: what it has prepared is in the server's caches
            if not connection.is_closed():
                return connection
        return await self.connect()


class PostgresTransaction:
    """A connection while a transaction is open on it."""

    is_shared = True

    def __init__(self, connection: asyncpg.Connection[Any]) -> None:
        self._connection = connection
        self.actions: list[Callable[[], None]] = []

    async def fetch(self, query: Query, params: Params | None = None) -> list[Row]:
        """See driver.Reader."""
        with _translated():
            return await _fetch(self._connection, query, params)

    async def later(self, query: Query, params: Params) -> Later:
        """See driver.Transaction."""
        return Later(await self.fetch(query, params))

    async def many(self, query: Query, rows: Sequence[Params]) -> Later:
        """See driver.Transaction: a text with values takes all rows at once, as columns."""
        if not rows:
            return Later()
        with _translated():
            statement = _statement(query.text if query.postgresql is None else query.postgresql)
            if len(rows) == 1:
                return Later(await self._connection.fetch(statement.text, *statement.values(rows[0])))
            columns = await _in_columns(self._connection, statement)
            if columns is None:
                await self._connection.executemany(statement.text, [statement.values(row) for row in rows])
                return Later()
            return Later(
                await self._connection.fetch(columns, *([row[name] for row in rows] for name in statement.names))
            )

    def after_commit(self, action: Callable[[], None]) -> None:
        """See driver.Transaction."""
        self.actions.append(action)


class PostgresDatabase:
    """An open database. Make one with ``opened``."""

    is_shared = True

    def __init__(self, connections: Connections) -> None:
        self._connections = connections
        self.attendant: Attendant | None = None

    async def fetch(self, query: Query, params: Params | None = None) -> list[Row]:
        """Rows of a query, from the last committed state."""
        with _translated():
            async with self._connections.borrowed() as connection:
                try:
                    return await _fetch(connection, query, params)
                except _UNFIT:  # what cannot be stored is not found
                    return []

    @asynccontextmanager
    async def transaction(self, *, alone: bool = False) -> AsyncIterator[PostgresTransaction]:
        """See driver.Database."""
        async with self._connections.borrowed() as connection:
            transaction = PostgresTransaction(connection)
            try:
                number = await self._begin(connection, transaction, alone=alone)
                yield transaction
            except BaseException:
                await _roll_back(connection)
                raise
            await self._commit(connection, number)
        # It is durable: whatever fails from here on must not look as if it were not.
        for action in transaction.actions:
            try:
                action()
            except Exception:
                log.exception("what follows a commit failed")

    async def script(self, text: str) -> None:
        """See driver.Database."""
        statements = ddl(text)
        with _translated():
            async with self._connections.borrowed() as connection:
                try:
                    await connection.execute(f"BEGIN; {statements}\n; COMMIT")
                except asyncpg.PostgresError as error:
                    await _roll_back(connection)
                    raise errors.Unavailable(str(error)) from error

    async def listen(self, heard: Callable[[str], None]) -> None:
        """Call ``heard`` with each message of another process, until the connection breaks. Raises Unavailable.

        The first call, with the empty message, says that from now on none is missed.
        """
        with _translated():
            connection = await self._connections.connect()
            try:
                await connection.add_listener(CHANNEL, lambda _connection, _pid, _channel, message: heard(message))
                heard("")
                while True:
                    await asyncio.sleep(LISTENING)
                    await connection.fetchval("SELECT 1")  # a connection that is dead does not say so by itself
            finally:
                connection.terminate()

    async def notify(self, message: str) -> None:
        """Tell all processes that listen, this one too."""
        with _translated():
            async with self._connections.borrowed() as connection:
                await connection.fetchval("SELECT pg_notify($1, $2)", CHANNEL, message)

    def upkeep(self) -> dict[str, Coroutine[Any, Any, None]]:
        """See driver.Database: its server looks after it."""
        return {}

    @asynccontextmanager
    async def exclusively(self) -> AsyncIterator[None]:
        """See driver.Database: the lock ends with its connection, however that ends."""
        async with self._connections.borrowed() as connection:
            with _translated():
                await connection.execute("SET lock_timeout = 0")
                await connection.fetch(f"SELECT pg_advisory_lock({MIGRATION})", timeout=MIGRATING)
            try:
                yield
            finally:
                connection.terminate()  # and with it what it was set to

    async def _begin(
        self, connection: asyncpg.Connection[Any], transaction: PostgresTransaction, *, alone: bool
    ) -> str:
        with _translated():
            await connection.execute(_BEGIN[alone])
            if self.attendant is None:
                return str(await connection.fetchval(_NUMBER))
        row = await replicas.begin(transaction, self.attendant.worker_id)
        await self.attendant.begun(transaction, row)
        return str(row["number"])

    async def _commit(self, connection: asyncpg.Connection[Any], number: str) -> None:
        try:
            status = await connection.execute("COMMIT")
        except _CUT as error:
            log.warning("the connection broke at a commit (%s): asking what became of it", error)
            connection.terminate()
            if not await self._is_committed(number):
                raise errors.Unavailable("the database went away; nothing was stored") from error
            return
        except asyncpg.PostgresError:
            with _translated():
                raise
        if status != "COMMIT":  # some statement had failed, and somebody went on
            raise RuntimeError(f"a transaction with a failed statement was committed: {status}")

    async def _is_committed(self, number: str) -> bool:
        """What became of a transaction whose commit was not answered. Raises Unavailable: that cannot be found out."""
        try:
            async with asyncio.timeout(ASKING):
                while (fate := await self._fate(number)) == "in progress":  # noqa: ASYNC110  the server does not call
                    await asyncio.sleep(PAUSE)
        except TimeoutError:
            raise errors.Unavailable("the database went away; it is not known whether this was stored") from None
        return fate == "committed"

    async def _fate(self, number: str) -> str | None:
        try:
            connection = await self._connections.connect()  # those of the others may all wait for the same
        except errors.Unavailable:
            return "in progress"
        try:
            fate: str | None = await connection.fetchval(_FATE, number)
        except _UNAVAILABLE:
            return "in progress"
        else:
            return fate
        finally:
            connection.terminate()


@asynccontextmanager
async def opened(url: str) -> AsyncIterator[PostgresDatabase]:
    """The database at this URL; ConfigError when it cannot be reached."""
    connections = Connections(url, CONNECTIONS)
    try:
        async with connections.borrowed():
            pass
    except (errors.Unavailable, ValueError) as error:
        why = error.__cause__ or error
        raise errors.ConfigError(f"database.url: {_named(url)}: {why or type(why).__name__}") from None
    try:
        yield PostgresDatabase(connections)
    finally:
        await connections.close()


def ddl(text: str) -> str:
    """A migration in PostgreSQL's words. Texts compare by their code points, as they do in SQLite."""
    text = sql.migration(text, "postgresql").replace("@serial@", "BIGINT GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY")
    return re.sub(r"(?<!\bAS )\bTEXT\b", 'TEXT COLLATE "C"', text)


@dataclass(frozen=True, slots=True)
class _Statement:
    """A query's text with ``$1`` in place of ``:name``, and the names in the order of the numbers."""

    text: str
    names: tuple[str, ...]

    def values(self, params: Params) -> list[Any]:
        return [params[name] for name in self.names]


async def _fetch(connection: asyncpg.Connection[Any], query: Query, params: Params | None) -> list[Row]:
    text = query.text if query.postgresql is None else query.postgresql
    statement = _statement(text)
    rows: list[Row] = await connection.fetch(statement.text, *statement.values(params or {}))
    return rows


@lru_cache(maxsize=1024)
def _statement(text: str) -> _Statement:
    names: list[str] = []

    def number(match: re.Match[str]) -> str:
        if match[1] not in names:
            names.append(match[1])
        return f"${names.index(match[1]) + 1}"

    # SQLite's json_each has rows of any JSON; ours are texts, or arrays whose members are taken out as texts.
    elements = "jsonb_array_elements" if "k.value->>" in text else "jsonb_array_elements_text"
    text = _EACH.sub(rf"{elements}(CAST(\1 AS JSONB)) AS k (value)", text)
    return _Statement(_NAME.sub(number, text), tuple(names))


async def _in_columns(connection: asyncpg.Connection[Any], statement: _Statement) -> str | None:
    """``... VALUES ($1, $2) ...`` for any number of rows, which come as columns; None for another statement."""
    match = _VALUES.search(statement.text)
    if match is None:
        return None
    text = _columns.get(statement.text)
    if text is None:
        prepared = await connection.prepare(statement.text)
        kinds = [kind.name for kind in prepared.get_parameters()]
        arrays = ", ".join(f"${place}::{kind}[]" for place, kind in enumerate(kinds, 1))
        row = _NUMBERED.sub(r"u.c\1", match[1][1:-1])
        names = ", ".join(f"c{place}" for place in range(1, len(kinds) + 1))
        select = f"SELECT {row} FROM unnest({arrays}) AS u ({names})"  # noqa: S608  words of our own files
        text = _columns[statement.text] = statement.text[: match.start()] + select + statement.text[match.end() :]
    return text


_columns: dict[str, str] = {}  # as PostgreSQL sees a statement's parameters, which is the same on every connection


async def _roll_back(connection: asyncpg.Connection[Any]) -> None:
    """Whatever happened to the connection, nothing of it stays."""
    try:
        if not connection.is_closed() and connection.is_in_transaction():
            await connection.execute("ROLLBACK", timeout=CONNECT_TIMEOUT)
    except (*_UNAVAILABLE, asyncpg.PostgresError):
        connection.terminate()


@contextmanager
def _translated() -> Iterator[None]:
    """Failures in the words of driver."""
    try:
        yield
    except _COLLISIONS as error:
        raise Collision(str(error)) from error
    except _UNFIT as error:
        raise errors.Invalid("a text holds the character NUL (U+0000), which cannot be stored: leave it out") from error
    except _UNAVAILABLE as error:
        if isinstance(error, ValueError):  # a value that does not fit its parameter: a bug of ours
            raise
        why = str(error) or type(error).__name__
        raise errors.Unavailable(f"the database cannot be used now ({why}); nothing was stored") from error


def _named(url: str) -> str:
    """A database without its password."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.hostname or ''}{parts.path}"
