"""How a resource and its diff look on a screen: what was there in red, what is there now in green."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.highlighter import JSONHighlighter
from rich.text import Text

from service.model import Document, Json

_highlight = JSONHighlighter()


def versions(now: Document, before: Json) -> RenderableType:
    """A document and its version before: what differs is green now and was red, the rest is not said twice."""
    label = ("previousData ", "bold")
    if not isinstance(before, dict):
        return Group(Layout(now), Text.assemble(label, "null"))
    was = {name: value for name, value in before.items() if now.get(name) != value}
    became = {name for name, value in now.items() if before.get(name) != value}
    if not was and not became:
        return Group(Layout(now), Text.assemble(label, ("the same", "dim")))
    note = f"the whole version before; its {len(before) - len(was)} other members as above"
    body = Layout(now, dict.fromkeys(became, "green"))
    return Group(body, Text.assemble(label, (note, "dim")), Layout(was, dict.fromkeys(was, "red")))


def changes(operations: list[Document]) -> RenderableType:
    """A diff: what was there in red, what is there now in green."""
    if not operations:
        return Text.assemble(("changes ", "bold"), "[]")
    rows = [(Text(f"  {step['op']}", "dim"), Text(str(step["path"]), "bold"), _step(step)) for step in operations]
    return Group(Text("changes", "bold"), Aligned(rows))


def _step(operation: Document) -> Text:
    both = "oldValue" in operation and "value" in operation
    return Text.assemble(
        (text(operation["oldValue"]) if "oldValue" in operation else "", "red"),
        (" → " if both else "", "dim"),
        (text(operation["value"]) if "value" in operation else "", "green"),
    )


class Layout:
    """An object as JSON: what fits is written in one line, what does not in a line for each of its members."""

    def __init__(self, value: Document, styles: Mapping[str, str] | None = None) -> None:
        self._value = value
        self._styles = styles or {}  # of members, instead of the colours that JSON has

    def __rich_console__(self, _console: Console, options: ConsoleOptions) -> RenderResult:
        last = next(reversed(self._value), None)
        yield Text("{")
        for name, value in self._value.items():
            comma = "" if name == last else ","
            for flat in _lines(f"{text(name)}: ", value, comma, options.max_width, 2):
                line = _line(options, flat, self._styles.get(name, ""))
                if name not in self._styles:
                    _highlight.highlight(line)
                yield line
        yield Text("}")


class Aligned:
    """Columns that line up."""

    def __init__(self, rows: Iterable[tuple[Text, ...]]) -> None:
        self._rows = list(rows)

    def __rich_console__(self, _console: Console, options: ConsoleOptions) -> RenderResult:
        if not self._rows:
            return
        widths = [max(cell.cell_len for cell in column) for column in zip(*self._rows, strict=True)]
        for row in self._rows:
            line = _line(options)
            for cell, width in zip(row, widths, strict=True):
                line.append_text(cell)
                line.append(" " * (width - cell.cell_len + 2))
            line.rstrip()
            yield line


def _line(options: ConsoleOptions, flat: str = "", style: str = "") -> Text:
    """One line, cut where the screen ends, unless what is printed is to be whole (``soft_wrap``)."""
    return Text(flat, style, no_wrap=True, overflow=options.overflow or "ellipsis")


def _lines(prefix: str, value: Json, suffix: str, width: int, indent: int) -> Iterator[str]:
    flat = " " * indent + prefix + text(value) + suffix
    if not value or not isinstance(value, dict | list) or cell_len(flat) <= width:
        yield flat
        return
    opening, closing = "{}" if isinstance(value, dict) else "[]"
    inner = (
        [(f"{text(name)}: ", value[name]) for name in value] if isinstance(value, dict) else [("", i) for i in value]
    )
    yield " " * indent + prefix + opening
    for place, (name, item) in enumerate(inner, 1):
        yield from _lines(name, item, "," if place < len(inner) else "", width, indent + 2)
    yield " " * indent + closing + suffix


def text(value: Json) -> str:
    """JSON in one line. What is not to be seen, or would steer a terminal, is escaped."""
    flat = json.dumps(value, ensure_ascii=False)
    return flat if flat.isprintable() else "".join(c if c.isprintable() else _escaped(c) for c in flat)


def _escaped(character: str) -> str:
    return json.dumps(character)[1:-1] if ord(character) > 0x7F else f"\\u{ord(character):04x}"
