"""``webhook-watch listen``: a receiver on a laptop, which verifies, shows and perhaps forwards what comes."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any

import click
from aiohttp import hdrs, web

from service import config
from service.cli import arrivals, client, given, logs, terminal
from service.cli.arrivals import Arrival
from service.cli.terminal import Failure
from service.receiver import forward, manners, rfc9421, server, verify
from service.receiver.callback import Callback
from service.receiver.forward import Forwarder
from service.receiver.manners import Manners
from service.receiver.verify import Key

BAD_GATEWAY = 502
ORIGIN, RATE = "WebHook-Request-Origin", "WebHook-Request-Rate"  # CloudEvents, HTTP webhooks 1.0, section 4
LONGEST_DELAY = 3600.0  # seconds

Show = Callable[[Arrival], None]


class Verifier(click.ParamType[Key]):
    """A key that signatures are verified with; @FILE reads it from a file."""

    name = "whsec_... or whpk_..."

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Key:
        """The key; UsageError, which does not repeat it."""
        if isinstance(value, Key):
            return value
        text = given.TEXT.convert(value, param, ctx)
        try:
            return verify.key(text.strip())
        except ValueError as error:
            self.fail(f"it is no key: {error}", param, ctx)


@click.command(short_help="Receive callbacks on this machine, verify and show them.")
@click.option("--host", metavar="ADDRESS", default="127.0.0.1", show_default=True, help="The address to listen on.")
@click.option(
    "--port", type=click.IntRange(0, 65535), default=9000, show_default=True, help="The port; 0 takes any free one."
)
@click.option(
    "--secret",
    "keys",
    type=Verifier(),
    multiple=True,
    envvar=config.LISTEN_VARIABLE,
    metavar="KEY",
    help=f"whsec_... or whpk_..., or @FILE, which may be PEM; several while keys change.  [env: {config.LISTEN_VARIABLE}]",
)
@click.option(
    "--status",
    type=click.IntRange(200, 599),
    metavar="N",
    help=f"Answer this instead of {manners.TAKEN}; with --fail-first, only those that fail.",
)
@click.option(
    "--delay", type=click.FloatRange(0, LONGEST_DELAY), default=0, metavar="S", help="Seconds before answers."
)
@click.option(
    "--fail-first",
    type=click.IntRange(min=0),
    default=0,
    metavar="N",
    help=f"Answer the first N attempts of each delivery {manners.FAILING}, or --status.",
)
@click.option(
    "--forward",
    "target",
    metavar="URL",
    help="Pass each callback on, and answer what comes back; a URL without a path keeps the callback's.",
)
@click.option("--json", "machine", is_flag=True, help="Machine-readable: JSON, one object per line.")
def listen(
    host: str,
    port: int,
    keys: Sequence[Key],
    status: int | None,
    delay: float,
    fail_first: int,
    target: str | None,
    machine: bool,  # noqa: FBT001  click passes options by name
) -> None:
    """Receive callbacks on this machine: verify each signature, and show its headers, its body and its diff.

    What is not to be believed is answered 401, all else 204. Without --secret nothing is verified. It also agrees to
    the CloudEvents handshake (OPTIONS). A service on this machine calls it once WATCH_EGRESS_ALLOW=127.0.0.0/8 is set
    there. Example: webhook-watch listen --secret whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw --fail-first 1
    """
    if target is not None:
        if status is not None and not fail_first:
            raise click.UsageError("--forward answers what comes back: give --status with --fail-first only.")
        if not client.is_url(target):
            raise click.UsageError(f"--forward must be like http://127.0.0.1:3000, not {target!r}.")
    logs.to_stderr("error")
    logging.getLogger("aiohttp.server").setLevel(logging.CRITICAL)  # what fails is answered, and said below
    show: Show = arrivals.Json() if machine else arrivals.Printer(terminal.console())
    terminal.run(_listen(host, port, Receiver(tuple(keys), Manners(status, fail_first), delay, show), target))


async def _listen(host: str, port: int, receiver: Receiver, target: str | None) -> None:
    async with AsyncExitStack() as stack:
        if target is not None:
            receiver.forwarder = await stack.enter_async_context(forward.opened(target))
        try:
            opened = server.opened(receiver.take, host, port, refused=_refused)
            url = await stack.enter_async_context(opened)
        except OSError as error:
            raise Failure(f"cannot listen on {host}:{port}: {terminal.reason(error)}") from error
        _note(f"listening on {url}" + (f", forwarding to {target}" if target else "") + "; Ctrl-C ends it")
        if not receiver.keys:
            terminal.complain("nothing is verified: give --secret, else whoever finds this address is shown", "warning")
        await receiver.unread.wait()
        raise BrokenPipeError


@dataclass(slots=True)
class Receiver:
    """Judges what comes, shows it and answers it."""

    keys: tuple[Key, ...]
    manners: Manners
    delay: float  # seconds
    show: Show
    forwarder: Forwarder | None = None
    unread: asyncio.Event = field(default_factory=asyncio.Event)  # nobody reads what is shown, as in "listen | head"

    async def take(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request."""
        try:
            body = await server.body(request)
        except server.Unread as error:
            _refused(error.detail)
            return web.Response(status=error.status, text=error.detail + "\n")
        if request.method == hdrs.METH_OPTIONS:  # a question, which nobody signs
            return await self._consent(request, body)
        fault = self._distrust(request, body) if self.keys else None
        attempt = self.manners.count(request.headers.get("webhook-id", ""))
        status = self.manners.answer(attempt, fault)
        note = ""
        if status is None and self.forwarder is not None:
            answer, note = await self._forward(self.forwarder, request, body)
        else:
            answer = web.Response(status=status or manners.TAKEN)
        callback = Callback(request.method, request.raw_path, request.headers, body, fault, answer.status)
        self._show(Arrival(callback, bool(self.keys), attempt, time.time(), note))
        await asyncio.sleep(self.delay)
        return answer

    def _distrust(self, request: web.BaseRequest, body: bytes) -> str | None:
        headers, now = request.headers, time.time()
        if "signature-input" in headers and "webhook-signature" not in headers:
            return rfc9421.distrust(self.keys, request.method, request.raw_path, headers, body, now)
        return verify.distrust(self.keys, headers, body, now)

    def _show(self, arrival: Arrival) -> None:
        try:
            self.show(arrival)
        except BrokenPipeError:
            self.unread.set()

    async def _consent(self, request: web.BaseRequest, body: bytes) -> web.Response:
        """Consent to callbacks, where it is asked for; whoever they are forwarded to answers for itself."""
        if self.forwarder is not None:
            answer, note = await self._forward(self.forwarder, request, body)
            _note(f"OPTIONS {terminal.printable(request.raw_path)}: {note}, answered {answer.status}")
            return answer
        headers = {"Allow": "POST, PUT, PATCH, GET, DELETE, OPTIONS"}
        origin = request.headers.get(ORIGIN)
        if origin is not None:
            headers["WebHook-Allowed-Origin"] = origin
            headers["WebHook-Allowed-Rate"] = request.headers.get(RATE, "*")
            _note(
                f"handshake: {terminal.printable(origin)} may send callbacks to {terminal.printable(request.raw_path)}"
            )
        return web.Response(status=200, headers=headers)

    async def _forward(self, forwarder: Forwarder, request: web.BaseRequest, body: bytes) -> tuple[web.Response, str]:
        try:
            answer = await forwarder.pass_on(request.method, request.raw_path, request.headers.items(), body)
        except forward.Unforwarded as error:
            return web.Response(status=BAD_GATEWAY, text=f"{error}\n"), f"not forwarded: {error}"
        return answer, "forwarded"


def _refused(why: str) -> None:
    terminal.complain(f"a request was refused: {why}", "warning")


def _note(text: str) -> None:
    terminal.console(stderr=True).print(text, style="dim", soft_wrap=True)
