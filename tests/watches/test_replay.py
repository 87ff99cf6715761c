"""Redelivering: what failed is sent again, what was never queued is sent at last, and live deliveries go first."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections import defaultdict
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from service import clock
from tests import test_kill
from tests.support.receiver import HANG, Answer, Call, Receiver
from tests.support.running import ADMIN_KEY, Client

TYPE = "/api/v1/resources/agendize.account"
CORPUS = Path(__file__).parents[1] / "corpus" / "redeliveries.json"


async def push(client: Client, object_id: str, turn: int | str) -> None:
    pushed = await client.put(f"{TYPE}/{object_id}", {"id": object_id, "organization": f"turn {turn}"})
    assert pushed.status in {200, 201}, pushed.text


async def redeliver(client: Client, watch: Any, **body: Any) -> Any:
    """Begin, and wait for the end: the job."""
    begun = await client.post(f"/api/v1/watches/{watch['id']}/redeliver", body)
    assert begun.status == 202, begun.text
    assert begun.headers["Location"] == f"/api/v1/jobs/{begun.body['id']}"
    return await ended(client, begun.body["id"])


async def ended(client: Client, job_id: str, seconds: float = 30) -> Any:
    async with asyncio.timeout(seconds):
        while (job := (await client.get(f"/api/v1/jobs/{job_id}")).body)["state"] == "running":
            await asyncio.sleep(0.01)
    return job


def told(calls: list[Call]) -> list[tuple[str, str]]:
    return [(call.headers["ce-subject"], call.json()["organization"].split()[1]) for call in calls]


async def failed(client: Client, receiver: Receiver, count: int, **members: Any) -> Any:
    """A watch with so many deliveries that were given up, its receiver healthy now; with 20 it will be probed."""
    receiver.answers = lambda _call: Answer(500)
    watch = await client.watch(receiver.url, retry={"schedule": []}, **members)
    await asyncio.gather(*(push(client, f"a{number}", 1) for number in range(count)))
    await client.settled(count)
    receiver.answers = []
    receiver.calls.clear()
    return watch


async def test_what_failed_is_sent_once_more_as_the_same_delivery(admin: Client, receiver: Receiver):
    watch = await failed(admin, receiver, 15)
    before = {row["id"] for row in await admin.settled(15)}
    job = await redeliver(admin, watch)
    assert (job["kind"], job["state"], job["done"], job["total"]) == ("redeliver", "succeeded", 15, 15)
    assert (job["succeeded"], job["failed"], job["waiting"]) == (15, 0, 0)
    assert (job["watchId"], job["status"], job["missing"], job["since"]) == (watch["id"], ["failed"], False, None)
    assert {call.headers["webhook-id"] for call in receiver.calls} == before
    assert len(receiver.calls) == 15
    rows = await admin.settled(15)
    assert {row["status"] for row in rows} == {"succeeded"}
    detail = (await admin.get(f"/api/v1/deliveries/{rows[0]['id']}")).body
    assert [attempt["reason"] for attempt in detail["attempts"]] == ["status", None]


async def test_what_succeeded_is_sent_again_where_that_is_asked_for(admin: Client, receiver: Receiver):
    watch = await admin.watch(receiver.url)
    other = await admin.watch(f"{receiver.url}/other")
    await asyncio.gather(*(push(admin, f"a{number}", 1) for number in range(5)))
    await admin.settled(10)
    assert (await redeliver(admin, watch))["total"] == 0
    job = await redeliver(admin, watch, status=["succeeded", "failed"])
    assert (job["done"], job["succeeded"]) == (5, 5)
    assert len(receiver.calls) == 15
    assert len(await admin.settled(5, query=f"&watchId={other['id']}")) == 5


async def test_a_test_that_failed_is_over(admin: Client, receiver: Receiver):
    receiver.answers = [Answer(500)]
    watch = await admin.watch(receiver.url)
    await admin.post(f"/api/v1/watches/{watch['id']}/test")
    await admin.settled(1)
    assert (await redeliver(admin, watch))["total"] == 0


async def test_what_fails_again_is_counted_as_that_and_not_repeated(admin: Client, receiver: Receiver):
    watch = await failed(admin, receiver, 3)
    receiver.answers = lambda _call: Answer(500)
    job = await redeliver(admin, watch)
    assert (job["state"], job["done"], job["succeeded"], job["failed"]) == ("succeeded", 3, 0, 3)
    assert len(receiver.calls) == 3


async def test_only_what_was_made_between_the_times_is_sent_again(admin: Client, receiver: Receiver):
    receiver.answers = lambda _call: Answer(500)
    watch = await admin.watch(receiver.url, retry={"schedule": []})
    marks = []
    for number in range(3):
        await push(admin, f"a{number}", 1)
        (row,) = [row for row in await admin.settled(number + 1) if row["objectId"] == f"a{number}"]
        marks.append(row["created"])
        while clock.rfc3339(clock.now_ms()) == row["created"]:
            await asyncio.sleep(0.001)
    receiver.answers = []
    receiver.calls.clear()
    assert (await redeliver(admin, watch, since=marks[1], until=marks[2]))["total"] == 1
    assert told(receiver.calls) == [("a1", "1")]
    assert (await redeliver(admin, watch, since=marks[2]))["total"] == 1
    assert (await redeliver(admin, watch, until=marks[0]))["total"] == 0
    assert told(receiver.calls) == [("a1", "1"), ("a2", "1")]


async def test_what_was_never_queued_is_sent_in_the_order_of_each_resource(admin: Client, receiver: Receiver):
    await push(admin, "a", 1)
    watch = await admin.watch(receiver.url)
    await push(admin, "a", 2)
    await receiver.wait_for(1)
    await admin.patch(f"/api/v1/watches/{watch['id']}", {"status": "disabled"})
    for turn in (3, 4, 5):
        await asyncio.gather(*(push(admin, f"{name}", turn) for name in "abc"))
    await admin.patch(f"/api/v1/watches/{watch['id']}", {"status": "enabled"})
    await push(admin, "a", 6)
    await receiver.wait_for(2)
    assert (await redeliver(admin, watch))["total"] == 0, "only what was queued has a delivery that can be sent again"
    job = await redeliver(admin, watch, status=[], missing=True)
    assert (job["state"], job["total"], job["done"]) == ("succeeded", 10, 10)
    rows = await admin.settled(12)
    assert {row["status"] for row in rows} == {"succeeded"}
    turns = defaultdict(list)
    for name, turn in told(receiver.calls):
        turns[name].append(turn)
    assert turns == {"a": ["2", "6", "1", "3", "4", "5"], "b": ["3", "4", "5"], "c": ["3", "4", "5"]}
    assert len({call.headers["webhook-id"] for call in receiver.calls}) == 12
    assert (await redeliver(admin, watch, missing=True))["total"] == 0, "nothing is missing any more"


async def test_only_what_the_watch_wants_to_hear_of_is_missing(admin: Client, receiver: Receiver):
    await push(admin, "a", 1)
    await push(admin, "a", 2)
    await push(admin, "b", 3)
    assert (await admin.delete(f"{TYPE}/a")).status == 204
    stranger = await admin.key_of("admin", "elsewhere")
    await push(stranger, "a", 9)
    await admin.put("/api/v1/resources/rinkel.user/5", {"id": "5", "fullName": "Rin"})
    watch = await admin.watch(receiver.url, objectId="a", events=["updated", "deleted"])
    job = await redeliver(admin, watch, missing=True)
    assert (job["total"], job["succeeded"]) == (2, 2)
    assert [(call.headers["ce-subject"], call.headers["ce-sequence"]) for call in receiver.calls] == [
        ("a", "2"),
        ("a", "3"),
    ]


async def test_an_update_that_touches_none_of_the_fields_is_not_missing(admin: Client, receiver: Receiver):
    for turn in (1, 2):
        await push(admin, "a", turn)
        await admin.put(f"{TYPE}/a", {"id": "a", "organization": f"turn {turn}", "lastName": f"turn {turn}"})
    watch = await admin.watch(receiver.url, fields=["$.lastName"])
    job = await redeliver(admin, watch, missing=True)
    # created; a last name, without one and with one again: an organization alone never changed
    assert (job["state"], job["done"], job["total"]) == ("succeeded", 4, 4)
    await admin.put(f"{TYPE}/a", {"id": "a", "organization": "turn 3", "lastName": "turn 2"})
    assert (await redeliver(admin, watch, missing=True))["total"] == 0
    assert len(receiver.calls) == 4


async def test_a_missing_change_that_fails_is_retried_while_later_ones_wait_and_live_ones_do_not(
    admin: Client, receiver: Receiver
):
    for turn in (1, 2, 3):
        await push(admin, "a", turn)
    watch = await admin.watch(receiver.url, retry={"schedule": [60]})
    receiver.answers = [Answer(500)]
    job = await redeliver(admin, watch, missing=True)
    assert (job["state"], job["done"], job["failed"], job["waiting"]) == ("succeeded", 3, 1, 2)
    await push(admin, "a", "live")
    await receiver.wait_for(2)
    assert told(receiver.calls) == [("a", "1"), ("a", "live")]
    row = (await admin.get("/api/v1/deliveries?objectEvent=created")).body["items"][0]
    await admin.post(f"/api/v1/deliveries/{row['id']}/redeliver")
    await admin.settled(4)
    assert told(receiver.calls)[2:] == [("a", "1"), ("a", "2"), ("a", "3")]


async def test_a_missing_change_waits_behind_an_earlier_one_of_its_resource_that_is_being_retried(
    admin: Client, receiver: Receiver
):
    receiver.answers = [Answer(500)]
    watch = await admin.watch(receiver.url, retry={"schedule": [60, 60]})
    await push(admin, "a", 1)
    await receiver.wait_for(1)
    await admin.patch(f"/api/v1/watches/{watch['id']}", {"events": ["deleted"]})
    await push(admin, "a", 2)
    await admin.patch(f"/api/v1/watches/{watch['id']}", {"events": ["created", "updated"]})
    job = await redeliver(admin, watch, missing=True)
    assert (job["done"], job["waiting"]) == (1, 1)
    (row,) = (await admin.get("/api/v1/deliveries?objectEvent=created")).body["items"]
    await admin.post(f"/api/v1/deliveries/{row['id']}/redeliver")
    await admin.settled(2)
    assert told(receiver.calls) == [("a", "1"), ("a", "1"), ("a", "2")]


async def test_live_deliveries_go_out_while_a_replay_is_stuck_and_it_never_takes_all_places(
    admin: Client, receiver: Receiver
):
    watch = await failed(admin, receiver, 19)
    receiver.answers = lambda call: HANG if call.headers["ce-subject"].startswith("a") else Answer(200)
    begun = await admin.post(f"/api/v1/watches/{watch['id']}/redeliver")
    await receiver.wait_for(16)
    await asyncio.gather(*(push(admin, f"live{number}", 1) for number in range(50)))
    await receiver.wait_for(66)
    subjects = [call.headers["ce-subject"] for call in receiver.calls]
    assert sum(subject.startswith("a") for subject in subjects) == 16, "half of the 32 places at most"
    canceled = await admin.post(f"/api/v1/jobs/{begun.body['id']}/cancel")
    assert (canceled.status, canceled.body["state"]) == (200, "canceled")


async def test_a_canceled_replay_sends_no_more(admin: Client, receiver: Receiver):
    watch = await failed(admin, receiver, 19)
    gate = asyncio.Event()
    receiver.answers = lambda _call: Answer(200, gate=gate)
    begun = await admin.post(f"/api/v1/watches/{watch['id']}/redeliver")
    await receiver.wait_for(16)
    path = f"/api/v1/jobs/{begun.body['id']}"
    canceled = await admin.post(f"{path}/cancel")
    assert (canceled.status, canceled.body["state"]) == (200, "canceled")
    assert canceled.body["finished"] is not None
    gate.set()
    rows = await admin.settled(19)
    assert sum(row["status"] == "succeeded" for row in rows) == 16
    assert (await admin.get(path)).body["state"] == "canceled"
    assert "has ended" in (await admin.post(f"{path}/cancel")).problem(409)["detail"]
    assert (await redeliver(admin, watch))["done"] == 3, "another one goes on with the rest"


async def test_of_one_watch_there_is_one_replay_at_a_time(admin: Client, receiver: Receiver):
    watch = await failed(admin, receiver, 18)
    gate = asyncio.Event()
    receiver.answers = lambda _call: Answer(200, gate=gate)
    path = f"/api/v1/watches/{watch['id']}/redeliver"
    begun = await admin.post(path)
    assert begun.body["id"] in (await admin.post(path)).problem(409)["detail"]
    gate.set()
    assert (await ended(admin, begun.body["id"]))["done"] == 18
    assert (await admin.post(path)).status == 202


async def test_a_disabled_watch_is_not_replayed_and_one_that_is_disabled_meanwhile_goes_on_when_it_is_enabled(
    admin: Client, receiver: Receiver
):
    watch = await failed(admin, receiver, 19)
    path = f"/api/v1/watches/{watch['id']}"
    await admin.patch(path, {"status": "disabled"})
    assert "enable it" in (await admin.post(f"{path}/redeliver")).problem(409)["detail"]
    await admin.patch(path, {"status": "enabled"})
    gate = asyncio.Event()
    receiver.answers = lambda _call: Answer(200, gate=gate)
    begun = await admin.post(f"{path}/redeliver")
    await receiver.wait_for(16)
    await admin.patch(path, {"status": "disabled"})
    gate.set()
    await admin.patch(path, {"status": "enabled"})
    job = await ended(admin, begun.body["id"])
    assert (job["state"], job["succeeded"]) == ("succeeded", 19)


async def test_with_its_watch_a_replay_ends(admin: Client, receiver: Receiver):
    watch = await failed(admin, receiver, 19)
    receiver.answers = lambda _call: HANG
    begun = await admin.post(f"/api/v1/watches/{watch['id']}/redeliver")
    await receiver.wait_for(16)
    await admin.delete(f"/api/v1/watches/{watch['id']}")
    job = await ended(admin, begun.body["id"])
    assert job["state"] == "failed"
    assert "deleted" in job["detail"]


async def test_an_import_that_is_running_cannot_be_canceled(admin: Client):
    begun, over = asyncio.Event(), asyncio.Event()

    async def lines():
        yield b'{"id": "a"}\n'
        begun.set()
        await over.wait()

    headers = {"Content-Type": "application/x-ndjson"}
    importing = asyncio.create_task(admin.call("POST", f"{TYPE}/import", data=lines(), headers=headers))
    await begun.wait()
    async with asyncio.timeout(10):
        while not (found := (await admin.get("/api/v1/jobs")).body["items"]):
            await asyncio.sleep(0.01)
    refused = await admin.post(f"/api/v1/jobs/{found[0]['id']}/cancel")
    assert "ends with its stream" in refused.problem(409)["detail"]
    over.set()
    assert (await importing).body["state"] == "succeeded"


async def test_strangers_find_neither_job_nor_watch_and_agents_may_not_redeliver(admin: Client, receiver: Receiver):
    watch = await failed(admin, receiver, 1)
    job = await redeliver(admin, watch)
    stranger = await admin.key_of("admin", "elsewhere")
    assert (await stranger.get(f"/api/v1/jobs/{job['id']}")).status == 404
    (await stranger.post(f"/api/v1/jobs/{job['id']}/cancel")).problem(404)
    (await stranger.post(f"/api/v1/watches/{watch['id']}/redeliver")).problem(404)
    operator = await admin.key_of("operator")
    assert (await operator.post(f"/api/v1/watches/{watch['id']}/redeliver")).status == 202
    agent = await admin.key_of("agent")
    (await agent.post(f"/api/v1/watches/{watch['id']}/redeliver")).problem(403)


@pytest.mark.parametrize("case", json.loads(CORPUS.read_text()), ids=lambda case: case["what"])
async def test_what_cannot_be_understood_is_refused_with_its_place(admin: Client, receiver: Receiver, case: Any):
    watch = await admin.watch(receiver.url)
    answer = await admin.post(f"/api/v1/watches/{watch['id']}/redeliver", case["body"])
    answer.problem(422)
    assert answer.pointers() == case["pointers"]


@pytest.mark.parametrize("kind", ["again", "missing"])
async def test_killed_in_the_middle_a_replay_goes_on_where_it_was(kind: str, tmp_path: Path, unused_tcp_port: int):
    count = 120
    killed = asyncio.Event()
    received: list[Call] = []
    doomed: asyncio.subprocess.Process | None = None

    def ledger(call: Call) -> Answer:
        received.append(call)
        if len(received) == count // 2 and doomed is not None:
            os.kill(doomed.pid, signal.SIGKILL)
            killed.set()
        return Answer(200)

    async with Receiver() as receiver, aiohttp.ClientSession() as session:
        client = Client(session, f"http://127.0.0.1:{unused_tcp_port}", ADMIN_KEY)
        async with test_kill.process(tmp_path, unused_tcp_port) as doomed:
            early = await client.watch(receiver.url)
            await asyncio.gather(*(push(client, f"a{number}", 1) for number in range(count)))
            await client.settled(count)
            watch, body = early, {"status": "succeeded"}
            if kind == "missing":
                watch, body = await client.watch(receiver.url), {"missing": True}
            receiver.answers = ledger
            begun = await client.post(f"/api/v1/watches/{watch['id']}/redeliver", body)
            await asyncio.wait_for(killed.wait(), 30)
            await doomed.wait()
        async with test_kill.process(tmp_path, unused_tcp_port):
            job = await ended(client, begun.body["id"])
            assert (job["state"], job["done"], job["total"]) == ("succeeded", count, count)
            await test_kill.drained(client)
    ids = defaultdict(set)
    for call in received:
        ids[call.headers["ce-subject"]].add(call.headers["webhook-id"])
    assert len(ids) == count
    assert all(len(found) == 1 for found in ids.values()), "no change became two deliveries"
    assert len(received) <= count + 16, "no more is sent twice than was under way"
