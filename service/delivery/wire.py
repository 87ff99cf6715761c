"""The request's bytes on aiohttp's own connections, and the answer told by a call instead of waited for.

The connector gives connections (names, TLS, the egress guard's sockets), and the parser reads the answer; what lies
between them in ``ClientSession`` (cookies, redirects, sessions' defaults, a response object of many parts) is not
wanted for a callback, and costs twice as much as all the rest. A connection whose answer has ended is kept here, so
that the next request to the same origin leaves at once: without a task, without a future, without a turn of the loop.
"""

from __future__ import annotations

import asyncio
import functools
import re
from collections import deque
from collections.abc import Callable
from functools import lru_cache
from types import TracebackType
from typing import Any, Self

import aiohttp
from aiohttp.client_proto import ResponseHandler
from aiohttp.connector import Connection
from aiohttp.http_parser import RawResponseMessage
from aiohttp.streams import StreamReader
from yarl import URL

from service.model import Request

INTERIM = range(100, 200)  # answers before the answer: RFC 9110, section 15.2
IDLE_SECONDS = 15  # an idle connection is closed then, before most receivers do it
READ_AHEAD = 16 * 1024  # bytes of an answer that are taken from the connection before somebody wants them
READING: dict[str, Any] = {"read_until_eof": True, "auto_decompress": False, "read_bufsize": READ_AHEAD}
NO_LIMIT = aiohttp.ClientTimeout(total=None, sock_connect=None)  # an exchange has one limit for everything

Ended = Callable[[BaseException | None], None]

_FORBIDDEN = re.compile(r"[\r\n\0]")


def encode(request: Request, url: URL) -> bytes:
    """Head and body as they are sent; ValueError for what a header line cannot carry."""
    lines = [f"{request.method} {url.raw_path_qs} HTTP/1.1", f"host: {url.host_port_subcomponent}"]
    lines += [f"{name}: {value}" for name, value in request.headers.items()]
    if request.body is not None:
        lines.append(f"content-length: {len(request.body)}")
    if _FORBIDDEN.search("".join(lines)):
        raise ValueError("a header holds a line break or NUL")
    return "\r\n".join((*lines, "\r\n")).encode() + (request.body or b"")


def origin(url: URL) -> aiohttp.ClientRequest:
    """What the connector wants to know of a URL: where to connect, and how."""
    if url.scheme not in {"http", "https"}:
        raise aiohttp.NonHttpUrlClientError(url)
    if url.host is None or url.port is None:
        raise aiohttp.InvalidURL(url)
    return _origin(url.scheme, url.raw_host or "", url.port)


@lru_cache(maxsize=4096)
def _origin(scheme: str, host: str, port: int) -> aiohttp.ClientRequest:
    return aiohttp.ClientRequest("POST", URL.build(scheme=scheme, host=host, port=port))


class Answer:
    """What has come back so far."""

    __slots__ = ("body", "limit", "message")

    def __init__(self, limit: int) -> None:
        self.limit = limit  # bytes of the body that are wanted
        self.message: RawResponseMessage | None = None
        self.body = b""


class Line(ResponseHandler):
    """A connection that carries one exchange at a time."""

    connection: Connection  # the connector's own record of it

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(loop)
        self.used = False  # it has carried an exchange before
        self.idle_since = 0.0
        self._answer: Answer | None = None
        self._content: StreamReader | None = None
        self._ended: Ended | None = None
        self._looking = False

    def begin(self, data: bytes, answer: Answer, ended: Ended) -> None:
        """Write a request; ``ended`` is called once: with None when the answer, or enough of it, has come.

        Else with what went wrong: aiohttp.ClientConnectionError when the connection broke, ClientPayloadError in
        the middle of the answer, http_exceptions.HttpProcessingError for what is no HTTP.
        """
        self._answer, self._ended = answer, ended
        if not self.used:
            self.used = True
            self.set_response_params(**READING)
        transport = self.transport
        if transport is None or transport.is_closing():
            self._end(aiohttp.ClientConnectionResetError("the connection was closed while it was idle"))
        else:
            transport.write(data)

    def forget(self) -> None:
        """Nobody waits for the answer any more; the connection is closed."""
        self._ended = None
        self.connection.close()

    @property
    def is_free(self) -> bool:
        """Whether another exchange may follow on this connection."""
        return self.transport is not None and not self.transport.is_closing() and not self.should_close

    def data_received(self, data: bytes) -> None:
        """See asyncio.Protocol."""
        super().data_received(data)
        self._look()

    def eof_received(self) -> None:
        """See asyncio.Protocol."""
        super().eof_received()
        self._look()

    def connection_lost(self, exc: BaseException | None) -> None:
        """See asyncio.Protocol."""
        super().connection_lost(exc)
        self._look()

    def set_exception(self, exc: BaseException, *cause: BaseException) -> None:
        """Keep the cause too, which tells TLS from a reset; the library does so only where a task waits."""
        super().set_exception(exc, *cause)
        if exc.__cause__ is None and cause and isinstance(cause[0], Exception):
            exc.__cause__ = cause[0]

    def _look(self) -> None:
        """See how much of the answer is there."""
        if self._ended is None or self._looking:  # reading may resume the connection, which brings more data
            return
        self._looking = True
        try:
            complete = self._read()
        except Exception as error:  # noqa: BLE001  whatever it is, it belongs to who began the exchange
            self._end(error)
        else:
            if complete:
                self._end(None)
        finally:
            self._looking = False

    def _read(self) -> bool:
        """Take what has come; whether that is all that is wanted."""
        answer: Answer | None = self._answer
        if answer is None:
            return False
        while answer.message is None:
            if not self._buffer:
                if self._exception is not None:
                    raise self._exception
                return False
            (message, stream), _ = self._buffer.popleft()
            if message.code not in INTERIM:
                answer.message, self._content = message, stream
        content = self._content
        if content is None:
            return True
        while len(answer.body) < answer.limit and (part := content.read_nowait(answer.limit - len(answer.body))):
            answer.body += part
        return content.at_eof() or len(answer.body) >= answer.limit

    def _end(self, error: BaseException | None) -> None:
        ended, self._ended, self._answer = self._ended, None, None
        if error is not None or (self._content is not None and not self._content.at_eof()):
            self.connection.close()  # also when it has more to say than is wanted
        self._content = None
        if ended is not None:
            ended(error)


class Lines:
    """The connections of this process to everybody: opened when needed, kept while they are of use.

    An async context manager, which closes them all.
    """

    def __init__(self, connector: aiohttp.TCPConnector) -> None:
        loop = asyncio.get_running_loop()
        self._loop = loop
        self._connector = connector
        self._connector._factory = functools.partial(Line, loop)  # type: ignore[assignment]  # noqa: SLF001
        self._idle: dict[aiohttp.ClientRequest, deque[Line]] = {}
        self._sweep: asyncio.TimerHandle | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        if self._sweep is not None:
            self._sweep.cancel()
        for lines in self._idle.values():
            for line in lines:
                line.connection.close()
        self._idle.clear()
        await self._connector.close()

    def free(self, where: aiohttp.ClientRequest) -> Line | None:
        """A connection to this origin that waits for work: the one used last."""
        lines = self._idle.get(where)
        while lines:
            line = lines.pop()
            if line.is_free:
                return line
            line.connection.close()
        return None

    async def open(self, where: aiohttp.ClientRequest) -> Line:
        """A connection to this origin, a free one or a new one; raises as aiohttp's connector does."""
        line = self.free(where)
        if line is None:
            connection = await self._connector.connect(where, [], NO_LIMIT)
            protocol = connection.protocol
            if not isinstance(protocol, Line):
                connection.close()
                raise aiohttp.ClientConnectionResetError("the connection was lost as soon as it was opened")
            line = protocol
            line.connection = connection
        return line

    def keep(self, where: aiohttp.ClientRequest, line: Line) -> None:
        """The exchange on this connection is over; the next one may have it, should it be of use yet."""
        if not line.is_free or self._connector.closed:
            line.connection.close()
            return
        line.idle_since = self._loop.time()
        self._idle.setdefault(where, deque()).append(line)
        if self._sweep is None:
            self._sweep = self._loop.call_later(IDLE_SECONDS, self._drop_idle)

    def _drop_idle(self) -> None:
        """Close what has not been used for long; of each origin those are first."""
        self._sweep = None
        past = self._loop.time() - IDLE_SECONDS
        for where, lines in list(self._idle.items()):
            while lines and (lines[0].idle_since <= past or not lines[0].is_free):
                lines.popleft().connection.close()
            if not lines:
                del self._idle[where]
        if self._idle:
            self._sweep = self._loop.call_later(IDLE_SECONDS / 2, self._drop_idle)
