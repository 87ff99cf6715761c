"""A change that many watches hear of: who is told, in which order, and how much is written at once."""

from __future__ import annotations

import asyncio
import os
import signal
from collections import defaultdict
from itertools import pairwise
from pathlib import Path

import aiohttp

from service.delivery.fanout import MOST_AT_ONCE, PORTION
from service.store.sql import Query
from tests import test_kill
from tests.support import running
from tests.support.receiver import Answer, Call, Receiver
from tests.support.running import ADMIN_KEY, Client

TYPE = "/api/v1/resources/agendize.account"
MANY = 3 * PORTION + 1
WRITTEN = Query("test.written", "SELECT count(*) FROM deliveries")
LEFT = Query("test.left", "SELECT (SELECT count(*) FROM audiences) + (SELECT count(*) FROM audience_portions)")


async def push(client: Client, object_id: str, turn: int) -> None:
    pushed = await client.put(f"{TYPE}/{object_id}", {"id": object_id, "organization": f"turn {turn}"})
    assert pushed.status in {200, 201}, pushed.text


async def watches(client: Client, receiver: Receiver, count: int, **members: object) -> list[str]:
    """That many, each with an address of its own that ends with its number."""
    made = [client.watch(f"{receiver.url}/{number}", **members) for number in range(count)]
    return [watch["id"] for watch in await asyncio.gather(*made)]


def heard(calls: list[Call]) -> dict[int, list[int]]:
    """By the number of the watch: the turns that it was told of, in their order."""
    turns = defaultdict(list)
    for call in calls:
        turns[int(call.path_qs.rpartition("/")[2])].append(int(call.json()["organization"].split()[1]))
    return turns


async def test_a_change_that_many_hear_of_reaches_each_of_them_once(service: running.Service, receiver: Receiver):
    await watches(service.admin, receiver, MANY)
    await push(service.admin, "a", 1)
    calls = await receiver.wait_for(MANY, timeout=30)
    assert heard(calls) == {number: [1] for number in range(MANY)}
    assert len({call.headers["webhook-id"] for call in calls}) == MANY
    assert len({call.headers["ce-id"] for call in calls}) == 1
    store = service.running.services.store
    assert (await store.fetch(LEFT))[0][0] == 0, "what was noted of who hears of it is gone once all are told"


async def test_no_transaction_writes_more_deliveries_than_a_portion(service: running.Service, receiver: Receiver):
    await watches(service.admin, receiver, MANY)
    store = service.running.services.store
    counts = [(store.commits(), 0)]
    await push(service.admin, "a", 1)
    while counts[-1][1] < MANY:
        counts.append((store.commits(), int((await store.fetch(WRITTEN))[0][0])))
        await store.committed_since(counts[-1][0], 10)
    for (commits, written), (later, then) in pairwise(counts):
        # A commit may come between the two looks of a pair.
        assert then - written <= PORTION * (later + 1 - commits)
    assert len({written for _, written in counts}) > MANY // PORTION, "others had their turn in between"


async def test_the_deliveries_of_a_change_that_few_hear_of_are_there_when_it_is_answered(
    service: running.Service, receiver: Receiver
):
    await watches(service.admin, receiver, MOST_AT_ONCE)
    await push(service.admin, "a", 1)
    assert (await service.running.services.store.fetch(WRITTEN))[0][0] == MOST_AT_ONCE
    await receiver.wait_for(MOST_AT_ONCE)


async def test_the_changes_of_a_resource_arrive_in_order_while_earlier_ones_are_being_told(
    admin: Client, receiver: Receiver
):
    await watches(admin, receiver, MOST_AT_ONCE + 10)
    for turn in range(8):
        await push(admin, "a", turn)
    calls = await receiver.wait_for(8 * (MOST_AT_ONCE + 10), timeout=30)
    assert all(turns == [*range(8)] for turns in heard(calls).values())


async def test_a_later_change_that_few_hear_of_waits_for_the_earlier_one_that_many_hear_of(
    admin: Client, receiver: Receiver
):
    ids = await watches(admin, receiver, MANY)
    await push(admin, "a", 1)
    gone = [admin.patch(f"/api/v1/watches/{id_}", {"events": ["deleted"]}) for id_ in ids[: MANY - 5]]
    await asyncio.gather(*gone[: MANY // 2])
    await push(admin, "a", 2)
    await asyncio.gather(*gone[MANY // 2 :])
    await push(admin, "a", 3)
    await push(admin, "b", 4)  # nothing of this one is under way
    calls = await receiver.wait_for(MANY + (MANY - MANY // 2) + 10, timeout=30)
    for turns in heard(calls).values():
        mine = [turn for turn in turns if turn != 4]
        assert mine == [*range(1, len(mine) + 1)]
    assert sorted(len(turns) for turns in heard(calls).values())[-5:] == [4] * 5


async def test_whoever_watches_when_a_change_is_committed_hears_of_it_whatever_comes_meanwhile(
    admin: Client, receiver: Receiver
):
    ids = await watches(admin, receiver, MANY)
    paused, other = (ids.index(id_) for id_ in sorted(ids)[-2:])  # the last ones that are told
    late = MANY
    await push(admin, "a", 1)
    # While the deliveries are being written: one watch more, one that is paused, one that wants something else.
    await asyncio.gather(
        admin.watch(f"{receiver.url}/{late}"),
        admin.patch(f"/api/v1/watches/{ids[paused]}", {"status": "disabled"}),
        admin.patch(f"/api/v1/watches/{ids[other]}", {"events": ["deleted"]}),
    )
    await receiver.wait_for(MANY - 1, timeout=30)
    await admin.settled(1, query=f"&watchId={ids[other]}")
    assert (await admin.patch(f"/api/v1/watches/{ids[paused]}", {"status": "enabled"})).status == 200
    await admin.settled(1, query=f"&watchId={ids[paused]}")
    await push(admin, "b", 2)
    turns = heard(await receiver.wait_for(MANY + MANY, timeout=30))
    assert turns.pop(late) == [2]
    assert turns.pop(paused) == [1, 2]
    assert turns.pop(other) == [1]
    assert set(map(tuple, turns.values())) == {(1, 2)}


async def test_a_watch_that_is_deleted_meanwhile_is_passed_over(admin: Client, receiver: Receiver):
    ids = await watches(admin, receiver, MANY)
    gone = max(ids)
    await push(admin, "a", 1)
    assert (await admin.delete(f"/api/v1/watches/{gone}")).status == 204
    await push(admin, "a", 2)
    turns = heard(await receiver.wait_for(2 * (MANY - 1), timeout=30))
    turns.pop(ids.index(gone), None)
    assert set(map(tuple, turns.values())) == {(1, 2)}
    rows = (await admin.get(f"/api/v1/deliveries?watchId={gone}")).body["items"]
    assert len(rows) <= 1
    assert all(row["status"] != "pending" for row in rows)


async def test_killed_while_a_change_is_being_told_it_goes_on_where_it_was(tmp_path: Path, unused_tcp_port: int):
    url = f"http://127.0.0.1:{unused_tcp_port}"
    killed = asyncio.Event()
    received: list[Call] = []
    doomed: asyncio.subprocess.Process | None = None

    def ledger(call: Call) -> Answer:
        received.append(call)
        if len(received) == PORTION // 2 and doomed is not None:
            os.kill(doomed.pid, signal.SIGKILL)
            killed.set()
        return Answer(200)

    async with Receiver() as receiver, aiohttp.ClientSession() as session:
        receiver.answers = ledger
        client = Client(session, url, ADMIN_KEY)
        async with test_kill.process(tmp_path, unused_tcp_port) as doomed:
            await watches(client, receiver, MANY)
            await push(client, "a", 1)
            await asyncio.wait_for(killed.wait(), 30)
            await doomed.wait()
        async with test_kill.process(tmp_path, unused_tcp_port), asyncio.timeout(30):
            while len(heard(received)) < MANY:
                await asyncio.sleep(0.05)
            await test_kill.drained(client)
    ids = defaultdict(set)
    for call in received:
        ids[call.path_qs].add(call.headers["webhook-id"])
    assert len(ids) == MANY
    assert all(len(found) == 1 for found in ids.values()), "nothing was made twice"
