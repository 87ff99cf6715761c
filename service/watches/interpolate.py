"""``${jsonpath}`` in text: where the placeholders are, and which path each of them holds.

``$${`` is a literal ``${``. A placeholder ends at the first ``}`` outside the path's own quotes, so that
``${$['}']}`` is one. Everything is read once, when a watch is registered; what values contain is never read.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from service.errors import FieldError, Invalid
from service.watches import grammar, jsonpath

MAX_PLACEHOLDERS = 256  # in one template

MARK = re.compile(r"\$?\$\{")  # `$${` or `${`
_ESCAPE = re.compile(r'\\(?:(["\\/bfnrt])|u([0-9a-fA-F]{4}))')  # RFC 8259, section 7
_SHORT = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}


@dataclass(slots=True)
class Reading:
    """What has been found so far in one template: its paths, and its faults, all of them."""

    expressions: list[tuple[str, jsonpath.Expression]] = field(default_factory=list)  # with their pointers
    faults: list[FieldError] = field(default_factory=list)

    def parts(self, text: str, pointer: str) -> Iterator[str | jsonpath.Expression]:
        """The text as literal pieces and paths; a path with a fault is left out, and the fault noted."""
        end = 0
        while mark := MARK.search(text, end):
            yield text[end : mark.start()]
            if mark[0] == "$${":
                yield "${"
                end = mark.end()
                continue
            expression, end = self.placeholder(text, mark.start(), pointer)
            if expression:
                yield expression
        yield text[end:]

    def placeholder(
        self, text: str, start: int, pointer: str, *, escaped: bool = False
    ) -> tuple[jsonpath.Expression | None, int]:
        """The path whose ``${`` is at ``start``, and the offset behind its ``}``.

        ``escaped``: it stands in the text of a JSON string, whose escapes are undone before the path is read.
        """
        path, end = _read(text, start + 2, escaped=escaped)
        if path is None:
            self.fault(pointer, f"the `${{` at character {start + 1} has no `}}`; a literal `${{` is written `$${{`")
            return None, len(text)
        try:
            expression = jsonpath.compile(path)
        except jsonpath.PathError as error:
            shown = path if len(path) <= 60 else f"{path[:60]}..."
            self.fault(pointer, f"`{shown}`, character {error.position + 1}: {error.detail}")
            return None, end
        if len(self.expressions) == MAX_PLACEHOLDERS:
            raise Invalid.at(pointer, f"a template has at most {MAX_PLACEHOLDERS} placeholders")
        self.expressions.append((pointer, expression))
        return expression, end

    def fault(self, pointer: str, detail: str) -> None:
        """Note one fault; a hostile template may have thousands, of which the first ones are enough."""
        self.faults.append(FieldError(pointer, detail))
        if len(self.faults) == 20:
            raise Invalid.of(self.faults)

    def finish(self) -> tuple[tuple[str, jsonpath.Expression], ...]:
        """Every path with its pointer; Invalid with all the faults if there are any."""
        if self.faults:
            raise Invalid.of(self.faults)
        return tuple(self.expressions)


def _read(text: str, start: int, *, escaped: bool) -> tuple[str | None, int]:
    """The path from ``start`` to its closing brace, and the offset behind that; None if there is none."""
    characters: list[str] = []
    quote, at = "", start
    while at < len(text) and len(characters) <= grammar.MAX_LENGTH:
        character, after = _character(text, at) if escaped else (text[at], at + 1)
        if character == "}" and not quote:
            return _whole("".join(characters)), after
        characters.append(character)
        if character == "\\" and quote and after < len(text):  # the path's own escape: the next one is taken as it is
            character, after = _character(text, after) if escaped else (text[after], after + 1)
            characters.append(character)
        elif quote:
            quote = "" if character == quote else quote
        elif character in "'\"":
            quote = character
        at = after
    return (None, at) if at >= len(text) else ("".join(characters), len(text))


def _character(text: str, at: int) -> tuple[str, int]:
    """One character of a JSON string's text, its escapes undone, and the offset behind it."""
    escape = _ESCAPE.match(text, at)
    if not escape:
        return text[at], at + 1
    if escape[2]:
        return chr(int(escape[2], 16)), escape.end()
    return _SHORT.get(escape[1], escape[1]), escape.end()


def _whole(path: str) -> str:
    """The path with the halves of its surrogate pairs joined; a lone one stays, and is refused with the path."""
    return path.encode("utf-16", "surrogatepass").decode("utf-16", "surrogatepass")
