"""Whether a callback is to be believed: Standard Webhooks 1.0, as a receiver checks it.

``v1`` is HMAC-SHA256 with a shared secret (``whsec_...``), ``v1a`` is Ed25519 with the sender's public key
(``whpk_...``, or PEM). Both sign ``id.timestamp.body``. Several signatures may come, one for each key of the sender, and
several keys may be known while they change: one that fits is enough.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, SECP256R1, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_pem_public_key

TOLERANCE = 300  # seconds that a callback's timestamp may be away from the clock, as in the published libraries
SECRET, PUBLIC = "whsec_", "whpk_"
PUBLIC_BYTES = 32  # of an Ed25519 public key (RFC 8032)
PRIVATE = re.compile("whsk_|-----BEGIN [A-Z ]*PRIVATE KEY-----")
VERSIONS = {"hmac-sha256": "v1", "ed25519": "v1a"}


@dataclass(frozen=True, slots=True)
class Key:
    """What a receiver knows of the sender: a shared secret, or a public key."""

    algorithm: str  # hmac-sha256, ed25519 or ecdsa-p256-sha256, as RFC 9421 names them
    key: bytes | Ed25519PublicKey | EllipticCurvePublicKey = field(repr=False)

    @property
    def version(self) -> str | None:
        """Of the Standard Webhooks signatures that it checks; None: of none."""
        return VERSIONS.get(self.algorithm)

    def fits(self, signature: bytes, signed: bytes) -> bool:
        """Whether this key made the signature."""
        try:
            if isinstance(self.key, bytes):
                return hmac.compare_digest(hmac.digest(self.key, signed, hashlib.sha256), signature)
            if isinstance(self.key, Ed25519PublicKey):
                self.key.verify(signature, signed)
            else:  # two numbers of 32 bytes: RFC 9421, section 3.3.4
                r, s = (int.from_bytes(half, "big") for half in (signature[:32], signature[32:]))
                self.key.verify(encode_dss_signature(r, s), signed, ECDSA(SHA256()))
        except InvalidSignature:
            return False
        return True


def key(text: str) -> Key:
    """A key from ``whsec_...``, ``whpk_...`` or PEM; ValueError, which does not repeat it, when the text is none."""
    if text.startswith(SECRET):
        secret = decoded(text.removeprefix(SECRET))
        if not secret:
            raise ValueError(f"what follows {SECRET} is not base64")
        return Key("hmac-sha256", secret)
    if text.startswith(PUBLIC):
        raw = decoded(text.removeprefix(PUBLIC))
        if len(raw) != PUBLIC_BYTES:
            raise ValueError(f"a public key has {PUBLIC_BYTES} bytes in base64; this one has {len(raw)}")
        return Key("ed25519", Ed25519PublicKey.from_public_bytes(raw))
    if text.startswith("-----BEGIN PUBLIC KEY-----"):
        return _of_pem(text)
    hint = "; this is the sender's private key, which a receiver must not have" if PRIVATE.match(text) else ""
    raise ValueError(
        f"it begins with {SECRET} (shared secret) or {PUBLIC} (public key), or is a public key in PEM{hint}"
    )


def _of_pem(text: str) -> Key:
    try:
        public = load_pem_public_key(text.encode())
    except (ValueError, UnsupportedAlgorithm) as error:
        raise ValueError("it is no public key in PEM that can be read") from error
    if isinstance(public, Ed25519PublicKey):
        return Key("ed25519", public)
    if isinstance(public, EllipticCurvePublicKey) and isinstance(public.curve, SECP256R1):
        return Key("ecdsa-p256-sha256", public)
    raise ValueError("it is a public key, but neither Ed25519 nor ECDSA with P-256")


def distrust(keys: Sequence[Key], headers: Mapping[str, str], body: bytes, now: float) -> str | None:
    """Why a callback is not to be believed, in words; None when a signature fits. ``now`` in seconds."""
    for name in ("webhook-id", "webhook-timestamp", "webhook-signature"):
        if not headers.get(name):
            return f"no {name}"
    message_id, timestamp = headers["webhook-id"], headers["webhook-timestamp"]
    if not (timestamp.isascii() and timestamp.isdecimal() and len(timestamp) < 16):
        return "webhook-timestamp is no number of seconds"
    if fault := untimely(int(timestamp), now):
        return fault
    offered = list(_signatures(headers["webhook-signature"]))
    known = {key.version for key in keys if key.version}
    if not known:
        return "no key for Standard Webhooks was given"
    if not any(version in known for version, _ in offered):
        return f"no {' or '.join(sorted(known))} signature among those that came"
    signed = f"{message_id}.{timestamp}.".encode("utf-8", "surrogateescape") + body
    for version, signature in offered:
        if any(key.version == version and key.fits(signature, signed) for key in keys):
            return None
    return "wrong signature: made with another key, or the body was changed"


def untimely(timestamp: int, now: float) -> str | None:
    """Why a timestamp is not to be believed, in words; both in seconds."""
    age = now - timestamp
    if abs(age) <= TOLERANCE:
        return None
    return f"{_span(abs(age))} {'old' if age > 0 else 'ahead of this clock'}: at most {_span(TOLERANCE)} are believed"


def _signatures(header: str) -> Iterator[tuple[str, bytes]]:
    """Version and signature of each that can be read; unknown versions are for others."""
    for part in header.split():
        version, _, encoded = part.partition(",")
        yield version, decoded(encoded)


def decoded(text: str) -> bytes:
    """Base64 of the standard alphabet, with or without its padding; empty when it is none."""
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError):
        return b""


def _span(seconds: float) -> str:
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.0f} h"
