"""The two forms of a JSON template: an object, and JSON text.

Both become one rope. Of an object, the rope is its JSON with the strings cut at their placeholders. Of a
text, it is the text as it is written, cut at placeholders inside quotes and outside of them; that it gives
JSON for any values is known once it does so with null outside the quotes and text inside them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from service import jsontext
from service.errors import BadRequest
from service.model import Json
from service.watches import rendering
from service.watches.interpolate import Reading
from service.watches.jsonpath import Expression
from service.watches.rendering import Hole, Rope

_OUTSIDE = re.compile(r'"|\$?\$\{')
_INSIDE = re.compile(r'"|\\.|\$?\$\{', re.DOTALL)
_STAND_IN = "\ue000"  # of the private use area: marks a placeholder's place inside quotes


def of_object(value: Json, pointer: str, reading: Reading) -> Rope:
    """Strings are filled, and stay strings; keys and other values stay as they are."""
    return Rope.of(_written(value, pointer, reading))


def of_text(text: str, reading: Reading) -> tuple[Rope, bool]:
    """Values go in typed outside quotes, as escaped text inside them.

    The flag says that a member's name holds a placeholder: then two names may come out the same.
    """
    pieces, skeleton = _cut(text, reading)
    if reading.faults:
        return Rope.of(()), False  # a text with holes in the wrong places cannot be judged
    try:
        sample = jsontext.loads(skeleton)
    except BadRequest as error:
        hint = "; a placeholder outside quotes stands for one whole value" if reading.expressions else ""
        empty = "it is empty" if not text.strip() else error.detail
        reading.fault("", f"no value can make this text JSON: {empty}{hint}")
        return Rope.of(()), False
    return Rope.of(pieces), _in_names(sample)


def _written(value: Json, pointer: str, reading: Reading) -> Iterator[bytes | Hole]:
    if isinstance(value, str) and "${" in value:
        yield b'"'
        for part in reading.parts(value, pointer):
            if isinstance(part, Expression):
                yield Hole(part, rendering.quoted)
            else:
                yield rendering.quoted(part)
        yield b'"'
    elif isinstance(value, dict):
        for index, (name, member) in enumerate(value.items()):
            yield b"," if index else b"{"
            yield jsontext.dumps(name)
            yield b":"
            yield from _written(member, f"{pointer}{jsontext.pointer(name)}", reading)
        yield b"}" if value else b"{}"
    elif isinstance(value, list):
        for index, element in enumerate(value):
            yield b"," if index else b"["
            yield from _written(element, f"{pointer}/{index}", reading)
        yield b"]" if value else b"[]"
    else:
        yield jsontext.dumps(value)


def _cut(text: str, reading: Reading) -> tuple[list[bytes | Hole], str]:
    """The rope's pieces, and the text with a sample in each hole, as long as the placeholder was."""
    pieces: list[bytes | Hole] = []
    skeleton: list[str] = []
    end, quotes = 0, False
    while mark := (_INSIDE if quotes else _OUTSIDE).search(text, end):
        if mark[0] != "${":
            literal = text[end : mark.start()] + ("${" if mark[0] == "$${" else mark[0])
            pieces.append(literal.encode())
            skeleton.append(text[end : mark.end()])
            quotes ^= mark[0] == '"'
            end = mark.end()
            continue
        pieces.append(text[end : mark.start()].encode())
        skeleton.append(text[end : mark.start()])
        expression, end = reading.placeholder(text, mark.start(), "", escaped=quotes)
        if expression:
            pieces.append(Hole(expression, rendering.quoted if quotes else rendering.typed))
        sample = f"{_STAND_IN}{len(reading.expressions)}" if quotes else "null"
        skeleton.append(sample.ljust(end - mark.start()))
    pieces.append(text[end:].encode())
    skeleton.append(text[end:])
    return pieces, "".join(skeleton)


def _in_names(sample: Json) -> bool:
    waiting = [sample]
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            if any(_STAND_IN in name for name in value):
                return True
            waiting += value.values()
        elif isinstance(value, list):
            waiting += value
    return False
