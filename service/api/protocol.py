"""Requests that are no HTTP: aiohttp answers them before any handler is asked, in words of its own that quote them.

Here they are answered as everything else is, with a problem (RFC 9457), and without what was sent: it may hold a key.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from aiohttp import http_exceptions, web
from aiohttp.web_protocol import RequestHandler

from service import errors
from service.api import answers

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
OTHERWISE = "its head is malformed, or has more than 128 headers"


class Runner(web.AppRunner):
    """Runs an application; what is no HTTP is answered by ``Connection``."""

    __slots__ = ()

    async def _make_server(self) -> web.Server:
        made = await super()._make_server()
        return Server(made.request_handler, request_factory=made.request_factory, access_log=None)


class Server(web.Server):
    """A server whose connections are ``Connection``."""

    def __init__(self, handler: Any, *, refused: Refused = lambda _why: None, **options: Any) -> None:
        super().__init__(handler, **options)
        self.refused = refused

    def __call__(self) -> RequestHandler:
        """The protocol of one connection."""
        return Connection(self, loop=self._loop, **self._kwargs)


class Connection(RequestHandler):
    """Says what was wrong; a failure of ours is logged with its trace, which the caller never sees."""

    __slots__ = ("_refused",)

    def __init__(self, manager: Server, **options: Any) -> None:
        super().__init__(manager, **options)
        self._refused = manager.refused

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


def words(error: BaseException | None) -> str:
    """What is wrong with a request, without quoting it."""
    if isinstance(error, http_exceptions.BadHttpMethod) and "HTTPS" in error.message:
        return TLS
    return next((text for kind, text in WORDS if isinstance(error, kind)), OTHERWISE)
