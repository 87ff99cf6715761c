"""The receiver of the demo: a few hooks, each with a key and manners of its own."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from aiohttp import BasicAuth, web

from service.demo.caller import Unexpected
from service.receiver import manners, server, verify
from service.receiver.callback import Callback
from service.receiver.manners import Manners

PATIENCE = 10  # seconds in which a callback has to come


@dataclass(slots=True)
class Hook:
    """One address that callbacks are sent to."""

    path: str
    key: str = ""  # whsec_... or whpk_..., known once the watch is registered
    basic: tuple[str, str] | None = None  # username and password that it asks for
    manners: Manners = field(default_factory=Manners)
    refuses: float = 0  # requests that are still answered 503; infinity while it is down
    takes: float = 0  # seconds to answer
    under_way: int = 0  # requests that are not answered yet
    crowd: int = 0  # the most of them at once, when one was refused
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
        while not self.arrived.empty():
            self.arrived.get_nowait()

    def take(self, method: str, target: str, headers: Mapping[str, str], body: bytes) -> Callback:
        """Judge a request, and choose the answer."""
        fault = self._distrust(headers, body)
        attempt = self.manners.count(headers.get("webhook-id", ""))
        answered = self._refusal() or self.manners.answer(attempt, fault) or manners.TAKEN
        return Callback(method, target, headers, body, fault, answered)

    def _refusal(self) -> int | None:
        if self.refuses <= 0:
            return None
        self.refuses -= 1
        self.crowd = max(self.crowd, self.under_way)
        return manners.FAILING

    def _distrust(self, headers: Mapping[str, str], body: bytes) -> str | None:
        if self.basic is not None and headers.get("authorization") != BasicAuth(*self.basic, "utf-8").encode():
            return "wrong credentials"
        return verify.distrust((verify.key(self.key),), headers, body, time.time())


@asynccontextmanager
async def opened(*hooks: Hook) -> AsyncIterator[str]:
    """Serve the hooks on a free port of 127.0.0.1, whose URL is yielded."""
    by_path = {hook.path: hook for hook in hooks}

    async def handle(request: web.BaseRequest) -> web.Response:
        hook = by_path.get(request.path)
        if hook is None:
            return web.Response(status=404)
        body = await server.body(request)
        hook.under_way += 1
        callback = hook.take(request.method, request.path_qs, request.headers, body)
        hook.arrived.put_nowait(callback)
        await asyncio.sleep(hook.takes)
        hook.under_way -= 1
        return web.Response(status=callback.answered)

    async with server.opened(handle) as url:
        yield url
