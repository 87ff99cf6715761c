"""The text of a JSONPath, read by jsonpath-ng under limits of ours.

jsonpath-ng's lexer gives the tokens and its parser the tree; the text between them is ours. What this service
does not take is refused token by token, because only tokens know where they stand, and before the parser has
spent anything on them. Two spellings that jsonpath-ng is about to drop (``&`` for ``&&``, and a bare word for
a string) are handed on in the form it keeps.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator
from typing import Protocol

from jsonpath_ng import JSONPath
from jsonpath_ng.exceptions import JsonPathLexerError, JsonPathParserError
from jsonpath_ng.ext.parser import ExtendedJsonPathLexer, ExtendedJsonPathParser

MAX_LENGTH = 1024  # characters of one path
MAX_TOKENS = 256
MAX_NESTING = 16  # brackets and parentheses inside each other


class PathError(ValueError):
    """A path that cannot be taken: what is wrong with it, and the offset of the place in its text."""

    def __init__(self, detail: str, position: int) -> None:
        super().__init__(detail)
        self.detail = detail
        self.position = position


def parse(text: str) -> JSONPath:
    """jsonpath-ng's tree of a path that begins with ``$``.

    Raises:
        PathError: too long, no JSONPath, or JSONPath of a kind that is not taken here.
    """
    if len(text) > MAX_LENGTH:
        raise PathError(f"a path has at most {MAX_LENGTH:,} characters", MAX_LENGTH)
    if control := _CONTROL.search(text):
        raise PathError("a path holds no line breaks and no control characters", control.start())
    tokens = _tokens(text)
    if not tokens or tokens[0].type != "$":
        name = text.strip().removeprefix("@").lstrip(".") or "name"
        raise PathError(f"a path begins with `$`: write $.{name[:40]}", len(text) - len(text.lstrip()))
    _inspect(tokens, text)
    return _tree(tokens, text)


class _Token(Protocol):
    type: str
    value: float | str | None
    lexpos: int  # where it begins; of quoted text where it ends, until _tokens has put that right


def _tokens(text: str) -> list[_Token]:
    tokens: list[_Token] = []
    end = 0
    try:
        for token in ExtendedJsonPathLexer().tokenize(text):
            if len(tokens) == MAX_TOKENS:
                raise PathError(f"a path has at most {MAX_TOKENS} parts", token.lexpos)
            last, token.lexpos = token.lexpos, _start(token, text, end)
            end = last + 1
            tokens.append(token)
    except JsonPathLexerError as error:
        if column := _COLUMN.search(str(error)):
            at = min(int(column[1]), len(text) - 1)
            raise PathError(f"`{text[at]}` does not belong in a path; such a name is written ['...']", at) from None
        at = _opening(text, end)
        raise PathError(f"the quote `{text[at]}` is never closed", at) from None
    return tokens


def _start(token: _Token, text: str, end: int) -> int:
    """Where a token begins; ``end`` is behind the last one's beginning, or its closing quote."""
    return _opening(text, end) if _is_quoted(token) else token.lexpos


def _opening(text: str, end: int) -> int:
    return next((at for at in range(end, len(text)) if text[at] in "'\"`"), len(text) - 1)


def _is_quoted(token: _Token) -> bool:
    return token.type == "NAMED_OPERATOR" or getattr(token, "quoted", False)


def _inspect(tokens: list[_Token], text: str) -> None:
    """Refuse what is not taken, at its place, and put old spellings into new ones."""
    open_brackets: list[str] = []  # "[", "[?" of a filter, "(" of a condition, "." of a parenthesised path
    before = ""
    for token in tokens:
        kind, at = token.type, token.lexpos
        filtering = "[?" in open_brackets
        if kind in _REFUSED or (kind == "*" and before in _OPERANDS):
            raise PathError(f"{_REFUSED.get(kind, _ARITHMETIC)} is not taken in paths{_hint(kind)}", at)
        if kind == "NAMED_OPERATOR" and token.value != "this":
            raise PathError(f"`{token.value}` and its like are not taken in paths", at)
        if kind == "FILTER_OP" and token.value == "=~":
            raise PathError("regular expressions are not taken in paths", at)
        if kind in {"$", "@", "NAMED_OPERATOR"} and before:
            grouped = before == "(" and open_brackets[-1] == "("
            if not filtering or not (grouped or before in _BEFORE_QUERY):
                raise PathError(f"`{text[at]}` stands only where a path begins", at)
        if kind == "&":
            if not filtering:
                raise PathError("an intersection of paths is not taken", at)
            token.type, token.value = "AND", "&&"
        if kind == "ID":
            token.quoted = True  # type: ignore[attr-defined]  # jsonpath-ng's own mark
        _nest(open_brackets, kind, before, at)
        before = kind


def _nest(open_brackets: list[str], kind: str, before: str, at: int) -> None:
    if kind == "[":
        open_brackets.append("[")
    elif kind == "(":
        in_path = before in {".", "DOUBLEDOT"} or (before == "(" and open_brackets[-1] == ".")
        open_brackets.append("." if in_path else "(")
    elif kind == "?" and before == "[":
        open_brackets[-1] = "[?"
    elif kind in {"]", ")"} and open_brackets:
        open_brackets.pop()
    if len(open_brackets) > MAX_NESTING:
        raise PathError(f"brackets are nested at most {MAX_NESTING} deep", at)


def _hint(kind: str) -> str:
    return f"; a member of that name is written ['{kind.lower()}']" if kind in {"WHERE", "WHERENOT"} else ""


def _tree(tokens: list[_Token], text: str) -> JSONPath:
    last: _Token | None = None  # the parser fails at the last token that it has taken

    def feed() -> Iterator[_Token]:
        nonlocal last
        for token in tokens:
            last = token
            yield token
        last = None

    try:
        return _parser().parse_token_stream(feed())  # type: ignore[arg-type]  # their mock of a token is private
    except JsonPathParserError:
        if last is None:
            raise PathError("the path ends too early", len(text)) from None
        at = last.lexpos
        raise PathError(f"`{text[at : at + 20]}` does not belong here", at) from None


@functools.cache
def _parser() -> ExtendedJsonPathParser:
    """One for all: its tables are read once, and each parse starts on fresh stacks. Not for several threads."""
    return ExtendedJsonPathParser()


_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f\x85\u2028\u2029\ud800-\udfff]")
_COLUMN = re.compile(r"col (\d+)")
_ARITHMETIC = "arithmetic"
_REFUSED = {
    "+": _ARITHMETIC,
    "-": _ARITHMETIC,
    "/": _ARITHMETIC,
    "|": "a union of paths",
    "~": "`~`",
    "SORT_DIRECTION": "sorting",
    "WHERE": "the operator `where`",
    "WHERENOT": "the operator `wherenot`",
}
_OPERANDS = {"ID", "NUMBER", "FLOAT", "BOOL", "NULL", "]", ")", "*", "$", "@"}  # a `*` behind one of them multiplies
_BEFORE_QUERY = {"?", "!", "AND", "OR", "&", "FILTER_OP"}
