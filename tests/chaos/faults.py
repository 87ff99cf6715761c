"""What goes wrong, as a table: each fault lasts for a block, and says beforehand where it cannot be had."""

from __future__ import annotations

import asyncio
import os
import random
import sqlite3
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from tests.chaos.fleet import Keeper, Trouble
from tests.chaos.ledger import Ledger
from tests.chaos.load import Hook
from tests.chaos.names import Names
from tests.support import postgres
from tests.support.authserver import AuthServer
from tests.support.receiver import RESET, Answer

ROOM = 64 * 1024  # bytes that are left where files may not grow
LOCKED = 7.0  # seconds that another one holds the database at the most: the service waits for five


@dataclass(slots=True)
class World:
    """What can be broken."""

    chance: random.Random
    ledger: Ledger
    hooks: Mapping[str, Hook]
    authority: AuthServer
    keepers: Sequence[Keeper]
    trouble: Trouble
    names: Names
    sqlite: Path | None = None
    disk: Path | None = None  # a small file system that the database is on
    postgresql: postgres.Server | None = None
    url: str = ""  # of the database
    done: dict[str, int] = field(default_factory=dict)  # how often, by the fault's name


@dataclass(frozen=True, slots=True)
class Fault:
    """Something that goes wrong for a while."""

    name: str
    lasts: float  # seconds at the most
    begin: Callable[[World], AbstractAsyncContextManager[None]]
    can: Callable[[World], bool] = lambda _world: True


async def run(world: World, names: Sequence[str], over: asyncio.Event) -> None:
    """One fault after the other, each of them in every turn, in random order."""
    possible = [fault for fault in FAULTS if fault.name in names and fault.can(world)]
    while possible and not over.is_set():
        for fault in world.chance.sample(possible, len(possible)):
            if over.is_set():
                return
            world.done[fault.name] = world.done.get(fault.name, 0) + 1
            async with fault.begin(world):
                await _wait(over, world.chance.uniform(0.2, 1) * fault.lasts)
            await _wait(over, world.chance.uniform(0, 1))


def impossible(world: World, names: Sequence[str]) -> list[str]:
    """What was asked for and cannot be had here."""
    return [fault.name for fault in FAULTS if fault.name in names and not fault.can(world)]


async def _wait(over: asyncio.Event, seconds: float) -> None:
    with suppress(TimeoutError):
        await asyncio.wait_for(over.wait(), seconds)


def _answering(answer: Answer) -> Callable[[World], AbstractAsyncContextManager[None]]:
    """Receivers, some of them, that answer most callbacks so."""

    @asynccontextmanager
    async def begin(world: World) -> AsyncIterator[None]:
        share = world.chance.uniform(0.3, 1)
        chosen = world.chance.sample(list(world.hooks.values()), world.chance.randint(1, 2))
        for hook in chosen:
            hook.mood = lambda: answer if world.chance.random() < share else None
        yield
        for hook in chosen:
            hook.mood = lambda: None

    return begin


@asynccontextmanager
async def _hanging(world: World) -> AsyncIterator[None]:
    """A receiver does not answer before it is too late."""
    gate = asyncio.Event()
    hook = world.chance.choice(list(world.hooks.values()))
    hook.mood = lambda: Answer(503, gate=gate)
    yield
    hook.mood = lambda: None
    gate.set()


@asynccontextmanager
async def _refused(world: World) -> AsyncIterator[None]:
    chosen = world.chance.choice(list(world.hooks.values())).receiver
    cut = world.ledger.cut()
    await chosen.stop()
    world.ledger.mend(cut)
    yield
    await chosen.start()


@asynccontextmanager
async def _nameless(world: World) -> AsyncIterator[None]:
    """The name of a receiver is not found; there is no connection left that would not need it."""
    world.names.forget()
    for hook in world.hooks.values():
        hook.receiver.close_idle()
    yield
    world.names.know()


@asynccontextmanager
async def _token_refused(world: World) -> AsyncIterator[None]:
    world.authority.broken = 500
    world.authority.issued.clear()
    yield
    world.authority.broken = None


@asynccontextmanager
async def _token_hangs(world: World) -> AsyncIterator[None]:
    world.authority.gate.clear()
    world.authority.issued.clear()
    yield
    world.authority.gate.set()


@asynccontextmanager
async def _tokens_revoked(world: World) -> AsyncIterator[None]:
    world.authority.issued.clear()
    yield


@asynccontextmanager
async def _in_trouble(world: World) -> AsyncIterator[None]:
    cuts = [world.ledger.cut() for _ in world.keepers] if world.postgresql is not None else []
    with world.trouble.lasting():
        yield
    for cut in cuts:
        world.ledger.mend(cut)


@asynccontextmanager
async def _busy(world: World) -> AsyncIterator[None]:
    """Another connection holds the lock for writing."""
    async with _in_trouble(world):
        other = sqlite3.connect(world.sqlite, isolation_level=None, timeout=0, check_same_thread=False)
        for _ in range(200):
            try:
                other.execute("BEGIN IMMEDIATE")
                break
            except sqlite3.OperationalError:
                await asyncio.sleep(0.01)
        yield
        await asyncio.to_thread(other.close)


@asynccontextmanager
async def _no_growth(world: World) -> AsyncIterator[None]:
    """Files of the service may not grow any more (RLIMIT_FSIZE, as by a quota)."""
    async with _in_trouble(world):
        for keeper in world.keepers:
            keeper.limit(keeper.log.stat().st_size + ROOM)
        yield
        for keeper in world.keepers:
            keeper.limit(None)


@asynccontextmanager
async def _full(world: World) -> AsyncIterator[None]:
    """Another file takes all the room that is left on the file system (ENOSPC)."""
    assert world.disk is not None
    async with _in_trouble(world):
        ballast = world.disk / "ballast"
        await asyncio.to_thread(_fill, ballast)
        yield
        ballast.unlink()


def _fill(ballast: Path) -> None:
    with ballast.open("wb") as file:
        for size in (1 << 20, 4096):
            with suppress(OSError):
                while True:
                    os.posix_fallocate(file.fileno(), os.fstat(file.fileno()).st_size, size)


def _restarting(*, crash: bool) -> Callable[[World], AbstractAsyncContextManager[None]]:
    @asynccontextmanager
    async def begin(world: World) -> AsyncIterator[None]:
        server = world.postgresql
        assert server is not None
        async with _in_trouble(world):
            await asyncio.to_thread(server.crash if crash else server.stop)
            yield
            await asyncio.to_thread(server.start)

    return begin


@asynccontextmanager
async def _cut(world: World) -> AsyncIterator[None]:
    assert world.postgresql is not None
    async with _in_trouble(world):
        for _ in range(world.chance.randint(1, 5)):
            await world.postgresql.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid <> pg_backend_pid()",
                url=world.url,
            )
            await asyncio.sleep(world.chance.uniform(0, 0.2))
        yield


def _on_sqlite(world: World) -> bool:
    return world.sqlite is not None


def _on_postgresql(world: World) -> bool:
    return world.postgresql is not None


FAULTS: Sequence[Fault] = (
    Fault("receivers answer 500", 3, _answering(Answer(500))),
    Fault("receivers answer 503, Retry-After", 2, _answering(Answer(503, {"Retry-After": "1"}))),
    Fault("receivers reset", 3, _answering(RESET)),
    Fault("a receiver hangs", 6, _hanging),
    Fault("a receiver is down", 3, _refused),
    Fault("a name is not found", 3, _nameless, lambda world: world.names.works),
    Fault("the token endpoint answers 500", 3, _token_refused),
    Fault("the token endpoint hangs", 3, _token_hangs),
    Fault("all tokens are revoked", 0.5, _tokens_revoked),
    Fault("SQLite is busy", LOCKED, _busy, _on_sqlite),
    Fault("files may not grow", 4, _no_growth, _on_sqlite),
    Fault("the disk is full", 4, _full, lambda world: world.disk is not None),
    Fault("PostgreSQL is restarted", 2, _restarting(crash=False), _on_postgresql),
    Fault("PostgreSQL crashes", 2, _restarting(crash=True), _on_postgresql),
    Fault("connections to PostgreSQL are cut", 1, _cut, _on_postgresql),
)
NAMES = tuple(fault.name for fault in FAULTS)
