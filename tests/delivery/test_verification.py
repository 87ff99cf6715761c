"""Receivers that are asked for their consent before the first callback, through the whole service."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support import running
from tests.support.authserver import AuthServer
from tests.support.receiver import RESET, Answer, Call, Receiver
from tests.support.running import Client, Service

ORIGIN = "watch.example.com"
PUBLIC = f"https://{ORIGIN}:8443/base"
TYPE = "/api/v1/resources/agendize.account"
GRANTED = Answer(200, {"WebHook-Allowed-Origin": ORIGIN, "WebHook-Allowed-Rate": "*", "Allow": "POST"})
SILENT = Answer(204, {"Allow": "POST"})


@pytest.fixture
async def service(tmp_path: Path) -> AsyncIterator[Service]:
    async with running.service(tmp_path, WATCH_PUBLIC_URL=PUBLIC) as service:
        yield service


def consenting(*answers: Answer) -> Callable[[Call], Answer]:
    """Answers to OPTIONS in this order, the last one for ever; everything else is taken."""
    left = list(answers)

    def answer(call: Call) -> Answer:
        if call.method != "OPTIONS":
            return Answer()
        return left.pop(0) if len(left) > 1 else left[0]

    return answer


async def push(admin: Client, object_id: str) -> None:
    assert (await admin.put(f"{TYPE}/{object_id}", {"organization": "x"})).status == 201


async def verifying(admin: Client, address: str, **members: Any) -> Any:
    return await admin.watch(address, verification="webhook-origin", **members)


async def state(admin: Client, watch: Any, wanted: str) -> Any:
    """The watch, once its verification has come to this."""
    async with asyncio.timeout(5):
        while (shown := (await admin.get(watch["selfLink"])).body)["verificationState"]["state"] != wanted:
            await asyncio.sleep(0.01)
    return shown


def asked(receiver: Receiver) -> list[Call]:
    return [call for call in receiver.calls if call.method == "OPTIONS"]


async def test_deliveries_wait_until_the_receiver_has_consented_and_name_who_asked(service, receiver):
    gate = asyncio.Event()
    receiver.answers = consenting(Answer(200, GRANTED.headers, gate=gate))
    watch = await verifying(
        service.admin,
        f"{receiver.url}/hooks?key=abc",
        basicAuth={"username": "u", "password": "p"},
        httpRequestHeader={"X-Api-Key": "the-key"},
    )
    assert (watch["status"], watch["statusReason"], watch["verification"]) == (
        "enabled",
        "verification",
        "webhook-origin",
    )
    assert watch["verificationState"] == {
        "state": "pending",
        "origin": ORIGIN,
        "at": None,
        "detail": None,
        "nextAttempt": None,
        "allowedRate": None,
    }
    await push(service.admin, "a")
    (question,) = await receiver.wait_for(1)
    assert (question.method, question.path_qs, question.body) == ("OPTIONS", "/hooks?key=abc", b"")
    assert question.headers["webhook-request-origin"] == ORIGIN
    assert question.headers["authorization"].startswith("Basic ")
    assert question.headers["x-api-key"] == "the-key"
    (row,) = (await service.admin.get("/api/v1/deliveries")).body["items"]
    assert row["status"] == "pending"
    gate.set()
    (row,) = await service.admin.settled(1)
    assert row["status"] == "succeeded"
    shown = await state(service.admin, watch, "verified")
    assert shown["statusReason"] is None
    assert shown["verificationState"]["at"] is not None
    callback = receiver.calls[-1]
    assert (callback.method, callback.headers["webhook-request-origin"]) == ("POST", ORIGIN)
    assert len(asked(receiver)) == 1


async def test_a_watch_that_asks_for_no_verification_is_not_verified_and_names_nobody(service, receiver):
    watch = await service.admin.watch(receiver.url)
    assert (watch["verification"], watch["verificationState"]) == ("none", None)
    await push(service.admin, "a")
    (call,) = await receiver.wait_for(1)
    assert call.method == "POST"
    assert "webhook-request-origin" not in call.headers
    refusal = (await service.admin.post(f"{watch['selfLink']}/verify")).problem(409)
    assert "webhook-origin" in refusal["detail"]


async def test_a_receiver_that_says_nothing_of_consent_is_asked_no_more_until_somebody_wants_to(service, receiver):
    receiver.answers = consenting(SILENT, GRANTED)
    watch = await verifying(service.admin, receiver.url, retry={"schedule": [0.01]})
    await push(service.admin, "a")
    shown = await state(service.admin, watch, "refused")
    assert "without WebHook-Allowed-Origin" in shown["verificationState"]["detail"]
    assert (shown["verificationState"]["nextAttempt"], shown["statusReason"]) == (None, "verification")
    renamed = await service.admin.patch(watch["selfLink"], {"name": "x", "address": f"{receiver.url}/?other=query"})
    assert renamed.body["verificationState"] == shown["verificationState"]
    assert len(asked(receiver)) == 1
    again = await service.admin.post(f"{watch['selfLink']}/verify")
    assert (again.status, again.body["verificationState"]["state"]) == (202, "pending")
    (row,) = await service.admin.settled(1)
    assert row["status"] == "succeeded"
    assert len(asked(receiver)) == 2


async def test_a_receiver_that_cannot_answer_is_asked_again_after_the_delays_of_the_watch(service, receiver):
    receiver.answers = consenting(Answer(503), RESET, GRANTED)
    watch = await verifying(service.admin, receiver.url, retry={"schedule": [0.01, 0.01]})
    await push(service.admin, "a")
    (row,) = await service.admin.settled(1)
    assert row["status"] == "succeeded"
    assert [call.method for call in receiver.calls] == ["OPTIONS"] * 3 + ["POST"]
    assert (await state(service.admin, watch, "verified"))["verificationState"]["detail"] is None


async def test_it_is_given_up_after_the_last_delay_and_says_why(service, receiver):
    receiver.answers = consenting(Answer(500))
    watch = await verifying(service.admin, receiver.url, retry={"schedule": [0.01]})
    shown = await state(service.admin, watch, "refused")
    assert shown["verificationState"]["detail"] == "OPTIONS was answered 500; given up after 2 attempts"
    assert len(asked(receiver)) == 2


async def test_while_it_is_asked_again_later_the_watch_says_when(service, receiver):
    receiver.answers = consenting(Answer(503, {"Retry-After": "3600"}))
    watch = await verifying(service.admin, receiver.url, retry={"schedule": [60]})
    async with asyncio.timeout(5):
        while (shown := (await service.admin.get(watch["selfLink"])).body["verificationState"])["at"] is None:
            await asyncio.sleep(0.01)
    assert (shown["state"], shown["detail"]) == ("pending", "OPTIONS was answered 503")
    assert shown["nextAttempt"] > shown["at"]
    receiver.answers = consenting(GRANTED)
    assert (await service.admin.post(f"{watch['selfLink']}/verify")).status == 202
    await state(service.admin, watch, "verified")


@pytest.mark.parametrize("allowed", ["*", "other.example.com"])
async def test_consent_names_the_origin_or_everyone(service, receiver, allowed):
    receiver.answers = consenting(Answer(200, {"WebHook-Allowed-Origin": allowed, "WebHook-Allowed-Rate": "600"}))
    watch = await verifying(service.admin, receiver.url, rateLimit=100)
    shown = await state(service.admin, watch, "verified" if allowed == "*" else "refused")
    assert asked(receiver)[0].headers["webhook-request-rate"] == "6000"
    assert shown["verificationState"]["allowedRate"] == (600 if allowed == "*" else None)


async def test_what_a_receiver_permits_a_minute_is_what_it_gets(service, receiver):
    receiver.answers = consenting(Answer(200, {"WebHook-Allowed-Origin": "*", "WebHook-Allowed-Rate": "60"}))
    watch = await verifying(service.admin, receiver.url)
    await state(service.admin, watch, "verified")
    recipient = service.running.services.registrar.recipient(watch["id"])
    assert recipient is not None
    assert recipient.rate == 1


async def test_another_place_has_to_consent_anew_and_the_same_place_has_not(service, receiver):
    receiver.answers = consenting(GRANTED)
    watch = await verifying(service.admin, f"{receiver.url}/one")
    await state(service.admin, watch, "verified")
    for change in ({"name": "x"}, {"address": f"{receiver.url}/one?a=${{$.id}}&b=1"}, {"status": "disabled"}):
        changed = await service.admin.patch(watch["selfLink"], change)
        assert changed.body["verificationState"]["state"] == "verified", change
    changed = await service.admin.patch(watch["selfLink"], {"status": "enabled", "address": f"{receiver.url}/two"})
    assert (changed.body["verificationState"]["state"], changed.body["statusReason"]) == ("pending", "verification")
    await state(service.admin, watch, "verified")
    assert [call.path_qs for call in asked(receiver)] == ["/one", "/two"]
    async with Receiver() as other:
        other.answers = consenting(SILENT)
        await service.admin.patch(watch["selfLink"], {"address": f"{other.url}/two"})
        await state(service.admin, watch, "refused")


async def test_the_question_goes_to_the_address_without_what_only_a_change_could_fill(service, receiver):
    receiver.answers = consenting(GRANTED)
    watch = await verifying(service.admin, f"{receiver.url}/hook?key=1&id=${{$.id}}&x=2")
    await state(service.admin, watch, "verified")
    assert asked(receiver)[0].path_qs == "/hook?key=1&x=2"


async def test_an_answer_about_a_place_that_the_watch_has_left_does_not_count(service, receiver):
    gate = asyncio.Event()
    receiver.answers = lambda call: (
        Answer(200, GRANTED.headers, gate=gate)
        if call.path_qs == "/one"
        else SILENT
        if call.method == "OPTIONS"
        else Answer()
    )
    watch = await verifying(service.admin, f"{receiver.url}/one")
    await receiver.wait_for(1)
    await service.admin.patch(watch["selfLink"], {"address": f"{receiver.url}/two"})
    await state(service.admin, watch, "refused")
    gate.set()
    again = await service.admin.post(f"{watch['selfLink']}/verify")
    assert again.body["verificationState"]["state"] == "pending"
    await state(service.admin, watch, "refused")
    assert [call.path_qs for call in asked(receiver)] == ["/one", "/two", "/two"]


async def test_verification_that_is_turned_off_lets_what_waited_go_and_turned_on_holds_it(service, receiver):
    receiver.answers = consenting(SILENT)
    watch = await verifying(service.admin, receiver.url)
    await push(service.admin, "a")
    await state(service.admin, watch, "refused")
    off = await service.admin.patch(watch["selfLink"], {"verification": "none"})
    assert (off.body["statusReason"], off.body["verificationState"]) == (None, None)
    await service.admin.settled(1)
    on = await service.admin.patch(watch["selfLink"], {"verification": "webhook-origin"})
    assert on.body["statusReason"] == "verification"
    await state(service.admin, watch, "refused")
    assert [call.method for call in receiver.calls] == ["OPTIONS", "POST", "OPTIONS"]


async def test_a_disabled_watch_is_verified_when_it_is_enabled(service, receiver):
    receiver.answers = consenting(GRANTED)
    watch = await verifying(service.admin, receiver.url, status="disabled")
    assert (watch["statusReason"], watch["verificationState"]["state"]) == (None, "pending")
    assert "disabled" in (await service.admin.post(f"{watch['selfLink']}/verify")).problem(409)["detail"]
    await service.admin.patch(watch["selfLink"], {"name": "still disabled"})
    assert receiver.calls == []
    await service.admin.patch(watch["selfLink"], {"status": "enabled"})
    await state(service.admin, watch, "verified")


async def test_a_test_delivery_waits_for_consent_too(service, receiver):
    receiver.answers = consenting(SILENT)
    watch = await verifying(service.admin, receiver.url)
    await state(service.admin, watch, "refused")
    made = await service.admin.post(f"{watch['selfLink']}/test")
    assert (made.status, made.body["status"]) == (202, "pending")
    assert [call.method for call in receiver.calls] == ["OPTIONS"]


async def test_the_question_carries_the_token_that_a_callback_would(service, receiver):
    with AuthServer() as authority:
        refresh_token = authority.issue(authority.add_client("crm", "the-client-secret"))
        receiver.answers = lambda call: (
            (GRANTED if call.method == "OPTIONS" else Answer())
            if call.headers["authorization"] == f"Bearer {authority.issued[-1]}"
            else Answer(401)
        )
        oauth2 = {"clientId": "crm", "clientSecret": "the-client-secret", "accessTokenUrl": authority.token_url}
        watch = await verifying(service.admin, receiver.url, oauth2Auth=oauth2)
        # the owner's consent comes before the receiver's
        assert (watch["statusReason"], watch["verificationState"]["state"]) == ("authorization", "pending")
        await push(service.admin, "a")
        changed = await service.admin.patch(watch["selfLink"], {"oauth2Auth": {"refreshToken": refresh_token}})
        assert changed.body["statusReason"] == "verification"
        (row,) = await service.admin.settled(1)
        assert row["status"] == "succeeded"
        authority.issued.append("revoked everything before")
        await service.admin.post(f"{watch['selfLink']}/verify")
        await state(service.admin, watch, "verified")
        assert [call.method for call in receiver.calls] == ["OPTIONS", "POST", "OPTIONS", "OPTIONS"]


async def test_a_refresh_token_that_is_refused_to_the_question_waits_for_the_owner(service, receiver):
    receiver.answers = consenting(GRANTED)
    with AuthServer() as authority:
        client = authority.add_client("crm", "the-client-secret")
        oauth2 = {"clientId": "crm", "clientSecret": "the-client-secret", "accessTokenUrl": authority.token_url}
        watch = await verifying(
            service.admin, receiver.url, oauth2Auth={**oauth2, "refreshToken": "never issued"}, retry={"schedule": [60]}
        )
        async with asyncio.timeout(5):
            while (await service.admin.get(watch["selfLink"])).body["statusReason"] != "authorization":
                await asyncio.sleep(0.01)
        changed = {"oauth2Auth": {"refreshToken": authority.issue(client)}}
        assert (await service.admin.patch(watch["selfLink"], changed)).body["statusReason"] == "verification"
        await state(service.admin, watch, "verified")
        assert len(asked(receiver)) == 1


async def test_the_egress_guard_stands_before_the_question(tmp_path, receiver):
    async with running.service(tmp_path, WATCH_PUBLIC_URL=PUBLIC, WATCH_EGRESS_ALLOW="10.9.8.7/32") as service:
        watch = await verifying(service.admin, receiver.url, retry={"schedule": []})
        shown = await state(service.admin, watch, "refused")
        assert "127.0.0.1 is blocked" in shown["verificationState"]["detail"]
    assert receiver.calls == []


async def test_what_was_asked_and_answered_survives_a_restart_and_an_open_question_is_put_again(tmp_path, receiver):
    gate = asyncio.Event()
    receiver.answers = lambda call: (
        GRANTED
        if call.path_qs == "/yes"
        else SILENT
        if call.path_qs == "/no"
        else Answer(200, GRANTED.headers, gate=gate)
    )
    async with running.service(tmp_path, WATCH_PUBLIC_URL=PUBLIC) as service:
        yes, no, slow = [await verifying(service.admin, receiver.url + path) for path in ("/yes", "/no", "/slow")]
        await state(service.admin, yes, "verified")
        await state(service.admin, no, "refused")
        await receiver.wait_for(3)
    gate.set()
    async with running.service(tmp_path, WATCH_PUBLIC_URL=PUBLIC) as service:
        await state(service.admin, slow, "verified")
        await state(service.admin, yes, "verified")
        await state(service.admin, no, "refused")
        await push(service.admin, "a")
        await receiver.wait_for(6)
    assert sorted((call.method, call.path_qs) for call in receiver.calls) == [
        ("OPTIONS", "/no"),
        ("OPTIONS", "/slow"),
        ("OPTIONS", "/slow"),
        ("OPTIONS", "/yes"),
        ("POST", "/slow"),
        ("POST", "/yes"),
    ]


async def test_a_service_that_has_another_name_asks_in_that_one(tmp_path, receiver):
    receiver.answers = consenting(Answer(200, {"WebHook-Allowed-Origin": "*"}))
    async with running.service(tmp_path, WATCH_PUBLIC_URL=PUBLIC) as service:
        watch = await verifying(service.admin, receiver.url)
        await state(service.admin, watch, "verified")
    async with running.service(tmp_path, WATCH_PUBLIC_URL="https://new.example.com") as service:
        async with asyncio.timeout(5):
            while len(asked(receiver)) < 2:
                await asyncio.sleep(0.01)
        shown = await state(service.admin, watch, "verified")
        assert shown["verificationState"]["origin"] == "new.example.com"
    async with running.service(tmp_path) as service:  # without a name, what was agreed stands
        assert (await service.admin.patch(watch["selfLink"], {"name": "x"})).status == 200
        await push(service.admin, "a")
        await service.admin.settled(1)
    assert [call.headers["webhook-request-origin"] for call in receiver.calls] == [ORIGIN] + ["new.example.com"] * 2


async def test_without_a_public_url_the_setting_is_named(tmp_path, receiver):
    async with running.service(tmp_path) as service:
        body = {"objectType": "agendize.account", "address": receiver.url, "verification": "webhook-origin"}
        refused = await service.admin.post("/api/v1/watches", body)
        assert "WATCH_PUBLIC_URL" in refused.problem(422)["detail"]
        assert refused.pointers() == ["/verification"]


@pytest.mark.parametrize("value", ["yes", True, None, "webhook_origin"])
async def test_other_values_are_refused_and_null_is_the_default(service, receiver, value):
    body = {"objectType": "agendize.account", "address": receiver.url, "verification": value}
    made = await service.admin.post("/api/v1/watches", body)
    if value is None:
        assert made.body["verification"] == "none"
    else:
        made.problem(422)
        assert made.pointers() == ["/verification"]


async def test_a_path_that_only_a_change_could_fill_cannot_be_asked(service, receiver):
    address = f"{receiver.url}/${{$.id}}/hook"
    body = {"objectType": "agendize.account", "address": address, "verification": "webhook-origin"}
    refused = await service.admin.post("/api/v1/watches", body)
    refused.problem(422)
    assert refused.pointers() == ["/verification"]
    watch = await verifying(service.admin, receiver.url)
    changed = await service.admin.patch(watch["selfLink"], {"address": address})
    assert changed.problem(422)


async def test_an_answer_can_be_put_as_it_came_and_states_nothing_by_itself(service, receiver):
    receiver.answers = consenting(SILENT)
    watch = await verifying(service.admin, receiver.url)
    shown = await state(service.admin, watch, "refused")
    shown["verificationState"]["state"] = "verified"
    put = await service.admin.put(watch["selfLink"], json.loads(json.dumps(shown)))
    assert (put.status, put.body["verificationState"]["state"]) == (200, "refused")
    body = {"objectType": "agendize.account", "address": receiver.url, "verificationState": {"state": "verified"}}
    assert (await service.admin.post("/api/v1/watches", body)).status == 422


async def test_only_an_admin_of_its_tenant_has_it_verified_again(service, receiver):
    receiver.answers = consenting(SILENT)
    watch = await verifying(service.admin, receiver.url)
    path = f"{watch['selfLink']}/verify"
    (await (await service.admin.key_of("operator")).post(path)).problem(403)
    (await (await service.admin.key_of("admin", "other")).post(path)).problem(404)
    (await service.admin.post("/api/v1/watches/wch_none/verify")).problem(404)


async def test_a_deleted_watch_is_asked_no_more(service, receiver):
    receiver.answers = consenting(Answer(503))
    watch = await verifying(service.admin, receiver.url, retry={"schedule": [0.05] * 50})
    await receiver.wait_for(2)
    assert (await service.admin.delete(watch["selfLink"])).status == 204
    calls = len(receiver.calls)
    receiver.answers = consenting(GRANTED)
    other = await verifying(service.admin, f"{receiver.url}/other")
    await state(service.admin, other, "verified")
    assert len(receiver.calls) <= calls + 2
