"""Signatures after Standard Webhooks 1.0: HMAC-SHA256 over ``id.timestamp.body``, written ``v1,<base64>``.

The id and the timestamp are signed along with the body, so a callback that somebody recorded cannot be given
a new id or be replayed later. One signature is written for each key of the watch, so that a receiver that
still has the old secret keeps working while it changes to the new one.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import secrets
from collections.abc import Sequence

from service.model import CryptoKey

PREFIX = "whsec_"
SECRET_BYTES = 32  # of a generated secret: as long as the digest
SHORTEST, LONGEST = 24, 64  # bytes of a secret that is taken: Standard Webhooks, "Signature scheme"


def headers(keys: Sequence[CryptoKey], message_id: str, timestamp: int, body: bytes) -> dict[str, str]:
    """The headers of one attempt; ``timestamp`` in seconds. Without keys there is no ``webhook-signature``.

    A callback without a body (GET, DELETE) is signed over the empty body.
    """
    written = {"webhook-id": message_id, "webhook-timestamp": str(timestamp)}
    if keys:
        signed = f"{message_id}.{timestamp}.".encode() + body
        written["webhook-signature"] = " ".join(_v1(key.secret, signed) for key in keys)
    return written


def _v1(secret: bytes, signed: bytes) -> str:
    digest = hmac.digest(secret, signed, hashlib.sha256)
    return f"v1,{base64.b64encode(digest).decode()}"


def generate_secret() -> bytes:
    """A new raw secret."""
    return secrets.token_bytes(SECRET_BYTES)


def encode_secret(secret: bytes) -> str:
    """``whsec_`` and base64: the form in which a secret is shown, and which receivers' libraries take."""
    return PREFIX + base64.b64encode(secret).decode()


def decode_secret(text: str) -> bytes:
    """The raw secret; ValueError, with words for the person who typed it, when ``text`` is none."""
    if not text.startswith(PREFIX):
        raise ValueError(f"a signing secret starts with {PREFIX}")
    encoded = text.removeprefix(PREFIX)
    try:  # other issuers leave the padding out, and the published libraries take both
        secret = base64.b64decode(encoded + "=" * (-len(encoded) % 4), validate=True)
    except (binascii.Error, ValueError) as error:
        raise ValueError(f"what follows {PREFIX} is not base64 of the standard alphabet") from error
    if not SHORTEST <= len(secret) <= LONGEST:
        raise ValueError(f"a signing secret has {SHORTEST} to {LONGEST} bytes; this one has {len(secret)}")
    return secret
