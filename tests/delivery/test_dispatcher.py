"""The engine, with real receivers and a real database: order, isolation, retries, holding, fencing."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from service import errors
from service.delivery.dispatcher import MOST_JOBS
from service.model import DeliveryStatus
from service.store import changes, deliveries
from service.store.deliveries import Attempt, Settlement
from service.store.sql import Query
from tests.support import running
from tests.support.receiver import HANG, RESET, Answer, Call, Receiver
from tests.support.running import Client

TYPE = "/api/v1/resources/agendize.account"


async def push(admin: Client, object_id: str, organization: str) -> None:
    answer = await admin.put(f"{TYPE}/{object_id}", {"id": object_id, "organization": organization})
    assert answer.status in {200, 201}, answer.text


def told(calls: list[Call]) -> list[tuple[str, str]]:
    return [(call.headers["ce-subject"], call.json()["organization"]) for call in calls]


async def test_changes_of_one_resource_arrive_in_order_while_others_overtake_a_failing_one(admin, receiver):
    broken = asyncio.Event()
    receiver.answers = lambda call: (
        Answer(500) if call.headers["ce-subject"] == "a" and not broken.is_set() else Answer()
    )
    await admin.watch(receiver.url, retry={"schedule": [0.2] * 20})
    for turn in "123":
        await push(admin, "a", turn)
        await push(admin, "b", turn)
    async with asyncio.timeout(5):
        while ("b", "3") not in told(receiver.calls):
            await asyncio.sleep(0.01)
    assert [pair for pair in told(receiver.calls) if pair[0] == "b"] == [("b", "1"), ("b", "2"), ("b", "3")]
    assert {pair for pair in told(receiver.calls) if pair[0] == "a"} == {("a", "1")}
    broken.set()
    await admin.settled(6)
    assert list(dict.fromkeys(pair for pair in told(receiver.calls) if pair[0] == "a")) == [
        ("a", "1"),
        ("a", "2"),
        ("a", "3"),
    ]


async def test_without_ordering_a_failing_change_holds_nothing_back(admin, receiver):
    receiver.answers = lambda call: Answer(500 if call.json()["organization"] == "1" else 200)
    await admin.watch(receiver.url, ordering="none", retry={"schedule": [60]})
    for turn in "123":
        await push(admin, "a", turn)
    assert ("a", "3") in told(await receiver.wait_for(3))


async def test_a_change_that_is_given_up_lets_the_next_one_through(admin, receiver):
    receiver.answers = lambda call: Answer(500 if call.json()["organization"] == "1" else 200)
    await admin.watch(receiver.url, retry={"schedule": [0.01]})
    await push(admin, "a", "1")
    await push(admin, "a", "2")
    rows = await admin.settled(2)
    assert [(row["status"], row["reason"]) for row in rows] == [("failed", "status"), ("succeeded", None)]
    assert told(receiver.calls) == [("a", "1"), ("a", "1"), ("a", "2")]


async def test_every_attempt_has_the_same_id_and_body_and_its_own_timestamp_and_signature(admin, receiver):
    receiver.answers = [Answer(500), Answer(502)]
    await admin.watch(receiver.url, signature={"enabled": True}, retry={"schedule": [0.01, 1.1]})
    await push(admin, "a", "1")
    await admin.settled(1)
    first, second, third = receiver.calls
    assert first.headers["webhook-id"] == second.headers["webhook-id"] == third.headers["webhook-id"]
    assert first.body == second.body == third.body
    assert first.headers["webhook-timestamp"] != third.headers["webhook-timestamp"]
    assert first.headers["webhook-signature"] != third.headers["webhook-signature"]


async def test_the_body_stays_as_first_rendered_and_address_and_credentials_are_read_at_each_attempt(admin):
    async with Receiver() as old, Receiver() as new:
        old.answers = [Answer(500)]
        watch = await admin.watch(
            old.url,
            schema={"was": "${$.organization}"},
            basicAuth={"username": "u", "password": "one"},
            retry={"schedule": [0.3]},
        )
        await push(admin, "a", "1")
        await old.wait_for(1)
        changed = await admin.patch(
            f"/api/v1/watches/{watch['id']}",
            {"address": new.url, "basicAuth": {"password": "two"}, "schema": {"is": "${$.organization}"}},
        )
        assert changed.status == 200, changed.text
        (call,) = await new.wait_for(1)
        assert call.body == old.calls[0].body == b'{"was":"1"}'
        assert call.headers["authorization"] != old.calls[0].headers["authorization"]


async def test_gone_fails_the_delivery_and_disables_the_watch(admin, receiver):
    receiver.answers = [Answer(410)]
    watch = await admin.watch(receiver.url)
    await push(admin, "a", "1")
    await receiver.wait_for(1)
    (row,) = await admin.settled(1)
    assert (row["status"], row["reason"]) == ("failed", "status")
    async with asyncio.timeout(5):
        while (shown := await admin.get(f"/api/v1/watches/{watch['id']}")).body["status"] != "disabled":
            await asyncio.sleep(0.01)
    assert shown.body["statusReason"] == "gone"
    await push(admin, "a", "2")
    assert len(receiver.calls) == 1


async def test_a_redirect_is_not_followed(admin, receiver):
    async with Receiver() as other:
        receiver.answers = [Answer(302, {"Location": other.url})]
        await admin.watch(receiver.url, retry={"schedule": []})
        await push(admin, "a", "1")
        (row,) = await admin.settled(1)
        assert (row["status"], row["reason"]) == ("failed", "redirect")
        assert other.calls == []


@pytest.mark.parametrize("status", [429, 503])
async def test_retry_after_holds_the_whole_watch_and_no_other(admin, receiver, status):
    receiver.answers = [Answer(status, {"Retry-After": "2"})]
    async with Receiver() as other:
        await admin.watch(receiver.url, retry={"schedule": [0.01] * 5})
        await admin.watch(other.url)
        await push(admin, "a", "1")
        await receiver.wait_for(1)
        for number in range(20):
            await push(admin, f"b{number}", "1")
        await other.wait_for(21)
        assert len(receiver.calls) == 1
        await admin.settled(42, seconds=15)
        assert len(receiver.calls) == 22


async def test_a_hold_survives_a_restart(tmp_path: Path):
    async with Receiver() as receiver:
        receiver.answers = [Answer(503, {"Retry-After": "3600"})]
        async with running.service(tmp_path) as service:
            await service.admin.watch(receiver.url, retry={"schedule": [0.01] * 5})
            await push(service.admin, "a", "1")
            await receiver.wait_for(1)
            async with asyncio.timeout(5):
                while not (await service.admin.get("/api/v1/deliveries")).body["items"][0]["nextAttempt"]:
                    await asyncio.sleep(0.01)
                while not (await service.admin.get("/api/v1/deliveries")).body["items"][0]["sent"]:
                    await asyncio.sleep(0.01)
        async with running.service(tmp_path) as service:
            await push(service.admin, "b", "1")
            rows = (await service.admin.get("/api/v1/deliveries")).body["items"]
            assert [row["status"] for row in rows] == ["pending", "pending"]
            assert len(receiver.calls) == 1


async def test_a_receiver_that_never_answers_slows_nobody_down(admin, receiver):
    async with Receiver() as dead, Receiver() as broken:
        dead.answers = lambda _call: HANG
        broken.answers = lambda _call: RESET
        await admin.watch(dead.url, retry={"timeout": 30})
        await admin.watch(broken.url, retry={"schedule": [60]})
        await admin.watch(receiver.url)
        for number in range(300):
            await push(admin, f"a{number}", "1")
        await receiver.wait_for(300, timeout=20)
        assert len(dead.calls) <= 32, "at most concurrency_per_watch attempts are under way"


async def test_a_disabled_watch_holds_what_is_pending_hears_nothing_new_and_resumes(admin, receiver):
    receiver.answers = [Answer(500)]
    watch = await admin.watch(receiver.url, retry={"schedule": [0.5, 0.5]})
    await push(admin, "a", "1")
    await push(admin, "a", "2")
    await receiver.wait_for(1)
    await admin.patch(f"/api/v1/watches/{watch['id']}", {"status": "disabled"})
    await push(admin, "a", "unheard")
    await asyncio.sleep(0.8)
    assert len(receiver.calls) == 1
    await admin.patch(f"/api/v1/watches/{watch['id']}", {"status": "enabled"})
    await admin.settled(2)
    assert told(receiver.calls) == [("a", "1"), ("a", "1"), ("a", "2")]


async def test_a_deleted_watch_cancels_what_is_pending(admin, receiver):
    receiver.answers = [Answer(500)]
    watch = await admin.watch(receiver.url, retry={"schedule": [60]})
    await push(admin, "a", "1")
    await push(admin, "a", "2")
    await receiver.wait_for(1)
    await admin.delete(f"/api/v1/watches/{watch['id']}")
    rows = await admin.settled(2)
    assert {(row["status"], row["reason"]) for row in rows} == {("canceled", "canceled")}


async def test_more_deliveries_than_memory_holds_wait_in_the_table_and_arrive(tmp_path: Path):
    async with (
        Receiver() as receiver,
        running.service(
            tmp_path, WATCH_DELIVERY_BUFFER_PER_WATCH="4", WATCH_DELIVERY_CONCURRENCY_PER_WATCH="2"
        ) as service,
    ):
        await service.admin.watch(receiver.url)
        await asyncio.gather(*(push(service.admin, f"a{number}", "1") for number in range(200)))
        calls = await receiver.wait_for(200, timeout=20)
        assert len({call.headers["webhook-id"] for call in calls}) == 200


async def test_what_was_left_when_the_service_stopped_is_delivered_by_the_next_one(tmp_path: Path, unused_tcp_port):
    receiver = Receiver(port=unused_tcp_port)
    async with running.service(tmp_path) as service:
        await service.admin.watch(receiver.url, retry={"schedule": [0.3] * 20})
        for number in range(50):
            await push(service.admin, f"a{number}", "1")
            await push(service.admin, f"a{number}", "2")
    async with receiver, running.service(tmp_path) as service:
        rows = await service.admin.settled(100)
        assert {row["status"] for row in rows} == {"succeeded"}
        for number in range(50):
            mine = [pair for pair in told(receiver.calls) if pair[0] == f"a{number}"]
            assert mine == [(f"a{number}", "1"), (f"a{number}", "2")]


async def test_an_outcome_under_an_old_fence_changes_nothing(service: running.Service, receiver):
    gate = asyncio.Event()
    receiver.answers = [Answer(200, gate=gate)]
    watch = await service.admin.watch(receiver.url)
    await push(service.admin, "a", "1")
    await receiver.wait_for(1)
    store, dispatcher = service.running.services.store, service.running.services.handoff
    # As if this process had been thought dead: another one takes over, and claims.
    await store.write(lambda transaction: deliveries.take_over(transaction, "wrk_other"))
    jobs, _ = await store.write(lambda transaction: deliveries.claim(transaction, watch["id"], "wrk_other", 10**15, 10))
    gate.set()
    async with asyncio.timeout(5):
        while dispatcher.in_flight:
            await asyncio.sleep(0.01)
    (row,) = (await service.admin.get("/api/v1/deliveries")).body["items"]
    assert (row["status"], row["sent"]) == ("pending", None)
    attempt = Attempt(1, 1, "POST", receiver.url, {}, 200, {}, "", None, None)
    settled = Settlement(jobs[0], attempt, "{}", DeliveryStatus.SUCCEEDED, None, None)
    await store.write(lambda transaction: deliveries.settle(transaction, [settled], (), "wrk_other", 2))
    (row,) = (await service.admin.get("/api/v1/deliveries")).body["items"]
    assert row["status"] == "succeeded"


async def test_a_template_that_cannot_be_filled_fails_the_delivery_unsent(admin, receiver):
    await admin.watch(
        receiver.url,
        schema={
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "type": "object",
            "required": ["nickname"],
            "properties": {"nickname": {"type": "string"}},
        },
    )
    await push(admin, "a", "1")
    (row,) = await admin.settled(1)
    assert (row["status"], row["reason"]) == ("failed", "template")
    detail = (await admin.get(f"/api/v1/deliveries/{row['id']}")).body
    assert "nickname" in detail["response"]["errorMessage"]
    assert receiver.calls == []


async def test_a_private_address_is_blocked_unless_it_is_allowed(tmp_path: Path, receiver):
    async with running.service(tmp_path, WATCH_EGRESS_ALLOW="10.0.0.0/8") as service:
        made = await service.admin.post(
            "/api/v1/watches", {"objectType": "agendize.account", "address": receiver.url, "retry": {"schedule": []}}
        )
        assert made.status == 201
        assert any(warning["pointer"] == "/address" for warning in made.body["warnings"])
        await push(service.admin, "a", "1")
        (row,) = await service.admin.settled(1)
        assert (row["status"], row["reason"]) == ("failed", "blocked")
        assert receiver.calls == []


async def test_what_a_receiver_took_while_the_service_stops_is_not_sent_again(tmp_path: Path):
    gate = asyncio.Event()
    async with Receiver() as receiver:
        receiver.answers = lambda _call: Answer(200, gate=gate)
        async with running.service(tmp_path) as service:
            await service.admin.watch(receiver.url)
            for number in range(5):
                await push(service.admin, f"a{number}", "1")
            await receiver.wait_for(5)
            asyncio.get_running_loop().call_later(0.2, gate.set)
        async with running.service(tmp_path) as service:
            rows = await service.admin.settled(5)
            assert {row["status"] for row in rows} == {"succeeded"}
            assert len(receiver.calls) == 5


async def test_gone_holds_what_comes_next_in_the_lane(admin, receiver):
    gate = asyncio.Event()
    receiver.answers = lambda _call: Answer(410, gate=gate)
    await admin.watch(receiver.url)
    await push(admin, "a", "1")
    await push(admin, "a", "2")
    await receiver.wait_for(1)
    gate.set()
    async with asyncio.timeout(5):
        while (rows := (await admin.get("/api/v1/deliveries")).body["items"])[1]["status"] == "pending":
            await asyncio.sleep(0.01)
    assert [row["status"] for row in rows] == ["pending", "failed"]
    assert len(receiver.calls) == 1


async def test_what_an_old_address_asks_for_is_not_the_new_ones(admin):
    gate = asyncio.Event()
    async with Receiver() as old, Receiver() as new:
        old.answers = lambda _call: Answer(410, gate=gate)
        watch = await admin.watch(old.url)
        await push(admin, "a", "1")
        await old.wait_for(1)
        changed = await admin.patch(f"/api/v1/watches/{watch['id']}", {"address": new.url})
        assert changed.status == 200, changed.text
        gate.set()
        await push(admin, "b", "1")
        await new.wait_for(1)
        await admin.settled(2)
        assert (await admin.get(f"/api/v1/watches/{watch['id']}")).body["status"] == "enabled"


async def test_a_custom_header_takes_the_place_of_ours(admin, receiver):
    await admin.watch(receiver.url, httpRequestHeader={"Content-Type": "application/vnd.crm+json", "User-Agent": "crm"})
    await push(admin, "a", "1")
    (call,) = await receiver.wait_for(1)
    assert call.headers.getall("content-type") == ["application/vnd.crm+json"]
    assert call.headers.getall("user-agent") == ["crm"]


async def test_a_former_encryption_key_may_be_dropped_after_one_start_with_both(tmp_path: Path, receiver):
    first, second = "the first encryption key of the tests", "the second encryption key of the tests"
    async with running.service(tmp_path, WATCH_SECRET_KEY=first) as service:
        await service.admin.watch(
            receiver.url, basicAuth={"username": "u", "password": "p"}, signature={"enabled": True}
        )
    async with running.service(tmp_path, WATCH_SECRET_KEY=f"{second},{first}"):
        pass
    async with running.service(tmp_path, WATCH_SECRET_KEY=second) as service:
        await push(service.admin, "a", "1")
        (call,) = await receiver.wait_for(1)
        assert call.headers["authorization"] == "Basic dTpw"
    with pytest.raises(errors.ConfigError, match="secret"):
        async with running.service(tmp_path, WATCH_SECRET_KEY=first):
            pass


async def test_of_large_documents_no_more_are_in_memory_than_their_size_allows(
    service: running.Service, receiver: Receiver
):
    gate = asyncio.Event()
    admin = service.admin
    await admin.watch(receiver.url, schema={"organization": "${$.id}"}, retry={"timeout": 30})
    await push(admin, "small", "1")
    await admin.settled(1)  # a receiver that answers well gets many at once
    receiver.answers = lambda _call: Answer(200, gate=gate)
    count, text = 120, "x" * 1_000_000
    for number in range(count):
        answer = await admin.put(f"{TYPE}/a{number}", {"id": f"a{number}", "text": text})
        assert answer.status == 201, answer.text
    leased = Query("test.leased", "SELECT count(*) FROM deliveries WHERE worker IS NOT NULL")
    await receiver.wait_for(33)  # one, and all the places
    most = MOST_JOBS * changes.UNIT // len(text)
    assert 32 <= (await service.running.services.store.fetch(leased))[0][0] <= most + 1 < count
    gate.set()
    await receiver.wait_for(count + 1, timeout=30)
    await admin.settled(count + 1, seconds=30)
