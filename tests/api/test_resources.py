"""Our own face of every type: list, get, push and delete; and a type that is added by a file alone."""

from __future__ import annotations

import asyncio
import json
import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from tests.support import running
from tests.support.receiver import Receiver
from tests.support.running import ACCOUNTS, Client

OURS = "/api/v1/resources/agendize.account"
ADA = {"email": "ada@example.com", "userName": "ada@example.com", "firstName": "Ada", "tools": ["save", "call"]}


async def push(client: Client, id_: str, document: Any, status: int = 201) -> Any:
    """Push a document; the answer's body."""
    pushed = await client.put(f"{OURS}/{quote(id_, safe='')}", document)
    assert pushed.status == status, pushed.text
    return pushed.body


async def pages(client: Client, path: str, limit: int) -> list[list[Any]]:
    """Every page of a list."""
    found, cursor = [], None
    while True:
        query = {"limit": str(limit), **({"cursor": cursor} if cursor else {})}
        answer = await client.get(path, params=query)
        assert answer.status == 200, answer.text
        assert set(answer.body) == {"items", "nextCursor"}
        found.append(answer.body["items"])
        cursor = answer.body["nextCursor"]
        if cursor is None:
            return found


# Push


async def test_a_push_makes_a_resource_and_the_next_one_changes_it(admin: Client):
    made = await push(admin, "a1", ADA)
    assert set(made) == {"id", "version", "updated", "deleted", "resource"}
    assert (made["id"], made["version"], made["deleted"]) == ("a1", 1, False)
    assert made["resource"] == {"id": "a1", **ADA}
    assert abs((datetime.now(UTC) - datetime.fromisoformat(made["updated"])).total_seconds()) < 60
    assert made["updated"].endswith("Z")
    changed = await push(admin, "a1", {**ADA, "firstName": "Zoë", "id": "a1"}, 200)
    assert changed["version"] == 2
    assert changed["resource"] == {**ADA, "firstName": "Zoë", "id": "a1"}
    assert (await admin.get(f"{OURS}/a1")).body == changed


async def test_a_push_is_the_whole_document(admin: Client):
    await push(admin, "a1", {**ADA, "preferences": {"language": "en", "timeZone": "UTC"}})
    changed = await push(admin, "a1", {"email": "zoe@example.com", "preferences": {"language": "fr"}}, 200)
    assert changed["resource"] == {"id": "a1", "email": "zoe@example.com", "preferences": {"language": "fr"}}


async def test_a_push_sets_what_is_read_only_and_derives_nothing(admin: Client):
    document = {
        "created": {"dateTime": "2001-01-01T00:00:00", "timeZone": "Asia/Kolkata"},
        "credit": 12.5,
        "tags": [{}],
    }
    assert (await push(admin, "a1", document))["resource"] == {"id": "a1", **document}


async def test_numbers_come_back_exactly(admin: Client):
    document = {"big": 2**64 - 1, "small": -(2**63), "float": 5e-324, "sum": 0.1 + 0.2, "one": 1.0, "minus": -0.0}
    await push(admin, "a1", document)
    text = (await admin.get(f"{OURS}/a1")).text
    back = json.loads(text)["resource"]
    assert {name: repr(back[name]) for name in document} == {name: repr(value) for name, value in document.items()}


async def test_a_push_that_changes_nothing_makes_no_change_and_no_delivery(admin: Client, receiver: Receiver):
    await admin.watch(receiver.url)
    first = await push(admin, "a1", {**ADA, "credit": 1, "ssoToken": "t0ken"})
    same = (
        {**ADA, "credit": 1},
        dict(reversed(list({**ADA, "credit": 1, "id": "a1"}.items()))),
        {**ADA, "credit": 1.0},
        {**ADA, "credit": 1, "tools": ["call", "save"]},
        {**ADA, "credit": 1, "ssoToken": "another", "password": "secret", "sendSignupEmail": True},
    )
    for document in same:
        again = await push(admin, "a1", document, 200)
        assert (again["version"], again["updated"]) == (1, first["updated"])
    different = ({"credit": True}, {"x": 1}, {"x": "1"}, {"x": True}, {"x": None}, {})
    for number, members in enumerate(different[1:], start=2):
        assert (await push(admin, "a1", {**ADA, "credit": 1, **members}, 200))["version"] == number
    assert [row["objectEvent"] for row in await admin.settled(6)] == ["created"] + ["updated"] * 5


async def test_another_id_inside_is_refused(admin: Client):
    for inside in ("a2", "A1", "", 1, ["a1"], {"id": "a1"}):
        refused = await admin.put(f"{OURS}/a1", {**ADA, "id": inside})
        refused.problem(422)
        assert refused.pointers() == ["/id"]
    (await admin.get(f"{OURS}/a2")).problem(404)


@pytest.mark.parametrize(
    "id_", ["client 1", "kunde/1", "zoë@example.com", "50%", "a+b", "%2F", "…", "👩‍👩‍👧", "a" * 255]
)
async def test_ids_of_all_kinds_are_percent_encoded_in_paths(admin: Client, id_: str):
    assert (await push(admin, id_, ADA))["id"] == id_
    path = f"{OURS}/{quote(id_, safe='')}"
    assert (await admin.get(path)).body["resource"]["id"] == id_
    assert (await admin.get(f"{ACCOUNTS}/{quote(id_, safe='')}")).body["id"] == id_
    assert (await admin.delete(path)).status == 204


@pytest.mark.parametrize("id_", ["a" * 256, "a%0Ab", "%00", "%7F"])
async def test_ids_that_no_path_can_hold_are_refused(admin: Client, id_: str):
    (await admin.put(f"{OURS}/{id_}", ADA)).problem(422)
    assert (await admin.get(OURS)).body["items"] == []


async def test_a_pushed_document_keeps_its_schema(admin: Client):
    refused = await admin.put(f"{OURS}/a1", {"status": "x", "tags": [{"color": "red"}], "firstName": "a" * 256})
    refused.problem(422)
    assert sorted(refused.pointers()) == ["/firstName", "/status", "/tags/0/color"]
    (await admin.get(f"{OURS}/a1")).problem(404)


# Get, delete


async def test_a_deleted_resource_is_gone_from_both_faces(admin: Client):
    await push(admin, "a1", ADA)
    deleted = await admin.delete(f"{OURS}/a1")
    assert (deleted.status, deleted.text) == (204, "")
    (await admin.get(f"{OURS}/a1")).problem(404)
    (await admin.delete(f"{OURS}/a1")).problem(404)
    (await admin.get(f"{ACCOUNTS}/a1")).vendor_error(404)
    assert (await admin.get(OURS)).body == {"items": [], "nextCursor": None}


async def test_versions_have_no_gap_over_deletion_and_return(admin: Client, receiver: Receiver):
    await admin.watch(receiver.url)
    for turn in range(3):
        made = await push(admin, "a1", {**ADA, "firstName": f"{turn}"})
        assert made["version"] == turn * 3 + 1
        await push(admin, "a1", {**ADA, "firstName": f"{turn}"}, 200)
        await push(admin, "a1", {**ADA, "firstName": f"{turn}", "status": "enabled"}, 200)
        refused = await admin.put(f"{OURS}/a1", {"firstName": 7})
        refused.problem(422)
        await admin.delete(f"{OURS}/a1")
    calls = await receiver.wait_for(9)
    assert [call.headers["ce-sequence"] for call in calls] == [str(number) for number in range(1, 10)]
    events = [call.headers["ce-type"].rpartition(".")[2] for call in calls]
    assert events == ["created", "updated", "deleted"] * 3


async def test_many_pushes_of_one_resource_at_once_are_each_a_version(admin: Client):
    answers = await asyncio.gather(*(admin.put(f"{OURS}/a1", {"firstName": f"{n}"}) for n in range(60)))
    assert sorted(answer.body["version"] for answer in answers) == list(range(1, 61))
    assert sorted(answer.status for answer in answers) == [200] * 59 + [201]


async def test_our_face_finds_by_the_id_alone(admin: Client):
    await push(admin, "a1", {**ADA, "resellerId": "client-1"})
    (await admin.get(f"{OURS}/client-1")).problem(404)
    (await admin.delete(f"{OURS}/client-1")).problem(404)
    assert (await push(admin, "client-1", {"email": "zoe@example.com"}))["version"] == 1


async def test_an_account_that_was_inserted_there_is_here(admin: Client):
    account = (await admin.post(ACCOUNTS, {"email": "ada@example.com", "profile": {"id": "p1"}})).body
    found = await admin.get(f"{OURS}/{account['id']}")
    assert found.body["resource"] == account
    assert found.body["version"] == 1


# List


async def test_a_list_of_pages_has_no_gap_and_no_repeat(admin: Client):
    ids = [f"a{number:03d}" for number in range(43)]
    await asyncio.gather(*(push(admin, id_, {}) for id_ in ids))
    for limit in (1, 7, 42, 43, 44, 500):
        found = await pages(admin, OURS, limit)
        assert [item["id"] for page in found for item in page] == ids
        assert all(len(page) == limit for page in found[:-1])
        assert found[-1]
    assert len((await admin.get(OURS)).body["items"]) == 43
    assert (await admin.get(OURS)).body["items"][0] == (await admin.get(f"{OURS}/a000")).body


async def test_fifty_are_the_page_that_nobody_asked_for(admin: Client):
    await asyncio.gather(*(push(admin, f"a{number:03d}", {}) for number in range(51)))
    first = (await admin.get(OURS)).body
    assert len(first["items"]) == 50
    assert len((await admin.get(OURS, params={"cursor": first["nextCursor"]})).body["items"]) == 1


async def test_items_that_come_and_go_between_pages_disturb_no_other(admin: Client):
    ids = [f"m{number:02d}" for number in range(30)]
    await asyncio.gather(*(push(admin, id_, {}) for id_ in ids))
    seen: list[str] = []
    cursor, turn = None, 0
    while turn == 0 or cursor:
        answer = await admin.get(OURS, params={"limit": "4", **({"cursor": cursor} if cursor else {})})
        seen += [item["id"] for item in answer.body["items"]]
        cursor = answer.body["nextCursor"]
        await push(admin, f"a-{turn}", {})  # before the cursor
        await push(admin, f"m{turn:02d}-between", {})
        await admin.delete(f"{OURS}/{seen[-1]}")  # the one that the cursor stands on
        turn += 1
    assert len(set(seen)) == len(seen)
    assert [id_ for id_ in seen if id_ in ids] == ids


async def test_an_unknown_type_is_404_on_every_path(admin: Client):
    for method, path in (("GET", ""), ("GET", "/a1"), ("PUT", "/a1"), ("DELETE", "/a1")):
        answer = await admin.call(method, f"/api/v1/resources/nobody.thing{path}", {} if method == "PUT" else None)
        assert "nobody.thing" in answer.problem(404)["detail"]


# A type that is added by a file


DEVICE = {
    "name": "acme.device",
    "collection": "/acme/v1/devices",
    "dialect": "items",
    "schema": {
        "type": "object",
        "required": ["serial"],
        "properties": {
            "serial": {"type": "string", "maxLength": 20},
            "label": {"type": "string"},
            "online": {"type": "boolean", "readOnly": True},
        },
    },
    "identity": ["serial"],
}


@pytest.fixture
async def two_types(tmp_path: Path):
    """A service that knows devices besides accounts."""
    shutil.copytree(running.ROOT / "config", tmp_path / "config")
    (tmp_path / "config" / "resources" / "acme.device.json").write_text(json.dumps(DEVICE), encoding="utf-8")
    async with running.service(tmp_path, tmp_path / "config") as service:
        yield service.admin


async def test_a_type_added_by_a_file_has_a_vendor_face(two_types: Client):
    devices = DEVICE["collection"]
    made = await two_types.post(devices, {"serial": "ignored or not", "label": "Door"})
    assert made.status in {200, 201}, made.text
    device = made.body
    assert device["label"] == "Door"
    path = f"{devices}/{quote(device['serial'], safe='')}"
    assert (await two_types.get(path)).body == device
    changed = await two_types.put(path, {"label": "Gate", "online": True})
    assert changed.body == {**device, "label": "Gate"}
    assert (await two_types.get(devices)).body == {"items": [changed.body]}
    refused = await two_types.put(path, {"label": 7})
    refused.vendor_error(422)
    assert refused.pointers() == ["/label"]
    refused = await two_types.put(path, {"serial": "another"})
    refused.vendor_error(422)
    assert refused.pointers() == ["/serial"]
    assert (await two_types.delete(path)).status == 204
    (await two_types.get(path)).vendor_error(404)
    (await two_types.delete(devices)).vendor_error(405)


async def test_a_type_added_by_a_file_has_our_face(two_types: Client):
    face = "/api/v1/resources/acme.device"
    made = await two_types.put(f"{face}/d1", {"label": "Door", "online": True})
    assert made.status == 201
    assert made.body["resource"] == {"serial": "d1", "label": "Door", "online": True}
    assert (await two_types.put(f"{face}/d1", {"label": "Door", "online": False})).body["version"] == 2
    refused = await two_types.put(f"{face}/d1", {"serial": "d2"})
    refused.problem(422)
    assert refused.pointers() == ["/serial"]
    assert [item["id"] for item in (await two_types.get(face)).body["items"]] == ["d1"]
    assert (await two_types.get(OURS)).body["items"] == []
    assert (await two_types.delete(f"{face}/d1")).status == 204
    (await two_types.get(f"{face}/d1")).problem(404)


async def test_a_type_added_by_a_file_is_watched(two_types: Client, receiver: Receiver):
    made = await two_types.post(
        f"{DEVICE['collection']}/watch", {"address": receiver.url, "schema": '{"s": ${$.serial}}'}
    )
    assert made.status == 201, made.text
    assert (made.body["objectType"], made.body["warnings"]) == ("acme.device", [])
    made = await two_types.post(
        "/api/v1/watches", {"objectType": "acme.device", "address": receiver.url, "schema": {"x": "${$.lable}"}}
    )
    (warning,) = made.body["warnings"]
    assert warning["pointer"] == "/schema/x"
    assert "label" in warning["detail"]
    await two_types.watch(f"{receiver.url}/accounts")
    await two_types.put("/api/v1/resources/acme.device/d1", {"label": "Door"})
    calls = await receiver.wait_for(2)
    assert len(await two_types.settled(2)) == 2
    assert sorted(str(call.json()) for call in calls) == ["{'s': 'd1'}", "{'x': ''}"]
    for call in calls:
        assert call.headers["ce-type"] == "acme.device.created"
        assert call.headers["ce-source"] == DEVICE["collection"]
        assert call.headers["ce-subject"] == "d1"
