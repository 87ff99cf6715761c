"""Single values, as queries ask for them and as lists are sorted by them.

A member's kind comes from its schema (``ResourceType.kind``): ``date-time``, ``boolean``, ``number`` or ``text``.
A value of another kind, which a poll may have brought, is found by no query and sorts as if it were missing.
"""

from __future__ import annotations

import functools
import re
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from service.model import Json

RFC_3339 = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})[Tt ]([0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{1,9})?)"
    r"(?:([Zz])|([+\- ])([0-9]{2}:[0-9]{2}))"  # a space: the + of a query that was not percent-encoded
)
EPOCH, MILLISECOND = datetime(1970, 1, 1, tzinfo=UTC), timedelta(milliseconds=1)
NUMBER = re.compile(r"-?[0-9]{1,18}(?:\.[0-9]{1,18})?")


def read(kind: str, text: str) -> Any:
    """A query's text as something that ``comparable`` values compare with; ValueError says what it must be."""
    match kind:
        case "date-time":
            return _read_time(text)
        case "boolean" if text in ("true", "false"):
            return text == "true"
        case "boolean":
            raise ValueError("must be true or false")
        case "number" if NUMBER.fullmatch(text):
            return float(text) if "." in text else int(text)
        case "number":
            raise ValueError("must be a number")
        case _:
            return text


def comparable(kind: str, value: Json) -> Any:
    """A document's value in a form that compares with others of its kind; None: it has none."""
    match kind, value:
        case "date-time", _:
            return moment(value)
        case ("boolean", bool()) | ("text", str()):
            return value
        case "number", int() | float() if not isinstance(value, bool):
            return value
    return None


def moment(value: Json) -> int | None:
    """A document's time in ms: ``{dateTime, timeZone}`` or one text; None if it is none.

    Without an offset, and without a zone that is known, it counts as UTC.
    """
    date, zone = (value.get("dateTime"), value.get("timeZone")) if isinstance(value, dict) else (value, None)
    if not isinstance(date, str):
        return None
    try:
        at = datetime.fromisoformat(date)
        if at.tzinfo is None:
            at = at.replace(tzinfo=_zone(zone) if isinstance(zone, str) else UTC)
        return (at - EPOCH) // MILLISECOND  # exactly, as a product of floats would not be
    except (ValueError, OverflowError):
        return None


def text(value: Json) -> str | None:
    """A scalar as a query has it; None for what is none."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, str | int | float) else None


def _read_time(text: str) -> int:
    if match := RFC_3339.fullmatch(text):
        date, time, utc, sign, offset = match.groups()
        at = moment(f"{date}T{time}" + ("Z" if utc else f"{sign.replace(' ', '+')}{offset}"))
        if at is not None:
            return at
    raise ValueError("must be an RFC 3339 timestamp, such as 2026-01-31T12:00:00Z")


@functools.lru_cache(maxsize=2048)
def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):  # unknown; a path out of the data; a folder of it
        return ZoneInfo("UTC")
