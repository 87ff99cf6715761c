"""The accounts that are pushed, and the callbacks that they become: the same at every run.

Each callback's body has 1 KiB. The accounts are pushed in passes: the first one creates them, each later one
changes two members of every account, so that three of four writes load the document before and make a diff.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import time
from collections.abc import Iterator

import orjson

from tests.support import accounts

BODY = 1024  # bytes of a callback
PASSES = 4
SECRET = "ssoToken"  # the one member of an account that is never sent on
PATH = "/api/v1/resources/agendize.account"


def writes(count: int) -> Iterator[tuple[str, bytes]]:
    """That many pushes: the account's id and the version that the push makes, as ``id/version``, and its body."""
    made = [*accounts.accounts(-(-count // PASSES))]
    for number in range(count):
        version, account = number // len(made) + 1, made[number % len(made)]
        yield f"{account['id']}/{version}", orjson.dumps(_version(account, version))


def requests(count: int, host: str, key: str) -> Iterator[tuple[str, bytes]]:
    """The same pushes as HTTP/1.1 requests."""
    for name, body in writes(count):
        head = (
            f"PUT {PATH}/{name.partition('/')[0]} HTTP/1.1\r\nhost: {host}\r\nauthorization: Bearer {key}\r\n"
            f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
        )
        yield name, head.encode() + body


def callbacks(count: int) -> Iterator[tuple[dict[str, str], bytes]]:
    """Headers and bodies like those that the service sends for these pushes, signed beforehand."""
    key, now = b"k" * 32, int(time.time())
    for number, (name, pushed) in enumerate(writes(count)):
        body = orjson.dumps({member: value for member, value in orjson.loads(pushed).items() if member != SECRET})
        message, (subject, _, version) = f"dlv_{number:026d}", name.partition("/")
        signed = hmac.new(key, b"%s.%d.%s" % (message.encode(), now, body), hashlib.sha256).digest()
        yield (
            {
                "content-type": "application/json",
                "user-agent": "webhook-watch/0",
                "webhook-id": message,
                "webhook-timestamp": str(now),
                "webhook-signature": f"v1,{base64.b64encode(signed).decode()}",
                "ce-specversion": "1.0",
                "ce-id": f"chg_{number:026d}",
                "ce-type": "agendize.account.updated",
                "ce-source": "/agendize/api/2.0/resellers/accounts",
                "ce-subject": subject,
                "ce-time": "2026-01-01T00:00:00.000Z",
                "ce-sequence": version,
            },
            body,
        )


def _version(account: dict[str, object], version: int) -> dict[str, object]:
    changed = {**account, "credit": version, "clientName": f"{account['id']}, the {version}. time", "comment": ""}
    sent = {member: value for member, value in changed.items() if member != SECRET}
    return {**changed, "comment": "c" * max(0, BODY - len(orjson.dumps(sent)))}
