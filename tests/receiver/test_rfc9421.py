"""What a receiver believes of HTTP Message Signatures: what the published library signs, and nothing that was changed."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass, field
from datetime import UTC, datetime

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from http_message_signatures import HTTPMessageSigner, HTTPSignatureKeyResolver, algorithms

from service.receiver import rfc9421, verify

NOW = 1_764_000_000
BODY = b'{"id": "acc_1"}'
COVERED = ("@method", "@target-uri", "content-digest", "content-type")
SECRET = bytes(range(32))
EDWARDS = Ed25519PrivateKey.from_private_bytes(SECRET)
CURVE = ec.derive_private_key(7, ec.SECP256R1())


def pem(private):
    info = serialization.PublicFormat.SubjectPublicKeyInfo
    return private.public_key().public_bytes(serialization.Encoding.PEM, info).decode()


def private_pem(private):
    unlocked = serialization.NoEncryption()
    return private.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, unlocked)


KINDS = {
    "hmac-sha256": (algorithms.HMAC_SHA256, SECRET, "whsec_" + base64.b64encode(SECRET).decode()),
    "ed25519": (algorithms.ED25519, private_pem(EDWARDS), pem(EDWARDS)),
    "ecdsa-p256-sha256": (algorithms.ECDSA_P256_SHA256, private_pem(CURVE), pem(CURVE)),
}


class Keys(HTTPSignatureKeyResolver):
    def __init__(self, private):
        self.private = private

    def resolve_private_key(self, key_id):
        return self.private


@dataclass
class Message:
    """A request as the library wants it."""

    method: str = "POST"
    url: str = "http://crm.example:9000/hooks?a=%20b"
    headers: dict[str, str] = field(default_factory=dict)


def signed(kind, *, covered=COVERED, body=BODY, at=NOW, scheme="http"):
    algorithm, private, _ = KINDS[kind]
    digest = f"sha-256=:{base64.b64encode(hashlib.sha256(body).digest()).decode()}:"
    headers = {"content-type": "application/json", "content-digest": digest, "host": "crm.example:9000"}
    message = Message(headers=headers, url=f"{scheme}://crm.example:9000/hooks?a=%20b")
    signer = HTTPMessageSigner(signature_algorithm=algorithm, key_resolver=Keys(private))
    signer.sign(
        message,
        key_id="key_1",
        created=datetime.fromtimestamp(at, UTC),
        covered_component_ids=covered,
        label="sig1",
        use_existing_digest=True,
    )
    return {name.lower(): value for name, value in message.headers.items()}


def judged(kind, headers, *, method="POST", target="/hooks?a=%20b", body=BODY):
    return rfc9421.distrust([verify.key(KINDS[kind][2])], method, target, headers, body, NOW)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_what_the_published_library_signs_is_believed_also_behind_a_tunnel(kind, scheme):
    assert judged(kind, signed(kind, scheme=scheme)) is None


@pytest.mark.parametrize("kind", KINDS)
def test_what_was_changed_is_not(kind):
    headers = signed(kind)
    other = signed(kind, body=b"{}")

    assert "not the one of content-digest" in judged(kind, headers, body=BODY + b" ")
    assert judged(kind, {**headers, "content-digest": other["content-digest"]}, body=b"{}").startswith("wrong")
    assert judged(kind, headers, method="PUT").startswith("wrong signature")
    assert judged(kind, headers, target="/other").startswith("wrong signature")
    assert judged(kind, {**headers, "content-type": "text/plain"}).startswith("wrong signature")
    assert judged(kind, {**headers, "host": "evil.example"}).startswith("wrong signature")
    later = headers["signature-input"].replace(str(NOW), str(NOW + 1))
    assert judged(kind, {**headers, "signature-input": later}).startswith("wrong signature")


def test_a_signature_that_leaves_something_out_is_none():
    for left in COVERED[:3]:
        headers = signed("ed25519", covered=[name for name in COVERED if name != left])
        assert judged("ed25519", headers) == f"the signature does not cover {left}"
    assert "old: at most 5 min are believed" in judged("ed25519", signed("ed25519", at=NOW - 1000))
    assert judged("hmac-sha256", signed("ed25519")) == "no key for ed25519 signatures"


@pytest.mark.parametrize(
    "change",
    [
        {"signature": "sig1=:AAAA:"},
        {"signature": "sig1=:A:"},
        {"signature": "sig2=:AAAA:"},
        {"signature": "nonsense"},
        {"signature-input": "sig1"},
        {"signature-input": 'sig1=("@method" "@target-uri" "content-digest")'},
        {"signature-input": 'sig1=("@method" "@target-uri" "content-digest" "x-not-here");created=1764000000'},
        {"signature-input": "a" * 8000},
        {"content-digest": "sha-512=:AAAA:"},
    ],
    ids=lambda change: " ".join(change.values())[:40],
)
def test_nonsense_is_refused_in_words(change):
    assert judged("ecdsa-p256-sha256", {**signed("ecdsa-p256-sha256"), **change})


def test_one_good_signature_of_several_is_enough():
    mine, other = signed("ed25519"), signed("hmac-sha256")
    both = {name: f"{other[name].replace('sig1', 'sig0')}, {mine[name]}" for name in ("signature", "signature-input")}

    assert judged("ed25519", {**mine, **both}) is None
