"""Scheme ``http-message-signatures`` (RFC 9421), the body by its ``content-digest`` (RFC 9530).

Each key signs the method, the URL, the digest, the content type, and the webhook's id and timestamp. A signature's label
is its key's id in lower case, since labels know no other; ``keyid`` and ``tag`` are the id itself: while there are two
keys, a receiver that knows one of them picks its signature by what is signed.
"""

from __future__ import annotations

import hashlib
import hmac
from binascii import b2a_base64
from collections.abc import Callable, Mapping, Sequence

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from yarl import URL

from service.delivery import material
from service.delivery.outgoing import Outgoing, Write
from service.model import Algorithm, CryptoKey

NAME = "http-message-signatures"

Sign = Callable[[bytes], bytes]


def writer(keys: Sequence[CryptoKey]) -> Write:
    """A callback without a body (GET, DELETE) has the digest of the empty one, and no content type."""
    signers = [(key.id.lower(), _parameters(key), SIGNERS[key.algorithm](key)) for key in keys]

    def headers(outgoing: Outgoing) -> dict[str, str]:
        covered = _covered(outgoing)
        lines = "".join([f'"{name}": {value}\n' for name, value in covered.items()])
        components = " ".join([f'"{name}"' for name in covered])
        inputs, signatures = [], []
        for label, parameters, sign in signers:
            signed = f"({components});created={outgoing.timestamp}{parameters}"
            base = f'{lines}"@signature-params": {signed}'  # RFC 9421, section 2.5
            inputs.append(f"{label}={signed}")
            signatures.append(f"{label}={_binary(sign(base.encode()))}")
        written = {name: covered[name] for name in ("content-digest", "webhook-id", "webhook-timestamp")}
        return {**written, "signature-input": ", ".join(inputs), "signature": ", ".join(signatures)}

    return headers


def _covered(outgoing: Outgoing) -> dict[str, str]:
    """The components that are signed, in their order (RFC 9421, section 2)."""
    url = URL(outgoing.url, encoded=True)
    content_type = outgoing.headers.get("content-type")
    return {
        "@method": outgoing.method,
        "@target-uri": f"{url.scheme}://{url.host_port_subcomponent}{url.raw_path_qs}",  # as its Host header says it
        "content-digest": f"sha-256={_binary(hashlib.sha256(outgoing.body).digest())}",
        **({} if content_type is None else {"content-type": content_type}),
        "webhook-id": outgoing.message_id,
        "webhook-timestamp": str(outgoing.timestamp),
    }


def _parameters(key: CryptoKey) -> str:
    return f';keyid="{key.id}";alg="{key.algorithm}";tag="{key.id}"'


def _binary(data: bytes) -> str:
    """A byte sequence as a structured field (RFC 8941, section 3.3.5)."""
    return f":{b2a_base64(data, newline=False).decode()}:"


def _hmac(key: CryptoKey) -> Sign:
    return lambda base: hmac.digest(key.secret, base, "sha256")


def _ed25519(key: CryptoKey) -> Sign:
    return Ed25519PrivateKey.from_private_bytes(key.secret).sign


def _ecdsa(key: CryptoKey) -> Sign:
    private = material.private(key)
    assert isinstance(private, ec.EllipticCurvePrivateKey)  # noqa: S101  for the type checker: so says the algorithm

    def sign(base: bytes) -> bytes:
        r, s = decode_dss_signature(private.sign(base, ec.ECDSA(SHA256())))
        return r.to_bytes(32, "big") + s.to_bytes(32, "big")  # RFC 9421, section 3.3.4

    return sign


SIGNERS: Mapping[Algorithm, Callable[[CryptoKey], Sign]] = {
    Algorithm.HMAC_SHA256: _hmac,
    Algorithm.ED25519: _ed25519,
    Algorithm.ECDSA_P256_SHA256: _ecdsa,
}
