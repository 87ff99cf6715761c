"""One run: everything is started, loaded, broken; then left alone until it is quiet; then judged."""

from __future__ import annotations

import asyncio
import dataclasses
import random
import subprocess
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import orjson

from service.delivery.dispatcher import UNSETTLED
from tests.chaos import faults, ledger
from tests.chaos.faults import World
from tests.chaos.fleet import CONCURRENCY, PATIENCE, Keeper, Reaper, Trouble
from tests.chaos.ledger import Change, Ledger, Logged, Watch
from tests.chaos.load import Hook, Load
from tests.chaos.names import Names
from tests.support import postgres
from tests.support.authserver import AuthServer
from tests.support.receiver import Call
from tests.support.running import ADMIN_KEY, Client

STEADY = {"schedule": [0.1, 0.2, 0.5, *[1] * 30], "timeout": 5}
BRIEF = {"schedule": [0.1, 0.2], "timeout": 4}  # gives up
SMALL = "256m"  # the disk of a run that fills it


@dataclass(frozen=True, slots=True)
class Plan:
    """What a run is to be."""

    seed: int
    seconds: float
    ends: int = 1  # kills at least, however long that takes
    pause: float = 1.0  # seconds that a process lives after its start, on the average
    rate: float = 50.0  # writes a second
    resources: int = 300
    postgresql: bool = False
    replicas: int = 1
    patience: float = 180.0  # seconds that the last deliveries may take: leases of 30, retries, probes
    disk: bool = False  # fill one of our own (root)
    faults: Sequence[str] = faults.NAMES


@dataclass(slots=True)
class Report:
    """What came of it."""

    plan: Plan
    findings: list[str] = field(default_factory=list)
    figures: dict[str, Any] = field(default_factory=dict)


async def run(plan: Plan, directory: Path) -> Report:
    """All of it. What was seen is left in ``ledger.json`` in the directory."""
    report = Report(plan)
    seen = Ledger(in_flight=CONCURRENCY * (1 + UNSETTLED) + 1)
    chance = random.Random(plan.seed)
    async with AsyncExitStack() as stack:
        world = await _world(plan, directory, seen, chance, report.findings, stack)
        clients = [await stack.enter_async_context(_client(keeper.url)) for keeper in world.keepers]
        await asyncio.gather(*(asyncio.wait_for(keeper.ready.wait(), PATIENCE) for keeper in world.keepers))
        names = await _register(clients[0], world)
        seen.watches = [Watch(name, is_ordered=name != "unordered") for name in world.hooks]
        load = Load(clients, seen, chance, plan.rate)
        reapers = [Reaper(keeper, chance, plan.pause) for keeper in world.keepers]
        over = asyncio.Event()
        began = time.monotonic()
        async with asyncio.TaskGroup() as group:
            group.create_task(load.run(plan.resources, over))
            group.create_task(faults.run(world, plan.faults, over))
            ends = [group.create_task(reaper.run(over)) for reaper in reapers]
            while time.monotonic() < began + plan.seconds or sum(reaper.kills for reaper in reapers) < plan.ends:
                await asyncio.sleep(0.1)
                assert not any(task.done() for task in ends)
            over.set()
        kills, stops = sum(reaper.kills for reaper in reapers), sum(reaper.stops for reaper in reapers)
        loaded = time.monotonic() - began
        await _quiet(clients[0], plan.patience, report.findings)
        seen.feed = [_change(item) async for item in _all(clients[0], "/api/v1/changes")]
        seen.log = [_logged(item, names) async for item in _all(clients[0], "/api/v1/deliveries")]
        report.findings += load.odd
    report.findings += ledger.judge(seen)
    report.figures = _figures(seen, loaded) | {"kills": kills, "stops": stops, "faults": world.done}
    report.figures["impossible here"] = faults.impossible(world, plan.faults)
    (directory / "ledger.json").write_bytes(orjson.dumps(dataclasses.asdict(seen)))
    return report


async def _world(
    plan: Plan, directory: Path, seen: Ledger, chance: random.Random, findings: list[str], stack: AsyncExitStack
) -> World:
    authority = stack.enter_context(AuthServer(expires_in=20))
    authority.add_client("chaos", "the-client-secret")
    with_token = _bears_a_token(authority)
    hooks = {name: Hook(name, seen) for name in ("steady", "brief", "unordered")} | {
        "oauth2": Hook("oauth2", seen, with_token)
    }
    for hook in hooks.values():
        await stack.enter_async_context(hook.receiver)
    home = stack.enter_context(_disk(directory / "disk")) if plan.disk else directory
    server, url = None, ""
    if plan.postgresql:
        server = await stack.enter_async_context(_postgresql())
        url = await server.new_database()
        (directory / "database.url").write_text(url)
    trouble = Trouble()
    names = Names(directory, *hooks)
    keepers = [Keeper(directory, home, names.prefix, seen, trouble, findings) for _ in range(plan.replicas)]
    keeping = [asyncio.create_task(keeper.run()) for keeper in keepers]
    stack.push_async_callback(_end, keeping)
    sqlite = None if plan.postgresql else home / "watch.db"
    disk = home if plan.disk else None
    return World(chance, seen, hooks, authority, keepers, trouble, names, sqlite, disk, server, url)


def _bears_a_token(authority: AuthServer):
    def bears(call: Call) -> bool:
        return call.headers.get("authorization", "").removeprefix("Bearer ") in authority.issued

    return bears


@asynccontextmanager
async def _postgresql() -> AsyncIterator[postgres.Server]:
    starting = postgres.server()
    server = await asyncio.to_thread(starting.__enter__)
    try:
        yield server
    finally:
        await asyncio.to_thread(starting.__exit__, None, None, None)


@contextmanager
def _disk(place: Path) -> Iterator[Path]:
    """A small file system of our own, in memory."""
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={SMALL}", "tmpfs", place], check=True)
    try:
        yield place
    finally:
        subprocess.run(["umount", "-l", place], check=True)


@asynccontextmanager
async def _client(url: str) -> AsyncIterator[Client]:
    """A client whose refused connection means that nothing was sent.

    With a connection that is kept it would not: aiohttp sends a PUT once more, by itself, when the first one's breaks.
    """
    connector = aiohttp.TCPConnector(force_close=True)
    async with aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(total=15)) as session:
        session._retry_connection = False
        yield Client(session, url, ADMIN_KEY)


async def _end(keeping: Sequence[asyncio.Task[None]]) -> None:
    for task in keeping:
        task.cancel()
    await asyncio.gather(*keeping, return_exceptions=True)


async def _register(client: Client, world: World) -> dict[str, str]:
    """The watches; their names by their ids."""
    oauth2 = {
        "grantType": "client_credentials",
        "clientId": "chaos",
        "clientSecret": "the-client-secret",
        "accessTokenUrl": world.authority.token_url,
    }
    members: dict[str, dict[str, Any]] = {
        "steady": {"retry": STEADY, "signature": {"enabled": True}},
        "brief": {"retry": BRIEF},
        "unordered": {"retry": STEADY, "ordering": "none"},
        "oauth2": {"retry": STEADY, "oauth2Auth": oauth2},
    }
    addresses = {name: hook.receiver.url for name, hook in world.hooks.items()}
    if world.names.works:
        addresses = {name: url.replace("127.0.0.1", name) for name, url in addresses.items()}
    made = {name: await client.watch(address, **members[name]) for name, address in addresses.items()}
    return {watch["id"]: name for name, watch in made.items()}


async def _quiet(client: Client, patience: float, findings: list[str]) -> None:
    """Wait until nothing is pending any more."""
    try:
        async with asyncio.timeout(patience):
            while True:
                with suppress(aiohttp.ClientError, TimeoutError):
                    answer = await client.get("/api/v1/deliveries?status=pending&limit=1")
                    if answer.status == 200 and not answer.body["items"]:
                        return
                await asyncio.sleep(0.2)
    except TimeoutError:
        findings.append(f"deliveries were still pending after {patience:.0f} s without any fault")


async def _all(client: Client, path: str) -> AsyncIterator[Any]:
    cursor = ""
    while cursor is not None:
        answer = await client.get(f"{path}?limit=500{cursor and f'&cursor={cursor}'}")
        assert answer.status == 200, answer.text
        for item in answer.body["items"]:
            yield item
        cursor = answer.body["nextCursor"]


def _change(item: Any) -> Change:
    mark = None if item["resource"] is None else item["resource"]["organization"]
    return Change(item["id"], item["objectId"], item["version"], mark)


def _logged(item: Any, names: dict[str, str]) -> Logged:
    request = item["request"]
    change_id = None if request is None else request["headers"].get("ce-id")
    return Logged(item["id"], names[item["watch"]["id"]], change_id, item["status"], item["reason"])


def _figures(seen: Ledger, loaded: float) -> dict[str, Any]:
    return {
        "seconds": round(loaded, 1),
        "writes": dict(Counter(write.said.value for write in seen.writes)),
        "changes": len(seen.feed),
        "callbacks": len(seen.arrivals),
        "taken": sum(arrival.taken for arrival in seen.arrivals),
        "log": dict(Counter(row.status for row in seen.log)),
        "reasons": dict(Counter(row.reason for row in seen.log if row.reason)),
        "repeats": dict(ledger.repeats(seen)),
        "allowed": len(seen.cuts) * seen.in_flight,
    }
