"""Verifying callbacks as a receiver would: with other people's libraries, and with what our answers say of a key."""

from __future__ import annotations

import asyncio
import base64
import json
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from standardwebhooks import Webhook, WebhookVerificationError

from tests.support import foreign
from tests.support.receiver import Call

TERN = Path(__file__).with_name("tern.mjs")
TERN_PACKAGE = "@hookflo/tern"
TERN_VERSION = "4.1.0"


def verifies(key: Any, call: Call, signature: str | None = None) -> bool:
    """Whether a callback, or one of its signatures alone, fits a key as the API showed it when it was made."""
    headers = {**call.headers, **({} if signature is None else {"webhook-signature": signature})}
    if "publicKeyPem" in key:
        return _v1a(key, headers, call.body)
    try:
        Webhook(key["secret"]).verify(call.body, headers)
    except WebhookVerificationError:
        return False
    return True


def signatures(call: Call) -> list[str]:
    """A callback's signatures, in their order."""
    return call.headers["webhook-signature"].split(" ")


async def tern(call: Call, jwks_url: str) -> list[Any]:
    """What npm's @hookflo/tern says of each Ed25519 signature of a callback."""
    packages = await asyncio.to_thread(foreign.npm_packages, f"{TERN_PACKAGE}@{TERN_VERSION}")
    library = packages / "node_modules" / TERN_PACKAGE
    process = await asyncio.create_subprocess_exec(
        "node", TERN, library, jwks_url, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    asked = {"headers": dict(call.headers), "body": base64.b64encode(call.body).decode()}
    said, _ = await process.communicate(json.dumps(asked).encode())
    results: list[Any] = json.loads(said)
    return results


def _v1a(key: Any, headers: dict[str, str], body: bytes) -> bool:
    public = load_pem_public_key(key["publicKeyPem"].encode())
    assert isinstance(public, Ed25519PublicKey)
    assert key["publicKey"] == f"whpk_{base64.b64encode(public.public_bytes_raw()).decode()}"
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    for signature in headers["webhook-signature"].split(" "):
        version, _, written = signature.partition(",")
        if version == "v1a":
            try:
                public.verify(base64.b64decode(written, validate=True), signed)
                return True
            except InvalidSignature:
                continue
    return False
