"""``Idempotency-Key``: what is sent again is answered again, and done once."""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from service import clock
from service.journal import retention
from service.store import keptanswers
from service.store.sql import Query
from tests.support import running
from tests.support.processes import process
from tests.support.receiver import Receiver
from tests.support.running import ACCOUNTS, ADMIN_KEY, Answer, Client, Service

WATCHES = "/api/v1/watches"
OURS = "/api/v1/resources/agendize.account"
COUNT = Query("test.count", "SELECT count(*) FROM kept_answers")
AGE = Query("test.age", "UPDATE kept_answers SET created = created - :ms RETURNING id")


async def send(client: Client, path: str, body: Any = None, key: str = "k-1") -> Answer:
    return await client.post(path, body, headers={"Idempotency-Key": key})


async def total(client: Client, path: str) -> int:
    return len((await client.get(path)).body["items"])


def same(first: Answer, again: Answer) -> None:
    """The second answer is the first one once more, and says so."""
    assert (again.status, again.text) == (first.status, first.text)
    kept = {name: value for name, value in again.headers.items() if name != "Idempotency-Replayed"}
    assert again.headers["Idempotency-Replayed"] == "true"
    assert "Idempotency-Replayed" not in first.headers
    assert {**kept, "Date": ""} == {**first.headers, "Date": ""}


async def test_a_watch_is_registered_once_and_its_secret_is_in_both_answers(admin: Client, receiver: Receiver):
    body = {"objectType": "agendize.account", "address": receiver.url, "signature": {"enabled": True}}
    first = await send(admin, WATCHES, body)
    assert first.status == 201
    assert first.body["signature"]["secret"].startswith("whsec_")
    same(first, await send(admin, WATCHES, body))
    same(first, await send(admin, WATCHES, body, '"k-1"'))
    assert await total(admin, WATCHES) == 1
    assert await total(admin, "/api/v1/cryptoKeys") == 1
    other = await send(admin, WATCHES, body, "k-2")
    assert other.body["id"] != first.body["id"]
    through = await send(admin, f"{ACCOUNTS}/watch", {"address": receiver.url})
    assert through.status == 201  # another route is another request
    same(through, await send(admin, f"{ACCOUNTS}/watch", {"address": receiver.url}))
    assert await total(admin, WATCHES) == 3


@pytest.mark.parametrize(
    ("path", "body", "shown"),
    [
        ("/api/v1/apiKeys", {"name": "CRM", "role": "agent"}, "key"),
        ("/api/v1/cryptoKeys", {"name": "CRM"}, "secret"),
        ("/api/v1/sources", {"type": "outreach.user", "url": "https://api.example.com/api/v2"}, "id"),
    ],
)
async def test_what_is_shown_once_is_shown_again_under_its_key(admin: Client, path: str, body: Any, shown: str):
    before = await total(admin, path)
    first = await send(admin, path, body)
    assert first.status == 201
    assert first.body[shown]
    same(first, await send(admin, path, body))
    assert await total(admin, path) == before + 1


async def test_an_item_is_inserted_once(admin: Client):
    body = {"email": "ada@example.com", "profile": {"id": "p1"}}
    first = await send(admin, ACCOUNTS, body)
    assert first.status == 200
    same(first, await send(admin, ACCOUNTS, body))
    assert len((await admin.get("/api/v1/changes")).body["items"]) == 1
    users = "/outreach/api/v2/users"
    user = {"data": {"type": "user", "attributes": {"email": "ada@example.com", "firstName": "A", "lastName": "L"}}}
    made = await admin.call(
        "POST",
        users,
        data=json.dumps(user),
        headers={"Idempotency-Key": "k-1", "Content-Type": "application/vnd.api+json"},
    )
    assert made.status == 201, made.text
    again = await admin.call(
        "POST",
        users,
        data=json.dumps(user),
        headers={"Idempotency-Key": "k-1", "Content-Type": "application/vnd.api+json"},
    )
    same(made, again)
    assert again.headers["Location"] == made.headers["Location"]


async def test_what_acts_acts_once(admin: Client, receiver: Receiver):
    watch = await admin.watch(receiver.url)
    first = await send(admin, f"{WATCHES}/{watch['id']}/test")
    assert first.status == 202
    assert first.body["objectEvent"] == "test"
    same(first, await send(admin, f"{WATCHES}/{watch['id']}/test"))
    (row,) = await admin.settled(1)
    once_more = await send(admin, f"/api/v1/deliveries/{row['id']}/redeliver")
    assert once_more.status == 202
    same(once_more, await send(admin, f"/api/v1/deliveries/{row['id']}/redeliver"))
    await admin.settled(1)
    assert len(await receiver.wait_for(2)) == 2
    job = await send(admin, f"{WATCHES}/{watch['id']}/redeliver", {"status": "succeeded"})
    assert job.status == 202, job.text
    same(job, await send(admin, f"{WATCHES}/{watch['id']}/redeliver", {"status": "succeeded"}))
    assert await total(admin, "/api/v1/jobs") == 1


async def test_a_key_is_rotated_once(admin: Client):
    key = (await admin.post("/api/v1/cryptoKeys", {"name": "CRM"})).body
    path = f"/api/v1/cryptoKeys/{key['id']}/rotate"
    first = await send(admin, path, {"overlap": 3600})
    assert first.status == 201
    same(first, await send(admin, path, {"overlap": 3600}))
    assert await total(admin, "/api/v1/cryptoKeys") == 2
    assert (await admin.get(f"/api/v1/cryptoKeys/{first.body['id']}")).status == 200


async def test_a_source_begins_its_first_sweep(admin: Client, receiver: Receiver):
    """Who makes it under a key is not waited for by a poller that looked too early."""
    made = await send(admin, "/api/v1/sources", {"type": "rinkel.user", "url": receiver.url, "interval": 3600})
    assert made.status == 201, made.text
    assert await receiver.wait_for(1)


# Another request, or another caller


async def test_another_request_under_the_same_key_is_refused(admin: Client, receiver: Receiver):
    body = {"objectType": "agendize.account", "address": receiver.url}
    await send(admin, WATCHES, body)
    refused = await send(admin, WATCHES, {**body, "name": "CRM"})
    assert "Idempotency-Key" in refused.problem(422)["detail"]
    assert await total(admin, WATCHES) == 1
    account = {"email": "ada@example.com", "profile": {"id": "p1"}}
    assert (await send(admin, ACCOUNTS, account)).status == 200
    (await send(admin, ACCOUNTS, {**account, "firstName": "Ada"})).vendor_error(422)


async def test_a_tenant_does_not_meet_the_keys_of_another(admin: Client):
    other = await admin.key_of("admin", "other")
    first = await send(admin, "/api/v1/cryptoKeys", {"name": "CRM"})
    second = await send(other, "/api/v1/cryptoKeys", {"name": "CRM"})
    assert second.status == 201
    assert second.body["id"] != first.body["id"]


async def test_who_may_do_less_gets_no_answer_of_who_may_do_more(admin: Client):
    account = {"email": "ada@example.com", "profile": {"id": "p1"}}
    agent, operator = await admin.key_of("agent"), await admin.key_of("operator")
    colleague = await admin.key_of("agent")
    first = await send(agent, ACCOUNTS, account)
    assert first.status == 200
    same(first, await send(colleague, ACCOUNTS, account))
    (await send(operator, ACCOUNTS, account)).vendor_error(422)
    made = await send(admin, "/api/v1/apiKeys", {"role": "admin", "tenant": "other"})
    assert made.status == 201
    second = await admin.key_of("admin")
    (await send(second, "/api/v1/apiKeys", {"role": "admin", "tenant": "other"})).problem(422)
    (await send(operator, "/api/v1/apiKeys", {"role": "admin", "tenant": "other"})).problem(403)
    (await send(admin.with_key(None), "/api/v1/apiKeys", {"role": "admin"})).problem(401)


async def test_what_was_refused_may_be_sent_again_corrected(admin: Client, receiver: Receiver):
    (await send(admin, WATCHES, {"objectType": "agendize.account"})).problem(422)
    body = {"objectType": "agendize.account", "address": receiver.url}
    first = await send(admin, WATCHES, body)
    assert first.status == 201
    same(first, await send(admin, WATCHES, body))


@pytest.mark.parametrize("key", ["", '""', '"a', "a b", 'a"b', "ä", "x" * 256, '"a", "b"', '"a";p=1', '"\\a"'])
async def test_what_is_no_key_is_refused(admin: Client, key: str):
    (await send(admin, "/api/v1/cryptoKeys", {}, key)).problem(400)
    assert await total(admin, "/api/v1/cryptoKeys") == 0


async def test_an_import_takes_none(admin: Client):
    refused = await admin.call("POST", f"{OURS}/import", data=b'{"id": "a1"}\n', headers={"Idempotency-Key": "k-1"})
    assert "import" in refused.problem(400)["detail"]
    assert await total(admin, OURS) == 0


async def test_other_methods_do_not_look_at_it(admin: Client):
    for credit in (1, 2):
        pushed = await admin.put(f"{OURS}/a1", {"credit": credit}, headers={"Idempotency-Key": "k-1"})
        assert pushed.body["version"] == credit


# At the same time, later, and after a restart


async def test_of_many_at_once_one_is_done(admin: Client):
    answers = await asyncio.gather(*(send(admin, "/api/v1/cryptoKeys", {"name": "CRM"}) for _ in range(30)))
    done = [answer for answer in answers if answer.status == 201]
    assert {answer.status for answer in answers} <= {201, 409}
    assert len({answer.body["id"] for answer in done}) == 1
    assert [answer for answer in done if "Idempotency-Replayed" not in answer.headers]
    assert await total(admin, "/api/v1/cryptoKeys") == 1


async def test_keys_of_many_requests_do_not_hold_each_other_up(admin: Client):
    bodies = [{"email": f"u{number}@example.com", "profile": {"id": "p1"}} for number in range(60)]
    for _ in range(2):
        answers = await asyncio.gather(
            *(send(admin, ACCOUNTS, body, f"k-{number}") for number, body in enumerate(bodies)),
            *(admin.put(f"{OURS}/p{number}", {"credit": 1}) for number in range(20)),
        )
        assert {answer.status for answer in answers} <= {200, 201}
    assert len((await admin.get("/api/v1/changes?limit=500")).body["items"]) == 80


async def test_the_answer_is_there_after_a_restart_and_its_secret_is_nowhere_in_the_clear(tmp_path: Path):
    body = {"name": "CRM", "role": "agent"}
    async with running.service(tmp_path) as service:
        first = await send(service.admin, "/api/v1/apiKeys", body, "the-key-of-the-request")
    for file in tmp_path.glob("watch.db*"):
        content = file.read_bytes()
        assert first.body["key"].encode() not in content
        assert b"the-key-of-the-request" not in content
    async with running.service(tmp_path) as service:
        same(first, await send(service.admin, "/api/v1/apiKeys", body, "the-key-of-the-request"))
        assert await total(service.admin, "/api/v1/apiKeys") == 2


async def test_kept_answers_go_along_when_the_encryption_key_is_replaced(tmp_path: Path):
    new = "another-encryption-key-for-the-tests"
    async with running.service(tmp_path) as service:
        first = await send(service.admin, "/api/v1/cryptoKeys", {})
    async with running.service(tmp_path, WATCH_SECRET_KEY=f"{new},{running.SECRET_KEY}"):
        pass
    async with running.service(tmp_path, WATCH_SECRET_KEY=new) as service:
        same(first, await send(service.admin, "/api/v1/cryptoKeys", {}))


async def test_after_a_day_the_key_is_free(service: Service):
    admin, store = service.admin, service.running.services.store
    first = await send(admin, "/api/v1/cryptoKeys", {})
    await store.write(lambda transaction: transaction.fetch(AGE, {"ms": keptanswers.KEPT - 60_000}))
    same(first, await send(admin, "/api/v1/cryptoKeys", {}))
    await retention.expire(store, clock.now_ms())
    assert (await store.fetch(COUNT))[0][0] == 1
    await store.write(lambda transaction: transaction.fetch(AGE, {"ms": 60_000}))
    second = await send(admin, "/api/v1/cryptoKeys", {"name": "another body"})
    assert second.status == 201
    assert second.body["id"] != first.body["id"]
    same(second, await send(admin, "/api/v1/cryptoKeys", {"name": "another body"}))
    await retention.expire(store, clock.now_ms() + keptanswers.KEPT)
    assert (await store.fetch(COUNT))[0][0] == 0


async def test_nothing_is_kept_of_requests_without_a_key(service: Service):
    await service.admin.post("/api/v1/cryptoKeys", {})
    assert (await service.running.services.store.fetch(COUNT))[0][0] == 0


async def test_killed_at_any_moment_what_is_sent_again_was_done_once(tmp_path: Path, unused_tcp_port: int):
    """The client never hears whether it was done; it sends the same again, and there is one of each, with its answer."""
    chance, heard = random.Random(4), {}
    url = f"http://127.0.0.1:{unused_tcp_port}"

    async def until_killed(client: Client, number: int) -> None:
        while True:
            try:
                answer = await send(client, "/api/v1/cryptoKeys", {"name": f"{number}"}, f"k-{number}")
            except aiohttp.ClientError:
                return
            if answer.status == 201:
                assert heard.setdefault(number, answer.text) == answer.text
                number += 100

    async with aiohttp.ClientSession() as session:
        client = Client(session, url, ADMIN_KEY)
        for turn in range(3):
            async with process(tmp_path, unused_tcp_port) as doomed:
                writing = asyncio.gather(*(until_killed(client, number) for number in range(5)))
                await asyncio.sleep(0.1 + chance.random() / 5)
                os.kill(doomed.pid, signal.SIGKILL)
                await doomed.wait()
                await writing
            assert len(heard) > turn
        async with process(tmp_path, unused_tcp_port):
            highest = max(heard)
            for number in [number for number in range(highest + 101) if number % 100 < 5]:
                answer = await send(client, "/api/v1/cryptoKeys", {"name": f"{number}"}, f"k-{number}")
                assert heard.setdefault(number, answer.text) == answer.text
            keys, cursor = [], ""
            while cursor is not None:
                query = {"limit": "500", **({"cursor": cursor} if cursor else {})}
                page = (await client.get("/api/v1/cryptoKeys", params=query)).body
                keys += page["items"]
                cursor = page["nextCursor"]
            assert sorted(int(key["name"]) for key in keys) == sorted(heard)
