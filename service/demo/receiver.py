"""The other side: a receiver of callbacks, written as a customer would write one.

It shares no code with the service that signs: what it checks is Standard Webhooks as published.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from aiohttp import BasicAuth, web

from service.demo.caller import Unexpected

TOLERANCE = 300  # seconds that a callback's timestamp may be away from the clock
PATIENCE = 10  # seconds in which a callback has to come


@dataclass(frozen=True, slots=True)
class Callback:
    """A request that came."""

    headers: Mapping[str, str]
    body: bytes
    fault: str | None  # why it is not to be believed; None: its signature and its credentials are right
    answered: int  # HTTP status

    def json(self) -> Any:
        """The body."""
        return json.loads(self.body)


@dataclass(slots=True)
class Hook:
    """One address that callbacks are sent to."""

    path: str
    secret: str = ""  # whsec_..., known once the watch is registered
    basic: tuple[str, str] | None = None  # username and password that it asks for
    stumbles: bool = False  # answers 503 the first time it sees a delivery
    seen: set[str] = field(default_factory=set)
    arrived: asyncio.Queue[Callback] = field(default_factory=asyncio.Queue)

    async def next(self) -> Callback:
        """The next callback; Unexpected when none comes."""
        try:
            async with asyncio.timeout(PATIENCE):
                return await self.arrived.get()
        except TimeoutError:
            raise Unexpected(f"no callback came to {self.path} within {PATIENCE} s") from None

    def forget(self) -> None:
        """Drop what nobody asked for."""
        self.seen.clear()
        while not self.arrived.empty():
            self.arrived.get_nowait()

    def take(self, headers: Mapping[str, str], body: bytes) -> Callback:
        """Judge a request, and choose the answer."""
        fault = self._distrust(headers, body)
        answered = 204 if fault is None else 401
        if fault is None and self.stumbles and headers["webhook-id"] not in self.seen:
            answered = 503
        self.seen.add(headers.get("webhook-id", ""))
        return Callback(headers, body, fault, answered)

    def _distrust(self, headers: Mapping[str, str], body: bytes) -> str | None:
        if self.basic is not None and headers.get("authorization") != BasicAuth(*self.basic, "utf-8").encode():
            return "wrong credentials"
        return distrust(self.secret, headers, body)


def distrust(secret: str, headers: Mapping[str, str], body: bytes) -> str | None:
    """Why the signature of a callback is not to be believed; None when it is right."""
    message_id, timestamp = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "")
    if not timestamp.isdecimal() or abs(time.time() - int(timestamp)) > TOLERANCE:
        return "too old, or from the future"
    key = base64.b64decode(secret.removeprefix("whsec_"))
    digest = hmac.new(key, f"{message_id}.{timestamp}.".encode() + body, hashlib.sha256).digest()
    expected = "v1," + base64.b64encode(digest).decode()
    offered = headers.get("webhook-signature", "").split()
    if not any(hmac.compare_digest(signature.encode(), expected.encode()) for signature in offered):
        return "wrong signature"
    return None


class Receiver:
    """A server for a few hooks, on a free port of 127.0.0.1."""

    def __init__(self, *hooks: Hook) -> None:
        self._hooks = {hook.path: hook for hook in hooks}
        self._runner = web.ServerRunner(web.Server(self._handle, access_log=None), shutdown_timeout=0.1)
        self.url = ""

    async def __aenter__(self) -> Self:
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._runner.cleanup()

    async def _handle(self, request: web.BaseRequest) -> web.Response:
        hook = self._hooks.get(request.path)
        if hook is None:
            return web.Response(status=404)
        callback = hook.take(request.headers, await request.read())
        hook.arrived.put_nowait(callback)
        return web.Response(status=callback.answered)
