"""Filling a compiled template: literal bytes, and between them holes for values.

A ``Rope`` is cut at registration, so that a rendering only follows paths and joins bytes. It is bounded while
it is being made: by the values looked at and by the bytes written, before they are all there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from service import jsontext
from service.model import Document, Json
from service.watches.jsonpath import MISSING, Budget, Expression, Missing

MAX_OUTPUT = 1 << 20  # bytes: 1 MiB

Writer: TypeAlias = Callable[[Json | Missing], bytes]


class TemplateError(Exception):
    """The template cannot make a request of this change, and would not the next time either."""

    def __init__(self, detail: str) -> None:
        super().__init__(detail)
        self.detail = detail


class TemplateTooLarge(TemplateError):
    """What the template makes of this change is larger than a callback may be."""


class Context(dict[str, Json]):
    """What ``$`` is: the resource, and three members that are always there, but that only their names lead to.

    So ``$`` itself, ``$.*`` and ``$..email`` are of the resource alone; nobody who asks for all of it means the
    version before as well.
    """

    __slots__ = ("special",)

    def __init__(self, resource: Document, special: Document) -> None:
        super().__init__(resource)
        self.special = special  # they hide the resource's own members of the same name

    def __contains__(self, name: object) -> bool:
        return name in self.special or super().__contains__(name)

    def __getitem__(self, name: str) -> Json:
        return self.special[name] if name in self.special else super().__getitem__(name)

    def get(self, name: str, default: Any = None) -> Any:
        """As of any dict."""
        return self.special[name] if name in self.special else super().get(name, default)


@dataclass(slots=True)
class Rendering:
    """One rendering: the ``$`` that its paths see, and what is left of its allowances."""

    root: Context
    budget: Budget = field(default_factory=Budget)
    room: int = MAX_OUTPUT  # bytes

    def take(self, size: int) -> None:
        """Make room for so many bytes."""
        self.room -= size
        if self.room < 0:
            raise TemplateTooLarge(f"the template makes more than {MAX_OUTPUT:,} bytes of this change")

    @staticmethod
    def check(size: int) -> None:
        """The same for a body that is there already."""
        if size > MAX_OUTPUT:
            raise TemplateTooLarge(f"the template makes {size:,} bytes of this change, more than {MAX_OUTPUT:,}")


@dataclass(frozen=True, slots=True)
class Hole:
    """Where a value goes, and how it is written there."""

    expression: Expression
    write: Writer


@dataclass(frozen=True, slots=True)
class Rope:
    """Literal bytes, and after each hole more of them."""

    head: bytes
    rest: tuple[tuple[Hole, bytes], ...]
    size: int  # of all literal bytes

    @classmethod
    def of(cls, pieces: Iterable[bytes | Hole]) -> Rope:
        """The pieces in their order, neighbouring bytes joined."""
        literals: list[list[bytes]] = [[]]
        holes: list[Hole] = []
        for piece in pieces:
            if isinstance(piece, Hole):
                holes.append(piece)
                literals.append([])
            else:
                literals[-1].append(piece)
        head, *tails = [b"".join(literal) for literal in literals]
        return cls(head, tuple(zip(holes, tails, strict=True)), len(head) + sum(map(len, tails)))

    def render(self, rendering: Rendering) -> bytes:
        """All of it; TemplateTooLarge or TooMuch as soon as an allowance is used up."""
        root, budget = rendering.root, rendering.budget
        rendering.take(self.size)
        pieces = [self.head]
        for hole, tail in self.rest:
            value = hole.write(hole.expression.find(root, budget))
            rendering.take(len(value))
            pieces += (value, tail)
        return b"".join(pieces)


def typed(value: Json | Missing) -> bytes:
    """A JSON value; null when there is nothing."""
    return b"null" if value is MISSING else jsontext.dumps(value)


def quoted(value: Json | Missing) -> bytes:
    """Text inside a JSON string's quotes."""
    return jsontext.dumps(plain(value))[1:-1]


def plain(value: Json | Missing) -> str:
    """A value as text: text as it is; numbers, booleans, arrays and objects as compact JSON.

    Nothing found is the empty string, and so is a null: a receiver that asked for text wants no word "null".
    """
    if isinstance(value, str):
        return value
    return "" if value is MISSING or value is None else jsontext.text(value)
