"""The order of a list, and places in it.

A position is what a list is sorted by and, since that may be the same for many, the id: plain JSON values, which
a cursor can carry. It stands for a place, not for an element: what is inserted or deleted elsewhere moves it as
little as the deletion of the element that it was taken from.
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from typing import Any, TypeAlias

from service import errors, jsontext
from service.changes import members, scalars
from service.changes.detect import Path
from service.changes.parameters import BadParameter
from service.model import Document, Json

Position: TypeAlias = tuple[Json, ...]  # the values of the keys, then the id as text


@dataclass(frozen=True, slots=True)
class Key:
    """One thing to sort by."""

    path: Path
    kind: str  # see ``scalars``
    descending: bool


@dataclass(frozen=True, slots=True)
class Order:
    """By these keys, then by id; what is missing comes last, or first where it is descending."""

    keys: tuple[Key, ...] = ()
    numeric: bool = False  # ids are numbers: the shorter is less

    def position(self, document: Document, id_: str) -> Position:
        """Where a document stands."""
        return (*(scalars.comparable(key.kind, members.get(document, key.path)) for key in self.keys), id_)

    def rank(self, position: Position) -> Any:
        """Something that compares as positions follow one another."""
        *values, id_ = position
        return (
            *(
                _rank_descending(value) if key.descending else _rank(value)
                for key, value in zip(self.keys, values, strict=True)
            ),
            (len(str(id_)) if self.numeric else 0, id_),
        )

    def cursor(self, position: Position) -> str:
        """A position as a client carries it."""
        told: list[Json] = [[key.kind, *key.path, key.descending] for key in self.keys]
        return base64.urlsafe_b64encode(jsontext.dumps([told, *position])).decode().rstrip("=")

    def read(self, parameter: str, cursor: str) -> Position:
        """The position of a cursor that was given for this order; BadParameter if it is none."""
        try:
            text = base64.b64decode(cursor.encode("ascii") + b"=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
            value = jsontext.loads(text)
        except (UnicodeEncodeError, binascii.Error, errors.BadRequest):
            value = None
        position: Position = tuple(value[1:]) if isinstance(value, list) else ()
        if not position or self.cursor(position) != cursor or not self._holds(position):
            raise BadParameter(parameter, "is no cursor of this list: take it from links, with the same sort")
        return position

    def _holds(self, position: Position) -> bool:
        *values, id_ = position
        return (
            len(values) == len(self.keys)
            and isinstance(id_, str)
            and all(not isinstance(value, list | dict) for value in values)
        )


@dataclass(frozen=True, slots=True)
class _Reversed:
    """A text that is less if it is more."""

    text: str

    def __lt__(self, other: _Reversed) -> bool:
        return other.text < self.text


def _rank(value: Any) -> tuple[int, Any]:
    match value:
        case None:
            return 3, 0
        case bool():
            return 0, value
        case str():
            return 2, value
        case _:
            return 1, value


def _rank_descending(value: Any) -> tuple[int, Any]:
    kind, value = _rank(value)
    return -kind, _Reversed(value) if isinstance(value, str) else -value
