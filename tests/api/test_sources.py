"""Sources over HTTP: what is taken, what is shown, who may, and that polling happens by itself."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from tests.support import running
from tests.support.running import Client
from tests.support.sources import SOURCES, made, swept, until
from tests.support.upstream import TYPES, Fault, Upstream

OAUTH2 = {
    "clientId": "poller",
    "clientSecret": "the-client-secret",
    "refreshToken": "the-refresh-token",
    "accessTokenUrl": "https://auth.example.com/token",
}


@pytest.mark.parametrize("type_", TYPES)
async def test_a_source_is_swept_at_once_and_again_when_asked(admin: Client, type_: str):
    async with Upstream(type_, users=7) as upstream:
        source = await made(admin, type=type_, url=upstream.url, interval=3600, name="CRM")
        assert source["sweep"]["state"] == "pending"
        shown = await until(admin, source["id"], "completed")
        assert shown["sweep"] == {
            "state": "completed",
            "full": True,
            "started": shown["sweep"]["started"],
            "finished": shown["sweep"]["finished"],
            "pages": 3 if type_ in ("outreach.user", "rinkel.user") else 1,
            "seen": 7,
            **dict.fromkeys(("created", "updated", "deleted", "heldDeletions", "overtaken"), 0),
            **dict.fromkeys(("withoutIdentity", "unreadable", "schemaFaults", "refused"), 0),
            "lastFault": None,
            "lastError": None,
        }
        assert shown["nextSweep"] > shown["sweep"]["finished"]
        upstream.remove(7)
        assert (await swept(admin, source["id"]))["sweep"]["deleted"] == 1


async def test_a_short_interval_polls_by_itself(admin: Client):
    async with Upstream("genesys.user", users=3) as upstream:
        source = await made(admin, type="genesys.user", url=upstream.url, interval=0.05)
        await until(admin, source["id"], "completed")
        upstream.rename(2, "Grace")
        stored = ""
        async with asyncio.timeout(10):
            while "Grace" not in stored:
                await asyncio.sleep(0.01)
                stored = (await admin.get("/api/v1/resources/genesys.user")).text


async def test_the_url_may_be_that_of_the_collection(admin: Client):
    async with Upstream("outreach.user", users=3) as upstream:
        source = await made(admin, url=f"{upstream.url}/users/")
        assert (await until(admin, source["id"], "completed"))["sweep"]["seen"] == 3


async def test_an_answer_shows_everything_but_secrets(admin: Client):
    source = await made(
        admin,
        name="Outreach",
        auth={"oauth2": OAUTH2, "headers": {"X-Tenant": "the-tenant-header"}},
        interval=60,
        fullInterval=600,
        emitInitial=True,
        maxDeleteShare=0.5,
    )
    assert source["type"] == "outreach.user"
    assert source["auth"] == {
        "oauth2": {
            "grantType": "refresh_token",
            "clientId": "poller",
            "clientAuth": "basic",
            "accessTokenUrl": OAUTH2["accessTokenUrl"],
        }
    }
    assert set(source["secretsSet"]) == {
        "/auth/oauth2/clientSecret",
        "/auth/oauth2/refreshToken",
        "/auth/headers/X-Tenant",
    }
    expected = {"interval": 60, "fullInterval": 600, "emitInitial": True, "maxDeleteShare": 0.5, "warnings": []}
    assert {name: source[name] for name in expected} == expected
    assert (source["status"], source["statusReason"], source["file"]) == ("active", None, None)
    got = await admin.get(f"{SOURCES}/{source['id']}")
    listed = await admin.get(SOURCES)
    for text in (got.text, listed.text):
        for secret in ("the-client-secret", "the-refresh-token", "the-tenant-header"):
            assert secret not in text


async def test_the_defaults(admin: Client):
    source = await made(admin)
    expected = {
        "name": None,
        "auth": {},
        "interval": 300,
        "fullInterval": 3000,
        "emitInitial": False,
        "maxDeleteShare": 0.2,
        "secretsSet": [],
    }
    assert {name: source[name] for name in expected} == expected


async def test_credentials_are_stored_sealed(tmp_path: Path):
    async with running.service(tmp_path) as service:
        await made(service.admin, auth={"basic": {"username": "u", "password": "a-stored-password"}})
        await made(service.admin, auth={"bearer": "a-stored-token"})
    stored = "\n".join(sqlite3.connect(tmp_path / "watch.db").iterdump())
    assert "a-stored" not in stored


@pytest.mark.parametrize(
    ("body", "pointers"),
    [
        ({}, {"/type", "/url"}),
        ({"type": "no.such"}, {"/type"}),
        ({"typ": "outreach.user"}, {"/typ"}),
        ({"id": "mine", "sweep": {}, "status": "paused"}, {"/id", "/sweep", "/status"}),
        ({"url": "ftp://example.com"}, {"/url"}),
        ({"url": "https://user:pass@example.com"}, {"/url"}),
        ({"url": "https://example.com/?apiKey=secret"}, {"/url"}),
        ({"url": "https://example.com/#top"}, {"/url"}),
        ({"url": "https://example.com/${$.id}"}, {"/url"}),
        ({"url": "https://2130706433/"}, {"/url"}),
        ({"url": 5, "interval": "often", "emitInitial": 1}, {"/url", "/interval", "/emitInitial"}),
        ({"interval": 0, "fullInterval": -1}, {"/interval", "/fullInterval"}),
        ({"maxDeleteShare": 1.01}, {"/maxDeleteShare"}),
        ({"maxDeleteShare": 20}, {"/maxDeleteShare"}),
        ({"name": "two\nlines"}, {"/name"}),
        ({"auth": {"token": "x"}}, {"/auth/token"}),
        ({"auth": {"basic": {"username": "a:b"}}}, {"/auth/basic/username", "/auth/basic/password"}),
        ({"auth": {"bearer": "two words"}}, {"/auth/bearer"}),
        ({"auth": {"bearer": "x", "basic": {"username": "u", "password": "p"}}}, {"/auth/bearer"}),
        ({"auth": {"headers": {"Host": "x"}}}, {"/auth/headers/Host"}),
        ({"auth": {"headers": {"a/b": "x"}}}, {"/auth/headers/a~1b"}),
        ({"auth": {"headers": {"X-Key": "a\r\nb"}}}, {"/auth/headers/X-Key"}),
        ({"auth": {"headers": {"Authorization": "x"}, "bearer": "y"}}, {"/auth/headers/Authorization"}),
        ({"auth": {"oauth2": {"clientId": "x"}}}, {"/auth/oauth2/accessTokenUrl"}),
        ({"auth": {"oauth2": OAUTH2 | {"refreshToken": None}}}, {"/auth/oauth2/refreshToken"}),
        ({"auth": {"oauth2": OAUTH2 | {"accessTokenUrl": "nowhere"}}}, {"/auth/oauth2/accessTokenUrl"}),
        ([], {""}),
    ],
)
async def test_what_cannot_work_is_refused_with_pointers(admin: Client, body: Any, pointers: set[str]):
    if isinstance(body, dict) and body:
        body = {"type": "outreach.user", "url": "https://example.com", **body}
    answer = await admin.post(SOURCES, body)
    answer.problem(422)
    assert set(answer.pointers()) == pointers
    assert (await admin.get(SOURCES)).body["items"] == []


async def test_a_blocked_address_is_a_warning_and_the_sweep_says_so(admin: Client):
    source = await made(admin, url="http://169.254.169.254/latest")
    assert [warning["pointer"] for warning in source["warnings"]] == ["/url"]
    shown = await until(admin, source["id"], "failed")
    assert "169.254.169.254 is blocked" in shown["sweep"]["lastError"]


async def test_a_patch_changes_what_it_names_and_keeps_secrets(admin: Client):
    source = await made(admin, auth={"oauth2": OAUTH2})
    path = source["selfLink"]
    changed = await admin.patch(path, {"interval": 60, "name": "New", "auth": {"oauth2": {"scope": "read"}}})
    assert changed.status == 200, changed.text
    assert (changed.body["interval"], changed.body["name"]) == (60, "New")
    assert changed.body["auth"]["oauth2"]["scope"] == "read"
    assert set(changed.body["secretsSet"]) == {"/auth/oauth2/clientSecret", "/auth/oauth2/refreshToken"}
    assert changed.body["created"] == source["created"]
    other = await admin.patch(path, {"auth": {"oauth2": None, "bearer": "x"}})
    assert other.body["secretsSet"] == ["/auth/bearer"]
    back = await admin.patch(path, {"name": None, "interval": None})
    assert (back.body["name"], back.body["interval"]) == (None, 300)
    assert (await admin.patch(path, back.body)).status == 200, "an answer can be sent back"


@pytest.mark.parametrize(
    ("patch", "pointers"),
    [
        ({"url": "https://evil.example.com"}, {"/auth/oauth2/clientSecret", "/auth/oauth2/refreshToken"}),
        ({"url": "http://api.example.com/v2"}, {"/auth/oauth2/clientSecret", "/auth/oauth2/refreshToken"}),
        (
            {"auth": {"oauth2": {"accessTokenUrl": "https://evil.example.com/t"}}},
            {"/auth/oauth2/clientSecret", "/auth/oauth2/refreshToken"},
        ),
        ({"type": "rinkel.user"}, {"/type"}),
        ({"unknown": 1}, {"/unknown"}),
    ],
)
async def test_nobody_redirects_a_stored_credential(admin: Client, patch: Any, pointers: set[str]):
    source = await made(admin, auth={"oauth2": OAUTH2})
    answer = await admin.patch(source["selfLink"], patch)
    answer.problem(422)
    assert set(answer.pointers()) == pointers
    moved = await admin.patch(source["selfLink"], {"url": "https://api.example.com/v3"})
    assert moved.status == 200, "another path of the same origin is no redirection"


async def test_pause_resume_and_sweep(admin: Client):
    async with Upstream("agendize.account", users=3) as upstream:
        source = await made(admin, type="agendize.account", url=upstream.url, interval=0.05)
        await until(admin, source["id"], "completed")
        paused = await admin.post(f"{source['selfLink']}/pause")
        assert (paused.status, paused.body["status"], paused.body["nextSweep"]) == (200, "paused", None)
        (await admin.post(f"{source['selfLink']}/sweep")).problem(409)
        (await admin.post(f"{source['selfLink']}/pause", {"x": 1})).problem(422)
        upstream.calls.clear()
        await admin.get("/healthz")
        resumed = await admin.post(f"{source['selfLink']}/resume")
        assert (resumed.status, resumed.body["status"]) == (200, "active")
        upstream.rename(1, "Grace")
        assert (await swept(admin, source["id"]))["sweep"]["seen"] == 3


async def test_held_deletions_are_confirmed(admin: Client):
    async with Upstream("rinkel.user", users=20) as upstream:
        source = await made(admin, type="rinkel.user", url=upstream.url, interval=3600)
        await until(admin, source["id"], "completed")
        (await admin.post(f"{source['selfLink']}/confirm")).problem(409)
        for number in range(1, 11):
            upstream.remove(number)
        held = (await swept(admin, source["id"]))["sweep"]
        assert (held["state"], held["heldDeletions"], held["deleted"]) == ("held", 10, 0)
        assert len((await admin.get("/api/v1/resources/rinkel.user")).body["items"]) == 20
        confirmed = await admin.post(f"{source['selfLink']}/confirm")
        assert confirmed.status == 202, confirmed.text
        shown = await until(admin, source["id"], "completed")
        assert shown["sweep"]["heldDeletions"] == 0
        assert len((await admin.get("/api/v1/resources/rinkel.user")).body["items"]) == 10


async def test_deleting_a_source_ends_its_polling_and_leaves_its_resources(admin: Client):
    async with Upstream("agendize.account", users=3) as upstream:
        source = await made(admin, type="agendize.account", url=upstream.url, interval=0.05)
        await until(admin, source["id"], "completed")
        assert (await admin.delete(source["selfLink"])).status == 204
        calls = len(upstream.calls)
        (await admin.get(source["selfLink"])).problem(404)
        (await admin.delete(source["selfLink"])).problem(404)
        assert len((await admin.get("/api/v1/resources/agendize.account")).body["items"]) == 3
        another = await made(admin, type="agendize.account", url=upstream.url, interval=3600)
        await until(admin, another["id"], "completed")
        assert len(upstream.calls) == calls + 1


async def test_a_source_that_is_deleted_in_the_middle_of_a_page_takes_nothing_in_afterwards(admin: Client):
    async with Upstream("outreach.user", users=9) as upstream:
        upstream.gate.clear()
        source = await made(admin, url=upstream.url)
        await upstream.wait_for(1)
        assert (await admin.get(source["selfLink"])).body["sweep"]["state"] == "running"
        assert (await admin.delete(source["selfLink"])).status == 204
        upstream.gate.set()
        assert (await admin.get("/api/v1/resources/outreach.user")).body["items"] == []


async def test_lists_are_paged(admin: Client):
    ids = [(await made(admin, name=str(number)))["id"] for number in range(5)]
    first = (await admin.get(f"{SOURCES}?limit=3")).body
    second = (await admin.get(f"{SOURCES}?limit=3&cursor={first['nextCursor']}")).body
    assert [source["id"] for source in first["items"] + second["items"]] == ids
    assert second["nextCursor"] is None
    (await admin.get(f"{SOURCES}?colour=red")).problem(400)


async def test_who_may(admin: Client):
    source = await made(admin)
    path = source["selfLink"]
    operator, agent = await admin.key_of("operator"), await admin.key_of("agent")
    for method, at, status_ in [
        ("GET", SOURCES, 200),
        ("GET", path, 200),
        ("POST", f"{path}/sweep", 202),
        ("POST", f"{path}/pause", 200),
        ("POST", f"{path}/resume", 200),
        ("POST", f"{path}/confirm", 409),
        ("POST", SOURCES, 403),
        ("PATCH", path, 403),
        ("DELETE", path, 403),
    ]:
        assert (await operator.call(method, at)).status == status_, (method, at)
        assert (await agent.call(method, at)).status == 403, (method, at)


async def test_another_tenants_source_is_none(admin: Client):
    source = await made(admin)
    other = await admin.key_of("admin", "other")
    assert (await other.get(SOURCES)).body["items"] == []
    for method, suffix in [("GET", ""), ("PATCH", ""), ("DELETE", ""), ("POST", "/sweep"), ("POST", "/pause")]:
        (await other.call(method, source["selfLink"] + suffix, {} if method == "PATCH" else None)).problem(404)


async def test_a_failing_source_says_why_and_stops_no_other(admin: Client):
    async with Upstream("agendize.account", users=3) as good, Upstream("genesys.user", users=3) as bad:
        bad.always = Fault(reset=True)
        one = await made(admin, type="genesys.user", url=bad.url)
        two = await made(admin, type="agendize.account", url=good.url)
        assert (await until(admin, two["id"], "completed"))["sweep"]["seen"] == 3
        assert "reset" in (await until(admin, one["id"], "waiting"))["sweep"]["lastError"]


async def test_sources_survive_a_restart_with_all_that_they_know(tmp_path: Path):
    async with Upstream("outreach.user", users=3) as upstream:
        async with running.service(tmp_path) as service:
            source = await made(service.admin, url=upstream.url, auth={"bearer": "x"}, interval=3600)
            before = await until(service.admin, source["id"], "completed")
        async with running.service(tmp_path) as service:
            assert (await service.admin.get(source["selfLink"])).body == before
            upstream.rename(2, "Grace")
            assert (await swept(service.admin, source["id"]))["sweep"]["updated"] == 1
