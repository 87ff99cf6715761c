"""A caller's connection: requests that came whole are answered the short way, and what is no HTTP in our own words.

aiohttp's own way wakes the connection's task for each request, makes another task, and writes an answer's head piece
by piece: half of what a small call costs. So a request that is complete when it arrives, on a connection that has
nothing else to do, gets its task at once, and an answer that is plain bytes leaves in one write. Whatever is not so
(a body that comes in parts, pipelining, streams, ``Connection: close``) goes aiohttp's way.

What is no HTTP aiohttp would answer before any handler is asked, and quote it. It is answered as everything else is,
with a problem (RFC 9457), and without what was sent: it may hold a key.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeGuard

from aiohttp import hdrs, http_exceptions, web
from aiohttp.abc import AbstractStreamWriter
from aiohttp.helpers import rfc822_formatted_time
from aiohttp.http import SERVER_SOFTWARE, HttpVersion11
from aiohttp.http_parser import RawRequestMessage
from aiohttp.http_writer import StreamWriter
from aiohttp.streams import StreamReader
from aiohttp.web_protocol import RequestHandler

from service import errors
from service.api import answers

Answer = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]
Refused = Callable[[str], None]  # is told in words what was wrong with a request that was refused

TLS = "it begins a TLS connection, and this port speaks plain HTTP: use http://, not https://"
WORDS: tuple[tuple[type[BaseException], str], ...] = (  # the first that fits
    (http_exceptions.BadHttpMethod, "it does not begin with an HTTP method"),
    (http_exceptions.BadStatusLine, "its first line is not: method, path, HTTP/1.1"),
    (http_exceptions.LineTooLong, "its path, or one of its headers, is longer than 8190 bytes"),
    (http_exceptions.InvalidHeader, "one of its headers is malformed"),
    (http_exceptions.InvalidURLError, "its path is no path or URL"),
    (http_exceptions.TransferEncodingError, "its body is not chunked as it should be"),
)
BODILESS = frozenset({204, 304})  # statuses whose answers have neither body nor length: RFC 9110, section 8.6
OTHERWISE = "its head is malformed, or has more than 128 headers"


class Runner(web.ServerRunner):
    """Runs a server; ``closing`` is called when it stops, before calls under way are waited for."""

    __slots__ = ("_closing",)

    def __init__(self, server: Server, *, closing: Callable[[], None], shutdown_timeout: float) -> None:
        super().__init__(server, shutdown_timeout=shutdown_timeout)
        self._closing = closing

    async def shutdown(self) -> None:
        """See aiohttp's BaseRunner."""
        self._closing()


class Server(web.Server):
    """A server whose connections are ``Connection``."""

    def __init__(self, handler: Answer, *, most: int = 0, refused: Refused = lambda _why: None, **options: Any) -> None:
        super().__init__(handler, request_factory=self._request, access_log=None, **options)
        self._most = most  # bytes of a body that ``read`` takes; 0: any number
        self.refused = refused

    def __call__(self) -> RequestHandler:
        """The protocol of one connection."""
        return Connection(self, loop=self._loop, **self._kwargs)

    def _request(
        self,
        message: RawRequestMessage,
        payload: StreamReader,
        protocol: RequestHandler,
        writer: AbstractStreamWriter,
        task: asyncio.Task[None],
    ) -> web.BaseRequest:
        return web.BaseRequest(message, payload, protocol, writer, task, self._loop, client_max_size=self._most)


class Connection(RequestHandler):
    """Says what was wrong; a failure of ours is logged with its trace, which the caller never sees."""

    __slots__ = ("_refused", "_short")

    def __init__(self, manager: Server, **options: Any) -> None:
        super().__init__(manager, **options)
        self._refused = manager.refused
        self._short: asyncio.Task[None] | None = None  # a request that is being answered the short way

    def data_received(self, data: bytes) -> None:
        """See asyncio.Protocol."""
        waiter = self._waiter
        if waiter is None or waiter.done() or (self._messages and self._short is None):
            super().data_received(data)
            return
        # The connection's task sleeps on, until it is known whether it is needed; and what comes while a request is
        # answered the short way waits for its end, or its answer could overtake that one's.
        self._waiter = None
        super().data_received(data)
        self._waiter = waiter
        if self._short is not None or not self._messages:
            return
        message, payload = self._messages[0]
        if len(self._messages) > 1 or self._paused or not _is_whole(message, payload):
            waiter.set_result(None)
            return
        self._messages.clear()
        if self._parser is not None:
            self._parser.message_consumed()
        self._request_in_progress = True
        self._short = self._loop.create_task(self._answer(message, payload))

    async def shutdown(self, timeout: float | None = 15.0) -> None:  # noqa: ASYNC109  aiohttp's
        """Let the request under way end, for so many seconds."""
        await super().shutdown(timeout)
        if self._short is not None:
            self._short.cancel()

    async def _answer(self, message: RawRequestMessage, payload: StreamReader) -> None:
        """Answer a request that is there from its head to its end."""
        handler, factory, task = self._request_handler, self._request_factory, self._short
        if handler is None or factory is None or task is None:  # the connection was lost meanwhile
            return
        request = factory(message, payload, self, StreamWriter(self, self._loop), task)
        try:
            answer = await handler(request)
            if not self._write_at_once(request, answer):
                await self.finish_response(request, answer, None)
                if not answer.keep_alive:
                    self.force_close()
        except asyncio.CancelledError:
            self.force_close()
            raise
        except Exception as error:  # noqa: BLE001  a handler answers for its own; this is the last resort
            self.log_exception("Error handling a request", exc_info=error)
            self.force_close()
        finally:
            request._task = None  # type: ignore[assignment]  # noqa: SLF001  the cycle that aiohttp breaks as well
            self._end()

    def _write_at_once(self, request: web.BaseRequest, answer: web.StreamResponse) -> bool:
        """Write an answer that is plain bytes; False, and nothing is written, for any other."""
        if not isinstance(answer, web.Response) or answer.prepared or request.method == "HEAD":
            return False
        body, transport = answer.body, self.transport
        if not isinstance(body, bytes) or answer.status in BODILESS or answer.keep_alive is False or transport is None:
            return False
        head = f"HTTP/1.1 {answer.status} {answer.reason}" + "".join(
            [f"\n{name}: {value}" for name, value in answer.headers.items()]
        )
        if "\r" in head or head.count("\n") != len(answer.headers):
            return False  # aiohttp refuses it
        head = head.replace("\n", "\r\n")
        transport.write(
            f"{head}\r\nContent-Length: {len(body)}\r\nDate: {rfc822_formatted_time()}\r\n"
            f"Server: {SERVER_SOFTWARE}\r\n\r\n".encode()
            + body
        )
        return True

    def _end(self) -> None:
        """The request is answered: the connection has time for the next one."""
        self._short = None
        self._request_in_progress = False
        self._next_keepalive_close_time = self._loop.time() + self._keepalive_timeout
        if self._handler_waiter is not None and not self._handler_waiter.done():
            self._handler_waiter.set_result(None)  # the server stops, and has waited for us
        if self._messages and self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)  # more has come meanwhile

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,  # noqa: ARG002  aiohttp's own words, which quote the request
    ) -> web.StreamResponse:
        """The answer to a request that could not be read, or (``status`` 500) whose handler failed."""
        if status >= 500:
            self.log_exception("Error handling a request", exc_info=exc)
        if request.writer.output_size > 0:
            raise ConnectionError("half an answer is out already: break the connection")
        if status >= 500:
            error: errors.WatchError = errors.WatchError("something went wrong on our side; the log says what")
        else:
            why = words(exc)
            self._refused(why)
            error = errors.BadRequest(f"this is no HTTP request: {why}")
        answer = answers.problem(error)
        answer.force_close()
        return answer


def _is_whole(message: Any, payload: StreamReader) -> TypeGuard[RawRequestMessage]:
    """Whether a request is there from its head to its end, and asks for nothing out of the ordinary."""
    return (
        isinstance(message, RawRequestMessage)
        and payload.is_eof()
        and message.version == HttpVersion11
        and not (message.should_close or message.upgrade or message.chunked or message.compression)
        and hdrs.EXPECT not in message.headers
    )


def words(error: BaseException | None) -> str:
    """What is wrong with a request, without quoting it."""
    if isinstance(error, http_exceptions.BadHttpMethod) and "HTTPS" in error.message:
        return TLS
    return next((text for kind, text in WORDS if isinstance(error, kind)), OTHERWISE)
