"""A receiver of callbacks for tests: a real HTTP server on a free port of 127.0.0.1.

    async with Receiver() as receiver:
        receiver.answers = [Answer(503), Answer(200)]      # in this order, then 200 for ever; or a function of the call
        ... receiver.url ...
        calls = await receiver.wait_for(2)

``Wire`` is for what no HTTP library would send: it hands each connection to a coroutine.
"""

from __future__ import annotations

import asyncio
import json
import socket
import ssl
import struct
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Self

from aiohttp import web
from multidict import CIMultiDictProxy


class Play(Enum):
    """How an answer is given."""

    ANSWER = "all at once"
    TRICKLE = "a byte of the body at a time, and never the last one"
    HANG = "never"
    RESET = "the connection is reset instead"
    CLOSE = "given, then the connection is closed without a word"


@dataclass(frozen=True, slots=True)
class Answer:
    """One scripted answer. With a ``gate`` it waits until the test opens it."""

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    play: Play = Play.ANSWER
    gate: asyncio.Event | None = None


HANG = Answer(play=Play.HANG)
RESET = Answer(play=Play.RESET)


@dataclass(frozen=True, slots=True)
class Call:
    """One request, as it arrived."""

    method: str
    path_qs: str  # as it was on the wire, percent-encoding and all
    headers: CIMultiDictProxy[str]
    body: bytes
    connection: int  # which connection it came on: 1 for the first
    turn: int  # its place among the requests of that connection: 1 for the first

    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)


class Receiver:
    """Records every request in ``calls``, in order, and answers as ``answers`` says."""

    def __init__(self, *, port: int = 0, tls: ssl.SSLContext | None = None) -> None:
        self.calls: list[Call] = []
        self.answers: list[Answer] | Callable[[Call], Answer] = []
        self.port = port
        self._tls = tls
        self._turns: dict[asyncio.BaseTransport, list[int]] = {}
        self._connections = 0
        self._arrived = asyncio.Condition()
        self._runner: web.ServerRunner | None = None

    @property
    def url(self) -> str:
        """The address of its root, without a slash at the end."""
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{self.port}"

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def start(self) -> None:
        """Listen; after a stop, on the same port again."""
        server = web.Server(self._handle, access_log=None)
        self._runner = web.ServerRunner(server, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self.port, ssl_context=self._tls, reuse_address=True)
        await site.start()
        self.port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        """Close the port and every connection."""
        if self._runner:
            await self._runner.cleanup()
            self._runner = None

    async def wait_for(self, count: int, timeout: float = 5) -> list[Call]:  # noqa: ASYNC109  a test's own patience
        """All calls, once there are ``count`` of them; TimeoutError says how many came."""
        try:
            async with asyncio.timeout(timeout), self._arrived:
                await self._arrived.wait_for(lambda: len(self.calls) >= count)
        except TimeoutError:
            raise TimeoutError(f"{len(self.calls)} calls of {count} came within {timeout} s") from None
        return list(self.calls)

    def close_idle(self) -> None:
        """Close every connection now, as a receiver does with those that were idle for too long."""
        for transport in list(self._turns):
            transport.close()

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        transport = request.transport
        assert transport is not None
        if transport not in self._turns:
            self._connections += 1
            self._turns[transport] = [self._connections, 0]
        self._turns[transport][1] += 1
        number, turn = self._turns[transport]
        call = Call(request.method, request.raw_path, request.headers, await request.read(), number, turn)
        answer = self._next(call)
        async with self._arrived:
            self.calls.append(call)
            self._arrived.notify_all()
        if answer.gate:
            await answer.gate.wait()
        return await self._perform(answer, request, transport)

    def _next(self, call: Call) -> Answer:
        if callable(self.answers):
            return self.answers(call)
        return self.answers.pop(0) if self.answers else Answer()

    async def _perform(
        self, answer: Answer, request: web.BaseRequest, transport: asyncio.BaseTransport
    ) -> web.StreamResponse:
        match answer.play:
            case Play.HANG:
                await asyncio.Event().wait()
            case Play.RESET:
                reset(transport)
            case Play.TRICKLE:
                return await self._trickle(answer, request)
        response = web.Response(status=answer.status, headers=answer.headers, body=answer.body)
        if answer.play is Play.CLOSE:
            await response.prepare(request)
            await response.write_eof()
            transport.close()
        return response

    async def _trickle(self, answer: Answer, request: web.BaseRequest) -> web.StreamResponse:
        response = web.StreamResponse(status=answer.status, headers=answer.headers)
        response.content_length = len(answer.body) + 1
        await response.prepare(request)
        for byte in answer.body:
            await response.write(bytes([byte]))
        await asyncio.Event().wait()
        return response


class Wire:
    """A TCP server whose connections are played by a coroutine of the test; they are closed when it returns."""

    def __init__(self, play: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]) -> None:
        self._play = play
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()
        self.port = 0

    @classmethod
    def saying(cls, answer: bytes) -> Wire:
        """Reads the head of one request, sends these bytes, and closes."""

        async def play(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(answer)
            await writer.drain()

        return cls(play)

    @property
    def url(self) -> str:
        """The address of its root, without a slash at the end."""
        return f"http://127.0.0.1:{self.port}"

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        for connection in self._connections:
            connection.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)
        await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        try:
            with suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
                await self._play(reader, writer)
        finally:
            self._connections.discard(task)
            writer.close()


def reset(transport: asyncio.BaseTransport) -> None:
    """End a connection with RST instead of FIN: what a crashed machine or a load balancer does."""
    sock: socket.socket = transport.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()  # type: ignore[attr-defined]
