"""``Idempotency-Key``: a request that is sent again, because its answer was lost, is answered and not done again.

After the IETF draft (draft-ietf-httpapi-idempotency-key-header). An answer is kept under the tenant, the path and the
key, in the transaction that does what it says (see ``store.witness``): there is no moment at which a kill could leave
the one without the other. It is sealed, since it may show a secret that is shown once. What was refused has changed
nothing and is not kept: it may be sent again under its key, corrected.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from service import clock, errors, jsontext
from service.model import Principal
from service.store import keptanswers
from service.store.driver import Transaction
from service.store.store import Store
from service.store.witness import WITNESS, Witness
from service.vault import Vault

HEADER = "Idempotency-Key"
REPLAYED = "Idempotency-Replayed"

_QUOTED = re.compile(r'"((?:[\x20\x21\x23-\x5b\x5d-\x7e]|\\["\\])+)"')  # a string of RFC 8941
_BARE = re.compile(r"[\x21\x23-\x7e]+")
LONGEST = 255  # characters

Handler = Callable[[], Awaitable[web.StreamResponse]]


class Taken(errors.WatchError):
    """Another process has kept an answer under the same key meanwhile; what this one did is rolled back."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A request that may come again."""

    id: str  # of tenant, path and key
    fingerprint: str  # of what it says, and of what its caller may do


class Idempotency:
    """The answers of one service."""

    def __init__(self, store: Store, vault: Vault, *, now: Callable[[], int] = clock.now_ms) -> None:
        self._store = store
        self._vault = vault
        self._now = now
        self._running: set[str] = set()

    async def once(
        self, request: web.BaseRequest, body: bytes, principal: Principal, handler: Handler
    ) -> web.StreamResponse:
        """The handler's answer, or the one that it gave to the same request before.

        Raises:
            BadRequest: the header holds no key.
            Conflict: the same request is being answered.
            Invalid: the key was used for another request.
        """
        asked = _read(request, body, principal)
        if asked.id in self._running:
            raise errors.Conflict(f"a request with this {HEADER} is being answered: wait for it, then send yours again")
        self._running.add(asked.id)
        try:
            return await self._again(asked) or await self._first(asked, handler)
        except Taken:
            answer = await self._again(asked)
            if answer is None:
                raise errors.Unavailable("nothing was stored, try again") from None
            return answer
        finally:
            self._running.discard(asked.id)

    async def _again(self, asked: Asked) -> web.Response | None:
        sealed = await keptanswers.find(self._store, asked.id, self._now())
        if sealed is None:
            return None
        kept: Any = jsontext.loads(self._vault.open(sealed))
        if kept["fingerprint"] != asked.fingerprint:
            raise errors.Invalid(
                f"this {HEADER} was used for another request within the last 24 hours: take a new key for a new request"
            )
        headers = {**kept["headers"], REPLAYED: "true"}
        return web.Response(status=kept["status"], headers=headers, body=kept["body"].encode())

    async def _first(self, asked: Asked, handler: Handler) -> web.StreamResponse:
        async def keep(transaction: Transaction, answer: web.Response) -> None:
            if not await keptanswers.keep(transaction, asked.id, self._sealed(asked, answer), self._now()):
                raise Taken("another request with the same key came first")

        witness = Witness(keep)
        token = WITNESS.set(witness)
        try:
            answer = await handler()
        except BaseException:
            witness.abandon()
            raise
        finally:
            WITNESS.reset(token)
        if not isinstance(answer, web.Response) or answer.status >= 300:
            await witness.settle(None)
        elif not await witness.settle(answer):
            await self._store.write(lambda transaction: keep(transaction, answer))
        return answer

    def _sealed(self, asked: Asked, answer: web.Response) -> str:
        body = answer.body if isinstance(answer.body, bytes) else b""
        return self._vault.seal(
            jsontext.dumps(
                {
                    "fingerprint": asked.fingerprint,
                    "status": answer.status,
                    "headers": {f"{name}": value for name, value in answer.headers.items()},
                    "body": body.decode(),
                }
            )
        )


def _read(request: web.BaseRequest, body: bytes, principal: Principal) -> Asked:
    path, query = request.rel_url.raw_path, request.rel_url.raw_query_string
    id_ = _digest(principal.tenant, request.method, path, _key(request.headers.getall(HEADER)))
    said = body.decode("utf-8", "surrogateescape")
    return Asked(f"ida_{id_}", _digest(query, request.content_type, _authority(principal), said))


def _key(values: list[str]) -> str:
    text = values[0].strip() if len(values) == 1 else ""
    quoted = _QUOTED.fullmatch(text)
    if quoted is None and _BARE.fullmatch(text) is None:
        raise errors.BadRequest(f'{HEADER} must be one key, such as "8e03978e-40d5-43e8-bc93-6894a57f9324"')
    key = re.sub(r"\\(.)", r"\1", quoted[1]) if quoted is not None else text
    if len(key) > LONGEST:
        raise errors.BadRequest(f"{HEADER} must have at most {LONGEST} characters")
    return key


def _authority(principal: Principal) -> str:
    """What an answer was given to: whoever may do less must not get it by asking again."""
    return "bootstrap" if principal.is_bootstrap else principal.role


def _digest(*parts: str) -> str:
    digest = hashlib.sha256()
    for part in parts:
        encoded = part.encode("utf-8", "surrogateescape")
        digest.update(len(encoded).to_bytes(8, "big") + encoded)
    return digest.hexdigest()
