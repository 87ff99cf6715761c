"""Callbacks signed after RFC 9421, as a published verifier sees them (PyPI's http-message-signatures)."""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from http_message_signatures import HTTPMessageVerifier, InvalidSignature, MappingKeyResolver, algorithms
from http_message_signatures.structures import VerifyResult

from tests.support.receiver import Answer, Call, Receiver
from tests.support.receivers import verifies
from tests.support.running import Client

KEYS = "/api/v1/cryptoKeys"
WATCHES = "/api/v1/watches"
OURS = "/api/v1/resources/agendize.account"
README = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
SCHEME = "http-message-signatures"
COVERED = ("@method", "@target-uri", "content-digest", "content-type", "webhook-id", "webhook-timestamp")
ALGORITHMS = {
    "hmac-sha256": algorithms.HMAC_SHA256,
    "ed25519": algorithms.ED25519,
    "ecdsa-p256-sha256": algorithms.ECDSA_P256_SHA256,
}


@dataclass(frozen=True, slots=True)
class Message:
    """A request as the library wants it."""

    method: str
    url: str
    headers: Mapping[str, str]


def verified(receiver: Receiver, call: Call, key: Any, required: tuple[str, ...] = COVERED) -> VerifyResult:
    """What the library makes of the signature of one key, the body included; raises InvalidSignature."""
    held = (
        key["publicKeyPem"].encode()
        if "publicKeyPem" in key
        else base64.b64decode(key["secret"].removeprefix("whsec_"))
    )
    resolver = MappingKeyResolver(public_keys={key["id"]: held}, private_keys={})
    verifier = HTTPMessageVerifier(signature_algorithm=ALGORITHMS[key["algorithm"]], key_resolver=resolver)
    message = Message(call.method, receiver.url + call.path_qs, dict(call.headers))
    (result,) = verifier.verify(
        message, max_age=timedelta(minutes=5), expect_tag=key["id"], require_components=required, body=call.body
    )
    return result


async def made(admin: Client, **members: Any) -> Any:
    answer = await admin.post(KEYS, members)
    assert answer.status == 201, answer.text
    return answer.body


def signed_by(*keys: Any) -> dict[str, Any]:
    return {"enabled": True, "cryptoKeyIds": [key["id"] for key in keys], "scheme": SCHEME}


async def told(admin: Client, receiver: Receiver, count: int = 1) -> Call:
    await admin.put(f"{OURS}/a1", {"email": "ada@example.com", "firstName": f"Zoë {count}"})
    return (await receiver.wait_for(count))[count - 1]


@pytest.mark.parametrize("algorithm", ALGORITHMS)
async def test_the_published_verifier_accepts_every_algorithm(admin: Client, receiver: Receiver, algorithm: str):
    key = await made(admin, algorithm=algorithm)
    await admin.watch(f"{receiver.url}/hooks/${{$.id}}?event=${{$.event.type}}&x=a%20b", signature=signed_by(key))
    call = await told(admin, receiver)
    result = verified(receiver, call, key)
    assert result.parameters["keyid"] == key["id"]
    assert result.parameters["created"] == int(call.headers["webhook-timestamp"])
    assert result.body == call.body
    assert result.covered_components['"@target-uri"'] == f"{receiver.url}/hooks/a1?event=created&x=a%20b"
    assert "webhook-signature" not in call.headers


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize(
    "change",
    [
        {"body": b"{}"},
        {"method": "PUT"},
        {"path_qs": "/elsewhere"},
        {"webhook-id": "dlv_other"},
        {"webhook-timestamp": "1"},
        {"content-type": "text/plain"},
    ],
    ids=lambda change: next(iter(change)),
)
async def test_whatever_is_changed_the_published_verifier_refuses_it(
    admin: Client, receiver: Receiver, algorithm: str, change: dict[str, Any]
):
    key = await made(admin, algorithm=algorithm)
    await admin.watch(receiver.url, signature=signed_by(key))
    call = await told(admin, receiver)
    verified(receiver, call, key)
    (name,) = change
    fields = change if hasattr(call, name) else {"headers": {**call.headers, **change}}
    with pytest.raises(InvalidSignature):
        verified(receiver, replace(call, **fields), key)


async def test_another_key_of_the_same_kind_does_not_verify(admin: Client, receiver: Receiver):
    key, other = await made(admin, algorithm="ed25519"), await made(admin, algorithm="ed25519")
    await admin.watch(receiver.url, signature=signed_by(key))
    call = await told(admin, receiver)
    with pytest.raises(InvalidSignature):
        verified(receiver, call, {**other, "id": key["id"]})


async def test_the_readme_s_verifier_takes_it_and_nothing_else(admin: Client, receiver: Receiver):
    key = await made(admin, algorithm="ed25519")
    await admin.watch(f"{receiver.url}/hooks", signature=signed_by(key))
    call = await told(admin, receiver)
    (snippet,) = re.findall(r"^```python\n(from datetime .*?)^```$", README, re.DOTALL | re.MULTILINE)
    given = {
        "key_id": key["id"],
        "public_key_pem": key["publicKeyPem"].encode(),
        "request": Message(call.method, receiver.url + call.path_qs, call.headers),
        "body": call.body,
    }
    exec(snippet, dict(given))
    with pytest.raises(InvalidSignature):
        exec(snippet, {**given, "body": b"{}"})


@pytest.mark.parametrize("method", ["GET", "DELETE"])
async def test_a_callback_without_a_body_is_signed_too(admin: Client, receiver: Receiver, method: str):
    key = await made(admin, algorithm="ed25519")
    await admin.watch(f"{receiver.url}/gone?id=${{$.id}}", signature=signed_by(key), method=method)
    call = await told(admin, receiver)
    assert call.body == b""
    assert "content-type" not in call.headers
    verified(receiver, call, key, required=tuple(name for name in COVERED if name != "content-type"))


async def test_a_receiver_that_knows_one_of_several_keys_picks_its_signature(admin: Client, receiver: Receiver):
    keys = [await made(admin, algorithm=algorithm) for algorithm in ALGORITHMS]
    await admin.watch(receiver.url, signature=signed_by(*keys))
    call = await told(admin, receiver)
    assert {verified(receiver, call, key).label for key in keys} == {key["id"].lower() for key in keys}


async def test_rotation_changes_keys_under_a_receiver_that_knows_one_of_them(admin: Client, receiver: Receiver):
    old = await made(admin, algorithm="ecdsa-p256-sha256")
    await admin.watch(receiver.url, signature=signed_by(old))
    new = (await admin.post(f"{KEYS}/{old['id']}/rotate")).body
    call = await told(admin, receiver)
    verified(receiver, call, old)
    verified(receiver, call, new)


async def test_each_attempt_is_signed_at_its_own_time(admin: Client, receiver: Receiver):
    key = await made(admin)
    receiver.answers = [Answer(500)]
    await admin.watch(receiver.url, signature=signed_by(key), retry={"schedule": [1.1]})
    await told(admin, receiver)
    first, second = await receiver.wait_for(2)
    assert verified(receiver, first, key).parameters["created"] < verified(receiver, second, key).parameters["created"]
    assert first.headers["webhook-id"] == second.headers["webhook-id"]


async def test_a_header_of_the_watch_that_names_another_content_type_is_what_is_signed(
    admin: Client, receiver: Receiver
):
    key = await made(admin, algorithm="ed25519")
    await admin.watch(
        receiver.url, signature=signed_by(key), httpRequestHeader={"Content-Type": "application/vnd.acme+json"}
    )
    call = await told(admin, receiver)
    assert verified(receiver, call, key).covered_components['"content-type"'] == "application/vnd.acme+json"


async def test_a_private_key_for_ecdsa_is_imported_as_pem(admin: Client, receiver: Receiver):
    private = ec.generate_private_key(ec.SECP256R1())
    pem = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    key = await made(admin, name="ours", privateKey=pem)
    assert key["algorithm"] == "ecdsa-p256-sha256"
    await admin.watch(receiver.url, signature=signed_by(key))
    verified(receiver, await told(admin, receiver), key)


async def test_a_watch_changes_its_scheme_only_to_one_that_its_keys_can_sign_with(admin: Client, receiver: Receiver):
    ecdsa, shared = await made(admin, algorithm="ecdsa-p256-sha256"), await made(admin)
    watch = await admin.watch(receiver.url, signature=signed_by(ecdsa))
    path = f"{WATCHES}/{watch['id']}"
    refused = await admin.patch(path, {"signature": {"scheme": "standard-webhooks"}})
    refused.problem(422)
    assert refused.pointers() == ["/signature/cryptoKeyIds/0"]
    changed = await admin.patch(path, {"signature": {"scheme": "standard-webhooks", "cryptoKeyIds": [shared["id"]]}})
    assert changed.status == 200, changed.text
    assert verifies(shared, await told(admin, receiver))


async def test_a_key_that_is_made_for_a_watch_signs_in_its_scheme(admin: Client, receiver: Receiver):
    watch = await admin.watch(receiver.url, signature={"enabled": True, "scheme": SCHEME})
    signature = watch["signature"]
    key = {"id": signature["cryptoKeyIds"][0], "algorithm": "hmac-sha256", "secret": signature["secret"]}
    verified(receiver, await told(admin, receiver), key)


async def test_a_preview_shows_the_headers_of_the_scheme(admin: Client):
    body = {"objectType": "agendize.account", "address": "https://example.com/a", "signature": {"enabled": True}}
    for scheme, names in (
        (SCHEME, {"signature", "signature-input", "content-digest"}),
        ("standard-webhooks", {"webhook-signature"}),
    ):
        watch = {**body, "signature": {"enabled": True, "scheme": scheme}}
        seen = await admin.post(f"{WATCHES}/preview", {"watch": watch, "resource": {"id": "a"}})
        assert names <= seen.body["request"]["headers"].keys()
