"""Every row of seed 000: what an attribute and a relationship may be, on a write, a push and a poll."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import pytest

from service.changes import detect, operations, types
from service.changes.dialects import DIALECTS
from service.errors import Invalid

ROOT = Path(__file__).parents[2]
USER = types.load(ROOT / "config" / "resources")["outreach.user"]
ROWS = json.loads((ROOT / "tests/corpus/outreach_rows.json").read_text(encoding="utf-8"))
RELATIONSHIPS = ROWS["relationships"]
NOON = 1_769_860_800_000  # 2026-01-31T12:00:00Z
GOOD = {
    "integer": [0, -1, 2**63],
    "boolean": [True, False],
    "object": [{}, {"sales": {"level": 3}}],
    "date-time": ["2019-08-24T14:15:22Z", "2019-08-24T14:15:22.123456+02:00", "2019-08-24t14:15:22z"],
    "email": ["user@example.com", "zoë+x@exämple.com"],
    "string": ["", "Zoë", "it's \u2028 \U0001f600"],
}
BAD = {
    "integer": ["1", 1.5, True, [], {}],
    "boolean": ["true", 0, [], {}],
    "object": ["{}", [], 1],
    "date-time": ["yesterday", "2019-08-24", "2019-08-24T14:15:22", "", 1566656122],
    "email": ["user", "a b@c", "@", "", 5],
    "string": [5, True, [], {}],
}


def kind(row):
    return row.get("format", row["type"])


def good(row):
    if "oneOf" in row:
        return [*row["oneOf"], None]
    longest = ["ü" * row["most"]] if "most" in row and kind(row) == "string" else []
    fit = [value for value in GOOD[kind(row)] if "most" not in row or len(value) <= row["most"]]
    return [*fit, *longest, None]


def bad(row):
    others = ["other", row["oneOf"][0].upper()] if "oneOf" in row else []
    if "most" in row:
        others.append("x" * (row["most"] - 11) + "@example.com" if kind(row) == "email" else "x" * (row["most"] + 1))
    return BAD[kind(row)] + others


def insert(attributes, **members):
    body = {"type": "user", "attributes": attributes, **members}
    return operations.insert(
        USER, body, now=NOON, new_id=str, new_number=itertools.count(1).__next__, host="watch.example"
    )


def update(current, **members):
    body = {"type": "user", **members}
    return operations.update(USER, current, body, now=NOON + 1000, new_id=str)


def pointers(operation, *arguments, **members):
    with pytest.raises(Invalid) as caught:
        operation(*arguments, **members)
    return [fault.pointer for fault in caught.value.errors]


def test_every_row_is_declared_and_nothing_else():
    declared = USER.schema["properties"]["attributes"]["properties"]
    assert list(declared) == [row["row"] for row in ROWS["attributes"]]
    assert len(declared) == 73
    relationships = USER.schema["properties"]["relationships"]["properties"]
    assert list(relationships) == sorted(RELATIONSHIPS["one"] + RELATIONSHIPS["many"])
    assert len(relationships) == 21


@pytest.mark.parametrize("row", ROWS["attributes"], ids=lambda row: row["row"])
def test_an_attribute_is_typed_and_limited_as_its_row_says(row):
    name = row["row"]
    for value in good(row):
        pushed = operations.push(USER, "1", {"type": "user", "attributes": {name: value}})
        assert pushed["attributes"] == {name: value}
        if name not in ("createdAt", "updatedAt"):
            assert insert({name: value})["attributes"][name] == value
    for value in bad(row):
        assert pointers(operations.push, USER, "1", {"attributes": {name: value}}) == [f"/attributes/{name}"]
        if name not in ("createdAt", "updatedAt"):
            assert pointers(insert, {name: value}) == [f"/attributes/{name}"]
        _, kept, faults = operations.polled(USER, {"id": 1, "attributes": {name: value}})
        assert kept["attributes"] == {name: value}
        assert [fault.pointer for fault in faults] == [f"/attributes/{name}"]


@pytest.mark.parametrize("name", RELATIONSHIPS["one"])
def test_a_relationship_to_one(name):
    related = {"type": "thing", "id": 3}
    for data in (related, None):
        made = insert({}, relationships={name: {"data": data}})
        assert made["relationships"] == {name: {"data": data}}
    for data in ([related], "3", {"type": "thing"}, {"id": 3}, {"type": 5, "id": 3}):
        (pointer, *_) = pointers(insert, {}, relationships={name: {"data": data}})
        assert pointer.startswith(f"/relationships/{name}/data")


@pytest.mark.parametrize("name", RELATIONSHIPS["many"])
def test_a_relationship_to_many(name):
    related = {"type": RELATIONSHIPS["types"].get(name, "thing"), "id": 3}
    for data in ([], [related], [related, {**related, "id": 4}]):
        made = insert({}, relationships={name: {"data": data}})
        assert made["relationships"] == {name: {"data": data}}
    for data in (related, None, "3", [{"type": related["type"]}], [3], [{**related, "id": "x"}]):
        (pointer, *_) = pointers(insert, {}, relationships={name: {"data": data}})
        assert pointer.startswith(f"/relationships/{name}/data")


@pytest.mark.parametrize(("name", "type_"), RELATIONSHIPS["types"].items())
def test_relationships_of_the_sample_are_to_its_types(name, type_):
    assert pointers(insert, {}, relationships={name: {"data": [{"type": "user", "id": 1}]}}) == [
        f"/relationships/{name}/data/0/type"
    ]
    insert({}, relationships={name: {"data": [{"type": type_, "id": 0}]}})


def test_a_relationship_can_be_filtered_by_its_id_unless_its_row_says_no():
    names = {name for name in USER.filters if name.endswith("][id]")}
    filtered = {*RELATIONSHIPS["one"], *RELATIONSHIPS["many"]} - set(RELATIONSHIPS["notFiltered"])
    assert names == {f"filter[{name}][id]" for name in filtered}


def test_a_new_user_has_a_number_and_the_time_of_its_making():
    assert insert({"email": "a@b.example"}) == {
        "type": "user",
        "id": 1,
        "attributes": {
            "email": "a@b.example",
            "createdAt": "2026-01-31T12:00:00.000Z",
            "updatedAt": "2026-01-31T12:00:00.000Z",
        },
    }


def test_times_of_making_and_updating_are_nobody_elses():
    made = insert({"createdAt": "2001-01-01T00:00:00Z", "updatedAt": "rubbish"})
    assert made == insert({})
    assert update(made, attributes={"createdAt": "2001-01-01T00:00:00Z", "updatedAt": None}) == made


def test_an_update_is_stamped_only_if_it_changes_something():
    made = insert({"firstName": "Ada"})
    assert update(made, attributes={"firstName": "Ada"}) == made
    changed = update(made, attributes={"firstName": "Zoë"})
    assert changed["attributes"]["updatedAt"] == "2026-01-31T12:00:01.000Z"
    assert changed["attributes"]["createdAt"] == made["attributes"]["createdAt"]


def test_an_email_is_set_once():
    made = insert({"email": "a@b.example"})
    assert update(made, attributes={"email": "a@b.example"}) == made
    assert pointers(update, made, attributes={"email": "c@d.example"}) == ["/attributes/email"]
    assert update(insert({}), attributes={"email": "a@b.example"})["attributes"]["email"] == "a@b.example"


def test_signing_in_is_no_change():
    made = insert({"lastSignInAt": "2026-01-01T00:00:00Z"})
    signed_in = {"lastSignInAt": "2026-01-30T00:00:00Z", "currentSignInAt": "2026-01-31T00:00:00Z"}
    later = update(made, attributes=signed_in)
    assert later["attributes"] | signed_in == later["attributes"]
    assert later["attributes"]["updatedAt"] == made["attributes"]["updatedAt"]
    assert not detect.differs(made, later, USER.rules)


def test_relationships_to_many_have_no_order():
    made = insert({}, relationships={"teams": {"data": [{"type": "team", "id": 1}, {"type": "team", "id": 2}]}})
    turned = update(made, relationships={"teams": {"data": [{"type": "team", "id": 2}, {"type": "team", "id": 1}]}})
    assert not detect.differs(made, turned, USER.rules)
    fewer = update(made, relationships={"teams": {"data": [{"type": "team", "id": 2}]}})
    assert detect.differs(made, fewer, USER.rules)


def test_links_are_never_kept():
    links = {"self": "https://api.example/api/v2/users/1"}
    document = {"type": "user", "id": 1, "links": links, "relationships": {"role": {"data": None, "links": links}}}
    kept = {"type": "user", "id": 1, "relationships": {"role": {"data": None}}}
    assert operations.push(USER, "1", document) == kept
    assert operations.polled(USER, document) == ("1", kept, [])
    assert DIALECTS["jsonapi"].read_element(document) == kept


def test_a_pushed_id_is_a_number_inside_and_text_in_the_path():
    assert operations.push(USER, "17", {})["id"] == 17
    assert operations.push(USER, "17", {"id": 17})["id"] == 17
    for path, body in (("17", {"id": 18}), ("ada", {}), ("017", {}), ("17", {"id": "17"})):
        assert pointers(operations.push, USER, path, body) == ["/id"]


def test_what_the_seed_does_not_have_is_kept():
    attributes = {"onDuty": True, "profileImage": {"url": "x"}}
    assert insert(attributes)["attributes"].items() >= attributes.items()
    document = {"type": "user", "id": 1, "attributes": attributes, "meta": {"own": 1}}
    assert operations.polled(USER, document) == ("1", document, [])
