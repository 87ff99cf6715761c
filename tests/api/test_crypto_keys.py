"""Keys that receivers verify without sharing a secret: import, public keys, rotation."""

from __future__ import annotations

import asyncio
import base64
import json
import re
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from service import clock
from tests.support import receivers, running
from tests.support.receiver import Answer as Answered
from tests.support.receiver import Receiver
from tests.support.receivers import signatures, verifies
from tests.support.running import Answer, Client

KEYS = "/api/v1/cryptoKeys"
WATCHES = "/api/v1/watches"
OURS = "/api/v1/resources/agendize.account"
JWKS = "/.well-known/jwks.json"
README = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
VECTORS = json.loads((Path(__file__).parents[1] / "corpus" / "signatures.json").read_text(encoding="utf-8"))


async def made(admin: Client, **members: Any) -> Any:
    answer = await admin.post(KEYS, members)
    assert answer.status == 201, answer.text
    return answer.body


async def shown(admin: Client, key: Any) -> Any:
    answer = await admin.get(f"{KEYS}/{key['id']}")
    assert answer.status == 200, answer.text
    return answer.body


async def rotated(admin: Client, key: Any, **members: Any) -> Any:
    answer = await admin.post(f"{KEYS}/{key['id']}/rotate", members or None)
    assert answer.status == 201, answer.text
    return answer.body


async def published(admin: Client, path: str = JWKS) -> list[str]:
    """The ids of the public keys."""
    answer = await admin.with_key(None).get(path)
    assert answer.status == 200, answer.text
    return [key["kid"] for key in answer.body["keys"]]


def signed_by(*keys: Any) -> dict[str, Any]:
    return {"enabled": True, "cryptoKeyIds": [key["id"] for key in keys]}


async def told(admin: Client, receiver: Receiver, count: int) -> Any:
    """Change an account; the callback that tells of it, the ``count``-th."""
    await admin.put(f"{OURS}/a1", {"email": "ada@example.com", "firstName": f"Ada {count}"})
    return (await receiver.wait_for(count))[count - 1]


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


# Ed25519


async def test_a_receiver_verifies_with_the_public_key_alone(admin: Client, receiver: Receiver):
    key = await made(admin, name="public", algorithm="ed25519")
    assert "secret" not in key
    assert key["publicKey"].startswith("whpk_")
    assert await shown(admin, key) == key
    await admin.watch(receiver.url, signature=signed_by(key))
    call = await told(admin, receiver, 1)
    (signature,) = signatures(call)
    assert signature.startswith("v1a,")
    assert verifies(key, call)
    assert not verifies(await made(admin, algorithm="ed25519"), call)


async def test_both_kinds_of_keys_sign_side_by_side(admin: Client, receiver: Receiver):
    public, shared = await made(admin, algorithm="ed25519"), await made(admin)
    await admin.watch(receiver.url, signature=signed_by(public, shared))
    call = await told(admin, receiver, 1)
    first, second = signatures(call)
    assert (first.partition(",")[0], second.partition(",")[0]) == ("v1a", "v1")
    assert verifies(public, call)
    assert verifies(shared, call)


@pytest.mark.parametrize("method", ["POST", "DELETE"])
async def test_a_published_verifier_in_node_accepts_it_with_the_keys_of_the_key_set(
    admin: Client, receiver: Receiver, method: str
):
    key = await made(admin, algorithm="ed25519")
    await made(admin, algorithm="ed25519", name="another, which signs nothing")
    await admin.watch(receiver.url, signature=signed_by(key), method=method)
    call = await told(admin, receiver, 1)
    (result,) = await receivers.tern(call, admin.url + JWKS)
    assert result["isValid"], result
    (result,) = await receivers.tern(replace(call, body=b'{"id": "a1"}'), admin.url + JWKS)
    assert result["errorCode"] == "INVALID_SIGNATURE"


async def test_the_readme_s_verifier_takes_it_and_nothing_else(admin: Client, receiver: Receiver):
    old, shared = await made(admin, algorithm="ed25519"), await made(admin)
    await admin.watch(receiver.url, signature=signed_by(old, shared))
    new = await rotated(admin, old)
    call = await told(admin, receiver, 1)
    (snippet,) = re.findall(r"^```python\n(import base64\n.*?)^```$", README, re.DOTALL | re.MULTILINE)
    names: dict[str, Any] = {}
    exec(snippet, names)
    verify = names["verify"]
    for key in (old, new):
        pem = key["publicKeyPem"].encode()
        verify(pem, call.headers, call.body)
        for changed in ({"webhook-id": "dlv_other"}, {"webhook-timestamp": "1"}, {"webhook-signature": "v1,AAAA"}):
            with pytest.raises(InvalidSignature):
                verify(pem, {**call.headers, **changed}, call.body)
        with pytest.raises(InvalidSignature):
            verify(pem, call.headers, call.body + b" ")


# Import


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["name"])
async def test_an_imported_key_signs_as_it_did_elsewhere(admin: Client, receiver: Receiver, vector: Any):
    member = "secret" if vector["key"].startswith("whsec_") else "privateKey"
    key = await made(admin, **{member: vector["key"]})
    assert key["algorithm"] == vector["algorithm"]
    assert key.get("publicKey") == vector.get("public")
    await admin.watch(receiver.url, signature=signed_by(key))
    assert verifies(key, await told(admin, receiver, 1))


async def test_an_imported_secret_is_shown_once_like_a_generated_one(admin: Client):
    secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
    key = await made(admin, name="ours", algorithm="hmac-sha256", secret=secret.rstrip("="))
    assert key["secret"] == secret
    assert "secret" not in await shown(admin, key)


async def test_a_private_key_comes_as_pem_too_and_is_never_shown(admin: Client, receiver: Receiver):
    private = Ed25519PrivateKey.generate()
    pem = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    answer = await admin.post(KEYS, {"name": "pem", "privateKey": pem})
    key = answer.body
    assert key["publicKey"] == f"whpk_{b64(private.public_key().public_bytes_raw())}"
    await admin.watch(receiver.url, signature=signed_by(key))
    assert verifies(key, await told(admin, receiver, 1))
    everything = answer.text + (await admin.get(KEYS)).text + (await admin.get(JWKS)).text
    everything += (await admin.get(f"{KEYS}/{key['id']}")).text
    for spelling in (b64(private.private_bytes_raw())[:-1], pem.splitlines()[1], '"d"', "whsk_", "PRIVATE"):
        assert spelling not in everything


async def test_no_private_key_is_in_the_database_or_in_the_service_s_own_log(tmp_path: Path, caplog):
    seed = Ed25519PrivateKey.generate()
    pem = seed.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    p256 = ec.generate_private_key(ec.SECP256R1()).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    async with running.service(tmp_path) as service:
        await made(service.admin, privateKey=pem)
        await made(service.admin, privateKey=p256.decode())
        await made(service.admin, algorithm="ed25519")
        (await service.admin.post(KEYS, {"privateKey": pem.replace("MC4C", "MC4D")})).problem(422)
    kept = b"".join(file.read_bytes() for file in tmp_path.iterdir() if file.is_file()) + caplog.text.encode()
    secrets = [b64(seed.private_bytes_raw())[:40], *pem.splitlines()[1:2], *p256.decode().splitlines()[1:3]]
    assert not [secret for secret in secrets if secret.encode() in kept]
    assert seed.private_bytes_raw() not in kept


async def test_a_private_key_that_a_receiver_repeats_is_masked_in_the_log(admin: Client, receiver: Receiver):
    seed = b64(bytes(range(32)))
    key = await made(admin, privateKey=f"whsk_{seed}")
    receiver.answers = [Answered(500, {"X-Key": f"whsk_{seed}"}, f'{{"key": "whsk_{seed}", "raw": "{seed}"}}'.encode())]
    await admin.watch(receiver.url, signature=signed_by(key), retry={"schedule": []})
    await told(admin, receiver, 1)
    (row,) = await admin.settled(1)
    seen = await admin.get(f"/api/v1/deliveries/{row['id']}")
    assert seed not in seen.text
    assert seen.body["response"]["headers"]["x-key"] == "***"
    assert json.loads(seen.body["response"]["body"]) == {"key": "***", "raw": "***"}


async def test_what_is_stored_of_keys_is_sealed_anew_with_a_new_encryption_key(tmp_path: Path, receiver: Receiver):
    async with running.service(tmp_path) as service:
        key = await made(service.admin, algorithm="ed25519")
        await service.admin.watch(receiver.url, signature=signed_by(key))
    other = "another-encryption-key-for-the-tests"
    async with running.service(tmp_path, WATCH_SECRET_KEY=f"{other},{running.SECRET_KEY}"):
        pass
    async with running.service(tmp_path, WATCH_SECRET_KEY=other) as service:
        assert verifies(key, await told(service.admin, receiver, 1))


SEED = b64(bytes(range(32)))


@pytest.mark.parametrize(
    ("body", "pointer", "why"),
    [
        ({"algorithm": "ed25519", "secret": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"}, "/secret", "for hmac-sha256"),
        ({"algorithm": "hmac-sha256", "privateKey": f"whsk_{SEED}"}, "/privateKey", "is a key for ed25519"),
        ({"algorithm": "ecdsa-p256-sha256", "privateKey": f"whsk_{SEED}"}, "/privateKey", "is a key for ed25519"),
        ({"secret": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "privateKey": f"whsk_{SEED}"}, "/privateKey", "beside"),
        ({"secret": "hunter2"}, "/secret", "starts with whsec_"),
        ({"secret": "whsec_c2hvcnQ="}, "/secret", "24 to 64 bytes"),
        ({"secret": 7}, "/secret", "must be a string"),
        ({"secret": f"whsk_{SEED}"}, "/secret", "starts with whsec_"),
        ({"privateKey": {}}, "/privateKey", "must be a string"),
        ({"privateKey": ""}, "/privateKey", "starts with whsk_"),
        ({"privateKey": f"whsk_{SEED[:40]}"}, "/privateKey", "32 bytes"),
        ({"privateKey": f"whsk_{b64(bytes(range(64)))}"}, "/privateKey", "does not belong to the seed"),
        (
            {"privateKey": "-----BEGIN PRIVATE KEY-----\nhello\n-----END PRIVATE KEY-----"},
            "/privateKey",
            "openssl pkey",
        ),
        ({"algorithm": "rsa-v1_5-sha256"}, "/algorithm", "must be one of hmac-sha256, ed25519, ecdsa-p256-sha256"),
        ({"algorithm": "ED25519"}, "/algorithm", "must be one of"),
        ({"publicKey": "whpk_x"}, "/publicKey", "is not a known member"),
    ],
)
async def test_a_key_that_cannot_be_imported_is_refused_with_the_reason_and_never_quoted(
    admin: Client, body: Any, pointer: str, why: str
):
    refused = await admin.post(KEYS, body)
    problem = refused.problem(422)
    assert refused.pointers() == [pointer]
    assert why in problem["errors"][0]["detail"]
    for text in (body.get("secret"), body.get("privateKey")):
        assert not isinstance(text, str) or len(text) < 8 or text[6:] not in refused.text
    assert (await admin.get(KEYS)).body["items"] == []


# Public keys


async def test_anyone_reads_the_public_keys_of_a_tenant_and_no_others(admin: Client):
    ours, shared = await made(admin, algorithm="ed25519"), await made(admin)
    other = await admin.key_of("admin", "acme")
    theirs = await made(other, algorithm="ecdsa-p256-sha256")
    assert await published(admin) == await published(admin, "/.well-known/jwks/default.json") == [ours["id"]]
    assert await published(admin, "/.well-known/jwks/acme.json") == [theirs["id"]]
    assert shared["id"] not in await published(admin)
    (await admin.with_key(None).get("/.well-known/jwks/nobody.json")).problem(404)
    answer = await admin.with_key(None).get(JWKS)
    (jwk,) = answer.body["keys"]
    assert jwk == {
        "kty": "OKP",
        "crv": "Ed25519",
        "x": jwk["x"],
        "use": "sig",
        "alg": "EdDSA",
        "kid": ours["id"],
    }
    assert base64.urlsafe_b64decode(jwk["x"] + "=") == base64.b64decode(ours["publicKey"].removeprefix("whpk_"))
    assert answer.headers["Content-Type"] == "application/jwk-set+json"


async def test_a_published_client_finds_a_key_by_its_id(admin: Client):
    for algorithm in ("ed25519", "ecdsa-p256-sha256"):
        key = await made(admin, algorithm=algorithm)
        found = await asyncio.to_thread(jwt.PyJWKClient(admin.url + JWKS).get_signing_key, key["id"])
        assert found.key.public_numbers if algorithm != "ed25519" else found.key.public_bytes_raw()
        assert found.public_key_use == "sig"


async def test_the_key_set_may_be_cached_and_is_read_again_when_it_has_changed(admin: Client):
    anyone = admin.with_key(None)
    first = await anyone.get(JWKS)
    assert first.body == {"keys": []}
    assert first.headers["Cache-Control"] == "public, max-age=300"
    tag = {"If-None-Match": first.headers["Etag"]}
    same = await anyone.get(JWKS, headers=tag)
    assert (same.status, same.text, same.headers["Etag"]) == (304, "", first.headers["Etag"])
    await made(admin, algorithm="ed25519")
    assert (await anyone.get(JWKS, headers=tag)).status == 200
    assert (await anyone.call("HEAD", JWKS)).status == 200
    (await anyone.post(JWKS, {})).problem(405)


# Rotation


@pytest.mark.parametrize("algorithm", ["hmac-sha256", "ed25519"])
async def test_a_rotated_key_signs_beside_its_successor_until_the_overlap_is_ended(
    admin: Client, receiver: Receiver, algorithm: str
):
    old = await made(admin, name="main", algorithm=algorithm)
    watch = await admin.watch(receiver.url, signature=signed_by(old))
    new = await rotated(admin, old)
    assert (new["name"], new["algorithm"], new["watches"]) == ("main", algorithm, 1)
    assert ("secret" in new) == (algorithm == "hmac-sha256")
    assert (await admin.get(f"{WATCHES}/{watch['id']}")).body["signature"]["cryptoKeyIds"] == [new["id"]]
    during = await told(admin, receiver, 1)
    assert len(signatures(during)) == 2
    assert verifies(new, during, signatures(during)[0])
    assert verifies(old, during, signatures(during)[1])

    ended = await admin.post(f"{KEYS}/{old['id']}/rotate", {"overlap": 0})
    assert (ended.status, ended.body["successor"], ended.body["watches"]) == (200, new["id"], 0)
    after = await told(admin, receiver, 2)
    assert len(signatures(after)) == 1
    assert verifies(new, after)
    assert not verifies(old, after)
    assert (await admin.delete(f"{KEYS}/{old['id']}")).status == 204
    assert verifies(new, await told(admin, receiver, 3))


async def test_when_the_overlap_is_over_only_the_successor_signs_and_is_published(tmp_path: Path, receiver: Receiver):
    moment = clock.now_ms()
    async with running.service(tmp_path, now=lambda: moment) as service:
        admin = service.admin
        old = await made(admin, algorithm="ed25519")
        await admin.watch(receiver.url, signature=signed_by(old))
        new = await rotated(admin, old, overlap=3600)
        moment += 3_599_000
        during = await told(admin, receiver, 1)
        assert (verifies(new, during), verifies(old, during)) == (True, True)
        (await admin.delete(f"{KEYS}/{old['id']}")).problem(409)
        moment += 1_000
        after = await told(admin, receiver, 2)
        assert (verifies(new, after), verifies(old, after)) == (True, False)
        assert await published(admin) == [new["id"]]
        assert (await shown(admin, old))["watches"] == 0
        assert (await admin.delete(f"{KEYS}/{old['id']}")).status == 204


async def test_a_successor_takes_the_place_of_its_key_in_every_watch(admin: Client, receiver: Receiver):
    one, other = await made(admin), await made(admin)
    async with Receiver() as second:
        watches = [
            await admin.watch(receiver.url, signature=signed_by(one, other), addPreviousData=True),
            await admin.watch(second.url, signature=signed_by(one), schema={"who": "${$.firstName}"}),
            await admin.watch(second.url, signature=signed_by(one), status="disabled"),
        ]
        new = await rotated(admin, one, overlap=3600)
        named = [(await admin.get(f"{WATCHES}/{watch['id']}")).body["signature"]["cryptoKeyIds"] for watch in watches]
        assert named == [[new["id"], other["id"]], [new["id"]], [new["id"]]]
        assert (await shown(admin, one))["watches"] == (await shown(admin, new))["watches"] == 3
        call = await told(admin, receiver, 1)
        assert [verifies(key, call, s) for key, s in zip((new, one, other), signatures(call), strict=True)] == [
            True
        ] * 3
        (shaped,) = await second.wait_for(1)
        assert shaped.json() == {"who": "Ada 1"}
        assert verifies(one, shaped)
        assert verifies(new, shaped)


async def test_rotation_outlives_the_process(tmp_path: Path, receiver: Receiver):
    async with running.service(tmp_path) as service:
        old = await made(service.admin)
        watch = await service.admin.watch(receiver.url, signature=signed_by(old))
        new = await rotated(service.admin, old)
        before = await shown(service.admin, old)
    async with running.service(tmp_path) as service:
        assert await shown(service.admin, old) == before
        assert (await service.admin.get(f"{WATCHES}/{watch['id']}")).body["signature"]["cryptoKeyIds"] == [new["id"]]
        call = await told(service.admin, receiver, 1)
    assert verifies(new, call)
    assert verifies(old, call)


@pytest.mark.postgresql
async def test_every_process_signs_as_any_of_them_was_told(tmp_path: Path, receiver: Receiver):
    async with running.service(tmp_path) as first, running.service(tmp_path) as second:
        old = await made(first.admin, algorithm="ed25519")
        await second.admin.watch(receiver.url, signature=signed_by(old))
        new = await rotated(first.admin, old)
        assert await published(second.admin) == [new["id"], old["id"]]
        for count, service in enumerate((first, second), 1):
            call = await told(service.admin, receiver, count)
            assert (verifies(new, call), verifies(old, call)) == (True, True)
        await second.admin.post(f"{KEYS}/{old['id']}/rotate", {"overlap": 0})
        for count, service in enumerate((first, second), 3):
            call = await told(service.admin, receiver, count)
            assert (verifies(new, call), verifies(old, call)) == (True, False)
        assert (await first.admin.delete(f"{KEYS}/{old['id']}")).status == 204
        (await second.admin.get(f"{KEYS}/{old['id']}")).problem(404)
        body = {"objectType": "agendize.account", "address": receiver.url, "signature": signed_by(old)}
        (await second.admin.post(WATCHES, body)).problem(422)


async def test_a_key_without_an_overlap_signs_no_more_at_once(admin: Client, receiver: Receiver):
    old = await made(admin, algorithm="ed25519")
    await admin.watch(receiver.url, signature=signed_by(old))
    new = await rotated(admin, old, overlap=0)
    call = await told(admin, receiver, 1)
    assert not verifies(old, call)
    assert verifies(new, call)
    assert await published(admin) == [new["id"]]


async def test_both_keys_are_published_while_both_sign(admin: Client):
    old = await made(admin, algorithm="ed25519")
    new = await rotated(admin, old)
    newer = await rotated(admin, new)
    assert await published(admin) == [newer["id"], new["id"], old["id"]]


async def test_the_overlap_is_a_day_by_default_and_both_keys_say_when_it_ends(admin: Client):
    old = await made(admin)
    new = await rotated(admin, old)
    kept = await shown(admin, old)
    assert kept["successor"] == new["id"]
    assert new["predecessor"] == {"id": old["id"], "expires": kept["expires"]}
    overlap = datetime.fromisoformat(kept["expires"]) - datetime.fromisoformat(new["created"])
    assert overlap == timedelta(days=1)
    assert (new["successor"], new["expires"]) == (None, None)


async def test_a_key_that_still_signs_cannot_be_deleted_nor_rotated_again(admin: Client):
    old = await made(admin)
    watch = await admin.watch("https://example.com/", signature=signed_by(old))
    new = await rotated(admin, old)
    refused = (await admin.delete(f"{KEYS}/{old['id']}")).problem(409)
    assert new["id"] in refused["detail"]
    assert '{"overlap": 0}' in refused["detail"]
    assert watch["id"] in (await admin.delete(f"{KEYS}/{new['id']}")).problem(409)["detail"]
    assert new["id"] in (await admin.post(f"{KEYS}/{old['id']}/rotate")).problem(409)["detail"]
    await admin.delete(f"{WATCHES}/{watch['id']}")
    assert (await admin.delete(f"{KEYS}/{old['id']}")).status == 204  # nobody is signed for any more


async def test_naming_a_rotated_key_names_its_successor_and_says_so(admin: Client, receiver: Receiver):
    old = await made(admin)
    newest = await rotated(admin, await rotated(admin, old))
    watch = await admin.watch(receiver.url, signature=signed_by(old, newest))
    assert watch["signature"]["cryptoKeyIds"] == [newest["id"]]
    (warning,) = watch["warnings"]
    assert warning["pointer"] == "/signature/cryptoKeyIds/0"
    assert newest["id"] in warning["detail"]
    call = await told(admin, receiver, 1)
    assert len(signatures(call)) == 3
    assert verifies(old, call)


async def test_the_keys_before_a_deleted_one_are_followed_by_the_one_after_it(admin: Client, receiver: Receiver):
    first = await made(admin)
    await admin.watch(receiver.url, signature=signed_by(first))
    second = await rotated(admin, first)
    third = await rotated(admin, second, overlap=0)
    assert (await admin.delete(f"{KEYS}/{second['id']}")).status == 204
    assert (await shown(admin, first))["successor"] == third["id"]
    call = await told(admin, receiver, 1)
    assert [verifies(key, call) for key in (first, second, third)] == [True, False, True]


async def test_a_rotated_key_whose_successor_is_deleted_cannot_be_named(admin: Client):
    old = await made(admin)
    new = await rotated(admin, old)
    assert (await admin.delete(f"{KEYS}/{new['id']}")).status == 204
    assert (await shown(admin, old))["successor"] is None
    body = {"objectType": "agendize.account", "address": "https://example.com/", "signature": signed_by(old)}
    refused = await admin.post(WATCHES, body)
    assert "successor is deleted" in refused.problem(422)["errors"][0]["detail"]
    assert refused.pointers() == ["/signature/cryptoKeyIds/0"]


async def test_not_every_key_of_a_long_line_signs_at_once(admin: Client):
    key = await made(admin)
    line = [key]
    for _ in range(5):
        line.append(await rotated(admin, line[-1]))
    refused = (await admin.post(f"{KEYS}/{line[-1]['id']}/rotate")).problem(409)
    assert "end the overlap" in refused["detail"]
    await admin.post(f"{KEYS}/{line[0]['id']}/rotate", {"overlap": 0})
    await rotated(admin, line[-1])


async def test_of_two_that_rotate_a_key_at_once_one_is_told_of_the_other(admin: Client):
    key = await made(admin)
    answers: list[Answer] = await asyncio.gather(*(admin.post(f"{KEYS}/{key['id']}/rotate") for _ in range(5)))
    assert sorted(answer.status for answer in answers) == [201, 409, 409, 409, 409]
    assert len((await admin.get(KEYS)).body["items"]) == 2


async def test_what_is_sent_again_under_its_idempotency_key_makes_no_other_key(admin: Client, receiver: Receiver):
    again = {"headers": {"Idempotency-Key": "once"}}
    first, second = [await admin.post(KEYS, {"algorithm": "ed25519"}, **again) for _ in range(2)]
    assert (first.status, first.body) == (second.status, second.body)
    await admin.watch(receiver.url, signature=signed_by(first.body))
    path = f"{KEYS}/{first.body['id']}/rotate"
    first, second = [await admin.post(path, **again) for _ in range(2)]
    assert (first.status, first.body) == (second.status, second.body)
    assert first.body["watches"] == 1
    assert verifies(first.body, await told(admin, receiver, 1))
    ended = await admin.post(path, {"overlap": 0}, headers={"Idempotency-Key": "another"})
    assert (ended.status, ended.body["watches"], ended.body["successor"]) == (200, 0, first.body["id"])
    assert len((await admin.get(KEYS)).body["items"]) == 2


@pytest.mark.parametrize(
    "body",
    [
        {"overlap": -1},
        {"overlap": 1.5},
        {"overlap": "60"},
        {"overlap": True},
        {"overlap": None},
        {"overlap": 2_592_001},
    ],
)
async def test_an_overlap_is_a_number_of_seconds_up_to_thirty_days(admin: Client, body: Any):
    key = await made(admin)
    refused = await admin.post(f"{KEYS}/{key['id']}/rotate", body)
    refused.problem(422)
    assert refused.pointers() == ["/overlap"]


async def test_keys_of_another_tenant_are_neither_seen_nor_rotated(admin: Client):
    key = await made(admin, algorithm="ed25519")
    other = await admin.key_of("admin", "acme")
    for answer in (
        await other.post(f"{KEYS}/{key['id']}/rotate"),
        await other.get(f"{KEYS}/{key['id']}"),
        await other.delete(f"{KEYS}/{key['id']}"),
        await admin.post(f"{KEYS}/key_nobody/rotate"),
    ):
        answer.problem(404)
    operator = await admin.key_of("operator")
    (await operator.post(f"{KEYS}/{key['id']}/rotate")).problem(403)
    assert (await operator.get(f"{KEYS}/{key['id']}")).status == 200


# Use


async def test_a_key_shows_for_how_many_watches_it_signs(admin: Client):
    key, unused = await made(admin), await made(admin)
    watches = [await admin.watch("https://example.com/", signature=signed_by(key)) for _ in range(3)]
    assert {item["id"]: item["watches"] for item in (await admin.get(KEYS)).body["items"]} == {
        key["id"]: 3,
        unused["id"]: 0,
    }
    await admin.delete(f"{WATCHES}/{watches[0]['id']}")
    assert (await shown(admin, key))["watches"] == 2


async def test_when_a_key_was_used_last_is_there_after_a_restart(tmp_path: Path, receiver: Receiver):
    async with running.service(tmp_path) as service:
        used, unused = await made(service.admin), await made(service.admin, algorithm="ed25519")
        await service.admin.watch(receiver.url, signature=signed_by(used))
        await told(service.admin, receiver, 1)
    async with running.service(tmp_path) as service:
        at = (await shown(service.admin, used))["lastUsed"]
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", at)
        assert at >= used["created"]
        assert (await shown(service.admin, unused))["lastUsed"] is None


async def test_a_preview_uses_no_key(tmp_path: Path):
    async with running.service(tmp_path) as service:
        key = await made(service.admin, algorithm="ed25519")
        watch = {"objectType": "agendize.account", "address": "https://example.com/", "signature": signed_by(key)}
        seen = await service.admin.post(f"{WATCHES}/preview", {"watch": watch, "resource": {"id": "a"}})
        assert seen.body["request"]["headers"]["webhook-signature"].startswith("v1a,")
    async with running.service(tmp_path) as service:
        assert (await shown(service.admin, key))["lastUsed"] is None
