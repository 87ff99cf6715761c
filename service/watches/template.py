"""A watch's template: what shape a change has in the body of a callback (contract, section 6).

Four forms. *Absent*: the resource itself. An *object*: JSON whose strings are filled. A *text*: JSON text with
typed values outside quotes. An object with ``$schema``: a JSON Schema that the resource is reduced by. Each is
compiled once, when its watch is read; rendering it is then bounded in values looked at and bytes written.

Where a string is made, nothing found and null are the empty string; a path that gives an array and finds
nothing gives ``[]``. ``addPreviousData`` adds to the absent form and to a JSON Schema; an object or a text
says itself, by paths, where previous data goes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from service import clock, jsontext
from service.errors import BadRequest, Invalid
from service.model import Change, Document, Event, Json
from service.watches import jsonform, reduce
from service.watches.interpolate import Reading
from service.watches.jsonpath import Expression, TooMuch
from service.watches.rendering import Context, Rendering, TemplateError, TemplateTooLarge

__all__ = ["Template", "TemplateError", "TemplateTooLarge", "compile", "context"]

MAX_TEXT = 1 << 16  # bytes of a template's own JSON: 64 KiB
MAX_DEPTH = 32


@dataclass(frozen=True, slots=True)
class Template:
    """A template, ready to render any number of changes."""

    expressions: tuple[tuple[str, Expression], ...]  # every path, with the pointer of the text that holds it
    _render: Callable[[Change], bytes] = field(repr=False)

    def body(self, change: Change) -> bytes:
        """The body of a callback, compact JSON in UTF-8; of a text, as it is written.

        Raises:
            TemplateError: this change cannot be put into this shape.
            TemplateTooLarge: it would be larger than a callback may be.
        """
        try:
            return self._render(change)
        except TooMuch:
            raise TemplateError("the template's paths look at too many values of this change") from None


def compile(schema: Json, *, add_previous_data: bool) -> Template:  # noqa: A001  called as template.compile
    """The template that a watch's ``schema`` describes; None is the absent form.

    Raises:
        Invalid: it cannot work; pointers begin at the schema's own value.
    """
    if schema is None:
        return Template((), _with_history if add_previous_data else _as_it_is)
    _bound(schema)
    reading = Reading()
    if isinstance(schema, str):
        render = _text(schema, reading)
    elif not isinstance(schema, dict):
        raise Invalid.at("", "a template is an object, or a text that holds JSON")
    elif "$schema" in schema:
        render = _reduced(schema, reading, add_previous_data=add_previous_data)
    else:
        render = _object(schema, reading)
    return Template(reading.finish(), render)


def context(change: Change) -> Context:
    """The ``$`` of a change."""
    event: Document = {
        "id": change.id,
        "type": change.event.value,
        "time": clock.rfc3339(change.time),
        "objectType": change.type,
        "objectId": change.object_id,
        "version": change.version,
    }
    return Context(change.resource, {"previousData": change.before, "changes": _changes(change), "event": event})


def _as_it_is(change: Change) -> bytes:
    text = change.resource_text
    return jsontext.dumps(change.resource) if text is None else text.encode()


def _with_history(change: Change) -> bytes:
    return jsontext.dumps({**change.resource, "previousData": change.before, "changes": _changes(change)})


def _changes(change: Change) -> Json:
    """The diff, which is between two versions: a creation has none before, a deletion none after."""
    return [] if change.event in {Event.CREATED, Event.DELETED} else list[Json](change.diff)


def _object(schema: Document, reading: Reading) -> Callable[[Change], bytes]:
    rope = jsonform.of_object(schema, "", reading)
    return lambda change: rope.render(Rendering(context(change)))


def _text(schema: str, reading: Reading) -> Callable[[Change], bytes]:
    rope, fills_names = jsonform.of_text(schema, reading)
    if not fills_names:
        return lambda change: rope.render(Rendering(context(change)))

    def render(change: Change) -> bytes:
        body = rope.render(Rendering(context(change)))
        try:
            jsontext.loads(body, max_depth=2 * jsontext.MAX_DEPTH)
        except BadRequest as error:
            raise TemplateError(f"the outcome is not JSON: {error.detail}") from None
        return body

    return render


def _reduced(schema: Document, reading: Reading, *, add_previous_data: bool) -> Callable[[Change], bytes]:
    reduction = reduce.compile(schema, reading, add_previous_data=add_previous_data)
    return lambda change: reduction.body(change.resource, Rendering(context(change)))


def _bound(schema: Json) -> None:
    level, depth = [schema], 0
    while level := [child for node in level for child in _children(node)]:
        depth += 1
        if depth > MAX_DEPTH:
            raise Invalid.at("", f"a template is nested at most {MAX_DEPTH} deep")
    if len(jsontext.dumps(schema)) > MAX_TEXT:
        raise Invalid.at("", f"a template has at most {MAX_TEXT:,} bytes")


def _children(node: Json) -> list[Json]:
    if isinstance(node, dict):
        return list(node.values())
    return node if isinstance(node, list) else []
