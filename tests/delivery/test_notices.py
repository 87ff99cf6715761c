"""Watches of other watches: what they hear, what they do not, and that nobody starts a storm."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from pathlib import Path
from typing import Any

import pytest
from standardwebhooks import Webhook

from service.delivery import breaker
from tests.support import running
from tests.support.clocks import DAY, Clock
from tests.support.receiver import Answer, Call, Receiver
from tests.support.running import Client

TYPE = "/api/v1/resources/agendize.account"
LATER = {"schedule": [3600] * 50}  # a failed delivery is not attempted again within a test
ONCE: dict[str, Any] = {"schedule": []}  # nor is it here: it is given up
ALL = ["disabled", "failing", "recovered", "authorization", "exhausted"]


@pytest.fixture
async def ear():
    """A receiver of notices."""
    async with Receiver() as ear:
        yield ear


async def listen(admin: Client, ear: Receiver, **members: object) -> dict[str, Any]:
    return await admin.watch(ear.url, objectType="watch", **members)


async def push(admin: Client, *names: str) -> None:
    answers = await asyncio.gather(*(admin.put(f"{TYPE}/{name}", {"id": name}) for name in names))
    assert {answer.status for answer in answers} == {201}


async def fail(admin: Client, receiver: Receiver, prefix: str = "bad") -> dict[str, Any]:
    """A watch that has failed just often enough."""
    receiver.answers = lambda _call: Answer(500)
    watch = await admin.watch(receiver.url, retry=LATER, name="the failing one")
    await push(admin, *(f"{prefix}{number}" for number in range(breaker.PROBED_AFTER)))
    return watch


def types(calls: Collection[Call]) -> list[str]:
    return [call.headers["ce-type"] for call in calls]


# What is heard


async def test_a_watch_that_fails_and_recovers_is_told_of_in_order_signed_and_logged(admin, receiver, ear):
    listening = await listen(admin, ear, signature={"enabled": True})
    assert listening["events"] == ALL
    watch = await fail(admin, receiver)
    (failing,) = await ear.wait_for(1)
    receiver.answers = []
    await push(admin, "good")
    _, recovered = await ear.wait_for(2)
    assert types([failing, recovered]) == ["watch.failing", "watch.recovered"]
    for number, call in enumerate((failing, recovered), 1):
        assert Webhook(listening["signature"]["secret"]).verify(call.body.decode(), dict(call.headers)) == call.json()
        assert call.headers["ce-source"] == "/api/v1/watches"
        assert call.headers["ce-subject"] == call.json()["id"] == watch["id"]
        assert call.headers["ce-sequence"] == str(number)
    assert failing.json()["health"]["state"] == "failing"
    assert failing.json()["health"]["failures"] == breaker.PROBED_AFTER
    assert recovered.json()["health"]["state"] == "healthy"
    answer = (await admin.get(f"/api/v1/watches/{watch['id']}")).body
    assert {**recovered.json(), "health": None} == {**answer, "health": None}
    rows = (await admin.get("/api/v1/deliveries?objectType=watch&objectEvent=failing")).body["items"]
    assert [(row["objectType"], row["objectEvent"], row["objectId"]) for row in rows] == [
        ("watch", "failing", watch["id"])
    ]
    assert rows[0]["id"] == failing.headers["webhook-id"]
    assert rows[0]["watch"]["id"] == listening["id"]


async def test_a_delivery_that_is_given_up_is_told_of_with_its_row(admin, receiver, ear):
    await listen(admin, ear, events=["exhausted"])
    receiver.answers = lambda _call: Answer(503, body=b"no")
    watch = await admin.watch(receiver.url, retry={"schedule": [0.01]}, httpRequestHeader={"x-key": "hushhush"})
    await push(admin, "a")
    (call,) = await ear.wait_for(1)
    (row,) = (await admin.get("/api/v1/deliveries?objectType=agendize.account")).body["items"]
    assert call.json()["delivery"] == row
    assert row["status"] == "failed"
    assert call.json()["id"] == watch["id"]
    assert call.json()["secretsSet"] == ["/httpRequestHeader/x-key"]
    assert b"hushhush" not in call.body


async def test_a_delivery_that_its_template_fails_is_given_up_too(admin, receiver, ear):
    await listen(admin, ear)
    schema = {"$schema": "https://json-schema.org/draft/2020-12/schema", "type": "object", "required": ["none"]}
    await admin.watch(receiver.url, schema=schema)
    await push(admin, "a")
    (call,) = await ear.wait_for(1)
    assert call.json()["delivery"]["reason"] == "template"


async def test_gone_is_told_as_disabled_and_as_a_delivery_given_up(admin, receiver, ear):
    await listen(admin, ear)
    receiver.answers = [Answer(410)]
    await admin.watch(receiver.url)
    await push(admin, "a")
    disabled, exhausted = await ear.wait_for(2)
    assert types([disabled, exhausted]) == ["watch.disabled", "watch.exhausted"]
    for call in (disabled, exhausted):
        assert (call.json()["status"], call.json()["statusReason"]) == ("disabled", "gone")


async def test_five_days_of_failures_are_told_as_disabled(tmp_path: Path, receiver, ear):
    time = Clock()
    async with running.service(tmp_path, now=time) as service:
        await listen(service.admin, ear)
        await fail(service.admin, receiver)
        await ear.wait_for(1)
        time.jump(5 * DAY)
        await push(service.admin, "one-more")
        _, call = await ear.wait_for(2)
        assert call.headers["ce-type"] == "watch.disabled"
        assert call.json()["statusReason"] == "failing"


async def test_what_an_owner_does_is_told_as_well(admin, receiver, ear):
    await listen(admin, ear)
    oauth2 = {"clientId": "c", "accessTokenUrl": "https://id.example.com/token"}
    watch = await admin.watch(receiver.url, oauth2Auth=oauth2)
    await admin.patch(f"/api/v1/watches/{watch['id']}", {"status": "disabled"})
    await admin.patch(f"/api/v1/watches/{watch['id']}", {"name": "renamed while disabled"})
    await admin.patch(f"/api/v1/watches/{watch['id']}", {"status": "enabled"})
    calls = await ear.wait_for(3)
    assert types(calls) == ["watch.authorization", "watch.disabled", "watch.authorization"]
    assert [call.json()["statusReason"] for call in calls] == ["authorization", None, "authorization"]


async def test_events_object_and_template_work_as_for_resources(admin, receiver, ear):
    async with Receiver() as other:
        first, second = await admin.watch(other.url, name="first"), await admin.watch(other.url, name="second")
        template = {"what": "${$.event.type}", "who": "${$.name}", "how": "${$.health.state}"}
        await listen(admin, ear, events=["disabled"], objectId=second["id"], schema=template)
        other.answers = lambda _call: Answer(410)
        await push(admin, "a")
        await other.wait_for(2)
        (call,) = await ear.wait_for(1)
        assert call.json() == {"what": "disabled", "who": "second", "how": "degraded"}
        async with asyncio.timeout(5):
            while (await admin.get(f"/api/v1/watches/{first['id']}")).body["status"] != "disabled":
                await asyncio.sleep(0.01)
        await admin.settled(3)
        assert len(ear.calls) == 1


async def test_a_notice_is_not_lost_while_its_receiver_is_away(tmp_path: Path, receiver, unused_tcp_port):
    ear = Receiver(port=unused_tcp_port)
    receiver.answers = [Answer(410)]
    async with running.service(tmp_path) as service:
        await listen(service.admin, ear, retry={"schedule": [0.2] * 50})
        await service.admin.watch(receiver.url)
        await push(service.admin, "a")
        await receiver.wait_for(1)
        async with asyncio.timeout(5):
            while len((await service.admin.get("/api/v1/deliveries?objectType=watch")).body["items"]) < 2:
                await asyncio.sleep(0.01)
    async with ear, running.service(tmp_path):
        calls = await ear.wait_for(2)
        assert types(calls) == ["watch.disabled", "watch.exhausted"]


# What is not


async def test_nobody_hears_of_itself_nor_of_another_tenant(admin, receiver, ear):
    stranger = await admin.key_of("admin", "elsewhere")
    async with Receiver() as theirs:
        await listen(stranger, theirs)
        mine = await listen(admin, ear)
        oauth2 = {"clientId": "c", "accessTokenUrl": "https://id.example.com/token"}
        await admin.patch(f"/api/v1/watches/{mine['id']}", {"oauth2Auth": oauth2})  # would be told to others
        await admin.patch(f"/api/v1/watches/{mine['id']}", {"oauth2Auth": None})
        watch = await admin.watch(receiver.url)
        await admin.patch(f"/api/v1/watches/{watch['id']}", {"status": "disabled"})
        calls = await ear.wait_for(1)
        assert [call.headers["ce-subject"] for call in calls] == [watch["id"]]
        assert theirs.calls == []


async def test_two_watches_of_notices_that_both_fail_start_no_storm(admin, receiver):
    async with Receiver() as one, Receiver() as two:
        for ear in (one, two):
            ear.answers = lambda _call: Answer(500)
            await listen(admin, ear, retry=ONCE)
        receiver.answers = lambda _call: Answer(500)
        await admin.watch(receiver.url, retry=ONCE)
        await push(admin, *(f"a{number}" for number in range(breaker.PROBED_AFTER)))
        # each of the given up deliveries and the failing watch are told to both; then both fail, and one of them
        # hears of the other, and the other of the one
        told = 2 * (breaker.PROBED_AFTER + 1) + 2
        rows = await admin.settled(told, query="&objectType=watch")
        assert len(rows) == told
        about = [row["objectEvent"] for row in rows]
        assert about.count("exhausted") == 2 * breaker.PROBED_AFTER
        assert about.count("failing") == 4


async def test_what_somebody_asked_for_by_hand_is_no_notice(admin, receiver, ear):
    await listen(admin, ear, events=["exhausted"])
    receiver.answers = lambda _call: Answer(500)
    watch = await admin.watch(receiver.url, retry=ONCE)
    tested = await admin.post(f"/api/v1/watches/{watch['id']}/test")
    assert tested.status == 202
    await admin.settled(1)
    await push(admin, "a")
    await ear.wait_for(1)
    await admin.settled(3)
    assert [call.json()["delivery"]["objectEvent"] for call in ear.calls] == ["created"]


async def test_notices_are_no_changes_of_the_directory(admin, receiver, ear):
    await listen(admin, ear)
    receiver.answers = [Answer(410)]
    await admin.watch(receiver.url)
    await push(admin, "a")
    await ear.wait_for(2)
    items = (await admin.get("/api/v1/changes")).body["items"]
    assert [(item["objectType"], item["objectId"]) for item in items] == [("agendize.account", "a")]


# Registering, previewing and testing one


@pytest.mark.parametrize(
    ("body", "pointer", "detail"),
    [
        ({"objectType": "watch", "events": ["created"]}, "/events/0", "must be one of disabled, failing"),
        ({"objectType": "agendize.account", "events": ["deleted", "failing"]}, "/events/1", "must be one of created"),
        ({"objectType": "watch", "events": ["disabled", "disabled"]}, "/events", "twice"),
        ({"objectType": "watches"}, "/objectType", "did you mean watch?"),
        ({"objectType": "watch", "fields": ["$.status"]}, "/fields", "leave it out"),
    ],
)
async def test_each_kind_of_watch_has_its_own_events(admin, body, pointer, detail):
    refused = await admin.post("/api/v1/watches", {"address": "https://example.com/", **body})
    refused.problem(422)
    assert refused.pointers() == [pointer]
    assert detail in refused.body["errors"][0]["detail"]


async def test_a_path_that_no_watch_has_is_doubted(admin):
    made = await admin.watch(
        "https://example.com/", objectType="watch", schema={"a": "${$.helth}", "b": "${$.delivery.id}"}
    )
    assert [warning["pointer"] for warning in made["warnings"]] == ["/schema/a"]
    assert "did you mean health?" in made["warnings"][0]["detail"]


async def test_the_watch_of_a_collection_cannot_be_one_of_watches(admin):
    refused = await admin.post(f"{running.ACCOUNTS}/watch", {"address": "https://example.com/", "objectType": "watch"})
    assert refused.status == 422


async def test_an_answer_can_be_put_as_it_came(admin, ear):
    made = await listen(admin, ear, events=["disabled"])
    put = await admin.put(f"/api/v1/watches/{made['id']}", (await admin.get(f"/api/v1/watches/{made['id']}")).body)
    assert put.status == 200, put.text
    assert (put.body["objectType"], put.body["events"]) == ("watch", ["disabled"])


async def test_a_notice_can_be_previewed(admin, receiver):
    watch = await admin.watch(receiver.url, name="previewed")
    form = {"objectType": "watch", "address": "https://example.com/${$.event.type}", "schema": {"n": "${$.name}"}}
    shown = await admin.post("/api/v1/watches/preview", {"watch": form, "event": "recovered", "objectId": watch["id"]})
    assert shown.status == 200, shown.text
    request = shown.body["request"]
    assert request["address"] == "https://example.com/recovered"
    assert request["headers"]["ce-type"] == "watch.recovered"
    assert request["body"] == '{"n":"previewed"}'
    usual = await admin.post("/api/v1/watches/preview", {"watch": form, "resource": {"id": "x", "name": "n"}})
    assert usual.body["request"]["headers"]["ce-type"] == "watch.failing"
    for body, pointer in (
        ({"watch": form, "event": "updated", "objectId": watch["id"]}, "/event"),
        ({"watch": form, "objectId": "wch_none"}, "/objectId"),
        ({"watch": watch["id"], "event": "failing", "resource": {"id": "a"}}, "/event"),
    ):
        refused = await admin.post("/api/v1/watches/preview", body)
        refused.problem(422)
        assert refused.pointers() == [pointer]


async def test_a_watch_of_watches_can_be_tested_with_and_without_another(admin, receiver, ear):
    listening = await listen(admin, ear, name="itself")
    for name in ("itself", "another"):
        if name == "another":
            await admin.watch(receiver.url, name=name)
        ear.calls.clear()
        tested = await admin.post(f"/api/v1/watches/{listening['id']}/test")
        assert tested.status == 202, tested.text
        (call,) = await ear.wait_for(1)
        assert call.headers["ce-type"] == "watch.test"
        assert call.json().get("name") == name
