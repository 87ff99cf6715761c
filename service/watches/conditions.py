"""What filters ask: existence, comparison, and both combined.

Comparison is that of RFC 9535, section 2.3.5.2.2, and of jsonpath-ng: typed, and never an error. Only two
numbers or two strings have an order; other values are merely equal or not.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from typing import TypeAlias

from service.model import Json
from service.watches.steps import Budget, Nodes, Test

FREE_TEXT = 256  # characters that a comparison reads at the price of one value

Query: TypeAlias = Callable[[Json, Json, Budget], Nodes]  # `@`, `$`, the budget: a path inside a filter


def exists(query: Query) -> Test:
    """``[?@.a]``: the path leads to something, were it null or false."""
    return lambda this, root, budget: bool(query(this, root, budget))


def absent(query: Query) -> Test:
    """``[?!@.a]``."""
    return lambda this, root, budget: not query(this, root, budget)


def every(tests: Sequence[Test]) -> Test:
    """``&&``."""
    return lambda this, root, budget: all(test(this, root, budget) for test in tests)


def either(tests: Sequence[Test]) -> Test:
    """``||``."""
    return lambda this, root, budget: any(test(this, root, budget) for test in tests)


def compared(left: Query, op: str, right: Query) -> Test:
    """``[?@.a < 1]``: any value on the left stands in that relation to any on the right.

    Nothing is equal to nothing and unequal to everything else (RFC 9535, section 2.3.5.2.2).
    """
    order, by_equality = _ORDER[op], _BY_EQUALITY[op]

    def test(this: Json, root: Json, budget: Budget) -> bool:
        ours, theirs = left(this, root, budget), right(this, root, budget)
        budget.spend(1)
        if not ours or not theirs:
            return by_equality(not ours and not theirs)
        return any(
            order(mine, other) if _ordered(mine, other, budget) else by_equality(equal(mine, other, budget))
            for mine in ours
            for other in theirs
        )

    return test


def equal(left: Json, right: Json, budget: Budget) -> bool:
    """Typed equality: ``1`` and ``1.0`` are one number; ``1``, ``"1"`` and ``true`` are three values."""
    pairs = [(left, right)]
    while pairs:
        left, right = pairs.pop()
        if isinstance(left, list) and isinstance(right, list):
            if len(left) != len(right):
                return False
            budget.spend(len(left))
            pairs += zip(left, right, strict=True)
        elif isinstance(left, dict) and isinstance(right, dict):
            if len(left) != len(right):
                return False
            budget.spend(len(left))
            for name, member in left.items():
                if name not in right:
                    return False
                pairs.append((member, right[name]))
        elif not _same(left, right, budget):
            return False
    return True


def _same(left: Json, right: Json, budget: Budget) -> bool:
    if isinstance(left, bool) or isinstance(right, bool):
        return left is right
    if isinstance(left, str) and isinstance(right, str):
        _pay_for_text(left, right, budget)
    return left == right


def _ordered(left: Json, right: Json, budget: Budget) -> bool:
    """Whether the two have an order: two strings (by code point), or two numbers."""
    if isinstance(left, str) and isinstance(right, str):
        _pay_for_text(left, right, budget)
        return True
    return _is_number(left) and _is_number(right)


def _pay_for_text(left: str, right: str, budget: Budget) -> None:
    budget.spend(min(len(left), len(right)) // FREE_TEXT)


def _is_number(value: Json) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


_ORDER: dict[str, Callable[..., bool]] = {
    "==": operator.eq,
    "=": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_BY_EQUALITY: dict[str, Callable[[bool], bool]] = {  # what is left of a comparison between values without an order
    "==": bool,
    "=": bool,
    "!=": operator.not_,
    "<": lambda _equal: False,
    "<=": bool,
    ">": lambda _equal: False,
    ">=": bool,
}
