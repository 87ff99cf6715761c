"""Who sees and may what: nothing of another tenant, and of one's own what the key's role allows."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from service.api.routes import ROUTES
from tests.support import running
from tests.support.receiver import Receiver
from tests.support.running import ACCOUNTS, Answer, Client, Service

ROLES = json.loads((Path(__file__).parents[1] / "corpus" / "api_roles.json").read_text(encoding="utf-8"))
OURS = "/api/v1/resources/agendize.account"
ACCOUNT = {"email": "ada@example.com", "userName": "ada@example.com", "resellerId": "client-1", "firstName": "Ada"}
BODIES = {  # of routes that take one and are asked for another tenant's things
    ("PUT", "/api/v1/watches/{id}"): {"address": "https://evil.example/"},
    ("PATCH", "/api/v1/watches/{id}"): {"address": "https://evil.example/"},
}


class Tenant:
    """A tenant with one of everything."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.ids: dict[str, str] = {}  # by the collection's name in paths

    @classmethod
    async def settle(cls, admin: Client, name: str, receiver: Receiver) -> Tenant:
        client = await admin.key_of("admin", name)
        tenant = cls(client)
        key = await client.post("/api/v1/cryptoKeys", {"name": f"key of {name}"})
        watch = await client.watch(
            f"{receiver.url}/{name}", signature={"enabled": True, "cryptoKeyIds": [key.body["id"]]}
        )
        account = await client.put(f"{OURS}/a1", ACCOUNT)
        assert account.status == 201, account.text
        api_key = await client.post("/api/v1/apiKeys", {"name": f"another of {name}", "role": "agent"})
        (delivery,) = await client.settled(1)
        tenant.ids = {
            "resources": "a1",
            "watches": watch["id"],
            "cryptoKeys": key.body["id"],
            "apiKeys": api_key.body["id"],
            "deliveries": delivery["id"],
        }
        return tenant

    async def id_in(self, collection: str) -> str:
        """The id of what the tenant has there; of rarer things a new one."""
        if collection == "jobs":
            data, headers = b'{"id": "imported"}\n', {"Content-Type": "application/x-ndjson"}
            made = await self.client.call("POST", f"{OURS}/import", data=data, headers=headers)
        elif collection == "sources":
            source = {"type": "agendize.account", "url": "http://127.0.0.1:9/", "interval": 3600}
            made = await self.client.post("/api/v1/sources", source)
        else:
            return self.ids[collection]
        assert made.status < 300, made.text
        return str(made.body["id"])

    async def everything(self) -> list[Any]:
        """All that the tenant has."""
        lists = [OURS, "/api/v1/watches", "/api/v1/cryptoKeys", "/api/v1/apiKeys", "/api/v1/deliveries", ACCOUNTS]
        return [(await self.client.get(path)).body for path in lists]


def collection_of(path: str) -> str:
    """``watches`` of ``/api/v1/watches/{id}``."""
    return path.removeprefix("/api/v1/").partition("/")[0]


async def status_of(client: Client, method: str, path: str) -> int:
    """What a call is answered with; its body, which may have no end, is not read."""
    headers = {} if client.key is None else {"Authorization": f"Bearer {client.key}"}
    body = {} if method in {"POST", "PUT", "PATCH"} else None
    async with client.session.request(method, client.url + path, headers=headers, json=body) as answer:
        return answer.status


def filled(path: str, id_: str = "nobody") -> str:
    """A route's path with its parts filled."""
    return path.replace("{type}", "agendize.account").replace("{id}", id_)


# Tenants


@pytest.mark.parametrize(
    "route",
    [
        route
        for route in ROUTES
        if "{id}" in route.path and (route.method, collection_of(route.path)) != ("PUT", "resources")
    ],
    ids=lambda route: f"{route.method} {route.path}",
)
async def test_another_tenants_thing_is_404(admin: Client, receiver: Receiver, route: Any):
    ours = await Tenant.settle(admin, "acme", receiver)
    stranger = await admin.key_of("admin", "evil")
    known_id = await ours.id_in(collection_of(route.path))
    calls = len(receiver.calls)
    before = await ours.everything()
    body = BODIES.get((route.method, route.path), {} if route.method in {"POST", "PUT", "PATCH"} else None)
    refused = (await stranger.call(route.method, filled(route.path, known_id), body)).problem(404)
    unknown = (await stranger.call(route.method, filled(route.path, "nobody"), body)).problem(404)
    assert refused["detail"].replace(known_id, "nobody") == unknown["detail"]  # not even that it is there
    assert await ours.everything() == before
    assert len(receiver.calls) == calls


@pytest.mark.parametrize("identity", ["a1", "client-1", "ada@example.com"])
async def test_another_tenants_account_is_404_by_each_identity(admin: Client, receiver: Receiver, identity: str):
    ours = await Tenant.settle(admin, "acme", receiver)
    stranger = await admin.key_of("admin", "evil")
    before = await ours.everything()
    for method in ("GET", "PUT", "POST", "PATCH", "DELETE"):
        body = {} if method in {"PUT", "POST", "PATCH"} else None
        (await stranger.call(method, f"{ACCOUNTS}/{quote(identity)}", body)).vendor_error(404)
    assert await ours.everything() == before


async def test_lists_hold_nothing_of_another_tenant(admin: Client, receiver: Receiver):
    await Tenant.settle(admin, "acme", receiver)
    stranger = await admin.key_of("admin", "evil")
    for route in ROUTES:
        if route.method != "GET" or "{id}" in route.path or route.path in {"/metrics", "/api/v1/deliveries/stream"}:
            continue
        answer = await stranger.get(filled(route.path))
        assert answer.status == 200, answer.text
        if route.path == "/api/v1/apiKeys":
            assert [key["tenant"] for key in answer.body["items"]] == ["evil"]
        else:
            assert answer.body == {"items": [], "nextCursor": None}
    assert (await stranger.get(ACCOUNTS)).body == {"items": []}


async def test_filters_find_nothing_of_another_tenant(admin: Client, receiver: Receiver):
    ours = await Tenant.settle(admin, "acme", receiver)
    stranger = await admin.key_of("admin", "evil")
    for query in (f"watchId={ours.ids['watches']}", "objectId=a1", "status=succeeded", "statusCode=200"):
        assert (await ours.client.get(f"/api/v1/deliveries?{query}")).body["items"], query
        assert (await stranger.get(f"/api/v1/deliveries?{query}")).body["items"] == [], query


async def test_the_same_identities_may_be_in_every_tenant(admin: Client, receiver: Receiver):
    first = await Tenant.settle(admin, "acme", receiver)
    second = await Tenant.settle(admin, "globex", receiver)
    changed = await second.client.put(f"{ACCOUNTS}/client-1", {"firstName": "Zoë"})
    assert changed.body["firstName"] == "Zoë"
    assert (await first.client.get(f"{ACCOUNTS}/client-1")).body["firstName"] == "Ada"
    assert (await first.client.get(f"{OURS}/a1")).body["version"] == 1
    assert (await second.client.get(f"{OURS}/a1")).body["version"] == 2
    assert (await second.client.delete(f"{OURS}/a1")).status == 204
    assert (await first.client.get(f"{OURS}/a1")).status == 200


async def test_a_watch_hears_nothing_of_another_tenant(admin: Client, receiver: Receiver):
    first = await Tenant.settle(admin, "acme", receiver)
    second = await Tenant.settle(admin, "globex", receiver)
    await first.client.watch(f"{receiver.url}/one", objectId="a1")
    await second.client.put(f"{OURS}/a1", {**ACCOUNT, "firstName": "Zoë"})
    assert len(await second.client.settled(2)) == 2
    assert len(await first.client.settled(1)) == 1
    assert [call.path_qs for call in receiver.calls] == ["/acme", "/globex", "/globex"]


async def test_another_tenants_crypto_key_is_an_unknown_one(admin: Client, receiver: Receiver):
    ours = await Tenant.settle(admin, "acme", receiver)
    stranger = await admin.key_of("admin", "evil")
    signature = {"enabled": True, "cryptoKeyIds": [ours.ids["cryptoKeys"]]}
    body = {"objectType": "agendize.account", "address": receiver.url, "signature": signature}
    refused = await stranger.post("/api/v1/watches", body)
    refused.problem(422)
    assert refused.pointers() == ["/signature/cryptoKeyIds/0"]
    asked = {"watch": body, "event": "created", "resource": ACCOUNT}
    (await stranger.post("/api/v1/watches/preview", asked)).problem(422)


async def test_a_preview_shows_nothing_of_another_tenant(admin: Client, receiver: Receiver):
    ours = await Tenant.settle(admin, "acme", receiver)
    stranger = await admin.key_of("admin", "evil")
    asked = {"watch": ours.ids["watches"], "event": "created", "resource": ACCOUNT}
    (await stranger.post("/api/v1/watches/preview", asked)).problem(404)
    watch = {"objectType": "agendize.account", "address": receiver.url}
    refused = await stranger.post("/api/v1/watches/preview", {"watch": watch, "event": "created", "objectId": "a1"})
    refused.problem(422)
    assert refused.pointers() == ["/objectId"]


async def test_the_stream_tells_nothing_of_another_tenant(admin: Client, receiver: Receiver):
    ours = await Tenant.settle(admin, "acme", receiver)
    stranger = await admin.key_of("admin", "evil")
    async with stranger.stream(last="0") as lines:
        await ours.client.put(f"{OURS}/a2", {})
        await stranger.watch(f"{receiver.url}/evil")
        await stranger.put(f"{OURS}/evil-1", {})
        assert (await anext(lines)).data["objectId"] == "evil-1"


async def test_a_test_delivery_is_not_made_of_another_tenants_resource(admin: Client, receiver: Receiver):
    await Tenant.settle(admin, "acme", receiver)
    stranger = await admin.key_of("admin", "evil")
    watch = await stranger.watch(f"{receiver.url}/evil")
    await stranger.post(f"/api/v1/watches/{watch['id']}/test")
    assert (await receiver.wait_for(2))[1].json()["email"] != ACCOUNT["email"]


# Who makes tenants


async def test_only_the_bootstrap_key_makes_tenants_and_keys_of_others(admin: Client):
    for name in ("default", "acme"):
        client = await admin.key_of("admin", name)
        for tenant in ("new", "default", "acme"):
            made = await client.post("/api/v1/apiKeys", {"role": "admin", "tenant": tenant})
            if tenant == name:
                assert (made.status, made.body["tenant"]) == (201, name)
            else:
                assert "bootstrap" in made.problem(403)["detail"]
        own = await client.post("/api/v1/apiKeys", {"role": "agent"})
        assert own.body["tenant"] == name
    assert {key["tenant"] for key in (await admin.get("/api/v1/apiKeys")).body["items"]} == {"default", "acme"}


async def test_the_bootstrap_key_acts_for_the_tenant_default(admin: Client):
    member = await admin.key_of("admin", "default")
    await admin.put(f"{OURS}/a1", ACCOUNT)
    assert (await member.get(f"{OURS}/a1")).status == 200


# Roles


def test_the_table_of_roles_has_every_route():
    assert {(row["method"], row["path"]) for row in ROLES["routes"]} == {(route.method, route.path) for route in ROUTES}


@pytest.mark.parametrize("role", ["admin", "agent", "operator"])
async def test_a_role_may_what_the_table_says(admin: Client, role: str):
    client = await admin.key_of(role)
    refused = {}
    for row in ROLES["routes"] + ROLES["collections"]:
        status = await status_of(client, row["method"], filled(row["path"]))
        assert status < 500, row
        if (status in {401, 403}) is (role in row["roles"]):
            refused[f"{row['method']} {row['path']}"] = status
    assert refused == {}


async def test_a_refused_role_leaves_nothing_behind(admin: Client, receiver: Receiver):
    ours = await Tenant.settle(admin, "default", receiver)
    before = await ours.everything()
    operator, agent = await admin.key_of("operator"), await admin.key_of("agent")
    keys = len((await admin.get("/api/v1/apiKeys")).body["items"])
    refused: list[Answer] = [
        await operator.put(f"{OURS}/a1", {}),
        await operator.delete(f"{OURS}/a1"),
        await operator.post("/api/v1/watches", {"objectType": "agendize.account", "address": receiver.url}),
        await operator.delete(f"/api/v1/watches/{ours.ids['watches']}"),
        await operator.post("/api/v1/apiKeys", {"role": "admin"}),
        await agent.patch(f"/api/v1/watches/{ours.ids['watches']}", {"name": "x"}),
        await agent.post(f"/api/v1/deliveries/{ours.ids['deliveries']}/redeliver"),
        await agent.post(f"{ACCOUNTS}/watch", {"address": receiver.url}),
        await agent.delete(f"/api/v1/apiKeys/{ours.ids['apiKeys']}"),
    ]
    for answer in refused:
        assert "role" in answer.problem(403)["detail"]
    for method, path in (("POST", ACCOUNTS), ("DELETE", f"{ACCOUNTS}/a1"), ("PATCH", f"{ACCOUNTS}/a1")):
        answer = await operator.call(method, path, None if method == "DELETE" else {"tags": [{"tag": "x"}]})
        assert answer.vendor_error(403)["reason"] == "forbidden"
    after = await ours.everything()
    assert len(after[3]["items"]) == keys
    assert [*after[:3], *after[4:]] == [*before[:3], *before[4:]]


async def test_what_a_role_may_it_can(admin: Client, receiver: Receiver):
    await admin.watch(receiver.url)
    agent, operator = await admin.key_of("agent"), await admin.key_of("operator")
    assert (await agent.put(f"{OURS}/a1", ACCOUNT)).status == 201
    assert (await agent.patch(f"{ACCOUNTS}/a1", {"tags": [{"tag": "vip"}]})).status == 200
    rows = await operator.settled(2)
    assert (await operator.post(f"/api/v1/deliveries/{rows[0]['id']}/redeliver")).status == 202
    await receiver.wait_for(3)


async def test_without_a_key_nothing_is_answered_but_health(service: Service):
    nobody = service.admin.with_key(None)
    for row in ROLES["routes"] + ROLES["collections"]:
        assert await status_of(nobody, row["method"], filled(row["path"])) == 401, row
    for path in ("/healthz", "/readyz"):
        assert await status_of(nobody, "GET", path) == 200


async def test_a_types_own_permissions_decide(tmp_path: Path):
    shutil.copytree(running.ROOT / "config", tmp_path / "config")
    file = tmp_path / "config" / "resources" / "agendize.account.json"
    rtype = json.loads(file.read_text(encoding="utf-8"))
    rtype["permissions"] = {"list": ["admin"], "delete": ["operator"], "push": ["admin"], "watch": ["agent"]}
    file.write_text(json.dumps(rtype), encoding="utf-8")
    async with running.service(tmp_path, tmp_path / "config") as service:
        agent, operator = await service.admin.key_of("agent"), await service.admin.key_of("operator")
        (await agent.get(ACCOUNTS)).vendor_error(403)
        (await agent.get(OURS)).problem(403)
        (await agent.put(f"{OURS}/a1", {})).problem(403)
        (await agent.delete(f"{ACCOUNTS}/a1")).vendor_error(403)
        (await operator.delete(f"{ACCOUNTS}/a1")).vendor_error(404)
        (await operator.delete(f"{OURS}/a1")).problem(404)
        (await agent.post(f"{ACCOUNTS}/watch", {})).problem(422)
        (await service.admin.post(f"{ACCOUNTS}/watch", {})).problem(403)
