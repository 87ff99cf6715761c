"""The service polls itself: what happens on one instance is heard from another, every change once."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from service.changes import detect
from tests.support import polling, running
from tests.support.polling import TENANT, Rig
from tests.support.receiver import Receiver
from tests.support.running import ADMIN_KEY, Client
from tests.support.upstream import ITEMS, TYPES, updated

AUTH = {
    "agendize.account": {"headers": {"apiKey": ADMIN_KEY, "token": "any"}},
    "outreach.user": {"bearer": ADMIN_KEY},
    "rinkel.user": {"headers": {"x-rinkel-api-key": ADMIN_KEY}},
    "genesys.user": {"basic": {"username": "admin", "password": ADMIN_KEY}},
}
SMALL_PAGES = {"outreach.user": {"page[size]": "3"}, "rinkel.user": {"perPage": "3"}}

SLOTS = st.integers(0, 9)
OPERATIONS = st.one_of(
    st.tuples(st.just("put"), SLOTS, st.sampled_from(["Ada", "Grace", "Zoë", "1", ""])),
    st.tuples(st.just("delete"), SLOTS, st.none()),
)
ROUNDS = st.lists(st.tuples(st.lists(OPERATIONS, max_size=6), st.booleans()), min_size=1, max_size=4)


@asynccontextmanager
async def shuffling(hosting: Client, type_: str) -> AsyncIterator[str]:
    """A proxy in front of a service: pages are small, and members come in another order each time; its URL."""
    chance = random.Random(7)

    def shuffled(value: Any) -> Any:
        if isinstance(value, list):
            return [shuffled(each) for each in value]
        if not isinstance(value, dict):
            return value
        names = list(value)
        chance.shuffle(names)
        return {name: shuffled(value[name]) for name in names}

    async def forward(request: web.BaseRequest) -> web.Response:
        query = {**SMALL_PAGES.get(type_, {}), **request.query}
        kept = {name: value for name, value in request.headers.items() if name not in ("Host", "Content-Length")}
        async with hosting.session.get(hosting.url + request.path, params=query, headers=kept) as answer:
            body = json.dumps(shuffled(await answer.json(content_type=None))).encode()
            return web.Response(status=answer.status, body=body, content_type=answer.content_type)

    runner = web.ServerRunner(web.Server(forward, access_log=None), shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


class Story:
    """One instance hosts, another polls it, and a receiver listens to the second."""

    def __init__(self, hosting: Client, rig: Rig, receiver: Receiver, type_: str, source: str) -> None:
        self.hosting = hosting
        self.rig = rig
        self.receiver = receiver
        self.type = type_
        self.source = source
        self.heard = 0
        self.turns = 0

    async def play(self, rounds: list[Any]) -> None:
        for operations, full in [([("delete", slot, None) for slot in range(10)], True), *rounds, ([], True)]:
            for kind, slot, name in operations:
                await self._operate(kind, slot, name)
            await self._sweep(full=full)

    async def _operate(self, kind: str, slot: int, name: str | None) -> None:
        item = ITEMS[self.type](slot, name or "")
        path = f"/api/v1/resources/{self.type}/{item['id']}"
        if kind == "delete":
            await self.hosting.delete(path)
            return
        if self.type == "outreach.user":
            self.turns += 1
            item["attributes"]["updatedAt"] = updated(self.turns)
        answer = await self.hosting.put(path, item)
        assert answer.status in {200, 201}, answer.text

    async def _sweep(self, *, full: bool) -> None:
        """Sweep, and compare what was told with what is different."""
        before = await self.rig.documents(self.type)
        rules = self.rig.means.types[self.type].rules
        if full:
            await self.rig.keeper.sweep(TENANT, self.source)
        sweep = await self.rig.next_sweep(self.source)
        assert (sweep["state"], sweep["lastError"], sweep["lastFault"]) == ("completed", None, None), sweep
        listed = (await self.hosting.get(f"/api/v1/resources/{self.type}?limit=500")).body["items"]
        there = {item["id"]: item["resource"] for item in listed}
        expected = sorted(
            [("created", id_) for id_ in there.keys() - before.keys()]
            + [("deleted", id_) for id_ in before.keys() - there.keys() if sweep["full"]]
            + [
                ("updated", id_)
                for id_ in there.keys() & before.keys()
                if detect.differs(before[id_], there[id_], rules)
            ]
        )
        calls = (await self.receiver.wait_for(self.heard + len(expected)))[self.heard :]
        told = [(call.headers["ce-type"].rpartition(".")[2], call.headers["ce-subject"]) for call in calls]
        assert sorted(told) == expected
        assert sorted((await self.rig.changes())[self.heard :]) == expected, "nothing else is on its way"
        self.heard += len(expected)
        for call, (event, id_) in zip(calls, told, strict=True):
            assert call.json() == (before[id_] if event == "deleted" else there[id_])
        if sweep["full"]:
            assert await self.rig.documents(self.type) == there


@pytest.mark.parametrize("type_", TYPES)
async def test_whoever_watches_the_polling_instance_hears_every_change_of_the_hosting_one_once(
    type_: str, tmp_path: Path
):
    for name in "ab":
        (tmp_path / name).mkdir()
    async with (
        running.service(tmp_path / "a") as hosting,
        polling.rig(tmp_path / "b") as rig,
        Receiver() as receiver,
        shuffling(hosting.admin, type_) as proxy,
    ):
        await rig.service.admin.watch(receiver.url, objectType=type_)
        collection = rig.means.types[type_].collection
        body = {
            "type": type_,
            "url": proxy + collection,
            "auth": AUTH[type_],
            "interval": 60,
            "fullInterval": 86_400,
            "maxDeleteShare": 1,
        }
        source = (await rig.keeper.create(TENANT, body)).source.id
        assert (await rig.next_sweep(source))["state"] == "completed"
        story = Story(hosting.admin, rig, receiver, type_, source)
        loop = asyncio.get_running_loop()

        @settings(
            max_examples=12,
            deadline=None,
            derandomize=True,
            database=None,
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.nested_given],
        )
        @given(rounds=ROUNDS)
        def example(rounds: list[Any]) -> None:
            asyncio.run_coroutine_threadsafe(story.play(rounds), loop).result(60)

        await asyncio.to_thread(example)
        assert len({call.headers["webhook-id"] for call in receiver.calls}) == len(receiver.calls)
        assert story.heard > 50


async def test_a_polling_instance_needs_nothing_but_the_url_and_a_key(tmp_path: Path):
    for name in "ab":
        (tmp_path / name).mkdir()
    async with running.service(tmp_path / "a") as a, running.service(tmp_path / "b") as b:
        base = f"{a.running.url}/outreach/api/v2"
        made = await a.admin.post(
            "/outreach/api/v2/users",
            {"data": {"type": "user", "attributes": {"firstName": "Ada", "lastName": "Lovelace", "email": "a@x.org"}}},
            headers={"Content-Type": "application/vnd.api+json"},
        )
        assert made.status == 201, made.text
        source = await b.admin.post(
            "/api/v1/sources",
            {"type": "outreach.user", "url": base, "auth": {"bearer": ADMIN_KEY}, "emitInitial": True},
        )
        assert source.status == 201, source.text
        items: list[Any] = []
        async with asyncio.timeout(10):
            while not items:
                await asyncio.sleep(0.01)
                items = (await b.admin.get("/api/v1/resources/outreach.user")).body["items"]
        assert items[0]["resource"]["attributes"]["firstName"] == "Ada"
