"""Telling a watch of an update only if one of its ``fields`` changed.

A watch says by JSONPaths what it wants to hear of. Ten thousand of them on one type must cost a change no more than
those that may want it: an index holds their paths as a tree of names, and the operations of a change's diff lead to
the paths that the change can have touched. Only these are followed, in the documents on both sides of it, and their
values compared. Paths are compiled once, and what all of them together may look at is bounded for each change.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from service.errors import FieldError, Invalid
from service.model import Change, Document, Json
from service.watches import conditions, jsonpath
from service.watches.jsonpath import MISSING, Budget, Expression, TooMuch

InOrder = Callable[[str, Document], Document]  # a type's name and a document: arrays without an order in one order


def compile(texts: Json | Sequence[str]) -> tuple[Expression, ...]:  # noqa: A001  called as fields.compile
    """The paths that the texts describe; Invalid with a pointer into the list for each that is none.

    What is no text at all is passed over: whoever lets it come so far says so.
    """
    found, faults = [], []
    for index, text in enumerate(texts if isinstance(texts, list | tuple) else ()):
        if not isinstance(text, str):
            continue
        try:
            found.append(jsonpath.compile(text))
        except jsonpath.PathError as error:
            shown = text if len(text) <= 60 else f"{text[:60]}..."
            faults.append(FieldError(f"/{index}", f"`{shown}`, character {error.position + 1}: {error.detail}"))
    if faults:
        raise Invalid.of(faults)
    return tuple(found)


class Comparison:
    """The two sides of one update, for any number of paths: each is followed once, whoever asks."""

    def __init__(self, change: Change, in_order: InOrder) -> None:
        self._change = change
        self._before: Json = None if change.before is None else in_order(change.type, change.before)
        self._after: Json = None if change.after is None else in_order(change.type, change.after)
        self._budget = Budget()
        self._known: dict[str, bool] = {}

    def touches(self, paths: Iterable[Expression]) -> bool:
        """Whether one of them leads to something else than before. What cannot be told for sure counts as a change."""
        return any(self._differs(path) for path in paths)

    def _differs(self, path: Expression) -> bool:
        known = self._known.get(path.text)
        if known is None:
            try:
                old, new = path.find(self._before, self._budget), path.find(self._after, self._budget)
                known = old is not new and (
                    old is MISSING or new is MISSING or not conditions.equal(old, new, self._budget)
                )
            except TooMuch:
                known = True
            self._known[path.text] = known
        return known


@dataclass(slots=True)
class _Node:
    """A name in the tree: whose paths end here, as far as they are plain names, and whose go on."""

    here: dict[str, None] = field(default_factory=dict)  # ids, in the order in which they came
    below: dict[str, _Node] = field(default_factory=dict)


class Index:
    """Watches by the names that their paths begin with."""

    def __init__(self) -> None:
        self._root = _Node()
        self.members: dict[str, tuple[Expression, ...]] = {}  # every watch's id and paths

    def add(self, id_: str, paths: tuple[Expression, ...]) -> None:
        """One more."""
        self.members[id_] = paths
        for path in paths:
            node = self._root
            for name in _names(path):
                node = node.below.setdefault(name, _Node())
            node.here[id_] = None

    def remove(self, id_: str) -> None:
        """One less; names that nobody asks for any more go with it."""
        for path in self.members.pop(id_):
            self._prune(self._root, _names(path), id_)

    def candidates(self, diff: Iterable[Document]) -> dict[str, None]:
        """The ids of those with a path to something that the diff's operations touch, around it or inside it."""
        found = dict(self._root.here)
        for operation in diff:
            self._follow(str(operation["path"]), found)
        return found

    def _follow(self, pointer: str, found: dict[str, None]) -> None:
        node = self._root
        for token in pointer.split("/")[1:]:
            below = node.below.get(token.replace("~1", "/").replace("~0", "~"))
            if below is None:
                return
            node = below
            found |= node.here
        waiting = list(node.below.values())
        while waiting:
            node = waiting.pop()
            found |= node.here
            waiting += node.below.values()

    def _prune(self, node: _Node, names: Sequence[str], id_: str) -> None:
        if not names:
            node.here.pop(id_, None)
        elif below := node.below.get(names[0]):
            self._prune(below, names[1:], id_)
            if not below.here and not below.below:
                del node.below[names[0]]


def _names(path: Expression) -> tuple[str, ...]:
    """The plain names that it begins with; of one that looks at the root again, inside a filter, none are."""
    return () if not path.definite and "$" in path.text[1:] else path.leading
