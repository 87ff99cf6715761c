"""JSONPath, compiled: a path's text becomes a function over plain JSON values.

The dialect is jsonpath-ng's without regular expressions, arithmetic, string and list functions (``len``,
``sub``, ``sorted``...), ``parent``, ``where``, sorting and unions of paths: ``$``, ``.name``, ``['a', 'b']``,
``*``, ``[0]``, ``[0, -1]``, ``[1:3]``, ``..`` and filters ``[?(@.a == 1 && !@.b)]`` with ``==``, ``!=``, ``<``,
``<=``, ``>``, ``>=``, ``&&`` (or ``&``), ``||``, ``!`` and the test for existence. ``@`` is the value that is
tested, ``$`` the root; on the right of a comparison stands a literal or a path of plain names and indices.

A result has the values of jsonpath-ng's own ``find()``, in its order and with its duplicates, but for this:

- A *definite* path, of plain names and indices only, gives its value or ``MISSING``, not a list of one or none.
- ``$`` and ``@`` stand only where a path begins, not as ``$.a.$.b``.
- A bare word on the right of a comparison is a string, as jsonpath-ng has it today, without its warning.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from jsonpath_ng import Child, Descendants, Fields, Index, JSONPath, Root, Slice, This
from jsonpath_ng.ext.filter import And, Filter, Or
from jsonpath_ng.ext.filter import Expression as Condition
from jsonpath_ng.jsonpath import Wildcard

from service.model import Json
from service.watches import conditions, grammar, steps
from service.watches.grammar import PathError
from service.watches.steps import MISSING, Budget, Missing, TooMuch

__all__ = ["MISSING", "Budget", "Expression", "Missing", "PathError", "TooMuch", "compile"]

MAX_NODES = 64  # names, indices, descents, filters and conditions of one path

Keys: TypeAlias = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Expression:
    """A path, ready to be followed any number of times."""

    text: str  # as it was written
    definite: bool  # False: a wildcard, slice, filter, descent or several names: it gives an array
    find: Callable[[Json, Budget], Json | Missing] = field(repr=False)  # in `$`; TooMuch when the budget is spent
    leading: tuple[str, ...] = ()  # the plain names that it begins with

    def names(self) -> tuple[str, ...]:
        """``("staff", "firstName")`` of ``$.staff.firstName``; up to the first index, wildcard or filter."""
        return self.leading


@functools.lru_cache(maxsize=2048)  # reading a path takes 100 times as long as following it, and watches are alike
def compile(text: str) -> Expression:  # noqa: A001  called as jsonpath.compile, like re.compile
    """The path that the text describes.

    Raises:
        PathError: not a path, or not one that is taken here.
    """
    links = tuple(_links(grammar.parse(text)))
    size = _Size()
    if not isinstance(links[0], Root):
        raise PathError("a path begins with `$`", 0)
    compiled = _steps(links[1:], size)
    leading: list[str] = []
    for link in links[1:]:
        if not isinstance(link, Fields) or len(link.fields) != 1:
            break
        leading.append(link.fields[0])
    keys = _keys(links[1:])
    if keys is not None:
        plain = keys
        return Expression(text, True, lambda root, _budget: steps.follow(plain, root), tuple(leading))
    return Expression(text, False, lambda root, budget: steps.run(compiled, [root], root, budget), tuple(leading))


class _Size:
    """Counts the nodes of one path."""

    def __init__(self) -> None:
        self.nodes = 0

    def add(self) -> None:
        self.nodes += 1
        if self.nodes > MAX_NODES:
            raise PathError(f"a path has at most {MAX_NODES} steps and conditions", 0)


class _Descent:
    """Stands between the two sides of ``..`` in a flat path."""


def _links(tree: JSONPath) -> Iterator[JSONPath | _Descent]:
    """The path as a flat chain; a tree of a thousand steps would be as deep."""
    waiting: list[JSONPath | _Descent] = [tree]
    while waiting:
        node = waiting.pop()
        if isinstance(node, Child):
            waiting += (node.right, node.left)
        elif isinstance(node, Descendants):
            waiting += (node.right, _Descent(), node.left)
        else:
            yield node


def _steps(links: Sequence[JSONPath | _Descent], size: _Size) -> tuple[steps.Step, ...]:
    compiled = []
    for link in links:
        size.add()
        build = _STEPS.get(type(link))
        if build is None:
            raise PathError(f"{type(link).__name__} is not taken in paths", 0)
        compiled.append(build(link, size))
    return tuple(compiled)


def _keys(links: Sequence[JSONPath | _Descent]) -> Keys | None:
    """The names and indices of a definite path; None of any other."""
    keys: list[str | int] = []
    for link in links:
        if isinstance(link, Fields) and len(link.fields) == 1:
            keys.append(link.fields[0])
        elif isinstance(link, Index) and len(link.indices) == 1:
            keys.append(link.indices[0])
        else:
            return None
    return tuple(keys)


def _test(node: JSONPath, size: _Size) -> steps.Test:
    """What a filter asks of each value. The grammar bounds how deep filters stand in filters."""
    size.add()
    if isinstance(node, And):
        return conditions.every([_test(operand, size) for operand in node.operands])
    if isinstance(node, Or):
        return conditions.either([_test(operand, size) for operand in node.operands])
    if not isinstance(node, Condition):
        raise PathError(f"{type(node).__name__} is not taken in a filter", 0)
    left = _query(node.target, size)
    if node.op is None:
        return conditions.exists(left)
    if node.op == "!":
        return conditions.absent(left)
    return conditions.compared(left, node.op, _operand(node.value, size))


def _operand(value: JSONPath | Json, size: _Size) -> conditions.Query:
    if isinstance(value, JSONPath):
        return _query(value, size)
    literal: list[Json] = [value]
    return lambda _this, _root, _budget: literal


def _query(tree: JSONPath, size: _Size) -> conditions.Query:
    """A path inside a filter, which begins at the value tested, or at the root."""
    links = tuple(_links(tree))
    from_root = isinstance(links[0], Root)
    if from_root or isinstance(links[0], This):
        links = links[1:]  # a path that begins with a name begins at the value tested
    compiled = _steps(links, size)
    keys = _keys(links)
    if keys is None:
        return lambda this, root, budget: steps.run(compiled, [root if from_root else this], root, budget)
    plain = keys

    def query(this: Json, root: Json, _budget: Budget) -> steps.Nodes:
        found = steps.follow(plain, root if from_root else this)
        return [] if found is MISSING else [found]

    return query


_STEPS: dict[type, Callable[[Any, _Size], steps.Step]] = {
    Fields: lambda node, _size: steps.members(node.fields),
    Index: lambda node, _size: steps.elements(node.indices),
    Slice: lambda node, _size: steps.cut(slice(node.start, node.end, node.step)),
    Wildcard: lambda _node, _size: steps.children,
    _Descent: lambda _node, _size: steps.descent,
    Filter: lambda node, size: steps.chosen(conditions.every([_test(one, size) for one in node.expressions])),
}
