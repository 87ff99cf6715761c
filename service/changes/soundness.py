"""Whether a value that a more lenient reader took in is one that ``jsontext`` would have given.

One bad number must not cost a whole page of a poll, so pages are read leniently and their documents are looked at
one by one.
"""

from __future__ import annotations

import json
import math

from service import jsontext
from service.errors import BadRequest, FieldError, Invalid
from service.model import Json


def check(value: Json) -> None:
    """Raises Invalid, which says where, if the value cannot be kept without loss."""
    if _sound(value, jsontext.MAX_DEPTH):
        return
    try:
        jsontext.loads(json.dumps(value))  # which puts it into words
    except BadRequest as error:
        raise Invalid.of([*error.errors] or [FieldError("", error.detail)]) from None


def _sound(value: Json, room: int) -> bool:
    """``room``: how many arrays and objects may still be inside each other."""
    match value:
        case str():
            return value.isascii() or _encodes(value)
        case None | bool():
            return True
        case int():
            return jsontext.SMALLEST <= value <= jsontext.LARGEST
        case float():
            return math.isfinite(value)
        case dict():
            return room > 0 and all(_sound(name, 0) and _sound(inner, room - 1) for name, inner in value.items())
        case _:
            return room > 0 and all(_sound(inner, room - 1) for inner in value)


def _encodes(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:  # half of a surrogate pair
        return False
    return True
