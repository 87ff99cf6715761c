"""Every row of seed 002's tables, as pure functions: what a row accepts, what it refuses, and who sets it.

The rows of its watch table are tested with the watches.
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from service.changes import filters, members, operations, types
from service.errors import BadRequest, Invalid
from service.model import Role

ACCOUNT = types.load(Path(__file__).parents[2] / "config" / "resources")["agendize.account"]
NOON = 1_769_860_800_000  # 2026-01-31T12:00:00Z
OF_255, OF_63 = "é" * 255, "é" * 63

WRITTEN = "written"  # by whoever may insert and update
OURS = "ours"  # read-only: ignored from a vendor-face write, taken from a push
ONCE = "once"  # set at creation
DROPPED = "dropped"  # accepted, checked, never shown
SECRET = "secret"  # read-only, and not even kept


@dataclass(frozen=True)
class Row:
    path: str
    kind: str
    accepted: tuple[Any, ...]
    refused: tuple[Any, ...]

    def body(self, value):
        """An account with this one member, the others that an insert needs beside it."""
        if self.path.startswith("tags."):
            return BASE | {"tags": [{self.path.removeprefix("tags.*."): value}]}
        return members.put(members.put(BASE, ("email",), "ada@example.com"), tuple(self.path.split(".")), value)

    @property
    def pointer(self):
        return "/" + self.path.replace(".", "/").replace("*", "0")

    def of(self, document):
        """The member's value in a document; None if there is none."""
        if self.path.startswith("tags."):
            return document["tags"][0].get(self.path.removeprefix("tags.*."))
        return members.get(document, tuple(self.path.split(".")))


BASE = {"email": "ada@example.com", "profile": {"id": "1"}}
NO_TEXT = (None, 1, True, [], {})
ROWS = [
    Row("id", OURS, ("1", "acc/1"), (1, True, [], {})),
    Row("userName", OURS, ("ada@example.com",), NO_TEXT),
    Row("firstName", WRITTEN, ("Ada", "", OF_255), (*NO_TEXT, OF_255 + "e")),
    Row("lastName", WRITTEN, ("Lovelace", "", OF_255), (*NO_TEXT, OF_255 + "e")),
    Row("email", ONCE, ("ada@example.com", "é@example.com", OF_255), (None, 1, True, [], {}, OF_255 + "e")),
    Row("password", DROPPED, ("secret", "", OF_63), (*NO_TEXT, OF_63 + "e")),
    Row("organization", WRITTEN, ("Acme", "", OF_255 * 9), NO_TEXT),
    Row("preferences", WRITTEN, ({}, {"timeZone": "UTC"}), (None, 1, "x", [])),
    Row("preferences.timeZone", WRITTEN, ("Europe/Paris", ""), NO_TEXT),
    Row("preferences.language", WRITTEN, ("fr", ""), NO_TEXT),
    Row("preferences.displayName", WRITTEN, ("Ada", "", OF_63), (*NO_TEXT, OF_63 + "e")),
    Row("currency", WRITTEN, ("USD", "CAD", "EUR", "GBP", "JPY"), (None, "CHF", "usd", "", 1)),
    Row("resellerId", WRITTEN, ("client-1", "", "a/b"), NO_TEXT),
    Row("domain", WRITTEN, ("app.example.com", OF_63), (*NO_TEXT, OF_63 + "e")),
    Row(
        "created", OURS, ({"dateTime": "2026-01-31T12:00:00", "timeZone": "UTC"}, {}), (None, "2026-01-31T12:00:00", [])
    ),
    Row(
        "created.dateTime",
        OURS,
        ("2026-01-31T12:00:00", "2026-01-31T12:00:00.123"),
        (None, 1, "", "2026-01-31", "2026-01-31T12:00:00Z", "2026-01-31T12:00:00+01:00", "2026-01-31T12:00:00\n"),
    ),
    Row("created.timeZone", OURS, ("America/Toronto", "UTC"), NO_TEXT),
    Row("ssoToken", SECRET, ("t0ken", ""), NO_TEXT),
    Row("credit", OURS, (0, 12.5, -1, 1e6), (None, "12.5", True, [], {})),
    Row("profile", WRITTEN, ({"id": "2"}, {"id": "2", "name": "Solo"}), (None, "2", [])),
    Row("profile.id", WRITTEN, ("2",), (None, 2, True, [], {})),
    Row("profile.name", WRITTEN, ("Solo", ""), NO_TEXT),
    Row(
        "tools",
        WRITTEN,
        ([], ["save"], ["save", "scheduling", "call", "callTracking"], ["call", "save"]),
        (None, "call", {}, ["fax"], [None], [["call"]]),
    ),
    Row("whiteLabel", WRITTEN, ({}, {"logoURL": "l"}), (None, 1, "x", [])),
    Row("whiteLabel.logoURL", WRITTEN, ("https://example.com/l.png", "", OF_255), (*NO_TEXT, OF_255 + "e")),
    Row("whiteLabel.emailAddress", WRITTEN, ("a@b", "", OF_255), (*NO_TEXT, OF_255 + "e")),
    Row("whiteLabel.headerBackgroundColor", WRITTEN, ("#123456", "red", ""), NO_TEXT),
    Row("whiteLabel.menuBackgroundColor", WRITTEN, ("#123456", "red", ""), NO_TEXT),
    Row("clientName", WRITTEN, ("Acme", ""), NO_TEXT),
    Row("status", WRITTEN, ("enabled", "disabled"), (None, "Enabled", "", True, {})),
    Row("sendSignupEmail", DROPPED, (True, False, "true", "false"), (None, "yes", 1, 0, "", [])),
    Row("additionalUsers", WRITTEN, (0, 5, 5.0), (None, -1, 1.5, "5", {}, True)),
    Row("tags", WRITTEN, ([], [{}], [{"tag": "a", "color": "#000000"}]), (None, "a", {}, ["a"], [None])),
    Row("tags.*.id", OURS, ("t1",), (1, True, [], {})),
    Row("tags.*.tag", WRITTEN, ("vip", "", OF_255), (*NO_TEXT, OF_255 + "e")),
    Row(
        "tags.*.color",
        WRITTEN,
        ("#1e90ff", "#FFFFFF"),
        (None, True, "red", "#fff", "#1e90fg", "#1e90ff\n", "1e90ff", ""),
    ),
]
CASES = [(row, value) for row in ROWS for value in row.accepted]
BROKEN = [(row, value) for row in ROWS for value in row.refused]


def name_of(argument):
    return argument.path if isinstance(argument, Row) else repr(argument)[:20]


def numbers():
    """A maker of ids that can be foretold."""
    counts = defaultdict(lambda: itertools.count(1))
    return lambda prefix: f"{prefix}_{next(counts[prefix])}"


def insert(body):
    return operations.insert(ACCOUNT, body, now=NOON, new_id=numbers(), new_number=int, host="api.example.com")


def update(current, body):
    return operations.update(ACCOUNT, current, body, now=NOON, new_id=numbers())


def push(row, value):
    body = row.body(value)
    return operations.push(ACCOUNT, value if row.path == "id" and isinstance(value, str) else "1", body)


def places(operation, *arguments):
    with pytest.raises(Invalid) as caught:
        operation(*arguments)
    return [fault.pointer for fault in caught.value.errors]


def test_the_table_has_every_declared_member():
    def declared(schema, path=""):
        for name, inner in schema.get("properties", {}).items():
            yield path + name
            yield from declared(inner, f"{path}{name}.")
            yield from declared(inner.get("items", {}), f"{path}{name}.*.")

    assert [row.path for row in ROWS] == list(declared(ACCOUNT.schema))


@pytest.mark.parametrize(("row", "value"), CASES, ids=name_of)
def test_what_a_row_accepts_is_inserted_unless_it_is_ours(row, value):
    made = row.of(insert(row.body(value)))
    if row.kind in (DROPPED, SECRET):
        assert made is None
    elif row.kind is OURS:
        assert made == row.of(insert(BASE | {"tags": [{}]}))
    elif row.path == "tags":
        assert [{"id": f"tag_{number}", **tag} for number, tag in enumerate(value, 1)] == made
    elif row.path == "preferences":
        assert made == {"displayName": "ada@example.com", **value}
    else:
        assert made == value


@pytest.mark.parametrize(("row", "value"), CASES, ids=name_of)
def test_what_a_row_accepts_updates_it_unless_it_is_ours_or_set_once(row, value):
    current = insert(BASE | {"tags": [{}], "preferences": {"displayName": "d"}})
    body = row.body(value)
    if row.kind is ONCE and value != "ada@example.com":
        assert places(update, current, body) == [row.pointer]
    elif row.kind in (DROPPED, SECRET, OURS, ONCE):
        assert update(current, body) == current
    else:
        after = row.of(update(current, body))
        if row.path == "preferences":
            assert after == {"displayName": "d", **value}
        elif row.path == "tags":
            assert [{name: member for name, member in tag.items() if name != "id"} for tag in after] == value
        else:
            assert after == value


@pytest.mark.parametrize(("row", "value"), CASES, ids=name_of)
def test_what_a_row_accepts_is_taken_from_a_push_unless_it_is_dropped(row, value):
    assert row.of(push(row, value)) == (None if row.kind in (DROPPED, SECRET) else value)


@pytest.mark.parametrize(("row", "value"), BROKEN, ids=name_of)
def test_what_a_row_refuses_is_refused_where_it_stands(row, value):
    body = row.body(value)
    current = insert(BASE | {"tags": [{}]})
    pushed = places(push, row, value)
    assert all(pointer == row.pointer or pointer.startswith(f"{row.pointer}/") for pointer in pushed)
    if row.kind in (OURS, SECRET):
        assert row.of(insert(body)) == row.of(insert(BASE | {"tags": [{}]}))
        assert update(current, body) == current
    else:
        assert all(pointer.startswith(row.pointer) for pointer in places(insert, body))
        assert all(pointer.startswith(row.pointer) for pointer in places(update, current, body))


def test_the_user_name_is_the_email():
    assert insert(BASE | {"userName": "somebody else"})["userName"] == "ada@example.com"


def test_the_email_cannot_change_after_creation():
    assert places(update, insert(BASE), {"email": "eve@example.com"}) == ["/email"]


def test_the_display_name_is_the_email_by_default():
    assert insert(BASE)["preferences"] == {"displayName": "ada@example.com"}
    assert insert(BASE | {"preferences": {"displayName": "Ada"}})["preferences"] == {"displayName": "Ada"}


def test_the_domain_is_the_called_host_by_default():
    assert insert(BASE)["domain"] == "api.example.com"


def test_the_created_time_is_set_by_the_directory_in_utc():
    assert insert(BASE)["created"] == {"dateTime": "2026-01-31T12:00:00", "timeZone": "UTC"}
    assert update(insert(BASE), {"created": {"dateTime": "1999-01-01T00:00:00"}}) == insert(BASE)


def test_the_reseller_id_finds_the_account_beside_its_id_and_user_name():
    assert ACCOUNT.identity == ("id", "resellerId", "userName")
    assert operations.identities(ACCOUNT, insert(BASE | {"resellerId": "r"})) == {
        "resellerId": "r",
        "userName": "ada@example.com",
    }


def test_the_sso_token_is_never_kept():
    assert "ssoToken" not in operations.push(ACCOUNT, "1", {"ssoToken": "t"})
    assert "ssoToken" not in insert(BASE | {"ssoToken": "t"})
    assert ACCOUNT.secret == (("ssoToken",), ("password",))


def test_the_order_of_tools_means_nothing():
    assert ACCOUNT.unordered == (("tools",),)


class TestOperations:
    """The seed's operations, by the verbs that its clients use."""

    def test_list_and_insert_are_on_the_collection(self):
        assert {method: operation.name for method, operation in ACCOUNT.collection_methods.items()} == {
            "GET": "list",
            "POST": "insert",
        }

    def test_get_patch_update_and_delete_are_on_an_item(self):
        assert {method: operation.name for method, operation in ACCOUNT.item_methods.items()} == {
            "GET": "get",
            "PATCH": "patch",
            "PUT": "update",
            "POST": "update",
            "DELETE": "delete",
        }

    def test_each_answers_with_the_account_but_delete_which_answers_empty(self):
        assert {name: operation.status for name, operation in ACCOUNT.operations.items()} == {
            "list": 200,
            "insert": 200,
            "get": 200,
            "patch": 200,
            "update": 200,
            "delete": 204,
        }

    @pytest.mark.parametrize("operation", ["insert", "update", "patch", "delete", "push"])
    def test_admin_and_agent_write(self, operation):
        assert ACCOUNT.permissions[operation] == {Role.ADMIN, Role.AGENT}

    @pytest.mark.parametrize("operation", ["list", "get"])
    def test_everyone_reads(self, operation):
        assert ACCOUNT.permissions[operation] == set(Role)

    def test_an_admin_watches(self):
        assert ACCOUNT.permissions["watch"] == {Role.ADMIN}


class TestList:
    """Its query parameters."""

    account = insert(
        BASE | {"firstName": "Ada", "lastName": "Lovelace", "tools": ["scheduling", "call"], "status": "enabled"}
    )

    def passes(self, **query):
        return filters.compile(ACCOUNT, query)(self.account)

    def test_search(self):
        assert self.passes(search="LOVE")
        assert self.passes(search="ada@")
        assert not self.passes(search="eve")

    def test_tools(self):
        assert self.passes(tools="scheduling")
        assert self.passes(tools="call,scheduling")
        assert not self.passes(tools="callTracking")
        with pytest.raises(BadRequest, match=r"^tools: "):
            self.passes(tools="fax")

    def test_status(self):
        assert self.passes(status="enabled")
        assert not self.passes(status="disabled")
        with pytest.raises(BadRequest, match=r"^status: "):
            self.passes(status="frozen")

    def test_created_start_date_is_the_lower_bound_exclusive(self):
        assert self.passes(createdStartDate="2026-01-31T11:59:59Z")
        assert not self.passes(createdStartDate="2026-01-31T12:00:00Z")
        with pytest.raises(BadRequest, match=r"^createdStartDate: "):
            self.passes(createdStartDate="yesterday")

    def test_created_end_date_is_the_upper_bound_exclusive(self):
        assert self.passes(createdEndDate="2026-01-31T12:00:01Z")
        assert not self.passes(createdEndDate="2026-01-31T12:00:00Z")
        with pytest.raises(BadRequest, match=r"^createdEndDate: "):
            self.passes(createdEndDate="tomorrow")


class TestInsert:
    """Its required and optional properties."""

    @pytest.mark.parametrize(
        ("body", "missing"), [({"profile": {"id": "1"}}, "/email"), ({"email": "e"}, "/profile/id")]
    )
    def test_email_and_profile_id_are_required(self, body, missing):
        assert places(insert, body) == [missing]

    def test_the_optional_properties_are_taken(self):
        made = insert(
            BASE
            | {"lastName": "L", "firstName": "F", "sendSignupEmail": True, "tags": [{"tag": "t", "color": "#000000"}]}
        )
        assert (made["lastName"], made["firstName"]) == ("L", "F")
        assert made["tags"] == [{"id": "tag_1", "tag": "t", "color": "#000000"}]
        assert "sendSignupEmail" not in made


class TestPatch:
    """It adds values to arrays of properties; only tags are supported."""

    current = insert(BASE | {"tags": [{"tag": "t"}]})

    def patch(self, body):
        return operations.patch(ACCOUNT, self.current, body, new_id=lambda prefix: f"new_{prefix}")

    def test_a_tag_with_a_known_id_is_changed(self):
        assert self.patch({"tags": [{"id": "tag_1", "color": "#000000"}]})["tags"] == [
            {"id": "tag_1", "tag": "t", "color": "#000000"}
        ]

    def test_a_tag_without_an_id_is_made(self):
        assert self.patch({"tags": [{"color": "#000000"}]})["tags"] == [
            {"id": "tag_1", "tag": "t"},
            {"id": "new_tag", "color": "#000000"},
        ]

    def test_a_tag_with_an_unknown_id_is_refused(self):
        assert places(self.patch, {"tags": [{"id": "tag_9"}]}) == ["/tags/0/id"]

    @pytest.mark.parametrize("name", [row.path for row in ROWS if "." not in row.path and row.path != "tags"])
    def test_any_other_member_is_refused(self, name):
        assert places(self.patch, {name: "x"}) == [f"/{name}"]


class TestUpdate:
    """Its optional properties."""

    def test_names_and_tags_change_and_the_same_email_is_accepted(self):
        current = insert(BASE | {"tags": [{"tag": "t"}]})
        body = {
            "lastName": "L",
            "firstName": "F",
            "email": "ada@example.com",
            "tags": [{"tag": "u", "color": "#000000"}],
        }
        after = operations.update(ACCOUNT, current, body, now=NOON, new_id=lambda prefix: f"new_{prefix}")
        assert after == current | {
            "lastName": "L",
            "firstName": "F",
            "tags": [{"id": "new_tag", "tag": "u", "color": "#000000"}],
        }
