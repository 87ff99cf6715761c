"""How one document becomes another, as a JSON Patch (RFC 6902), and when two values are one.

The patch must lead from ``before`` to ``after`` exactly, say so in few operations that a person can read, and
cost little however large or hostile the documents are. Three ideas do that.

**Typed equality.** Python takes ``True`` for ``1``; JSON does not. Python's comparison errs in this one way only:
what it calls different is different. So it runs first, in C, and only what it calls equal is walked for booleans.

**Elements with a name of their own.** When every element of an array, on both sides, is an object with an ``id``
that no other one has, elements are matched by it, so that a new first tag does not rewrite all others. First the
missing ones are removed, from the end, so that indices in front stay true. Then the array is brought into order
while it is read from left to right: the longest run of elements that are in the right order already stays (the
longest rising subsequence of their old ranks), the others are moved, new ones are added, each directly behind its
predecessor. Where an element is at that moment need not be searched for. What has been placed stands together in
its final order, but for elements left over from before, which still wait in between to be moved; and as both the
stayers and the leavers are known in their old order, two binary searches count what stands in front. Last, matched
elements are compared with each other. Other arrays are compared place by place between their common ends.

**A bound.** Every operation repeats its path, so one long name above a thousand changes would be written a thousand
times. Paths are links until an operation needs them, and a patch whose paths outgrow ``LARGEST_PATCH`` gives way to
one replacement of the whole document, which is just as exact.
"""

from __future__ import annotations

from bisect import bisect_left
from typing import Any

from service import jsontext
from service.model import Document, Json

LARGEST_PATCH = 1 << 20  # characters: all paths of a patch, and what stands around them
AROUND = 40  # characters of an operation beside its path and its values

_Ids = dict[str | int, int]  # an element's id: its index
_Path = tuple[Any, str | int] | None  # the place of the parent, and the last token; None: the whole document


def diff(before: Json, after: Json) -> list[Document]:
    """The operations that lead from ``before`` to ``after``; none if they are equal.

    ``remove`` and ``replace`` carry an ``oldValue`` beside what RFC 6902 asks for. Values in the patch are parts of
    the two documents, not copies: to be read and written out, not to be changed. No operation reaches into a value
    that an earlier one brought in, so that even a library that applies the patch without copying leaves them alone.
    """
    patch = _Patch()
    try:
        _compare(before, after, None, patch)
    except _TooLarge:
        return [{"op": "replace", "path": "", "value": after, "oldValue": before}]
    return patch.operations


def equal(a: Json, b: Json) -> bool:
    """Typed equality: ``1`` and ``1.0`` are one number, exactly; ``1``, ``"1"`` and ``true`` are three values."""
    return a == b and _same_kinds(a, b)


def _same_kinds(a: Json, b: Json) -> bool:
    """Whether values that Python takes for equal have their booleans in the same places."""
    if isinstance(a, dict) and isinstance(b, dict):
        for name, value in a.items():
            other = b[name]
            if value is not other and not isinstance(value, str) and not _same_kinds(value, other):
                return False
        return True
    if isinstance(a, list) and isinstance(b, list):
        for value, other in zip(a, b, strict=True):
            if value is not other and not isinstance(value, str) and not _same_kinds(value, other):
                return False
        return True
    return isinstance(a, bool) is isinstance(b, bool)


def _compare(before: Json, after: Json, path: _Path, patch: _Patch) -> None:
    if isinstance(before, dict) and isinstance(after, dict):
        _compare_objects(before, after, path, patch)
    elif isinstance(before, list) and isinstance(after, list):
        old, new = _ids(before), _ids(after)
        if old is None or new is None:
            _compare_places(before, after, path, patch)
        else:
            if list(old) != list(new):
                _arrange(before, after, old, new, path, patch)
            for key, index in new.items():
                if key in old:
                    _compare(before[old[key]], after[index], (path, index), patch)
    elif not equal(before, after):
        patch.replace(path, after, before)


def _compare_objects(before: Document, after: Document, path: _Path, patch: _Patch) -> None:
    for name, old in before.items():
        if name not in after:
            patch.remove((path, name), old)
            continue
        new = after[name]
        if old is not new and (not isinstance(old, str) or old != new):
            _compare(old, new, (path, name), patch)
    for name, new in after.items():
        if name not in before:
            patch.add((path, name), new)


def _compare_places(before: list[Json], after: list[Json], path: _Path, patch: _Patch) -> None:
    start, end, shift = 0, len(before), len(after) - len(before)
    if shift:
        shortest = min(len(before), len(after))
        while start < shortest and equal(before[start], after[start]):
            start += 1
        while end > start and end + shift > start and equal(before[end - 1], after[end + shift - 1]):
            end -= 1
    both = min(end, end + shift)
    for index in range(start, both):
        old, new = before[index], after[index]
        if old is not new and (not isinstance(old, str) or old != new):
            _compare(old, new, (path, index), patch)
    for index in reversed(range(both, end)):
        patch.remove((path, index), before[index])
    for index in range(both, end + shift):
        patch.add((path, index), after[index])


def _ids(array: list[Json]) -> _Ids | None:
    """The ids of the elements; None unless each has one, a string or an integer, for itself."""
    ids: _Ids = {}
    for index, element in enumerate(array):
        key = element.get("id") if isinstance(element, dict) else None
        if type(key) is not str and type(key) is not int:  # no isinstance: true is not 1
            return None
        ids[key] = index
    return ids if len(ids) == len(array) else None


def _arrange(before: list[Json], after: list[Json], old: _Ids, new: _Ids, path: _Path, patch: _Patch) -> None:
    """Remove, move and add whole elements until the ids stand as in ``after``."""
    for key, index in reversed(old.items()):
        if key not in new:
            patch.remove((path, index), before[index])
    ranks = {key: rank for rank, key in enumerate(key for key in old if key in new)}
    staying = _longest_rising([ranks[key] for key in new if key in ranks])
    stayers = set(staying)
    leaving = [rank for rank in ranks.values() if rank not in stayers]  # those still to be moved
    passed: list[int] = []  # the indices in ``after`` of the stayers that have been reached
    last = -1  # the rank of the last of them
    for index, key in enumerate(new):
        rank = ranks.get(key)
        if rank is None:
            patch.add((path, index + bisect_left(leaving, last)), after[index])
        elif rank in stayers:
            passed.append(index)
            last = rank
        else:
            nearest = bisect_left(staying, rank)  # the first stayer behind it
            waiting = bisect_left(leaving, rank)  # leavers in front of it
            placed = passed[nearest] if nearest < len(passed) else index + nearest - len(passed)
            del leaving[waiting]
            # Never to where it is: an element that stands between the last stayer and the next would be one.
            patch.move((path, placed + waiting), (path, index + bisect_left(leaving, last)))


def _longest_rising(numbers: list[int]) -> list[int]:
    """A longest rising subsequence of distinct numbers, by patience sorting."""
    tops: list[int] = []  # the smallest number that ends a run of each length
    below: dict[int, int] = {}  # a number: its predecessor in the longest run that it ends
    for number in numbers:
        pile = bisect_left(tops, number)
        if pile:
            below[number] = tops[pile - 1]
        tops[pile : pile + 1] = [number]
    run = tops[-1:]
    while run and run[-1] in below:
        run.append(below[run[-1]])
    return run[::-1]


class _TooLarge(Exception):
    """The patch says less than a replacement of the whole would."""


class _Patch:
    """Operations as they are found."""

    def __init__(self) -> None:
        self.operations: list[Document] = []
        self._size = 0

    def add(self, path: _Path, value: Json) -> None:
        self._append({"op": "add", "path": self._pointer(path), "value": value})

    def remove(self, path: _Path, old: Json) -> None:
        self._append({"op": "remove", "path": self._pointer(path), "oldValue": old})

    def replace(self, path: _Path, value: Json, old: Json) -> None:
        if path is not None and path[1] == "-":
            # In an object a name like any other; but some libraries, jsonpatch 1.33 among them, take it for the end of
            # an array and refuse to replace that.
            self.remove(path, old)
            self.add(path, value)
        else:
            self._append({"op": "replace", "path": self._pointer(path), "value": value, "oldValue": old})

    def move(self, source: _Path, path: _Path) -> None:
        self._append({"op": "move", "from": self._pointer(source), "path": self._pointer(path)})

    def _append(self, operation: Document) -> None:
        self._size += AROUND
        if self._size > LARGEST_PATCH:
            raise _TooLarge
        self.operations.append(operation)

    def _pointer(self, path: _Path) -> str:
        text = ""
        while path is not None:
            path, token = path
            text = f"/{token if isinstance(token, int) else jsontext.escape(token)}{text}"
        self._size += len(text)
        return text
