"""What of a resource a JSON Schema declares: schemas turned into plans, and plans followed over values.

Several schemas may speak of one value (``$ref``, ``allOf``, the branches of ``anyOf``), so a plan stands for a
set of them. Plans of recursive schemas refer to themselves; following one is bounded by the value's depth.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TypeAlias

from service import jsontext
from service.errors import Invalid
from service.model import Document, Json
from service.watches import jsonform, subschemas
from service.watches.interpolate import Reading
from service.watches.jsonpath import MISSING, Missing
from service.watches.rendering import Rendering, Rope
from service.watches.subschemas import Survey

MAX_PLANS = 1000
MAX_CHAIN = 100  # schemas inside each other, references followed

_BRANCHES = ("anyOf", "oneOf", "then", "else", "dependentSchemas")  # they declare, but write nothing

Key: TypeAlias = tuple[tuple[str, bool], ...]  # schemas of one value, and whether their const and default are written


@dataclass(slots=True)
class Plan:
    """How one value is reduced."""

    const: Filled | None = None
    default: Filled | None = None
    members: dict[str, Plan] = field(default_factory=dict)
    fills: dict[str, Plan] = field(default_factory=dict)  # those members that are written even if they are missing
    rest: Plan | None = None  # of members without a declaration; None: they are dropped
    first: list[Plan] = field(default_factory=list)  # of an array's first elements
    others: Plan | None = None  # of the rest of them; None: they are kept as they are
    is_whole: bool = False  # an object is kept as it is
    is_never: bool = False  # declared false: dropped
    is_done: bool = False

    @property
    def is_written(self) -> bool:
        """Whether there is something to write where the value is missing."""
        return bool(self.const or self.default or self.fills)


@dataclass(frozen=True, slots=True)
class Filled:
    """A const or a default, its strings filled."""

    rope: Rope
    fixed: Json  # its value, if it has no placeholder
    is_text: bool  # it held `${`: what is written is not what the schema says

    def value(self, rendering: Rendering) -> Json:
        """What is written."""
        if self.rope.rest:
            return jsontext.loads(self.rope.render(rendering))
        rendering.take(self.rope.size)
        return self.fixed


def reduce(plan: Plan, value: Json, rendering: Rendering) -> Json | Missing:
    """What the plan keeps of a value; MISSING if that is nothing."""
    if plan.is_never:
        return MISSING
    if plan.const:
        return plan.const.value(rendering)
    if isinstance(value, dict) and not plan.is_whole:
        return _reduce_object(plan, value, rendering)
    if isinstance(value, list) and (plan.first or plan.others):
        return _reduce_array(plan, value, rendering)
    return value


def _reduce_object(plan: Plan, value: Document, rendering: Rendering) -> Document:
    rendering.budget.spend(len(plan.members) + len(value))
    reduced: Document = {}
    for name, member in plan.members.items():
        if name in value:
            kept = reduce(member, value[name], rendering)
        elif name in plan.fills:
            kept = _write(member, rendering)
        else:
            continue
        if kept is not MISSING:
            reduced[name] = kept
    if plan.rest:
        for name, other in value.items():
            if name not in plan.members:
                kept = reduce(plan.rest, other, rendering)
                if kept is not MISSING:
                    reduced[name] = kept
    return reduced


def _reduce_array(plan: Plan, value: list[Json], rendering: Rendering) -> list[Json]:
    rendering.budget.spend(len(value))
    reduced: list[Json] = []
    for index, element in enumerate(value):
        of_element = plan.first[index] if index < len(plan.first) else plan.others
        kept = reduce(of_element, element, rendering) if of_element else element
        if kept is not MISSING:
            reduced.append(kept)
    return reduced


def _write(plan: Plan, rendering: Rendering) -> Json | Missing:
    """What stands where a value is missing."""
    rendering.budget.spend(1 + len(plan.fills))
    filled = plan.const or plan.default
    if filled:
        return filled.value(rendering)
    written = {name: _write(member, rendering) for name, member in plan.fills.items()}
    return {name: value for name, value in written.items() if value is not MISSING}


class Planner:
    """Makes the plans of one schema, each set of subschemas once."""

    def __init__(self, survey: Survey, reading: Reading) -> None:
        self._survey = survey
        self._reading = reading
        self._plans: dict[Key, Plan] = {}
        self._filled: dict[str, Filled] = {}  # by the pointer of the const or default
        self._chain = 0

    def root(self) -> Plan:
        """The plan of the whole schema."""
        plan = self._plan((("", True),))
        for pointer, filled in self._filled.items():
            holder, _, keyword = pointer.rpartition("/")
            schema = self._survey.schemas[holder]
            if keyword == "const" and filled.is_text and isinstance(schema, dict):
                del schema["const"]  # it is what is written, not what the result is compared with
        return plan

    def _plan(self, key: Key) -> Plan:
        if known := self._plans.get(key):
            return known
        plan = self._plans[key] = Plan()
        self._chain += 1
        if len(self._plans) > MAX_PLANS or self._chain > MAX_CHAIN:
            raise Invalid.at(key[0][0], "too many schemas are combined with each other here: simplify the schema")
        speaking = self._speaking(key)
        schemas = [(pointer, schema, writes) for pointer, schema, writes in speaking if isinstance(schema, dict)]
        plan.is_never = any(schema is False and writes for _, schema, writes in speaking)
        for pointer, schema, writes in schemas:
            self._fill(plan, pointer, schema, writes=writes)
        self._declare(plan, schemas)
        self._enumerate(plan, schemas)
        plan.is_done = True
        self._chain -= 1
        return plan

    def _speaking(self, key: Key) -> list[tuple[str, Json, bool]]:
        """All schemas that speak of the value, each once."""
        found: dict[tuple[str, bool], Json] = {}
        waiting = list(reversed(key))
        while waiting:
            pointer, writes = waiting.pop()
            if (pointer, writes) in found:
                continue
            schema = found[pointer, writes] = self._survey.schemas[pointer]
            if not isinstance(schema, dict):
                continue
            beside = [(pointer + step, writes) for step, _ in subschemas.applied(schema, "allOf")]
            if pointer in self._survey.targets:
                beside.insert(0, (self._survey.targets[pointer], writes))
            for keyword in _BRANCHES:
                beside += [(pointer + step, False) for step, _ in subschemas.applied(schema, keyword)]
            waiting += reversed(beside)
        return [(pointer, schema, writes) for (pointer, writes), schema in found.items()]

    def _fill(self, plan: Plan, pointer: str, schema: Document, *, writes: bool) -> None:
        for keyword in ("const", "default"):
            if keyword not in schema or getattr(plan, keyword):
                continue
            at = f"{pointer}/{keyword}"
            if writes:
                if at not in self._filled:
                    rope = jsonform.of_object(schema[keyword], at, self._reading)
                    fixed = None if rope.rest else jsontext.loads(rope.head)
                    self._filled[at] = Filled(rope, fixed, "${" in jsontext.text(schema[keyword]))
                setattr(plan, keyword, self._filled[at])
            elif "${" in jsontext.text(schema[keyword]):
                self._reading.fault(at, f"a {keyword} in a branch is not written, so it cannot hold `${{...}}`")

    def _declare(self, plan: Plan, schemas: list[tuple[str, Document, bool]]) -> None:
        declared: dict[str, dict[tuple[str, bool], None]] = {}
        others: list[tuple[str, bool]] = []
        for pointer, schema, writes in schemas:
            for step, _ in subschemas.applied(schema, "properties"):
                name = _unescape(step.rpartition("/")[2])
                declared.setdefault(name, {})[pointer + step, writes] = None
            if schema.get("additionalProperties", False) is not False:
                others.append((f"{pointer}/additionalProperties", writes))
        for name, keys in declared.items():
            plan.members[name], is_again = self._below(keys)
            if plan.members[name].is_written and not is_again:
                plan.fills[name] = plan.members[name]
        plan.rest = self._below(others)[0] if others else None
        plan.is_whole = not any({"properties", "additionalProperties"} & schema.keys() for _, schema, _ in schemas)

    def _enumerate(self, plan: Plan, schemas: list[tuple[str, Document, bool]]) -> None:
        first: list[list[tuple[str, bool]]] = []
        others: list[tuple[str, bool]] = []
        for pointer, schema, writes in schemas:
            tuple_keyword = "items" if isinstance(schema.get("items"), list) else "prefixItems"
            for index, (step, _) in enumerate(subschemas.applied(schema, tuple_keyword)):
                first += [[]] * (index + 1 - len(first))
                first[index] = [*first[index], (pointer + step, writes)]
            rest = "additionalItems" if tuple_keyword == "items" else "items"
            others += [(pointer + step, writes) for step, _ in subschemas.applied(schema, rest)]
        plan.first = [self._below(keys)[0] for keys in first]
        plan.others = self._below(others)[0] if others else None

    def _below(self, keys: Iterable[tuple[str, bool]]) -> tuple[Plan, bool]:
        """The plan of a value inside, and whether that is one that is being made: the schema leads back to it."""
        key = tuple(keys)
        known = self._plans.get(key)
        return self._plan(key), known is not None and not known.is_done


def _unescape(token: str) -> str:
    return token.replace("~1", "/").replace("~0", "~")
