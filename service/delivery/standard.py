"""Scheme ``standard-webhooks`` (Standard Webhooks 1.0): ``id.timestamp.body`` is signed.

``v1,<base64>`` is HMAC-SHA256, ``v1a,<base64>`` Ed25519. The id and the timestamp are signed along with the body, so a
callback that somebody recorded cannot be given a new id or be replayed later. One signature is written for each key,
so that a receiver that still has the old one keeps working while it changes to the new one.
"""

from __future__ import annotations

import hmac
from binascii import b2a_base64
from collections.abc import Callable, Mapping, Sequence

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from service.delivery.outgoing import Outgoing, Write
from service.model import Algorithm, CryptoKey

NAME = "standard-webhooks"


def writer(keys: Sequence[CryptoKey]) -> Write:
    """A callback without a body (GET, DELETE) is signed over the empty body."""
    signers = [VERSIONS[key.algorithm](key) for key in keys]

    def headers(outgoing: Outgoing) -> dict[str, str]:
        message_id, timestamp = outgoing.message_id, str(outgoing.timestamp)
        signed = b"%b.%b.%b" % (message_id.encode(), timestamp.encode(), outgoing.body)
        return {
            "webhook-id": message_id,
            "webhook-timestamp": timestamp,
            "webhook-signature": " ".join([sign(signed) for sign in signers]),
        }

    return headers


def _v1(key: CryptoKey) -> Callable[[bytes], str]:
    keyed = hmac.new(key.secret, digestmod="sha256")

    def sign(signed: bytes) -> str:
        mac = keyed.copy()
        mac.update(signed)
        return f"v1,{b2a_base64(mac.digest(), newline=False).decode()}"

    return sign


def _v1a(key: CryptoKey) -> Callable[[bytes], str]:
    private = Ed25519PrivateKey.from_private_bytes(key.secret)
    return lambda signed: f"v1a,{b2a_base64(private.sign(signed), newline=False).decode()}"


VERSIONS: Mapping[Algorithm, Callable[[CryptoKey], Callable[[bytes], str]]] = {
    Algorithm.HMAC_SHA256: _v1,
    Algorithm.ED25519: _v1a,
}
