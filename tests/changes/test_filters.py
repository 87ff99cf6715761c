from __future__ import annotations

from pathlib import Path

import pytest

from service import jsontext
from service.changes import filters, types
from service.errors import BadRequest

ROOT = Path(__file__).parents[2]
ACCOUNT = types.load(ROOT / "config" / "resources")["agendize.account"]
CORPUS = [jsontext.loads(line) for line in (ROOT / "tests/corpus/accounts.ndjson").read_bytes().splitlines()]


def passes(document, **query):
    predicate = filters.compile(ACCOUNT, query)
    return predicate is None or predicate(document)


def refusal(**query):
    with pytest.raises(BadRequest) as caught:
        filters.compile(ACCOUNT, query)
    return caught.value.detail


def created(text, zone=...):
    return {"created": {"dateTime": text} if zone is ... else {"dateTime": text, "timeZone": zone}}


def test_without_parameters_everything_passes():
    assert filters.compile(ACCOUNT, {}) is None


def test_parameters_that_are_not_declared_mean_nothing():
    assert passes({}, apiKey="k", token="t", page="3", firstName="Ada")


@pytest.mark.parametrize(
    ("document", "text"),
    [
        ({"firstName": "Ada"}, "ada"),
        ({"lastName": "Lovelace"}, "LOVE"),
        ({"phoneNumber": "+1 514 555 0001"}, "555 00"),
        ({"email": "Ada@Example.com"}, "@example"),
        ({"firstName": "Straße"}, "STRASSE"),
        ({"lastName": "Щербакова"}, "щерб"),
        ({"firstName": "Ada", "lastName": None}, "a"),
        ({"firstName": ""}, ""),
    ],
)
def test_search_is_a_part_of_a_name_phone_number_or_email_in_any_case(document, text):
    assert passes(document, search=text)


@pytest.mark.parametrize(
    "document", [{}, {"firstName": 5}, {"organization": "Ada"}, {"userName": "ada"}, {"firstName": "Eve"}]
)
def test_search_looks_nowhere_else(document):
    assert not passes(document, search="ada")


@pytest.mark.parametrize(
    ("tools", "asked", "expected"),
    [
        (["call"], "call", True),
        (["save", "call"], "call,save", True),
        (["save", "call"], "call, save", True),
        (["call"], "call,save", False),
        (["callTracking"], "call", False),
        ([], "call", False),
        (None, "call", False),
        ("call", "call", False),
        ([5, {"a": 1}, "call"], "call", True),
    ],
)
def test_all_tools_that_are_asked_for_must_be_active(tools, asked, expected):
    assert passes({"tools": tools}, tools=asked) is expected


@pytest.mark.parametrize("asked", ["fax", "call,fax", "Call", "", "call,"])
def test_an_unknown_tool_is_refused(asked):
    assert refusal(tools=asked).startswith("tools: ")
    assert refusal(tools=asked).endswith("is none of save, scheduling, call, callTracking")


def test_status_is_one_of_two():
    assert passes({"status": "enabled"}, status="enabled")
    assert not passes({"status": "disabled"}, status="enabled")
    assert not passes({}, status="disabled")
    assert refusal(status="Enabled") == "status: 'Enabled' is none of enabled, disabled"
    assert refusal(status="") == "status: '' is none of enabled, disabled"


def test_user_name_is_exact():
    assert passes({"userName": "a@b"}, userName="a@b")
    assert not passes({"userName": "A@b"}, userName="a@b")
    assert not passes({"userName": "a@b.c"}, userName="a@b")


@pytest.mark.parametrize(
    ("made", "start", "end", "expected"),
    [
        (created("2026-01-31T12:00:00", "UTC"), "2026-01-31T11:59:59Z", "2026-01-31T12:00:01Z", True),
        (created("2026-01-31T12:00:00", "UTC"), "2026-01-31T12:00:00Z", None, False),  # exclusive
        (created("2026-01-31T12:00:00", "UTC"), None, "2026-01-31T12:00:00Z", False),
        (created("2026-01-31T12:00:00", "UTC"), "2026-01-31T13:59:59+02:00", None, True),
        (created("2026-01-31T12:00:00", "UTC"), "2026-01-31T13:59:59 02:00", None, True),  # a + that was decoded
        (created("2026-01-31T12:00:00", "UTC"), "2026-01-31T14:00:00 02:00", None, False),
        (created("2026-01-31T12:00:00", "UTC"), "2026-01-31T06:59:59-05:00", None, True),
        (created("2026-01-31T12:00:00", "UTC"), "2026-01-31 11:59:59z", None, True),
        (created("2026-01-31T12:00:00.5", "UTC"), "2026-01-31T12:00:00.499Z", "2026-01-31T12:00:00.501Z", True),
        (created("2026-01-31T12:00:00", "Europe/Paris"), "2026-01-31T10:59:59Z", "2026-01-31T11:00:01Z", True),
        (created("2026-07-31T12:00:00", "Europe/Paris"), "2026-07-31T09:59:59Z", "2026-07-31T10:00:01Z", True),
        (created("2026-01-31T12:00:00", "Australia/Lord_Howe"), "2026-01-31T00:59:59Z", "2026-01-31T01:00:01Z", True),
        (created("2026-01-31T12:00:00", "Nowhere/Atlantis"), "2026-01-31T11:59:59Z", "2026-01-31T12:00:01Z", True),
        (created("2026-01-31T12:00:00", "../../etc/passwd"), "2026-01-31T11:59:59Z", "2026-01-31T12:00:01Z", True),
        (created("2026-01-31T12:00:00", "America"), "2026-01-31T11:59:59Z", "2026-01-31T12:00:01Z", True),
        (created("2026-01-31T12:00:00", "x" * 5000), "2026-01-31T11:59:59Z", "2026-01-31T12:00:01Z", True),
        (created("2026-01-31T12:00:00", "a\u0000\u00fc"), "2026-01-31T11:59:59Z", "2026-01-31T12:00:01Z", True),
        (created("2026-01-31T12:00:00", ""), "2026-01-31T11:59:59Z", "2026-01-31T12:00:01Z", True),
        (created("2026-01-31T12:00:00", 5), "2026-01-31T11:59:59Z", "2026-01-31T12:00:01Z", True),
        (created("2026-01-31T12:00:00"), "2026-01-31T11:59:59Z", "2026-01-31T12:00:01Z", True),
        (created("2026-01-31T12:00:00+02:00", "UTC"), "2026-01-31T09:59:59Z", "2026-01-31T10:00:01Z", True),
        ({"created": "2026-01-31T12:00:00Z"}, "2026-01-31T11:59:59Z", "2026-01-31T12:00:01Z", True),
        ({"created": {}}, "0001-01-01T00:00:00Z", None, False),
        ({"created": 5}, None, "9999-12-31T23:59:59Z", False),
        (created("soon", "UTC"), "0001-01-01T00:00:00Z", None, False),
        (created("0001-01-01T00:00:00", "Asia/Tokyo"), None, "9999-12-31T23:59:59Z", True),
        ({}, None, "9999-12-31T23:59:59Z", False),
    ],
)
def test_created_lies_between_its_bounds_in_its_own_zone(made, start, end, expected):
    query = {"createdStartDate": start, "createdEndDate": end}
    assert passes(made, **{name: text for name, text in query.items() if text is not None}) is expected


@pytest.mark.parametrize(
    "text",
    ["", "today", "2026-01-31", "2026-01-31T12:00:00", "2026-13-01T00:00:00Z", "2026-01-31T25:00:00Z", "20260131T120000Z",
     "2026-W05-6T12:00:00Z", "2026-01-31T12:00Z", "1769860800", "2026-01-31T12:00:00Z ", "\u0662\u066026-01-31T12:00:00Z",
     "2026-01-31T12:00:00+25:00"],
)  # fmt: skip
def test_a_bound_that_is_no_rfc_3339_timestamp_is_refused(text):
    expected = ": must be an RFC 3339 timestamp, such as 2026-01-31T12:00:00Z"
    assert refusal(createdStartDate=text) == f"createdStartDate{expected}"
    assert refusal(createdEndDate=text) == f"createdEndDate{expected}"


def test_all_parameters_must_pass():
    chosen = list(filter(filters.compile(ACCOUNT, {"status": "disabled", "tools": "call", "search": "user"}), CORPUS))
    assert chosen
    assert len(chosen) < len(CORPUS)
    for document in chosen:
        assert document["status"] == "disabled"
        assert "call" in document["tools"]
        assert "user" in document["email"].casefold()


def test_numbers_and_booleans_are_asked_for_as_text():
    rtype = types.parse(
        {
            "name": "acme.user",
            "collection": "/u",
            "dialect": "items",
            "schema": {},
            "identity": ["id"],
            "filters": {"age": {"match": "equals", "paths": ["age"]}, "on": {"match": "equals", "paths": ["on", "up"]}},
        },
        "f",
    )
    assert filters.compile(rtype, {"age": "5", "on": "true"})({"age": 5, "up": True})
    assert not filters.compile(rtype, {"on": "1"})({"on": True})
    assert not filters.compile(rtype, {"age": "None"})({"age": None})


USER = types.load(ROOT / "config" / "resources")["outreach.user"]


def finds(document, name, text):
    return filters.compile(USER, {f"filter[{name}]": text})(document)


def with_attribute(name, value):
    return {"id": 7, "attributes": {name: value}}


@pytest.mark.parametrize(
    ("name", "value", "text", "expected"),
    [
        ("lastName", "Byron", "Byron", True),
        ("lastName", "Byron", "byron", False),
        ("lastName", "Byron", "Ada,Byron", True),
        ("lastName", "Byron", "Ada, Byron ,Eve", True),
        ("lastName", "Byron", "A..C", True),
        ("lastName", "Byron", "Byron..Byron", True),
        ("lastName", "Byron", "C..A", False),
        ("lastName", "Byron", "neginf..A,B..inf", True),
        ("lastName", "Byron", "neginf..inf", True),
        ("lastName", "", "", True),
        ("lastName", None, "neginf..inf", False),
        ("lastName", 5, "5", False),
        ("locked", True, "true", True),
        ("locked", False, "true", False),
        ("locked", False, "true,false", True),
        ("locked", "true", "true", False),
        ("updatedAt", "2026-08-01T00:00:00Z", "2026-08-01T00:00:00Z", True),
        ("updatedAt", "2026-08-01T00:00:00.000Z", "2026-08-01T02:00:00+02:00", True),
        ("updatedAt", "2026-08-01T00:00:00.123Z", "2026-08-01T00:00:00.123Z..inf", True),
        ("updatedAt", "2026-08-01T00:00:00.123Z", "2026-08-01T00:00:00.124Z..inf", False),
        ("updatedAt", "2026-08-01T00:00:00.123Z", "neginf..2026-08-01T00:00:00.123Z", True),
        ("updatedAt", "2026-08-01T00:00:00Z", "2026-07-01T00:00:00Z..2026-07-31T00:00:00Z", False),
        ("updatedAt", "soon", "neginf..inf", False),
        ("updatedAt", None, "neginf..inf", False),
    ],
)
def test_a_range_has_both_its_ends_and_a_list_any_of_its_parts(name, value, text, expected):
    assert finds(with_attribute(name, value), name, text) is expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [("7", True), ("1..7", True), ("1,2,7", True), ("6.5..7.5", True), ("8..inf", False), ("-1..6", False)],
)
def test_numbers_are_compared_as_numbers(text, expected):
    assert finds({"id": 7}, "id", text) is expected
    assert not finds({"id": "7"}, "id", text)
    assert not finds({"id": True}, "id", "1")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("id", "x"),
        ("id", ""),
        ("id", "1..x"),
        ("id", "0x7"),
        ("id", "1e5"),
        ("locked", "yes"),
        ("locked", ""),
        ("createdAt", "yesterday"),
        ("createdAt", "2026-08-01"),
        ("createdAt", "inf..2026-08-01T00:00:00Z"),
        ("createdAt", "2026-02-30T00:00:00Z..inf"),
        ("lastName", "a.."),
        ("lastName", "..b"),
        ("lastName", ".."),
    ],
)
def test_a_range_that_is_none_is_refused(name, text):
    with pytest.raises(BadRequest) as caught:
        filters.compile(USER, {f"filter[{name}]": text})
    assert caught.value.detail.startswith(f"filter[{name}]: ")


@pytest.mark.parametrize(
    ("data", "text", "expected"),
    [
        ({"type": "profile", "id": 3}, "3", True),
        ({"type": "profile", "id": "3"}, "3", True),
        ({"type": "profile", "id": 3}, "1, 3", True),
        ({"type": "profile", "id": 3}, "4", False),
        ({"type": "profile", "id": 3}, "", False),
        (None, "3", False),
        ([], "3", False),
        ([{"id": 1}, {"id": 3}], "3", True),
        ([{"id": 1}, None, 3, "3"], "3", False),
    ],
)
def test_a_relationship_is_found_by_the_id_of_the_other_side(data, text, expected):
    assert finds({"relationships": {"profile": {"data": data}}}, "profile][id", text) is expected


def test_several_parameters_must_all_pass():
    both = {"filter[firstName]": "Ada", "filter[lastName]": "Byron"}
    assert filters.compile(USER, both)({"attributes": {"firstName": "Ada", "lastName": "Byron"}})
    assert not filters.compile(USER, both)({"attributes": {"firstName": "Ada"}})
