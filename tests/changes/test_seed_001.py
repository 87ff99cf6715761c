"""Every row of seed 001, which are pushed and polled only."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from service.changes import detect, members, operations, types
from service.errors import Invalid

ROOT = Path(__file__).parents[2]
USER = types.load(ROOT / "config" / "resources")["rinkel.user"]
ROWS = json.loads((ROOT / "tests/corpus/rinkel_rows.json").read_text(encoding="utf-8"))


def declared(schema, path=""):
    for name, inner in schema.get("properties", {}).items():
        yield f"{path}{name}"
        yield from declared(inner, f"{path}{name}.")


def document(row, value):
    return members.put({"id": "u1"}, members.split(row), value)


def test_every_row_is_declared_and_nothing_else():
    assert [row["row"] for row in ROWS] == list(declared(USER.schema))


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row["row"])
def test_a_member_is_typed_and_limited_as_its_row_says(row):
    name = row["row"]
    id_ = row["good"][0] if name == "id" else "u1"
    for value in row["good"]:
        assert operations.push(USER, id_, document(name, value)) == document(name, value)
    for value in row["bad"]:
        with pytest.raises(Invalid) as caught:
            operations.push(USER, id_, document(name, value))
        assert caught.value.errors[0].pointer == "/" + name.replace(".", "/")
        if name != "id":
            _, kept, faults = operations.polled(USER, document(name, value))
            assert kept == document(name, value)
            assert [fault.pointer for fault in faults] == ["/" + name.replace(".", "/")]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({"availability": "AVAILABLE"}, {"availability": "UNAVAILABLE"}),
        ({}, {"availability": "AVAILABLE"}),
        ({"avatarUrls": {"small": "https://a.example/1?token=x"}}, {"avatarUrls": {"small": None}}),
        (
            {"notifications": {"voicemail": {"channels": ["EMAIL", "PUSH"]}}},
            {"notifications": {"voicemail": {"channels": ["PUSH", "EMAIL"]}}},
        ),
    ],
)
def test_what_flips_is_no_change(before, after):
    assert not detect.differs(before, after, USER.rules)


def test_another_channel_is_a_change():
    before, after = ({"notifications": {"voicemail": {"channels": channels}}} for channels in (["EMAIL"], ["PUSH"]))
    assert detect.differs(before, after, USER.rules)


def test_the_vendor_takes_no_writes():
    assert (list(USER.collection_methods), list(USER.item_methods)) == (["GET"], ["GET"])
