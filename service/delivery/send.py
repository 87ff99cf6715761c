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
from dataclasses import dataclass, field
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
IDLE_SECONDS = 15  # an idle connection is closed then, before most receivers do it

READING = {"read_until_eof": True, "auto_decompress": False, "read_bufsize": ANSWER_LIMIT}
NO_LIMIT = aiohttp.ClientTimeout(total=None, sock_connect=None)  # exchange() has one limit for everything

Failure = tuple[Reason, str]


def session(guard: Guard) -> aiohttp.ClientSession:
    """The client of all callbacks and token requests, an async context manager.

    Certificates are checked against the system's authorities, or those of ``SSL_CERT_FILE``. How many
    exchanges run at once is for the caller to bound, per watch.
    """
    tls = ssl.create_default_context()
    tls.set_alpn_protocols(["http/1.1"])
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(
            socket_factory=guard.socket_factory,
            ssl=tls,
            limit=0,
            ttl_dns_cache=DNS_SECONDS,
            keepalive_timeout=IDLE_SECONDS,
        ),
        cookie_jar=aiohttp.DummyCookieJar(),
        trust_env=False,  # no proxy, no .netrc
        auto_decompress=False,  # the log shows what came, and no small answer becomes a large one
        skip_auto_headers=("accept", "accept-encoding", "content-type", "user-agent"),  # a Request goes out as it is
        read_bufsize=ANSWER_LIMIT,
        timeout=NO_LIMIT,
    )


async def exchange(
    client: aiohttp.ClientSession, request: Request, *, limit: int = ANSWER_LIMIT, repeat: bool = True
) -> Outcome:
    """Send a request and read at most ``limit`` bytes of the answer's body. Raises nothing but CancelledError.

    An answer that breaks off is in the outcome as far as it came. ``repeat=False`` is for a request that must
    not arrive twice: a stale connection then fails it.
    """
    loop = asyncio.get_running_loop()
    started = loop.time()
    answer = _Answer()
    failure = await _try(client, request, answer, limit, repeat=repeat)
    reason, message = failure or (None, None)
    return Outcome(
        reason,
        duration=round((loop.time() - started) * 1000),
        status_code=answer.status,
        headers=answer.headers,
        body=bytes(answer.body),
        error_message=message,
    )


@dataclass(slots=True)
class _Answer:
    """What has come back so far."""

    status: int | None = None
    headers: dict[str, str] = field(default_factory=dict)
    body: bytearray = field(default_factory=bytearray)


class _Lost(aiohttp.ClientError):
    """The connection broke; the cause says how."""


async def _try(
    client: aiohttp.ClientSession, request: Request, answer: _Answer, limit: int, *, repeat: bool
) -> Failure | None:
    if request.body is not None and len(request.body) > BODY_LIMIT:
        return Reason.TOO_LARGE, f"the body has {len(request.body)} bytes; at most {BODY_LIMIT} are sent"
    try:
        async with asyncio.timeout(request.timeout) as timer:
            await _converse(client, request, answer, limit, repeat=repeat)
    except Exception as error:  # noqa: BLE001  what one receiver answers must never end the process
        if timer.expired():
            return Reason.TIMEOUT, f"no answer within {request.timeout:g} s" if answer.status is None else (
                f"the answer did not end within {request.timeout:g} s"
            )
        return _explain(error)
    return _judge(answer.status)


async def _converse(
    client: aiohttp.ClientSession, request: Request, answer: _Answer, limit: int, *, repeat: bool
) -> None:
    if client.connector is None:
        raise aiohttp.ClientConnectionError("the client is closed")
    url = URL(request.url, encoded=True)
    origin, data = wire.origin(url), wire.encode(request, url)
    while True:
        connection = await client.connector.connect(origin, [], NO_LIMIT)
        reused = wire.is_reused(connection)
        try:
            message, content = await wire.send(connection, data, READING)
            answer.status = message.code
            answer.headers = _flat(message.raw_headers)
            while len(answer.body) < limit and (part := await content.read(limit - len(answer.body))):
                answer.body += part
        except aiohttp.ClientConnectionError as error:
            connection.close()
            if not (reused and repeat and answer.status is None):
                raise _Lost from error
        except BaseException:
            connection.close()
            raise
        else:
            # A connection whose answer has ended is kept for the next exchange; one with more to say is closed.
            wire.give_back(connection, content)
            return


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
