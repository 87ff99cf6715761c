"""A watch in words: a row among others, or whole."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from service.cli import terminal
from service.receiver.look import Aligned, Layout

Shown = Mapping[str, Any]  # a watch as the service answers it

COLUMNS = ("id", "name", "type", "events", "address", "status", "health")
STYLES = {"enabled": "green", "disabled": "yellow", "healthy": "green", "degraded": "yellow", "failing": "red"}
CHANGES = {"created", "updated", "deleted"}
SAID_ELSEWHERE = frozenset({"schema", "warnings", "selfLink", "status", "statusReason", "health"})


def table(watches: Sequence[Shown]) -> None:
    """Print a row for each; how they are, where the service says so."""
    with_health = any(watch.get("health") for watch in watches)
    terminal.table((_row(watch, with_health=with_health) for watch in watches), COLUMNS[: None if with_health else -1])


def _row(watch: Shown, *, with_health: bool) -> list[str | Text]:
    objects = watch["objectType"] + (f"/{watch['objectId']}" if watch["objectId"] else "")
    row = [watch["id"], watch["name"] or "", objects, _events(watch), watch["address"], _status(watch)]
    return [*row, _styled(_state(watch))] if with_health else row


def whole(watch: Shown) -> RenderableType:
    """Everything that the service shows of it."""
    rows = [(Text(name, "dim"), text) for name, text in _rows(watch)]
    template = watch.get("schema")
    if template is None:
        return Aligned(rows)
    shape = Layout(template) if isinstance(template, dict) else Text(terminal.printable(template))
    return Group(Aligned(rows), Text("schema", "dim"), shape)


def _rows(watch: Shown) -> Iterator[tuple[str, Text]]:
    yield "id", Text(watch["id"], "bold")
    yield "status", _status(watch)
    for name, value in watch.items():
        if name != "id" and name not in SAID_ELSEWHERE and value not in (None, [], {}):
            yield name, Text(_value(value) if name != "signature" else _signature(value))
    health = watch.get("health") or {}
    if health:
        since = f" since {health['since']}" if health.get("since") else ""
        count = health.get("failures") or 0
        failures = f", {count} failure{'s' * (count > 1)} in a row" if count else ""
        yield "health", _styled(_state(watch)).append(f"{since}{failures}", "default")
        yield "lastSuccess", Text(health.get("lastSuccess") or "never")


def _signature(signature: Mapping[str, Any]) -> str:
    """Without the secret, which stands alone when it is shown."""
    if not signature["enabled"]:
        return "no"
    return _value({name: value for name, value in signature.items() if name not in ("enabled", "secret")})


def _value(value: Any) -> str:
    """A setting in one line."""
    if isinstance(value, dict):
        return ", ".join(f"{name} {_value(inner)}" for name, inner in value.items() if inner not in (None, [], {}))
    if isinstance(value, list):
        return " ".join(_value(item) for item in value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    return terminal.printable(str(value))


def _events(watch: Shown) -> str:
    return "all" if set(watch["events"]) == CHANGES else " ".join(watch["events"])


def _state(watch: Shown) -> str:
    return str((watch.get("health") or {}).get("state") or "")


def _status(watch: Shown) -> Text:
    reason = f" ({watch['statusReason']})" if watch["statusReason"] else ""
    return _styled(watch["status"]).append(reason, "yellow")


def _styled(word: str) -> Text:
    return Text().append(word, STYLES.get(word, ""))
