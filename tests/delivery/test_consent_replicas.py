"""Consent of owners and of receivers, where several processes share one database."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from service.api.services import Part
from tests.support import running
from tests.support.receiver import Answer, Call, Receiver
from tests.support.running import Service

pytestmark = pytest.mark.postgresql

PUBLIC = "https://watch.example.com"
TYPE = "/api/v1/resources/agendize.account"
TOKENS = {"access_token": "an-access-token", "token_type": "Bearer", "refresh_token": "a-refresh-token"}


@asynccontextmanager
async def replicas(directory: Path, *parts: Part) -> AsyncIterator[list[Service]]:
    async with AsyncExitStack() as stack:
        entered = [running.service(directory, part=part, WATCH_PUBLIC_URL=PUBLIC) for part in parts]
        yield [await stack.enter_async_context(service) for service in entered]


@pytest.fixture
async def endpoint() -> AsyncIterator[Receiver]:
    async with Receiver() as endpoint:
        endpoint.answers = lambda _: Answer(200, {}, json.dumps(TOKENS).encode())
        yield endpoint


def consenting(call: Call) -> Answer:
    return Answer(200, {"WebHook-Allowed-Origin": "*"}) if call.method == "OPTIONS" else Answer()


async def push(service: Service, object_id: str) -> None:
    assert (await service.admin.put(f"{TYPE}/{object_id}", {"organization": "x"})).status == 201


async def state_of(service: Service, watch: Any) -> str:
    """The state of an authorization that begins there."""
    answer = await service.admin.get(f"{watch['selfLink']}/oauth2/authorize")
    return parse_qs(urlsplit(answer.body["url"]).query)["state"][0]


def oauth2(endpoint: Receiver) -> dict[str, str]:
    return {"clientId": "c", "authUrl": "https://login.example.com/auth", "accessTokenUrl": f"{endpoint.url}/token"}


async def test_one_begins_an_authorization_another_finishes_it_and_a_third_delivers(tmp_path, endpoint, receiver):
    async with replicas(tmp_path, Part.API, Part.API, Part.WORKER) as (first, second, _):
        watch = await first.admin.watch(receiver.url, oauth2Auth=oauth2(endpoint))
        await push(second, "a")
        state = await state_of(first, watch)
        done = await second.admin.with_key(None).get("/oauth2/callback", params={"state": state, "code": "c"})
        assert done.status == 200, done.text
        (row,) = await first.admin.settled(1)
        assert row["status"] == "succeeded"
        assert (await first.admin.get(watch["selfLink"])).body["statusReason"] is None


async def test_a_state_is_good_once_among_all(tmp_path, endpoint, receiver):
    async with replicas(tmp_path, Part.API, Part.API) as pair:
        watch = await pair[0].admin.watch(receiver.url, oauth2Auth=oauth2(endpoint))
        for _ in range(5):
            state = await state_of(pair[1], watch)
            answers = await asyncio.gather(
                *(
                    service.admin.with_key(None).get("/oauth2/callback", params={"state": state, "code": "c"})
                    for service in pair * 2
                )
            )
            assert sorted(answer.status for answer in answers) == [200, 409, 409, 409]
        assert len(endpoint.calls) == 5


async def test_a_lost_authorization_is_lost_for_all(tmp_path, endpoint, receiver):
    async with replicas(tmp_path, Part.ALL, Part.ALL) as (first, second):
        endpoint.answers = lambda _: Answer(400, {}, b'{"error": "invalid_grant"}')
        watch = await first.admin.watch(
            receiver.url, oauth2Auth={**oauth2(endpoint), "refreshToken": "revoked"}, retry={"schedule": []}
        )
        await push(first, "a")
        async with asyncio.timeout(5):
            while (await second.admin.get(watch["selfLink"])).body["statusReason"] != "authorization":
                await asyncio.sleep(0.01)
        asked = len(endpoint.calls)
        for number in range(5):
            await push(second, f"b{number}")
            await push(first, f"c{number}")
        rows = (await second.admin.get("/api/v1/deliveries")).body["items"]
        assert [row["status"] for row in rows] == ["pending"] * 11
        endpoint.answers = lambda _: Answer(200, {}, json.dumps(TOKENS).encode())
        assert len(endpoint.calls) <= asked + 1  # the other one may have been about to
        await second.admin.patch(watch["selfLink"], {"oauth2Auth": {"refreshToken": "good"}})
        rows = await first.admin.settled(11)
        assert {row["status"] for row in rows} == {"succeeded"}


async def test_each_receiver_is_asked_once_whoever_was_told_of_it(tmp_path, receiver):
    receiver.answers = consenting
    async with replicas(tmp_path, Part.ALL, Part.ALL) as pair:
        watches = [
            await pair[number % 2].admin.watch(f"{receiver.url}/{number}", verification="webhook-origin")
            for number in range(10)
        ]
        await push(pair[0], "a")
        rows = await pair[1].admin.settled(10)
        assert {row["status"] for row in rows} == {"succeeded"}
        for watch in watches:
            shown = (await pair[0].admin.get(watch["selfLink"])).body
            assert (shown["statusReason"], shown["verificationState"]["state"]) == (None, "verified")
    asked = Counter(call.path_qs for call in receiver.calls if call.method == "OPTIONS")
    assert asked == {f"/{number}": 1 for number in range(10)}


async def test_what_one_answers_calls_for_another_one_asks(tmp_path, receiver):
    answers = [Answer(204)]
    receiver.answers = lambda call: answers.pop() if call.method == "OPTIONS" and answers else consenting(call)
    async with replicas(tmp_path, Part.API, Part.WORKER) as (api, _):
        watch = await api.admin.watch(receiver.url, verification="webhook-origin")
        await push(api, "a")
        async with asyncio.timeout(5):
            while (await api.admin.get(watch["selfLink"])).body["verificationState"]["state"] != "refused":
                await asyncio.sleep(0.01)
        assert (await api.admin.post(f"{watch['selfLink']}/verify")).status == 202
        (row,) = await api.admin.settled(1)
        assert row["status"] == "succeeded"
