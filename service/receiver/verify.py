"""Whether a callback is to be believed: Standard Webhooks 1.0, as a receiver checks it.

``v1`` is HMAC-SHA256 with a shared secret (``whsec_...``), ``v1a`` is Ed25519 with the sender's public key
(``whpk_...``). Both sign ``id.timestamp.body``. Several signatures may come, one for each key of the sender, and
several keys may be known while they change: one that fits is enough.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

TOLERANCE = 300  # seconds that a callback's timestamp may be away from the clock, as in the published libraries
SECRET, PUBLIC = "whsec_", "whpk_"
PUBLIC_BYTES = 32  # of an Ed25519 public key (RFC 8032)


@dataclass(frozen=True, slots=True)
class Key:
    """What a receiver knows of the sender: a shared secret, or a public key."""

    version: str  # of the signatures that it checks: v1 or v1a
    raw: bytes = field(repr=False)

    def fits(self, signature: bytes, signed: bytes) -> bool:
        """Whether this key made the signature."""
        if self.version == "v1":
            return hmac.compare_digest(hmac.digest(self.raw, signed, hashlib.sha256), signature)
        try:
            Ed25519PublicKey.from_public_bytes(self.raw).verify(signature, signed)
        except InvalidSignature:
            return False
        return True


def key(text: str) -> Key:
    """A key from ``whsec_...`` or ``whpk_...``; ValueError, which does not repeat it, when the text is none."""
    for prefix, version in ((SECRET, "v1"), (PUBLIC, "v1a")):
        if text.startswith(prefix):
            raw = _decoded(text.removeprefix(prefix))
            if not raw:
                raise ValueError(f"what follows {prefix} is not base64")
            if version == "v1a" and len(raw) != PUBLIC_BYTES:
                raise ValueError(f"a public key has {PUBLIC_BYTES} bytes; this one has {len(raw)}")
            return Key(version, raw)
    hint = "; this is the sender's private key, which a receiver must not have" if text.startswith("whsk_") else ""
    raise ValueError(f"it begins with {SECRET} (shared secret) or {PUBLIC} (public key){hint}")


def distrust(keys: Sequence[Key], headers: Mapping[str, str], body: bytes, now: float) -> str | None:
    """Why a callback is not to be believed, in words; None when a signature fits. ``now`` in seconds."""
    for name in ("webhook-id", "webhook-timestamp", "webhook-signature"):
        if not headers.get(name):
            other = "; it is signed after RFC 9421, which is not verified here" if "signature-input" in headers else ""
            return f"no {name}{other}"
    message_id, timestamp = headers["webhook-id"], headers["webhook-timestamp"]
    if not (timestamp.isascii() and timestamp.isdecimal() and len(timestamp) < 16):
        return "webhook-timestamp is no number of seconds"
    age = now - int(timestamp)
    if abs(age) > TOLERANCE:
        return (
            f"{_span(abs(age))} {'old' if age > 0 else 'ahead of this clock'}: at most {_span(TOLERANCE)} are believed"
        )
    offered = list(_signatures(headers["webhook-signature"]))
    known = {key.version for key in keys}
    if not any(version in known for version, _ in offered):
        return f"no {' or '.join(sorted(known))} signature among those that came"
    signed = f"{message_id}.{timestamp}.".encode("utf-8", "surrogateescape") + body
    for version, signature in offered:
        if any(key.version == version and key.fits(signature, signed) for key in keys):
            return None
    return "wrong signature: made with another key, or the body was changed"


def _signatures(header: str) -> Iterator[tuple[str, bytes]]:
    """Version and signature of each that can be read; unknown versions are for others."""
    for part in header.split():
        version, _, encoded = part.partition(",")
        yield version, _decoded(encoded)


def _decoded(text: str) -> bytes:
    """Base64 of the standard alphabet, with or without its padding; empty when it is none."""
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError):
        return b""


def _span(seconds: float) -> str:
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.0f} h"
