"""The form of a watch, checked against its JSON Schema, with a readable sentence for each fault.

Sentences never repeat a value: it may be a secret. The walk is bounded: it ends after ``MOST_FAULTS``, and no
keyword takes more than linear time.
"""

from __future__ import annotations

import difflib
import itertools
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import jsonschema
from jsonschema.exceptions import ValidationError

from service import jsontext
from service.errors import FieldError
from service.model import Document

SCHEMA: Mapping[str, Any] = json.loads(
    (Path(__file__).parents[1] / "schemas" / "watch.json").read_text(encoding="utf-8")
)
MOST_FAULTS = 20
READ_ONLY = frozenset(name for name, schema in SCHEMA["properties"].items() if schema.get("readOnly"))
SECTIONS = ("basicAuth", "oauth2Auth", "signature", "retry")  # members that are objects of known members


def faults(form: Document) -> list[FieldError]:
    """What breaks the schema, at most ``MOST_FAULTS``."""
    broken = itertools.islice(_VALIDATOR.iter_errors(form), MOST_FAULTS)
    return [FieldError(jsontext.pointer(*error.absolute_path), _sentence(error)) for error in broken]


def without_read_only(body: Document) -> Document:
    """The body without the members that only answers have, so that an answer can be sent back as it is."""
    form = {name: value for name, value in body.items() if name not in READ_ONLY}
    signature = form.get("signature")
    if isinstance(signature, dict):
        form["signature"] = {name: value for name, value in signature.items() if name != "secret"}
    return form


def read_only_faults(body: Document) -> list[FieldError]:
    """Members that only answers have, where a new watch is asked for."""
    signature = body.get("signature")
    pointers = [jsontext.pointer(name) for name in body if name in READ_ONLY]
    if isinstance(signature, dict) and "secret" in signature:
        pointers.append("/signature/secret")
    return [FieldError(pointer, "is set by the service: leave it out") for pointer in pointers]


def without_nulls(form: Document) -> Document:
    """The form without members that are null: to say null is to leave the member at its default."""
    kept = _without_nulls(form, SCHEMA)
    for section in SECTIONS:
        members = kept.get(section)
        if isinstance(members, dict):
            kept[section] = _without_nulls(members, SCHEMA["properties"][section])
    return kept


def _without_nulls(members: Document, schema: Mapping[str, Any]) -> Document:
    return {name: value for name, value in members.items() if value is not None or name not in schema["properties"]}


def hint(name: str, known: Iterable[str]) -> str:
    """``; did you mean x?`` where a known name is near, else nothing."""
    by_lower = {candidate.lower(): candidate for candidate in known}
    near = difflib.get_close_matches(name[:100].lower(), by_lower, n=1)
    return f"; did you mean {by_lower[near[0]]}?" if near else ""


def _sentence(error: ValidationError) -> str:
    explain = SENTENCES.get(str(error.validator))
    return explain(error.validator_value) if explain else error.message


def _text(value: Any) -> str:
    return json.dumps(value)


SENTENCES: Mapping[str, Callable[[Any], str]] = {
    "minLength": lambda limit: f"must have at least {limit} character{'s' * (limit != 1)}",
    "maxLength": lambda limit: f"must have at most {limit} characters",
    "minItems": lambda limit: f"must have at least {limit} element{'s' * (limit != 1)}",
    "maxItems": lambda limit: f"must have at most {limit} elements",
    "maxProperties": lambda limit: f"must have at most {limit} members",
    "minimum": lambda limit: f"must be {limit} or more",
    "maximum": lambda limit: f"must be {limit} or less",
}

ARTICLES = {"array": "an array", "object": "an object", "null": "null", "string": "a string", "number": "a number"}


# Keywords that point more precisely, or say it better, than jsonschema's own. Each takes the validator, the
# keyword's value, the instance and the schema, as jsonschema calls them.


def _type(validator: Any, value: Any, instance: Any, _schema: Any) -> Iterator[ValidationError]:
    types = [value] if isinstance(value, str) else value
    if not any(validator.is_type(instance, name) for name in types):
        yield ValidationError(f"must be {' or '.join(ARTICLES[name] for name in types)}")


def _enum(_validator: Any, values: Any, instance: Any, _schema: Any) -> Iterator[ValidationError]:
    if not any(type(instance) is type(value) and instance == value for value in values):
        yield ValidationError(f"must be {'one of ' * (len(values) > 1)}{', '.join(map(_text, values))}")


def _required(_validator: Any, names: Any, instance: Any, _schema: Any) -> Iterator[ValidationError]:
    if isinstance(instance, dict):
        yield from (ValidationError("is required", path=[name]) for name in names if name not in instance)


def _additional(validator: Any, allowed: Any, instance: Any, schema: Any) -> Iterator[ValidationError]:
    known = schema.get("properties", {})
    for name in instance if isinstance(instance, dict) and _few(instance, schema.get("maxProperties")) else ():
        if name in known:
            continue
        if allowed is not False:
            yield from validator.descend(instance[name], allowed, path=name)
        else:
            yield ValidationError(f"is not a known member{hint(name, known)}", path=[name])


def _items(validator: Any, each: Any, instance: Any, schema: Any) -> Iterator[ValidationError]:
    if isinstance(instance, list) and _few(instance, schema.get("maxItems")):
        for index, item in enumerate(instance):
            yield from validator.descend(item, each, path=index)


def _few(instance: Any, limit: int | None) -> bool:
    """Whether its elements are looked at: of too many it is said that they are too many, and no more."""
    return limit is None or len(instance) <= limit


def _unique(_validator: Any, _wanted: Any, instance: Any, _schema: Any) -> Iterator[ValidationError]:
    # jsonschema compares every element with every other; here they are texts, and others have another fault.
    if isinstance(instance, list):
        texts = [item for item in instance if isinstance(item, str)]
        if len(set(texts)) < len(texts):
            yield ValidationError("must not hold the same element twice")


def _format(_validator: Any, name: Any, instance: Any, _schema: Any) -> Iterator[ValidationError]:
    for pattern, sentence in FORMATS.get(name, ()) if isinstance(instance, str) else ():
        if pattern.search(instance):
            yield ValidationError(sentence)


_NO_CONTROLS = (re.compile(r"[\x00-\x1f\x7f-\x9f]"), "must not hold control characters")
_NO_COLON = (re.compile(":"), "must not hold a colon: HTTP Basic ends the username there (RFC 7617)")
FORMATS: Mapping[str, Sequence[tuple[re.Pattern[str], str]]] = {
    "line": (_NO_CONTROLS,),
    "basic-username": (_NO_COLON, _NO_CONTROLS),
}

_VALIDATOR = jsonschema.validators.extend(  # type: ignore[no-untyped-call]
    jsonschema.Draft202012Validator,
    {
        "type": _type,
        "enum": _enum,
        "required": _required,
        "additionalProperties": _additional,
        "items": _items,
        "uniqueItems": _unique,
        "format": _format,
    },
)(SCHEMA)
