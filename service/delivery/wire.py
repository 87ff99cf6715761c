"""The request's bytes on aiohttp's own connections.

The connector gives pooled connections (names, TLS, the egress guard's sockets), and the parser reads the
answer; what lies between them in ``ClientSession`` (cookies, redirects, sessions' defaults, a response object
of many parts) is not wanted for a callback, and costs twice as much as all the rest.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any
from weakref import WeakSet

import aiohttp
from aiohttp.client_proto import ResponseHandler
from aiohttp.connector import Connection
from aiohttp.http_parser import RawResponseMessage
from aiohttp.streams import EofStream, StreamReader
from yarl import URL

from service.model import Request

INTERIM = range(100, 200)  # answers before the answer: RFC 9110, section 15.2

_FORBIDDEN = re.compile(r"[\r\n\0]")
_used: WeakSet[ResponseHandler] = WeakSet()


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


def is_reused(connection: Connection) -> bool:
    """Whether this connection has carried an exchange before."""
    return connection.protocol in _used


async def send(
    connection: Connection, data: bytes, reading: Mapping[str, Any]
) -> tuple[RawResponseMessage, StreamReader]:
    """Write a request and read the head of its answer, whose body follows in the stream.

    Raises:
        aiohttp.ClientConnectionError: the connection broke.
        aiohttp.http_exceptions.HttpProcessingError: what came is no HTTP.
    """
    protocol, transport = connection.protocol, connection.transport
    if protocol is None or transport is None or transport.is_closing():
        raise aiohttp.ClientConnectionResetError("the connection was closed while it was idle")
    _used.add(protocol)
    protocol.set_response_params(**reading)
    transport.write(data)
    try:
        while True:
            message, content = await protocol.read()
            if message.code not in INTERIM:
                return message, content
    except EofStream:
        raise aiohttp.ServerDisconnectedError from None


def give_back(connection: Connection, content: StreamReader) -> None:
    """Keep a connection whose answer has ended for the next exchange, and close one that has more to say."""
    if content.at_eof():
        connection.release()
    else:
        connection.close()
