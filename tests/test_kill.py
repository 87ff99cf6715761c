"""Killed with SIGKILL at any moment, started again: nothing that was accepted is lost, and order holds."""

from __future__ import annotations

import asyncio
import os
import signal
from collections import defaultdict
from pathlib import Path

import aiohttp
import pytest

from tests.support.processes import process
from tests.support.receiver import Answer, Call, Receiver
from tests.support.running import ADMIN_KEY, Client

pytestmark = pytest.mark.databases

TYPE = "/api/v1/resources/agendize.account"


async def push(client: Client, object_id: str, turn: int) -> bool:
    """Whether the write was accepted; a connection that breaks leaves that open, so it counts as no."""
    try:
        pushed = await client.put(f"{TYPE}/{object_id}", {"id": object_id, "organization": f"turn {turn}"})
    except aiohttp.ClientError:
        return False
    return pushed.status in {200, 201}


@pytest.mark.parametrize("after", [50, 400, 900])
async def test_killed_in_the_middle_of_a_thousand_deliveries_it_delivers_all_of_them_after_a_restart(
    after: int, tmp_path: Path, unused_tcp_port: int
):
    port = unused_tcp_port
    url = f"http://127.0.0.1:{port}"
    resources, turns = 100, 10
    killed = asyncio.Event()
    received: list[Call] = []
    doomed: asyncio.subprocess.Process | None = None

    def ledger(call: Call) -> Answer:
        received.append(call)
        if len(received) == after and doomed is not None and not killed.is_set():
            os.kill(doomed.pid, signal.SIGKILL)
            killed.set()
        return Answer(200)

    accepted: set[tuple[str, int]] = set()
    async with Receiver() as receiver, aiohttp.ClientSession() as session:
        receiver.answers = ledger
        client = Client(session, url, ADMIN_KEY)

        async def write(number: int) -> None:
            for turn in range(turns):
                if await push(client, f"a{number}", turn):
                    accepted.add((f"a{number}", turn))

        async with process(tmp_path, port) as doomed:
            await client.watch(receiver.url)
            await asyncio.gather(*(write(number) for number in range(resources)))
            await asyncio.wait_for(killed.wait(), 30)
            await doomed.wait()
        async with process(tmp_path, port):
            await drained(client)

    heard = defaultdict(list)
    ids = defaultdict(set)
    for call in received:
        turn = int(call.json()["organization"].split()[1])
        object_id = call.headers["ce-subject"]
        heard[object_id].append(turn)
        ids[object_id, turn].add(call.headers["webhook-id"])
    assert accepted
    missing = {(object_id, turn) for object_id, turn in accepted if turn not in heard[object_id]}
    assert not missing
    assert all(len(found) == 1 for found in ids.values()), "a repeat must carry the same webhook-id"
    for object_id, order in heard.items():
        assert order == sorted(order), f"{object_id} was told out of order: {order}"


async def drained(client: Client) -> None:
    """Wait until nothing is pending any more."""
    async with asyncio.timeout(60):
        while (await client.get("/api/v1/deliveries?status=pending&limit=1")).body["items"]:
            await asyncio.sleep(0.05)
