"""``webhook-watch tail``: the delivery log as it is written, also across restarts of the service."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing

import aiohttp
import click

from service.cli import client, complete, lines, sse, terminal
from service.cli.client import Client, Unreachable
from service.cli.lines import Entry
from service.model import DeliveryStatus, Event, Reason

PATH = "/api/v1/deliveries/stream"
FIRST_PAUSE, LONGEST_PAUSE = 0.2, 5.0  # seconds between attempts to connect, doubling
SILENCE = 60  # seconds without a sign of life after which a connection is given up; the service sends one every 15

EVENTS, STATUSES, REASONS = ([str(word) for word in words] for words in (Event, DeliveryStatus, Reason))

Note = Callable[[str], None]
watch_ids = complete.ids("/api/v1/watches", "name", "address")


@click.command(short_help="Follow the delivery log of a running service.")
@client.options
@click.option("--json", "machine", is_flag=True, help="JSON, one object per line; seq is the event's place.")
@click.option("--watch", "watchId", metavar="ID", shell_complete=watch_ids, help="Only deliveries of this watch.")
@click.option("--type", "objectType", metavar="TYPE", shell_complete=complete.types, help="Only this resource type.")
@click.option("--object", "objectId", metavar="ID", help="Only this resource.")
@click.option("--event", "objectEvent", type=click.Choice(EVENTS), help="Only this kind of change.")
@click.option("--status", type=click.Choice(STATUSES), help="Only events that left this status.")
@click.option("--status-code", "statusCode", type=click.IntRange(100, 999), metavar="N", help="Only this HTTP status.")
@click.option("--reason", type=click.Choice(REASONS), metavar="REASON", help=f"Only failures: {', '.join(REASONS)}.")
@click.option("--since-id", type=click.IntRange(min=0), metavar="N", help="Begin after event N; 0 is all there is.")
def tail(url: str, key: str, machine: bool, since_id: int | None, **filters: object) -> None:  # noqa: FBT001
    """Follow the delivery log of a running service: a line for each new delivery, attempt and change of status.

    When the service restarts, or the connection breaks, it goes on where it was, without a gap and without repeats.
    Times are in UTC. Takes an admin's or an operator's key. Example: webhook-watch tail --status failed
    """
    chosen = {name: str(value) for name, value in filters.items() if value is not None}
    after = None if since_id is None else str(since_id)
    errors = terminal.console(stderr=True)

    def note(text: str) -> None:
        errors.print(text, style="dim", soft_wrap=True)

    show = _print_json if machine else lines.Printer(terminal.console())
    terminal.run(_tail(url, key, chosen, after, show, note))


async def _tail(
    url: str,
    key: str,
    filters: Mapping[str, str],
    after: str | None,
    show: Callable[[Entry], None],
    note: Note,
) -> None:
    async with client.connected(url, key) as service, aclosing(follow(service, filters, after, note)) as entries:
        async for entry in entries:
            show(entry)


async def follow(
    service: Client, filters: Mapping[str, str], after: str | None, note: Note
) -> AsyncGenerator[Entry, None]:
    """The events after ``after`` (None: only new ones), for ever; ``note`` is told of breaks.

    The place moves on once an event is used, so that after a break none is missing and none comes twice.

    Raises:
        Failure: the service refuses, or was never reached in the first place.
    """
    place, pause, heard, broken = after, FIRST_PAUSE, False, False
    while True:
        headers = {} if place is None else {"Last-Event-ID": place}
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=SILENCE, sock_read=SILENCE)
        try:
            async with service.open("GET", PATH, params=filters, headers=headers, timeout=timeout) as answer:
                if broken:
                    note("connected again")
                heard, broken = True, False
                async for event in sse.events(answer.content):
                    pause = FIRST_PAUSE
                    if event.data and event.id is not None:
                        yield Entry(event.id, json.loads(event.data))
                    place = event.id or place
        except Unreachable:
            if not heard:
                raise
        if not broken:
            note("connection lost, reconnecting" + ("" if place is None else f" after event {place}"))
        broken = True
        await asyncio.sleep(pause)
        pause = min(2 * pause, LONGEST_PAUSE)


def _print_json(entry: Entry) -> None:
    click.echo(json.dumps({"seq": int(entry.seq), **entry.row}, ensure_ascii=False, separators=(",", ":")))
