"""Whether a write changed a resource, and what becomes of a document before it is asked.

A type's rules name members by dotted paths, in which ``*`` is any name or index: ``ignore`` holds those whose
change alone is no change, ``unordered`` the arrays whose order means nothing. Documents come from
``jsontext.loads``, which bounds their depth and their numbers.
"""

from __future__ import annotations

import operator
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TypeAlias

import orjson

from service import jsontext
from service.changes.diff import diff, equal
from service.model import Document, Json

__all__ = ["Path", "Rules", "diff", "differs", "equal", "in_order", "strip"]

Path: TypeAlias = tuple[str, ...]


@dataclass(frozen=True)
class Rules:
    """What a type declares to be no change."""

    ignore: tuple[Path, ...] = ()  # members that do not count
    unordered: tuple[Path, ...] = ()  # arrays that are compared as multisets

    @classmethod
    def parse(cls, ignore: Iterable[str], unordered: Iterable[str]) -> Rules:
        """From dotted member paths such as ``notifications.*.channels``."""
        return cls(
            ignore=tuple(tuple(path.split(".")) for path in ignore),
            unordered=tuple(tuple(path.split(".")) for path in unordered),
        )

    @cached_property
    def plan(self) -> _Plan | None:
        """The rules as a tree that is walked along with the documents."""
        return _plan(self.ignore, self.unordered)

    @cached_property
    def order(self) -> _Plan | None:
        """The same of the unordered arrays alone."""
        return _plan((), self.unordered)


def differs(before: Document, after: Document, rules: Rules) -> bool:
    """Whether they differ, by typed equality, outside ``ignore`` and the order of ``unordered`` arrays."""
    return _differs(before, after, rules.plan)


def in_order(document: Document, rules: Rules) -> Document:
    """The document with its unordered arrays in one order, so that places in them can be compared."""
    if rules.order is None:
        return document
    return {name: _normal(member, _rule(rules.order, name)) for name, member in document.items()}


def is_change(before: Document, after: Document, operations: Sequence[Document], rules: Rules) -> bool:
    """``differs``, for who has their diff already: seldom does it touch only members that have rules."""
    plan = rules.plan
    if plan is None:
        return bool(operations)
    for operation in operations:
        path = operation["path"]
        name = path.split("/", 2)[1] if isinstance(path, str) and "~" not in path else None
        if name and _rule(plan, name) is None:
            return True
    return bool(operations) and _differs(before, after, plan)


def strip(document: Document, paths: Iterable[Path]) -> Document:
    """The document without the members at these paths: a copy as far as it differs, itself if nothing is there."""
    for path in paths:
        document = _strip_object(document, path)
    return document


@dataclass(frozen=True, slots=True)
class _Plan:
    """The rules for one value and for what is in it; None stands for no rules at all."""

    ignored: bool
    unordered: bool
    members: Mapping[str, _Plan | None]  # for members with a rule of their own, what ``*`` says included
    others: _Plan | None  # what ``*`` says


def _plan(ignore: Sequence[Path], unordered: Sequence[Path]) -> _Plan | None:
    def below(name: str) -> _Plan | None:
        return _plan(
            [path[1:] for path in ignore if path[:1] in ((name,), ("*",))],
            [path[1:] for path in unordered if path[:1] in ((name,), ("*",))],
        )

    if not ignore and not unordered:
        return None
    names = {path[0] for path in (*ignore, *unordered) if path}
    return _Plan(
        ignored=() in ignore,
        unordered=() in unordered,
        members={name: below(name) for name in names - {"*"}},
        others=below("*"),
    )


def _rule(plan: _Plan | None, name: str) -> _Plan | None:
    return None if plan is None else plan.members.get(name, plan.others)


def _ignored(plan: _Plan | None) -> bool:
    return plan is not None and plan.ignored


def _differs(before: Json, after: Json, plan: _Plan | None) -> bool:
    if plan is None:
        return not equal(before, after)
    if plan.ignored:
        return False
    if not isinstance(before, dict) or not isinstance(after, dict):
        return not equal(before, after) and _canonical(before, plan) != _canonical(after, plan)
    for name, old in before.items():
        if name not in after:
            if not _ignored(_rule(plan, name)):
                return True
            continue
        new = after[name]
        if old is new or (isinstance(old, str) and old == new):
            continue
        if _differs(old, new, _rule(plan, name)):
            return True
    return any(name not in before and not _ignored(_rule(plan, name)) for name in after)


def _canonical(value: Json, plan: _Plan | None) -> bytes:
    """One text for all values that do not differ under the plan, so that nothing is compared pair by pair."""
    return _sorted_text(_normal(value, plan))


def _normal(value: Json, plan: _Plan | None) -> Json:
    if isinstance(value, dict):
        return {
            name: _normal(member, rule) for name, member in value.items() if not _ignored(rule := _rule(plan, name))
        }
    if isinstance(value, list):
        elements = [
            _normal(element, rule)
            for index, element in enumerate(value)
            if not _ignored(rule := _rule(plan, str(index)))
        ]
        return sorted(elements, key=_sorted_text) if plan is not None and plan.unordered else elements
    if isinstance(value, float) and value.is_integer() and jsontext.SMALLEST <= value <= jsontext.LARGEST:
        return int(value)
    return value


def _sorted_text(value: Json) -> bytes:
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)


def _strip(value: Json, path: Path) -> Json:
    if isinstance(value, dict):
        return _strip_object(value, path)
    if isinstance(value, list):
        return _strip_array(value, path)
    return value


def _strip_object(value: Document, path: Path) -> Document:
    name, rest = path[0], path[1:]
    if name != "*" and name not in value:
        return value
    if not rest:
        kept = {key: member for key, member in value.items() if name not in ("*", key)}
        return value if len(kept) == len(value) else kept
    stripped = {key: _strip(member, rest) if name in ("*", key) else member for key, member in value.items()}
    return value if all(map(operator.is_, stripped.values(), value.values())) else stripped


def _strip_array(value: list[Json], path: Path) -> list[Json]:
    name, rest = path[0], path[1:]
    if not rest:
        kept = [element for index, element in enumerate(value) if name not in ("*", str(index))]
        return value if len(kept) == len(value) else kept
    stripped = [_strip(element, rest) if name in ("*", str(index)) else element for index, element in enumerate(value)]
    return value if all(map(operator.is_, stripped, value)) else stripped
