"""A page's JSON when one value in it is none that can be kept: an integer of 70 bits, a NaN, a name given twice.

``jsontext`` refuses the whole text for it, and rightly where somebody can send it again. An upstream cannot be
asked to, and the other records of the page are sound. So what was refused is read again by a reader that lets
such values pass, and each record answers for its own (see ``soundness``).
"""

from __future__ import annotations

import json
import math

from service import jsontext
from service.errors import BadRequest
from service.model import Json


class Twice(dict[str, Json]):
    """An object of whose names one was given twice."""


def loads(body: bytes) -> Json:
    """A page.

    Raises:
        BadRequest: it is no JSON at all, or two readers would take it for two different pages.
    """
    try:
        return jsontext.loads(body)
    except BadRequest as refusal:
        try:
            value: Json = _LENIENT.decode(body.decode("utf-8"))
        except (ValueError, RecursionError):  # bad UTF-8 is a ValueError
            raise refusal from None
        if isinstance(value, Twice):
            raise
        return value


def is_ambiguous(value: Json) -> bool:
    """Whether a name is given twice somewhere in it."""
    waiting = [value]
    while waiting:
        value = waiting.pop()
        if isinstance(value, Twice):
            return True
        waiting += value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return False


def _object(members: list[tuple[str, Json]]) -> dict[str, Json]:
    value = dict(members)
    return value if len(value) == len(members) else Twice(value)


def _integer(digits: str) -> int | float:
    # int() takes quadratic time for digits without end
    return int(digits) if len(digits) <= jsontext.LONGEST else math.inf


_LENIENT = json.JSONDecoder(object_pairs_hook=_object, parse_int=_integer)
