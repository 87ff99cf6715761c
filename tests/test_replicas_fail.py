"""What several processes over one PostgreSQL survive: one that is killed or stands still, a database that goes away."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import aiohttp
import pytest

from service.api.services import Part
from service.store.replicas import LEASE
from tests.support import postgres, running
from tests.support.authserver import AuthServer
from tests.support.receiver import Answer, Call, Receiver
from tests.support.running import ADMIN_KEY, Client
from tests.test_replicas import TYPE, replicas, versions

PATIENCE = LEASE / 1000 * 3  # seconds


@asynccontextmanager
async def process(directory: Path, port: int, *arguments: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """``serve`` as a process of its own, ready; killed at the end of the block if it still runs."""
    environ = {"PATH": os.environ["PATH"], "PYTHONPATH": str(running.ROOT)}
    environ |= running.environ(directory, WATCH_PORT=str(port))
    log = await asyncio.to_thread((directory / f"serve{port}.log").open, "ab")
    started = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "service", "serve", *arguments, cwd=directory, env=environ, stdout=log, stderr=log
    )
    log.close()
    try:
        async with aiohttp.ClientSession() as session, asyncio.timeout(30):
            while not await is_ready(session, port):
                assert started.returncode is None, (directory / f"serve{port}.log").read_text()
                await asyncio.sleep(0.02)
        yield started
    finally:
        if started.returncode is None:
            started.send_signal(signal.SIGCONT)
            started.kill()
        await started.wait()


async def is_ready(session: aiohttp.ClientSession, port: int) -> bool:
    try:
        async with session.get(f"http://127.0.0.1:{port}/readyz") as answer:
            return answer.status == 200
    except aiohttp.ClientConnectionError:
        return False


@asynccontextmanager
async def clients(*ports: int) -> AsyncIterator[list[Client]]:
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=60)) as session:
        yield [Client(session, f"http://127.0.0.1:{port}", ADMIN_KEY) for port in ports]


async def accept(client: Client, object_id: str, turn: int) -> int | None:
    """The version that a write has made; None if it was not accepted, or nobody knows."""
    try:
        pushed = await client.put(f"{TYPE}/{object_id}", {"id": object_id, "organization": f"turn {turn}"})
    except (aiohttp.ClientError, TimeoutError):
        return None
    assert pushed.status in {200, 201, 503}, pushed.text
    return None if pushed.status == 503 else int(pushed.body["version"])


async def drained(client: Client) -> None:
    async with asyncio.timeout(PATIENCE):
        while True:
            answer = await client.get("/api/v1/deliveries?status=pending&limit=1")
            if answer.status == 200 and not answer.body["items"]:
                return
            await asyncio.sleep(0.05)


def assert_told(accepted: set[tuple[str, int]], calls: list[Call]) -> None:
    """Everything that was accepted was told, in the order of versions, and a repeat says that it is one."""
    assert accepted
    told = {(call.headers["ce-subject"], int(call.headers["ce-sequence"])) for call in calls}
    assert accepted <= told, sorted(accepted - told)
    ids = {}
    for call in calls:
        key = (call.headers["ce-subject"], call.headers["ce-sequence"])
        assert ids.setdefault(key, call.headers["webhook-id"]) == call.headers["webhook-id"]
    for name, found in versions(calls).items():
        assert found == sorted(found), f"{name} was told out of order: {found}"


@pytest.mark.postgresql
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP], ids=["killed", "stopped"])
async def test_of_two_that_both_work_one_ends_without_a_word_and_the_other_one_takes_over(
    tmp_path: Path, unused_tcp_port_factory, how: signal.Signals
):
    ports = unused_tcp_port_factory(), unused_tcp_port_factory()
    accepted: set[tuple[str, int]] = set()
    turns, ended = 12, asyncio.Event()
    async with AsyncExitStack() as stack:
        receiver = await stack.enter_async_context(Receiver())
        doomed, _ = [await stack.enter_async_context(process(tmp_path, port)) for port in ports]
        callers = await stack.enter_async_context(clients(*ports))

        def ledger(_call: Call) -> Answer:
            if len(receiver.calls) >= 200 and not ended.is_set():
                ended.set()
                doomed.send_signal(how)
            return Answer(200)

        receiver.answers = ledger
        await callers[0].watch(receiver.url)

        async def write(number: int) -> None:
            for turn in range(turns):
                client = callers[1] if ended.is_set() else callers[(number + turn) % 2]
                writing = asyncio.create_task(accept(client, f"a{number}", turn))
                ending = asyncio.create_task(ended.wait())
                await asyncio.wait({writing, ending}, return_when=asyncio.FIRST_COMPLETED)
                if not writing.done() and client is callers[0]:  # it does not answer any more
                    await asyncio.wait({writing}, timeout=0.5)
                ending.cancel()
                if writing.done():
                    version = writing.result()
                    if version is not None:
                        accepted.add((f"a{number}", version))
                else:
                    writing.cancel()

        await asyncio.gather(*(write(number) for number in range(40)))
        assert ended.is_set()
        await drained(callers[1])
        await asyncio.sleep(0)
        calls = list(receiver.calls)
    assert_told(accepted, calls)


@pytest.fixture
def server_of_its_own(tmp_path: Path):
    with postgres.server() as server:
        url = asyncio.run(server.new_database())
        (tmp_path / "database.url").write_text(url)
        yield server


@pytest.mark.parametrize("crash", [False, True], ids=["restarted", "crashed"])
async def test_the_database_goes_away_under_load_and_comes_back_and_nothing_is_lost(
    server_of_its_own: postgres.Server, tmp_path: Path, receiver: Receiver, crash: bool
):
    accepted: set[tuple[str, int]] = set()
    refused = 0
    async with replicas(tmp_path, Part.ALL, Part.ALL) as pair:
        callers = [service.admin for service in pair]
        await callers[0].watch(receiver.url)
        stop = asyncio.Event()

        async def write(number: int) -> None:
            nonlocal refused
            turn = 0
            while not stop.is_set():
                version = await accept(callers[(number + turn) % 2], f"a{number}", turn)
                if version is None:
                    refused += 1
                    await asyncio.sleep(0.05)
                else:
                    accepted.add((f"a{number}", version))
                turn += 1

        writing = [asyncio.create_task(write(number)) for number in range(20)]
        for count in (100, 200, 300):
            await receiver.wait_for(count, timeout=30)
            await server_of_its_own.restart(crash=crash)
            assert not [task for task in writing if task.done()]
        await receiver.wait_for(len(receiver.calls) + 100, timeout=30)
        stop.set()
        await asyncio.gather(*writing)
        await drained(callers[1])
        calls = list(receiver.calls)
    assert refused > 0
    assert_told(accepted, calls)


async def test_while_the_database_is_away_calls_are_answered_503_and_the_service_lives_on(
    server_of_its_own: postgres.Server, tmp_path: Path, receiver: Receiver
):
    async with running.service(tmp_path) as service:
        await service.admin.watch(receiver.url)
        await asyncio.to_thread(server_of_its_own.stop)
        refused = await service.admin.put(f"{TYPE}/a", {"id": "a", "organization": "x"})
        assert "nothing was stored" in refused.problem(503)["detail"]
        assert "database" in (await service.admin.get("/api/v1/watches")).problem(503)["detail"]
        assert (await service.admin.get("/readyz")).status == 503
        assert (await service.admin.get("/healthz")).status == 200
        await asyncio.to_thread(server_of_its_own.start)
        assert await accept(service.admin, "a", 1) == 1
        await receiver.wait_for(1)


async def test_what_connections_are_cut_in_the_middle_of_is_whole_or_nothing(
    server_of_its_own: postgres.Server, tmp_path: Path, receiver: Receiver
):
    """Every connection, again and again: the answer to a commit gets lost as well, and then it is asked for."""
    url = (tmp_path / "database.url").read_text()
    accepted: set[tuple[str, int]] = set()
    async with running.service(tmp_path) as service:
        await service.admin.watch(receiver.url)
        stop = asyncio.Event()

        async def write(number: int) -> None:
            turn = 0
            while not stop.is_set():
                version = await accept(service.admin, f"a{number}", turn)
                if version is not None:
                    accepted.add((f"a{number}", version))
                turn += 1

        writing = [asyncio.create_task(write(number)) for number in range(20)]
        for _ in range(20):
            await receiver.wait_for(len(receiver.calls) + 20, timeout=30)
            await server_of_its_own.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid <> pg_backend_pid()",
                url=url,
            )
        stop.set()
        await asyncio.gather(*writing)
        await drained(service.admin)
        calls = list(receiver.calls)
    assert_told(accepted, calls)


@pytest.mark.postgresql
async def test_two_that_need_a_token_at_once_use_a_refresh_token_once(tmp_path: Path, receiver: Receiver):
    with AuthServer() as authority:
        first = authority.issue(authority.add_client("crm", "the-client-secret"))
        receiver.answers = lambda call: Answer(
            200 if call.headers.get("authorization") == f"Bearer {authority.issued[-1]}" else 401
        )
        async with replicas(tmp_path, *[Part.ALL] * 3) as services:
            await services[0].admin.watch(
                receiver.url,
                retry={"schedule": []},
                oauth2Auth={
                    "clientId": "crm",
                    "clientSecret": "the-client-secret",
                    "refreshToken": first,
                    "accessTokenUrl": authority.token_url,
                },
            )
            for turn in range(3):
                await asyncio.gather(
                    *(accept(service.admin, f"a{number}", turn) for number, service in enumerate(services))
                )
                rows = await services[0].admin.settled(3 * (turn + 1))
                assert {row["status"] for row in rows} == {"succeeded"}
                assert len(authority.asked) == turn + 1, "one asks, for all"
                authority.issued.append("revoked everything before")  # so that the receiver answers 401
        used = [form["refresh_token"] for form in authority.asked]
        assert len(set(used)) == len(used), "no refresh token was used twice"
