"""One HTTP exchange: a request in, an outcome out, and no exception whatever the receiver does.

What a receiver can do to its caller is bounded here: the whole exchange has one time limit, the head of the
answer is bounded by the parser and its body by ``ANSWER_LIMIT``, redirects are not followed, no cookie is
kept, and every socket is opened by the egress guard.

**A connection that died while it was idle.** A receiver may close a kept-alive connection at the very moment
we write to it, and then nobody is at fault. When a *reused* connection breaks before the head of an answer
came, the request is sent again at once; each time uses up one idle connection, so a fresh one ends it, and
its failure counts. The receiver may have acted on the first one: that is what "at least once" says, and the
repeat has the same ``webhook-id``.
"""

from __future__ import annotations

import asyncio
import errno
import re
import socket
import ssl
from collections.abc import Callable, Iterable
from http.client import responses
from typing import Any

import aiohttp
from aiohttp import http_exceptions
from yarl import URL

from service.delivery import masking, wire
from service.delivery.egress import Guard
from service.model import Outcome, Reason, Request

ANSWER_LIMIT = 16 * 1024  # bytes of an answer's body that are read
HEADER_COUNT = 64  # headers of an answer that are kept
BODY_LIMIT = 1024 * 1024  # bytes of our own body
DNS_SECONDS = 10  # a receiver that moves is followed that soon

Failure = tuple[Reason, str]


def session(guard: Guard) -> wire.Lines:
    """The client of all callbacks and token requests, an async context manager.

    Certificates are checked against the system's authorities, or those of ``SSL_CERT_FILE``. How many exchanges run at
    once is for the caller to bound, per watch. No proxy is taken from the environment, no cookie is kept, and an
    answer is not decompressed: the log shows what came, and no small answer becomes a large one.
    """
    tls = ssl.create_default_context()
    tls.set_alpn_protocols(["http/1.1"])
    connector = aiohttp.TCPConnector(
        socket_factory=guard.socket_factory, ssl=tls, limit=0, ttl_dns_cache=DNS_SECONDS, force_close=True
    )
    return wire.Lines(connector)


class Exchange:
    """One request and its answer, begun at once on a connection that waits for work."""

    __slots__ = ("_answer", "_done", "_line", "_lines", "_loop", "_origin", "_request", "_started", "_timer")

    def __init__(self, lines: wire.Lines, request: Request, done: Callable[[Outcome | None], None]) -> None:
        self._lines = lines
        self._request = request
        self._done = done
        self._loop = asyncio.get_running_loop()
        self._answer = wire.Answer(ANSWER_LIMIT)

    def begin(self) -> bool:
        """Send it; False, and nothing has happened, when there is no connection yet.

        ``done`` is called with the outcome, or with None when the connection had died while it was idle: then nobody
        has answered, and the request is to be sent again.
        """
        request = self._request
        if request.body is not None and len(request.body) > BODY_LIMIT:
            return False
        try:
            url = URL(request.url, encoded=True)
            self._origin, data = wire.origin(url), wire.encode(request, url)
        except (aiohttp.InvalidURL, ValueError):
            return False
        line = self._lines.free(self._origin)
        if line is None:
            return False
        self._line = line
        self._started = self._loop.time()
        self._timer = self._loop.call_at(self._started + request.timeout, self._expire)
        line.begin(data, self._answer, self._end)
        return True

    def _end(self, error: BaseException | None) -> None:
        self._timer.cancel()
        if error is None:
            self._lines.keep(self._origin, self._line)
            self._done(_outcome(self._answer, _judge(_status(self._answer)), self._elapsed()))
        elif self._answer.message is None and isinstance(error, aiohttp.ClientConnectionError):
            self._done(None)
        elif isinstance(error, Exception):
            self._done(_outcome(self._answer, _explain(error), self._elapsed()))

    def _expire(self) -> None:
        self._line.forget()
        self._done(_outcome(self._answer, _too_late(self._answer, self._request), self._elapsed()))

    def _elapsed(self) -> float:
        return self._loop.time() - self._started


async def exchange(lines: wire.Lines, request: Request, *, limit: int = ANSWER_LIMIT, repeat: bool = True) -> Outcome:
    """Send a request and read at most ``limit`` bytes of the answer's body. Raises nothing but CancelledError.

    An answer that breaks off is in the outcome as far as it came. ``repeat=False`` is for a request that must
    not arrive twice: a stale connection then fails it.
    """
    loop = asyncio.get_running_loop()
    started = loop.time()
    answer = wire.Answer(limit)
    failure = await _try(lines, request, answer, repeat=repeat)
    return _outcome(answer, failure, loop.time() - started)


class _Lost(aiohttp.ClientError):
    """The connection broke; the cause says how."""


async def _try(lines: wire.Lines, request: Request, answer: wire.Answer, *, repeat: bool) -> Failure | None:
    if request.body is not None and len(request.body) > BODY_LIMIT:
        return Reason.TOO_LARGE, f"the body has {len(request.body)} bytes; at most {BODY_LIMIT} are sent"
    try:
        async with asyncio.timeout(request.timeout) as timer:
            await _converse(lines, request, answer, repeat=repeat)
    except Exception as error:  # noqa: BLE001  what one receiver answers must never end the process
        return _too_late(answer, request) if timer.expired() else _explain(error)
    return _judge(_status(answer))


async def _converse(lines: wire.Lines, request: Request, answer: wire.Answer, *, repeat: bool) -> None:
    loop = asyncio.get_running_loop()
    url = URL(request.url, encoded=True)
    origin, data = wire.origin(url), wire.encode(request, url)
    while True:
        line = await lines.open(origin)
        reused = line.used
        ended: asyncio.Future[BaseException | None] = loop.create_future()
        line.begin(data, answer, ended.set_result)
        try:
            error = await ended
        except BaseException:
            line.forget()
            raise
        if error is None:
            lines.keep(origin, line)
            return
        if not isinstance(error, aiohttp.ClientConnectionError):
            raise error
        if not (reused and repeat and answer.message is None):
            raise _Lost from error


def _outcome(answer: wire.Answer, failure: Failure | None, seconds: float) -> Outcome:
    reason, words = failure or (None, None)
    message = answer.message
    return Outcome(
        reason,
        round(seconds * 1000),
        None if message is None else message.code,
        {} if message is None else _flat(message.raw_headers),
        answer.body,
        words,
    )


def _status(answer: wire.Answer) -> int | None:
    return None if answer.message is None else answer.message.code


def _too_late(answer: wire.Answer, request: Request) -> Failure:
    what = "no answer" if answer.message is None else "the answer did not end"
    return Reason.TIMEOUT, f"{what} within {request.timeout:g} s"


def _flat(raw: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    flat: dict[str, str] = {}
    for name, value in list(raw)[:HEADER_COUNT]:
        key, text = name.decode("latin-1").lower(), masking.printable(value)
        flat[key] = (f"{flat[key]}, {text}" if key in flat else text)[: masking.HEADER_LENGTH]
    return flat


def _judge(status: int | None) -> Failure | None:
    if status is None or 200 <= status < 300:
        return None
    if 300 <= status < 400:
        return Reason.REDIRECT, f"answered {status}: redirects are not followed, register the address it points to"
    return Reason.STATUS, f"answered {status} {responses.get(status, '')}".rstrip()


def _explain(error: Exception) -> Failure:
    """Why an exchange broke, in words of our own: the library's quote addresses, with their queries."""
    cause = error.__cause__ if isinstance(error, _Lost) and error.__cause__ else error
    return next(words(cause) for kind, words in FAILURES if isinstance(cause, kind))


def _no_host(error: aiohttp.ClientConnectorError) -> Failure:
    what = NAME_ERRORS.get(error.os_error.errno or 0, "no address could be found for")
    return Reason.DNS, f"DNS: {what} {error.host}"


def _bad_certificate(error: aiohttp.ClientConnectorCertificateError) -> Failure:
    detail = getattr(error.certificate_error, "verify_message", "") or "the certificate cannot be trusted"
    return Reason.TLS, f"certificate verify failed: {detail.rstrip('.')} ({_where(error)})"


def _no_tls(error: aiohttp.ClientConnectorSSLError) -> Failure:
    detail = getattr(error.os_error, "reason", None) or "handshake failed"
    return Reason.TLS, f"TLS: {detail.replace('_', ' ').lower()} ({_where(error)})"


def _no_connection(error: aiohttp.ClientConnectorError) -> Failure:
    # Of several addresses that failed in several ways only one text is left, with the numbers in it.
    text = str(error.os_error)
    numbers = {int(number) for number in ERRNO.findall(text)}
    for number, reason, words in CONNECT_ERRORS:
        if number in numbers:
            return reason, words.format(where=_where(error))
    if errno.EACCES in numbers:  # the guard's own words: which network, and how to open it
        return Reason.BLOCKED, ERRNO.sub("", text).removeprefix("Multiple exceptions: ")
    if isinstance(error.os_error, ConnectionError):  # a TLS handshake that ended in silence has no number
        return Reason.RESET, f"connection closed by {_where(error)} while it was opened"
    return Reason.UNREACHABLE, f"no connection to {_where(error)}: {error.os_error.strerror or 'failed'}"


def _not_http(error: http_exceptions.HttpProcessingError) -> Failure:
    # the parser's message goes on to quote what it was reading
    return Reason.PROTOCOL, f"the answer is not valid HTTP: {error.message.partition(':')[0][:100].lower()}"


def _broken(error: aiohttp.ClientConnectionError) -> Failure:
    if isinstance(error.__cause__, ssl.SSLError):
        return Reason.TLS, f"TLS: {(error.__cause__.reason or 'failed').replace('_', ' ').lower()}"
    if isinstance(error, OSError):
        return Reason.RESET, "the connection was reset before an answer came"
    return Reason.RESET, "the receiver closed the connection without an answer"


def _where(error: aiohttp.ClientConnectorError) -> str:
    host = f"[{error.host}]" if ":" in error.host else error.host
    return f"{host}:{error.port}"


ERRNO = re.compile(r"\[Errno (-?\d+)\] ")
NAME_ERRORS = {
    socket.EAI_NONAME: "no such host",
    socket.EAI_NODATA: "no address for host",
    socket.EAI_AGAIN: "no name server answered for",
}
CONNECT_ERRORS = (  # of several addresses the first row tells the most
    (errno.ECONNREFUSED, Reason.REFUSED, "connection refused by {where}"),
    (errno.ECONNRESET, Reason.RESET, "connection reset by {where} while it was opened"),
    (errno.ETIMEDOUT, Reason.TIMEOUT, "no connection to {where}: it does not answer"),
    (errno.EHOSTUNREACH, Reason.UNREACHABLE, "no route to {where}"),
    (errno.ENETUNREACH, Reason.UNREACHABLE, "no network to {where}"),
)
FAILURES: tuple[tuple[type[Exception], Callable[[Any], Failure]], ...] = (  # the first that fits
    (aiohttp.ClientConnectorDNSError, _no_host),
    (aiohttp.ClientConnectorCertificateError, _bad_certificate),
    (aiohttp.ClientConnectorSSLError, _no_tls),
    (aiohttp.ClientConnectorError, _no_connection),
    (http_exceptions.HttpProcessingError, _not_http),
    (aiohttp.ClientPayloadError, lambda _: (Reason.RESET, "the connection broke in the middle of the answer")),
    (aiohttp.ClientConnectionError, _broken),
    # other ways to write an IPv4 address (2130706433, 127.1) exist to slip past checks
    (aiohttp.InvalidURL, lambda _: (Reason.BLOCKED, "the host is neither a name nor an IP address in its usual form")),
    (UnicodeError, lambda _: (Reason.DNS, "DNS: the host is no valid name")),
    (ValueError, lambda _: (Reason.PROTOCOL, "the address or a header holds what HTTP cannot carry")),
    (Exception, lambda error: (Reason.PROTOCOL, f"the exchange failed: {type(error).__name__}")),
)
