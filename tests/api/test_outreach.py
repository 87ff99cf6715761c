"""The vendor face of Outreach users: JSON:API over HTTP, as its specification and seed 000 have it."""

from __future__ import annotations

import json
import random
import re
from pathlib import Path
from typing import Any

import pytest
from standardwebhooks import Webhook

from tests.support import running, vendors
from tests.support.receiver import Receiver
from tests.support.running import ROOT, Client, Service
from tests.support.vendors import JSON_API, OUTREACH, JsonApi

MEDIA = json.loads((ROOT / "tests/corpus/media_types.json").read_text(encoding="utf-8"))
OURS = "/api/v1/resources/outreach.user"
UNFILTERED = ("contentCategories", "creator", "mailbox", "mailboxes", "recipients", "updater")


@pytest.fixture
def users(admin: Client) -> JsonApi:
    return JsonApi(admin)


async def populate(client: Client, count: int = 7) -> list[Any]:
    """Users 1 to ``count``, pushed."""
    return [
        await vendors.push(
            client,
            "outreach.user",
            number,
            {
                "type": "user",
                "attributes": {
                    "firstName": "ABC"[number % 3],
                    "lastName": f"L{number % 2}",
                    "locked": number == 3,
                    "username": f"u{number}",
                    "email": f"u{number}@example.com",
                    "createdAt": f"2026-01-{number:02d}T00:00:00Z",
                    "updatedAt": f"2026-02-{29 - number:02d}T00:00:00.000Z",
                },
                "relationships": {
                    "profile": {"data": {"type": "profile", "id": number % 2}},
                    "teams": {"data": [{"type": "team", "id": number}, {"type": "team", "id": 100}]},
                },
            },
        )
        for number in range(1, count + 1)
    ]


def ids(page: Any) -> list[int]:
    return [resource["id"] for resource in page["data"]]


# Create, get, update


async def test_a_created_user_is_a_resource_object_with_a_number(users: JsonApi):
    relationships = {"profile": {"data": {"type": "profile", "id": 3}}, "teams": {"data": []}}
    body = {"data": {"type": "user", "attributes": {"email": "a@b.example"}, "relationships": relationships}}
    made = await users.call("POST", "", body)
    assert made.status == 201
    user = made.body["data"]
    assert set(made.body) == {"data"}
    assert set(user) == {"type", "id", "attributes", "relationships", "links"}
    assert isinstance(user["id"], int)
    assert user["type"] == "user"
    assert user["attributes"]["email"] == "a@b.example"
    assert re.fullmatch(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", user["attributes"]["createdAt"])
    assert user["attributes"]["updatedAt"] == user["attributes"]["createdAt"]
    assert user["relationships"] == relationships
    assert user["links"]["self"] == made.headers["Location"] == f"{users.client.url}{OUTREACH}/{user['id']}"
    got = await users.client.call("GET", made.headers["Location"].removeprefix(users.client.url))
    assert (got.status, got.body) == (200, made.body)


async def test_users_have_numbers_of_their_own(users: JsonApi):
    made = [(await users.create({}))["id"] for _ in range(5)]
    assert made == sorted(set(made))
    assert made[-1] < 2**53


async def test_an_update_merges_attributes_and_replaces_relationships(users: JsonApi):
    user = await users.create(
        {"firstName": "Ada", "duties": {"sales": {"level": 1}}},
        {"teams": {"data": [{"type": "team", "id": 1}]}, "role": {"data": {"type": "role", "id": 5}}},
    )
    changed = await users.update(
        user["id"],
        attributes={"lastName": "Byron", "duties": {"support": True}, "firstName": None},
        relationships={"teams": {"data": [{"type": "team", "id": 2}]}, "role": {"data": None}},
    )
    assert changed["attributes"].items() >= {"firstName": None, "lastName": "Byron"}.items()
    assert changed["attributes"]["duties"] == {"sales": {"level": 1}, "support": True}
    assert changed["relationships"] == {"teams": {"data": [{"type": "team", "id": 2}]}, "role": {"data": None}}
    assert (await users.call("GET", f"/{user['id']}")).body["data"] == changed


async def test_a_user_is_found_by_name_too(users: JsonApi):
    user = await users.create({"username": "ada"})
    assert (await users.call("GET", "/ada")).body["data"] == user
    changed = await users.call("PATCH", "/ada", {"data": {"type": "user", "id": str(user["id"]), "attributes": {}}})
    assert changed.status == 200
    (error,) = await users.errors(409, "POST", "", {"data": {"type": "user", "attributes": {"username": "ada"}}})
    assert error["id"] == "conflict"


async def test_an_update_that_changes_nothing_is_no_change(users: JsonApi):
    user = await users.create({"firstName": "Ada"})
    assert await users.update(user["id"], attributes={"firstName": "Ada"}) == user
    assert (await users.client.get(f"{OURS}/{user['id']}")).body["version"] == 1


async def test_signing_in_is_kept_but_no_change(users: JsonApi):
    user = await users.create({"firstName": "Ada"})
    changed = await users.update(user["id"], attributes={"lastSignInAt": "2026-01-31T12:00:00Z"})
    assert changed["attributes"]["lastSignInAt"] == "2026-01-31T12:00:00Z"
    assert (await users.client.get(f"{OURS}/{user['id']}")).body["version"] == 1


async def test_an_email_is_set_at_creation(users: JsonApi):
    user = await users.create({"email": "a@b.example"})
    assert await users.update(user["id"], attributes={"email": "a@b.example"}) == user
    (error,) = await users.update(user["id"], 422, attributes={"email": "c@d.example"})
    assert error["id"] == "validationError"
    assert error["source"] == {"pointer": "/data/attributes/email"}


async def test_every_fault_is_an_error_with_a_pointer(users: JsonApi):
    data = {
        "type": "user",
        "attributes": {"firstName": 5, "custom1": "x" * 226, "phoneType": "fax"},
        "relationships": {"teams": {"data": {"type": "team", "id": 1}}},
    }
    errors = await users.errors(422, "POST", "", {"data": data})
    assert [error["source"]["pointer"] for error in errors] == [
        "/data/attributes/custom1",
        "/data/attributes/firstName",
        "/data/attributes/phoneType",
        "/data/relationships/teams/data",
    ]
    assert {(error["id"], error["title"]) for error in errors} == {("validationError", "Validation Error")}
    assert (await users.page())["data"] == []


@pytest.mark.parametrize(
    ("method", "body", "status", "pointer"),
    [
        ("POST", [], 422, "/data"),
        ("POST", {}, 422, "/data"),
        ("POST", {"data": []}, 422, "/data"),
        ("POST", {"data": {"attributes": {}}}, 422, "/data/type"),
        ("POST", {"data": {"type": "team", "attributes": {}}}, 409, "/data/type"),
        ("POST", {"data": {"type": "user", "id": 5}}, 403, "/data/id"),
        ("POST", {"data": {"type": "user", "attributes": []}}, 422, "/data/attributes"),
        ("PATCH", {"data": {"type": "user", "id": 5}}, 409, "/data/id"),
        ("PATCH", {"data": {"type": "user", "relationships": None}}, 422, "/data/relationships"),
    ],
)
async def test_what_is_no_resource_object_is_refused_where_it_is_wrong(
    users: JsonApi, method: str, body: Any, status: int, pointer: str
):
    await populate(users.client, 1)
    errors = await users.errors(status, method, "/1" if method == "PATCH" else "", body)
    assert [error["source"]["pointer"] for error in errors] == [pointer]


async def test_what_cannot_be_read_is_refused(users: JsonApi):
    for text, pointer in (("{", None), ("", None), ('{"data": {"type": "user", "type": "user"}}', "/data/type")):
        answer = await users.client.call("POST", OUTREACH, data=text, headers={"Content-Type": JSON_API})
        assert answer.status == 400
        (error,) = answer.body["errors"]
        assert error.get("source") == ({"pointer": pointer} if pointer else None)


async def test_what_is_not_there_is_not_found(users: JsonApi):
    (error,) = await users.errors(404, "GET", "/17")
    assert (error["id"], error["title"]) == ("resourceNotFound", "Resource Not Found")
    await users.errors(404, "PATCH", "/17", {"data": {"type": "user", "id": 17}})


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("DELETE", "/1", "GET, PATCH"),
        ("PUT", "/1", "GET, PATCH"),
        ("POST", "/1", "GET, PATCH"),
        ("PATCH", "", "GET, POST"),
        ("DELETE", "", "GET, POST"),
    ],
)
async def test_what_the_vendor_does_not_have_is_not_allowed(users: JsonApi, method: str, path: str, allow: str):
    answer = await users.call(method, path)
    assert answer.status == 405
    assert answer.headers["Allow"] == allow
    assert answer.body["errors"][0]["status"] == "405"


# Negotiation


@pytest.mark.parametrize("header", [*MEDIA["content"]["refused"], None])
async def test_a_write_in_another_media_type_is_refused(users: JsonApi, header: str | None):
    options: Any = {"skip_auto_headers": ["Content-Type"]} if header is None else {"headers": {"Content-Type": header}}
    body = b'{"data": {"type": "user", "attributes": {}}}'
    for method, path in (("POST", ""), ("PATCH", "/1")):
        answer = await users.client.call(method, OUTREACH + path, data=body, **options)
        assert answer.status == 415
        assert answer.body["errors"][0]["id"] == "unsupportedMediaType"
    assert (await users.page())["data"] == []


@pytest.mark.parametrize("header", MEDIA["content"]["taken"])
async def test_a_write_in_json_api_is_taken(users: JsonApi, header: str):
    body = b'{"data": {"type": "user", "attributes": {}}}'
    answer = await users.client.call("POST", OUTREACH, data=body, headers={"Content-Type": header.strip()})
    assert answer.status == 201, answer.text


async def test_who_does_not_accept_json_api_is_refused_and_nothing_is_written(users: JsonApi):
    for header in MEDIA["accept"]["refused"]:
        (error,) = await users.errors(406, "GET", headers={"Accept": header})
        assert error["id"] == "notAcceptable"
        await users.errors(406, "POST", "", {"data": {"type": "user"}}, headers={"Accept": header})
    for header in MEDIA["accept"]["taken"]:
        answer = await users.call("GET", headers={} if header is None else {"Accept": header})
        assert (answer.status, answer.body["data"]) == (200, [])


# Lists


async def test_pages_follow_one_another_forth_and_back(users: JsonApi):
    await populate(users.client)
    pages = await users.pages(**{"page[size]": "3"})
    assert [ids(page) for page in pages] == [[1, 2, 3], [4, 5, 6], [7]]
    assert [sorted(page["links"]) for page in pages] == [
        ["first", "next"],
        ["first", "next", "prev"],
        ["first", "prev"],
    ]
    assert {page["meta"]["count"] for page in pages} == {7}
    back = pages[2]["links"]["prev"].removeprefix(users.client.url + OUTREACH)
    page = (await users.call("GET", back)).body
    assert ids(page) == [4, 5, 6]
    assert sorted(page["links"]) == ["first", "next", "prev"]
    first = (await users.call("GET", page["links"]["first"].removeprefix(users.client.url + OUTREACH))).body
    assert first == pages[0]


async def test_numbers_are_in_their_own_order(users: JsonApi):
    await populate(users.client, 12)
    await vendors.push(users.client, "outreach.user", 100, {"type": "user"})
    expected = [*range(1, 13), 100]
    for size in ("1", "5", "50"):
        pages = await users.pages(**{"page[size]": size})
        assert [id_ for page in pages for id_ in ids(page)] == expected
    last = (await users.pages(**{"page[size]": "5"}))[-1]
    back = (await users.call("GET", last["links"]["prev"].removeprefix(users.client.url + OUTREACH))).body
    assert ids(back) == [6, 7, 8, 9, 10]
    assert ids(await users.page(**{"filter[id]": "9..11"})) == [9, 10, 11]


async def test_a_cursor_is_stable_when_users_come_and_go(users: JsonApi):
    await populate(users.client)
    for query in ({}, {"sort": "-username"}, {"sort": "lastName,-createdAt"}):
        whole = ids((await users.pages(**query))[0])
        first = await users.page(**query, **{"page[size]": "3"})
        link = first["links"]["next"].removeprefix(users.client.url + OUTREACH)
        await vendors.push(users.client, "outreach.user", 0, {"attributes": {"username": "zz", "lastName": "K"}})
        gone = first["data"][-1]["id"]
        await users.client.delete(f"{OURS}/{gone}")  # the one that the cursor was taken from
        rest = (await users.call("GET", link)).body
        assert [id_ for id_ in ids(rest) if id_ != 0][:3] == whole[3:6]
        await users.client.delete(f"{OURS}/0")
        await populate(users.client)


@pytest.mark.parametrize("query", [{}, {"sort": "firstName"}, {"sort": "-firstName,lastName,-createdAt"}])
@pytest.mark.parametrize("size", ["1", "2", "5", "7", "50"])
async def test_any_pages_together_are_the_whole_list(users: JsonApi, query: dict[str, str], size: str):
    await populate(users.client)
    whole = (await users.page(**query))["data"]
    pages = await users.pages(**query, **{"page[size]": size})
    assert [user for page in pages for user in page["data"]] == whole
    back, link = [], pages[-1]["links"].get("prev")
    while link:
        page = (await users.call("GET", link.removeprefix(users.client.url + OUTREACH))).body
        back[:0] = page["data"]
        link = page["links"].get("prev")
    assert back == whole[: len(back)]
    assert len(back) == len(whole) - len(pages[-1]["data"])


async def test_users_are_sorted_by_several_keys(users: JsonApi):
    await populate(users.client)
    assert ids(await users.page(sort="updatedAt")) == [7, 6, 5, 4, 3, 2, 1]
    assert ids(await users.page(sort="-updatedAt")) == [1, 2, 3, 4, 5, 6, 7]
    assert ids(await users.page(sort="firstName,-createdAt")) == [6, 3, 7, 4, 1, 5, 2]
    assert ids(await users.page(sort="-firstName,lastName")) == [2, 5, 4, 1, 7, 6, 3]
    assert ids(await users.page(sort="-locked,email")) == [3, 1, 2, 4, 5, 6, 7]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({"filter[email]": "u1@example.com,u3@example.com"}, [1, 3]),
        ({"filter[username]": "u2..u4"}, [2, 3, 4]),
        ({"filter[locked]": "true"}, [3]),
        ({"filter[createdAt]": "2026-01-05T00:00:00Z..inf"}, [5, 6, 7]),
        ({"filter[createdAt]": "neginf..2026-01-02T00:00:00Z"}, [1, 2]),
        ({"filter[createdAt]": "2026-01-01T00:00:00Z,2026-01-06T00:00:00Z..inf"}, [1, 6, 7]),
        ({"filter[updatedAt]": "2026-02-27T01:00:00+01:00..inf"}, [1, 2]),
        ({"filter[id]": "2..4,7"}, [2, 3, 4, 7]),
        ({"filter[profile][id]": "1"}, [1, 3, 5, 7]),
        ({"filter[teams][id]": "2,3"}, [2, 3]),
        ({"filter[teams][id]": "100", "filter[lastName]": "L0"}, [2, 4, 6]),
        ({"filter[role][id]": "1"}, []),
    ],
)
async def test_users_are_filtered(users: JsonApi, query: dict[str, str], expected: list[int]):
    await populate(users.client)
    page = await users.page(**query)
    assert ids(page) == expected
    assert page["meta"]["count"] == len(expected)
    pages = await users.pages(**query, **{"page[size]": "1"}, count="false")
    assert [id_ for page in pages for id_ in ids(page)] == expected
    assert not any("meta" in page for page in pages)


@pytest.mark.parametrize("name", UNFILTERED)
async def test_these_relationships_cannot_be_filtered_by(users: JsonApi, name: str):
    (error,) = await users.errors(400, "GET", params={f"filter[{name}][id]": "1"})
    assert error["source"] == {"parameter": f"filter[{name}][id]"}


@pytest.mark.parametrize(
    "parameter",
    ["filter[title]", "filter[profile][name]", "filter[nope]", "sort", "include", "page[size]", "page[after]", "nope"],
)
async def test_a_parameter_that_cannot_be_is_refused_by_name(users: JsonApi, parameter: str):
    (error,) = await users.errors(400, "GET", params={parameter: "x"})
    assert error["source"] == {"parameter": parameter}


async def test_a_parameter_is_given_once(users: JsonApi):
    (error,) = await users.errors(400, "GET", "?sort=email&sort=username")
    assert error["source"] == {"parameter": "sort"}


async def test_a_write_with_a_bad_query_writes_nothing(users: JsonApi):
    await users.errors(400, "POST", "?include=role", {"data": {"type": "user", "attributes": {}}})
    assert (await users.page())["data"] == []


async def test_fields_are_as_sparse_as_asked_for(users: JsonApi):
    await populate(users.client, 1)
    (user,) = (await users.page(**{"fields[user]": "email,profile,nope"}))["data"]
    assert user["attributes"] == {"email": "u1@example.com"}
    assert user["relationships"] == {"profile": {"data": {"type": "profile", "id": 1}}}
    assert user["id"] == 1
    got = (await users.call("GET", "/1", params={"fields[user]": "email,profile,nope"})).body["data"]
    assert got == user


async def test_metadata_is_given_on_request(users: JsonApi):
    await populate(users.client, 1)
    operator = JsonApi(await users.client.key_of("operator"))
    query = {"provideAuthorizationMeta": "true", "provideDataConnections": "true"}
    for caller, may in ((users, True), (operator, False)):
        expected = {"canWrite": may, "dataConnections": []}
        assert [user["meta"] for user in (await caller.page(**query))["data"]] == [expected]
        assert (await caller.call("GET", "/1", params=query)).body["data"]["meta"] == expected
    assert "meta" not in (await users.call("GET", "/1")).body["data"]


async def test_head_answers_with_the_head_alone(users: JsonApi):
    await populate(users.client, 2)
    for path in ("", "/1", "?sort=-email"):
        answer = await users.call("HEAD", path)
        assert (answer.status, answer.text) == (200, "")


async def test_who_may_do_what(users: JsonApi):
    await populate(users.client, 1)
    operator, agent = [JsonApi(await users.client.key_of(role)) for role in ("operator", "agent")]
    assert ids(await operator.page()) == [1]
    (error,) = await operator.errors(403, "POST", "", {"data": {"type": "user"}})
    assert error["id"] == "unauthorizedRequest"
    await operator.errors(403, "PATCH", "/1", {"data": {"type": "user"}})
    await agent.update(1, attributes={"title": "Staff Accountant"})
    await agent.create({})
    stranger = JsonApi(await users.client.key_of("admin", "other"))
    assert ids(await stranger.page()) == []
    await stranger.errors(404, "GET", "/1")
    await JsonApi(users.client.with_key(None)).errors(401, "GET")


# Reading back, telling others, adding more of the kind


@pytest.mark.parametrize("since", [None, "2026-02-01T00:00:00Z"])
async def test_what_we_serve_we_can_read(service: Service, admin: Client, since: str | None):
    rtype = service.running.services.types["outreach.user"]
    users = await populate(admin, 28)
    read = await vendors.polled(rtype, admin, since)
    assert (read if since is None else read[::-1]) == users


async def test_a_list_is_read_to_its_end_whatever_the_size_of_its_pages(service: Service, admin: Client):
    rtype = service.running.services.types["outreach.user"]
    users = await populate(admin, 9)
    dialect = vendors.DIALECTS["jsonapi"]
    for size in random.Random(1).sample(range(1, 11), 4):
        url, read = dialect.first_page(f"{admin.url}{rtype.collection}?page[size]={size}", None), []
        while url is not None:
            page = dialect.read_page(url, (await admin.get(url.removeprefix(admin.url))).body)
            read += map(dialect.read_element, page.elements)
            url = page.next
        assert read == users


async def test_our_own_face_has_the_same_users(users: JsonApi):
    made = await users.create({"firstName": "Ada", "email": "a@b.example"})
    shown = (await users.client.get(f"{OURS}/{made['id']}")).body
    assert shown["id"] == str(made["id"])
    assert shown["resource"] == {name: made[name] for name in ("type", "attributes", "id")}
    pushed = await users.client.put(
        f"{OURS}/5", {"type": "user", "attributes": {"onDuty": True}, "links": {"self": "x"}}
    )
    assert pushed.body["resource"] == {"type": "user", "attributes": {"onDuty": True}, "id": 5}
    assert (await users.client.put(f"{OURS}/5", {"type": "user", "id": 6})).status == 422
    assert (await users.client.put(f"{OURS}/x", {"type": "user"})).status == 422
    assert (await users.client.delete(f"{OURS}/5")).status == 204
    await users.errors(404, "GET", "/5")


async def test_a_pushed_change_arrives_and_can_be_verified(users: JsonApi, receiver: Receiver):
    watched = await users.client.post(
        f"{OUTREACH}/watch",
        {
            "address": f"{receiver.url}/hooks",
            "signature": {"enabled": True},
            "addPreviousData": True,
            "schema": {"who": "${$.attributes.firstName} ${$.id}", "was": "${$.previousData.attributes.firstName}"},
        },
    )
    assert watched.status == 201, watched.text
    assert watched.body.get("warnings", []) == []
    document = {"type": "user", "attributes": {"firstName": "Ada"}}
    await vendors.push(users.client, "outreach.user", 7, document)
    await vendors.push(users.client, "outreach.user", 7, {"attributes": {"firstName": "Ada"}, "type": "user"})
    await vendors.push(users.client, "outreach.user", 7, {"type": "user", "attributes": {"firstName": "Zoë"}})
    await users.client.delete(f"{OURS}/7")
    calls = await receiver.wait_for(3)
    secret = watched.body["signature"]["secret"]
    for call in calls:
        Webhook(secret).verify(call.body, dict(call.headers))
        assert call.headers["ce-source"] == OUTREACH
        assert call.headers["ce-subject"] == "7"
    assert [call.headers["ce-type"].rpartition(".")[2] for call in calls] == ["created", "updated", "deleted"]
    assert [call.json() for call in calls] == [
        {"who": "Ada 7", "was": ""},
        {"who": "Zoë 7", "was": "Ada"},
        {"who": "Zoë 7", "was": "Zoë"},
    ]
    assert len(await users.client.settled(3)) == 3


async def test_a_callback_has_the_resource_without_links(users: JsonApi, receiver: Receiver):
    await users.client.watch(receiver.url, objectType="outreach.user")
    made = await users.create({"firstName": "Ada"}, {"role": {"data": None}})
    (call,) = await receiver.wait_for(1)
    assert call.json() == {name: value for name, value in made.items() if name != "links"}


async def test_another_vendor_who_speaks_json_api_is_a_file(tmp_path: Path, receiver: Receiver):
    resources = tmp_path / "config" / "resources"
    resources.mkdir(parents=True)
    acme = {
        "name": "acme.person",
        "collection": "/acme/people",
        "dialect": "jsonapi",
        "singular": "people",
        "identity": ["id"],
        "sort": {"name": "attributes.name"},
        "filters": {"filter[name]": {"match": "contains", "paths": ["attributes.name"]}},
        "schema": {
            "type": "object",
            "properties": {
                "id": {"type": "string", "readOnly": True},
                "attributes": {"type": "object", "properties": {"name": {"type": "string"}}},
            },
        },
    }
    (resources / "acme.person.json").write_text(json.dumps(acme))
    (tmp_path / "config" / "service.toml").write_text("")
    async with running.service(tmp_path, tmp_path / "config") as service:
        people = JsonApi(service.admin, "/acme/people", "people")
        await service.admin.watch(receiver.url, objectType="acme.person")
        made = [await people.create({"name": name}) for name in ("Eve", "Ada")]
        assert all(isinstance(one["id"], str) and one["type"] == "people" for one in made)
        (call, _) = await receiver.wait_for(2)
        assert call.headers["ce-type"] == "acme.person.created"
        assert [one["attributes"]["name"] for one in (await people.page(sort="name"))["data"]] == ["Ada", "Eve"]
        assert [one["id"] for one in (await people.page(**{"filter[name]": "EV"}))["data"]] == [made[0]["id"]]
        rtype = service.running.services.types["acme.person"]
        assert await vendors.polled(rtype, service.admin) == [
            {name: value for name, value in one.items() if name != "links"} for one in made
        ]
        assert (await service.admin.delete(f"/acme/people/{made[0]['id']}")).status == 204
