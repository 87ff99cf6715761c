"""How the story looks: scenes, requests, callbacks, diffs, and what had to come of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from rich.box import ROUNDED, SIMPLE_HEAD
from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.panel import Panel
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from service.demo.caller import Answer, Call
from service.model import Document, Json
from service.receiver import look
from service.receiver.callback import Callback
from service.receiver.look import Aligned, Layout

HEADERS = ("webhook-id", "webhook-timestamp", "webhook-signature", "authorization", "ce-type", "ce-sequence")
STATUS = {"succeeded": "green", "failed": "bold red", "canceled": "magenta", "pending": "yellow"}
SWEEP = {"completed": "green", "failed": "bold red"}
COUNTS = {"seen": "seen", "new": "created", "changed": "updated", "gone": "deleted", "held": "heldDeletions"}
BAR = 30  # characters of a whole bar
LAST = 8  # characters of an id by which it is known among others


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
        self._console.print(Aligned((Text(f"  {name}", "dim"), Text(value)) for name, value in rows.items()))

    def call(self, call: Call, answer: Answer, whom: str = "") -> None:
        """A request that was made of a service, and its answer."""
        line = Text.assemble("→ ", (f"{whom} " if whom else "", "dim"), (call.method, "bold magenta"), f" {call.path}")
        self._console.print(line, soft_wrap=True)
        if call.body is not None:
            self._console.print(Padding(Layout(call.body), (0, 0, 0, 4)))
        self._console.print(Text.assemble("← ", (answer.phrase, "green")))

    def part(self, name: str, value: Document) -> None:
        """What counts of an answer."""
        self._console.print(Padding(Group(Text(name, "bold"), Layout(value)), (0, 0, 0, 4)))

    def callback(self, who: str, callback: Callback, *parts: RenderableType) -> None:
        """A callback, whole: what it was, whether it is to be believed, and the parts of its body."""
        shown = [(Text(name, "dim"), Text(callback.headers[name])) for name in HEADERS if name in callback.headers]
        self._console.print(
            Panel(
                Group(Aligned(shown), Text(), *parts),
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
        self._console.print(
            Text.assemble("  ", ("callback ", "dim"), (f"{who:<9}", "bold"), f"{what}  ", _verdict(callback))
        )
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
        table = _table(("sent", "event", "resource", "watch", "status"), ("code", "ms", "attempts"))
        for row in rows:
            table.add_row(
                f"{datetime.fromisoformat(row['sent']):%H:%M:%S}",
                row["objectEvent"],
                last(row["objectId"]),
                row["watch"]["name"],
                Text(row["status"], STATUS[row["status"]]),
                str(row["response"]["statusCode"] or ""),
                str(row["duration"]),
                str(len(row["attempts"])),
            )
        self._console.print(table)

    def sweeps(self, rows: Iterable[tuple[str, Mapping[str, Any]]]) -> None:
        """What the sweeps of a source came to, each under a name."""
        table = _table(("started", "sweep", "reads", "state"), tuple(COUNTS))
        for name, sweep in rows:
            table.add_row(
                f"{datetime.fromisoformat(sweep['started']):%H:%M:%S}",
                name,
                "everything" if sweep["full"] else "what was updated",
                Text(sweep["state"], SWEEP.get(sweep["state"], "yellow")),
                *(str(sweep[counter]) for counter in COUNTS.values()),
            )
        self._console.print(table)

    def attempts(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """What each delivery was answered, attempt by attempt."""
        table = _table(("resource", "status", "reason", "answers"), ("attempts",))
        for row in rows:
            table.add_row(
                last(row["objectId"]),
                Text(row["status"], STATUS[row["status"]]),
                row["reason"],
                " ".join(str(attempt["response"]["statusCode"]) for attempt in row["attempts"]),
                str(len(row["attempts"])),
            )
        self._console.print(table)

    def progress(self, job: Mapping[str, Any]) -> None:
        """How far a job is."""
        done, total = job["done"], job["total"]
        full = BAR * done // total if total else 0
        self._console.print(
            Text.assemble(
                "  ", ("█" * full, "cyan"), ("░" * (BAR - full), "dim"), f"  {done} of {total}  {job['state']}"
            )
        )

    def _believed(self, who: str, callback: Callback) -> None:
        if callback.fault is not None:
            self.failed(f"the callback to {who} was not to be believed: {callback.fault}")


def versions(now: Document, before: Json) -> RenderableType:
    """A document and its version before; a version that a scene has shown already is not said again."""
    if now != before:
        return look.versions(now, before)
    last = Text.assemble(("{…} ", "bold"), (f"the last version, whole: its {len(now)} members as above", "dim"))
    return Group(last, Text.assemble(("previousData ", "bold"), ("the same", "dim")))


def last(id_: str) -> str:
    """By what an id is known among others."""
    return id_ if len(id_) <= LAST else f"…{id_[-LAST:]}"


def _table(texts: tuple[str, ...], numbers: tuple[str, ...]) -> Table:
    table = Table(box=SIMPLE_HEAD, pad_edge=False, header_style="bold")
    for name in texts:
        table.add_column(name, no_wrap=True, style="dim" if name == texts[0] else "")
    for name in numbers:
        table.add_column(name, justify="right", no_wrap=True)
    return table


def _verdict(callback: Callback) -> Text:
    if callback.fault is not None:
        return Text(f"✗ {callback.fault}", "bold red")
    return Text("✓ signature verified", "bold green")
