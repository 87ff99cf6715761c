"""Watches with ``fields``: told of an update only if one of them changed, and the feed says who was not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.support import running
from tests.support.receiver import Receiver
from tests.support.running import Client

OURS = "/api/v1/resources/agendize.account"
WATCHES = "/api/v1/watches"


async def push(client: Client, id_: str, **members: Any) -> None:
    assert (await client.put(f"{OURS}/{id_}", members)).status in {200, 201}


async def filtered(client: Client) -> list[Any]:
    return [item["filtered"] for item in (await client.get("/api/v1/changes?limit=500")).body["items"]]


async def test_an_update_that_touches_no_field_is_not_queued_and_the_feed_says_so(admin: Client, receiver: Receiver):
    watch = await admin.watch(receiver.url, fields=["$.firstName", "$.preferences.language"])
    assert watch["fields"] == ["$.firstName", "$.preferences.language"]
    assert watch["warnings"] == []
    await push(admin, "a1", firstName="Ada", credit=1)
    await push(admin, "a1", firstName="Ada", credit=2)
    await push(admin, "a1", firstName="Ada", credit=2, preferences={"language": "en", "timeZone": "UTC"})
    await push(admin, "a1", firstName="Ada", credit=2, preferences={"language": "en", "timeZone": "Asia/Tokyo"})
    await push(admin, "a1", firstName="Zoë", credit=3)
    await admin.delete(f"{OURS}/a1")
    rows = await admin.settled(4)
    assert len(rows) == 4
    calls = await receiver.wait_for(4)
    assert [call.headers["ce-sequence"] for call in calls] == ["1", "3", "5", "6"]
    not_told = {"watches": 1, "ids": [watch["id"]]}
    assert await filtered(admin) == [None, not_told, None, not_told, None, None]


async def test_others_hear_what_one_does_not(admin: Client, receiver: Receiver):
    picky = await admin.watch(f"{receiver.url}/picky", fields=["$.firstName"])
    of_one = await admin.watch(f"{receiver.url}/one", fields=["$.credit"], objectId="a1")
    of_updates = await admin.watch(f"{receiver.url}/updates", events=["updated"], fields=["$.lastName"])
    await admin.watch(f"{receiver.url}/all")
    await push(admin, "a1", firstName="Ada", credit=1)
    await push(admin, "a1", firstName="Ada", credit=2)
    calls = await receiver.wait_for(5)
    assert len(await admin.settled(5)) == 5
    assert sorted((call.path_qs, call.headers["ce-sequence"]) for call in calls) == [
        ("/all", "1"),
        ("/all", "2"),
        ("/one", "1"),
        ("/one", "2"),
        ("/picky", "1"),
    ]
    _, update = await filtered(admin)
    assert update["watches"] == 2
    assert sorted(update["ids"]) == sorted([picky["id"], of_updates["id"]])
    assert of_one["id"] not in update["ids"]


async def test_put_and_patch_change_the_fields(admin: Client, receiver: Receiver):
    watch = await admin.watch(receiver.url, fields=["$.credit"])
    path = f"{WATCHES}/{watch['id']}"
    await push(admin, "a1", firstName="Ada", credit=1)
    patched = await admin.patch(path, {"fields": ["$.firstName"]})
    assert patched.body["fields"] == ["$.firstName"]
    await push(admin, "a1", firstName="Ada", credit=2)
    assert (await admin.get(path)).body["fields"] == ["$.firstName"]
    shown = (await admin.get(path)).body
    assert (await admin.put(path, shown)).body["fields"] == ["$.firstName"]
    await push(admin, "a1", firstName="Ada", credit=3)
    cleared = await admin.patch(path, {"fields": None})
    assert "fields" not in cleared.body
    await push(admin, "a1", firstName="Ada", credit=4)
    again = await admin.put(path, {"address": receiver.url, "fields": ["$.credit"]})
    assert again.body["fields"] == ["$.credit"]
    await push(admin, "a1", firstName="Zoë", credit=4)
    assert "fields" not in (await admin.put(path, {"address": receiver.url})).body
    await push(admin, "a1", firstName="Zoë", credit=5)
    calls = await receiver.wait_for(3)
    assert len(await admin.settled(3)) == 3
    assert [call.headers["ce-sequence"] for call in calls] == ["1", "4", "6"]


async def test_fields_are_still_there_after_a_restart(tmp_path: Path, receiver: Receiver):
    async with running.service(tmp_path) as service:
        await service.admin.watch(receiver.url, fields=["$.credit"])
        await push(service.admin, "a1", firstName="Ada")
    async with running.service(tmp_path) as service:
        await push(service.admin, "a1", firstName="Zoë")
        await push(service.admin, "a1", firstName="Zoë", credit=1)
        await receiver.wait_for(2)
        assert [row["objectEvent"] for row in await service.admin.settled(2)] == ["created", "updated"]
        assert [row is None for row in await filtered(service.admin)] == [True, False, True]


async def test_a_field_that_the_type_does_not_declare_is_doubted(admin: Client, receiver: Receiver):
    watch = await admin.watch(receiver.url, fields=["$.fristName", "$.tags[*].tag", "$.event.type"])
    first, second = watch["warnings"]
    assert (first["pointer"], second["pointer"]) == ("/fields/0", "/fields/2")
    assert "firstName" in first["detail"]
    useless = await admin.watch(receiver.url, fields=["$.firstName"], events=["created", "deleted"])
    assert [warning["pointer"] for warning in useless["warnings"]] == ["/fields"]


async def test_every_field_that_is_none_is_told_at_once(admin: Client, receiver: Receiver):
    body = {"objectType": "agendize.account", "address": receiver.url, "fields": ["$.a[", 3, "$.b", "c"]}
    refused = await admin.post(WATCHES, body)
    refused.problem(422)
    assert sorted(refused.pointers()) == ["/fields/0", "/fields/1", "/fields/3"]


async def test_a_preview_says_whether_the_watch_would_hear(admin: Client, receiver: Receiver):
    watch = {"objectType": "agendize.account", "address": receiver.url, "fields": ["$.credit"]}
    asked = {"watch": watch, "resource": {"id": "a1", "credit": 2}}

    async def doubts(**members: Any) -> list[str]:
        answer = await admin.post(f"{WATCHES}/preview", {**asked, **members})
        assert answer.status == 200, answer.text
        assert set(answer.body) == {"request", "warnings"}
        return [warning["pointer"] for warning in answer.body["warnings"]]

    assert await doubts(previous={"id": "a1", "credit": 1}) == []
    assert await doubts(previous={"id": "a1", "credit": 2, "firstName": "Ada"}) == ["/watch/fields"]
    assert await doubts() == ["/watch/fields"]
    assert await doubts(event="created") == await doubts(event="deleted") == await doubts(event="test") == []
    assert await doubts(event="deleted", watch={**watch, "events": ["created"]}) == ["/watch/fields", "/watch/events"]
    disabled = {**watch, "status": "disabled", "objectId": "a2"}
    assert await doubts(watch=disabled, event="created") == ["/watch/status", "/watch/objectId"]
    registered = await admin.watch(receiver.url, fields=["$.credit"])
    assert await doubts(watch=registered["id"]) == ["/watch/fields"]


async def test_the_tenant_of_another_watch_is_not_told_of_it(admin: Client, receiver: Receiver):
    other = await admin.key_of("admin", "other")
    await other.watch(receiver.url, fields=["$.credit"])
    await push(admin, "a1", firstName="Ada")
    await push(admin, "a1", firstName="Zoë")
    assert await filtered(admin) == [None, None]
