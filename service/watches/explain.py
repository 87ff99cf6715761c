"""Why a result does not validate, in one sentence with a pointer.

jsonschema_rs explains a failed ``anyOf`` by the faults of all its branches, and theirs: a schema of a few lines
can ask for millions. So a failure is explained by a schema that means the same but has no branches to tell of:
``anyOf`` behind two negations. It is made when it is needed, and a delivery that failed so is not sent again.
"""

from __future__ import annotations

import copy
from collections.abc import Callable

import jsonschema_rs

from service import jsontext
from service.model import Document, Json
from service.watches import subschemas

NO_IDEA = "it does not fit the schema"

_BRANCHING = ("anyOf", "oneOf")
_DEPENDENT = ("unevaluatedProperties", "unevaluatedItems")  # they need what branches say of their properties


def explain(
    schema: Document, value: Json, validator_of: Callable[[Document], jsonschema_rs.Validator]
) -> tuple[str, str]:
    """The pointer into the value, and what is wrong there; ``""`` and a general sentence if nothing else is known."""
    unfolded = copy.deepcopy(schema)
    for subschema in subschemas.collect(unfolded).schemas.values():
        if isinstance(subschema, dict):
            _unfold(subschema)
    try:
        validator = validator_of(unfolded)
    except jsonschema_rs.ValidationError:  # a reference led into a branch, which is not there any more
        return "", NO_IDEA
    try:
        validator.validate(value)
    except jsonschema_rs.ValidationError as error:
        return jsontext.pointer(*error.instance_path), _sentence(error)
    return "", NO_IDEA


def _unfold(schema: Document) -> None:
    for keyword in _DEPENDENT:
        schema.pop(keyword, None)
    together = schema.get("allOf", [])
    for keyword in _BRANCHING:
        if keyword in schema and isinstance(together, list):
            together = [*together, {"not": {"not": {keyword: schema.pop(keyword)}}}]
            schema["allOf"] = together


def _sentence(error: jsonschema_rs.ValidationError) -> str:
    match error.kind:
        case jsonschema_rs.ValidationErrorKind.Not(schema={"not": {"anyOf": _}}):
            return "it fits none of its anyOf"
        case jsonschema_rs.ValidationErrorKind.Not(schema={"not": {"oneOf": _}}):
            return "it does not fit exactly one of its oneOf"
    return error.message[:200]
