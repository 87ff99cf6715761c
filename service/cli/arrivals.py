"""How callbacks that came are shown: on a screen, or as JSON for other programs."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import click
from rich.console import Console, Group, RenderableType
from rich.text import Text

from service import clock, errors, jsontext
from service.cli import terminal
from service.receiver import look
from service.receiver.callback import Callback
from service.receiver.look import Aligned, Layout

SHOWN = 64 * 1024  # bytes of a body that are laid out; of a longer one the beginning is shown
BEGINNING = 2048
FIRST = ("webhook-", "ce-")  # what headers begin with that are ours, which are shown before the others
DEEPEST = 2 * jsontext.MAX_DEPTH  # a body holds documents, inside of a template


@dataclass(frozen=True, slots=True)
class Arrival:
    """A callback, and what is to be said of it."""

    callback: Callback
    verified: bool  # whether there was a key to verify it with
    attempt: int  # how often this delivery has come by now
    at: float  # seconds
    note: str  # what else happened to it

    @property
    def verdict(self) -> str:
        """In words."""
        if not self.verified:
            return "not verified (no --secret)"
        return self.callback.fault or "signature verified"


class Printer:
    """Prints a line, the headers, the body and the diff."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def __call__(self, arrival: Arrival) -> None:
        """Print one."""
        callback = arrival.callback
        names = sorted(callback.headers, key=lambda name: not name.lower().startswith(FIRST))
        rows = [(Text(f"  {name.lower()}", "dim"), Text(terminal.printable(callback.headers[name]))) for name in names]
        parts = (_line(arrival), *([Aligned(rows)] if rows else []), *_body(callback.body), Text())
        self._console.print(Group(*parts), soft_wrap=True)


class Json:
    """Prints an object in a line; the body is text, as in the delivery log."""

    def __call__(self, arrival: Arrival) -> None:
        """Print one."""
        callback = arrival.callback
        row: dict[str, Any] = {
            "received": clock.rfc3339(int(arrival.at * 1000)),
            "method": callback.method,
            "target": callback.target,
            "headers": {name.lower(): value for name, value in callback.headers.items()},
            "body": callback.body.decode("utf-8", "backslashreplace"),
            "verified": callback.fault is None if arrival.verified else None,
            "fault": callback.fault,
            "attempt": arrival.attempt,
            "answered": callback.answered,
        }
        click.echo(json.dumps(row, separators=(",", ":")))


def _line(arrival: Arrival) -> Text:
    callback = arrival.callback
    event, version = callback.headers.get("ce-type", ""), callback.headers.get("ce-sequence", "")
    believed = arrival.verified and callback.fault is None
    moment = datetime.fromtimestamp(arrival.at, UTC)
    return Text.assemble(
        (f"{moment:%m-%d %H:%M:%S}.{moment.microsecond // 1000:03d}", "dim"),
        (f"  {callback.method}", "bold magenta"),
        f" {terminal.printable(callback.target)}",
        (f"  {terminal.printable(event)}" if event else "", "bold cyan"),
        (f" version {terminal.printable(version)}" if version else "", "cyan"),
        (f"  attempt {arrival.attempt}" if arrival.attempt > 1 else "", "yellow"),
        ("  ✓ " if believed else "  ✗ ", "green" if believed else "bold red"),
        (arrival.verdict, "green" if believed else "bold red"),
        (f"  {arrival.note}" if arrival.note else "", "dim"),
        (f"  answered {callback.answered}", "green" if callback.answered < 300 else "yellow"),
    )


def _body(body: bytes) -> list[RenderableType]:
    """The body: with the version before and the diff, as a document, or as whatever it is."""
    if not body:
        return [Text("  no body", "dim")]
    if len(body) > SHOWN:
        beginning = terminal.printable(body[:BEGINNING].decode("utf-8", "backslashreplace"))
        return [Text(beginning), Text(f"… {len(body) - BEGINNING:,} more bytes; --json shows all of them", "dim")]
    try:
        value = jsontext.loads(body, max_depth=DEEPEST)
    except errors.BadRequest as error:
        raw = terminal.printable(body.decode("utf-8", "backslashreplace"))
        return [Text(raw), Text(f"  no JSON: {terminal.printable(error.detail)}", "yellow")]
    if not isinstance(value, dict):
        return [Text(look.text(value))]
    operations = value.get("changes")
    if "previousData" not in value or not _is_diff(operations):
        return [Layout(value)]
    resource = {name: member for name, member in value.items() if name not in ("previousData", "changes")}
    return [look.versions(resource, value["previousData"]), look.changes(operations)]  # type: ignore[arg-type]


def _is_diff(operations: Any) -> bool:
    """Whether this is the diff, and not a member that is called so."""
    return isinstance(operations, list) and all(
        isinstance(step, dict) and isinstance(step.get("op"), str) and isinstance(step.get("path"), str)
        for step in operations
    )
