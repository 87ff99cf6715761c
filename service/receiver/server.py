"""The HTTP server of a receiver: every request is handed to one function, and no request can break it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from aiohttp import http_exceptions, web

from service.api import protocol

MOST = 16 * 1024 * 1024  # bytes of a body; a callback with the version before and the diff may have a few
LAST_ANSWERS = 0.1  # seconds that answers under way have when the server stops

Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


class Unread(Exception):
    """A body that cannot be read to its end, and the status to answer with."""

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(detail)
        self.status, self.detail = status, detail


@asynccontextmanager
async def opened(
    handle: Handler, host: str = "127.0.0.1", port: int = 0, *, refused: protocol.Refused = lambda _why: None
) -> AsyncIterator[str]:
    """Listen, and yield the URL; port 0 takes any that is free. ``refused`` is told of what is no HTTP. OSError."""
    made = protocol.Server(handle, refused=refused, auto_decompress=False)
    runner = web.ServerRunner(made, shutdown_timeout=LAST_ANSWERS)
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port).start()
        name, number = runner.addresses[0][:2]
        yield f"http://[{name}]:{number}" if ":" in name else f"http://{name}:{number}"
    finally:
        await runner.cleanup()


async def body(request: web.BaseRequest) -> bytes:
    """The bytes as they were sent, which are what is signed. Raises Unread."""
    data = bytearray()
    try:
        async for chunk in request.content.iter_any():
            data += chunk
            if len(data) > MOST:
                raise Unread(413, f"the body has more than {MOST:,} bytes")
    except (web.RequestPayloadError, http_exceptions.BadHttpMessage, ConnectionError) as error:
        raise Unread(400, "the body broke off, or is not chunked as it should be") from error
    return bytes(data)
