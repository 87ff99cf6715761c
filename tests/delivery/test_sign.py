"""Signatures, as the published verifier and the specification's own vector see them."""

from __future__ import annotations

import base64
from datetime import UTC, datetime

import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from service.delivery import sign
from service.model import CryptoKey

# from the Standard Webhooks specification
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
MESSAGE_ID = "msg_p5jXN8AQM9LWM0D4loKWxJek"
TIMESTAMP = 1614265330
BODY = b'{"test": 2432232314}'
SIGNATURE = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def key(secret: bytes) -> CryptoKey:
    return CryptoKey("key_1", "default", None, "hmac-sha256", secret)


def now() -> int:
    return int(datetime.now(UTC).timestamp())


def test_the_published_vector_comes_out() -> None:
    written = sign.headers([key(sign.decode_secret(SECRET))], MESSAGE_ID, TIMESTAMP, BODY)
    assert written == {
        "webhook-id": MESSAGE_ID,
        "webhook-timestamp": str(TIMESTAMP),
        "webhook-signature": SIGNATURE,
    }


@pytest.mark.parametrize("body", [BODY, b"", '{"name": "Zoë 🦊"}'.encode(), b"x" * 100_000])
def test_the_published_library_verifies_what_we_sign(body: bytes) -> None:
    secret = sign.generate_secret()
    written = sign.headers([key(secret)], "dlv_1", now(), body)
    Webhook(sign.encode_secret(secret)).verify(body, written, json_parse=False)


def test_the_published_library_refuses_another_body_id_or_time() -> None:
    secret = sign.generate_secret()
    written = sign.headers([key(secret)], "dlv_1", now(), BODY)
    verifier = Webhook(sign.encode_secret(secret))
    for changed in (
        {"webhook-id": "dlv_2"},
        {"webhook-timestamp": str(now() - 60)},
        sign.headers([key(sign.generate_secret())], "dlv_1", now(), BODY),
    ):
        with pytest.raises(WebhookVerificationError):
            verifier.verify(BODY, written | changed)
    with pytest.raises(WebhookVerificationError):
        verifier.verify(BODY + b" ", written)


def test_each_of_several_keys_verifies() -> None:
    secrets = [sign.generate_secret() for _ in range(3)]
    written = sign.headers([key(secret) for secret in secrets], "dlv_1", now(), BODY)
    assert len(written["webhook-signature"].split(" ")) == 3
    for secret in secrets:
        assert Webhook(sign.encode_secret(secret)).verify(BODY, written) == {"test": 2432232314}


def test_without_keys_there_is_an_id_and_a_timestamp_and_no_signature() -> None:
    assert sign.headers([], "dlv_1", TIMESTAMP, BODY) == {
        "webhook-id": "dlv_1",
        "webhook-timestamp": str(TIMESTAMP),
    }


def test_generated_secrets_differ_and_survive_being_written() -> None:
    first, second = sign.generate_secret(), sign.generate_secret()
    assert first != second
    assert len(first) == 32
    assert sign.decode_secret(sign.encode_secret(first)) == first


@pytest.mark.parametrize("length", [24, 25, 26, 32, 64])
def test_secrets_of_others_are_taken_with_and_without_padding(length: int) -> None:
    secret = bytes(range(length))
    text = "whsec_" + base64.b64encode(secret).decode()
    assert sign.decode_secret(text) == secret
    assert sign.decode_secret(text.rstrip("=")) == secret


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "starts with whsec_"),
        ("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "starts with whsec_"),
        ("WHSEC_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "starts with whsec_"),
        ("whsec_", "24 to 64 bytes; this one has 0"),
        ("whsec_" + base64.b64encode(bytes(23)).decode(), "24 to 64 bytes; this one has 23"),
        ("whsec_" + base64.b64encode(bytes(65)).decode(), "24 to 64 bytes; this one has 65"),
        ("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLa-_", "not base64 of the standard alphabet"),
        ("whsec_MfKQ9r8GKYqr TwjUPD8ILPZIo2LaLaSw", "not base64 of the standard alphabet"),
        ("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwA", "not base64 of the standard alphabet"),
        ("whsec_äöü", "not base64 of the standard alphabet"),
    ],
)
def test_what_is_no_secret_is_refused_with_the_reason(text: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        sign.decode_secret(text)
