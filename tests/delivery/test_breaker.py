"""A receiver that fails and fails is spared, then given up; one that recovers is sent to as before."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

import pytest

from service.delivery import breaker
from service.model import HEALTHY, Health, HealthState, Reason
from tests.support import running
from tests.support.clocks import DAY, MINUTE, Clock
from tests.support.receiver import Answer, Receiver
from tests.support.running import Client

TYPE = "/api/v1/resources/agendize.account"
DRAFT = "https://json-schema.org/draft/2020-12/schema"
LATER = {"schedule": [3600] * 50}  # a failed delivery is not attempted again within a test


@pytest.fixture
def time() -> Clock:
    return Clock()


@pytest.fixture
async def admin(tmp_path: Path, time: Clock):
    async with running.service(tmp_path, now=time) as service:
        yield service.admin


async def push(admin: Client, *names: str) -> None:
    answers = await asyncio.gather(*(admin.put(f"{TYPE}/{name}", {"id": name}) for name in names))
    assert {answer.status for answer in answers} == {201}


async def shown(admin: Client, watch_id: str, **health: object) -> dict:
    """The watch, once its health is so."""
    async with asyncio.timeout(10):
        while True:
            watch = (await admin.get(f"/api/v1/watches/{watch_id}")).body
            if health.items() <= watch["health"].items():
                return watch
            await asyncio.sleep(0.01)


async def fail(admin: Client, receiver: Receiver, prefix: str = "bad", count: int = breaker.PROBED_AFTER) -> dict:
    """A watch whose last attempts, so many of them, have failed."""
    receiver.answers = lambda _call: Answer(500)
    watch = await admin.watch(receiver.url, retry=LATER)
    await push(admin, *(f"{prefix}{number}" for number in range(count)))
    return await shown(admin, watch["id"], failures=count)


# The states


def test_each_attempt_moves_the_health_by_a_step():
    health, states = HEALTHY, []
    for number in range(breaker.PROBED_AFTER):
        health = breaker.after(health, Reason.TIMEOUT, 1000 + number)
        states.append(breaker.state(health))
    assert health == Health(breaker.PROBED_AFTER, 1000, None)
    assert states == [HealthState.DEGRADED] * (breaker.PROBED_AFTER - 1) + [HealthState.FAILING]
    assert breaker.after(health, None, 5000) == Health(0, None, 5000)


@pytest.mark.parametrize("reason", Reason)
def test_what_the_receiver_had_no_part_in_counts_for_nothing(reason: Reason):
    assert breaker.counts(reason) is (reason not in {Reason.TEMPLATE, Reason.TOO_LARGE, Reason.CANCELED})


@pytest.mark.parametrize(
    ("health", "is_hopeless"),
    [
        (Health(20, 0), True),
        (Health(5000, 0), True),
        (Health(20, 1), False),  # not long enough
        (Health(19, 0), False),  # long enough, but of so few attempts that it proves little
        (HEALTHY, False),
    ],
)
def test_five_days_of_nothing_but_failures_are_hopeless(health: Health, is_hopeless: bool):
    assert breaker.is_hopeless(health, 5 * DAY) is is_hopeless


# A service


async def test_a_new_watch_is_healthy_and_its_answer_can_be_put_as_it_came(admin, receiver):
    watch = await admin.watch(receiver.url)
    assert watch["health"] == {"state": "healthy", "failures": 0, "since": None, "lastSuccess": None}
    got = (await admin.get(f"/api/v1/watches/{watch['id']}")).body
    put = await admin.put(f"/api/v1/watches/{watch['id']}", got)
    assert put.status == 200, put.text
    assert put.body["health"] == got["health"]


async def test_health_is_on_the_watch_and_in_the_list(admin, receiver):
    receiver.answers = [Answer(), Answer(500), Answer(503)]
    watch = await admin.watch(receiver.url, retry=LATER)
    await push(admin, "a")
    await admin.settled(1)
    await push(admin, "b", "c")
    ill = (await shown(admin, watch["id"], failures=2))["health"]
    assert ill["state"] == "degraded"
    rows = await admin.get("/api/v1/deliveries?objectId=a")
    assert ill["lastSuccess"] == rows.body["items"][0]["sent"]
    sent = [(await admin.get(f"/api/v1/deliveries?objectId={name}")).body["items"][0]["sent"] for name in "bc"]
    assert ill["since"] == min(sent)
    assert [item["health"] for item in (await admin.get("/api/v1/watches")).body["items"]] == [ill]
    await push(admin, "d")
    assert (await shown(admin, watch["id"], state="healthy"))["health"]["since"] is None


async def test_after_twenty_failures_one_delivery_at_a_time_is_sent_until_one_succeeds(admin, receiver):
    watch = await fail(admin, receiver)
    assert watch["health"]["state"] == "failing"
    assert watch["status"] == "enabled"
    gate = asyncio.Event()
    receiver.answers = lambda _call: Answer(gate=gate)
    await push(admin, *(f"new{number}" for number in range(40)))
    await receiver.wait_for(breaker.PROBED_AFTER + 1)
    other = await push_and_see(admin)
    assert len(receiver.calls) == breaker.PROBED_AFTER + 1, f"while {other} others were sent"
    gate.set()
    await receiver.wait_for(breaker.PROBED_AFTER + 40)
    assert (await shown(admin, watch["id"], state="healthy"))["health"]["failures"] == 0


async def push_and_see(admin: Client) -> int:
    """How many deliveries another watch gets meanwhile: all that there are."""
    async with Receiver() as receiver:
        made = await admin.watch(receiver.url)
        await push(admin, *(f"seen{number}" for number in range(50)))
        calls = await receiver.wait_for(50)
        assert (await admin.delete(f"/api/v1/watches/{made['id']}")).status == 204
    return len(calls)


async def test_a_restart_forgives_nothing(tmp_path: Path, time: Clock, receiver):
    async with running.service(tmp_path, now=time) as service:
        before = await fail(service.admin, receiver, count=25)
    gate = asyncio.Event()
    receiver.answers = lambda _call: Answer(gate=gate)
    known = len(receiver.calls)
    async with running.service(tmp_path, now=time) as service:
        assert (await service.admin.get(f"/api/v1/watches/{before['id']}")).body["health"] == before["health"]
        await push(service.admin, *(f"new{number}" for number in range(20)))
        await receiver.wait_for(known + 1)
        await push_and_see(service.admin)
        assert len(receiver.calls) == known + 1
        gate.set()
        await receiver.wait_for(known + 20)


async def test_five_days_of_failures_disable_a_watch_and_its_owner_can_enable_it_again(admin, receiver, time, caplog):
    watch = await fail(admin, receiver)
    with caplog.at_level(logging.WARNING, "service"):
        time.jump(5 * DAY)
        await push(admin, "after")
        async with asyncio.timeout(10):
            while (now := (await admin.get(f"/api/v1/watches/{watch['id']}")).body)["status"] != "disabled":
                await asyncio.sleep(0.01)
    assert now["statusReason"] == "failing"
    assert now["health"]["state"] == "failing"
    assert any(watch["id"] in record.getMessage() and "disabled" in record.getMessage() for record in caplog.records)
    calls = len(receiver.calls)
    await push(admin, "unheard")
    receiver.answers = lambda _call: Answer()
    enabled = await admin.patch(f"/api/v1/watches/{watch['id']}", {"status": "enabled"})
    assert (enabled.body["status"], enabled.body["statusReason"]) == ("enabled", None)
    assert enabled.body["health"]["state"] == "healthy"
    await receiver.wait_for(calls + breaker.PROBED_AFTER - 5)  # most of those that failed are due meanwhile
    assert "unheard" not in {call.headers["ce-subject"] for call in receiver.calls}


async def test_one_success_in_five_days_is_hope_enough(admin, receiver, time):
    watch = await fail(admin, receiver)
    time.jump(4 * DAY)
    receiver.answers = [Answer()]
    await push(admin, "good")
    await shown(admin, watch["id"], state="healthy")
    receiver.answers = lambda _call: Answer(500)
    time.jump(2 * DAY)
    await push(admin, *(f"again{number}" for number in range(25)))
    now = await shown(admin, watch["id"], state="failing")
    assert now["status"] == "enabled"


async def test_another_address_is_not_held_to_account_for_the_last_one(admin, receiver):
    watch = await fail(admin, receiver)
    async with Receiver() as other:
        moved = await admin.patch(f"/api/v1/watches/{watch['id']}", {"address": other.url})
        assert moved.body["health"]["state"] == "healthy"
        gate = asyncio.Event()
        other.answers = lambda _call: Answer(gate=gate)
        await push(admin, *(f"new{number}" for number in range(10)))
        await other.wait_for(10)
        gate.set()


async def test_a_template_that_fails_says_nothing_about_the_receiver(admin, receiver):
    watch = await admin.watch(receiver.url, schema={"$schema": DRAFT, "type": "object", "required": ["none"]})
    await push(admin, *(f"a{number}" for number in range(25)))
    assert {row["reason"] for row in await admin.settled(25)} == {"template"}
    assert (await admin.get(f"/api/v1/watches/{watch['id']}")).body["health"]["failures"] == 0


async def test_the_last_success_is_written_once_a_minute(admin, receiver, time):
    watch = await admin.watch(receiver.url)
    noted = []
    for name, jump in (("a", 0), ("b", MINUTE // 2), ("c", MINUTE)):
        time.jump(jump)
        await push(admin, name)
        await admin.settled(1, query=f"&objectId={name}")
        noted.append((await admin.get(f"/api/v1/watches/{watch['id']}")).body["health"]["lastSuccess"])
    assert noted[0] is not None
    assert noted[1] == noted[0]
    assert noted[2] > noted[1]


async def test_the_health_of_a_deleted_watch_goes_with_it(admin, receiver):
    watch = await fail(admin, receiver)
    assert (await admin.delete(f"/api/v1/watches/{watch['id']}")).status == 204
    again = await admin.watch(receiver.url)
    assert again["health"]["state"] == "healthy"
