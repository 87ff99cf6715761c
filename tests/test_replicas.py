"""Several processes over one PostgreSQL: what one answers, all of them know; what one drops, another one picks up."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest

from service import clock
from service.api.services import Part
from service.delivery import breaker
from service.delivery.pace import LEEWAY
from tests.support import running
from tests.support.receiver import Answer, Call, Receiver

pytestmark = pytest.mark.postgresql

TYPE = "/api/v1/resources/agendize.account"
A_MINUTE = {"Retry-After": "60"}


@asynccontextmanager
async def replicas(directory: Path, *parts: Part, **more: str) -> AsyncIterator[list[running.Service]]:
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(running.service(directory, part=part, **more)) for part in parts]


@pytest.fixture
async def pair(tmp_path: Path):
    """Two that do everything."""
    async with replicas(tmp_path, Part.ALL, Part.ALL) as pair:
        yield pair


async def push(service: running.Service, object_id: str, turn: object = 0) -> int:
    pushed = await service.admin.put(f"{TYPE}/{object_id}", {"id": object_id, "organization": f"turn {turn}"})
    assert pushed.status in {200, 201}, pushed.text
    return int(pushed.body["version"])


def versions(calls: list[Call]) -> dict[str, list[int]]:
    """By resource: the versions that were told, in their order."""
    heard = defaultdict(list)
    for call in calls:
        heard[call.headers["ce-subject"]].append(int(call.headers["ce-sequence"]))
    return heard


async def test_a_write_through_either_is_delivered_once(pair, receiver: Receiver):
    first, second = pair
    await first.admin.watch(receiver.url)
    for number in range(20):
        await push(pair[number % 2], f"a{number}")
    rows = await second.admin.settled(20)
    assert {row["status"] for row in rows} == {"succeeded"}
    assert sorted(versions(receiver.calls)) == sorted(f"a{number}" for number in range(20))
    assert len(receiver.calls) == 20


async def test_a_watch_hears_what_another_process_takes_in_right_after_its_registration(pair, receiver: Receiver):
    first, second = pair
    for number in range(30):
        watch = await first.admin.watch(f"{receiver.url}/{number}", events=["created"])
        await push(second, f"a{number}")
        assert (await first.admin.delete(f"/api/v1/watches/{watch['id']}")).status == 204
        await push(second, f"late{number}")
    listed = (await first.admin.get("/api/v1/deliveries?limit=500")).body["items"]
    told = {(row["objectId"], row["watch"]["address"].rpartition("/")[2]) for row in listed}
    assert told == {(f"a{number}", str(number)) for number in range(30)}


async def test_order_holds_while_both_accept_writes_of_the_same_resources(pair, receiver: Receiver):
    await pair[0].admin.watch(receiver.url)
    resources, turns = 10, 20

    async def write(number: int, service: running.Service) -> None:
        for turn in range(turns):
            await push(service, f"a{number}", f"{turn} of {id(service)}")

    await asyncio.gather(*(write(number, service) for number in range(resources) for service in pair))
    await pair[0].admin.settled(resources * turns * 2, seconds=60)
    heard = versions(receiver.calls)
    assert {name: sorted(found) for name, found in heard.items()} == {
        f"a{number}": list(range(1, turns * 2 + 1)) for number in range(resources)
    }, "each version was told once, and none is missing"
    assert all(found == sorted(found) for found in heard.values()), heard


async def test_of_two_that_create_the_same_at_once_one_creates_and_one_changes(pair):
    for number in range(10):
        found = await asyncio.gather(
            *(push(service, f"new{number}", place) for place, service in enumerate(pair)),
        )
        assert sorted(found) == [1, 2]


async def test_an_identity_is_given_once(pair):
    async def create(service: running.Service, number: int) -> int:
        made = await service.admin.post(
            running.ACCOUNTS, {"email": f"same{number}@example.com", "profile": {"id": "p1"}}
        )
        return made.status

    for number in range(10):
        answers = await asyncio.gather(*(create(service, number) for service in pair))
        assert sorted(answers) in ([200, 409], [201, 409]), answers


async def test_one_process_answers_calls_and_another_one_delivers(tmp_path: Path, receiver: Receiver):
    async with replicas(tmp_path, Part.API, Part.WORKER) as (api, worker):
        await api.admin.watch(receiver.url)
        for turn in range(5):
            for number in range(5):
                await push(api, f"a{number}", turn)
        await receiver.wait_for(25, timeout=20)
        await api.admin.settled(25)
        assert all(found == [1, 2, 3, 4, 5] for found in versions(receiver.calls).values())
        assert (await worker.admin.get("/readyz")).status == 200
        assert (await worker.admin.get("/metrics")).status == 200
        assert (await worker.admin.get("/api/v1/watches")).status == 404


async def test_a_test_and_a_redelivery_that_one_answers_are_sent_by_the_other(tmp_path: Path, receiver: Receiver):
    async with replicas(tmp_path, Part.API, Part.WORKER) as (api, _):
        watch = await api.admin.watch(receiver.url)
        await push(api, "a")
        (row,) = await api.admin.settled(1)
        assert (await api.admin.post(f"/api/v1/watches/{watch['id']}/test")).status == 202
        await receiver.wait_for(2)
        assert (await api.admin.post(f"/api/v1/deliveries/{row['id']}/redeliver")).status == 202
        calls = await receiver.wait_for(3)
        assert calls[2].headers["webhook-id"] == row["id"]


async def test_a_receiver_that_asks_for_a_pause_is_left_alone_by_all(pair, receiver: Receiver):
    first, second = pair
    await first.admin.watch(receiver.url)
    receiver.answers = lambda _call: Answer(429, A_MINUTE)
    await push(first, "a")
    await receiver.wait_for(1)
    async with asyncio.timeout(5):
        while (await second.admin.get("/api/v1/deliveries?statusCode=429")).body["items"] == []:
            await asyncio.sleep(0.01)
    for number in range(10):
        await push(second, f"b{number}")
    await push(first, "c")
    assert len(receiver.calls) == 1


async def test_a_watch_that_a_receiver_ended_is_disabled_for_all(pair, receiver: Receiver):
    first, second = pair
    watch = await first.admin.watch(receiver.url)
    receiver.answers = lambda _call: Answer(410)
    await push(first, "a")
    async with asyncio.timeout(5):
        while (await second.admin.get(f"/api/v1/watches/{watch['id']}")).body["status"] == "enabled":
            await asyncio.sleep(0.01)
    await push(second, "b")
    assert len(receiver.calls) == 1
    assert len((await second.admin.get("/api/v1/deliveries")).body["items"]) == 1


async def test_a_key_that_one_revokes_is_worthless_at_the_other(pair):
    first, second = pair
    made = await first.admin.post("/api/v1/apiKeys", {"name": "short-lived", "role": "operator"})
    client = second.admin.with_key(made.body["key"])
    assert (await client.get("/api/v1/watches")).status == 200
    assert (await first.admin.delete(f"/api/v1/apiKeys/{made.body['id']}")).status == 204
    async with asyncio.timeout(2):
        while (await client.get("/api/v1/watches")).status == 200:
            await asyncio.sleep(0.01)


async def test_a_crypto_key_that_one_makes_the_other_signs_with(pair, receiver: Receiver):
    first, second = pair
    made = await first.admin.post("/api/v1/cryptoKeys", {"name": "ours"})
    await second.admin.watch(receiver.url, signature={"enabled": True, "cryptoKeyIds": [made.body["id"]]})
    await push(first, "a")
    (call,) = await receiver.wait_for(1)
    assert call.headers["webhook-signature"].startswith("v1,")


async def test_a_stream_misses_nothing_of_what_both_do(pair, receiver: Receiver):
    first, second = pair
    await first.admin.watch(receiver.url)
    seen: defaultdict[str, list[str]] = defaultdict(list)
    async with second.admin.stream() as lines:

        async def write(service: running.Service, name: str) -> None:
            for number in range(50):
                await push(service, f"{name}{number}")

        await asyncio.gather(*(write(service, name) for name, service in zip("ab", pair, strict=True)))
        async with asyncio.timeout(20):
            async for line in lines:
                seen[line.data["id"]].append(line.data["status"])
                if len(seen) == 100 and all(len(states) == 2 for states in seen.values()):
                    break
    assert set(map(tuple, seen.values())) == {("pending", "succeeded")}


async def test_a_change_that_many_hear_of_is_told_once_and_in_order_whoever_tells_it(pair, receiver: Receiver):
    first, second = pair
    await asyncio.gather(*(first.admin.watch(f"{receiver.url}/{number}") for number in range(130)))
    for turn in range(3):
        await push(pair[turn % 2], "a", turn)
    await receiver.wait_for(390, timeout=40)
    await second.admin.settled(390)
    heard = defaultdict(list)
    for call in receiver.calls:
        heard[call.path_qs].append(int(call.headers["ce-sequence"]))
    assert len(heard) == 130
    assert all(found == [1, 2, 3] for found in heard.values())


async def test_an_sqlite_file_is_served_by_one_process_that_does_everything(tmp_path: Path):
    (tmp_path / "database.url").unlink()
    from service import errors

    with pytest.raises(errors.ConfigError, match="role api: one process serves an SQLite file"):
        async with running.service(tmp_path, part=Part.API):
            pass


async def test_without_an_encryption_key_of_its_own_no_process_starts_on_postgresql(tmp_path: Path):
    from service import errors

    with pytest.raises(errors.ConfigError, match="set WATCH_SECRET_KEY, to the same text for every process"):
        async with running.service(tmp_path, WATCH_SECRET_KEY=""):
            pass


async def test_a_rate_is_divided_among_those_that_deliver(tmp_path: Path, receiver: Receiver):
    rate, count = 40, 360
    async with replicas(tmp_path, Part.ALL, Part.ALL, Part.API) as three:
        await three[0].admin.watch(receiver.url, rateLimit=rate)
        for number in range(count):
            await push(three[number % 3], f"a{number}")
        rows = await three[0].admin.settled(count, seconds=30)
    sent = sorted(clock.parse_rfc3339(row["sent"]) / 1000 for row in rows)
    known = [at for at in sent if at > sent[-1] - 5]  # by then each of them knows of the others
    for index, first in enumerate(known):
        within = sum(1 for at in known[index:] if at < first + 1)
        assert within <= rate * 1.05 + 2 * (1 + rate / 2 * LEEWAY / 1000)
    assert len(known) >= 5 * rate * 0.75


async def test_what_one_finds_failing_the_other_spares_as_well(pair, receiver: Receiver):
    first, second = pair
    receiver.answers = lambda _call: Answer(500)
    watch = await first.admin.watch(receiver.url, retry={"schedule": [3600]})
    for number in range(breaker.PROBED_AFTER):
        await push(first, f"bad{number}")
    async with asyncio.timeout(10):
        while (await second.admin.get(f"/api/v1/watches/{watch['id']}")).body["health"]["state"] != "failing":
            await asyncio.sleep(0.01)
    async with receiver_of(second, 30) as other:  # what it was told of the first before these, it knows after them
        assert len(other.calls) == 30
    gate = asyncio.Event()
    receiver.answers = lambda _call: Answer(gate=gate)
    for number in range(30):
        await push(pair[number % 2], f"new{number}")
    await receiver.wait_for(breaker.PROBED_AFTER + 1)
    async with receiver_of(second, 30):
        assert len(receiver.calls) <= breaker.PROBED_AFTER + 2, "one at a time, of each"
    gate.set()
    await receiver.wait_for(breaker.PROBED_AFTER + 30, timeout=20)


@asynccontextmanager
async def receiver_of(service: running.Service, count: int) -> AsyncIterator[Receiver]:
    """The receiver of a watch of something else, once it has been told so much."""
    async with Receiver() as other:
        watch = await service.admin.watch(other.url, objectType="rinkel.user")
        for number in range(count):
            pushed = await service.admin.put(f"/api/v1/resources/rinkel.user/{id(other)}{number}", {"name": "n"})
            assert pushed.status == 201, pushed.text
        await other.wait_for(count)
        await service.admin.delete(f"/api/v1/watches/{watch['id']}")
        yield other
