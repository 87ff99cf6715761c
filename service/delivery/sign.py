"""Signing what is sent: the keys of a watch, ready to sign, and how each of the schemes writes their signatures.

Everything that does not depend on the delivery is done once, when a watch's keys are first used: HMAC's keyed
beginning, the asymmetric keys themselves, the texts that the log masks.

``standard-webhooks`` (Standard Webhooks 1.0) signs ``id.timestamp.body`` and writes ``v1,<base64>`` for HMAC-SHA256,
``v1a,<base64>`` for Ed25519. The id and the timestamp are signed along with the body, so a callback that somebody
recorded cannot be given a new id or be replayed later. One signature is written for each key, so that a receiver
that still has the old one keeps working while it changes to the new one.
"""

from __future__ import annotations

import hmac
from binascii import b2a_base64
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from math import inf

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from service.delivery import material
from service.model import Algorithm, CryptoKey

STANDARD = "standard-webhooks"


@dataclass(frozen=True, slots=True)
class Outgoing:
    """What there is to sign of one attempt."""

    message_id: str
    timestamp: int  # seconds
    body: bytes  # empty for a method without one
    method: str
    url: str  # as it is sent
    headers: Mapping[str, str]  # lower-case names, as far as they are known


Write = Callable[[Outgoing], dict[str, str]]


@dataclass(slots=True, eq=False)
class Signing:
    """The keys of a watch, ready to sign."""

    keys: tuple[CryptoKey, ...]
    headers: Write  # the headers of one attempt: its id, its timestamp and its signatures
    secrets: frozenset[str] = field(repr=False)  # what the log masks
    until: float = inf  # ms; from then on a key of these signs no more
    used: int = 0  # ms; when they last signed


def signing(keys: Sequence[CryptoKey], scheme: str, until: float = inf) -> Signing:
    """Make these keys ready to sign in a scheme. Without keys there is an id and a timestamp, and no signature."""
    secrets = frozenset(text for key in keys for text in material.spellings(key))
    return Signing(tuple(keys), SCHEMES[scheme](keys) if keys else unsigned, secrets, until)


def unsigned(outgoing: Outgoing) -> dict[str, str]:
    """What every callback has, signed or not."""
    return {"webhook-id": outgoing.message_id, "webhook-timestamp": str(outgoing.timestamp)}


def standard(keys: Sequence[CryptoKey]) -> Write:
    """Standard Webhooks. A callback without a body (GET, DELETE) is signed over the empty body."""
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
SCHEMES: Mapping[str, Callable[[Sequence[CryptoKey]], Write]] = {STANDARD: standard}
ALGORITHMS: Mapping[str, Collection[Algorithm]] = {STANDARD: VERSIONS.keys()}  # with which each scheme can sign
