"""The delivery log over HTTP: its list, its details, redelivery, the stream, retention, health and figures."""

from __future__ import annotations

import asyncio
import base64
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from service import clock
from service.journal import retention
from tests.support import running
from tests.support.receiver import RESET, Answer, Call, Receiver
from tests.support.running import Client, Line, Service

DELIVERIES = "/api/v1/deliveries"
WATCHES = "/api/v1/watches"
OURS = "/api/v1/resources/agendize.account"
ONCE = {"schedule": []}  # one attempt
LATER = {"schedule": [3600]}  # a second one, but not today
ROW = {
    "id",
    "status",
    "objectEvent",
    "objectType",
    "objectId",
    "watch",
    "created",
    "sent",
    "duration",
    "nextAttempt",
    "request",
    "response",
    "reason",
}


async def push(client: Client, id_: str, **members: Any) -> None:
    """Push a document."""
    answer = await client.put(f"{OURS}/{id_}", members)
    assert answer.status in {200, 201}, answer.text


async def rows(client: Client, **query: str) -> list[Any]:
    """One page of the log, newest first."""
    answer = await client.get(DELIVERIES, params=query)
    assert answer.status == 200, answer.text
    return answer.body["items"]


async def detail(client: Client, delivery: Any) -> Any:
    """One delivery."""
    answer = await client.get(f"{DELIVERIES}/{delivery['id']}")
    assert answer.status == 200, answer.text
    return answer.body


async def redeliver(client: Client, delivery: Any) -> Any:
    """Ask for one more attempt."""
    answer = await client.post(f"{DELIVERIES}/{delivery['id']}/redeliver")
    assert answer.status == 202, answer.text
    return answer.body


async def tried(client: Client, delivery: Any, attempts: int) -> Any:
    """The delivery, once it was tried so often."""
    async with asyncio.timeout(5):
        while len((await detail(client, delivery))["attempts"]) < attempts:
            await asyncio.sleep(0.01)
    return await detail(client, delivery)


def by_path(**answers: Answer) -> Any:
    """Answers by the first part of the path."""
    return lambda call: answers.get(call.path_qs.strip("/"), Answer())


# The list


async def test_a_row_reads_like_the_vendors_watcher_request(admin: Client, receiver: Receiver):
    watch = await admin.watch(f"{receiver.url}/${{$.id}}", name="CRM")
    await push(admin, "a1", firstName="Ada")
    await admin.settled(1)
    (row,) = await rows(admin)
    assert set(row) == ROW
    assert (row["status"], row["reason"], row["nextAttempt"]) == ("succeeded", None, None)
    assert (row["objectEvent"], row["objectType"], row["objectId"]) == ("created", "agendize.account", "a1")
    assert row["watch"] == {
        "id": watch["id"],
        "name": "CRM",
        "address": f"{receiver.url}/${{$.id}}",
        "selfLink": f"{WATCHES}/{watch['id']}",
    }
    assert (row["request"]["method"], row["request"]["address"]) == ("POST", f"{receiver.url}/a1")
    assert row["response"]["statusCode"] == 200
    for exchange in (row["request"], row["response"]):
        assert "body" not in exchange
    now = datetime.now(UTC)
    for time in (row["created"], row["sent"]):
        assert time.endswith("Z")
        assert abs(now - datetime.fromisoformat(time)) < timedelta(minutes=1)
    assert 0 <= row["duration"] < 60_000


async def test_the_log_is_newest_first_and_paged_without_gap_or_repeat(admin: Client, receiver: Receiver):
    await admin.watch(receiver.url)
    for number in range(23):
        await push(admin, f"a{number:02d}")
    made = [row["id"] for row in await admin.settled(23)][::-1]
    for limit in (1, 5, 22, 23, 24):
        found: list[str] = []
        cursor = None
        while cursor is not None or not found:
            query = {"limit": str(limit), **({"cursor": cursor} if cursor else {})}
            answer = await admin.get(DELIVERIES, params=query)
            found += [row["id"] for row in answer.body["items"]]
            cursor = answer.body["nextCursor"]
            await push(admin, "a00", firstName=f"{limit} {len(found)}")  # what is new comes before the first page
        assert [id_ for id_ in found if id_ in made] == made
        assert len(set(found)) == len(found)


async def test_a_filter_holds_over_pages(admin: Client, receiver: Receiver):
    await admin.watch(receiver.url)
    for number in range(12):
        await push(admin, f"a{number % 2}", firstName=f"{number}")
    await admin.settled(12)
    first = await admin.get(DELIVERIES, params={"objectId": "a1", "limit": "4"})
    second = await admin.get(DELIVERIES, params={"objectId": "a1", "limit": "4", "cursor": first.body["nextCursor"]})
    found = first.body["items"] + second.body["items"]
    assert ([row["objectId"] for row in found], second.body["nextCursor"]) == (["a1"] * 6, None)


async def test_each_filter_alone_and_combined(admin: Client, receiver: Receiver):
    receiver.answers = by_path(bad=Answer(404), reset=RESET, later=Answer(503))
    good = await admin.watch(f"{receiver.url}/good")
    bad = await admin.watch(f"{receiver.url}/bad", retry=ONCE, events=["created"])
    await admin.watch(f"{receiver.url}/reset", retry=ONCE, events=["deleted"])
    later = await admin.watch(f"{receiver.url}/later", retry=LATER, events=["deleted"])
    gone = await admin.watch(f"{receiver.url}/gone", status="enabled", events=["updated"], objectId="a2")
    await push(admin, "a1")
    await push(admin, "a2")
    await push(admin, "a1", firstName="Ada")
    await admin.delete(f"{OURS}/a1")
    deliveries = []
    async with asyncio.timeout(5):
        while sum(row["sent"] is not None for row in deliveries) < 8:
            deliveries = await rows(admin)
    names = {
        row["id"]: f"{row['watch']['address'].rpartition('/')[2]} {row['objectId']} {row['objectEvent']}"
        for row in deliveries
    }
    everything = sorted(names.values())
    assert everything == [
        "bad a1 created",
        "bad a2 created",
        "good a1 created",
        "good a1 deleted",
        "good a1 updated",
        "good a2 created",
        "later a1 deleted",
        "reset a1 deleted",
    ]
    oldest, newest = deliveries[-1]["created"], deliveries[0]["created"]
    after = clock.rfc3339(clock.parse_rfc3339(newest) + 1)
    expected = [
        ({"watchId": bad["id"]}, [name for name in everything if name.startswith("bad")]),
        ({"watchId": gone["id"]}, []),
        ({"watchId": "nobody's"}, []),
        ({"objectId": "a2"}, [name for name in everything if " a2 " in name]),
        ({"objectEvent": "deleted"}, [name for name in everything if name.endswith("deleted")]),
        ({"objectEvent": "test"}, []),
        ({"status": "succeeded"}, [name for name in everything if name.startswith("good")]),
        ({"status": "failed"}, ["bad a1 created", "bad a2 created", "reset a1 deleted"]),
        ({"status": "pending"}, ["later a1 deleted"]),
        ({"status": "canceled"}, []),
        ({"statusCode": "404"}, [name for name in everything if name.startswith("bad")]),
        ({"statusCode": "503"}, ["later a1 deleted"]),
        ({"statusCode": "201"}, []),
        ({"reason": "reset"}, ["reset a1 deleted"]),
        ({"reason": "status", "status": "failed"}, ["bad a1 created", "bad a2 created"]),
        ({"reason": "timeout"}, []),
        ({"since": oldest}, everything),
        ({"since": after}, []),
        ({"until": oldest}, []),
        ({"until": after}, everything),
        (
            {"since": oldest, "until": after, "objectId": "a1", "status": "succeeded", "objectEvent": "updated"},
            ["good a1 updated"],
        ),
        ({"watchId": later["id"], "status": "pending", "statusCode": "503", "objectId": "a1"}, ["later a1 deleted"]),
        ({"watchId": good["id"], "status": "failed"}, []),
    ]
    wrong = {}
    for query, wanted in expected:
        found = sorted(names[row["id"]] for row in await rows(admin, **query))
        if found != wanted:
            wrong[json.dumps(query)] = found
    assert wrong == {}


async def test_since_is_inclusive_and_until_exclusive(admin: Client, receiver: Receiver):
    await admin.watch(receiver.url)
    await push(admin, "a1")
    (row,) = await admin.settled(1)
    moment = datetime.fromisoformat(row["created"])
    paris = (moment + timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "+01:00"
    for time in (row["created"], paris):
        assert len(await rows(admin, since=time)) == 1
        assert await rows(admin, until=time) == []


# The detail


async def test_the_detail_shows_exactly_what_was_sent_and_what_came_back(admin: Client, receiver: Receiver):
    receiver.answers = [Answer(500, {"X-Trace": "t1"}, b"try again"), Answer(201, {"X-Trace": "t2"}, b"thanks")]
    await admin.watch(f"{receiver.url}/${{$.firstName}}", method="PUT", retry={"schedule": [0]}, addPreviousData=True)
    await push(admin, "a1", firstName="Zoë")
    (row,) = await admin.settled(1)
    shown = await detail(admin, row)
    assert set(shown) == ROW | {"attempts"}
    first, second = await receiver.wait_for(2)
    assert first.body == second.body
    for attempt, call in zip(shown["attempts"], (first, second), strict=True):
        assert (attempt["request"]["method"], attempt["request"]["address"]) == ("PUT", receiver.url + call.path_qs)
        assert attempt["request"]["body"] == call.body.decode()
        sent = {name.lower(): value for name, value in call.headers.items()}
        logged = attempt["request"]["headers"]
        assert {name: sent[name] for name in logged} == logged
        assert {"webhook-id", "webhook-timestamp", "ce-id", "user-agent", "content-type"} <= set(logged)
    assert [attempt["number"] for attempt in shown["attempts"]] == [1, 2]
    assert [attempt["reason"] for attempt in shown["attempts"]] == ["status", None]
    answers = [attempt["response"] for attempt in shown["attempts"]]
    assert [(answer["statusCode"], answer["body"]) for answer in answers] == [(500, "try again"), (201, "thanks")]
    assert [answer["headers"]["x-trace"] for answer in answers] == ["t1", "t2"]
    assert shown["request"] == shown["attempts"][1]["request"]
    assert shown["response"]["body"] == "thanks"
    assert (shown["status"], shown["reason"], shown["nextAttempt"]) == ("succeeded", None, None)
    assert shown["sent"] == shown["attempts"][1]["sent"]


async def test_a_delivery_that_waits_says_when_it_is_tried_again(admin: Client, receiver: Receiver):
    receiver.answers = [Answer(500)]
    await admin.watch(receiver.url, retry=LATER)
    await push(admin, "a1")
    await receiver.wait_for(1)
    (row,) = await rows(admin)
    shown = await tried(admin, row, 1)
    assert shown["status"] == "pending"
    delay = datetime.fromisoformat(shown["nextAttempt"]) - datetime.fromisoformat(shown["sent"])
    assert timedelta(seconds=3600) <= delay <= timedelta(seconds=3600 * 1.2 + 60)


async def test_the_detail_is_of_one_moment(admin: Client, receiver: Receiver):
    await admin.watch(receiver.url, retry=ONCE)
    for number in range(60):
        await push(admin, f"a{number}")
        (row,) = await rows(admin, objectId=f"a{number}")
        shown = {"status": "pending"}
        while shown["status"] == "pending":
            shown = await detail(admin, row)
            tries = 0 if shown["status"] == "pending" else 1
            assert (len(shown["attempts"]), shown["request"] is not None) == (tries, tries == 1)


async def test_what_never_came_to_an_exchange_says_why(admin: Client, receiver: Receiver):
    await receiver.stop()
    await admin.watch(receiver.url, retry=ONCE)
    await admin.watch("http://192.168.7.7/hooks", retry=ONCE)
    await push(admin, "a1")
    found = {row["reason"]: await detail(admin, row) for row in await admin.settled(2)}
    assert set(found) == {"refused", "blocked"}
    for shown in found.values():
        assert (shown["status"], shown["response"]["statusCode"]) == ("failed", None)
        assert shown["response"]["errorMessage"]
        assert shown["attempts"][0]["request"]["body"] == '{"id":"a1"}'


async def test_secrets_are_masked_also_where_an_answer_echoes_them(admin: Client, receiver: Receiver):
    def echo(call: Call) -> Answer:
        """An error page that shows the headers it got, and the credentials it took from them."""
        seen = {name.lower(): value for name, value in call.headers.items()}
        password = base64.b64decode(seen["authorization"].removeprefix("Basic ")).decode()
        body = json.dumps({"got": seen, "credentials": password})
        return Answer(400, {"X-Echo": seen["x-api-key"]}, body.encode())

    receiver.answers = echo
    secrets = ("p4ss/wörd+basic", "header-s3cret-1")
    await admin.watch(
        receiver.url,
        basicAuth={"username": "crm", "password": secrets[0]},
        httpRequestHeader={"X-Api-Key": secrets[1]},
        signature={"enabled": True},
        retry=ONCE,
    )
    await push(admin, "a1")
    (row,) = await admin.settled(1)
    answer = await admin.get(f"{DELIVERIES}/{row['id']}")
    shown = answer.body
    headers = {name.lower(): value for name, value in shown["request"]["headers"].items()}
    assert (headers["authorization"], headers["x-api-key"]) == ("***", "***")
    assert "***" in shown["response"]["body"]
    assert shown["response"]["headers"]["x-echo"] == "***"
    call = receiver.calls[0]
    for secret in (*secrets, call.headers["authorization"].removeprefix("Basic "), "w\\u00f6rd"):
        assert secret not in answer.text
        assert secret not in json.dumps(row, ensure_ascii=False)


async def test_nul_and_bytes_that_are_not_utf_8_are_escaped(admin: Client, receiver: Receiver):
    receiver.answers = [Answer(200, {}, b"a\x00b \xff\xfe caf\xc3\xa9 \xed\xa0\x80 end")]
    await admin.watch(receiver.url)
    await push(admin, "a1")
    (row,) = await admin.settled(1)
    body = (await detail(admin, row))["response"]["body"]
    assert body == "a\\x00b \\xff\\xfe café \\xed\\xa0\\x80 end"


async def test_of_a_long_answer_16_kib_are_kept(admin: Client, receiver: Receiver):
    receiver.answers = [Answer(200, {}, b"x" * 100_000)]
    await admin.watch(receiver.url)
    await push(admin, "a1")
    (row,) = await admin.settled(1)
    assert row["status"] == "succeeded"
    assert (await detail(admin, row))["response"]["body"] == "x" * 16_384


async def test_an_unknown_delivery_is_404(admin: Client):
    (await admin.get(f"{DELIVERIES}/dlv_nobody")).problem(404)
    (await admin.post(f"{DELIVERIES}/dlv_nobody/redeliver")).problem(404)


# Redelivery


@pytest.mark.parametrize("status", [200, 404])
async def test_a_delivery_that_ended_is_sent_once_more_as_the_same(admin: Client, receiver: Receiver, status: int):
    receiver.answers = [Answer(status)]
    await admin.watch(receiver.url, retry=ONCE, schema={"n": "${$.firstName}"})
    await push(admin, "a1", firstName="Ada")
    (row,) = await admin.settled(1)
    await push(admin, "a1", firstName="Zoë")
    await admin.settled(2)
    asked = await redeliver(admin, row)
    assert asked["id"] == row["id"]
    calls = await receiver.wait_for(3)
    assert calls[2].headers["webhook-id"] == calls[0].headers["webhook-id"] == row["id"]
    assert calls[2].body == calls[0].body == b'{"n":"Ada"}'
    shown = await tried(admin, row, 2)
    assert (shown["status"], len(shown["attempts"])) == ("succeeded", 2)


async def test_a_redelivery_that_fails_again_is_one_attempt_only(admin: Client, receiver: Receiver):
    receiver.answers = [Answer(), Answer(500)]
    await admin.watch(receiver.url, retry={"schedule": [0, 0, 0]})
    await push(admin, "a1")
    (row,) = await admin.settled(1)
    await redeliver(admin, row)
    shown = await tried(admin, row, 2)
    assert (shown["status"], shown["reason"], shown["nextAttempt"]) == ("failed", "status", None)
    await redeliver(admin, row)
    assert (await tried(admin, row, 3))["status"] == "succeeded"


async def test_a_pending_delivery_is_sent_now_instead_of_later(admin: Client, receiver: Receiver):
    receiver.answers = [Answer(500)]
    await admin.watch(receiver.url, retry=LATER)
    await push(admin, "a1")
    await receiver.wait_for(1)
    (row,) = await rows(admin)
    await tried(admin, row, 1)
    await redeliver(admin, row)
    assert (await tried(admin, row, 2))["status"] == "succeeded"


async def test_a_redelivery_is_outside_of_the_order_of_its_resource(admin: Client, receiver: Receiver):
    await admin.watch(receiver.url, retry=LATER)
    await push(admin, "a1", firstName="one")
    (first,) = await admin.settled(1)
    receiver.answers = [Answer(500)]
    await push(admin, "a1", firstName="two")
    await push(admin, "a1", firstName="three")
    await receiver.wait_for(2)
    await redeliver(admin, first)
    calls = await receiver.wait_for(3)
    assert [call.json()["firstName"] for call in calls] == ["one", "two", "one"]
    shown = await tried(admin, first, 2)
    assert shown["status"] == "succeeded"
    assert [row["status"] for row in await rows(admin)] == ["pending", "pending", "succeeded"]


async def test_nothing_is_redelivered_to_a_watch_that_cannot_take_it(admin: Client, receiver: Receiver):
    watch = await admin.watch(receiver.url)
    await push(admin, "a1")
    (row,) = await admin.settled(1)
    await admin.patch(f"{WATCHES}/{watch['id']}", {"status": "disabled"})
    for ending in ("disabled", "deleted"):
        if ending == "deleted":
            await admin.delete(f"{WATCHES}/{watch['id']}")
        problem = (await admin.post(f"{DELIVERIES}/{row['id']}/redeliver")).problem(409)
        assert watch["id"] in problem["detail"]
        assert ending in problem["detail"]
    assert len((await detail(admin, row))["attempts"]) == 1
    assert len(receiver.calls) == 1


# The stream


@pytest.fixture
async def service(tmp_path: Path):
    """A service whose streams soon notice that their reader has left."""
    async with running.service(tmp_path, WATCH_TAIL_HEARTBEAT="1") as service:
        yield service


async def take(lines: Any, count: int) -> list[Line]:
    """The next lines of a stream."""
    async with asyncio.timeout(5):
        return [await anext(lines) for _ in range(count)]


def states(lines: list[Line]) -> list[tuple[str, str]]:
    """What became of which resource."""
    return [(line.data["objectId"], line.data["status"]) for line in lines]


@pytest.fixture
async def told(receiver: Receiver, admin: Client) -> Any:
    """A watch."""
    return await admin.watch(receiver.url, retry=ONCE)


async def test_the_stream_tells_of_each_new_delivery_attempt_and_status(admin: Client, receiver: Receiver, told: Any):
    async with admin.stream() as lines:
        await push(admin, "a1")
        first = await take(lines, 2)
        receiver.answers = [Answer(404)]
        await push(admin, "a2")
        second = await take(lines, 2)
        await redeliver(admin, second[0].data)
        third = await take(lines, 2)
    assert {line.name for line in first + second + third} == {"delivery"}
    assert states(first) == [("a1", "pending"), ("a1", "succeeded")]
    assert states(second) == [("a2", "pending"), ("a2", "failed")]
    assert states(third) == [("a2", "pending"), ("a2", "succeeded")]
    for line in first + second + third:
        assert set(line.data) >= ROW
        assert "body" not in (line.data["request"] or {})
    numbers = [int(line.id or "") for line in first + second + third]
    assert numbers == sorted(set(numbers))
    row = {name: value for name, value in first[1].data.items() if name in ROW}
    assert row == (await rows(admin, objectId="a1"))[0]


async def test_a_canceled_delivery_is_told_of(admin: Client, receiver: Receiver):
    watch = await admin.watch(receiver.url, retry=LATER)
    receiver.answers = [Answer(500)]
    async with admin.stream() as lines:
        await push(admin, "a1")
        await take(lines, 2)
        await admin.delete(f"{WATCHES}/{watch['id']}")
        (line,) = await take(lines, 1)
    assert (line.data["status"], line.data["reason"]) == ("canceled", "canceled")


async def test_the_stream_ends_with_its_key_and_no_other_does(admin: Client, told: Any):
    reader, other = await admin.key_of("operator"), await admin.key_of("operator")
    listed = (await admin.get("/api/v1/apiKeys")).body["items"]
    revoked = next(key["id"] for key in listed if key["name"] == "operator of default")
    async with reader.stream() as ending, other.stream() as staying:
        assert (await admin.delete(f"/api/v1/apiKeys/{revoked}")).status == 204
        async with asyncio.timeout(5):
            assert [line async for line in ending] == []
        await push(admin, "a1")
        assert states(await take(staying, 1)) == [("a1", "pending")]
    (await reader.get(DELIVERIES)).problem(401)


async def test_a_place_beyond_all_events_is_of_another_database_and_begins_now(admin: Client, told: Any):
    async with admin.stream(last="999999999") as lines:
        await push(admin, "a1")
        assert states(await take(lines, 1)) == [("a1", "pending")]


async def test_the_stream_begins_now(admin: Client, told: Any):
    await push(admin, "a1")
    await admin.settled(1)
    async with admin.stream() as lines:
        await push(admin, "a2")
        assert states(await take(lines, 1)) == [("a2", "pending")]


async def test_who_was_answered_misses_nothing_from_then_on(admin: Client, told: Any):
    url, headers = f"{admin.url}{DELIVERIES}/stream", {"Authorization": f"Bearer {admin.key}"}
    missed = []
    for number in range(10):
        async with admin.session.get(url, headers=headers) as answer:  # its head is here, its first line may not be
            await push(admin, f"a{number}")
            async with asyncio.timeout(5):
                async for line in answer.content:
                    if line.startswith(b"data: "):
                        break
        first = json.loads(line.removeprefix(b"data: "))
        if (first["objectId"], first["status"]) != (f"a{number}", "pending"):
            missed.append(number)
        await admin.settled(number + 1)  # or its last line would be the next reader's first
    assert missed == []


async def test_who_left_resumes_without_gap_or_repeat(admin: Client, told: Any):
    seen: list[Line] = []
    last = None
    for turn in range(4):
        async with admin.stream(last=last) as lines:
            await push(admin, f"a{turn}-while-there")
            seen += await take(lines, 2 if turn == 0 else 3)  # not all that there is to read
        last = seen[-1].id
        await push(admin, f"a{turn}-while-away")
        await admin.settled(2 * turn + 2)
    async with admin.stream(last=last) as lines:
        seen += await take(lines, 16 - len(seen))
    assert len({line.id for line in seen}) == 16
    created = [line.data["objectId"] for line in seen if line.data["status"] == "pending"]
    assert created == [f"a{turn}-while-{where}" for turn in range(4) for where in ("there", "away")]
    async with admin.stream(last="0") as lines:
        assert [line.id for line in await take(lines, 16)] == [line.id for line in seen]


async def test_a_long_past_is_read_in_order(admin: Client, receiver: Receiver, told: Any):
    await asyncio.gather(*(push(admin, f"a{number:04d}") for number in range(700)))
    await receiver.wait_for(700, timeout=20)
    async with admin.stream(last="0") as lines:
        found = await take(lines, 1400)
    numbers = [int(line.id or "") for line in found]
    assert numbers == sorted(set(numbers))
    assert sum(line.data["status"] == "succeeded" for line in found) == 700


async def test_the_stream_is_filtered(admin: Client, receiver: Receiver, told: Any):
    other = await admin.watch(f"{receiver.url}/other", retry=ONCE)
    receiver.answers = by_path(other=Answer(404))
    queries = {
        f"?watchId={other['id']}": [("a1", "pending"), ("a1", "failed"), ("a2", "pending"), ("a2", "failed")],
        "?objectId=a2&status=succeeded": [("a2", "succeeded")],
        "?status=failed": [("a1", "failed"), ("a2", "failed")],
        "?reason=status": [("a1", "failed"), ("a2", "failed")],
        "?statusCode=404": [("a1", "failed"), ("a2", "failed")],
        "?objectEvent=deleted": [("a2", "pending")],
    }
    await push(admin, "a1")
    await admin.settled(2)
    await push(admin, "a2")
    await admin.settled(4)
    await admin.patch(f"{WATCHES}/{other['id']}", {"status": "disabled"})
    await admin.delete(f"{OURS}/a2")
    await admin.settled(5)
    for query, expected in queries.items():
        async with admin.stream(query, last="0") as lines:
            assert states(await take(lines, len(expected))) == expected, query


async def test_a_silent_stream_says_how_far_it_is(admin: Client, told: Any):
    await push(admin, "a1")
    await admin.settled(1)
    url, headers = f"{admin.url}{DELIVERIES}/stream?objectId=nobody", {"Authorization": f"Bearer {admin.key}"}
    async with admin.session.get(url, headers={**headers, "Last-Event-ID": "0"}) as answer:
        place = "0"
        while place == "0":
            line = await answer.content.readline()
            assert not line.startswith(b"data")
            place = line.decode().removeprefix("id: ").strip() if line.startswith(b"id: ") else place
    await push(admin, "a2")
    async with admin.stream(last=place) as lines:
        assert states(await take(lines, 2)) == [("a2", "pending"), ("a2", "succeeded")]


async def test_several_readers_each_read_everything(admin: Client, told: Any):
    async with admin.stream() as first, admin.stream() as second, admin.stream("?objectId=a1") as third:
        await push(admin, "a0")
        await push(admin, "a1")
        assert len(await take(first, 4)) == len(await take(second, 4)) == 4
        assert states(await take(third, 2)) == [("a1", "pending"), ("a1", "succeeded")]


# Retention


async def test_what_ended_is_dropped_and_what_is_pending_stays(service: Service, receiver: Receiver):
    admin = service.admin
    watch = await admin.watch(receiver.url, retry=LATER)
    receiver.answers = lambda call: Answer(500 if call.headers["ce-subject"] == "late" else 200)
    for id_ in ("a1", "late", "a2"):
        await push(admin, id_)
    await receiver.wait_for(3)
    before = await rows(admin)
    late = next(row for row in before if row["objectId"] == "late")
    for row in before:
        await tried(admin, row, 1)
    store = service.running.services.store
    assert await retention.sweep(store, clock.now_ms() - 86_400_000) == 0
    assert len(await rows(admin)) == 3
    assert await retention.sweep(store, clock.now_ms() + 86_400_000) > 0
    assert [row["id"] for row in await rows(admin)] == [late["id"]]
    for row in before:
        if row["id"] != late["id"]:
            (await admin.get(f"{DELIVERIES}/{row['id']}")).problem(404)
    receiver.answers = []
    await redeliver(admin, late)
    shown = await tried(admin, late, 2)
    assert (shown["status"], shown["request"]["body"]) == ("succeeded", '{"id":"late"}')
    assert (await admin.get(f"{OURS}/a1")).body["version"] == 1
    await push(admin, "a1", firstName="Ada")
    assert (await admin.get(f"{OURS}/a1")).body["version"] == 2
    await receiver.wait_for(5)
    assert (await admin.get(f"{WATCHES}/{watch['id']}")).status == 200


async def test_the_stream_goes_on_over_what_was_dropped(service: Service, receiver: Receiver, told: Any):
    admin = service.admin
    await push(admin, "a1")
    async with admin.stream(last="0") as lines:
        seen = await take(lines, 2)
    await retention.sweep(service.running.services.store, clock.now_ms() + 86_400_000)
    async with admin.stream(last=seen[0].id) as lines:
        await push(admin, "a2")
        assert states(await take(lines, 2)) == [("a2", "pending"), ("a2", "succeeded")]


async def test_a_deleted_watch_is_named_as_long_as_the_log_does(service: Service, receiver: Receiver):
    admin = service.admin
    watch = await admin.watch(receiver.url, name="CRM", basicAuth={"username": "u", "password": "p4ssw0rd-1"})
    await push(admin, "a1")
    await admin.settled(1)
    await admin.delete(f"{WATCHES}/{watch['id']}")
    (row,) = await rows(admin)
    assert row["watch"]["name"] == "CRM"
    await retention.sweep(service.running.services.store, clock.now_ms() + 86_400_000)
    assert await rows(admin) == []


# Health and figures


async def test_health_is_answered_to_everybody(admin: Client):
    nobody = admin.with_key(None)
    alive, ready = await nobody.get("/healthz"), await nobody.get("/readyz")
    assert (alive.status, alive.body["status"]) == (200, "ok")
    assert (ready.status, ready.body["status"]) == (200, "ready")


async def test_figures_of_all_tenants_are_not_for_each_of_them(admin: Client):
    for role in ("admin", "operator"):
        refused = await (await admin.key_of(role, "acme")).get("/metrics")
        assert "a key of tenant default" in refused.problem(403)["detail"]


async def test_figures_are_for_operators(admin: Client, receiver: Receiver):
    (await admin.with_key(None).get("/metrics")).problem(401)
    (await (await admin.key_of("agent")).get("/metrics")).problem(403)
    operator = await admin.key_of("operator")
    receiver.answers = [Answer(500)]
    await admin.watch(receiver.url, retry={"schedule": [0]})
    await push(admin, "a1")
    await admin.settled(1)
    page = await operator.get("/metrics")
    assert page.status == 200
    assert page.headers["Content-Type"].startswith("text/plain")
    figures = dict(line.rsplit(" ", 1) for line in page.text.splitlines() if not line.startswith("#"))
    assert figures['webhook_watch_changes_total{event="created",type="agendize.account"}'] == "1.0"
    assert figures['webhook_watch_attempts_total{outcome="ok"}'] == "1.0"
    assert figures['webhook_watch_attempts_total{outcome="status"}'] == "1.0"
    assert figures["webhook_watch_attempt_seconds_count"] == "2.0"
    assert figures["webhook_watch_watches"] == "1.0"
    assert figures["webhook_watch_in_flight"] == "0.0"
    assert figures['webhook_watch_requests_total{method="PUT",status="201"}'] == "1.0"
