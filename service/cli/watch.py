"""``webhook-watch watch``: who is told of changes: register, look at, test, stop and remove."""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any

import click

from service.cli import client, complete, given, lines, options, terminal, watchtext, wishes
from service.cli.client import Client
from service.cli.lines import Entry
from service.cli.terminal import Failure

PATH, KEYS, DELIVERIES = "/api/v1/watches", "/api/v1/cryptoKeys", "/api/v1/deliveries"
FIRST_PAUSE, LONGEST_PAUSE = 0.05, 1.0  # seconds between two looks at a delivery, doubling

watch_id = click.argument(
    "watch_id", type=options.ID, metavar="ID", shell_complete=complete.ids(PATH, "name", "address")
)


@click.group(cls=options.Listing, short_help="List, register, test and stop watches.")
def watch() -> None:
    """List the watches of a running service, register, test, stop and remove them.

    Example: webhook-watch watch list
    """


@watch.command("list", short_help="List the watches.")
@client.options
@options.as_json
def list_(url: str, key: str, machine: bool) -> None:  # noqa: FBT001  click passes options by name
    """List the watches of your tenant, in the order of their registration.

    Example: webhook-watch watch list --json
    """
    found = client.every(url, key, PATH)
    if machine:
        for row in found:
            click.echo(json.dumps(row, ensure_ascii=False))
    elif found:
        watchtext.table(found)
    else:
        click.echo("no watches yet: webhook-watch watch create --help", err=True)


@watch.command(short_help="Show one watch.")
@client.options
@watch_id
@options.as_json
def show(url: str, key: str, watch_id: str, machine: bool) -> None:  # noqa: FBT001
    """Show one watch: whom it tells of what, in which shape, and how it is. Secrets are never shown.

    Example: webhook-watch watch show wch_01JD3ZT4RV8Y6Q2N5K7M9X0B1C
    """
    _print(client.ask(url, key, "GET", f"{PATH}/{watch_id}"), machine=machine)


@watch.command(short_help="Register a watch.")
@client.options
@click.option("--file", "-f", metavar="FILE", help="The watch as JSON; - is stdin. Options go before what it says.")
@wishes.options
@click.option(
    "--secret",
    type=given.TEXT,
    metavar="KEY",
    help=f"Sign with this key of yours, whsec_... or whsk_... (Ed25519); {wishes.AT}.",
)
@options.as_json
def create(
    url: str,
    key: str,
    file: str | None,
    secret: str | None,
    machine: bool,  # noqa: FBT001  click passes options by name
    **chosen: Any,
) -> None:
    """Register a watch, by options, or by a file that has it as JSON, or both.

    The secret of a key that is made for it (--sign) is shown this once. What only a file can say: oauth2Auth. Example:
    webhook-watch watch create --type agendize.account --address https://crm.example.com/hooks --previous-data --sign
    """
    form = wishes.body(file, chosen)
    if not form:
        raise click.UsageError("Nothing to register: give --type and --address, or --file.")
    made = terminal.run(_create(url, key, form, None if secret is None else secret.strip()))
    for warning in made.get("warnings", ()):
        terminal.complain(f"{warning['pointer']}: {warning['detail']}", "warning")
    _print(made, machine=machine)
    signing = made["signature"].get("secret")
    if signing and not machine:
        told = "the signing secret, shown this once; a receiver verifies with it (webhook-watch listen --secret ...):"
        terminal.console(stderr=True).print(told, style="yellow", soft_wrap=True)
        click.echo(signing)


@watch.command(short_help="Send a watch one delivery, and say what came of it.")
@client.options
@watch_id
@click.option(
    "--wait",
    type=click.FloatRange(0, 3600),
    default=30,
    show_default=True,
    metavar="S",
    help="Seconds to wait for its first attempt; 0 sends it only.",
)
@options.as_json
def test(url: str, key: str, watch_id: str, wait: float, machine: bool) -> int:  # noqa: FBT001
    """Send a watch one delivery, whose event is `test`, of a resource that is there or of an example.

    The exit code is 0 if the receiver took it at the first attempt (or with --wait 0), else 1. Example: webhook-watch
    watch test wch_01JD3ZT4RV8Y6Q2N5K7M9X0B1C
    """
    row = terminal.run(_test(url, key, watch_id, wait))
    if machine:
        click.echo(json.dumps(row, ensure_ascii=False))
    elif row["attempts"]:
        kind = {"kind": "attempt", "attempt": len(row["attempts"])}
        lines.Printer(terminal.console())(Entry("", {**row, **kind}))
    else:
        click.echo(f"queued {row['id']}; webhook-watch tail shows what comes of it")
    if wait and not row["attempts"] and not machine:
        terminal.complain(f"no attempt was made within {wait:g} s: others may be before it", "warning")
    return 0 if row["status"] == "succeeded" or not wait else 1


@watch.command(short_help="Begin the OAuth2 flow of a watch.")
@client.options
@watch_id
def authorize(url: str, key: str, watch_id: str) -> None:
    """Print the address at which the owner of a watch with oauth2Auth consents, in a browser.

    What waited for it is sent then. Example: webhook-watch watch authorize wch_01JD3ZT4RV8Y6Q2N5K7M9X0B1C
    """
    click.echo(client.ask(url, key, "GET", f"{PATH}/{watch_id}/oauth2/authorize")["url"])


@watch.command(short_help="Tell it of changes again.")
@client.options
@watch_id
def enable(url: str, key: str, watch_id: str) -> None:
    """Tell a watch of changes again; what was pending when it was disabled is sent now.

    Example: webhook-watch watch enable wch_01JD3ZT4RV8Y6Q2N5K7M9X0B1C
    """
    client.ask(url, key, "PATCH", f"{PATH}/{watch_id}", {"status": "enabled"})
    click.echo(f"enabled {watch_id}")


@watch.command(short_help="Tell it of nothing more, for now.")
@client.options
@watch_id
def disable(url: str, key: str, watch_id: str) -> None:
    """Tell a watch of nothing more, for now: what is pending is held, and new changes are not queued.

    Example: webhook-watch watch disable wch_01JD3ZT4RV8Y6Q2N5K7M9X0B1C
    """
    client.ask(url, key, "PATCH", f"{PATH}/{watch_id}", {"status": "disabled"})
    click.echo(f"disabled {watch_id}")


@watch.command(short_help="Remove it; what it has pending is canceled.")
@client.options
@watch_id
def delete(url: str, key: str, watch_id: str) -> None:
    """Remove a watch; what it has pending is canceled. The log keeps what was sent.

    Example: webhook-watch watch delete wch_01JD3ZT4RV8Y6Q2N5K7M9X0B1C
    """
    client.ask(url, key, "DELETE", f"{PATH}/{watch_id}")
    click.echo(f"deleted {watch_id}")


def _print(shown: dict[str, Any], *, machine: bool) -> None:
    if machine:
        click.echo(json.dumps(shown, ensure_ascii=False))
    else:
        terminal.console().print(watchtext.whole(shown), soft_wrap=True)


async def _create(url: str, key: str, form: dict[str, Any], secret: str | None) -> Any:
    """The watch that was registered; a key that it is to be signed with becomes one of the service before."""
    async with client.connected(url, key) as service:
        if secret is None:
            return await service.call("POST", PATH, form)
        material = {"secret": secret} if secret.startswith("whsec_") else {"privateKey": secret, "algorithm": "ed25519"}
        made = await service.call("POST", KEYS, {"name": f"of watch {form.get('name') or ''}".rstrip(), **material})
        wishes.keys(form, [made["id"]])
        try:
            return await service.call("POST", PATH, form)
        except Failure:
            await service.call("DELETE", f"{KEYS}/{made['id']}")  # nothing is left of what was refused
            raise


async def _test(url: str, key: str, watch_id: str, wait: float) -> Any:
    """The delivery, once an attempt was made, or as it is when the patience ends."""
    async with client.connected(url, key) as service:
        row = await service.call("POST", f"{PATH}/{watch_id}/test")
        return await _attempted(service, row, time.monotonic() + wait)


async def _attempted(service: Client, row: Any, until: float) -> Any:
    pause = FIRST_PAUSE
    while not row["attempts"] and row["status"] == "pending" and time.monotonic() < until:
        await asyncio.sleep(min(pause, max(until - time.monotonic(), 0)))
        pause = min(2 * pause, LONGEST_PAUSE)
        row = await service.call("GET", f"{DELIVERIES}/{row['id']}")
    return row
