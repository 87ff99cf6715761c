"""Signatures, as the published verifiers, the specification's own vectors and another issuer's see them."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from service.delivery import material, sign, standard
from service.delivery.material import Material
from service.delivery.outgoing import Outgoing
from service.model import Algorithm, CryptoKey

PUBLISHED = json.loads((Path(__file__).parents[1] / "corpus" / "signatures.json").read_text(encoding="utf-8"))
BODY = b'{"test": 2432232314}'
TIMESTAMP = 1614265330


def key(made: Material | None = None) -> CryptoKey:
    made = made or material.generate(Algorithm.HMAC_SHA256)
    return CryptoKey("key_1", "default", None, made.algorithm, made.secret)


def signed(keys: Iterable[CryptoKey], message_id: str, timestamp: int, body: bytes) -> dict[str, str]:
    outgoing = Outgoing(message_id, timestamp, body, "POST", "https://example.com/hook", {})
    return sign.signing(list(keys), standard.NAME).headers(outgoing)


def verifier(of: CryptoKey) -> Webhook:
    return Webhook(material.encode_secret(of.secret))


def now() -> int:
    return int(datetime.now(UTC).timestamp())


@pytest.mark.parametrize("vector", PUBLISHED, ids=lambda vector: vector["name"])
def test_what_others_published_comes_out(vector: dict[str, str]) -> None:
    text = vector["key"]
    made = (
        Material(Algorithm.HMAC_SHA256, material.decode_secret(text))
        if vector["algorithm"] == "hmac-sha256"
        else material.decode_private(text)
    )
    written = signed([key(made)], vector["id"], int(vector["timestamp"]), vector["body"].encode())
    assert written == {
        "webhook-id": vector["id"],
        "webhook-timestamp": str(vector["timestamp"]),
        "webhook-signature": vector["signature"],
    }
    public = material.public(made)
    assert (public and public.written) == vector.get("public")


@pytest.mark.parametrize("body", [BODY, b"", '{"name": "Zoë 🦊"}'.encode(), b"x" * 100_000])
def test_the_published_library_verifies_what_we_sign(body: bytes) -> None:
    one = key()
    verifier(one).verify(body, signed([one], "dlv_1", now(), body), json_parse=False)


def test_the_published_library_refuses_another_body_id_or_time() -> None:
    one = key()
    written = signed([one], "dlv_1", now(), BODY)
    for changed in (
        {"webhook-id": "dlv_2"},
        {"webhook-timestamp": str(now() - 60)},
        signed([key()], "dlv_1", now(), BODY),
    ):
        with pytest.raises(WebhookVerificationError):
            verifier(one).verify(BODY, written | changed)
    with pytest.raises(WebhookVerificationError):
        verifier(one).verify(BODY + b" ", written)


def test_each_of_several_keys_verifies() -> None:
    keys = [key() for _ in range(3)]
    written = signed(keys, "dlv_1", now(), BODY)
    assert len(written["webhook-signature"].split(" ")) == 3
    for one in keys:
        assert verifier(one).verify(BODY, written) == {"test": 2432232314}


def test_without_keys_there_is_an_id_and_a_timestamp_and_no_signature() -> None:
    assert signed([], "dlv_1", TIMESTAMP, BODY) == {"webhook-id": "dlv_1", "webhook-timestamp": str(TIMESTAMP)}


def test_signing_twice_gives_the_same() -> None:
    ready = sign.signing([key(), key(material.generate(Algorithm.ED25519))], standard.NAME)
    outgoing = Outgoing("dlv_1", TIMESTAMP, BODY, "POST", "https://example.com/hook", {})
    assert ready.headers(outgoing) == ready.headers(outgoing)
