"""``webhook-watch sources``: what is polled, how far each sweep is, and what operators do about it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import click
from rich.text import Text

from service.cli import client, complete, options, terminal

PATH = "/api/v1/sources"
COLUMNS = ("id", "type", "url", "state", "seen", "changes", "next sweep")
STYLES = {"failed": "red", "held": "yellow", "waiting": "yellow", "running": "cyan", "completed": "green"}

source_id = click.argument("source_id", type=options.ID, metavar="ID", shell_complete=complete.ids(PATH, "url"))


@click.group(cls=options.Listing, short_help="List, sweep, pause and confirm sources.")
def sources() -> None:
    """List the sources of a running service, and say what to do with them.

    Example: webhook-watch sources
    """


@sources.command("list", short_help="List the sources, their sweeps and their last errors.")
@client.options
@options.as_json
def list_(url: str, key: str, machine: bool) -> None:  # noqa: FBT001  click passes options by name
    """List the sources of your tenant: how far each sweep is, what it found, and why it failed or waits.

    Example: webhook-watch sources --json
    """
    found = client.every(url, key, PATH)
    if machine:
        for source in found:
            click.echo(json.dumps(source, ensure_ascii=False))
        return
    terminal.table(map(_row, found), COLUMNS)
    console = terminal.console()
    for source in found:
        for name in ("lastError", "lastFault"):
            if source["sweep"][name]:
                said = f"{source['id']}: {source['sweep'][name]}"
                console.print(terminal.printable(said), style="dim", soft_wrap=True)


@sources.command(short_help="Sweep a source no more.")
@client.options
@source_id
def pause(url: str, key: str, source_id: str) -> None:
    """Sweep a source no more; a sweep that is under way keeps its place.

    Example: webhook-watch sources pause src_01JD3ZT4RV8Y6Q2N5K7M9X0B1C
    """
    _ask(url, key, source_id, "pause")
    click.echo(f"paused {source_id}")


@sources.command(short_help="Sweep a paused source again.")
@client.options
@source_id
def resume(url: str, key: str, source_id: str) -> None:
    """Sweep a paused source again, from now on.

    Example: webhook-watch sources resume src_01JD3ZT4RV8Y6Q2N5K7M9X0B1C
    """
    _ask(url, key, source_id, "resume")
    click.echo(f"resumed {source_id}")


@sources.command(short_help="Read everything now.")
@client.options
@source_id
def sweep(url: str, key: str, source_id: str) -> None:
    """Begin a full sweep now, or right after the one that is under way.

    Example: webhook-watch sources sweep src_01JD3ZT4RV8Y6Q2N5K7M9X0B1C
    """
    _ask(url, key, source_id, "sweep")
    click.echo(f"{source_id} is swept; webhook-watch sources shows how far it is")


@sources.command(short_help="Do the deletions that are held.")
@client.options
@source_id
def confirm(url: str, key: str, source_id: str) -> None:
    """Do the deletions that a sweep has held, because they were too many.

    Example: webhook-watch sources confirm src_01JD3ZT4RV8Y6Q2N5K7M9X0B1C
    """
    source = _ask(url, key, source_id, "confirm")
    click.echo(f"confirmed {source['sweep']['heldDeletions']} deletions of {source_id}")


def _row(source: Mapping[str, Any]) -> tuple[str | Text, ...]:
    sweep = source["sweep"]
    state = sweep["state"] if source["status"] == "active" else source["statusReason"] or source["status"]
    changes = [f"+{sweep['created']}", f"~{sweep['updated']}", f"-{sweep['deleted']}"]
    held = f" ({sweep['heldDeletions']} held)" if sweep["heldDeletions"] else ""
    return (
        source["id"],
        source["type"],
        source["url"],
        Text(state, STYLES.get(state, "")),
        str(sweep["seen"]),
        " ".join(changes) + held,
        source["nextSweep"] or "",
    )


def _ask(url: str, key: str, source_id: str, what: str) -> Any:
    return client.ask(url, key, "POST", f"{PATH}/{source_id}/{what}")
