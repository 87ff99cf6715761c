"""The JSON Schema form: that it keeps to its schema, explains itself, and cannot be made to take long."""

from __future__ import annotations

import json
import re
import time

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service import errors
from service.model import Change, Event
from service.watches import template

DRAFT = "https://json-schema.org/draft/2020-12/schema"
LEAF = {"type": "object", "required": ["q"]}  # something that an empty object breaks


def compiled(**schema):
    return template.compile({"$schema": DRAFT, **schema}, add_previous_data=False)


def body(resource, **schema):
    return json.loads(compiled(**schema).body(change(resource)))


def change(resource):
    return Change("chg_1", "default", "t", "1", Event.UPDATED, 3, 0, {}, resource, [], "/t")


def fault(resource, **schema):
    with pytest.raises(template.TemplateError) as caught:
        compiled(**schema).body(change(resource))
    return caught.value.detail


def nested(depth):
    value = {}
    for _ in range(depth):
        value = {"a": value}
    return value


def both(pointer, keyword="allOf"):
    return {keyword: [{"$ref": pointer}, {"$ref": pointer}]}


def tower(height, keyword):
    """Each floor refers to the next one twice."""
    floors = {f"d{i}": both(f"#/$defs/d{i + 1}", keyword) for i in range(height)}
    return {"$ref": "#/$defs/d0", "$defs": {**floors, f"d{height}": LEAF}}


HOSTILE = {
    "two references back, side by side": ({"properties": {"a": both("#")}, **LEAF}, nested(50)),
    "a tower of allOf": (tower(60, "allOf"), {}),
    "a tower of anyOf": (tower(60, "anyOf"), {}),
    "a low tower of anyOf": (tower(14, "anyOf"), {}),
    "a low tower of oneOf": (tower(14, "oneOf"), {}),
    "many schemas of many elements": (
        {"properties": {"a": {"allOf": [{"items": {"minimum": -i}} for i in range(400)]}}},
        {"a": [0] * 100_000},
    ),
    "a long enum of objects": (
        {"properties": {"a": {"items": {"enum": [{"b": i} for i in range(2000)]}}}},
        {"a": [{"b": 1999}] * 20_000},
    ),
    "many patterns of a long text": (
        {"properties": {"a": {"allOf": [{"pattern": f"[xy]*x[xy]{{60}}{i}"} for i in range(300)]}}},
        {"a": "xy" * 250_000},
    ),
    "a const in many missing objects": (
        {
            "$ref": "#/$defs/d0",
            "$defs": {
                **{f"d{i}": {"properties": {name: {"$ref": f"#/$defs/d{i + 1}"} for name in "ab"}} for i in range(25)},
                "d25": {"const": 1},
            },
        },
        {},
    ),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_schema_fails_soon(name):
    schema, resource = HOSTILE[name]
    started = time.thread_time()
    with pytest.raises((template.TemplateError, errors.Invalid)):
        compiled(**schema).body(change(resource))
    assert time.thread_time() - started < 2  # tenths of a second; the rest is for slow machines


def test_a_const_of_many_members_is_paid_for():
    schema = {"properties": {"a": {"items": {"properties": {str(i): {"const": i} for i in range(500)}}}}}
    assert "too many values" in fault({"a": [{}] * 10_000}, **schema)


def test_two_sets_of_unique_items_are_compared_in_time():
    resource = {"a": [{"b": i} for i in range(20_000)]}
    assert body(resource, properties={"a": {"uniqueItems": True}}) == resource


@pytest.mark.parametrize("count", [1000, 1001])
def test_a_schema_is_bounded_in_subschemas(count):
    schema = {"properties": {str(i): True for i in range(count - 1)}}
    if count == 1000:
        assert body({"7": "x"}, **schema) == {"7": "x"}
        return
    with pytest.raises(errors.Invalid, match="at most 1,000 subschemas"):
        compiled(**schema)


def test_a_chain_of_references_is_bounded():
    chain = {f"d{i}": {"properties": {"a": {"$ref": f"#/$defs/d{i + 1}"}}} for i in range(300)}
    with pytest.raises(errors.Invalid, match="too many schemas are combined"):
        compiled(**{"$ref": "#/$defs/d0", "$defs": {**chain, "d300": True}})


def test_sets_of_schemas_are_bounded():
    """Each member leads from one set of schemas to another, and there are thousands of sets."""
    names = "abcdefghijklmnop"
    leading = {
        f"s{i}": {"properties": {name: {"$ref": f"#/$defs/s{(i * 2 + k) % 16}"} for k, name in enumerate(names)}}
        for i in range(16)
    }
    started = time.thread_time()
    with pytest.raises(errors.Invalid, match="too many schemas are combined"):
        compiled(allOf=[{"$ref": f"#/$defs/s{i}"} for i in range(3)], **{"$defs": leading})
    assert time.thread_time() - started < 2


def test_a_recursive_schema_follows_a_deep_value():
    members = {name: {"$ref": "#/$defs/node"} for name in "abcde"}
    schema = {"$ref": "#/$defs/node", "$defs": {"node": {"type": "object", "properties": members}}}
    assert body(nested(60), **schema) == nested(60)


@pytest.mark.parametrize(
    ("schema", "resource", "told"),
    [
        ({"properties": {"a": {"type": "string"}}}, {"a": 1}, '/a: 1 is not of type "string"'),
        ({"properties": {"a/b": {"items": {"type": "string"}}}}, {"a/b": ["x", 2]}, "/a~1b/1: "),
        (
            {"properties": {"a": {"anyOf": [{"type": "string"}, {"type": "null"}]}}},
            {"a": 1},
            "/a: it fits none of its anyOf",
        ),
        ({"properties": {"a": {"oneOf": [{"minimum": 1}, {"minimum": 0}]}}}, {"a": 1}, "exactly one of its oneOf"),
        ({"properties": {"a": {"not": {"type": "integer"}}}}, {"a": 1}, "/a: "),
        ({"required": ["a"]}, {}, 'as a whole: "a" is a required property'),
        ({"unevaluatedProperties": False}, {"a": 1}, "as a whole: it does not fit the schema"),
        (
            {"properties": {"a": {"$ref": "#/anyOf/0"}}, "anyOf": [{"type": "string"}]},
            {"a": 1},
            "as a whole: it does not fit the schema",
        ),
        ({"properties": {"a": {"enum": ["x" * 30] * 1 + ["y" * 30 + str(i) for i in range(50)]}}}, {"a": 1}, "/a: "),
    ],
)
def test_a_failure_is_explained_in_one_sentence(schema, resource, told):
    detail = fault(resource, **schema)
    assert told in detail
    assert len(detail) < 300


NAMES = st.sampled_from(["a", "b", "c"])
VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-2, 2), st.sampled_from(["", "x", "yy"])),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(NAMES, inner, max_size=3)),
    max_leaves=10,
)
RESOURCES = st.dictionaries(NAMES, VALUES, max_size=3)
SCHEMAS = st.recursive(
    st.sampled_from(
        [True, {}, {"type": "string"}, {"minimum": 0}, {"const": 1}, {"default": "d"}, {"$ref": "#"}, {"minLength": 1}]
    ),
    lambda inner: st.one_of(
        st.dictionaries(NAMES, inner, max_size=3).map(lambda members: {"properties": members}),
        st.tuples(st.dictionaries(NAMES, inner, max_size=2), inner).map(
            lambda both: {"properties": both[0], "additionalProperties": both[1]}
        ),
        inner.map(lambda items: {"items": items}),
        st.lists(inner, min_size=1, max_size=2).map(lambda first: {"prefixItems": first}),
        st.tuples(st.sampled_from(["allOf", "anyOf", "oneOf"]), st.lists(inner, min_size=1, max_size=2)).map(
            lambda one: {one[0]: one[1]}
        ),
    ),
    max_leaves=8,
)


@settings(max_examples=800, deadline=None)
@given(SCHEMAS, RESOURCES)
def test_what_is_sent_validates_by_the_published_validator(schema, resource):
    whole = {"$schema": DRAFT, "properties": {"a": schema, "b": {}}}
    try:
        sent = json.loads(template.compile(whole, add_previous_data=False).body(change(resource)))
    except errors.Invalid as invalid:
        assert "refers to itself" in invalid.detail  # noqa: PT017  the other schemas are taken
        return
    except template.TemplateError as error:
        assert re.search("does not validate|too long", error.detail)  # noqa: PT017  as it should be
        return
    assert set(sent) <= {"a", "b"}
    jsonschema.Draft202012Validator(whole).validate(sent)
    again = json.loads(template.compile(whole, add_previous_data=False).body(change(sent)))
    assert again == sent
