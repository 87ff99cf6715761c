"""Templates, case by case from a file, and their bounds."""

from __future__ import annotations

import json
import tracemalloc
from pathlib import Path

import pytest

from service import errors
from service.model import Change, Event
from service.watches import template

CORPUS = json.loads((Path(__file__).parents[1] / "corpus" / "templates.json").read_text(encoding="utf-8"))
CASES = CORPUS["cases"]


def change(event="updated", before=None, after=None, diff=()):
    return Change(
        id="chg_1",
        tenant="default",
        type="agendize.account",
        object_id="1",
        event=Event(event),
        version=3,
        time=1764000000123,
        before=before,
        after=after,
        diff=list(diff),
        source="/agendize/api/2.0/resellers/accounts",
    )


def render(schema, after, *, add_previous_data=False, **more):
    return template.compile(schema, add_previous_data=add_previous_data).body(change(after=after, **more))


def compiled(case):
    return template.compile(case["template"], add_previous_data=case.get("addPreviousData", False))


def those_with(member):
    return pytest.mark.parametrize("case", [c for c in CASES if member in c], ids=lambda case: case["name"])


@those_with("body")
def test_a_template_renders(case):
    assert compiled(case).body(change(**CORPUS["changes"][case["change"]])).decode() == case["body"]


@those_with("error")
def test_a_change_does_not_fit_its_template(case):
    with pytest.raises(template.TemplateError) as caught:
        compiled(case).body(change(**CORPUS["changes"][case["change"]]))
    assert case["error"] in caught.value.detail
    assert not isinstance(caught.value, template.TemplateTooLarge)


@those_with("pointer")
def test_a_template_is_refused(case):
    with pytest.raises(errors.Invalid) as caught:
        compiled(case)
    fault = caught.value.errors[0]
    assert case["pointer"] in {None, fault.pointer}
    assert case["detail"] in fault.detail


@pytest.mark.parametrize("name", CORPUS["changes"])
def test_rendering_changes_nothing_in_the_change(name):
    given = change(**json.loads(json.dumps(CORPUS["changes"][name])))
    for case in CASES:
        if "body" in case:
            try:
                compiled(case).body(given)
            except template.TemplateError:
                continue
    assert given == change(**CORPUS["changes"][name])


def test_all_faults_are_told_at_once_with_their_pointers():
    with pytest.raises(errors.Invalid) as caught:
        template.compile({"a": "${x}", "b": ["${$.", "${$.ok}"]}, add_previous_data=False)
    assert [fault.pointer for fault in caught.value.errors] == ["/a", "/b/0"]


def test_paths_are_listed_with_their_pointers():
    listed = template.compile({"a": "${$.x.y} ${$.z}", "b/c": ["${$..w}"]}, add_previous_data=False).expressions
    assert [(pointer, path.text, path.names()) for pointer, path in listed] == [
        ("/a", "$.x.y", ("x", "y")),
        ("/a", "$.z", ("z",)),
        ("/b~1c/0", "$..w", ()),
    ]
    assert [p for p, _ in template.compile('{"a":${$.x},"b":"${$.y}"}', add_previous_data=False).expressions] == [
        "",
        "",
    ]
    reduced = {"$schema": "https://json-schema.org/draft/2020-12/schema", "properties": {"a": {"const": "${$.x}"}}}
    assert [p for p, _ in template.compile(reduced, add_previous_data=False).expressions] == ["/properties/a/const"]
    assert template.compile(None, add_previous_data=True).expressions == ()


@pytest.mark.parametrize(
    ("schema", "detail"),
    [
        ({"a": "x" * 70_000}, "at most 65,536 bytes"),
        ('"' + "x" * 70_000 + '"', "at most 65,536 bytes"),
        ({"a": " ".join(["${$.id}"] * 257)}, "at most 256 placeholders"),
        ({"a": ["${$.id}"] * 257}, "at most 256 placeholders"),
        ("[" + ",".join(["${$.id}"] * 257) + "]", "at most 256 placeholders"),
        ({"a": "${$" + ".a" * 600 + "}"}, "at most 1,024 characters"),
        ({"a": ["${["] * 10_000}, "and 19 more"),
    ],
)
def test_a_template_is_bounded_in_size(schema, detail):
    with pytest.raises(errors.Invalid) as caught:
        template.compile(schema, add_previous_data=False)
    assert detail in caught.value.detail


def nested(depth, value="${$.id}"):
    for _ in range(depth):
        value = {"a": value}
    return value


def test_a_template_is_bounded_in_depth():
    assert render(nested(32), {"id": "1"}) == json.dumps(nested(32, "1"), separators=(",", ":")).encode()
    for schema in (nested(33), nested(500), [nested(33)]):
        with pytest.raises(errors.Invalid, match="at most 32 deep"):
            template.compile(schema, add_previous_data=False)


@pytest.fixture
def allocated():
    """The most memory that was taken at once since the test began, in bytes."""
    tracemalloc.start()
    yield lambda: tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()


@pytest.mark.parametrize(
    "schema",
    [
        {"a": ["${$}"] * 256},
        {"a": "${$}" * 256},
        "[" + ",".join(["${$}"] * 256) + "]",
        '"' + "${$}" * 256 + '"',
        {"$schema": "https://json-schema.org/draft/2020-12/schema", "properties": {"a": {"const": ["${$}"] * 256}}},
        {
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "properties": {"many": {"items": {"properties": {"a": {"const": "x" * 60_000}}}}},
        },
    ],
    ids=["strings", "one string", "text", "text in quotes", "const", "const in an array"],
)
def test_output_is_bounded_while_it_is_made(schema, allocated):
    with pytest.raises(template.TemplateTooLarge, match="1,048,576 bytes"):
        render(schema, {"text": "x" * 500_000, "many": [{}] * 10_000})
    assert allocated() < 16 << 20


def test_escaping_counts_as_output():
    with pytest.raises(template.TemplateTooLarge):
        render({"a": "${$.text}"}, {"text": "\x01" * 300_000})
    assert len(render({"a": "${$.text}"}, {"text": "x" * 900_000})) == 900_008


def test_the_resource_itself_is_never_too_large():
    after = {"text": "x" * 1_000_000}
    body = render(None, after, before=after, add_previous_data=True)
    assert json.loads(body) == {**after, "previousData": after, "changes": []}


@pytest.mark.parametrize("schema", [{"a": "${$..*..*..*}"}, "${$..*..*..*}", {"a": ["${$..*..*}"] * 256}])
def test_a_template_looks_at_a_bounded_number_of_values(schema):
    with pytest.raises(template.TemplateError, match="too many values"):
        render(schema, {"a": [{"b": [{"c": list(range(20))}] * 20}] * 20})


def test_context_has_three_members_that_only_their_names_lead_to():
    after = {"id": "1", "event": "mine", "changes": "mine", "previousData": "mine"}
    seen = template.context(change(after=after, before={"id": "0"}, diff=[{"op": "test"}]))
    assert dict(seen.items()) == after
    assert (seen["id"], seen.get("id"), seen.get("nothing"), "nothing" in seen) == ("1", "1", None, False)
    assert seen["previousData"] == {"id": "0"}
    assert seen["changes"] == [{"op": "test"}]
    assert seen.get("event") == {
        "id": "chg_1",
        "type": "updated",
        "time": "2025-11-24T16:00:00.123Z",
        "objectType": "agendize.account",
        "objectId": "1",
        "version": 3,
    }
