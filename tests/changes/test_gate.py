from __future__ import annotations

import copy
import random
import time
from pathlib import Path

import jsonschema
import pytest

from service import jsontext
from service.changes import types
from service.changes.gate import MOST_FAULTS, Gate, SchemaError
from service.errors import FieldError
from tests.support import accounts

CORPUS = Path(__file__).parents[1] / "corpus" / "accounts.ndjson"
RESOURCES = Path(__file__).parents[2] / "config" / "resources"


@pytest.fixture(scope="module")
def account():
    return types.load(RESOURCES)["agendize.account"]


@pytest.fixture(scope="module")
def documents():
    return [jsontext.loads(line) for line in CORPUS.read_bytes().splitlines()]


def test_the_corpus_is_what_its_generator_makes(documents):
    assert documents == list(accounts.accounts())


def test_the_corpus_is_varied(documents):
    assert len(documents) >= 1000
    assert {document.get("status") for document in documents} == {None, "enabled", "disabled"}
    assert {tool for document in documents for tool in document.get("tools", ())} == set(accounts.TOOLS)
    assert {document.get("currency") for document in documents} >= set(accounts.CURRENCIES)
    assert len({document["id"] for document in documents}) == len(documents)
    everywhere, somewhere = set.intersection(*map(set, documents)), set.union(*map(set, documents))
    assert everywhere == {"id", "userName", "email", "created", "profile"}
    assert somewhere >= {"ssoToken", "whiteLabel", "tags", "resellerId", "clientName", "additionalUsers", "credit"}


def test_the_corpus_passes_and_the_published_validator_agrees(account, documents):
    published = jsonschema.Draft202012Validator(account.schema)
    for document in documents:
        assert account.gate.accepts(document)
        assert account.gate.explain(document) == []
        assert published.is_valid(document)


def broken(document, chance):
    """The document with one to three of its values, at any depth, replaced by something else."""
    document = copy.deepcopy(document)
    for _ in range(chance.randrange(1, 4)):
        parent, key = document, chance.choice(list(document))
        while isinstance(parent[key], dict | list) and parent[key] and chance.random() < 0.8:
            parent = parent[key]
            key = chance.choice(list(parent) if isinstance(parent, dict) else range(len(parent)))
        parent[key] = chance.choice(
            [None, True, 1, 1.0, -1, 2.5, "", "x" * 300, "#12345G", "enabled\n", [], [1], {}, {"id": 1}]
        )
    return document


def test_on_broken_accounts_gate_explainer_and_published_validator_agree(account, documents):
    chance = random.Random(7)
    published = jsonschema.Draft202012Validator(account.schema)
    refused = 0
    for document in documents:
        variant = broken(document, chance)
        expected = {jsontext.pointer(*error.absolute_path) for error in published.iter_errors(variant)}
        said = account.gate.explain(variant)
        assert {fault.pointer for fault in said} == expected
        assert account.gate.accepts(variant) is not bool(said)
        refused += bool(said)
    assert refused > 500


@pytest.mark.parametrize(
    ("schema", "value", "faults"),
    [
        ({"type": "integer"}, "x", [("", "must be an integer")]),
        ({"type": ["string", "null"]}, 1, [("", "must be a string or null")]),
        ({"enum": ["a", 1, None]}, "b", [("", 'must be one of "a", 1, null')]),
        ({"const": {"a": 1}}, 2, [("", 'must be {"a":1}')]),
        ({"required": ["a", "b/c"]}, {}, [("/a", "is required"), ("/b~1c", "is required")]),
        (
            {"properties": {"p": {"additionalProperties": False, "properties": {"a": {}}}}},
            {"p": {"a": 1, "x~": 1, "y": 2}},
            [("/p/x~0", "is not declared: leave it out"), ("/p/y", "is not declared: leave it out")],
        ),
        ({"unevaluatedProperties": False}, {"x": 1}, [("", "breaks the schema's 'unevaluatedProperties'")]),
        ({"minLength": 1}, "", [("", "must have at least 1 character")]),
        ({"maxLength": 2}, "abc", [("", "must have at most 2 characters")]),
        ({"pattern": "^a$"}, "a\n", [("", "must match the pattern ^a$")]),
        ({"minimum": 0, "multipleOf": 2}, -1, [("", "must be 0 or more"), ("", "must be a multiple of 2")]),
        ({"uniqueItems": True}, [1, 1.0], [("", "must not hold the same element twice")]),
        ({"anyOf": [{"type": "string"}, {"type": "null"}]}, 1, [("", "has none of the forms that are allowed here")]),
        ({"properties": {"a": False}}, {"a": 1}, [("/a", "is not allowed here")]),
        ({"allOf": [False]}, {"a": 1}, [("", "is not allowed here")]),
        (
            {"prefixItems": [{"type": "string"}], "items": {"type": "null"}},
            [1, 1],
            [("/0", "must be a string"), ("/1", "must be null")],
        ),
        ({"additionalProperties": {"type": "string"}}, {"a": 1}, [("/a", "must be a string")]),
        (
            {"patternProperties": {"^a": {"type": "string"}}},
            {"ab": 1, "ac": 1},
            [("/ab", "breaks the schema's 'type'")],
        ),
        (
            {"properties": {"t": {"$ref": "#/$defs/x%25~1y"}}, "$defs": {"x%/y": {"type": "string"}}},
            {"t": 1},
            [("/t", "must be a string")],
        ),
    ],
)
def test_a_fault_has_a_place_and_a_sentence(schema, value, faults):
    gate = Gate(schema)
    assert not gate.accepts(value)
    assert sorted(gate.explain(value), key=str) == sorted((FieldError(*fault) for fault in faults), key=str)


def test_a_sentence_never_repeats_the_value():
    schema = {
        "properties": {"a": {"maxLength": 3, "pattern": "^x$", "enum": ["x"], "const": "x", "not": {"type": "string"}}}
    }
    said = Gate(schema).explain({"a": "hunter2"})
    assert len(said) == 5
    assert "hunter2" not in str(said)


def test_a_name_of_endless_length_is_not_echoed():
    said = Gate({"additionalProperties": {"additionalProperties": False}}).explain({"a": {"x" * 1000: 1}})
    assert said == [FieldError("/a", "is not declared: leave it out")]


def test_one_answer_holds_a_bounded_number_of_faults():
    assert len(Gate({"items": {"type": "string"}}).explain([1] * 1000)) == MOST_FAULTS


@pytest.mark.parametrize("keyword", ["pattern", "patternProperties"])
def test_a_pattern_that_invites_backtracking_takes_no_time(keyword):
    pattern, text = "^(a+)+$", "a" * 50_000 + "!"
    schema = (
        {"pattern": pattern}
        if keyword == "pattern"
        else {"patternProperties": {pattern: {}}, "additionalProperties": False}
    )
    gate = Gate(schema)
    started = time.perf_counter()
    assert gate.explain(text if keyword == "pattern" else {text: 1})
    assert time.perf_counter() - started < 2


def test_one_fault_in_a_large_document_is_found_without_walking_through_the_rest():
    gate = Gate({"properties": {"tags": {"items": {"properties": {"color": {"pattern": "^#[0-9a-f]{6}$"}}}}}})
    tags = [{"color": "#ffffff"} for _ in range(30_000)]
    started = time.perf_counter()
    assert gate.explain({"tags": [*tags, {"color": "red"}]}) == [
        FieldError("/tags/30000/color", "must match the pattern ^#[0-9a-f]{6}$")
    ]
    assert time.perf_counter() - started < 2  # about 0.02; the published validator alone takes 0.6


def test_a_recursive_schema_is_explained_at_the_greatest_depth():
    gate = Gate(
        {
            "$defs": {"node": {"properties": {"next": {"$ref": "#/$defs/node"}, "value": {"type": "string"}}}},
            "$ref": "#/$defs/node",
        }
    )
    document = {"value": 1}
    for _ in range(jsontext.MAX_DEPTH - 1):
        document = {"next": document}
    assert gate.explain(document) == [FieldError("/next" * (jsontext.MAX_DEPTH - 1) + "/value", "must be a string")]


def test_a_schema_that_leads_back_to_itself_is_explained_all_the_same():
    gate = Gate({"$ref": "#/$defs/loop", "$defs": {"loop": {"$ref": "#/$defs/loop", "type": "string"}}})
    assert gate.explain(1) == [FieldError("", "breaks the schema's 'type'")]


@pytest.mark.parametrize(
    ("schema", "pointer"),
    [
        ({"pattern": "(?=a)b"}, "/pattern"),
        ({"pattern": r"(a)\1"}, "/pattern"),
        ({"pattern": "("}, "/pattern"),
        ({"properties": {"a": {"type": "strin"}}}, "/properties/a/type"),
        ({"$ref": "#/nope"}, ""),
        ({"$ref": "https://example.com/schema"}, ""),
        ({"$schema": "http://json-schema.org/draft-04/schema#"}, "/$schema"),
    ],
)
def test_a_schema_that_is_not_2020_12_on_its_own_is_refused(schema, pointer):
    with pytest.raises(SchemaError) as caught:
        Gate(schema)
    assert caught.value.pointer == pointer
