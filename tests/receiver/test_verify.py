"""What a receiver believes: as the published library does, and Ed25519 besides."""

from __future__ import annotations

import base64
from datetime import UTC, datetime

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks import Webhook, WebhookVerificationError

from service.receiver import verify

NOW = 1_764_000_000
SECRET, OTHER = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
BODY = b'{"id": "acc_1"}'
PRIVATE = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
PUBLIC = "whpk_" + base64.b64encode(PRIVATE.public_key().public_bytes_raw()).decode()


def signed(*, secret=SECRET, at=NOW, body=BODY, **more):
    moment = datetime.fromtimestamp(at, UTC)
    return {
        "webhook-id": "dlv_1",
        "webhook-timestamp": str(at),
        "webhook-signature": Webhook(secret).sign("dlv_1", moment, body.decode()),
        **{name.replace("_", "-"): value for name, value in more.items()},
    }


def v1a(body=BODY, private=PRIVATE):
    return "v1a," + base64.b64encode(private.sign(b"dlv_1.%d." % NOW + body)).decode()


def judged(*keys, headers, body=BODY, now=NOW):
    return verify.distrust([verify.key(key) for key in keys], headers, body, now)


def test_what_the_published_library_signs_is_believed():
    assert judged(SECRET, headers=signed()) is None


def test_an_ed25519_signature_is_believed_with_the_public_key():
    headers = signed(webhook_signature=v1a())

    assert judged(PUBLIC, headers=headers) is None
    assert judged(PUBLIC, headers=headers, body=BODY + b" ").startswith("wrong signature")
    assert judged(PUBLIC, headers=signed(webhook_signature=v1a(private=Ed25519PrivateKey.generate()))) is not None


def test_one_of_several_signatures_and_keys_is_enough():
    both = f"{signed(secret=OTHER)['webhook-signature']} {v1a()} v2,bm9uc2Vuc2U= {signed()['webhook-signature']}"

    for keys in [(SECRET,), (OTHER,), (PUBLIC,), ("whsec_bm8gc3VjaCBrZXkgYXQgYWxsLCByZWFsbHk=", PUBLIC)]:
        assert judged(*keys, headers=signed(webhook_signature=both)) is None


@pytest.mark.parametrize("age", [-300, 0, 300])
def test_five_minutes_are_believed_in_either_direction(age):
    assert judged(SECRET, headers=signed(at=NOW - age)) is None


@pytest.mark.parametrize(
    ("headers", "body", "says"),
    [
        (signed(), b'{"id": "acc_2"}', "wrong signature"),
        (signed(secret=OTHER), BODY, "wrong signature"),
        (signed(at=NOW - 1000), BODY, "17 min old: at most 5 min are believed"),
        (signed(at=NOW + 10_000), BODY, "3 h ahead of this clock"),
        (signed(webhook_id="dlv_2"), BODY, "wrong signature"),
        (signed(webhook_signature="v1,ü v2,x nonsense v1"), BODY, "wrong signature"),
        (signed(webhook_signature=v1a()), BODY, "no v1 signature among those that came"),
        (signed(webhook_timestamp="²"), BODY, "webhook-timestamp is no number of seconds"),
        (signed(webhook_timestamp="9" * 400), BODY, "webhook-timestamp is no number of seconds"),
        ({}, BODY, "no webhook-id"),
        ({"webhook-id": "dlv_1", "webhook-timestamp": str(NOW)}, BODY, "no webhook-signature"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_and_nothing_else_and_it_is_said_why(headers, body, says):
    assert says in judged(SECRET, headers=headers, body=body)


@given(st.binary(max_size=40), st.integers(0, 39), st.sampled_from([SECRET, OTHER]))
def test_the_published_library_agrees_on_any_body(body, flipped, secret):
    now = int(datetime.now(UTC).timestamp())  # it reads the clock itself
    text = body.decode("latin-1").encode()
    headers = signed(secret=secret, at=now, body=text)
    came = bytes(byte ^ (place == flipped) for place, byte in enumerate(text))
    try:
        Webhook(SECRET).verify(came, headers, json_parse=False)
        theirs = True
    except (WebhookVerificationError, UnicodeDecodeError):
        theirs = False

    assert (judged(SECRET, headers=headers, body=came, now=now) is None) == theirs


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("hunter2", "begins with whsec_"),
        ("whsk_AAAA", "which a receiver must not have"),
        ("whsec_ä", "not base64"),
        ("whpk_QUJD", "has 32 bytes in base64; this one has 3"),
        ("-----BEGIN PRIVATE KEY-----\nAAAA", "which a receiver must not have"),
        ("-----BEGIN PUBLIC KEY-----\nAAAA", "no public key in PEM"),
    ],
)
def test_a_text_that_is_no_key_is_told_without_repeating_it(text, says):
    with pytest.raises(ValueError, match=says) as raised:
        verify.key(text)
    assert text not in str(raised.value)
