"""The vendor face of accounts: every row of seed 002, its operations, filters and errors, over HTTP."""

from __future__ import annotations

import asyncio
import json
import logging
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from tests.support.receiver import Receiver
from tests.support.running import ACCOUNTS, ROOT, Client

CASES = json.loads((Path(__file__).parents[1] / "corpus" / "api_accounts.json").read_text(encoding="utf-8"))
OURS = "/api/v1/resources/agendize.account"
NEW = {"email": "ada@example.com", "profile": {"id": "p1"}}

TYPE = json.loads((ROOT / "config" / "resources" / "agendize.account.json").read_text(encoding="utf-8"))


def value_of(case: Any) -> Any:
    """A case's value: long texts stand there as ``{"repeat": [text, times]}``."""
    if isinstance(case, dict) and set(case) == {"repeat"}:
        text, times = case["repeat"]
        return text * times
    return case


def rows(kind: str) -> list[Any]:
    """Each row that has values of a kind, with all of them."""
    return [
        pytest.param(
            row["row"], [value_of(value) for value in row[kind]], row.get("at"), id=f"{row['row']}{row.get('at', '')}"
        )
        for row in CASES["rows"]
        if kind in row
    ]


def body_with(row: str, value: Any) -> Any:
    """A body that has this value at a row's place, and nothing else."""
    for name in reversed(row.split(".")):
        value = [value] if name == "*" else {name: value}
    return value


def account_with(row: str, value: Any) -> Any:
    """A new account with this value at a row's place."""
    body = body_with(row, value)
    if row == "email":
        return {**NEW, **body}
    if row.startswith("profile."):
        return {**NEW, "profile": {"id": "p1", **body["profile"]}}
    return {**NEW, **body}


def read(document: Any, row: str) -> Any:
    """What a document has at a row's place; None where it has nothing."""
    for name in row.split("."):
        if document is None:
            return None
        document = (document[0] if document else None) if name == "*" else document.get(name)
    return document


async def inserted(admin: Client, **members: Any) -> Any:
    """A new account."""
    made = await admin.post(ACCOUNTS, {**NEW, **members})
    assert made.status == 200, made.text
    return made.body


async def version(admin: Client, account: Any) -> int:
    """How often it has changed."""
    return (await admin.get(f"{OURS}/{account['id']}")).body["version"]


async def items(client: Client, **query: str) -> list[Any]:
    """The list."""
    answer = await client.get(ACCOUNTS, params=query)
    assert answer.status == 200, answer.text
    assert set(answer.body) == {"items"}
    return answer.body["items"]


# Rows


def declared(schema: Any, path: str = "") -> Iterator[str]:
    """The members that a schema declares, as rows name them."""
    for name, inner in schema.get("properties", {}).items():
        yield f"{path}{name}"
        yield from declared(inner, f"{path}{name}.")
        yield from declared(inner.get("items", {}), f"{path}{name}.*.")


def test_every_row_of_the_seed_has_cases():
    assert {row["row"] for row in CASES["rows"]} == set(declared(TYPE["schema"]))


@pytest.mark.parametrize(("row", "values", "at"), rows("good"))
async def test_a_value_is_taken_by_insert_and_by_update(admin: Client, row: str, values: list[Any], at: None):
    other = await inserted(admin, email="other@example.com")
    for number, value in enumerate(values):
        body = {**account_with(row, value), **({} if row == "email" else {"email": f"user{number}@example.com"})}
        made = await admin.post(ACCOUNTS, body)
        assert made.status == 200, made.text
        assert read(made.body, row) == value
        assert (await admin.get(f"{ACCOUNTS}/{made.body['id']}")).body == made.body
        assert made.body in await items(admin)
        if row != "email":
            await admin.delete(f"{ACCOUNTS}/{made.body['id']}")
            updated = await admin.put(f"{ACCOUNTS}/{other['id']}", body_with(row, value))
            assert updated.status == 200, updated.text
            assert read(updated.body, row) == value


@pytest.mark.parametrize(("row", "values", "at"), rows("bad"))
async def test_a_value_is_refused_where_it_stands_and_nothing_is_left_of_it(
    admin: Client, row: str, values: list[Any], at: str | None
):
    there = at or "/" + row.replace(".", "/").replace("*", "0")
    account = await inserted(admin, email="other@example.com")
    for value in values:
        refused = await admin.post(ACCOUNTS, account_with(row, value))
        refused.vendor_error(422)
        assert there in refused.pointers()
        for method in ("PUT", "POST"):
            body = {"lastName": "x", **body_with(row, value)}
            refused = await admin.call(method, f"{ACCOUNTS}/{account['id']}", body)
            refused.vendor_error(422)
            assert refused.pointers() == [there]
    assert await items(admin) == [account]
    assert await version(admin, account) == 1


@pytest.mark.parametrize(("row", "values", "at"), rows("ignored"))
async def test_what_is_read_only_is_ignored_in_a_write(admin: Client, row: str, values: list[Any], at: None):
    account = await inserted(admin, email="other@example.com", tags=[{"tag": "vip"}])
    for number, value in enumerate(values):
        made = await admin.post(ACCOUNTS, {**account_with(row, value), "email": f"user{number}@example.com"})
        assert made.status == 200, made.text
        assert read(made.body, row) != value
        if row != "tags.*.id":  # an update replaces the array, whose elements are known by their ids
            updated = await admin.put(f"{ACCOUNTS}/{account['id']}", body_with(row, value))
            assert updated.status == 200, updated.text
            assert updated.body == account
    assert await version(admin, account) == 1


@pytest.mark.parametrize(("row", "values", "at"), rows("hidden"))
async def test_what_is_write_only_is_accepted_and_not_shown(admin: Client, row: str, values: list[Any], at: None):
    for number, value in enumerate(values):
        made = await admin.post(ACCOUNTS, {**account_with(row, value), "email": f"user{number}@example.com"})
        assert made.status == 200, made.text
        updated = await admin.put(f"{ACCOUNTS}/{made.body['id']}", body_with(row, value))
        assert updated.status == 200, updated.text
        for answer in (made, updated, await admin.get(f"{ACCOUNTS}/{made.body['id']}"), await admin.get(ACCOUNTS)):
            assert row not in answer.text
        assert await version(admin, made.body) == 1  # it alone is no change


async def test_secrets_are_neither_stored_nor_delivered_nor_logged(
    admin: Client, receiver: Receiver, tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    caplog.set_level(logging.DEBUG)
    await admin.watch(receiver.url, addPreviousData=True)
    secret = {"password": "sw0rdfish-insert", "ssoToken": "s50-t0ken-insert"}
    account = await inserted(admin, **secret)
    path = f"{ACCOUNTS}/{account['id']}"
    await admin.put(path, {"firstName": "Ada", "password": "sw0rdfish-update", "ssoToken": "s50-t0ken-update"})
    await admin.put(path, {"firstName": 7, "password": "sw0rdfish-refused"})
    await admin.put(f"{OURS}/{account['id']}", {**account, "password": "sw0rdfish-push", "ssoToken": "s50-t0ken-push"})
    await admin.delete(path)
    rows = await admin.settled(4)
    shown = [(await admin.get(f"/api/v1/deliveries/{row['id']}")).text for row in rows]
    calls = await receiver.wait_for(4)
    stored = b"".join(file.read_bytes() for file in tmp_path.iterdir() if file.is_file())
    assert account["id"].encode() in stored
    for where in (*shown, *(call.body.decode() for call in calls), stored.decode("latin-1"), caplog.text):
        assert "sw0rdfish" not in where
        assert "s50-t0ken" not in where


async def test_what_the_schema_does_not_declare_is_kept(admin: Client):
    account = await inserted(admin, phoneNumber="+1 514 555 0001", staff={"firstName": "Ada", "shifts": [1, 2.5, None]})
    assert account["phoneNumber"] == "+1 514 555 0001"
    assert account["staff"] == {"firstName": "Ada", "shifts": [1, 2.5, None]}


# Insert


async def test_an_insert_answers_with_what_the_directory_makes_itself(admin: Client):
    account = await inserted(admin)
    assert account["id"]
    assert account["userName"] == account["email"] == account["preferences"]["displayName"] == "ada@example.com"
    assert account["domain"] == "127.0.0.1"
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d", account["created"]["dateTime"])
    assert account["created"]["timeZone"] == "UTC"


async def test_the_domain_is_the_host_that_was_called(admin: Client):
    made = await admin.post(ACCOUNTS, NEW, headers={"Host": "booking.example.com:8443"})
    assert made.body["domain"] == "booking.example.com"


async def test_given_values_go_before_defaults(admin: Client):
    account = await inserted(admin, domain="mine.example", preferences={"displayName": "Ada", "language": "en"})
    assert account["domain"] == "mine.example"
    assert account["preferences"] == {"displayName": "Ada", "language": "en"}


async def test_an_email_at_its_limit_is_taken_although_no_display_name_is_that_long(admin: Client):
    email = f"{'a' * 243}@example.com"
    account = await inserted(admin, email=email)
    assert account["userName"] == email
    assert len(account.get("preferences", {}).get("displayName", "")) <= 63
    refused = await admin.post(ACCOUNTS, {**NEW, "email": f"a{email}"})
    refused.vendor_error(422)
    assert refused.pointers() == ["/email"]


@pytest.mark.parametrize(
    ("body", "pointers"),
    [
        ({}, ["/email", "/profile/id"]),
        ({"email": "ada@example.com"}, ["/profile/id"]),
        ({"email": "ada@example.com", "profile": {}}, ["/profile/id"]),
        ({"email": "ada@example.com", "profile": {"name": "Solo"}}, ["/profile/id"]),
        ({"profile": {"id": "p1"}}, ["/email"]),
        ({"email": "", "profile": {"id": ""}}, ["/email", "/profile/id"]),
        ({"profile": {"id": "p1"}, "userName": "ada@example.com"}, ["/email"]),
        (
            {"email": 7, "firstName": {}, "status": "x", "profile": {"id": 7}},
            ["/email", "/firstName", "/status", "/profile/id"],
        ),
    ],
)
async def test_every_fault_of_an_insert_is_named_at_once(admin: Client, body: Any, pointers: list[str]):
    refused = await admin.post(ACCOUNTS, body)
    refused.vendor_error(422)
    assert sorted(refused.pointers()) == sorted(pointers)
    assert await items(admin) == []


async def test_tags_are_given_ids(admin: Client):
    account = await inserted(
        admin, tags=[{"tag": "vip", "color": "#1e90ff"}, {"tag": "vip"}, {"id": "x", "tag": "new"}]
    )
    ids = [tag["id"] for tag in account["tags"]]
    assert len(set(ids)) == 3
    assert "x" not in ids
    assert account["tags"][0] == {"id": ids[0], "tag": "vip", "color": "#1e90ff"}


# Get


@pytest.mark.parametrize("safe", ["", "@'+:", "@"], ids=["all encoded", "as clients write it", "partly"])
async def test_an_account_is_found_by_each_of_its_identities(admin: Client, safe: str):
    account = await inserted(admin, email="o'neil+zoë@example.com", resellerId="kunde/1 ü+%:7")
    for identity in (account["id"], account["resellerId"], account["userName"]):
        found = await admin.get(f"{ACCOUNTS}/{quote(identity, safe=safe)}")
        assert found.status == 200, found.text
        assert found.body == account


async def test_every_operation_takes_any_identity(admin: Client):
    account = await inserted(admin, resellerId="client 1")
    changed = await admin.put(f"{ACCOUNTS}/client%201", {"firstName": "Ada"})
    assert changed.body == {**account, "firstName": "Ada"}
    changed = await admin.post(f"{ACCOUNTS}/ada%40example.com", {"firstName": "Zoë"})
    assert changed.body == {**account, "firstName": "Zoë"}
    changed = await admin.patch(f"{ACCOUNTS}/client%201", {"tags": [{"tag": "vip"}]})
    assert [tag["tag"] for tag in changed.body["tags"]] == ["vip"]
    assert (await admin.delete(f"{ACCOUNTS}/ada@example.com")).status == 204
    (await admin.get(f"{ACCOUNTS}/{account['id']}")).vendor_error(404)


@pytest.mark.parametrize("item", ["nobody", "Ada@example.com", "p1", "%00", "%FF", "..%2F", "a" * 2000])
async def test_what_is_not_there_is_404_in_the_vendors_shape(admin: Client, item: str):
    account = await inserted(admin)
    for method in ("GET", "PUT", "POST", "PATCH", "DELETE"):
        answer = await admin.call(method, f"{ACCOUNTS}/{item}", None if method in {"GET", "DELETE"} else {})
        assert answer.vendor_error(404)["reason"] == "notFound"
    assert await items(admin) == [account]


async def test_the_id_goes_before_other_identities(admin: Client):
    first = await inserted(admin)
    await inserted(admin, email="zoe@example.com", resellerId=first["id"])
    assert (await admin.get(f"{ACCOUNTS}/{first['id']}")).body == first


async def test_head_answers_with_the_head_of_get_alone(admin: Client):
    account = await inserted(admin)
    for path in (ACCOUNTS, f"{ACCOUNTS}/{account['id']}", ACCOUNTS):  # on one connection, where a body would stay
        answer = await admin.call("HEAD", path)
        assert (answer.status, answer.text) == (200, "")
    assert await items(admin) == [account]


# List


async def test_the_list_holds_every_account_however_many(admin: Client):
    ids = [f"a{number:04d}" for number in range(450)]
    await asyncio.gather(*(admin.put(f"{OURS}/{id_}", {"email": f"{id_}@example.com"}) for id_ in ids))
    assert [account["id"] for account in await items(admin)] == ids
    found = await items(admin, search="9@example.com")
    assert [account["id"] for account in found] == [id_ for id_ in ids if id_.endswith("9")]


async def test_each_filter_alone_and_all_combined(admin: Client):
    for account in CASES["accounts"]:
        pushed = await admin.put(f"{OURS}/{account['id']}", account)
        assert pushed.status == 201, pushed.text
    wrong = {}
    for case in CASES["filters"]:
        found = [account["id"] for account in await items(admin, **case["query"])]
        if found != case["found"]:
            wrong[json.dumps(case["query"], ensure_ascii=False)] = found
    assert wrong == {}


async def test_a_filter_that_cannot_be_is_refused_by_name(admin: Client):
    for query in CASES["bad_filters"]:
        error = (await admin.get(ACCOUNTS, params=query)).vendor_error(400)
        assert next(iter(query)) in error["message"]


async def test_an_offset_whose_plus_was_not_encoded_is_understood(admin: Client):
    await inserted(admin)
    assert len((await admin.get(f"{ACCOUNTS}?createdStartDate=2020-01-01T00:00:00+01:00")).body["items"]) == 1


# Identities


async def test_a_reseller_id_is_one_accounts_own(admin: Client):
    first = await inserted(admin, resellerId="client-1")
    error = (await admin.post(ACCOUNTS, {**NEW, "email": "zoe@example.com", "resellerId": "client-1"})).vendor_error(
        409
    )
    assert "client-1" in error["message"]
    assert first["id"] in error["message"]
    assert await items(admin) == [first]
    second = await inserted(admin, email="zoe@example.com")
    error = (await admin.put(f"{ACCOUNTS}/{second['id']}", {"resellerId": "client-1"})).vendor_error(409)
    assert first["id"] in error["message"]
    assert await version(admin, second) == 1
    assert (await admin.put(f"{OURS}/a9", {"resellerId": "client-1"})).problem(409)["type"].endswith(":conflict")
    assert (await admin.get(f"{OURS}/a9")).status == 404


async def test_a_second_account_of_an_email_is_a_conflict_that_names_the_first(admin: Client):
    first = await inserted(admin)
    error = (await admin.post(ACCOUNTS, NEW)).vendor_error(409)
    assert first["id"] in error["message"]
    assert "ada@example.com" in error["message"]


async def test_of_many_inserts_at_once_only_one_gets_the_identity(admin: Client):
    bodies = [{**NEW, "email": f"user{number}@example.com", "resellerId": "one"} for number in range(20)]
    answers = await asyncio.gather(*(admin.post(ACCOUNTS, body) for body in bodies))
    assert sorted(answer.status for answer in answers) == [200] + [409] * 19
    assert len(await items(admin)) == 1


async def test_a_reseller_id_that_was_given_up_can_be_taken(admin: Client):
    first = await inserted(admin, resellerId="client-1")
    second = await inserted(admin, email="zoe@example.com")
    await admin.put(f"{ACCOUNTS}/{first['id']}", {"resellerId": "client-2"})
    assert (await admin.put(f"{ACCOUNTS}/{second['id']}", {"resellerId": "client-1"})).status == 200
    assert (await admin.get(f"{ACCOUNTS}/client-1")).body["id"] == second["id"]
    await admin.delete(f"{ACCOUNTS}/client-1")
    assert (await inserted(admin, email="zoe@example.com", resellerId="client-1"))["id"] != second["id"]


@pytest.mark.parametrize("reseller_id", [".", "..", "a\nb", "a\u0000b", "r" * 256])
async def test_a_reseller_id_that_no_path_can_hold_is_refused(admin: Client, reseller_id: str):
    refused = await admin.post(ACCOUNTS, {**NEW, "resellerId": reseller_id})
    refused.vendor_error(422)
    assert refused.pointers() == ["/resellerId"]


# Update


@pytest.mark.parametrize("method", ["PUT", "POST"])
async def test_an_update_merges_objects_and_replaces_arrays(admin: Client, method: str):
    account = await inserted(
        admin,
        firstName="Ada",
        preferences={"language": "en", "timeZone": "UTC"},
        tools=["save", "call"],
        whiteLabel={"logoURL": "l", "menuBackgroundColor": "#000000"},
    )
    body = {"lastName": "Lovelace", "preferences": {"language": "fr"}, "tools": ["scheduling"], "whiteLabel": {}}
    changed = await admin.call(method, f"{ACCOUNTS}/{account['id']}", body)
    assert changed.status == 200
    assert changed.body == {
        **account,
        "lastName": "Lovelace",
        "preferences": {**account["preferences"], "language": "fr"},
        "tools": ["scheduling"],
    }
    assert (await admin.get(f"{ACCOUNTS}/{account['id']}")).body == changed.body


async def test_an_update_needs_none_of_what_an_insert_does(admin: Client):
    account = await inserted(admin)
    unchanged = await admin.put(f"{ACCOUNTS}/{account['id']}", {})
    assert (unchanged.status, unchanged.body) == (200, account)


@pytest.mark.parametrize("method", ["PUT", "POST"])
async def test_an_email_never_changes(admin: Client, method: str):
    account = await inserted(admin)
    path = f"{ACCOUNTS}/{account['id']}"
    same = await admin.call(method, path, {"email": "ada@example.com", "firstName": "Ada"})
    assert same.body == {**account, "firstName": "Ada"}
    for other in ("zoe@example.com", "Ada@example.com", "", None):
        refused = await admin.call(method, path, {"email": other, "firstName": "Zoë"})
        refused.vendor_error(422)
        assert refused.pointers() == ["/email"]
    assert (await admin.get(path)).body == same.body


async def test_tags_keep_their_ids_through_an_update(admin: Client):
    account = await inserted(admin, tags=[{"tag": "vip"}, {"tag": "new", "color": "#1e90ff"}])
    vip, new = account["tags"]
    body = {"tags": [{"tag": "new", "color": "#1e90ff"}, {**vip, "color": "#000000"}, {"tag": "third"}]}
    changed = (await admin.put(f"{ACCOUNTS}/{account['id']}", body)).body["tags"]
    assert changed[:2] == [new, {**vip, "color": "#000000"}]
    assert changed[2]["tag"] == "third"
    assert changed[2]["id"] not in {vip["id"], new["id"]}


async def test_an_account_that_is_sent_back_as_it_came_is_unchanged(admin: Client, receiver: Receiver):
    await admin.watch(receiver.url)
    account = await inserted(admin, tags=[{"tag": "vip"}], tools=["save", "call"])
    for body in (account, {**account, "tools": ["call", "save"]}, {**account, "password": "secret"}):
        assert (await admin.put(f"{ACCOUNTS}/{account['id']}", body)).status == 200
    assert await version(admin, account) == 1
    assert len(await admin.settled(1)) == 1


# Patch


async def test_a_patch_adds_tags_and_changes_known_ones(admin: Client):
    account = await inserted(admin, tags=[{"tag": "vip", "color": "#000000"}])
    (vip,) = account["tags"]
    body = {"tags": [{"tag": "new", "color": "#1e90ff"}, {"id": vip["id"], "color": "#ffffff"}]}
    patched = await admin.patch(f"{ACCOUNTS}/{account['id']}", body)
    assert patched.status == 200
    first, second = patched.body["tags"]
    assert first == {**vip, "color": "#ffffff"}
    assert (second["tag"], second["color"]) == ("new", "#1e90ff")
    assert patched.body == {**account, "tags": [first, second]}
    assert await version(admin, account) == 2


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"firstName": "Ada"}, "/firstName"),
        ({"tags": [{"tag": "vip"}], "email": "ada@example.com"}, "/email"),
        ({"password": "secret"}, "/password"),
        ({"a/b~c": 1}, "/a~1b~0c"),
        ({"tags": {"tag": "vip"}}, "/tags"),
        ({"tags": ["vip"]}, "/tags/0"),
        ({"tags": [{"tag": "vip"}, {"id": "nobody's", "tag": "x"}]}, "/tags/1/id"),
        ({"tags": [{"tag": "vip"}, {"tag": "t" * 256}]}, "/tags/1/tag"),
        ({"tags": [{"color": "red"}]}, "/tags/0/color"),
    ],
)
async def test_a_patch_takes_nothing_else(admin: Client, body: Any, pointer: str):
    account = await inserted(admin, tags=[{"tag": "there"}])
    refused = await admin.patch(f"{ACCOUNTS}/{account['id']}", body)
    refused.vendor_error(422)
    assert refused.pointers() == [pointer]
    assert await items(admin) == [account]
    assert await version(admin, account) == 1


# Delete


async def test_a_deleted_account_is_gone(admin: Client):
    account = await inserted(admin, resellerId="client-1")
    deleted = await admin.delete(f"{ACCOUNTS}/{account['id']}")
    assert (deleted.status, deleted.text) == (204, "")
    for identity in (account["id"], "client-1", "ada@example.com"):
        for method in ("GET", "DELETE", "PUT"):
            answer = await admin.call(method, f"{ACCOUNTS}/{identity}", {} if method == "PUT" else None)
            assert answer.vendor_error(404)["reason"] == "notFound"
    assert await items(admin) == []
    again = await inserted(admin, resellerId="client-1")
    assert again["id"] != account["id"]


# What the seed has not


@pytest.mark.parametrize("case", CASES["not_taken"], ids=lambda case: f"{case['method']} {case['path']}")
async def test_what_the_seed_has_not_is_405(admin: Client, case: dict[str, Any]):
    answer = await admin.call(case["method"], ACCOUNTS + case["path"])
    assert answer.vendor_error(405)["reason"] == "methodNotAllowed"
    assert set(answer.headers["Allow"].split(", ")) - {"HEAD"} == set(case["allow"])


@pytest.mark.parametrize("method", ["GET", "PUT", "PATCH", "DELETE"])
async def test_the_watch_path_takes_post_alone_and_speaks_plain_json(admin: Client, method: str):
    answer = await admin.call(method, f"{ACCOUNTS}/watch")
    answer.problem(405)
    assert answer.headers["Allow"] == "POST"


# Who asks


async def test_the_vendors_clients_send_the_key_their_way(admin: Client):
    nobody = admin.with_key(None)
    for headers in (
        {"apiKey": admin.key},
        {"token": admin.key},
        {"APIKEY": admin.key},
        {"apiKey": "an id of the vendor's", "token": admin.key},
        {"apiKey": admin.key, "token": "of the vendor's"},
        {"Authorization": f"Bearer {admin.key}"},
        {"Authorization": f"bearer {admin.key}"},
    ):
        assert (await nobody.get(ACCOUNTS, headers=headers)).status == 200, headers
    made = await nobody.post(f"{ACCOUNTS}/watch", {"address": "http://127.0.0.1:9/"}, headers={"apiKey": admin.key})
    assert made.status == 201


@pytest.mark.parametrize("headers", [{}, {"apiKey": "wrong"}, {"Authorization": "Bearer wrong"}, {"apiKey": ""}])
async def test_without_a_good_key_there_is_nothing(admin: Client, headers: dict[str, str]):
    nobody = admin.with_key(None)
    for method, path in (("GET", ACCOUNTS), ("POST", ACCOUNTS), ("GET", f"{ACCOUNTS}/x"), ("DELETE", f"{ACCOUNTS}/x")):
        answer = await nobody.call(method, path, NEW if method == "POST" else None, headers=headers)
        assert answer.vendor_error(401)["reason"] == "unauthorized"
        assert answer.headers["WWW-Authenticate"].startswith("Bearer")
    (await nobody.post(f"{ACCOUNTS}/watch", {}, headers=headers)).problem(401)
    assert await items(admin) == []


async def test_a_key_in_the_query_is_neither_taken_nor_logged(admin: Client, caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.DEBUG)
    query = {"apiKey": admin.key, "token": admin.key}
    (await admin.with_key(None).get(ACCOUNTS, params=query)).vendor_error(401)
    assert (await admin.get(ACCOUNTS, params=query)).status == 200
    assert str(admin.key) not in caplog.text


async def test_the_vendors_headers_mean_nothing_on_our_own_face(admin: Client):
    (await admin.with_key(None).get("/api/v1/watches", headers={"apiKey": admin.key})).problem(401)


# Watch


async def test_the_vendors_own_example_of_a_watch_works(admin: Client, receiver: Receiver):
    example = {"address": f"{receiver.url}/hooks", **CASES["watch"]["body"]}
    made = await admin.post(f"{ACCOUNTS}/watch", example)
    assert made.status == 201, made.text
    watch = made.body
    assert made.headers["Location"] == f"/api/v1/watches/{watch['id']}"
    assert watch["objectType"] == "agendize.account"
    assert watch["addPreviousData"] is False
    assert watch["signature"]["enabled"] is False
    assert sorted(watch["events"]) == ["created", "updated"]
    assert sorted(watch["secretsSet"]) == ["/basicAuth/password", "/httpRequestHeader/X-Source"]
    assert "pässword" not in made.text
    assert {warning["pointer"] for warning in watch["warnings"]} == {"/schema/staff"}
    account = await inserted(admin, staff={"firstName": "Zoë", "lastName": "Groß"})
    await admin.delete(f"{ACCOUNTS}/{account['id']}")
    (call,) = await receiver.wait_for(1)
    assert call.method == "PUT"
    assert call.headers["X-Source"] == "agendize"
    assert call.json() == {"id": account["id"], "staff": "Zoë Groß"}
    assert len(await admin.settled(1)) == 1


async def test_a_watch_through_the_collection_is_of_its_type(admin: Client):
    refused = await admin.post(f"{ACCOUNTS}/watch", {"address": "https://example.com/", "objectType": "other.type"})
    refused.problem(422)
    assert refused.pointers() == ["/objectType"]
    same = await admin.post(f"{ACCOUNTS}/watch", {"address": "https://example.com/", "objectType": "agendize.account"})
    assert same.status == 201
    refused = await admin.post(f"{ACCOUNTS}/watch", {"name": "without an address"})
    refused.problem(422)
    assert refused.pointers() == ["/address"]
