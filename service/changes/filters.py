"""The list's query parameters, as a type file declares them, compiled to one predicate over documents.

Parameters that the type does not declare mean nothing here: clients of a vendor send its own beside them, the
credentials among them. A dialect that knows better refuses them before.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from service.changes import members, scalars
from service.changes.parameters import BadParameter, Query
from service.changes.resourcetype import Filter, ResourceType
from service.model import Document, Json

Predicate = Callable[[Document], bool]
_Test = Callable[[Json], bool]  # of one member's value; None: it is missing

LOWEST, HIGHEST = "neginf", "inf"  # the open ends of a range


def compile(rtype: ResourceType, query: Query) -> Predicate | None:  # noqa: A001  filters.compile(...)
    """What tells whether a document is asked for; None: all are.

    Raises BadParameter, which names the parameter and what it takes.
    """
    predicates = [_predicate(rtype, rtype.filters[name], text) for name, text in query.items() if name in rtype.filters]
    return (lambda document: all(passes(document) for passes in predicates)) if predicates else None


def _predicate(rtype: ResourceType, declared: Filter, text: str) -> Predicate:
    make = TESTS[declared.match]
    tests = [(path, make(declared, text, rtype.kind(path))) for path in declared.paths]
    return lambda document: any(test(members.get(document, path)) for path, test in tests)


def _contains(_declared: Filter, text: str, _kind: str) -> _Test:
    part = text.casefold()
    return lambda value: isinstance(value, str) and part in value.casefold()


def _equals(declared: Filter, text: str, _kind: str) -> _Test:
    _allowed(declared, text)
    return lambda value: scalars.text(value) == text


def _all(declared: Filter, text: str, _kind: str) -> _Test:
    wanted = {_allowed(declared, part.strip()) for part in text.split(",")}
    return lambda value: isinstance(value, list) and wanted <= set(map(scalars.text, value))


def _after(declared: Filter, text: str, _kind: str) -> _Test:
    bound = _read(declared, text, "date-time")
    return lambda value: (at := scalars.moment(value)) is not None and at > bound


def _before(declared: Filter, text: str, _kind: str) -> _Test:
    bound = _read(declared, text, "date-time")
    return lambda value: (at := scalars.moment(value)) is not None and at < bound


def _range(declared: Filter, text: str, kind: str) -> _Test:
    """A comma list of values and of ranges ``a..b``, both ends included."""
    ranges = [_ends(declared, part, kind) for part in text.split(",")]

    def test(value: Json) -> bool:
        at = scalars.comparable(kind, value)
        return at is not None and any(
            (low is None or low <= at) and (high is None or at <= high) for low, high in ranges
        )

    return test


def _related(_declared: Filter, text: str, _kind: str) -> _Test:
    """A comma list of ids: one of them is related, alone or in an array."""
    wanted = {part.strip() for part in text.split(",")}

    def test(value: Json) -> bool:
        others = value if isinstance(value, list) else [value]
        return any(isinstance(other, dict) and scalars.text(other.get("id")) in wanted for other in others)

    return test


TESTS: Mapping[str, Callable[[Filter, str, str], _Test]] = {
    "contains": _contains,
    "equals": _equals,
    "all": _all,
    "after": _after,
    "before": _before,
    "range": _range,
    "related": _related,
}


def _allowed(declared: Filter, text: str) -> str:
    if declared.values and text not in declared.values:
        raise BadParameter(declared.name, f"{text!r} is none of {', '.join(declared.values)}")
    return text


def _ends(declared: Filter, text: str, kind: str) -> tuple[Any, Any]:
    """Both ends of a range; None is an open one. A value alone is a range from it to itself."""
    low, dots, high = (end.strip() for end in text.partition(".."))
    if not dots:
        return (value := _read(declared, low, kind)), value
    if not low or not high:
        raise BadParameter(declared.name, f"a range has two ends, such as a..b, {LOWEST}..b or a..{HIGHEST}")
    return (
        None if low == LOWEST else _read(declared, low, kind),
        None if high == HIGHEST else _read(declared, high, kind),
    )


def _read(declared: Filter, text: str, kind: str) -> Any:
    try:
        return scalars.read(kind, text)
    except ValueError as error:
        raise BadParameter(declared.name, str(error)) from None
