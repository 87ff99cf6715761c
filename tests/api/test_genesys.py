"""The vendor face of Genesys users: the ``statusCode`` envelope over HTTP, as seed 003 has it."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from standardwebhooks import Webhook

from tests.support import vendors
from tests.support.receiver import Receiver
from tests.support.running import ADMIN_KEY, Answer, Client, Service
from tests.support.vendors import GENESYS

OURS = "/api/v1/resources/genesys.user"
ADDRESS = ("uri", "path")
NONE: dict[str, Any] = {"skills": [], "devices": []}
SKILLS, DEVICES = [{"id": "s1", "name": "French"}], [{"id": "d1", "phoneNumber": "5001"}]


def succeeded(answer: Answer, status: int = 200) -> Any:
    """The body of a success."""
    assert answer.status == status, answer.text
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.body["statusCode"] == 0
    assert "statusMessage" not in answer.body
    return answer.body


def failed(answer: Answer, status: int, code: int) -> str:
    """What a failure says."""
    assert answer.status == status, answer.text
    assert answer.headers["Content-Type"] == "application/json"
    assert set(answer.body) == {"statusCode", "statusMessage"}
    assert answer.body["statusCode"] == code
    return str(answer.body["statusMessage"])


async def create(client: Client, name: str, **members: Any) -> Any:
    """A new user."""
    return succeeded(await client.post(GENESYS, {"userName": name, **members}), 201)["user"]


async def populate(client: Client) -> list[Any]:
    """Three users, pushed."""
    return [
        await vendors.push(
            client,
            "genesys.user",
            id_,
            {
                "id": id_,
                "userName": f"{id_}@example.com",
                "firstName": first,
                "lastName": "Doe",
                "roles": roles,
                "enabled": id_ != "eve",
                "skills": SKILLS,
                "devices": DEVICES,
            },
        )
        for id_, first, roles in (
            ("ada", "Ada", ["ROLE_ADMIN", "ROLE_AGENT"]),
            ("eve", "Eve", ["ROLE_AGENT"]),
            ("jo", "Jo", []),
        )
    ]


async def users(client: Client, **query: str) -> list[Any]:
    """The list, when more than URIs is asked for."""
    body = succeeded(await client.get(GENESYS, params=query))
    assert set(body) == {"statusCode", "users"}
    return body["users"]


# Lists and items


async def test_a_list_is_of_uris(admin: Client):
    assert succeeded(await admin.get(GENESYS)) == {"statusCode": 0, "uris": []}
    await populate(admin)
    uris = succeeded(await admin.get(GENESYS))["uris"]
    assert uris == [f"{admin.url}{GENESYS}/{id_}" for id_ in ("ada", "eve", "jo")]
    user = succeeded(await admin.get(uris[0].removeprefix(admin.url)))["user"]
    assert user["uri"] == uris[0]
    assert user["path"] == "/users/ada"


async def test_fields_and_subresources_are_shown_on_request(admin: Client):
    await populate(admin)
    everything, without, some = (
        await users(admin, subresources="*"),
        await users(admin, fields="*"),
        await users(admin, fields="id,userName,nope"),
    )
    assert everything == await users(admin, fields="*", subresources="*")
    assert everything[0]["skills"] == SKILLS
    assert everything[0]["devices"] == DEVICES
    assert [{**user, "skills": SKILLS, "devices": DEVICES} for user in without] == everything
    assert not any({"skills", "devices"} & set(user) for user in without)
    assert some == [{"id": id_, "userName": f"{id_}@example.com"} for id_ in ("ada", "eve", "jo")]
    assert succeeded(await admin.get(f"{GENESYS}/ada"))["user"] == without[0]
    assert succeeded(await admin.get(f"{GENESYS}/ada?subresources=*"))["user"] == everything[0]
    assert "phones" in failed(await admin.get(f"{GENESYS}?subresources=phones"), 400, 2)


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({"lastName": "Doe"}, ["ada", "eve", "jo"]),
        ({"lastName": "doe"}, []),
        ({"firstName": "Eve"}, ["eve"]),
        ({"userName": "jo@example.com"}, ["jo"]),
        ({"enabled": "false"}, ["eve"]),
        ({"roles": "ROLE_AGENT"}, ["ada", "eve"]),
        ({"roles": "ROLE_AGENT,ROLE_ADMIN"}, ["ada"]),
        ({"id": "jo", "lastName": "Doe"}, ["jo"]),
        ({"id": "jo", "lastName": "Smith"}, []),
    ],
)
async def test_a_list_is_filtered_exactly(admin: Client, query: dict[str, str], expected: list[str]):
    await populate(admin)
    assert [user["id"] for user in await users(admin, fields="id,userName", **query)] == expected
    uris = succeeded(await admin.get(GENESYS, params=query))["uris"]
    assert uris == [f"{admin.url}{GENESYS}/{id_}" for id_ in expected]


async def test_a_filter_that_there_is_not_is_refused(admin: Client):
    assert "nope" in failed(await admin.get(f"{GENESYS}?nope=1"), 400, 2)
    assert "enabled" in failed(await admin.get(f"{GENESYS}?enabled=maybe"), 400, 2)


async def test_any_identity_finds_a_user(admin: Client):
    await populate(admin)
    by_name, by_id = await admin.get(f"{GENESYS}/ada@example.com"), await admin.get(f"{GENESYS}/ada")
    assert succeeded(by_name) == succeeded(by_id)
    failed(await admin.get(f"{GENESYS}/nobody"), 404, 6)


# Writes


async def test_a_user_is_created(admin: Client):
    answer = await admin.post(
        GENESYS,
        {"userName": "john123@example.com", "firstName": "John", "roles": ["ROLE_ADMIN"], "password": "never kept"},
    )
    user = succeeded(answer, 201)["user"]
    assert answer.headers["Location"] == user["uri"] == f"{admin.url}{GENESYS}/{user['id']}"
    assert user == {
        "id": user["id"],
        "userName": "john123@example.com",
        "firstName": "John",
        "roles": ["ROLE_ADMIN"],
        "enabled": True,
        "changePasswordOnFirstLogin": False,
        "uri": user["uri"],
        "path": f"/users/{user['id']}",
    }
    assert "never kept" not in answer.text
    shown = (await admin.get(f"{OURS}/{user['id']}")).body["resource"]
    assert shown == {**{name: value for name, value in user.items() if name not in ADDRESS}, **NONE}


async def test_a_user_has_a_name_of_its_own(admin: Client):
    assert "userName" in failed(await admin.post(GENESYS, {"firstName": "Ada"}), 422, 1)
    await create(admin, "ada@example.com")
    assert "ada@example.com" in failed(await admin.post(GENESYS, {"userName": "ada@example.com"}), 409, 18)


@pytest.mark.parametrize("method", ["POST", "PUT"])
async def test_an_update_merges_and_its_roles_are_the_new_set(admin: Client, method: str):
    user = await create(admin, "ada@example.com", firstName="Ada", roles=["ROLE_ADMIN", "ROLE_AGENT"])
    changed = await admin.call(method, f"{GENESYS}/{user['id']}", {"roles": ["ROLE_AGENT"], "lastName": "Doe"})
    assert succeeded(changed)["user"] == {**user, "roles": ["ROLE_AGENT"], "lastName": "Doe"}
    emptied = await admin.call(method, f"{GENESYS}/ada@example.com", {"roles": []})
    assert succeeded(emptied)["user"]["roles"] == []


async def test_what_is_set_at_creation_stays(admin: Client):
    user = await create(admin, "ada@example.com")
    same = {"userName": "ada@example.com", "changePasswordOnFirstLogin": False}
    assert succeeded(await admin.put(f"{GENESYS}/{user['id']}", same))["user"] == user
    for members in ({"userName": "eve@example.com"}, {"changePasswordOnFirstLogin": True}):
        assert next(iter(members)) in failed(await admin.put(f"{GENESYS}/{user['id']}", members), 422, 2)


async def test_what_is_read_only_is_ignored(admin: Client):
    user = await create(admin, "ada@example.com", skills=SKILLS, doNotDisturb="on", id="x")
    assert "doNotDisturb" not in user
    assert succeeded(await admin.get(f"{GENESYS}/{user['id']}?subresources=*"))["user"] == {**user, **NONE}
    await admin.put(f"{GENESYS}/{user['id']}", {"devices": DEVICES, "uri": "http://a.example", "doNotDisturb": "on"})
    assert succeeded(await admin.get(f"{GENESYS}/{user['id']}?subresources=*"))["user"] == {**user, **NONE}
    assert (await admin.get(f"{OURS}/{user['id']}")).body["version"] == 1


async def test_every_fault_is_told(admin: Client):
    message = failed(await admin.post(GENESYS, {"userName": "x", "roles": ["ROLE_KING"], "firstName": 5}), 422, 2)
    assert "/roles/0" in message
    assert "/firstName" in message
    failed(await admin.call("POST", GENESYS, data=b"{", headers={"Content-Type": "application/json"}), 400, 2)
    failed(await admin.call("POST", GENESYS, data=b"<a/>", headers={"Content-Type": "application/xml"}), 415, 2)
    failed(await admin.post(GENESYS, []), 422, 2)


async def test_a_user_is_deleted(admin: Client):
    user = await create(admin, "ada@example.com")
    assert succeeded(await admin.delete(f"{GENESYS}/ada@example.com")) == {"statusCode": 0}
    for gone in (await admin.get(f"{GENESYS}/{user['id']}"), await admin.delete(f"{GENESYS}/{user['id']}")):
        failed(gone, 404, 6)


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("PATCH", "/ada", "GET, POST, PUT, DELETE"),
        ("PUT", "", "GET, POST"),
        ("PATCH", "", "GET, POST"),
        ("DELETE", "", "GET, POST"),
    ],
)
async def test_what_the_vendor_does_not_have_is_not_allowed(admin: Client, method: str, path: str, allow: str):
    answer = await admin.call(method, GENESYS + path)
    failed(answer, 405, 3)
    assert answer.headers["Allow"] == allow


# Who may


async def test_an_agent_does_what_the_table_gives_to_agents(admin: Client):
    user = await create(admin, "ada@example.com")
    agent, operator = await admin.key_of("agent"), await admin.key_of("operator")
    path = f"{GENESYS}/{user['id']}"
    failed(await agent.post(GENESYS, {"userName": "eve@example.com"}), 403, 5)
    succeeded(await agent.get(GENESYS))
    succeeded(await agent.get(path))
    succeeded(await agent.post(path, {"firstName": "Ada"}))
    succeeded(await agent.put(path, {"firstName": "Zoë"}))
    succeeded(await operator.get(path))
    failed(await operator.put(path, {"firstName": "Eve"}), 403, 5)
    failed(await operator.delete(path), 403, 5)
    succeeded(await agent.delete(path))


async def test_a_key_is_taken_as_the_password_of_basic_authentication(admin: Client):
    stranger = admin.with_key(None)

    def basic(text: str) -> dict[str, str]:
        return {"Authorization": f"Basic {base64.b64encode(text.encode()).decode()}"}

    succeeded(await stranger.get(GENESYS, headers=basic(f"anybody:{ADMIN_KEY}")))
    made = await stranger.post(f"{GENESYS}/watch", {"address": "https://a.example"}, headers=basic(f":{ADMIN_KEY}"))
    assert made.status == 201
    wrong = [
        basic("anybody:wrong"),
        basic(ADMIN_KEY),
        {"Authorization": "Basic ?"},
        {"Authorization": "Basic w6k="},
        {},
    ]
    for headers in wrong:
        answer = await stranger.get(GENESYS, headers=headers)
        failed(answer, 401, 20)
    assert (await stranger.get("/rinkel/v1/users", headers=basic(f"anybody:{ADMIN_KEY}"))).status == 401
    async with admin.session.get(admin.url + GENESYS) as refused:
        schemes = [challenge.split(" ")[0] for challenge in refused.headers.getall("WWW-Authenticate")]
    assert schemes == ["Bearer", "Basic"]


# Reading back, telling others


async def test_what_we_serve_we_can_read(service: Service, admin: Client):
    rtype = service.running.services.types["genesys.user"]
    assert await vendors.polled(rtype, admin) == []
    populated = await populate(admin)
    assert await vendors.polled(rtype, admin) == populated
    made = await create(admin, "john@example.com", enabled=False)
    read = await vendors.polled(rtype, admin)
    assert {**{name: value for name, value in made.items() if name not in ADDRESS}, **NONE} in read


async def test_a_long_list_is_written_as_it_is_read(service: Service, admin: Client):
    for number in range(250):
        await vendors.push(admin, "genesys.user", f"u{number:03d}", {"userName": f"u{number}"})
    rtype = service.running.services.types["genesys.user"]
    read = await vendors.polled(rtype, admin)
    assert [user["id"] for user in read] == [f"u{number:03d}" for number in range(250)]
    assert [user["id"] for user in await users(admin, fields="id", userName="u177")] == ["u177"]
    head = await admin.call("HEAD", GENESYS)
    assert (head.status, head.text) == (200, "")
    assert len(succeeded(await admin.get(GENESYS))["uris"]) == 250


async def test_a_pushed_change_arrives_and_can_be_verified(admin: Client, receiver: Receiver):
    watched = await admin.post(f"{GENESYS}/watch", {"address": receiver.url, "signature": {"enabled": True}})
    assert watched.status == 201, watched.text
    document = {"id": "ada", "userName": "ada", "roles": ["ROLE_ADMIN", "ROLE_AGENT"], "skills": SKILLS}
    await vendors.push(admin, "genesys.user", "ada", {**document, "uri": "http://host.example/api/v2/users/ada"})
    await vendors.push(admin, "genesys.user", "ada", {**document, "roles": ["ROLE_AGENT", "ROLE_ADMIN"]})
    succeeded(await admin.put(f"{GENESYS}/ada", {"roles": ["ROLE_AGENT"], "password": "s3cret"}))
    succeeded(await admin.put(f"{GENESYS}/ada", {"password": "s3cret2"}))
    succeeded(await admin.delete(f"{GENESYS}/ada"))
    calls = await receiver.wait_for(3)
    for call in calls:
        Webhook(watched.body["signature"]["secret"]).verify(call.body, dict(call.headers))
        assert call.headers["ce-source"] == GENESYS
    changed = {**document, "roles": ["ROLE_AGENT"]}
    assert [call.json() for call in calls] == [document, changed, changed]
    assert [call.headers["ce-type"].rpartition(".")[2] for call in calls] == ["created", "updated", "deleted"]
    assert len(await admin.settled(3)) == 3
