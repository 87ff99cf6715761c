"""The gate: does a document keep its schema, and if not, where and why?

Two validators read the same JSON Schema (2020-12). ``jsonschema-rs`` answers yes or no in microseconds and is
asked on every write; ``jsonschema`` says what is wrong, in words and with pointers, and is asked only after a
no. The walk to the faults must not stall the event loop either, so it is held short on three sides:

- it enters only those members and elements that the fast validator refuses, one by one;
- it ends after ``MOST_FAULTS``;
- patterns run on the fast validator's engine, whose time is linear in the text (one that needs backtracking is
  refused when the schema is compiled), and it looks for equal elements, too.

A sentence about a fault never repeats the value: it may be a password.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import unquote

import jsonschema
import jsonschema_rs
from jsonschema.exceptions import ValidationError

from service import jsontext
from service.errors import FieldError
from service.model import Document, Json

DIALECT = "https://json-schema.org/draft/2020-12/schema"
_PATTERNED = '"patternProperties":'  # jsonschema runs these by backtracking: such a schema explains one fault at a time
LONGEST_NAME = 300  # characters of a member's name in a pointer
MOST_FAULTS = 20  # in one answer; who has more has enough to do
REQUIRED = "is required"  # of what is missing

OPTIONS: dict[str, Any] = {
    "validate_formats": False,  # formats are annotations in 2020-12, for both validators alike
    "pattern_options": jsonschema_rs.RegexOptions(),  # the engine without backtracking
    "offline": True,
}

Enter = Callable[[Any, Any, Any, str | int], Iterator[ValidationError]]  # validator, instance, schema, step to it


class SchemaError(ValueError):
    """The schema itself is wrong: ``pointer`` into it, ``detail`` in words."""

    def __init__(self, pointer: str, detail: str) -> None:
        super().__init__(f"{pointer}: {detail}" if pointer else detail)
        self.pointer = pointer
        self.detail = detail


class Gate:
    """A compiled schema. Raises SchemaError when it is no valid, self-contained 2020-12 schema."""

    def __init__(self, schema: Document) -> None:
        self._whole, parts = _compile(schema)
        self._schema = schema  # kept: the parts are known by the identity of its objects
        self._explainer = None if _PATTERNED in jsontext.text(schema) else _explainer(schema, parts)

    def accepts(self, value: Json) -> bool:
        """Whether the value keeps the schema."""
        return self._whole.is_valid(value)

    def explain(self, value: Json) -> list[FieldError]:
        """What is wrong with the value, at most ``MOST_FAULTS``; nothing when it is accepted."""
        if self._whole.is_valid(value):
            return []
        errors = self._explainer.iter_errors(value) if self._explainer else ()
        faults = (fault for error in errors for fault in _faults(error))
        found: list[FieldError] = []
        with contextlib.suppress(RecursionError):  # a schema that leads back to itself without a step into the value
            found.extend(dict.fromkeys(itertools.islice(faults, MOST_FAULTS)))
        return found or [self._first(value)]

    def _first(self, value: Json) -> FieldError:
        """The fast validator's own word: where the two disagree it decides, and says at least where."""
        try:
            self._whole.validate(value)
        except jsonschema_rs.ValidationError as error:
            return FieldError(_place(error.instance_path), f"breaks the schema's {error.kind.name!r}")
        return FieldError("", "breaks the schema")


def marked(schema: Document, mark: str) -> tuple[tuple[str, ...], ...]:
    """Paths of the members whose schema says ``readOnly: true``, or another mark; ``*`` is any name or index."""

    def walk(part: Json, path: tuple[str, ...], followed: frozenset[str]) -> Iterator[tuple[str, ...]]:
        if not isinstance(part, dict):
            return
        if part.get(mark) is True and path:
            yield path
            return
        for name, inner in _inside(part):
            yield from walk(inner, (*path, *name), followed)
        target = part.get("$ref")
        if isinstance(target, str) and target.startswith("#/") and target not in followed:
            yield from walk(_resolve(schema, unquote(target[1:])), path, followed | {target})

    return tuple(dict.fromkeys(walk(schema, (), frozenset())))


def _inside(part: Document) -> Iterator[tuple[tuple[str, ...], Json]]:
    """The schemas in a schema, each with the step that leads to the values it is about."""
    declared = part.get("properties")
    if isinstance(declared, dict):
        yield from (((name,), inner) for name, inner in declared.items())
    yield from ((("*",), part[word]) for word in ("items", "additionalProperties") if word in part)
    for word in ("allOf", "anyOf", "oneOf"):
        forms = part.get(word)
        yield from (((), form) for form in (forms if isinstance(forms, list) else ()))


def _compile(schema: Document) -> tuple[jsonschema_rs.Validator, dict[int, jsonschema_rs.Validator]]:
    """A fast validator for the schema, and one for each schema inside it by the identity of its object."""
    if schema.get("$schema", DIALECT) != DIALECT:
        raise SchemaError("/$schema", f"must be {DIALECT!r} or left out")
    try:
        whole = jsonschema_rs.Draft202012Validator(schema, **OPTIONS)
        parts = jsonschema_rs.validator_map_for({**schema, "$schema": DIALECT}, **OPTIONS)
    except jsonschema_rs.ValidationError as error:
        raise SchemaError(jsontext.pointer(*error.instance_path), error.message) from None
    return whole, {id(_resolve(schema, pointer[1:])): parts[pointer] for pointer in parts.keys()}  # noqa: SIM118


def _resolve(schema: Json, pointer: str) -> Json:
    """The schema inside of the schema that a pointer such as ``/properties/tags/items`` names."""
    for token in pointer.split("/")[1:]:
        name = token.replace("~1", "/").replace("~0", "~")
        schema = schema[int(name)] if isinstance(schema, list) else schema[name]  # type: ignore[index]
    return schema


def _explainer(schema: Document, parts: Mapping[int, jsonschema_rs.Validator]) -> Any:
    """The published validator, entering only what the fast one refuses."""

    def enter(validator: Any, instance: Any, subschema: Any, step: str | int) -> Iterator[ValidationError]:
        part = parts.get(id(subschema)) if isinstance(subschema, dict) else None
        if subschema is False:  # which descend() would report without the step
            yield ValidationError("not allowed", validator="falseSchema", path=(step,))
        elif part is None or not part.is_valid(instance):
            yield from validator.descend(instance, subschema, path=step)

    keywords = {
        "properties": functools.partial(_properties, enter),
        "items": functools.partial(_items, enter),
        "pattern": functools.partial(_fast, "pattern"),
        "uniqueItems": functools.partial(_fast, "uniqueItems"),
    }
    extend: Any = jsonschema.validators.extend  # its stub has no types
    return extend(jsonschema.Draft202012Validator, keywords)(schema)


def _properties(enter: Enter, validator: Any, declared: Any, instance: Any, _schema: Any) -> Iterator[ValidationError]:
    if isinstance(instance, dict):
        for name in declared:
            if name in instance:
                yield from enter(validator, instance[name], declared[name], name)


def _items(enter: Enter, validator: Any, declared: Any, instance: Any, parent: Any) -> Iterator[ValidationError]:
    if isinstance(instance, list):
        for index in range(len(parent.get("prefixItems", ())), len(instance)):
            yield from enter(validator, instance[index], declared, index)


def _fast(keyword: str, _validator: Any, argument: Any, instance: Any, _schema: Any) -> Iterator[ValidationError]:
    """A keyword that is left to the fast validator, since the other may take too long for it."""
    if not _compiled(keyword, argument).is_valid(instance):
        yield ValidationError(keyword)


@functools.lru_cache(maxsize=1000)
def _compiled(keyword: str, argument: str | bool) -> jsonschema_rs.Validator:  # noqa: FBT001  uniqueItems' argument
    return jsonschema_rs.Draft202012Validator({keyword: argument}, **OPTIONS)


def _faults(error: ValidationError) -> Iterator[FieldError]:
    """One fault per place: a member that is missing, or too much, is pointed at itself."""
    where: list[str | int] = [*error.absolute_path]
    instance: Any = error.instance
    argument: Any = error.validator_value
    parent: Any = error.schema
    match error.validator:
        case "required":
            missing = (name for name in argument if name not in instance)
            yield from (FieldError(_place([*where, name]), REQUIRED) for name in missing)
        case "additionalProperties" if argument is False:
            unknown = (name for name in instance if name not in parent.get("properties", ()))
            yield from (FieldError(_place([*where, name]), "is not declared: leave it out") for name in unknown)
        case str() as keyword if keyword in SENTENCES:
            yield FieldError(_place(where), SENTENCES[keyword](argument))
        case str() as keyword:
            yield FieldError(_place(where), f"breaks the schema's {keyword!r}")
        case _:  # None: a schema that is just false
            yield FieldError(_place(where), "is not allowed here")


def _place(tokens: Sequence[str | int]) -> str:
    """The pointer; from a name of endless length on it points to what the name is in: an answer is no echo."""
    tokens = list(itertools.takewhile(lambda token: len(str(token)) <= LONGEST_NAME, tokens))
    return jsontext.pointer(*tokens)


def _type(names: Any) -> str:
    articles = {"integer": "an integer", "array": "an array", "object": "an object", "null": "null"}
    return "must be " + " or ".join(articles.get(n, f"a {n}") for n in ([names] if isinstance(names, str) else names))


SENTENCES: Mapping[str, Callable[[Any], str]] = {
    "type": _type,
    "enum": lambda values: f"must be one of {', '.join(map(jsontext.text, values))}",
    "const": lambda value: f"must be {jsontext.text(value)}",
    "pattern": lambda pattern: f"must match the pattern {pattern}",
    "minLength": lambda limit: f"must have at least {limit} character{'s' * (limit != 1)}",
    "maxLength": lambda limit: f"must have at most {limit} characters",
    "minItems": lambda limit: f"must have at least {limit} element{'s' * (limit != 1)}",
    "maxItems": lambda limit: f"must have at most {limit} elements",
    "uniqueItems": lambda _: "must not hold the same element twice",
    "minProperties": lambda limit: f"must have at least {limit} member{'s' * (limit != 1)}",
    "maxProperties": lambda limit: f"must have at most {limit} members",
    "minimum": lambda limit: f"must be {limit} or more",
    "maximum": lambda limit: f"must be {limit} or less",
    "exclusiveMinimum": lambda limit: f"must be more than {limit}",
    "exclusiveMaximum": lambda limit: f"must be less than {limit}",
    "multipleOf": lambda step: f"must be a multiple of {step}",
    "anyOf": lambda _: "has none of the forms that are allowed here",
    "oneOf": lambda _: "must have exactly one of the forms that are allowed here",
    "falseSchema": lambda _: "is not allowed here",
    "not": lambda _: "has a form that is not allowed here",
}
