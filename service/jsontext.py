"""JSON text, read strictly: what comes in here is stored, compared and sent on without loss.

RFC 8259 leaves open what its readers do with a name given twice, with numbers that no machine word holds,
with half of a surrogate pair, with nesting without end. Two readers that differ there see two documents
(a signature checked on one, an account made from the other), so all of it is refused, as I-JSON (RFC 7493)
advises, and NaN with it, which is no JSON at all.

Good text is read by orjson, and a walk then proves that nothing was lost on the way. What cannot be proved so is
read again by C code with a few short hooks, which decides; and text that was refused once more, by hooks that leave
each fault standing in its place, so that a walk can say where it is.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterator
from enum import Enum
from typing import Any, cast

import orjson

from service.errors import BadRequest, FieldError
from service.model import Json

MAX_DEPTH = 64  # arrays and objects inside each other; every recursion over a document relies on it
SMALLEST, LARGEST = -(2**63), 2**64 - 1  # what the columns and libraries of 64 bits hold
LONGEST = len(str(LARGEST))  # characters; longer digits are refused unread: int() takes quadratic time
LONGEST_POINTER = 1000  # characters

# One structural bracket, or a whole string, so that brackets in strings are passed over. A string without an end
# is taken to the end of the text: a search that failed there would start again at every quote inside it.
_STRUCTURE = re.compile(r'"(?:[^"\\]++|\\.)*+"?|[\[{\]}]', re.DOTALL)

_WORDS = {  # for those of the reader's messages that need what follows them
    "Extra data": "there is more text behind its end",
    "Unterminated string starting at": "a string without an end",
    "Invalid control character at": "a control character in a string: escape it",
}

_SPACED = bytes.maketrans(b"\t\n\r", b"   ")  # all white space alike

_Place = tuple[Any, str | int] | None  # of a value: its parent's place and its own name or index; None: the root


def loads(data: bytes | str, *, max_depth: int = MAX_DEPTH) -> Json:
    """The value of one JSON text in UTF-8 (or already decoded).

    Raises:
        BadRequest: it is no JSON, or JSON of a kind that is not taken; the detail says what and where, and
            ``errors`` holds the JSON Pointer if it is a value that is at fault.
    """
    if isinstance(data, bytes):
        try:
            value: Json = orjson.loads(data)
        except orjson.JSONDecodeError:
            pass  # the strict reader says what is wrong
        else:
            if _is_proven(value, data, max_depth):
                return value
    text = _decode(data)
    try:
        value = _STRICT.decode(text)
        if text.count("[") + text.count("{") > max_depth:
            _check_depth(value, max_depth)
        if "\\u" in text:
            orjson.dumps(value)  # refuses lone surrogates, which only an escape can bring in
    except (json.JSONDecodeError, _Refused, orjson.JSONEncodeError, RecursionError):
        raise _explain(text, max_depth) from None
    return value


def dumps(value: Json) -> bytes:
    """Compact JSON in UTF-8, members in their own order: for bodies and for storage."""
    return orjson.dumps(value)


def text(value: Json) -> str:
    """The same as ``dumps``, decoded."""
    return orjson.dumps(value).decode()


def written(text: str) -> Json:
    """A value whose compact JSON is known already: ``dumps`` takes it over as it stands."""
    return cast(Json, orjson.Fragment(text))


def pointer(*tokens: str | int) -> str:
    """The JSON Pointer (RFC 6901) through these member names and indices; ``""`` without any."""
    return "".join(f"/{escape(token) if isinstance(token, str) else token}" for token in tokens)


def escape(token: str) -> str:
    """A member name as one token of a JSON Pointer."""
    if "~" in token or "/" in token:
        return token.replace("~", "~0").replace("/", "~1")
    return token


def _is_proven(value: Json, data: bytes, max_depth: int) -> bool:
    """Whether nothing was lost when orjson read this: no name given twice, no integer made a double.

    It refuses lone surrogates, NaN and what is no UTF-8 itself; of a name given twice it keeps the last. Each name
    stands before a quote and a colon, and so may text inside a string: where there are as many of these as names were
    read, with no white space between the two anywhere, none was lost. An integer of more than 64 bits becomes a double
    outside of their range; few others are there.
    """
    if data.count(b"[") + data.count(b"{") > max_depth and not _is_flat(value, max_depth):
        return False
    names = 0
    containers: list[Any] = [[value]]
    for container in containers:  # which grows on the way
        if type(container) is dict:
            names += len(container)
            members: Any = container.values()
        else:
            members = container
        for member in members:
            kind = type(member)
            if kind is dict or kind is list:
                containers.append(member)
            elif kind is float and not SMALLEST < member < LARGEST:
                return False
    return data.count(b'":') == names and b" :" not in data.translate(_SPACED)


def _is_flat(value: Json, max_depth: int) -> bool:
    """Whether it is nested no deeper than that."""
    try:
        _check_depth(value, max_depth)
    except RecursionError:
        return False
    return True


def _decode(data: bytes | str) -> str:
    try:
        if isinstance(data, bytes):
            text = data.decode("utf-8")
        else:
            data.encode("utf-8")
            text = data
    except UnicodeDecodeError as error:
        sound = error.object[: error.start].decode("utf-8")
        raise BadRequest(f"not UTF-8 {_position(sound, len(sound))}: send JSON as UTF-8 text") from None
    except UnicodeEncodeError as error:
        raise BadRequest(f"a lone surrogate {_position(error.object, error.start)}: send whole characters") from None
    if text.startswith("\ufeff"):
        raise BadRequest("the text begins with a byte order mark (line 1, column 1): send UTF-8 without one")
    if not text.strip(" \t\r\n"):
        raise BadRequest("the body is empty: send a JSON document")
    return text


def _check_depth(value: Json, max_depth: int) -> None:
    level: list[Any] = [[value]]  # all containers of one depth, the first of them ours
    for _ in range(max_depth + 1):
        level = [
            child
            for parent in level
            for child in (parent.values() if isinstance(parent, dict) else parent)
            if isinstance(child, dict | list)
        ]
        if not level:
            return
    raise RecursionError  # as the reader does of itself, where the stack ends


class _Fault(Enum):
    """What can be wrong with a value whose text is well-formed."""

    INTEGER = f"the integer is outside {SMALLEST} .. {LARGEST}: send it as a string"
    DOUBLE = "the number is too large for a double: send it as a string"
    CONSTANT = "NaN and Infinity are not JSON: send null or leave the member out"
    SURROGATE = "the string holds a lone surrogate: send whole characters"
    NAME = "a member's name holds a lone surrogate: send whole characters"
    TWICE = "the member is given twice: send it once"


class _Refused(Exception):
    def __init__(self, fault: _Fault) -> None:
        super().__init__(fault.value)
        self.fault = fault


def _object(members: list[tuple[str, Json]]) -> dict[str, Json]:
    value = dict(members)
    if len(value) != len(members):
        raise _Refused(_Fault.TWICE)
    return value


def _integer(digits: str) -> int:
    if len(digits) > LONGEST:
        raise _Refused(_Fault.INTEGER)
    value = int(digits)
    if not SMALLEST <= value <= LARGEST:
        raise _Refused(_Fault.INTEGER)
    return value


def _double(digits: str) -> float:
    value = float(digits)
    if not math.isfinite(value):
        raise _Refused(_Fault.DOUBLE)
    return value


def _constant(_name: str) -> None:
    raise _Refused(_Fault.CONSTANT)


def _standing(parse: Callable[[str], Json]) -> Callable[[str], Json | _Fault]:
    def hook(digits: str) -> Json | _Fault:
        try:
            return parse(digits)
        except _Refused as refused:
            return refused.fault

    return hook


_STRICT = json.JSONDecoder(object_pairs_hook=_object, parse_int=_integer, parse_float=_double, parse_constant=_constant)
_LENIENT = json.JSONDecoder(  # objects become tuples of members, so that none is lost
    object_pairs_hook=tuple,
    parse_int=_standing(_integer),
    parse_float=_standing(_double),
    parse_constant=_standing(_constant),
)


def _explain(text: str, max_depth: int) -> BadRequest:
    """What is wrong with refused text, and where: its depth, then its syntax, then the first value at fault."""
    depth = 0
    for token in _STRUCTURE.finditer(text):
        depth += {"[": 1, "{": 1, "]": -1, "}": -1}.get(token[0], 0)
        if depth > max_depth:
            where = _position(text, token.start())
            return BadRequest(f"nested more than {max_depth} levels deep {where}: send a flatter document")
    try:
        for place, fault in _faults(_LENIENT.decode(text)):
            return _at(place, fault)
    except json.JSONDecodeError as error:
        return _syntax(error)
    except RecursionError:
        pass
    # Reached when the caller's own stack, or its max_depth, leaves less room than the document needs.
    return BadRequest("nested too deeply to be read: send a flatter document")


def _faults(value: Any) -> Iterator[tuple[_Place, _Fault]]:
    """The faults of a leniently read value, in the order of the document, an object's names before what they name."""
    # Places are linked, not written out: one long name above many values would be copied for each of them.
    waiting: list[tuple[_Place, Any]] = [(None, value)]
    while waiting:
        place, value = waiting.pop()
        if isinstance(value, _Fault):
            yield place, value
        elif isinstance(value, str) and _broken(value):
            yield place, _Fault.SURROGATE
        elif isinstance(value, list):
            waiting.extend(((place, index), value[index]) for index in reversed(range(len(value))))
        elif isinstance(value, tuple):
            names = set()
            for name, _ in value:
                if _broken(name):
                    yield place, _Fault.NAME
                elif name in names:
                    yield (place, name), _Fault.TWICE
                names.add(name)
            waiting.extend(((place, name), member) for name, member in reversed(value))


def _broken(string: str) -> bool:
    try:
        string.encode("utf-8")
    except UnicodeEncodeError:
        return True
    return False


def _at(place: _Place, fault: _Fault) -> BadRequest:
    tokens: list[str | int] = []
    while place is not None:
        place, token = place
        tokens.append(token)
    where = ""
    for token in reversed(tokens):
        longer = where + pointer(token)
        if len(longer) > LONGEST_POINTER:
            break  # point to what it is in: an answer is no echo of the request
        where = longer
    detail = f"{where}: {fault.value}" if where else fault.value
    return BadRequest(detail, (FieldError(where, fault.value),))


def _syntax(error: json.JSONDecodeError) -> BadRequest:
    what = _WORDS.get(error.msg, error.msg[0].lower() + error.msg[1:])
    return BadRequest(f"not JSON: {what} {_position(error.doc, error.pos)}")


def _position(text: str, offset: int) -> str:
    line = text.count("\n", 0, offset) + 1
    column = offset - text.rfind("\n", 0, offset)
    return f"(line {line}, column {column})"
