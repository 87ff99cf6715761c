"""Calling a running service over HTTP, as its operators do."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import urlsplit

import aiohttp
import click

from service import __version__, config
from service.cli import terminal
from service.cli.terminal import Failure

Command = TypeVar("Command", bound=Callable[..., Any])

URL_VARIABLE, KEY_VARIABLE = config.CLIENT_VARIABLES
ADMIN_VARIABLE = "WATCH_ADMIN_KEY"  # a setting of the service, and at hand where it is set up
PASSING = frozenset({429, 500, 502, 503, 504})  # a service that restarts, or a proxy in front of it
PATIENCE = aiohttp.ClientTimeout(total=30)


class Unreachable(Failure):
    """There is no answer now, or none that counts: another try may have one."""


def options(command: Command) -> Command:
    """The options ``--url`` and ``--key``."""
    command = click.option(
        "--key",
        envvar=[KEY_VARIABLE, ADMIN_VARIABLE],
        callback=_key,
        help=f"An API key.  [env: {KEY_VARIABLE}, else {ADMIN_VARIABLE}]",
    )(command)
    return click.option(
        "--url",
        envvar=URL_VARIABLE,
        default="http://127.0.0.1:8080",
        callback=_url,
        show_default=True,
        help=f"Where the service is.  [env: {URL_VARIABLE}]",
    )(command)


def _key(_context: click.Context, _option: click.Parameter, value: str | None) -> str:
    key = (value or "").strip()
    if not key:
        raise click.UsageError(f"No API key: set {KEY_VARIABLE}, or give --key.")
    if not key.isprintable():
        raise click.UsageError("An API key is one line of text.")
    return key


def _url(_context: click.Context, _option: click.Parameter, value: str) -> str:
    if not is_url(value):
        raise click.UsageError(f"--url must be like http://127.0.0.1:8080, not {value!r}.")
    return value.rstrip("/")


def is_url(text: str) -> bool:
    """Whether this is an http(s) URL with a host."""
    try:
        url = urlsplit(text)
        return url.scheme in ("http", "https") and bool(url.hostname) and url.port != 0
    except ValueError:
        return False


@dataclass(frozen=True, slots=True)
class Client:
    """A service, and a key that opens it."""

    url: str
    session: aiohttp.ClientSession

    async def call(self, method: str, path: str, body: object = None, **query: str) -> Any:
        """The JSON that is answered, None if there is none. Raises Failure."""
        options: dict[str, Any] = {"params": query} if body is None else {"params": query, "json": body}
        async with self.open(method, path, **options) as answer:
            return await answer.json(content_type=None) if answer.status != 204 else None

    async def items(self, path: str) -> AsyncIterator[Mapping[str, Any]]:
        """Every item of a list, page after page."""
        query = {"limit": "500"}
        while True:
            page = await self.call("GET", path, None, **query)
            for item in page["items"]:
                yield item
            if page["nextCursor"] is None:
                return
            query["cursor"] = page["nextCursor"]

    @asynccontextmanager
    async def open(self, method: str, path: str, **options: Any) -> AsyncIterator[aiohttp.ClientResponse]:
        """The answer to a request, while it is read. Raises Failure, or Unreachable where another try may help."""
        try:
            async with self.session.request(method, self.url + path, **options) as answer:
                if not answer.ok:
                    raise await _refusal(answer, f"{method} {path}")
                yield answer
        except aiohttp.InvalidURL as error:
            raise Failure(f"--url {self.url}: is no URL") from error
        except aiohttp.ClientConnectorCertificateError as error:
            raise Failure(f"the certificate of {self.url} is not trusted: {error.certificate_error}") from error
        except aiohttp.ClientConnectorSSLError as error:
            raise Failure(f"cannot connect to {self.url}: no TLS is spoken there; is it http://?") from error
        except aiohttp.ClientConnectorError as error:
            reason = terminal.reason(error.os_error)
            raise Unreachable(f"cannot connect to {self.url}: {reason}; is the service running there?") from error
        except TimeoutError as error:
            raise Unreachable(f"nothing was heard from {self.url} for too long") from error
        except (aiohttp.ClientError, ValueError) as error:  # a ValueError: what should be JSON is none
            raise Unreachable(f"{self.url} broke off its answer: {error}") from error


def ask(url: str, key: str, method: str, path: str, body: object = None) -> Any:
    """One call. Raises Failure."""

    async def call() -> Any:
        async with connected(url, key) as service:
            return await service.call(method, path, body)

    return terminal.run(call())


def every(url: str, key: str, path: str) -> list[Mapping[str, Any]]:
    """Every item of a list. Raises Failure."""

    async def call() -> list[Mapping[str, Any]]:
        async with connected(url, key) as service:
            return [item async for item in service.items(path)]

    return terminal.run(call())


@asynccontextmanager
async def connected(url: str, key: str) -> AsyncIterator[Client]:
    """A client with this key."""
    headers = {"Authorization": f"Bearer {key}", "User-Agent": f"webhook-watch/{__version__}"}
    async with aiohttp.ClientSession(headers=headers, timeout=PATIENCE) as session:
        yield Client(url, session)


async def _refusal(answer: aiohttp.ClientResponse, what: str) -> Failure:
    """What the service said against it, with each fault in a line."""
    kind = Unreachable if answer.status in PASSING else Failure
    try:
        problem = await answer.json(content_type=None)
        detail = str(problem["detail"])
        faults = [(str(fault["pointer"]), str(fault["detail"])) for fault in problem["errors"]]
    except (ValueError, TypeError, KeyError):
        detail, faults = answer.reason or "", []
    if len(faults) == 1:  # one line says it all
        (pointer, fault), faults = faults[0], []
        detail = f"{pointer}: {fault}" if pointer else fault
    told = [f"  {pointer or 'the body'}: {fault}" for pointer, fault in faults]
    return kind("\n".join([f"{what} was answered {answer.status}: {detail}", *told]))
