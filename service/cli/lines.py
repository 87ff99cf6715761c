"""One line for each event of the delivery log, to be read at three in the morning.

Columns are aligned, ids are whole so that they can be copied, and colour is only a help: whatever it says is
there as a word, too.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from rich.console import Console
from rich.text import Text

from service.cli import terminal

STATUS = {"succeeded": "green", "failed": "bold red", "canceled": "magenta", "pending": "yellow"}
EVENT = {"created": "green", "updated": "cyan", "deleted": "red"}  # of others, magenta
WIDEST = 48  # characters that a column grows to; longer values push the rest of their line to the right


@dataclass(frozen=True, slots=True)
class Entry:
    """One event of the log."""

    seq: str  # its place, at which a tail resumes
    row: dict[str, Any]  # the delivery as a list shows it, and ``kind``: created, attempt or status


class Printer:
    """Prints entries; columns of free text grow to the widest value so far."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._widths = {"watch": 12, "object": 40}

    def __call__(self, entry: Entry) -> None:
        """Print one."""
        self._console.print(self._line(entry.row), soft_wrap=True)

    def _line(self, row: dict[str, Any]) -> Text:
        response = row["response"] or {}
        code = response.get("statusCode")
        attempted = row["kind"] == "attempt"
        number = f"#{row['attempt']}" if attempted and "attempt" in row else ""
        line = Text()
        line.append(_time(row), "dim")
        line.append(f"  {row['status']:<9}", STATUS[row["status"]])
        line.append(f"  {row['objectEvent']:<7}", EVENT.get(row["objectEvent"], "magenta"))
        line.append(f"  {code or '':>3}", "green" if code and code < 300 else "red")
        line.append(f"  {str(row['duration']) + ' ms' if attempted else '':>8}", "dim")
        line.append(f"  {number:<3}", "dim")
        line.append("  " + self._column("watch", row["watch"]["name"] or row["watch"]["id"]))
        line.append("  " + self._column("object", f"{row['objectType']}/{row['objectId']}"))
        line.append("  " + row["id"], "dim")
        if row["reason"]:
            line.append("  " + row["reason"], "red")
            line.append(
                f": {terminal.printable(response['errorMessage'])}" if response.get("errorMessage") else "", "red"
            )
        if attempted and row["nextAttempt"]:
            line.append(f"  next attempt {_clock(row['nextAttempt'])}", "yellow")
        return line

    def _column(self, name: str, text: str) -> str:
        text = terminal.printable(text)
        width = self._widths[name] = max(self._widths[name], min(len(text), WIDEST))
        return f"{text:<{width}}"


def _time(row: dict[str, Any]) -> str:
    """When it was: an attempt when it was sent, anything else when its delivery was made."""
    moment = datetime.fromisoformat(row["sent"] if row["kind"] == "attempt" else row["created"])
    return moment.astimezone(UTC).strftime("%m-%d %H:%M:%S.") + f"{moment.microsecond // 1000:03d}"


def _clock(text: str) -> str:
    return datetime.fromisoformat(text).astimezone(UTC).strftime("%H:%M:%S")
