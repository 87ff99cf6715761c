"""The list's query parameters, as a type file declares them, compiled to one predicate over documents.

Parameters that the type does not declare mean nothing here: clients of a vendor send its own beside them, the
credentials among them.
"""

from __future__ import annotations

import contextlib
import functools
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from service import clock
from service.changes import members
from service.changes.types import Filter, ResourceType
from service.errors import BadRequest
from service.model import Document, Json

Predicate = Callable[[Document], bool]
_Test = Callable[[Json], bool]  # of one member's value; None: it is missing

RFC_3339 = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})[Tt ]([0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{1,9})?)"
    r"(?:([Zz])|([+\- ])([0-9]{2}:[0-9]{2}))"  # a space: the + of a query that was not percent-encoded
)


def compile(rtype: ResourceType, query: Mapping[str, str]) -> Predicate:  # noqa: A001  filters.compile(...)
    """What tells whether a document is asked for. Raises BadRequest, which names the parameter and what it takes."""
    tests = [(rtype.filters[name], text) for name, text in query.items() if name in rtype.filters]
    predicates = [_predicate(declared, TESTS[declared.match](declared, text)) for declared, text in tests]
    return lambda document: all(predicate(document) for predicate in predicates)


def _predicate(declared: Filter, test: _Test) -> Predicate:
    return lambda document: any(test(members.get(document, path)) for path in declared.paths)


def _contains(_declared: Filter, text: str) -> _Test:
    part = text.casefold()
    return lambda value: isinstance(value, str) and part in value.casefold()


def _equals(declared: Filter, text: str) -> _Test:
    _allowed(declared, text)
    return lambda value: _text(value) == text


def _all(declared: Filter, text: str) -> _Test:
    wanted = {_allowed(declared, part.strip()) for part in text.split(",")}
    return lambda value: isinstance(value, list) and wanted <= set(map(_text, value))


def _after(declared: Filter, text: str) -> _Test:
    bound = _bound(declared, text)
    return lambda value: (moment := _moment(value)) is not None and moment > bound


def _before(declared: Filter, text: str) -> _Test:
    bound = _bound(declared, text)
    return lambda value: (moment := _moment(value)) is not None and moment < bound


TESTS: Mapping[str, Callable[[Filter, str], _Test]] = {
    "contains": _contains,
    "equals": _equals,
    "all": _all,
    "after": _after,
    "before": _before,
}


def _allowed(declared: Filter, text: str) -> str:
    if declared.values and text not in declared.values:
        raise BadRequest(f"{declared.name}: {text!r} is none of {', '.join(declared.values)}")
    return text


def _text(value: Json) -> str | None:
    """A scalar as a query has it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, str | int | float) else None


def _bound(declared: Filter, text: str) -> int:
    if match := RFC_3339.fullmatch(text):
        date, time, utc, sign, offset = match.groups()
        with contextlib.suppress(ValueError, OverflowError):
            return clock.parse_rfc3339(f"{date}T{time}" + ("Z" if utc else f"{sign.replace(' ', '+')}{offset}"))
    raise BadRequest(f"{declared.name}: must be an RFC 3339 timestamp, such as 2026-01-31T12:00:00Z")


def _moment(value: Json) -> int | None:
    """A document's time in ms: ``{dateTime, timeZone}`` or one text; None if it is none.

    Without an offset, and without a zone that is known, it counts as UTC.
    """
    date, zone = (value.get("dateTime"), value.get("timeZone")) if isinstance(value, dict) else (value, None)
    if not isinstance(date, str):
        return None
    try:
        moment = datetime.fromisoformat(date)
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=_zone(zone) if isinstance(zone, str) else UTC)
        return int(moment.timestamp() * 1000)
    except (ValueError, OverflowError):
        return None


@functools.lru_cache(maxsize=2048)
def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):  # unknown; a path out of the data; a folder of it
        return ZoneInfo("UTC")
