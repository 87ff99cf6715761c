"""Every row of seed 003: its type, and who may set it when."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from service.changes import detect, operations, types
from service.errors import Invalid
from service.model import Role

ROOT = Path(__file__).parents[2]
USER = types.load(ROOT / "config" / "resources")["genesys.user"]
ROWS = json.loads((ROOT / "tests/corpus/genesys_rows.json").read_text(encoding="utf-8"))
NEW = {"userName": "ada@example.com"}
MADE = {"id": "user_1", "enabled": True, "changePasswordOnFirstLogin": False, "skills": [], "devices": []}


def insert(body):
    return operations.insert(
        USER, body, now=0, new_id=lambda prefix: f"{prefix}_1", new_number=int, host="watch.example"
    )


def update(current, body):
    return operations.update(USER, current, body, now=0, new_id=str)


def pointers(operation, *arguments):
    with pytest.raises(Invalid) as caught:
        operation(*arguments)
    return [fault.pointer for fault in caught.value.errors]


def rows(*access):
    return pytest.mark.parametrize("row", [row for row in ROWS if row["access"] in access], ids=lambda row: row["row"])


def bad(row):
    yield from ((value, f"/{row['row']}") for value in row["bad"])
    yield from ((value, f"/{row['row']}/1") for value in row.get("badElements", ()))


def test_every_row_is_declared_and_nothing_else():
    assert {row["row"] for row in ROWS} == set(USER.schema["properties"])


@rows("read", "write", "create")
def test_a_push_and_a_poll_bring_every_member(row):
    name = row["row"]
    for value in row["good"]:
        id_ = value if name == "id" else "1"
        document = {"id": id_, name: value}
        assert operations.push(USER, id_, document) == document
        assert operations.polled(USER, document) == (id_, document, [])
    for value, pointer in bad(row):
        assert pointers(operations.push, USER, "1", {name: value}) == [pointer]
        if name != "id":
            document = {"id": "1", name: value}
            _, kept, faults = operations.polled(USER, document)
            assert (kept, [fault.pointer for fault in faults]) == (document, [pointer])


@rows("write")
def test_a_member_is_written_at_creation_and_later(row):
    name = row["row"]
    for value in row["good"]:
        assert insert({**NEW, name: value})[name] == value
        assert update(insert(NEW), {name: value})[name] == value
    for value, pointer in bad(row):
        assert pointers(insert, {**NEW, name: value}) == [pointer]
        assert pointers(update, insert(NEW), {name: value}) == [pointer]


@rows("create")
def test_a_member_is_written_at_creation_only(row):
    name = row["row"]
    for value in row["good"]:
        made = insert({**NEW, name: value})
        assert made[name] == value
        assert update(made, {name: value}) == made
    for value, pointer in bad(row):
        assert pointers(insert, {**NEW, name: value}) == [pointer]
    others = {"userName": "eve@example.com", "changePasswordOnFirstLogin": True}
    assert pointers(update, insert(NEW), {name: others[name]}) == [f"/{name}"]


@rows("read")
def test_a_member_that_is_read_only_is_ignored(row):
    name = row["row"]
    for value in [*row["good"], *row["bad"]]:
        assert insert({**NEW, name: value}) == insert(NEW)
        assert update(insert(NEW), {name: value}) == insert(NEW)


@rows("secret")
def test_a_password_is_checked_and_not_kept(row):
    for value in row["good"]:
        assert insert({**NEW, "password": value}) == insert(NEW)
        assert update(insert(NEW), {"password": value}) == insert(NEW)
        assert operations.push(USER, "1", {"password": value}) == {"id": "1"}
        assert operations.polled(USER, {"id": "1", "password": value}) == ("1", {"id": "1"}, [])
    for value in row["bad"]:
        assert pointers(insert, {**NEW, "password": value}) == ["/password"]


def test_a_new_user_is_enabled_and_keeps_the_password():
    assert insert(NEW) == {**MADE, **NEW}
    assert insert({**NEW, "enabled": False, "changePasswordOnFirstLogin": True}) == {
        **MADE,
        **NEW,
        "enabled": False,
        "changePasswordOnFirstLogin": True,
    }


def test_a_user_without_a_name_is_missing_something():
    assert pointers(insert, {"firstName": "Ada"}) == ["/userName"]


def test_roles_are_the_new_set():
    made = insert({**NEW, "roles": ["ROLE_ADMIN", "ROLE_AGENT"]})
    assert update(made, {"roles": ["ROLE_AGENT"]})["roles"] == ["ROLE_AGENT"]
    assert update(made, {"roles": []})["roles"] == []
    assert update(made, {"firstName": "Ada"})["roles"] == ["ROLE_ADMIN", "ROLE_AGENT"]
    assert not detect.differs(made, update(made, {"roles": ["ROLE_AGENT", "ROLE_ADMIN"]}), USER.rules)


def test_what_names_a_host_is_never_kept():
    document = {
        "id": "1",
        "uri": "http://a.example/api/v2/users/1",
        "path": "/users/1",
        "skills": [{"id": "s", "uri": "http://a.example/api/v2/skills/s", "path": "/skills/s"}],
    }
    assert operations.push(USER, "1", document) == {"id": "1", "skills": [{"id": "s"}]}


def test_presence_is_no_change():
    assert not detect.differs({"doNotDisturb": "on"}, {"doNotDisturb": "off"}, USER.rules)


def test_who_may_do_what_is_as_the_table_says():
    admin, both = {Role.ADMIN}, {Role.ADMIN, Role.AGENT}
    assert {
        name: USER.permissions[name] - {Role.OPERATOR} for name in ("list", "get", "insert", "update", "delete")
    } == {
        "list": both,
        "get": both,
        "insert": admin,
        "update": both,
        "delete": both,
    }
