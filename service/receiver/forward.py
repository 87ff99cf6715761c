"""Passing a callback on, and answering with what came back."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit, urlunsplit

import aiohttp
from aiohttp import hdrs, web
from multidict import CIMultiDict
from yarl import URL

from service.receiver import server

PATIENCE = 30.0  # seconds for the whole exchange; the service that called waits no longer than half of it by default
OWN = frozenset(  # of one connection, not of the message (RFC 9110, section 7.6.1), and what this server writes itself
    name.lower()
    for name in (
        hdrs.CONNECTION,
        hdrs.CONTENT_LENGTH,
        hdrs.DATE,
        hdrs.HOST,
        hdrs.KEEP_ALIVE,
        hdrs.PROXY_AUTHENTICATE,
        hdrs.PROXY_AUTHORIZATION,
        hdrs.SERVER,
        hdrs.TE,
        hdrs.TRAILER,
        hdrs.TRANSFER_ENCODING,
        hdrs.UPGRADE,
    )
)


class Unforwarded(Exception):
    """The other server gave no answer; the text says why."""


@dataclass(frozen=True, slots=True)
class Forwarder:
    """Another receiver, to which callbacks are passed on as they came."""

    target: str
    session: aiohttp.ClientSession
    name: str  # by which it recognises, in ``Via``, what it has passed on itself

    async def pass_on(self, method: str, target: str, headers: Iterable[tuple[str, str]], body: bytes) -> web.Response:
        """Its answer, to be given as ours. Raises Unforwarded."""
        url = URL(place(self.target, target), encoded=True)
        sent = CIMultiDict(_of_message(headers))
        if any(self.name in value for value in sent.getall(hdrs.VIA, ())):
            raise Unforwarded("it has come round: what it is forwarded to is this receiver again")
        sent.add(hdrs.VIA, f"1.1 {self.name}")  # RFC 9110, section 7.6.3
        try:
            async with self.session.request(
                method, url, data=body or None, headers=sent, allow_redirects=False
            ) as answer:
                data = bytearray()
                async for chunk in answer.content.iter_any():
                    data += chunk
                    if len(data) > server.MOST:
                        raise Unforwarded(f"its answer has more than {server.MOST:,} bytes")
        except TimeoutError as error:
            raise Unforwarded(f"no answer within {PATIENCE:.0f} s") from error
        except (aiohttp.ClientError, ValueError, OSError) as error:
            raise Unforwarded(_reason(error)) from error
        return web.Response(status=answer.status, headers=CIMultiDict(_of_message(answer.headers.items())), body=data)


@asynccontextmanager
async def opened(target: str) -> AsyncIterator[Forwarder]:
    """A forwarder to this URL. Redirects are answers like any other, and bytes are passed on as they are."""
    async with aiohttp.ClientSession(
        timeout=aiohttp.ClientTimeout(total=PATIENCE),
        auto_decompress=False,
        skip_auto_headers=(hdrs.ACCEPT, hdrs.ACCEPT_ENCODING, hdrs.CONTENT_TYPE, hdrs.USER_AGENT),
        cookie_jar=aiohttp.DummyCookieJar(),
    ) as session:
        yield Forwarder(target, session, f"webhook-watch-{secrets.token_hex(8)}")


def place(base: str, target: str) -> str:
    """Where a callback goes that came for ``target``: a base without a path keeps the callback's, as nginx does."""
    own, came = urlsplit(base), urlsplit(target)
    path = own.path if own.path not in ("", "/") else came.path
    return urlunsplit((own.scheme, own.netloc, path, "&".join(filter(None, (own.query, came.query))), ""))


def _of_message(headers: Iterable[tuple[str, str]]) -> Iterable[tuple[str, str]]:
    return [(name, value) for name, value in headers if name.lower() not in OWN and _can_be_sent(value)]


def _can_be_sent(value: str) -> bool:
    """A value that is no UTF-8 was read, but cannot be written."""
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def _reason(error: Exception) -> str:
    if isinstance(error, aiohttp.ClientConnectorError) and error.os_error.strerror:
        return error.os_error.strerror
    return str(error) or type(error).__name__
