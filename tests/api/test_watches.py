"""Watches over HTTP: registering, reading, changing, previewing, testing, disabling and removing them."""

from __future__ import annotations

import asyncio
import json
from base64 import b64encode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from standardwebhooks import Webhook

from tests.support import running
from tests.support.receiver import Answer, Receiver
from tests.support.running import Client

WATCHES = "/api/v1/watches"
OURS = "/api/v1/resources/agendize.account"
SCHEMA = "https://json-schema.org/draft/2020-12/schema"
SECRETS = ("p4ssw0rd-of-basic", "header-s3cret-1", "cl1ent-s3cret", "r3fresh-t0ken")
BASIC = {"username": "crm", "password": SECRETS[0]}
OAUTH2 = {
    "grantType": "refresh_token",
    "clientId": "c1",
    "clientSecret": SECRETS[2],
    "refreshToken": SECRETS[3],
    "authUrl": "https://id.example.com/authorize",
    "accessTokenUrl": "https://id.example.com/token",
    "scope": "accounts",
    "clientAuth": "post",
}
ADA = {"email": "ada@example.com", "firstName": "Ada", "lastName": "Lovelace"}


async def registered(admin: Client, address: str = "https://example.com/hooks", **members: Any) -> Any:
    """A watch, as the answer to its registration shows it."""
    return await admin.watch(address, **members)


async def read(admin: Client, watch: Any) -> Any:
    """The watch as it is now."""
    answer = await admin.get(f"{WATCHES}/{watch['id']}")
    assert answer.status == 200, answer.text
    return answer.body


async def push(admin: Client, id_: str, document: Any) -> None:
    """Push a document."""
    answer = await admin.put(f"{OURS}/{id_}", document)
    assert answer.status in {200, 201}, answer.text


async def statuses(admin: Client, watch: Any) -> list[str]:
    """Where the deliveries of a watch stand, oldest first."""
    rows = (await admin.get(f"/api/v1/deliveries?watchId={watch['id']}")).body["items"]
    return [row["status"] for row in reversed(rows)]


# Register and read


async def test_a_registration_answers_with_the_watch_and_its_defaults(admin: Client):
    made = await admin.post(WATCHES, {"objectType": "agendize.account", "address": "https://example.com/hooks"})
    assert made.status == 201
    watch = made.body
    assert made.headers["Location"] == watch["selfLink"] == f"{WATCHES}/{watch['id']}"
    expected = {
        "objectType": "agendize.account",
        "objectId": None,
        "address": "https://example.com/hooks",
        "name": None,
        "method": "POST",
        "status": "enabled",
        "statusReason": None,
        "addPreviousData": False,
        "ordering": "resource",
        "secretsSet": [],
        "warnings": [],
    }
    assert {name: watch[name] for name in expected} == expected
    assert sorted(watch["events"]) == ["created", "deleted", "updated"]
    assert watch["signature"] == {"enabled": False, "cryptoKeyIds": [], "scheme": "standard-webhooks"}
    assert watch["retry"]["schedule"] == [5, 300, 1800, 7200, 18000, 36000, 50400, 72000, 86400]
    assert watch["retry"]["timeout"] == 15
    shown = await read(admin, watch)
    assert shown == {name: value for name, value in watch.items() if name != "warnings"}


async def test_everything_that_is_registered_is_shown_but_the_secrets(admin: Client):
    members = {
        "name": "CRM: Künden",
        "objectId": "a1",
        "events": ["deleted", "created"],
        "method": "PATCH",
        "status": "disabled",
        "httpRequestHeader": {"X-Api-Key": SECRETS[1], "X-Empty": ""},
        "schema": {"a": ["${$.id}", 1, None]},
        "addPreviousData": True,
        "retry": {"schedule": [0, 1.5], "timeout": 2.5},
        "ordering": "none",
    }
    watch = await registered(admin, oauth2Auth=OAUTH2, **members)
    for shown in (watch, await read(admin, watch), (await admin.get(WATCHES)).body["items"][0]):
        assert {name: shown[name] for name in members if name != "httpRequestHeader"} == {
            name: value for name, value in members.items() if name != "httpRequestHeader"
        }
        assert shown["oauth2Auth"] == {k: v for k, v in OAUTH2.items() if k not in {"clientSecret", "refreshToken"}}
        assert sorted(shown["secretsSet"]) == [
            "/httpRequestHeader/X-Api-Key",
            "/httpRequestHeader/X-Empty",
            "/oauth2Auth/clientSecret",
            "/oauth2Auth/refreshToken",
        ]
        assert not any(secret in json.dumps(shown) for secret in SECRETS)


async def test_the_list_shows_all_watches_in_pages(admin: Client):
    made = [(await registered(admin, name=f"w{number}"))["id"] for number in range(7)]
    found: list[str] = []
    cursor = ""
    while cursor is not None:
        answer = await admin.get(WATCHES, params={"limit": "3", "cursor": cursor})
        found += [watch["id"] for watch in answer.body["items"]]
        cursor = answer.body["nextCursor"]
    assert found == made


@pytest.mark.parametrize("method", ["GET", "PUT", "PATCH", "DELETE"])
async def test_an_unknown_watch_is_404(admin: Client, method: str):
    body = {"address": "https://example.com/"} if method in {"PUT", "PATCH"} else None
    (await admin.call(method, f"{WATCHES}/wch_nobody", body)).problem(404)


# Change


async def test_what_was_read_can_be_put_back_and_keeps_its_secrets(admin: Client, receiver: Receiver):
    members = {"basicAuth": BASIC, "httpRequestHeader": {"X-Api-Key": SECRETS[1]}, "signature": {"enabled": True}}
    watch = await registered(admin, receiver.url, **members)
    secret = watch["signature"]["secret"]
    before = await read(admin, watch)
    assert "secret" not in before["signature"]
    for body in (before, watch):
        answer = await admin.put(f"{WATCHES}/{watch['id']}", body)
        assert answer.status == 200, answer.text
        assert {**await read(admin, watch), "updated": None} == {**before, "updated": None}
    assert len((await admin.get("/api/v1/cryptoKeys")).body["items"]) == 1
    await push(admin, "a1", ADA)
    (call,) = await receiver.wait_for(1)
    assert call.headers["authorization"].startswith("Basic ")
    assert call.headers["x-api-key"] == SECRETS[1]
    Webhook(secret).verify(call.body, dict(call.headers))


async def test_a_put_is_the_whole_watch_but_for_its_secrets(admin: Client):
    watch = await registered(admin, name="old", events=["created"], basicAuth=BASIC, schema={"a": 1}, method="PUT")
    answer = await admin.put(f"{WATCHES}/{watch['id']}", {"address": watch["address"], "basicAuth": {"username": "u"}})
    assert answer.status == 200, answer.text
    shown = await read(admin, watch)
    assert (shown["name"], shown["method"], len(shown["events"])) == (None, "POST", 3)
    assert "schema" not in shown
    assert (shown["basicAuth"], shown["secretsSet"]) == ({"username": "u"}, ["/basicAuth/password"])
    await admin.put(f"{WATCHES}/{watch['id']}", {"address": watch["address"]})
    assert (await read(admin, watch))["secretsSet"] == []


async def test_a_patch_changes_what_it_names(admin: Client, receiver: Receiver):
    watch = await registered(
        admin,
        receiver.url,
        name="old",
        basicAuth=BASIC,
        httpRequestHeader={"X-A": SECRETS[1], "X-B": "b"},
        schema={"a": 1},
    )
    path = f"{WATCHES}/{watch['id']}"
    answer = await admin.patch(path, {"name": "new", "basicAuth": {"username": "crm2"}, "schema": None})
    assert answer.status == 200, answer.text
    await admin.patch(path, {"httpRequestHeader": {"x-a": None, "X-C": "c"}})
    shown = await read(admin, watch)
    assert (shown["name"], shown["basicAuth"]) == ("new", {"username": "crm2"})
    assert "schema" not in shown
    assert sorted(shown["secretsSet"]) == ["/basicAuth/password", "/httpRequestHeader/X-B", "/httpRequestHeader/X-C"]
    await push(admin, "a1", ADA)
    (call,) = await receiver.wait_for(1)
    assert (call.headers["x-b"], call.headers["x-c"], "x-a" in call.headers) == ("b", "c", False)
    await admin.patch(path, {"basicAuth": None})
    assert (await read(admin, watch)).get("basicAuth") is None


@pytest.mark.parametrize("method", ["PUT", "PATCH"])
async def test_a_stored_secret_does_not_follow_to_another_origin(admin: Client, method: str):
    watch = await registered(admin, basicAuth=BASIC, httpRequestHeader={"X-Api-Key": SECRETS[1]})
    path = f"{WATCHES}/{watch['id']}"
    before = await read(admin, watch)
    rest = {"basicAuth": {"username": "crm"}}
    for elsewhere in (
        "https://evil.example/hooks",
        "http://example.com/hooks",
        "https://example.com:8443/hooks",
        "https://example.com.evil.example/hooks",
        "https://a.example.com/hooks",
    ):
        refused = await admin.call(method, path, {**rest, "address": elsewhere})
        refused.problem(422)
        assert sorted(refused.pointers()) == ["/basicAuth/password", "/httpRequestHeader/X-Api-Key"]
        refused = await admin.call(method, path, {**rest, "address": elsewhere, "basicAuth": BASIC})
        refused.problem(422)
        assert refused.pointers() == ["/httpRequestHeader/X-Api-Key"]
    assert await read(admin, watch) == before
    for same in ("https://example.com/other?x=${$.id}", "https://EXAMPLE.com:443/hooks"):
        answer = await admin.call(method, path, {**rest, "address": same})
        assert answer.status == 200, answer.text
    members = {"basicAuth": BASIC, "httpRequestHeader": {"X-Api-Key": "again"}}
    answer = await admin.call(method, path, {"address": "https://new.example/hooks", **members})
    assert answer.status == 200, answer.text


@pytest.mark.parametrize("method", ["PUT", "PATCH"])
async def test_a_stored_client_secret_does_not_follow_to_another_token_server(admin: Client, method: str):
    watch = await registered(admin, oauth2Auth=OAUTH2)
    path = f"{WATCHES}/{watch['id']}"
    public = {name: value for name, value in OAUTH2.items() if name not in {"clientSecret", "refreshToken"}}
    body = {"address": watch["address"], "oauth2Auth": {**public, "accessTokenUrl": "https://evil.example/token"}}
    refused = await admin.call(method, path, body)
    refused.problem(422)
    assert sorted(refused.pointers()) == ["/oauth2Auth/clientSecret", "/oauth2Auth/refreshToken"]
    body["oauth2Auth"] |= {"clientSecret": "new", "refreshToken": "new"}
    assert (await admin.call(method, path, body)).status == 200


async def test_a_refused_change_leaves_the_watch_as_it_was(admin: Client):
    watch = await registered(admin, name="old")
    before = await read(admin, watch)
    for body, pointer in (
        ({"name": "new", "address": "ftp://example.com/"}, "/address"),
        ({"name": "new", "events": ["merged"]}, "/events/0"),
        ({"name": "new", "colour": "red"}, "/colour"),
        ({"name": "new", "objectType": "outreach.user"}, "/objectType"),
        ({"name": "new", "schema": {"a": "${$.["}}, "/schema/a"),
        ({"name": "new", "signature": {"enabled": True, "cryptoKeyIds": ["key_nobody"]}}, "/signature/cryptoKeyIds/0"),
    ):
        for method in ("PUT", "PATCH"):
            refused = await admin.call(method, f"{WATCHES}/{watch['id']}", {"address": watch["address"], **body})
            refused.problem(422)
            assert refused.pointers() == [pointer]
    assert await read(admin, watch) == before


async def test_changes_at_the_same_time_are_all_made(admin: Client):
    watch = await registered(admin)
    path = f"{WATCHES}/{watch['id']}"
    answers = await asyncio.gather(*(admin.patch(path, {"httpRequestHeader": {f"X-{n}": "v"}}) for n in range(20)))
    assert {answer.status for answer in answers} == {200}
    assert sorted((await read(admin, watch))["secretsSet"]) == sorted(f"/httpRequestHeader/X-{n}" for n in range(20))


# Keeping them


async def test_watches_and_their_secrets_outlive_the_process_and_are_sealed(tmp_path: Path, receiver: Receiver):
    members = {"basicAuth": BASIC, "httpRequestHeader": {"X-Api-Key": SECRETS[1]}, "signature": {"enabled": True}}
    async with running.service(tmp_path) as service:
        watch = await registered(service.admin, receiver.url, **members)
        await registered(service.admin, receiver.url, oauth2Auth=OAUTH2, status="disabled")
        before = await read(service.admin, watch)
    stored = b"".join(file.read_bytes() for file in tmp_path.iterdir() if file.is_file())
    assert watch["id"].encode() in stored
    for secret in (*SECRETS, watch["signature"]["secret"].removeprefix("whsec_")):
        assert secret.encode() not in stored
    async with running.service(tmp_path) as service:
        assert await read(service.admin, watch) == before
        await push(service.admin, "a1", ADA)
        (call,) = await receiver.wait_for(1)
    assert call.headers["authorization"] == f"Basic {b64encode(f'crm:{SECRETS[0]}'.encode()).decode()}"
    assert call.headers["x-api-key"] == SECRETS[1]
    Webhook(watch["signature"]["secret"]).verify(call.body, dict(call.headers))


# Refusals and warnings


@pytest.mark.parametrize(
    ("members", "pointer", "says"),
    [
        ({"objectType": None}, "/objectType", "required"),
        ({"objectType": "agendize.acount"}, "/objectType", "agendize.account"),
        ({"schema": {"a": {"b~/": "${$.x[}"}}}, "/schema/a/b~0~1", "character 5"),
        ({"schema": '{"a": ${$.id}'}, "/schema", ""),
        ({"schema": "${$.id"}, "/schema", ""),
        ({"schema": {"a": "${$..x.`parent`}"}}, "/schema/a", ""),
        ({"schema": {"$schema": SCHEMA, "type": "objekt"}}, "/schema/type", ""),
        ({"schema": 7}, "/schema", ""),
        ({"address": "https://user:pw@example.com/"}, "/address", ""),
        ({"address": "https://${$.firstName}.example.com/"}, "/address", ""),
        ({"signature": {"enabled": True, "cryptoKeyIds": ["key_1"]}}, "/signature/cryptoKeyIds/0", "cryptoKeys"),
        ({"httpRequestHeader": {"Webhook-Id": "x"}}, "/httpRequestHeader/Webhook-Id", ""),
        ({"httpRequestHeader": {"X-A": "a\r\nX-B: b"}}, "/httpRequestHeader/X-A", ""),
        ({"httpRequestHeader": {"Authorization": "x"}, "basicAuth": BASIC}, "/httpRequestHeader/Authorization", ""),
        ({"basicAuth": {"username": "a:b", "password": "x"}}, "/basicAuth/username", "colon"),
        ({"basicAuth": BASIC, "oauth2Auth": OAUTH2}, "/oauth2Auth", "basicAuth"),
        ({"addPreviousData": "yes"}, "/addPreviousData", ""),
        ({"id": "wch_mine"}, "/id", ""),
        ({"retry": {"schedule": [-1]}}, "/retry/schedule/0", ""),
        ({"evnets": ["created"]}, "/evnets", "events"),
    ],
)
async def test_a_registration_that_cannot_work_is_refused_where_it_is_wrong(
    admin: Client, members: Any, pointer: str, says: str
):
    body = {"objectType": "agendize.account", "address": "https://example.com/", **members}
    refused = await admin.post(WATCHES, body)
    problem = refused.problem(422)
    assert refused.pointers() == [pointer]
    assert says in problem["errors"][0]["detail"]
    assert not any(secret in refused.text for secret in SECRETS)
    assert (await admin.get(WATCHES)).body["items"] == []


@pytest.mark.parametrize(
    ("members", "pointer", "says"),
    [
        ({"schema": {"name": "${$.fristName}"}}, "/schema/name", "firstName"),
        ({"schema": '{"name": ${$.previousData.fristName}}'}, "/schema", "firstName"),
        ({"schema": {"zone": "${$.preferences.timezone}"}}, "/schema/zone", "timeZone"),
        ({"schema": {"e": "${$.event.objectid}"}}, "/schema/e", "objectId"),
        ({"schema": {"type": "object", "properties": {"id": {"type": "string"}}}}, "/schema", "$schema"),
        ({"address": "https://example.com/${$.fristName}"}, "/address", "firstName"),
    ],
)
async def test_what_looks_wrong_but_may_work_is_accepted_with_a_warning(
    admin: Client, members: Any, pointer: str, says: str
):
    watch = await registered(admin, **members)
    (warning,) = watch["warnings"]
    assert warning["pointer"] == pointer
    assert says in warning["detail"]
    answer = await admin.patch(f"{WATCHES}/{watch['id']}", {"name": "x"})
    assert answer.body["warnings"] == [warning]


# Preview


TEMPLATES: dict[str, Any] = {
    "the resource": {},
    "the resource with previous data": {"addPreviousData": True},
    "an object": {
        "schema": {"n": "${$.firstName} ${$.lastName}", "was": "${$.previousData.firstName}", "k": [1, None]}
    },
    "a string": {"schema": '{"n": ${$.firstName}, "c": ${$.changes}, "q": "»${$.lastName}«", "e": ${$.event.type}}'},
    "a JSON Schema": {
        "schema": {
            "$schema": SCHEMA,
            "type": "object",
            "properties": {"firstName": {"type": "string"}, "kind": {"const": "${$.event.objectType}"}},
        }
    },
    "a PUT to an address with placeholders": {
        "method": "PUT",
        "address": "/${$.firstName}/x?l=${$.lastName}&e=${$.event.type}",
    },
    "a DELETE": {"method": "DELETE", "address": "/${$.id}"},
}
VOLATILE = {"webhook-id", "webhook-timestamp", "webhook-signature", "ce-id", "ce-time", "ce-sequence"}


@pytest.mark.parametrize("members", TEMPLATES.values(), ids=TEMPLATES)
async def test_a_preview_is_exactly_what_will_be_sent(admin: Client, receiver: Receiver, members: dict[str, Any]):
    body = {"objectType": "agendize.account", **members, "address": receiver.url + members.get("address", "/")}
    first = {"id": "a1", "firstName": 'Zoë "Z"', "lastName": "a/b ü", "email": "zoe@example.com"}
    second = {**first, "firstName": "Ada", "tools": ["call"]}
    previews = []
    for asked in (
        {"event": "created", "resource": first},
        {"event": "updated", "resource": second, "previous": first},
        {"event": "deleted", "resource": second},
    ):
        answer = await admin.post(f"{WATCHES}/preview", {"watch": body, **asked})
        assert answer.status == 200, answer.text
        assert answer.body["warnings"] == []
        previews.append(answer.body["request"])
    assert (await admin.get(WATCHES)).body["items"] == []
    await admin.post(WATCHES, body)
    await push(admin, "a1", first)
    await push(admin, "a1", second)
    await admin.delete(f"{OURS}/a1")
    for shown, call in zip(previews, await receiver.wait_for(3), strict=True):
        assert shown["method"] == call.method
        assert shown["address"] == receiver.url + call.path_qs
        assert (shown["body"] or "").encode() == call.body
        sent = {name.lower(): value for name, value in call.headers.items()}
        assert set(shown["headers"]) <= set(sent)
        assert set(sent) - set(shown["headers"]) <= {
            "host",
            "content-length",
            "accept",
            "accept-encoding",
            "connection",
        }
        stable = set(shown["headers"]) - VOLATILE
        assert {name: shown["headers"][name] for name in stable} == {name: sent[name] for name in stable}


async def test_a_preview_of_a_registered_watch_and_a_stored_resource(admin: Client):
    watch = await registered(admin, schema={"n": "${$.firstName}"}, method="PUT")
    await push(admin, "a1", ADA)
    answer = await admin.post(f"{WATCHES}/preview", {"watch": watch["id"], "event": "updated", "objectId": "a1"})
    assert answer.status == 200, answer.text
    request = answer.body["request"]
    assert set(request) == {"method", "address", "headers", "body"}
    assert (request["method"], request["address"], request["body"]) == ("PUT", watch["address"], '{"n":"Ada"}')
    assert request["headers"]["ce-subject"] == "a1"
    assert request["headers"]["ce-type"] == "agendize.account.updated"


async def test_a_preview_masks_secrets(admin: Client):
    watch = {
        "objectType": "agendize.account",
        "address": "https://example.com/",
        "basicAuth": BASIC,
        "httpRequestHeader": {"X-Api-Key": SECRETS[1]},
        "signature": {"enabled": True},
    }
    made = await admin.post(WATCHES, watch)
    for asked in (watch, made.body["id"]):
        answer = await admin.post(f"{WATCHES}/preview", {"watch": asked, "event": "created", "resource": ADA})
        headers = answer.body["request"]["headers"]
        assert headers["authorization"] == "***"
        assert {name.lower(): value for name, value in headers.items()}["x-api-key"] == "***"
        assert not any(secret in answer.text for secret in SECRETS)
    assert headers["webhook-signature"].startswith("v1,")


async def test_a_preview_shows_nothing_that_would_never_be_sent(admin: Client):
    document = {**ADA, "id": "a1", "ssoToken": "s50-t0ken", "password": "sw0rdfish"}
    asked = {"event": "updated", "resource": document, "previous": {**document, "firstName": "Zoë"}}
    watch = {"objectType": "agendize.account", "address": "https://example.com/", "addPreviousData": True}
    answer = await admin.post(f"{WATCHES}/preview", {"watch": watch, **asked})
    assert answer.status == 200, answer.text
    assert "s50-t0ken" not in answer.text
    assert "sw0rdfish" not in answer.text


async def test_a_preview_warns_as_the_registration_would(admin: Client):
    watch = {"objectType": "agendize.account", "address": "https://example.com/", "schema": {"a": "${$.fristName}"}}
    answer = await admin.post(f"{WATCHES}/preview", {"watch": watch, "event": "created", "resource": ADA})
    (warning,) = answer.body["warnings"]
    assert warning["pointer"] == "/watch/schema/a"


@pytest.mark.parametrize(
    ("asked", "pointer"),
    [
        ({"event": "merged"}, "/event"),
        ({"event": ["created"]}, "/event"),
        ({"event": {"type": "created"}}, "/event"),
        ({"resource": None}, "/resource"),
        ({"resource": [], "event": "created"}, "/resource"),
        ({"objectId": "a1"}, "/resource"),
        ({"resource": None, "objectId": 7}, "/objectId"),
        ({"resource": None, "objectId": "nobody"}, "/objectId"),
        ({"previous": "x"}, "/previous"),
        ({"a/b": 1}, "/a~1b"),
        ({"watch": 7}, "/watch"),
        ({"watch": {"address": "https://example.com/"}}, "/watch/objectType"),
        ({"watch": {"objectType": "agendize.account", "address": "x"}}, "/watch/address"),
        ({"watch": {"objectType": "agendize.account", "address": "https://a.example/${$.nothing}/"}}, "/watch"),
    ],
)
async def test_a_preview_of_what_cannot_be_is_refused(admin: Client, asked: Any, pointer: str):
    good = {"objectType": "agendize.account", "address": "https://example.com/"}
    refused = await admin.post(f"{WATCHES}/preview", {"watch": good, "event": "updated", "resource": ADA, **asked})
    refused.problem(422)
    assert pointer in refused.pointers()


async def test_a_preview_of_an_unknown_watch_is_404(admin: Client):
    (await admin.post(f"{WATCHES}/preview", {"watch": "wch_nobody", "resource": ADA})).problem(404)


# Test delivery


async def test_a_test_delivery_arrives_as_one(admin: Client, receiver: Receiver):
    await push(admin, "a1", ADA)
    watch = await registered(admin, receiver.url, events=["deleted"], signature={"enabled": True})
    answer = await admin.post(f"{WATCHES}/{watch['id']}/test")
    assert answer.status == 202, answer.text
    assert (answer.body["objectEvent"], answer.body["objectId"]) == ("test", "a1")
    assert answer.body["watch"]["id"] == watch["id"]
    (call,) = await receiver.wait_for(1)
    assert call.headers["ce-type"] == "agendize.account.test"
    assert call.headers["webhook-id"] == answer.body["id"]
    assert call.json() == {"id": "a1", **ADA}
    Webhook(watch["signature"]["secret"]).verify(call.body, dict(call.headers))
    (row,) = await admin.settled(1)
    assert (row["objectEvent"], row["status"]) == ("test", "succeeded")
    assert (await admin.get(f"{OURS}/a1")).body["version"] == 1


@pytest.mark.parametrize(
    "members", [{}, {"addPreviousData": True}, {"objectId": "a7"}, {"schema": {"e": "${$.event.type}"}}]
)
async def test_before_there_is_any_resource_a_test_sends_an_example(admin: Client, receiver: Receiver, members: Any):
    watch = await registered(admin, receiver.url, **members)
    answer = await admin.post(f"{WATCHES}/{watch['id']}/test")
    assert answer.status == 202, answer.text
    (call,) = await receiver.wait_for(1)
    assert call.headers["ce-type"] == "agendize.account.test"
    if "schema" in members:
        assert call.json() == {"e": "test"}
    else:
        assert call.json()["id"] == members.get("objectId", "example")
        assert "ssoToken" not in call.json()
        assert "password" not in call.json()
    assert (await admin.get(OURS)).body["items"] == []


async def test_a_failed_test_is_not_retried_and_holds_back_nothing(admin: Client, receiver: Receiver):
    await push(admin, "a1", ADA)
    watch = await registered(admin, receiver.url)
    receiver.answers = [Answer(500)]
    await admin.post(f"{WATCHES}/{watch['id']}/test")
    (row,) = await admin.settled(1)
    assert (row["status"], row["reason"]) == ("failed", "status")
    await push(admin, "a1", {**ADA, "firstName": "Zoë"})
    assert [row["status"] for row in await admin.settled(2)] == ["failed", "succeeded"]


async def test_a_test_of_a_disabled_or_unknown_watch_is_refused(admin: Client):
    watch = await registered(admin, status="disabled")
    assert "enable" in (await admin.post(f"{WATCHES}/{watch['id']}/test")).problem(409)["detail"]
    (await admin.post(f"{WATCHES}/wch_nobody/test")).problem(404)


# Disable, enable, delete


@asynccontextmanager
async def one_under_way(admin: Client, receiver: Receiver, watch: Any) -> AsyncIterator[asyncio.Event]:
    """Three changes of one resource: the first is being sent until the gate opens, two wait behind it."""
    gate = asyncio.Event()
    receiver.answers = [Answer(gate=gate)]
    for name in ("one", "two", "three"):
        await push(admin, "a1", {"firstName": name})
    await receiver.wait_for(1)
    assert await statuses(admin, watch) == ["pending"] * 3
    try:
        yield gate
    finally:
        gate.set()


async def until(admin: Client, watch: Any, expected: list[str]) -> None:
    """Wait for the deliveries of a watch to stand so."""
    async with asyncio.timeout(5):
        while await statuses(admin, watch) != expected:
            await asyncio.sleep(0.01)


async def test_a_disabled_watch_is_told_nothing_and_resumes_when_it_is_enabled(admin: Client, receiver: Receiver):
    watch = await registered(admin, receiver.url)
    async with Receiver() as witness:
        async with one_under_way(admin, receiver, watch):
            disabled = await admin.patch(f"{WATCHES}/{watch['id']}", {"status": "disabled"})
            assert (disabled.body["status"], disabled.body["statusReason"]) == ("disabled", None)
        await until(admin, watch, ["succeeded", "pending", "pending"])
        await registered(admin, witness.url)
        await push(admin, "a1", {"firstName": "four"})
        await push(admin, "a2", {"firstName": "other"})
        await witness.wait_for(2)
        assert await statuses(admin, watch) == ["succeeded", "pending", "pending"]
        assert len(receiver.calls) == 1
        enabled = await admin.patch(f"{WATCHES}/{watch['id']}", {"status": "enabled"})
        assert enabled.body["status"] == "enabled"
        await push(admin, "a1", {"firstName": "five"})
        calls = await receiver.wait_for(4)
    assert [call.json()["firstName"] for call in calls] == ["one", "two", "three", "five"]
    await until(admin, watch, ["succeeded"] * 4)


async def test_a_watch_registered_as_disabled_hears_only_what_comes_later(admin: Client, receiver: Receiver):
    watch = await registered(admin, receiver.url, status="disabled")
    await push(admin, "a1", ADA)
    assert await statuses(admin, watch) == []
    await admin.patch(f"{WATCHES}/{watch['id']}", {"status": "enabled"})
    await push(admin, "a2", ADA)
    (call,) = await receiver.wait_for(1)
    assert call.headers["ce-subject"] == "a2"


async def test_what_a_deleted_watch_had_pending_is_canceled(admin: Client, receiver: Receiver):
    watch = await registered(admin, receiver.url)
    async with one_under_way(admin, receiver, watch):
        deleted = await admin.delete(f"{WATCHES}/{watch['id']}")
        assert (deleted.status, deleted.text) == (204, "")
        assert await statuses(admin, watch) == ["canceled"] * 3
        await push(admin, "a1", {"firstName": "four"})
    rows = await admin.settled(3)
    assert {(row["status"], row["reason"]) for row in rows} == {("canceled", "canceled")}
    assert len(rows) == 3
    assert len(receiver.calls) == 1
    for method in ("GET", "PATCH", "DELETE"):
        (await admin.call(method, f"{WATCHES}/{watch['id']}", {} if method == "PATCH" else None)).problem(404)
    (await admin.post(f"{WATCHES}/{watch['id']}/test")).problem(404)
    assert (await admin.get(WATCHES)).body["items"] == []
    assert rows[0]["watch"]["id"] == watch["id"]


async def test_a_receiver_that_is_gone_disables_its_watch(admin: Client, receiver: Receiver):
    watch = await registered(admin, receiver.url)
    receiver.answers = [Answer(410)]
    await push(admin, "a1", ADA)
    (row,) = await admin.settled(1)
    assert (row["status"], row["reason"]) == ("failed", "status")
    async with asyncio.timeout(5):
        while (await read(admin, watch))["status"] == "enabled":
            await asyncio.sleep(0.01)
    assert (await read(admin, watch))["statusReason"] == "gone"
    await push(admin, "a2", ADA)
    assert len(await admin.settled(1)) == 1
    enabled = await admin.patch(f"{WATCHES}/{watch['id']}", {"status": "enabled"})
    assert (enabled.body["status"], enabled.body["statusReason"]) == ("enabled", None)
    await push(admin, "a3", ADA)
    assert [row["status"] for row in await admin.settled(2)] == ["failed", "succeeded"]


async def test_without_a_refresh_token_deliveries_wait(admin: Client, receiver: Receiver):
    oauth2 = {name: value for name, value in OAUTH2.items() if name != "refreshToken"}
    watch = await registered(admin, receiver.url, oauth2Auth=oauth2)
    assert (watch["status"], watch["statusReason"]) == ("enabled", "authorization")
    await push(admin, "a1", ADA)
    assert await statuses(admin, watch) == ["pending"]
    assert receiver.calls == []


# What a watch hears, and how it is told


async def test_a_watch_of_one_resource_hears_of_no_other(admin: Client, receiver: Receiver):
    await registered(admin, receiver.url, objectId="a2", events=["created", "deleted"])
    for id_ in ("a1", "a2", "a22"):
        await push(admin, id_, ADA)
        await push(admin, id_, {**ADA, "firstName": "Zoë"})
        await admin.delete(f"{OURS}/{id_}")
    rows = await admin.settled(2)
    assert [(row["objectId"], row["objectEvent"]) for row in rows] == [("a2", "created"), ("a2", "deleted")]


@pytest.mark.parametrize("events", [["created"], ["updated"], ["deleted"], ["deleted", "updated"]])
async def test_a_watch_hears_the_events_that_it_names(admin: Client, receiver: Receiver, events: list[str]):
    await registered(admin, receiver.url, events=events)
    await push(admin, "a1", ADA)
    await push(admin, "a1", {**ADA, "firstName": "Zoë"})
    await admin.delete(f"{OURS}/a1")
    rows = await admin.settled(len(events))
    assert sorted(row["objectEvent"] for row in rows) == sorted(events)


@pytest.mark.parametrize("method", ["GET", "DELETE"])
async def test_these_methods_carry_no_body(admin: Client, receiver: Receiver, method: str):
    watch = await registered(admin, f"{receiver.url}/${{$.id}}", method=method, signature={"enabled": True})
    await push(admin, "a1", ADA)
    (call,) = await receiver.wait_for(1)
    assert (call.method, call.path_qs, call.body) == (method, "/a1", b"")
    assert "content-type" not in call.headers
    assert call.headers.get("content-length", "0") == "0"
    moment = datetime.fromtimestamp(int(call.headers["webhook-timestamp"]), UTC)
    signature = Webhook(watch["signature"]["secret"]).sign(call.headers["webhook-id"], moment, "")
    assert call.headers["webhook-signature"] == signature
    (row,) = await admin.settled(1)
    assert (await admin.get(f"/api/v1/deliveries/{row['id']}")).body["request"]["body"] is None


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH"])
async def test_these_methods_carry_one(admin: Client, receiver: Receiver, method: str):
    await registered(admin, receiver.url, method=method)
    await push(admin, "a1", ADA)
    (call,) = await receiver.wait_for(1)
    assert (call.method, call.headers["content-type"], call.json()) == (method, "application/json", {"id": "a1", **ADA})


async def test_the_placeholders_of_an_address_are_filled_and_encoded(admin: Client, receiver: Receiver):
    address = "/hooks/${$.firstName}/${$.event.type}?mail=${$.email}&n=${$.credit}&none=${$.nothing}"
    await registered(admin, receiver.url + address)
    await push(admin, "a1", {"firstName": "Zoë & a/b", "email": "a+b@example.com", "credit": 1.5})
    (call,) = await receiver.wait_for(1)
    assert call.path_qs == "/hooks/Zo%C3%AB%20%26%20a%2Fb/created?mail=a%2Bb%40example.com&n=1.5&none="
    (row,) = await admin.settled(1)
    assert row["request"]["address"] == receiver.url + call.path_qs
    assert row["watch"]["address"] == receiver.url + address


@pytest.mark.parametrize("value", ["", ".", ".."])
async def test_a_placeholder_that_would_leave_the_path_fails_unsent(admin: Client, receiver: Receiver, value: str):
    await registered(admin, f"{receiver.url}/hooks/${{$.firstName}}/x")
    await push(admin, "a1", {"firstName": value})
    (row,) = await admin.settled(1)
    assert (row["status"], row["reason"]) == ("failed", "template")
    assert receiver.calls == []


async def test_a_changed_watch_is_told_in_its_new_way_at_once(admin: Client, receiver: Receiver):
    watch = await registered(admin, f"{receiver.url}/old", schema={"v": 1})
    await admin.patch(f"{WATCHES}/{watch['id']}", {"address": f"{receiver.url}/new", "schema": {"v": 2}})
    await push(admin, "a1", ADA)
    (call,) = await receiver.wait_for(1)
    assert (call.path_qs, call.json()) == ("/new", {"v": 2})


async def test_each_watch_hears_of_what_is_committed_after_its_own_registration(admin: Client, receiver: Receiver):
    await push(admin, "a0", ADA)
    for number in range(1, 6):
        watch = await registered(admin, f"{receiver.url}/{number}")
        await push(admin, f"a{number}", ADA)
        assert (await admin.get(f"/api/v1/deliveries?watchId={watch['id']}&objectId=a{number}")).body["items"]
    await receiver.wait_for(15)
    assert sum(call.headers["ce-subject"] == "a0" for call in receiver.calls) == 0


async def test_a_test_and_a_deletion_at_once_leave_nothing_pending(admin: Client, receiver: Receiver):
    for _ in range(10):
        watch = await admin.watch(receiver.url)
        await asyncio.gather(admin.delete(f"{WATCHES}/{watch['id']}"), admin.post(f"{WATCHES}/{watch['id']}/test"))
    await admin.settled(0)
    assert (await admin.get("/api/v1/deliveries?status=pending")).body["items"] == []
