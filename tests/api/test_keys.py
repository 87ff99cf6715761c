"""Crypto keys, with which callbacks are signed, and API keys, with which the service is called."""

from __future__ import annotations

import asyncio
import base64
from pathlib import Path
from typing import Any

import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from tests.support import running
from tests.support.receiver import Answer, Receiver
from tests.support.running import Client

CRYPTO_KEYS = "/api/v1/cryptoKeys"
API_KEYS = "/api/v1/apiKeys"
WATCHES = "/api/v1/watches"
OURS = "/api/v1/resources/agendize.account"
ADA = {"email": "ada@example.com", "firstName": "Ada"}


async def crypto_key(admin: Client, **members: Any) -> Any:
    """A new crypto key, with its secret."""
    made = await admin.post(CRYPTO_KEYS, members)
    assert made.status == 201, made.text
    return made.body


def signed_by(*keys: Any) -> dict[str, Any]:
    """The ``signature`` of a watch that is signed with these keys."""
    return {"enabled": True, "cryptoKeyIds": [key["id"] for key in keys]}


def verifies(key: Any, call: Any, signature: str | None = None) -> bool:
    """Whether the published library accepts a callback with a key; or with one of its signatures alone."""
    headers = dict(call.headers) if signature is None else {**call.headers, "webhook-signature": signature}
    try:
        Webhook(key["secret"]).verify(call.body, headers)
    except WebhookVerificationError:
        return False
    return True


# Crypto keys


async def test_the_secret_of_a_crypto_key_is_shown_once(admin: Client):
    made = await admin.post(CRYPTO_KEYS, {"name": "first", "algorithm": "hmac-sha256"})
    assert made.status == 201
    key = made.body
    assert (key["name"], key["algorithm"]) == ("first", "hmac-sha256")
    assert key["secret"].startswith("whsec_")
    assert len(base64.b64decode(key["secret"].removeprefix("whsec_"), validate=True)) == 32
    shown = {name: value for name, value in key.items() if name != "secret"}
    assert (await admin.get(f"{CRYPTO_KEYS}/{key['id']}")).body == shown
    assert (await admin.get(CRYPTO_KEYS)).body == {"items": [shown], "nextCursor": None}


async def test_every_crypto_key_is_another(admin: Client):
    keys = [await crypto_key(admin) for _ in range(5)]
    assert len({key["secret"] for key in keys}) == 5
    listed = await admin.get(CRYPTO_KEYS, params={"limit": "3"})
    rest = await admin.get(CRYPTO_KEYS, params={"limit": "3", "cursor": listed.body["nextCursor"]})
    assert [key["id"] for key in listed.body["items"] + rest.body["items"]] == [key["id"] for key in keys]
    assert rest.body["nextCursor"] is None


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"algorithm": "md5"}, "/algorithm"),
        ({"algorithm": None}, "/algorithm"),
        ({"algorithm": ["hmac-sha256"]}, "/algorithm"),
        ({"name": 7}, "/name"),
        ({"name": "n" * 256}, "/name"),
        ({"nmae": "x"}, "/nmae"),
        ({"a/b~": "x"}, "/a~1b~0"),
        ([], ""),
        ("hmac-sha256", ""),
    ],
)
async def test_a_crypto_key_that_cannot_be_is_refused(admin: Client, body: Any, pointer: str):
    refused = await admin.post(CRYPTO_KEYS, body)
    refused.problem(422)
    assert refused.pointers() == [pointer]
    assert (await admin.get(CRYPTO_KEYS)).body["items"] == []


async def test_a_deleted_crypto_key_is_gone(admin: Client):
    key = await crypto_key(admin)
    deleted = await admin.delete(f"{CRYPTO_KEYS}/{key['id']}")
    assert (deleted.status, deleted.text) == (204, "")
    (await admin.get(f"{CRYPTO_KEYS}/{key['id']}")).problem(404)
    (await admin.delete(f"{CRYPTO_KEYS}/{key['id']}")).problem(404)
    body = {"objectType": "agendize.account", "address": "https://example.com/", "signature": signed_by(key)}
    refused = await admin.post(WATCHES, body)
    refused.problem(422)
    assert refused.pointers() == ["/signature/cryptoKeyIds/0"]


async def test_a_crypto_key_that_a_watch_names_cannot_be_deleted(admin: Client):
    first, second = await crypto_key(admin), await crypto_key(admin)
    watch = await admin.watch("https://example.com/", signature=signed_by(first, second), status="disabled")
    for key in (first, second):
        assert watch["id"] in (await admin.delete(f"{CRYPTO_KEYS}/{key['id']}")).problem(409)["detail"]
    await admin.patch(f"{WATCHES}/{watch['id']}", {"signature": signed_by(second)})
    assert (await admin.delete(f"{CRYPTO_KEYS}/{first['id']}")).status == 204
    (await admin.delete(f"{CRYPTO_KEYS}/{second['id']}")).problem(409)
    await admin.delete(f"{WATCHES}/{watch['id']}")
    assert (await admin.delete(f"{CRYPTO_KEYS}/{second['id']}")).status == 204


@pytest.mark.parametrize("first", ["the watch", "the deletion"])
async def test_a_key_that_is_named_and_deleted_at_once_is_the_one_or_the_other(admin: Client, first: str):
    for _ in range(10):
        key = await crypto_key(admin)
        body = {"objectType": "agendize.account", "address": "https://example.com/", "signature": signed_by(key)}
        calls = [admin.post(WATCHES, body), admin.delete(f"{CRYPTO_KEYS}/{key['id']}")]
        if first == "the watch":
            watched, deleted = await asyncio.gather(*calls)
        else:
            deleted, watched = await asyncio.gather(*reversed(calls))
        assert (watched.status, deleted.status) in {(201, 409), (422, 204)}, (watched.text, deleted.text)


async def test_of_several_keys_each_gives_a_signature_that_verifies(admin: Client, receiver: Receiver):
    keys = [await crypto_key(admin, name=name) for name in ("old", "new", "newer")]
    stranger = await crypto_key(admin)
    await admin.watch(receiver.url, signature=signed_by(*keys))
    await admin.put(f"{OURS}/a1", {**ADA, "firstName": "Zoë 👩‍👩‍👧 \u2028"})
    (call,) = await receiver.wait_for(1)
    signatures = call.headers["webhook-signature"].split(" ")
    assert len(signatures) == 3
    assert all(signature.startswith("v1,") for signature in signatures)
    for key, signature in zip(keys, signatures, strict=True):
        assert verifies(key, call)
        assert verifies(key, call, signature)
    assert not verifies(stranger, call)
    assert not verifies(keys[0], call, signatures[1])


async def test_without_a_signature_there_are_still_id_and_timestamp(admin: Client, receiver: Receiver):
    key = await crypto_key(admin)
    watch = await admin.watch(receiver.url, signature={"enabled": False, "cryptoKeyIds": [key["id"]]})
    assert "secret" not in watch["signature"]
    await admin.put(f"{OURS}/a1", ADA)
    (call,) = await receiver.wait_for(1)
    assert "webhook-signature" not in call.headers
    assert call.headers["webhook-id"].startswith("dlv_")
    assert call.headers["webhook-timestamp"].isdigit()


async def test_a_watch_that_names_no_key_gets_one_of_its_own(admin: Client, receiver: Receiver):
    watch = await admin.watch(receiver.url, name="CRM", signature={"enabled": "true"})
    (key_id,) = watch["signature"]["cryptoKeyIds"]
    (listed,) = (await admin.get(CRYPTO_KEYS)).body["items"]
    assert listed["id"] == key_id
    assert "secret" not in (await admin.get(f"{WATCHES}/{watch['id']}")).body["signature"]
    await admin.put(f"{OURS}/a1", ADA)
    (call,) = await receiver.wait_for(1)
    assert verifies({"secret": watch["signature"]["secret"]}, call)


async def test_an_exchanged_key_signs_the_next_attempt_of_the_same_delivery(admin: Client, receiver: Receiver):
    old, new = await crypto_key(admin), await crypto_key(admin)
    watch = await admin.watch(receiver.url, signature=signed_by(old), retry={"schedule": []})
    receiver.answers = [Answer(500)]
    await admin.put(f"{OURS}/a1", ADA)
    (row,) = await admin.settled(1)
    await admin.patch(f"{WATCHES}/{watch['id']}", {"signature": signed_by(new)})
    assert (await admin.delete(f"{CRYPTO_KEYS}/{old['id']}")).status == 204
    await admin.post(f"/api/v1/deliveries/{row['id']}/redeliver")
    first, second = await receiver.wait_for(2)
    assert first.headers["webhook-id"] == second.headers["webhook-id"]
    assert (verifies(old, first), verifies(new, first)) == (True, False)
    assert (verifies(old, second), verifies(new, second)) == (False, True)


# API keys


@pytest.mark.parametrize("role", ["admin", "agent", "operator"])
async def test_an_api_key_is_shown_once_and_opens_what_its_role_may(admin: Client, role: str):
    made = await admin.post(API_KEYS, {"name": "CI", "role": role})
    assert made.status == 201
    key = made.body
    assert (key["name"], key["role"], key["tenant"]) == ("CI", role, "default")
    assert len(key["key"]) >= 24
    shown = {name: value for name, value in key.items() if name != "key"}
    assert (await admin.get(f"{API_KEYS}/{key['id']}")).body == shown
    listed = await admin.get(API_KEYS)
    assert shown in listed.body["items"]
    assert key["key"] not in listed.text
    assert (await admin.with_key(key["key"]).get(OURS)).status == 200


async def test_a_revoked_key_is_worthless_at_once(admin: Client):
    made = (await admin.post(API_KEYS, {"name": "gone", "role": "admin"})).body
    client = admin.with_key(made["key"])
    assert (await client.get(WATCHES)).status == 200
    revoked = await admin.delete(f"{API_KEYS}/{made['id']}")
    assert (revoked.status, revoked.text) == (204, "")
    (await client.get(WATCHES)).problem(401)
    (await client.put(f"{OURS}/a1", ADA)).problem(401)
    (await admin.get(f"{API_KEYS}/{made['id']}")).problem(404)
    (await admin.delete(f"{API_KEYS}/{made['id']}")).problem(404)
    (await admin.get(f"{OURS}/a1")).problem(404)


async def test_a_key_can_revoke_itself(admin: Client):
    made = (await admin.post(API_KEYS, {"role": "admin"})).body
    client = admin.with_key(made["key"])
    assert (await client.delete(f"{API_KEYS}/{made['id']}")).status == 204
    (await client.get(WATCHES)).problem(401)


async def test_the_bootstrap_key_is_not_revoked_over_http(admin: Client):
    (await admin.delete(f"{API_KEYS}/bootstrap")).problem(409)
    assert (await admin.get(WATCHES)).status == 200


async def test_api_keys_are_listed_in_pages(admin: Client):
    made = [(await admin.post(API_KEYS, {"name": f"k{n}", "role": "agent"})).body["id"] for n in range(5)]
    found: list[str] = []
    cursor = ""
    while cursor is not None:
        answer = await admin.get(API_KEYS, params={"limit": "2", "cursor": cursor})
        found += [key["id"] for key in answer.body["items"]]
        cursor = answer.body["nextCursor"]
    assert [id_ for id_ in found if id_ != "bootstrap"] == made
    assert len(found) == 6


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({}, "/role"),
        ({"role": "root"}, "/role"),
        ({"role": None}, "/role"),
        ({"role": []}, "/role"),
        ({"role": {"admin": True}}, "/role"),
        ({"role": "agent", "name": 7}, "/name"),
        ({"role": "agent", "tenant": 7}, "/tenant"),
        ({"role": "agent", "tenant": ""}, "/tenant"),
        ({"role": "agent", "tenant": "A b"}, "/tenant"),
        ({"role": "agent", "tenant": "t" * 64}, "/tenant"),
        ({"role": "agent", "tenant": "../x"}, "/tenant"),
        ({"role": "agent", "key": "mine"}, "/key"),
        ([], ""),
    ],
)
async def test_an_api_key_that_cannot_be_is_refused(admin: Client, body: Any, pointer: str):
    refused = await admin.post(API_KEYS, body)
    refused.problem(422)
    assert refused.pointers() == [pointer]
    assert [key["id"] for key in (await admin.get(API_KEYS)).body["items"]] == ["bootstrap"]


async def test_keys_outlive_the_process_and_only_their_hashes_are_stored(tmp_path: Path):
    async with running.service(tmp_path) as service:
        kept = (await service.admin.post(API_KEYS, {"role": "agent"})).body
        revoked = (await service.admin.post(API_KEYS, {"role": "agent"})).body
        await service.admin.delete(f"{API_KEYS}/{revoked['id']}")
        key = await crypto_key(service.admin)
    stored = b"".join(file.read_bytes() for file in tmp_path.iterdir() if file.is_file())
    assert kept["id"].encode() in stored
    for secret in (kept["key"], running.ADMIN_KEY, key["secret"].removeprefix("whsec_")):
        assert secret.encode() not in stored
    async with running.service(tmp_path) as service:
        assert (await service.admin.with_key(kept["key"]).get(OURS)).status == 200
        (await service.admin.with_key(revoked["key"]).get(OURS)).problem(401)
        assert [item["id"] for item in (await service.admin.get(CRYPTO_KEYS)).body["items"]] == [key["id"]]


async def test_another_bootstrap_key_replaces_the_one_before(tmp_path: Path):
    async with running.service(tmp_path) as service:
        assert (await service.admin.get(OURS)).status == 200
    other = "another-bootstrap-key-for-tests"
    async with running.service(tmp_path, WATCH_ADMIN_KEY=other) as service:
        (await service.admin.get(OURS)).problem(401)
        assert (await service.admin.with_key(other).get(OURS)).status == 200
        assert len((await service.admin.with_key(other).get(API_KEYS)).body["items"]) == 1


@pytest.mark.parametrize(
    "header", ["", "Bearer", "Bearer ", "Basic eDp5", "Bearer wrong", "wwk_x", "Bearer \u00ff\u00fe"]
)
async def test_a_header_that_holds_no_key_of_ours_is_401(admin: Client, header: str):
    answer = await admin.with_key(None).get(WATCHES, headers={"Authorization": header})
    answer.problem(401)
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")
