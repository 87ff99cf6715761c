"""The JSON Schema form: a resource, reduced to what a schema declares.

- Of an object, the members in ``properties`` are kept, each reduced by its own schema, in the schema's order.
  Without ``properties`` and ``additionalProperties`` the object is kept whole. ``additionalProperties: true``,
  written out, keeps the other members; a schema there reduces them. A member declared ``false`` is dropped.
- Of an array, each element is reduced by ``prefixItems`` or ``items``.
- ``const`` is always written, ``default`` where a member is missing (not where it is null), both also inside
  an object that is missing, except behind a reference that leads back to a schema around it.
- ``$ref`` and ``allOf`` declare as if they stood here. ``anyOf``, ``oneOf``, ``then``, ``else`` and
  ``dependentSchemas`` declare the properties of all their branches; no branch's ``const`` or ``default`` is
  written, they are conditions there.
- ``previousData``, ``changes`` and ``event`` are filled from the change where the root declares them.
- With ``addPreviousData``, the body gains those of ``previousData`` and ``changes`` that the schema does not
  declare: the version before, reduced by the same schema, and the diff. They are no part of what is validated.
- ``format`` is not checked. A ``pattern`` runs on an engine without backtracking, and without look-around.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace

import jsonschema_rs

from service import jsontext
from service.errors import Invalid
from service.model import Document, Json
from service.watches import explain, plan, subschemas
from service.watches.interpolate import Reading
from service.watches.jsonpath import MISSING
from service.watches.rendering import Context, Rendering, TemplateError

MAX_WORK = 20_000_000  # keywords times bytes: two tenths of a second for the worst of schemas, none for others


@dataclass(frozen=True, slots=True)
class Reduction:
    """A schema, ready to reduce resources."""

    plan: plan.Plan
    schema: Document  # as it is validated: without those consts that are filled
    survey: subschemas.Survey
    validator: jsonschema_rs.Validator
    add_previous_data: bool

    def body(self, resource: Document, rendering: Rendering) -> bytes:
        """The reduced resource as JSON.

        Raises:
            TemplateError: it does not validate, or validating it would take too long.
        """
        reduced = self._reduce(resource, rendering)
        body = jsontext.dumps(reduced)
        self._validate(reduced, len(body))
        if self.add_previous_data and isinstance(reduced, dict):
            history = self._history(rendering).items()
            body = jsontext.dumps({**reduced, **{n: value for n, value in history if n not in self.plan.members}})
        rendering.check(len(body))
        return body

    def _history(self, rendering: Rendering) -> Document:
        """The version before, as this schema would have made it, and the diff."""
        special = rendering.root.special
        before, previous = special["previousData"], None
        if isinstance(before, dict):
            root = Context(before, {"previousData": None, "changes": [], "event": special["event"]})
            previous = self._reduce(before, replace(rendering, root=root))
        return {"previousData": previous, "changes": special["changes"]}

    def _reduce(self, resource: Document, rendering: Rendering) -> Json:
        special = {name: value for name, value in rendering.root.special.items() if name in self.plan.members}
        reduced = plan.reduce(self.plan, {**resource, **special}, rendering)
        return None if reduced is MISSING else reduced

    def _validate(self, value: Json, size: int) -> None:
        depth = _depth(value) if self.survey.is_recursive else subschemas.MAX_DEPTH
        if self.survey.work_for(depth) * size > MAX_WORK:
            raise TemplateError("validating this resource by the schema would take too long: simplify the schema")
        if not self.validator.is_valid(value):
            pointer, fault = explain.explain(self.schema, value, _validator)
            raise TemplateError(f"the result does not validate: {pointer or 'as a whole'}: {fault}")


def compile(schema: Document, reading: Reading, *, add_previous_data: bool) -> Reduction:  # noqa: A001  as in re.compile
    """The reduction that a schema asks for; Invalid if it is no schema, or not one that is taken here."""
    ours = copy.deepcopy(schema)  # the planner takes out of it what is not to be validated
    survey = subschemas.survey(ours)
    root = plan.Planner(survey, reading).root()
    try:
        validator = _validator(ours)
    except jsonschema_rs.ValidationError as error:
        pointer, detail = jsontext.pointer(*error.instance_path), error.message[:200]
        if pointer.endswith("/pattern"):
            detail = "the pattern is too large, or has look-around or back-references, which are not taken"
        raise Invalid.at(pointer, detail) from None
    return Reduction(root, ours, survey, validator, add_previous_data)


def _validator(schema: Document) -> jsonschema_rs.Validator:
    return jsonschema_rs.validator_for(
        schema,
        validate_formats=False,
        retriever=_refuse,
        pattern_options=jsonschema_rs.RegexOptions(
            size_limit=subschemas.PATTERN_BYTES, dfa_size_limit=subschemas.PATTERN_BYTES
        ),
    )


def _refuse(uri: str) -> Document:
    """Nothing is fetched: references out of the schema were refused before, and this is the second lock."""
    raise LookupError(uri)


def _depth(value: Json) -> int:
    """How deep arrays and objects stand in each other."""
    level, depth = [value], 0
    while level:
        level = [
            child
            for node in level
            if isinstance(node, dict | list)
            for child in (node.values() if isinstance(node, dict) else node)
        ]
        depth += 1
    return depth
