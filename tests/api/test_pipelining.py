"""Several requests on one connection, sent before the first is answered: RFC 9112, section 9.3.2."""

from __future__ import annotations

import asyncio

from aiohttp import web

from service.api.protocol import Server

REQUEST = "GET /{} HTTP/1.1\r\nhost: here\r\n\r\n"


async def test_answers_come_in_the_order_of_their_requests_however_long_the_first_takes():
    begun: list[str] = []
    first, go_on = asyncio.Event(), asyncio.Event()

    async def handle(request: web.BaseRequest) -> web.Response:
        begun.append(request.path)
        if request.path == "/first":
            first.set()
            await go_on.wait()
        return web.Response(body=f"this is {request.path};".encode())

    async def another() -> None:
        """A call on another connection: when it is answered, what was sent before has arrived as well."""
        reader, writer = await asyncio.open_connection(*address)
        writer.write(REQUEST.format("other").encode())
        await reader.readuntil(b"this is /other;")
        writer.close()

    made = Server(handle)
    server = await asyncio.get_running_loop().create_server(made, "127.0.0.1", 0)
    address = server.sockets[0].getsockname()[:2]
    reader, writer = await asyncio.open_connection(*address)
    writer.write(REQUEST.format("first").encode())
    await first.wait()
    for name in ("second", "third", "fourth"):
        writer.write(REQUEST.format(name).encode())
        await another()
    assert set(begun) == {"/first", "/other"}
    go_on.set()
    read = await reader.readuntil(b"this is /fourth;")
    places = [read.index(f"this is /{name};".encode()) for name in ("first", "second", "third", "fourth")]
    assert places == sorted(places)
    writer.close()
    server.close()
    await made.shutdown(1)
