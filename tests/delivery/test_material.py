"""Keys as people write them, read by us and by others."""

from __future__ import annotations

import base64

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_public_key,
)

from service.delivery import material
from service.model import Algorithm

# RFC 8032, section 7.1, test 2
SEED = bytes.fromhex("4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb")
PUBLIC = bytes.fromhex("3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c")
ED25519 = Ed25519PrivateKey.from_private_bytes(SEED)
P256 = ec.generate_private_key(ec.SECP256R1())
ENCRYPTED = BestAvailableEncryption(b"secret")


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def pem(key, form=PrivateFormat.PKCS8, encryption: KeySerializationEncryption | None = None) -> str:
    return key.private_bytes(Encoding.PEM, form, encryption or NoEncryption()).decode()


@pytest.mark.parametrize(
    "text",
    [
        f"whsk_{b64(SEED)}",
        f"whsk_{b64(SEED).rstrip('=')}",
        f"whsk_{b64(SEED + PUBLIC)}",
        f"whsk_{b64(SEED + PUBLIC).rstrip('=')}",
        pem(ED25519),
        pem(ED25519).replace("\n", "\r\n"),
        f"\n  {pem(ED25519).strip()}",
    ],
)
def test_an_ed25519_key_is_read_in_every_form(text: str) -> None:
    made = material.decode_private(text)
    assert made == material.Material(Algorithm.ED25519, SEED)
    public = material.public(made)
    assert public is not None
    assert public.written == f"whpk_{b64(PUBLIC)}"
    assert load_pem_public_key(public.pem.encode()).public_bytes_raw() == PUBLIC
    assert public.jwk["x"] == base64.urlsafe_b64encode(PUBLIC).decode().rstrip("=")


# what openssl ecparam -genkey writes before the key: the name of the curve
PARAMETERS = "-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n"


@pytest.mark.parametrize(
    "text",
    [
        pem(P256),
        pem(P256, PrivateFormat.TraditionalOpenSSL),
        PARAMETERS + pem(P256, PrivateFormat.TraditionalOpenSSL),
    ],
)
def test_a_p256_key_is_read_from_pem(text: str) -> None:
    made = material.decode_private(text)
    assert made.algorithm is Algorithm.ECDSA_P256_SHA256
    public = material.public(made)
    assert public is not None
    der = P256.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    assert public.written == b64(der)
    assert load_pem_public_key(public.pem.encode()) == P256.public_key()


@pytest.mark.parametrize("algorithm", [Algorithm.ED25519, Algorithm.ECDSA_P256_SHA256])
def test_another_library_verifies_with_the_public_half_as_jwk(algorithm: Algorithm) -> None:
    made = material.generate(algorithm)
    public = material.public(made)
    assert public is not None
    assert public.jwk["use"] == "sig"
    token = jwt.encode({"sub": "a"}, material.private(made), str(public.jwk["alg"]))
    key = jwt.PyJWK.from_dict(public.jwk)
    assert jwt.decode(token, key, [key.algorithm_name]) == {"sub": "a"}
    assert "d" not in public.jwk


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "starts with whsk_"),
        (b64(SEED), "starts with whsk_"),
        (f"whsec_{b64(SEED)}", "starts with whsk_"),
        (f"whpk_{b64(PUBLIC)}", "starts with whsk_"),
        ("whsk_", "this one has 0"),
        (f"whsk_{b64(SEED[:31])}", "this one has 31"),
        (f"whsk_{b64(SEED + PUBLIC[:31])}", "this one has 63"),
        (f"whsk_{b64(SEED + PUBLIC + b'x')}", "this one has 65"),
        (f"whsk_{b64(SEED + SEED)}", "does not belong to the seed"),
        (f"whsk_{b64(PUBLIC + SEED)}", "does not belong to the seed"),
        ("whsk_äöü", "not base64 of the standard alphabet"),
        (pem(ED25519, encryption=ENCRYPTED), "is encrypted"),
        (pem(ED25519, PrivateFormat.OpenSSH), "no private key that can be read"),
        (pem(ED25519).replace("M", "N"), "no private key that can be read"),
        (pem(ED25519)[:60], "no private key that can be read"),
        (pem(ED25519) * 2, "one private key, and little else"),
        (pem(ED25519) + " " * 10_000, "one private key, and little else"),
        (pem(ec.generate_private_key(ec.SECP384R1())), "Ed25519 and P-256 are taken"),
        (pem(rsa.generate_private_key(65537, 2048)), "Ed25519 and P-256 are taken"),
        (
            ED25519.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode(),
            "no private key that can be read",
        ),
    ],
)
def test_what_is_no_private_key_is_refused_with_the_reason_and_without_being_quoted(text: str, why: str) -> None:
    with pytest.raises(ValueError, match=why) as refused:
        material.decode_private(text)
    assert not text[5:] or text[5:25] not in str(refused.value)


def test_generated_secrets_differ_and_survive_being_written() -> None:
    first, second = (material.generate(Algorithm.HMAC_SHA256).secret for _ in range(2))
    assert first != second
    assert len(first) == 32
    assert material.decode_secret(material.encode_secret(first)) == first


@pytest.mark.parametrize("length", [24, 25, 26, 32, 64])
def test_secrets_of_others_are_taken_with_and_without_padding(length: int) -> None:
    secret = bytes(range(length))
    text = "whsec_" + b64(secret)
    assert material.decode_secret(text) == secret
    assert material.decode_secret(text.rstrip("=")) == secret


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "starts with whsec_"),
        ("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "starts with whsec_"),
        ("WHSEC_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "starts with whsec_"),
        ("whsec_", "24 to 64 bytes; this one has 0"),
        ("whsec_" + b64(bytes(23)), "24 to 64 bytes; this one has 23"),
        ("whsec_" + b64(bytes(65)), "24 to 64 bytes; this one has 65"),
        ("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLa-_", "not base64 of the standard alphabet"),
        ("whsec_MfKQ9r8GKYqr TwjUPD8ILPZIo2LaLaSw", "not base64 of the standard alphabet"),
        ("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwA", "not base64 of the standard alphabet"),
        ("whsec_äöü", "not base64 of the standard alphabet"),
    ],
)
def test_what_is_no_secret_is_refused_with_the_reason(text: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        material.decode_secret(text)
