"""Signing keys as people and programs write them.

Standard Webhooks writes a shared secret as ``whsec_``, an Ed25519 private key as ``whsk_`` and a public one as
``whpk_``, base64 behind it. Everybody else writes private keys as PEM (PKCS #8, RFC 5958), and public ones as PEM
(RFC 7468, section 13) or JWK (RFC 7517, RFC 8037).

What is kept of a key, here and sealed in the database, are bytes: of HMAC the secret, of Ed25519 the seed (RFC 8032,
section 5.1.5), of P-256 the private number, big-endian. Both are 32 bytes. No text here quotes what it was given.
"""

from __future__ import annotations

import base64
import binascii
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)
from joserfc.jwk import ECKey, OKPKey

from service.model import Algorithm, CryptoKey, Document

SECRET, PRIVATE, PUBLIC = "whsec_", "whsk_", "whpk_"
RANDOM_BYTES = 32  # of a generated key: as long as the digest
SHORTEST, LONGEST = 24, 64  # bytes of a secret that is taken: Standard Webhooks, "Signature scheme"
PEM_LIMIT = 8192  # characters; a key of ours has 250

PrivateKey = Ed25519PrivateKey | ec.EllipticCurvePrivateKey


@dataclass(frozen=True, slots=True)
class Material:
    """What a key is made of, before it is anybody's."""

    algorithm: Algorithm
    secret: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Public:
    """The public half of a key."""

    written: str  # whpk_ and base64 for Ed25519; else base64 of its SubjectPublicKeyInfo (RFC 5280, section 4.1)
    pem: str
    jwk: Document  # without kid


def generate(algorithm: Algorithm) -> Material:
    """A new random key."""
    if algorithm is Algorithm.ECDSA_P256_SHA256:
        return Material(algorithm, _number_of(ec.generate_private_key(ec.SECP256R1())))
    return Material(algorithm, secrets.token_bytes(RANDOM_BYTES))


def encode_secret(secret: bytes) -> str:
    """``whsec_`` and base64: the form in which a secret is shown, and which receivers' libraries take."""
    return SECRET + base64.b64encode(secret).decode()


def decode_secret(text: str) -> bytes:
    """The raw secret; ValueError, with words for the person who typed it, when ``text`` is none."""
    secret = _decode(text, SECRET, "a signing secret")
    if not SHORTEST <= len(secret) <= LONGEST:
        raise ValueError(f"a signing secret has {SHORTEST} to {LONGEST} bytes; this one has {len(secret)}")
    return secret


def decode_private(text: str) -> Material:
    """The key in a PEM text, or in ``whsk_...`` (the seed, or the seed and the public key).

    Raises:
        ValueError: with words for the person who sent it.
    """
    return _from_pem(text) if text.lstrip().startswith("-----BEGIN ") else _from_whsk(text)


def private(key: Material | CryptoKey) -> PrivateKey:
    """The key that signs; not for HMAC."""
    if key.algorithm is Algorithm.ED25519:
        return Ed25519PrivateKey.from_private_bytes(key.secret)
    return ec.derive_private_key(int.from_bytes(key.secret, "big"), ec.SECP256R1())


def public(key: Material | CryptoKey) -> Public | None:
    """What receivers verify with; None for HMAC, whose secret is shared."""
    if key.algorithm is Algorithm.HMAC_SHA256:
        return None
    half = private(key).public_key()
    der = half.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    pem = half.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
    written = base64.b64encode(der).decode()
    if key.algorithm is Algorithm.ED25519:
        written = PUBLIC + base64.b64encode(_raw(half)).decode()
    kind, alg = JWK[key.algorithm]
    members = kind.import_key(pem, {"use": "sig", "alg": alg}).as_dict(private=False)
    return Public(written, pem, {name: str(value) for name, value in members.items()})


def spellings(key: Material | CryptoKey) -> frozenset[str]:
    """Every form in which somebody could write the secret: what a log masks."""
    plain = base64.b64encode(key.secret).decode()
    if key.algorithm is Algorithm.HMAC_SHA256:
        return frozenset({plain, SECRET + plain})
    half = private(key)
    pem = half.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    found = {plain, *pem.splitlines()[1:-1]}
    if key.algorithm is Algorithm.ED25519:
        found |= {PRIVATE + plain, PRIVATE + base64.b64encode(key.secret + _raw(half.public_key())).decode()}
    return frozenset(found)


def _from_whsk(text: str) -> Material:
    private_key = _decode(text, PRIVATE, "a private key is PEM that begins with -----BEGIN PRIVATE KEY-----, or")
    if len(private_key) not in {32, 64}:
        raise ValueError(
            f"{PRIVATE} holds 32 bytes, the seed, or 64, the seed and the public key; this one has {len(private_key)}"
        )
    material = Material(Algorithm.ED25519, private_key[:32])
    if private_key[32:] and private_key[32:] != _raw(private(material).public_key()):
        raise ValueError("the public half, its last 32 bytes, does not belong to the seed before it")
    return material


def _from_pem(text: str) -> Material:
    if len(text) > PEM_LIMIT or text.count("PRIVATE KEY-----") > 2:  # openssl writes EC PARAMETERS beside it
        raise ValueError("the PEM text must hold one private key, and little else")
    try:
        key = load_pem_private_key(text.encode(), password=None)
    except TypeError:
        raise ValueError("the PEM is encrypted: decrypt it first, with openssl pkey") from None
    except (ValueError, UnsupportedAlgorithm):
        raise ValueError(
            "the PEM holds no private key that can be read: send PKCS #8, which openssl pkey writes"
        ) from None
    if isinstance(key, Ed25519PrivateKey):
        return Material(Algorithm.ED25519, key.private_bytes_raw())
    if isinstance(key, ec.EllipticCurvePrivateKey) and isinstance(key.curve, ec.SECP256R1):
        return Material(Algorithm.ECDSA_P256_SHA256, _number_of(key))
    raise ValueError("the PEM holds a key of another kind: Ed25519 and P-256 are taken")


def _raw(half: Ed25519PublicKey | ec.EllipticCurvePublicKey) -> bytes:
    return half.public_bytes(Encoding.Raw, PublicFormat.Raw)


def _number_of(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_numbers().private_value.to_bytes(32, "big")


def _decode(text: str, prefix: str, what: str) -> bytes:
    if not text.startswith(prefix):
        raise ValueError(f"{what} starts with {prefix}")
    encoded = text.removeprefix(prefix)
    try:  # other issuers leave the padding out, and the published libraries take both
        return base64.b64decode(encoded + "=" * (-len(encoded) % 4), validate=True)
    except (binascii.Error, ValueError) as error:
        raise ValueError(f"what follows {prefix} is not base64 of the standard alphabet") from error


# its kind of JWK, and its "alg": RFC 8037 (EdDSA), RFC 7518 (ES256)
JWK: Mapping[Algorithm, tuple[type[OKPKey | ECKey], str]] = {
    Algorithm.ED25519: (OKPKey, "EdDSA"),
    Algorithm.ECDSA_P256_SHA256: (ECKey, "ES256"),
}
