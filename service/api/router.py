"""From a method and a path to who answers: a tree of path segments."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Generic, TypeVar
from urllib.parse import unquote

Handler = TypeVar("Handler")

ANY = "*"  # every method
REST = "{rest}"  # as the last segment of a path: whatever follows


@dataclass(slots=True)
class Node(Generic[Handler]):
    """What may follow after some segments."""

    literal: dict[str, Node[Handler]] = field(default_factory=dict)
    named: Node[Handler] | None = None  # any one segment
    methods: dict[str, tuple[Handler, tuple[str, ...]]] = field(default_factory=dict)  # with its segments' names
    rest: dict[str, tuple[Handler, tuple[str, ...]]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Found(Generic[Handler]):
    """Who answers, and the parts of the path by name."""

    handler: Handler
    parts: Mapping[str, str]


class Router(Generic[Handler]):
    """Paths such as ``/api/v1/watches/{id}``; of several that fit, the one that says more in words of its own."""

    def __init__(self) -> None:
        self._root: Node[Handler] = Node()

    def add(self, method: str, path: str, handler: Handler) -> None:
        """Let a handler answer a method (or ``ANY``) at a path."""
        node = self._root
        names: list[str] = []
        segments = path.split("/")[1:]
        for segment in segments:
            if segment == REST:
                node.rest[method] = (handler, tuple(names))
                return
            if segment.startswith("{"):
                names.append(segment[1:-1])
                node.named = node.named or Node()
                node = node.named
            else:
                node = node.literal.setdefault(segment, Node())
        node.methods[method] = (handler, tuple(names))

    def find(self, method: str, raw_path: str) -> Found[Handler] | frozenset[str]:
        """Who answers a path as it stands in the request line; else the methods that are taken there, if any."""
        segments = raw_path.split("/")[1:]
        if "%" in raw_path:
            segments = [_decoded(segment) for segment in segments]
        allowed: set[str] = set()
        for methods, values in self._fitting(segments):
            found = methods.get(method) or methods.get(ANY)
            if found is not None:
                return Found(found[0], dict(zip(found[1], values, strict=False)))
            allowed.update(methods)
        return frozenset(allowed)

    def _fitting(
        self, segments: list[str]
    ) -> Iterator[tuple[Mapping[str, tuple[Handler, tuple[str, ...]]], list[str]]]:
        waiting: list[tuple[Node[Handler], int, list[str]]] = [(self._root, 0, [])]
        rests = []
        while waiting:
            node, at, values = waiting.pop()
            if node.rest and at < len(segments):
                rests.append((node.rest, values))
            if at == len(segments):
                if node.methods:
                    yield node.methods, values
                continue
            segment = segments[at]
            if node.named is not None and segment:
                waiting.append((node.named, at + 1, [*values, segment]))
            if (literal := node.literal.get(segment)) is not None:
                waiting.append((literal, at + 1, values))  # is looked at first
        yield from reversed(rests)


def _decoded(segment: str) -> str:
    """What is percent-encoded in a segment as the text that it means; what means none stays as it is."""
    try:
        return unquote(segment, errors="strict")
    except UnicodeDecodeError:
        return segment
