"""Query parameters of a collection, and what is wrong with one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

from service.errors import BadRequest

Query: TypeAlias = Mapping[str, str]  # whose items() holds a name several times if it was given several times


class BadParameter(BadRequest):
    """A query parameter that cannot be taken; carries its name."""

    def __init__(self, parameter: str, detail: str) -> None:
        super().__init__(f"{parameter}: {detail}")
        self.parameter = parameter


def whole(query: Query, name: str, default: int, most: int) -> int:
    """A whole number from 1 on."""
    text = query.get(name)
    if text is None:
        return default
    if not (text.isascii() and text.isdigit() and 1 <= int(text[:18]) <= most):
        raise BadParameter(name, f"must be a whole number from 1 to {most}")
    return int(text)


def flag(query: Query, name: str, *, default: bool) -> bool:
    """``true`` or ``false``."""
    text = query.get(name)
    if text not in (None, "true", "false"):
        raise BadParameter(name, "must be true or false")
    return default if text is None else text == "true"
