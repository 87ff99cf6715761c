"""The vendor face of Rinkel users: the ``data`` envelope over HTTP, read only, as seed 001 has it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from standardwebhooks import Webhook

from tests.support import running, vendors
from tests.support.receiver import Receiver
from tests.support.running import ADMIN_KEY, Client, Service
from tests.support.vendors import RINKEL

ADA = {
    "id": "64a6b60be7ce3a7774155263",
    "firstName": "Ada",
    "email": "ada@example.com",
    "phoneNumber": {"e164": "+31201234567", "countryIsoCode": "NL", "countryCallingCode": 31, "number": "201234567"},
    "availability": "AVAILABLE",
    "preferences": {"language": "nl", "defaultCountryCode": "NL", "webphone": {"ringTone": "ringtone1"}},
    "notifications": {"missedCalls": {"enabled": True, "channels": ["EMAIL", "PUSH"]}},
    "insights": {"enabled": True},
    "undeclared": {"kept": [1, 2.5, None]},
}


async def populate(client: Client, count: int) -> list[Any]:
    """Users u00, u01, ..., pushed."""
    return [
        await vendors.push(client, "rinkel.user", f"u{number:02d}", {**ADA, "id": f"u{number:02d}", "firstName": "x"})
        for number in range(count)
    ]


async def listed(client: Client, **query: str) -> tuple[list[Any], Any]:
    """The users of a page, and what is said of its place."""
    answer = await client.get(RINKEL, params=query)
    assert answer.status == 200, answer.text
    assert answer.headers["Content-Type"] == "application/json"
    assert set(answer.body) == {"data", "meta"}
    assert set(answer.body["meta"]) == {"pagination"}
    return answer.body["data"], answer.body["meta"]["pagination"]


async def test_a_user_is_under_data(admin: Client):
    await vendors.push(admin, "rinkel.user", ADA["id"], ADA)
    answer = await admin.get(f"{RINKEL}/{ADA['id']}")
    assert (answer.status, answer.body) == (200, {"data": ADA})


async def test_an_empty_list_has_no_pages(admin: Client):
    assert await listed(admin) == ([], {"totalItems": 0, "totalPages": 0, "currentPage": 1, "perPage": 100})


@pytest.mark.parametrize("size", [1, 3, 4, 7, 50])
async def test_pages_are_counted_and_together_are_the_whole_list(admin: Client, size: int):
    users = await populate(admin, 7)
    total = -(-7 // size)
    found = []
    for page in range(1, total + 1):
        data, pagination = await listed(admin, page=str(page), perPage=str(size))
        assert pagination == {"totalItems": 7, "totalPages": total, "currentPage": page, "perPage": size}
        found += data
    assert found == users
    assert (await listed(admin, page=str(total + 1), perPage=str(size)))[0] == []


async def test_a_page_that_cannot_be_is_refused(admin: Client):
    for query in ({"page": "0"}, {"page": "-1"}, {"perPage": "x"}, {"perPage": "100000"}):
        answer = await admin.get(RINKEL, params=query)
        assert answer.status == 400
        assert answer.body["error"]["code"] == "badRequest"
        assert next(iter(query)) in answer.body["error"]["message"]


@pytest.mark.parametrize("path", ["", "/u00"])
@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
async def test_the_vendor_takes_no_writes(admin: Client, method: str, path: str):
    await populate(admin, 1)
    answer = await admin.call(method, RINKEL + path, {} if method != "DELETE" else None)
    assert answer.status == 405
    assert answer.headers["Allow"] == "GET"
    assert answer.headers["Content-Type"] == "application/json"
    assert set(answer.body["error"]) == {"status", "code", "message", "errors"}


async def test_a_key_is_taken_the_vendors_way(admin: Client):
    stranger = admin.with_key(None)
    assert (await stranger.get(RINKEL, headers={"x-rinkel-api-key": ADMIN_KEY})).status == 200
    for headers in ({}, {"x-rinkel-api-key": "wrong"}, {"apiKey": ADMIN_KEY}):
        answer = await stranger.get(RINKEL, headers=headers)
        assert (answer.status, answer.body["error"]["code"]) == (401, "unauthorized")
    assert (await stranger.get("/api/v1/watches", headers={"x-rinkel-api-key": ADMIN_KEY})).status == 401


async def test_what_is_not_there_is_not_found(admin: Client):
    answer = await admin.get(f"{RINKEL}/nobody")
    assert (answer.status, answer.body["error"]["code"]) == (404, "notFound")


@pytest.mark.parametrize("count", [0, 3, 101, 250])
async def test_what_we_serve_we_can_read(service: Service, admin: Client, count: int):
    users = await populate(admin, count)
    rtype = service.running.services.types["rinkel.user"]
    assert sorted(await vendors.polled(rtype, admin), key=lambda user: user["id"]) == sorted(
        users, key=lambda user: user["id"]
    )


async def test_another_vendor_with_this_envelope_is_a_file(tmp_path: Path):
    resources = tmp_path / "config" / "resources"
    resources.mkdir(parents=True)
    acme = {
        "name": "acme.user",
        "collection": "/acme/users",
        "dialect": "data",
        "identity": ["id"],
        "filters": {"name": {"match": "contains", "paths": ["name"]}},
        "schema": {"type": "object", "properties": {"id": {"type": "string", "readOnly": True}}},
    }
    (resources / "acme.user.json").write_text(json.dumps(acme))
    (tmp_path / "config" / "service.toml").write_text("")
    async with running.service(tmp_path, tmp_path / "config") as service:
        admin = service.admin
        for number in range(230):
            await vendors.push(admin, "acme.user", f"u{number:03d}", {"name": "odd" if number % 2 else "even"})
        answer = await admin.get("/acme/users?name=ODD&page=3&perPage=50")
        assert answer.body["meta"]["pagination"] == {
            "totalItems": 115,
            "totalPages": 3,
            "currentPage": 3,
            "perPage": 50,
        }
        assert [user["id"] for user in answer.body["data"]] == [f"u{number:03d}" for number in range(201, 230, 2)]
        made = await admin.post("/acme/users", {"name": "odd"})
        assert made.status == 201
        assert made.headers["Location"] == f"{admin.url}/acme/users/{made.body['data']['id']}"
        changed = await admin.patch(f"/acme/users/{made.body['data']['id']}", {"name": "even"})
        assert changed.body["data"] == {**made.body["data"], "name": "even"}
        assert (await admin.delete(f"/acme/users/{made.body['data']['id']}")).status == 204


async def test_a_pushed_change_arrives_and_can_be_verified(admin: Client, receiver: Receiver):
    watched = await admin.post(f"{RINKEL}/watch", {"address": receiver.url, "signature": {"enabled": True}})
    assert watched.status == 201, watched.text
    flipped = {
        "availability": "UNAVAILABLE",
        "avatarUrls": {"small": "https://a.example/1"},
        "notifications": {"missedCalls": {"channels": ["PUSH", "EMAIL"], "enabled": True}},
    }
    await vendors.push(admin, "rinkel.user", ADA["id"], ADA)
    await vendors.push(admin, "rinkel.user", ADA["id"], {**ADA, **flipped})
    await vendors.push(admin, "rinkel.user", ADA["id"], {**ADA, "firstName": "Zoë"})
    await admin.delete(f"/api/v1/resources/rinkel.user/{ADA['id']}")
    calls = await receiver.wait_for(3)
    for call in calls:
        Webhook(watched.body["signature"]["secret"]).verify(call.body, dict(call.headers))
        assert call.headers["ce-source"] == RINKEL
    assert [call.json() for call in calls] == [ADA, {**ADA, "firstName": "Zoë"}, {**ADA, "firstName": "Zoë"}]
    assert [call.headers["ce-sequence"] for call in calls] == ["1", "2", "3"]
    assert len(await admin.settled(3)) == 3
