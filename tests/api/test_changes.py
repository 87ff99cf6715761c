"""The feed of changes: its order, its pages, what it forgets; and a receiver that was away and catches up."""

from __future__ import annotations

import asyncio
import copy
import random
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import jsonpatch

from service import clock
from service.journal import retention
from tests.support.receiver import Answer, Call, Receiver
from tests.support.running import ACCOUNTS, Client, Service

CHANGES = "/api/v1/changes"
OURS = "/api/v1/resources/agendize.account"
USERS = "/api/v1/resources/outreach.user"


async def feed(client: Client, limit: int = 500, **query: str) -> list[Any]:
    """The feed to its end, page after page."""
    items: list[Any] = []
    while True:
        answer = await client.get(CHANGES, params={"limit": str(limit), **query})
        assert answer.status == 200, answer.text
        assert set(answer.body) == {"items", "nextCursor"}
        items += answer.body["items"]
        if answer.body["nextCursor"] is None:
            return items
        assert answer.body["nextCursor"] == items[-1]["cursor"]
        query["cursor"] = answer.body["nextCursor"]


async def push(client: Client, id_: str, **members: Any) -> None:
    assert (await client.put(f"{OURS}/{id_}", members)).status in {200, 201}


def marks(items: list[Any]) -> list[tuple[str, str, int]]:
    return [(item["objectId"], item["objectEvent"], item["version"]) for item in items]


# What it shows


async def test_a_change_shows_its_version_its_document_and_its_diff(admin: Client):
    await push(admin, "a1", firstName="Ada", credit=1)
    await push(admin, "a1", firstName="Ada", credit=2)
    await admin.delete(f"{OURS}/a1")
    await push(admin, "a1", firstName="Zoë")
    created, updated, deleted, again = await feed(admin)
    members = {"id", "cursor", "objectType", "objectId", "objectEvent", "version", "time", "resource", "changes"}
    assert set(created) == members | {"filtered"}
    assert marks([created, updated, deleted, again]) == [
        ("a1", "created", 1),
        ("a1", "updated", 2),
        ("a1", "deleted", 3),
        ("a1", "created", 4),
    ]
    assert created["objectType"] == "agendize.account"
    assert (created["resource"], created["changes"]) == ({"id": "a1", "firstName": "Ada", "credit": 1}, [])
    assert updated["resource"] == {"id": "a1", "firstName": "Ada", "credit": 2}
    assert updated["changes"] == [{"op": "replace", "path": "/credit", "value": 2, "oldValue": 1}]
    assert (deleted["resource"], deleted["changes"]) == (None, [])
    assert again["resource"] == {"id": "a1", "firstName": "Zoë"}
    assert {item["filtered"] for item in (created, updated, deleted, again)} == {None}


async def test_what_changes_nothing_and_what_is_refused_is_not_in_it(admin: Client):
    await push(admin, "a1", tools=["save", "call"])
    await push(admin, "a1", tools=["call", "save"])
    (await admin.put(f"{OURS}/a1", {"firstName": 7})).problem(422)
    assert marks(await feed(admin)) == [("a1", "created", 1)]


async def test_a_test_delivery_is_no_change(admin: Client, receiver: Receiver):
    watch = await admin.watch(receiver.url)
    assert (await admin.post(f"/api/v1/watches/{watch['id']}/test")).status == 202
    assert await feed(admin) == []


async def test_its_ids_and_versions_are_those_of_the_callbacks(admin: Client, receiver: Receiver):
    await admin.watch(receiver.url)
    for number in range(3):
        await push(admin, "a1", credit=number)
    calls = await receiver.wait_for(3)
    sent = [(call.headers["ce-id"], call.headers["ce-sequence"], call.headers["ce-time"]) for call in calls]
    assert [(item["id"], str(item["version"]), item["time"]) for item in await feed(admin)] == sent


# Which it shows


async def test_it_is_filtered_by_type_and_by_resource(admin: Client):
    await push(admin, "a1", credit=1)
    assert (await admin.put(f"{USERS}/7", {"attributes": {"firstName": "Ada"}})).status == 201
    await push(admin, "a2", credit=1)
    await push(admin, "7", credit=1)
    await push(admin, "a1", credit=2)
    ids = [
        ("agendize.account", "a1"),
        ("outreach.user", "7"),
        *(("agendize.account", id_) for id_ in ("a2", "7", "a1")),
    ]
    assert [(item["objectType"], item["objectId"]) for item in await feed(admin)] == ids
    assert marks(await feed(admin, type="outreach.user")) == [("7", "created", 1)]
    for limit in (1, 2, 500):
        of_accounts = await feed(admin, limit, type="agendize.account")
        assert [item["objectId"] for item in of_accounts] == ["a1", "a2", "7", "a1"]
        of_seven = await feed(admin, limit, objectId="7")
        assert [item["objectType"] for item in of_seven] == ["outreach.user", "agendize.account"]
        assert marks(await feed(admin, limit, objectId="a1")) == [("a1", "created", 1), ("a1", "updated", 2)]
        assert marks(await feed(admin, limit, objectId="7", type="agendize.account")) == [("7", "created", 1)]
    assert await feed(admin, objectId="nobody") == []


async def test_since_takes_the_changes_of_that_time_and_later(admin: Client):
    for number in range(3):
        await push(admin, f"a{number}", credit=1)
        await asyncio.sleep(0.005)  # so that each has a time of its own
    items = await feed(admin)
    for index, item in enumerate(items):
        assert await feed(admin, 1, since=item["time"]) == items[index:]
    later = (datetime.fromisoformat(items[-1]["time"]) + timedelta(milliseconds=1)).isoformat()
    assert await feed(admin, since=later) == []
    for early in ("1970-01-01T00:00:00Z", "0001-01-01T00:00:00Z", "1900-01-01T00:00:00+01:00"):
        assert await feed(admin, since=early) == items
    assert await feed(admin, since="9999-12-31T23:59:59Z") == []


async def test_parameters_that_mean_nothing_are_refused(admin: Client):
    await push(admin, "a1")
    for query, word in (
        ("type=nobody.thing", "nobody"),
        ("since=yesterday", "RFC 3339"),
        ("since=2026-01-31T12:00:00", "RFC 3339"),
        ("cursor=???", "cursor"),
        ("cursor=YWJj", "cursor"),
        ("limit=0", "limit"),
        ("watch=x", "unknown"),
        ("type=agendize.account&type=outreach.user", "twice"),
    ):
        problem = (await admin.get(f"{CHANGES}?{query}")).problem(400)
        assert word in problem["detail"] or word == "nobody"


async def test_another_tenant_sees_nothing_of_it(admin: Client):
    other = await admin.key_of("admin", "other")
    await push(admin, "a1", firstName="Ada")
    cursor = (await feed(admin))[-1]["cursor"]
    await push(other, "b1", firstName="Zoë")
    assert [item["objectId"] for item in await feed(other)] == ["b1"]
    assert [item["objectId"] for item in await feed(other, cursor=cursor)] == ["b1"]
    assert [item["objectId"] for item in await feed(admin)] == ["a1"]
    assert await feed(other, objectId="a1") == []
    (await admin.with_key(None).get(CHANGES)).problem(401)


async def test_a_role_sees_the_changes_of_the_types_that_it_may_list(tmp_path: Path):
    import json
    import shutil

    from tests.support import running

    shutil.copytree(running.ROOT / "config", tmp_path / "config")
    file = tmp_path / "config" / "resources" / "agendize.account.json"
    declared = json.loads(file.read_text(encoding="utf-8"))
    declared["permissions"]["list"] = ["admin", "operator"]
    file.write_text(json.dumps(declared), encoding="utf-8")
    async with running.service(tmp_path, tmp_path / "config") as service:
        admin, agent = service.admin, await service.admin.key_of("agent")
        await push(admin, "a1")
        await admin.put(f"{USERS}/7", {"attributes": {"firstName": "Ada"}})
        await push(admin, "a2")
        await admin.put(f"{USERS}/8", {"attributes": {"firstName": "Zoë"}})
        for limit in (1, 500):
            assert [item["objectId"] for item in await feed(agent, limit)] == ["7", "8"]
        assert await feed(agent, objectId="a1") == []
        (await agent.get(CHANGES, params={"type": "agendize.account"})).problem(403)
        operator = await admin.key_of("operator")
        assert [item["objectId"] for item in await feed(operator)] == ["a1", "7", "a2", "8"]


# Its pages


async def test_pages_have_no_gap_and_no_repeat_while_others_write(admin: Client):
    total, limits = 300, random.Random(7)

    async def write(writer: int) -> None:
        for number in range(total // 10):
            await push(admin, f"w{writer}", credit=number)

    async def read() -> list[Any]:
        items: list[Any] = []
        while len(items) < total:
            query = {"limit": str(limits.randint(1, 20)), **({"cursor": items[-1]["cursor"]} if items else {})}
            items += (await admin.get(CHANGES, params=query)).body["items"]
        return items

    async with asyncio.timeout(30), asyncio.TaskGroup() as group:
        reader = group.create_task(read())
        for writer in range(10):
            group.create_task(write(writer))
    seen = reader.result()
    assert len({item["id"] for item in seen}) == total
    assert seen == await feed(admin)
    for writer in range(10):
        assert [item["version"] for item in seen if item["objectId"] == f"w{writer}"] == list(range(1, 31))


async def test_a_reader_goes_on_later_from_the_last_change_it_has(admin: Client):
    await push(admin, "a1", credit=1)
    last = (await feed(admin))[-1]
    assert await feed(admin, cursor=last["cursor"]) == []
    await push(admin, "a1", credit=2)
    (new,) = await feed(admin, cursor=last["cursor"])
    assert new["version"] == 2
    assert await feed(admin, cursor=new["cursor"]) == []


async def test_a_page_ends_early_where_documents_are_large(admin: Client):
    for number in range(12):
        await push(admin, f"a{number:02d}", note="x" * 900_000)
    first = (await admin.get(CHANGES, params={"limit": "500"})).body
    assert 1 <= len(first["items"]) < 12
    assert first["nextCursor"] is not None
    assert [item["objectId"] for item in await feed(admin)] == [f"a{number:02d}" for number in range(12)]


# What it forgets


async def test_a_cursor_whose_changes_are_forgotten_is_gone(service: Service):
    admin = service.admin
    for number in range(3):
        await push(admin, "a1", credit=number)
    first, _, last = await feed(admin)
    await retention.sweep(service.running.services.store, clock.now_ms() + 1000)
    assert await feed(admin) == []
    assert "api/v1/resources" in (await admin.get(CHANGES, params={"cursor": first["cursor"]})).problem(410)["detail"]
    (await admin.get(CHANGES, params={"since": first["time"]})).problem(410)
    assert await feed(admin, cursor=last["cursor"]) == []
    await push(admin, "a1", credit=9)
    (new,) = await feed(admin, cursor=last["cursor"])
    assert (new["version"], new["resource"]["credit"]) == (4, 9)
    assert await feed(admin) == [new]
    (await admin.get(CHANGES, params={"cursor": first["cursor"]})).problem(410)


async def test_what_another_tenant_has_forgotten_is_no_concern_of_mine(service: Service):
    admin = service.admin
    other = await admin.key_of("admin", "other")
    await push(other, "b1")
    cursor = (await feed(other))[-1]["cursor"]
    await push(admin, "a1")
    await retention.sweep(service.running.services.store, clock.now_ms() + 1000)
    assert await feed(other, cursor=cursor) == []
    await push(other, "b2")
    assert [item["objectId"] for item in await feed(other, cursor=cursor)] == ["b2"]


async def test_a_cursor_from_after_the_backup_that_was_restored_is_gone(admin: Client):
    import base64

    await push(admin, "a1")
    ahead = base64.urlsafe_b64encode(b"900000000000000000.1").decode()
    (await admin.get(CHANGES, params={"cursor": ahead})).problem(410)


async def test_a_change_whose_delivery_is_pending_outlives_the_others(service: Service, receiver: Receiver):
    admin = service.admin
    receiver.answers = [Answer(500)]
    await admin.watch(receiver.url, objectId="late", retry={"schedule": [3600]})
    await push(admin, "late")
    await push(admin, "a1")
    await receiver.wait_for(1)
    first, last = await feed(admin)
    await retention.sweep(service.running.services.store, clock.now_ms() + 1000)
    assert await feed(admin) == []  # it is kept for its delivery, but behind it there is a gap
    (await admin.get(CHANGES, params={"cursor": first["cursor"]})).problem(410)
    assert await feed(admin, cursor=last["cursor"]) == []


# Catching up


class Mirror:
    """A receiver's copy of the directory. It knows what it was sent, and nothing else."""

    def __init__(self) -> None:
        self.documents: dict[str, Any] = {}
        self.versions: dict[str, int] = {}
        self.missed = False
        self.last_time = "1970-01-01T00:00:00Z"

    def hear(self, call: Call) -> None:
        """A callback: taken if it is the next version, else it is known that something was missed."""
        body, subject, version = call.json(), call.headers["ce-subject"], int(call.headers["ce-sequence"])
        known = self.versions.get(subject, 0)
        if version <= known:
            return  # a repeat, or overtaken by what the feed has told
        if version > known + 1:
            self.missed = True
            return
        previous, changes = body.pop("previousData"), body.pop("changes")
        event = call.headers["ce-type"].rpartition(".")[2]
        if event == "updated":
            assert previous == self.documents[subject]
            body = jsonpatch.apply_patch(copy.deepcopy(self.documents[subject]), changes)
        self._take(subject, version, None if event == "deleted" else body)
        self.last_time = call.headers["ce-time"]

    async def catch_up(self, client: Client, limit: int) -> int:
        """Read what was missed, from some time before the last callback on; how many were news."""
        since = datetime.fromisoformat(self.last_time) - timedelta(seconds=0.05)
        news = 0
        for item in await feed(client, limit, type="agendize.account", since=max(since, EPOCH).isoformat()):
            subject, version = item["objectId"], item["version"]
            known = self.versions.get(subject, 0)
            if version <= known:
                continue
            assert version == known + 1, "the feed has a gap"
            news += 1
            document = item["resource"]
            if item["objectEvent"] == "updated":
                document = jsonpatch.apply_patch(copy.deepcopy(self.documents[subject]), item["changes"])
                assert document == item["resource"]
            self._take(subject, version, document)
            self.last_time = item["time"]
        self.missed = False
        return news

    def _take(self, subject: str, version: int, document: Any) -> None:
        self.versions[subject] = version
        if document is None:
            del self.documents[subject]
        else:
            self.documents[subject] = document


EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
NAMES = ("Ada", "Zoë", "李", "", "a/b~c", "null")


async def random_write(client: Client, chance: random.Random) -> None:
    """One write of some account, on either face: an insert, an update, a deletion or a return."""
    id_ = f"a{chance.randrange(12)}"
    document: dict[str, Any] = {
        "firstName": chance.choice(NAMES),
        "credit": chance.choice((0, 1, True, 12.5, "1")) if chance.random() < 0.5 else None,
        "tools": sorted(chance.sample(("save", "call", "scheduling"), chance.randrange(4))),
        "tags": [
            {"id": f"t{tag}", "tag": chance.choice(NAMES)} for tag in chance.sample(range(5), chance.randrange(5))
        ],
        "preferences": {"language": chance.choice(("en", "fr"))},
        "a/b~c": chance.choice(([], [1], [1, [2, {"x": None}]], {"": {"-": 1}})),
    }
    for name in chance.sample(sorted(document), chance.randrange(4)):
        del document[name]
    if not isinstance(document.get("credit", 0), int | float) or document.get("credit") is True:
        document.pop("credit", None)
    match chance.randrange(10):
        case 0 | 1:
            answer = await client.delete(f"{OURS}/{id_}")
        case 2:
            answer = await client.put(f"{ACCOUNTS}/{id_}", {"lastName": chance.choice(NAMES)})
        case 3:
            answer = await client.post(
                ACCOUNTS, {"email": f"{chance.getrandbits(32)}@example.com", "profile": {"id": "p1"}}
            )
        case 4:
            answer = await client.put(f"{OURS}/{id_}", {"firstName": 7})  # refused
        case _:
            answer = await client.put(f"{OURS}/{id_}", document)
    assert answer.status in {200, 201, 204, 404, 422}, answer.text


async def directory(client: Client) -> dict[str, Any]:
    """What is there now: id to version and document."""
    there: dict[str, Any] = {}
    cursor: str | None = ""
    while cursor is not None:
        page = (await client.get(OURS, params={"limit": "50", **({"cursor": cursor} if cursor else {})})).body
        there |= {item["id"]: (item["version"], item["resource"]) for item in page["items"]}
        cursor = page["nextCursor"]
    return there


async def hear_all(mirror: Mirror, receiver: Receiver, admin: Client) -> None:
    """Let the mirror hear every callback that has come, once none is pending."""
    async with asyncio.timeout(20):
        while (await admin.get("/api/v1/deliveries?status=pending")).body["items"]:
            await asyncio.sleep(0.01)
    for call in receiver.calls:
        mirror.hear(call)
    receiver.calls.clear()


async def test_a_receiver_that_was_away_for_a_day_ends_with_the_exact_state_of_the_directory(
    admin: Client, receiver: Receiver
):
    chance, mirror = random.Random(20), Mirror()
    watch = await admin.watch(receiver.url, addPreviousData=True, retry={"schedule": []})  # given up, as after a day
    for _ in range(60):
        await random_write(admin, chance)
    await hear_all(mirror, receiver, admin)
    assert not mirror.missed
    heard = dict(mirror.versions)
    await receiver.stop()
    for _ in range(10):  # callbacks of these are given up
        await random_write(admin, chance)
    await hear_all(mirror, receiver, admin)
    await admin.patch(f"/api/v1/watches/{watch['id']}", {"status": "disabled"})
    for _ in range(70):  # and of these there are none
        await random_write(admin, chance)
    await asyncio.gather(*(random_write(admin, chance) for _ in range(60)))
    await hear_all(mirror, receiver, admin)
    assert mirror.versions == heard
    await receiver.start()
    await admin.patch(f"/api/v1/watches/{watch['id']}", {"status": "enabled"})
    while not mirror.missed:  # it is back, and the numbers of what it hears have a gap
        await random_write(admin, chance)
        await hear_all(mirror, receiver, admin)
    assert await mirror.catch_up(admin, limit=7) > 50
    for _ in range(30):
        await random_write(admin, chance)
    await hear_all(mirror, receiver, admin)
    assert not mirror.missed
    assert {id_: (mirror.versions[id_], document) for id_, document in mirror.documents.items()} == await directory(
        admin
    )


async def test_where_a_silent_refresh_breaks_the_chain_of_diffs_the_document_is_exact(admin: Client):
    await push(admin, "a1", tools=["save", "call"])
    await push(admin, "a1", tools=["call", "save"])  # no change: the order of tools means nothing
    await push(admin, "a1", tools=["call", "save", "scheduling"])
    _, updated = await feed(admin)
    assert updated["version"] == 2
    assert updated["resource"] == (await admin.get(f"{OURS}/a1")).body["resource"]
