"""Walking JSON values: the steps that a compiled path is made of.

A step takes the values reached so far and gives those it leads to, in the order of jsonpath-ng's ``find()``
and with its duplicates. Every value that a step looks at is paid for from a budget that one rendering shares,
before room is made for it: ``$..*..*..*`` costs some milliseconds and no memory, then it stops.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import Enum
from typing import Final, TypeAlias

from service.model import Json

MAX_VISITS = 100_000  # values that one rendering may look at: some tens of milliseconds


class Missing(Enum):
    """The type of ``MISSING``: a path that leads nowhere, which is not the same as null."""

    MISSING = "missing"


MISSING: Final = Missing.MISSING


class TooMuch(Exception):
    """A rendering looked at more values than it may."""


class Budget:
    """How many more values a rendering may look at."""

    __slots__ = ("left",)

    def __init__(self, visits: int = MAX_VISITS) -> None:
        self.left = visits

    def spend(self, visits: int) -> None:
        """Pay for ``visits`` values; TooMuch when they are no longer there."""
        self.left -= visits
        if self.left < 0:
            raise TooMuch


Nodes: TypeAlias = list[Json]
Step: TypeAlias = Callable[[Nodes, Json, Budget], Nodes]  # the values so far, `$`, the budget
Test: TypeAlias = Callable[[Json, Json, Budget], bool]  # `@`, `$`, the budget: whether a filter takes `@`


def follow(keys: Sequence[str | int], value: Json) -> Json | Missing:
    """Where plain names and indices lead. At most as many steps as a path has nodes, so it costs no budget."""
    found: Json | Missing = value
    for key in keys:
        if isinstance(key, str):
            found = found.get(key, MISSING) if isinstance(found, dict) else MISSING
        elif isinstance(found, list) and -len(found) <= key < len(found):
            found = found[key]
        else:
            return MISSING
    return found


def run(steps: Sequence[Step], nodes: Nodes, root: Json, budget: Budget) -> Nodes:
    """Every value that all the steps together lead to."""
    for step in steps:
        budget.spend(len(nodes))
        nodes = step(nodes, root, budget)
    return nodes


def members(names: Sequence[str]) -> Step:
    """``.a`` and ``['a', 'b']``: members of objects by name, in the order of the names."""

    def step(nodes: Nodes, _root: Json, budget: Budget) -> Nodes:
        budget.spend(len(nodes) * (len(names) - 1))
        return [node[name] for node in nodes if isinstance(node, dict) for name in names if name in node]

    return step


def elements(indices: Sequence[int]) -> Step:
    """``[0]`` and ``[0, -1]``: elements of arrays, in the order of the indices."""

    def step(nodes: Nodes, _root: Json, budget: Budget) -> Nodes:
        budget.spend(len(nodes) * (len(indices) - 1))
        return [
            node[index]
            for node in nodes
            if isinstance(node, list)
            for index in indices
            if -len(node) <= index < len(node)
        ]

    return step


def cut(part: slice) -> Step:
    """``[1:3]`` and ``[::-1]``: a stretch of each array; a step of 0 gives nothing (RFC 9535, section 2.3.4)."""

    def step(nodes: Nodes, _root: Json, budget: Budget) -> Nodes:
        found: Nodes = []
        for node in nodes:
            if isinstance(node, list) and part.step != 0:
                budget.spend(len(range(len(node))[part]))
                found += node[part]
        return found

    return step


def children(nodes: Nodes, _root: Json, budget: Budget) -> Nodes:
    """``.*`` and ``[*]``: every member's value and every element."""
    found: Nodes = []
    for node in nodes:
        found += _children(node, budget)
    return found


def descent(nodes: Nodes, _root: Json, budget: Budget) -> Nodes:
    """``..``: each value itself and everything in it, parents before children."""
    found: Nodes = []
    waiting = nodes[::-1]
    while waiting:
        node = waiting.pop()
        found.append(node)
        waiting += _children(node, budget)[::-1]
    return found


def chosen(test: Test) -> Step:
    """``[?...]``: the children that pass."""

    def step(nodes: Nodes, root: Json, budget: Budget) -> Nodes:
        return [child for node in nodes for child in _children(node, budget) if test(child, root, budget)]

    return step


def _children(node: Json, budget: Budget) -> Nodes:
    if isinstance(node, dict):
        budget.spend(len(node))
        return list(node.values())
    if isinstance(node, list):
        budget.spend(len(node))
        return node
    return []
