"""How the story looks: scenes, requests, callbacks, diffs, and what had to come of it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from rich.box import ROUNDED, SIMPLE_HEAD
from rich.console import Console, Group, RenderableType
from rich.highlighter import JSONHighlighter
from rich.padding import Padding
from rich.panel import Panel
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from service.demo.caller import Answer, Call
from service.demo.receiver import Callback
from service.model import Document, Json

HEADERS = ("webhook-id", "webhook-timestamp", "webhook-signature", "authorization", "ce-type", "ce-sequence")
STATUS = {"succeeded": "green", "failed": "bold red", "canceled": "magenta", "pending": "yellow"}
LAST = 8  # characters of an id by which it is known among others

_highlight = JSONHighlighter()


class Screen:
    """Prints, and remembers what did not come as it had to."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._scenes = 0
        self.failures: list[str] = []

    def title(self, title: str, text: str) -> None:
        """What this is."""
        self._console.print(Panel(Group(Text(title, "bold"), Text(text)), box=ROUNDED, border_style="cyan"))

    def scene(self, title: str) -> None:
        """The next part of the story."""
        self._scenes += 1
        self._console.print()
        self._console.print(Rule(Text(f"{self._scenes}  {title}", "bold cyan"), align="left", style="cyan"))

    def say(self, text: str) -> None:
        """A sentence."""
        self._console.print(Text(text))

    def facts(self, rows: Mapping[str, str]) -> None:
        """Names and values."""
        self._console.print(Padding(_grid((Text(name, "dim"), Text(value)) for name, value in rows.items()), (0, 2)))

    def call(self, call: Call, answer: Answer) -> None:
        """A request that was made, and its answer."""
        line = Text.assemble("→ ", (call.method, "bold magenta"), f" {call.path}")
        self._console.print(line, soft_wrap=True)
        if call.body is not None:
            self._console.print(Padding(_members(call.body), (0, 0, 0, 4)))
        self._console.print(Text.assemble("← ", (answer.phrase, "green")))

    def callback(self, who: str, callback: Callback, *parts: RenderableType) -> None:
        """A callback, whole: what it was, whether it is to be believed, and the parts of its body."""
        shown = [(Text(name, "dim"), _value(callback.headers[name])) for name in HEADERS if name in callback.headers]
        self._console.print(
            Panel(
                Group(_grid(shown), Text(), *parts),
                title=Text.assemble(("callback ", "dim"), (who, "bold")),
                title_align="left",
                subtitle=_verdict(callback),
                subtitle_align="right",
                border_style="green" if callback.fault is None else "red",
            )
        )
        self._believed(who, callback)

    def brief(self, who: str, callback: Callback, what: str) -> None:
        """A callback in one line."""
        self._console.print(Text.assemble("  ", ("callback ", "dim"), (who, "bold"), f"  {what}  ", _verdict(callback)))
        self._believed(who, callback)

    def expect(self, fulfilled: bool, sentence: str) -> None:  # noqa: FBT001  it reads as expect(a == b, "...")
        """What has to be true, ticked or crossed."""
        self._console.print(Text.assemble(("  ✓ ", "green") if fulfilled else ("  ✗ ", "bold red"), sentence))
        if not fulfilled:
            self.failed(sentence)

    def failed(self, sentence: str) -> None:
        """Something went wrong."""
        self.failures.append(sentence)

    def log(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """The delivery log as a table, oldest first."""
        table = Table(box=SIMPLE_HEAD, pad_edge=False, header_style="bold")
        table.add_column("sent", style="dim", no_wrap=True)
        for name in ("event", "resource", "watch", "status"):
            table.add_column(name, no_wrap=True)
        for name in ("code", "ms", "attempts"):
            table.add_column(name, justify="right", no_wrap=True)
        for row in rows:
            table.add_row(
                f"{datetime.fromisoformat(row['sent']):%H:%M:%S}",
                row["objectEvent"],
                f"…{row['objectId'][-LAST:]}",
                row["watch"]["name"],
                Text(row["status"], STATUS[row["status"]]),
                str(row["response"]["statusCode"] or ""),
                str(row["duration"]),
                str(len(row["attempts"])),
            )
        self._console.print(table)

    def _believed(self, who: str, callback: Callback) -> None:
        if callback.fault is not None:
            self.failed(f"the callback to {who} was not to be believed: {callback.fault}")


def document(body: Document) -> RenderableType:
    """A document, a line for each of its members."""
    return _members(body)


def previous(before: Json, now: Document) -> RenderableType:
    """The whole version before, but for what is the same."""
    if not isinstance(before, dict):
        return Text.assemble(("previousData ", "bold"), _compact(before))
    changed = {name: value for name, value in before.items() if now.get(name) != value}
    same = len(before) - len(changed)
    note = f"the whole version before; {same} of its members are as above" if changed else "the same version, whole"
    parts: list[RenderableType] = [Text.assemble(("previousData ", "bold"), (note, "dim"))]
    return Group(*parts, *([_members(changed, "red")] if changed else []))


def changes(operations: list[Document]) -> RenderableType:
    """A diff: what was there in red, what is there now in green."""
    if not operations:
        return Text.assemble(("changes ", "bold"), "[]")
    rows = []
    for operation in operations:
        old, new = operation.get("oldValue"), operation.get("value")
        value = Text(overflow="ellipsis", no_wrap=True)
        if "oldValue" in operation:
            value.append(_text(old), "red")
        if "oldValue" in operation and "value" in operation:
            value.append(" → ", "dim")
        if "value" in operation:
            value.append(_text(new), "green")
        rows.append((Text(f"  {operation['op']}", "dim"), Text(str(operation["path"]), "bold"), value))
    return Group(Text("changes", "bold"), _grid(rows))


def _grid(rows: Iterable[tuple[Text, ...]]) -> Table:
    """Columns that line up; the last one is cut where the screen ends."""
    grid = Table.grid(padding=(0, 2, 0, 0))
    for row in rows:
        grid.add_row(*row)
    for column in grid.columns:
        column.no_wrap, column.overflow = True, "ellipsis"
    return grid


def _members(body: Document, style: str | None = None) -> Group:
    """An object as JSON, each member in a line that is cut where the screen ends."""
    lines = [f"  {_text(name)}: {_text(value)}" for name, value in body.items()]
    lines = ["{", *(f"{line}," for line in lines[:-1]), *lines[-1:], "}"]
    texts = [Text(line, style or "", no_wrap=True, overflow="ellipsis") for line in lines]
    return Group(*(text if style else _highlighted(text) for text in texts))


def _highlighted(text: Text) -> Text:
    _highlight.highlight(text)
    return text


def _compact(value: Json) -> Text:
    return _highlighted(Text(_text(value)))


def _text(value: Json) -> str:
    return json.dumps(value, ensure_ascii=False)


def _value(text: str) -> Text:
    return Text(text, no_wrap=True, overflow="ellipsis")


def _verdict(callback: Callback) -> Text:
    if callback.fault is not None:
        return Text(f"✗ {callback.fault}", "bold red")
    verified = Text("✓ signature verified", "bold green")
    return verified if callback.answered < 300 else verified.append(f", answered {callback.answered}", "yellow")
