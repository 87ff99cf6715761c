"""A watch's JSON Schema, before anything runs it: its drafts, its references, and what it may cost.

A schema is a stranger's program. References lead into the schema itself only, so nothing is fetched; regular
expressions run on an engine that never backtracks. What remains is work that multiplies, such as two
references to itself side by side: ``Survey.work`` counts, for documents of each depth, how many keywords can
be looked at for one of its values, and validation is refused beforehand where that is too much for all of them.
"""

from __future__ import annotations

import graphlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from urllib.parse import unquote

import jsonschema_rs

from service import jsontext
from service.errors import Invalid
from service.model import Document, Json

DRAFTS = {  # `$schema`, without a final `#`
    "https://json-schema.org/draft/2020-12/schema",
    "https://json-schema.org/draft/2019-09/schema",
    "http://json-schema.org/draft-07/schema",
    "http://json-schema.org/draft-06/schema",
    "http://json-schema.org/draft-04/schema",
}
MAX_SUBSCHEMAS = 1000
MAX_DEPTH = 70  # of documents; deeper ones are neither stored nor made
PATTERN_BYTES = 1 << 14  # of one compiled pattern: 16 KiB
PATTERN_WORK = 100  # a pattern's price for each byte of the document, in keywords: about 1 us
_COSTLY = 10**12

IN_PLACE = {"$ref", "allOf", "anyOf", "oneOf", "not", "if", "then", "else", "dependentSchemas", "dependencies"}
_ONE_OF = {"properties", "prefixItems"}  # of these, one at most is applied to any one value
_INTO = {
    "patternProperties",
    "additionalProperties",
    "propertyNames",
    "items",
    "additionalItems",
    "contains",
    "unevaluatedItems",
    "unevaluatedProperties",
}
_ASIDE = {"$defs", "definitions"}  # only references lead there
_HOLDING = IN_PLACE | _ONE_OF | _INTO | _ASIDE
_BY_NAME = {"properties", "patternProperties", "dependentSchemas", "dependencies", "$defs", "definitions"}
_REFUSED = {
    "patternProperties": "names are not matched by patterns here: list them in `properties`",
    "$dynamicRef": "dynamic references are not taken: use `$ref` with `#/...`",
    "$recursiveRef": "recursive references are not taken: use `$ref` with `#/...`",
}


@dataclass(slots=True)
class Survey:
    """Every subschema by its JSON Pointer, and which ones each of them applies."""

    schemas: dict[str, Json] = field(default_factory=dict)
    in_place: dict[str, list[str]] = field(default_factory=dict)  # to the same value
    one_of: dict[str, list[str]] = field(default_factory=dict)  # to values inside it, one each
    into: dict[str, list[str]] = field(default_factory=dict)  # to values inside it, perhaps the same
    targets: dict[str, str] = field(default_factory=dict)  # of `$ref`, by the schema that holds it
    work: list[int] = field(default_factory=list)  # keywords for one value, by the depth of the document

    def work_for(self, depth: int) -> int:
        """How many keywords can be looked at for any one value of a document of this depth."""
        return self.work[min(depth, len(self.work) - 1)]

    @property
    def is_recursive(self) -> bool:
        """Whether the depth of the document matters."""
        return len(self.work) > MAX_DEPTH or self.work[-1] == _COSTLY


def survey(schema: Document) -> Survey:
    """Look at the whole schema.

    Raises:
        Invalid: it is no schema of its draft, or not one that is taken here; with the pointer of the place.
    """
    given = schema["$schema"]
    if not isinstance(given, str) or given.removesuffix("#") not in DRAFTS:
        raise Invalid.at("/$schema", f"is not known: write one of {', '.join(sorted(DRAFTS, reverse=True))}")
    try:
        jsonschema_rs.meta.validate(schema)
    except jsonschema_rs.ValidationError as error:
        raise Invalid.at(jsontext.pointer(*error.instance_path), error.message[:200]) from None
    found = collect(schema)
    _resolve(found)
    _measure(found)
    return found


def collect(schema: Document) -> Survey:
    """Every subschema, not yet resolved and measured; the schemas are the given ones, not copies."""
    found = Survey()
    waiting: list[tuple[str, Json]] = [("", schema)]
    while waiting:
        pointer, here = waiting.pop()
        found.schemas[pointer] = here
        found.in_place[pointer], found.one_of[pointer], found.into[pointer] = [], [], []
        if len(found.schemas) > MAX_SUBSCHEMAS:
            raise Invalid.at("", f"a schema has at most {MAX_SUBSCHEMAS:,} subschemas")
        if not isinstance(here, dict):
            continue
        _refuse(here, pointer)
        for keyword in here:
            if keyword not in _HOLDING:
                continue
            below = [(pointer + step, subschema) for step, subschema in applied(here, keyword)]
            waiting += below
            for keywords, edges in ((IN_PLACE, found.in_place), (_ONE_OF, found.one_of), (_INTO, found.into)):
                if keyword in keywords:
                    edges[pointer] += [place for place, _ in below]
    return found


def applied(schema: Document, keyword: str) -> Iterator[tuple[str, Json]]:
    """The subschemas that stand under a keyword, with their pointers from the schema that holds it."""
    value = schema.get(keyword)
    where = jsontext.pointer(keyword)
    if keyword == "$ref":
        return
    if keyword in _BY_NAME and isinstance(value, dict):
        for name, member in value.items():
            if isinstance(member, dict | bool):
                yield f"{where}{jsontext.pointer(name)}", member
    elif isinstance(value, list):
        for index, element in enumerate(value):
            if isinstance(element, dict | bool):
                yield f"{where}/{index}", element
    elif isinstance(value, dict | bool):
        yield where, value


def _refuse(here: Document, pointer: str) -> None:
    for keyword, detail in _REFUSED.items():
        if keyword in here:
            raise Invalid.at(f"{pointer}/{keyword}", detail)
    if pointer and isinstance(here.get("$id", here.get("id")), str):
        raise Invalid.at(pointer, "a schema inside a schema has no `$id`: move it to `$defs`")


def _resolve(found: Survey) -> None:
    for pointer, here in found.schemas.items():
        if not isinstance(here, dict) or not isinstance(here.get("$ref"), str):
            continue
        reference = str(here["$ref"])
        target = unquote(reference.removeprefix("#"))
        if not reference.startswith("#") or target not in found.schemas:
            raise Invalid.at(f"{pointer}/$ref", f"`{reference[:60]}` is no schema in here: write `#/$defs/...`")
        found.targets[pointer] = target
        found.in_place[pointer].append(target)


def _measure(found: Survey) -> None:
    try:
        order = list(graphlib.TopologicalSorter(found.in_place).static_order())
    except graphlib.CycleError as error:
        circle = error.args[1]
        raise Invalid.at(circle[0], "refers to itself without going into a value") from None
    own = {pointer: _own(here) + len(found.one_of[pointer]) for pointer, here in found.schemas.items()}
    above = dict.fromkeys(order, 0)
    for _ in range(MAX_DEPTH + 1):
        here: dict[str, int] = {}
        for pointer in order:
            inside = sum(above[other] for other in found.into[pointer])
            inside += max((above[other] for other in found.one_of[pointer]), default=0)
            beside = sum(here[other] for other in found.in_place[pointer])
            here[pointer] = min(own[pointer] + inside + beside, _COSTLY)
        if here == above:
            return
        found.work.append(here[""])
        above = here


def _own(schema: Json) -> int:
    """What a schema's own keywords cost: a unit for each of their values, more for a pattern."""
    if not isinstance(schema, dict):
        return 1
    waiting = [value for keyword, value in schema.items() if keyword not in _HOLDING]
    count = 1 + (PATTERN_WORK if "pattern" in schema else 0)
    while waiting:
        value = waiting.pop()
        count += 1
        if isinstance(value, dict):
            waiting += value.values()
        elif isinstance(value, list):
            waiting += value
    return count
