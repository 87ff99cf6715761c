"""Interactive OAuth2 through the whole service against a real provider, which requires PKCE and rotates."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import aiohttp
import pytest

from service.delivery.authenticate import basic
from service.model import BasicAuth
from service.store.sql import Query
from service.vault import Vault
from tests.support import provider as providers
from tests.support import running
from tests.support.provider import Browser, Provider
from tests.support.receiver import Answer
from tests.support.running import Client, Service

PUBLIC = "https://watch.example.com"
TYPE = "/api/v1/resources/agendize.account"


@pytest.fixture(scope="module")
def provider() -> Iterator[Provider]:
    with providers.running(f"{PUBLIC}/oauth2/callback") as provider:
        yield provider


@pytest.fixture
async def service(tmp_path: Path) -> AsyncIterator[Service]:
    async with running.service(tmp_path, WATCH_PUBLIC_URL=PUBLIC) as service:
        yield service


@pytest.fixture
async def browser() -> AsyncIterator[Browser]:
    async with Browser() as browser:
        yield browser


async def push(admin: Client, object_id: str) -> None:
    assert (await admin.put(f"{TYPE}/{object_id}", {"organization": "x"})).status == 201


async def begin(admin: Client, watch: Any) -> str:
    answer = await admin.get(f"{watch['selfLink']}/oauth2/authorize")
    assert answer.status == 200, answer.text
    return answer.body["url"]


async def back(admin: Client, parameters: dict[str, str]) -> running.Answer:
    """The browser follows the provider's redirect to the public URL, behind which this service stands."""
    answer = dict(parameters)
    assert answer.pop("to") == f"{PUBLIC}/oauth2/callback"
    return await admin.with_key(None).get("/oauth2/callback", params=answer)


async def authorize(admin: Client, browser: Browser, watch: Any) -> None:
    page = await back(admin, await browser.consent(await begin(admin, watch)))
    assert page.status == 200, page.text


async def shown(admin: Client, watch: Any) -> Any:
    return (await admin.get(watch["selfLink"])).body


async def test_what_waited_goes_out_when_the_owner_has_consented(tmp_path, provider, browser, receiver):
    async with running.service(tmp_path, WATCH_PUBLIC_URL=PUBLIC) as service:
        watch = await service.admin.watch(receiver.url, oauth2Auth={**provider.oauth2, "issuer": provider.url})
        assert watch["statusReason"] == "authorization"
        for object_id in "abc":
            await push(service.admin, object_id)
        url = await begin(service.admin, watch)
        assert receiver.calls == []
        page = await back(service.admin, await browser.consent(url))
        assert page.status == 200
        assert "on their way" in page.text
        rows = await service.admin.settled(3)
        assert {row["status"] for row in rows} == {"succeeded"}
        (token,) = {call.headers["authorization"] for call in receiver.calls}
        assert await providers.userinfo(provider, token) == {"sub": "ann"}
    async with running.service(tmp_path, WATCH_PUBLIC_URL=PUBLIC) as service:  # the token that rotated was stored
        await push(service.admin, "d")
        assert (await service.admin.settled(4))[-1]["status"] == "succeeded"
    assert receiver.calls[-1].headers["authorization"] != token


async def test_a_public_client_is_authorized_by_pkce_alone(service, provider, browser, receiver):
    oauth2 = {name: value for name, value in provider.oauth2.items() if name != "clientSecret"}
    watch = await service.admin.watch(receiver.url, oauth2Auth={**oauth2, "clientId": "app"})
    await push(service.admin, "a")
    await authorize(service.admin, browser, watch)
    (row,) = await service.admin.settled(1)
    assert row["status"] == "succeeded"


async def test_an_owner_who_says_no_is_told_so_and_may_say_yes_later(service, provider, browser, receiver):
    watch = await service.admin.watch(receiver.url, oauth2Auth=provider.oauth2)
    denied = await back(service.admin, await browser.decline(await begin(service.admin, watch)))
    assert denied.status == 403
    assert "access_denied" in denied.text
    assert (await shown(service.admin, watch))["statusReason"] == "authorization"
    await authorize(service.admin, browser, watch)
    assert (await shown(service.admin, watch))["statusReason"] is None


async def test_a_code_that_came_for_another_state_is_refused_by_the_provider(service, provider, browser, receiver):
    watch = await service.admin.watch(receiver.url, oauth2Auth=provider.oauth2)
    mine = await browser.consent(await begin(service.admin, watch))
    (other,) = parse_qs(urlsplit(await begin(service.admin, watch)).query)["state"]
    injected = await back(service.admin, {**mine, "state": other})
    assert injected.status == 400
    assert "invalid_grant" in injected.text
    assert mine["code"] not in injected.text
    assert (await shown(service.admin, watch))["statusReason"] == "authorization"


async def test_without_offline_access_there_is_no_refresh_token_and_the_page_says_what_to_ask_for(
    service, provider, browser, receiver
):
    watch = await service.admin.watch(receiver.url, oauth2Auth={**provider.oauth2, "scope": "openid"})
    refused = await back(service.admin, await browser.consent(await begin(service.admin, watch)))
    assert refused.status == 502
    assert "offline_access" in refused.text


@pytest.mark.parametrize("schedule", [[], [60]])
async def test_deliveries_wait_for_the_owner_when_the_provider_revokes_the_consent(
    service, provider, browser, receiver, schedule
):
    watch = await service.admin.watch(receiver.url, oauth2Auth=provider.oauth2, retry={"schedule": schedule})
    await authorize(service.admin, browser, watch)
    await push(service.admin, "a")
    await service.admin.settled(1)
    _, _, token = receiver.calls[0].headers["authorization"].partition(" ")
    assert (await ask(provider, "/token/revocation", token=token))[0] == 200
    receiver.answers = [Answer(401)]  # it asks the provider, as it should
    await push(service.admin, "b")
    await until_it_waits(service.admin, watch)
    await push(service.admin, "c")
    rows = (await service.admin.get("/api/v1/deliveries")).body["items"]
    assert [row["status"] for row in rows] == ["pending", "pending", "succeeded"]
    calls = len(receiver.calls)
    # Writing oauth2Auth tries again, and the provider says no again; nothing else does.
    tried = await service.admin.patch(watch["selfLink"], {"oauth2Auth": {"scope": provider.oauth2["scope"]}})
    assert tried.body["statusReason"] is None
    await until_it_waits(service.admin, watch)
    renamed = await service.admin.patch(watch["selfLink"], {"name": "no business of OAuth2"})
    assert renamed.body["statusReason"] == "authorization"
    assert len(receiver.calls) == calls
    await authorize(service.admin, browser, watch)
    rows = await service.admin.settled(3)
    assert [row["status"] for row in rows] == ["succeeded"] * 3
    detail = await service.admin.get(f"/api/v1/deliveries/{rows[1]['id']}")
    assert "invalid_grant" in str(detail.body["attempts"])


async def test_a_stolen_code_is_worth_nothing_without_the_verifier_and_ends_the_consent_with_it(
    service, provider, browser, receiver
):
    watch = await service.admin.watch(receiver.url, oauth2Auth=provider.oauth2)
    url = await begin(service.admin, watch)
    (row,) = await service.running.services.store.fetch(Query("test.flow", "SELECT sealed FROM authorizations"))
    verifier, *_ = json.loads(
        Vault([running.SECRET_KEY]).open(row["sealed"])
    )  # only who holds the encryption key has it
    answer = await browser.consent(url)
    assert (await back(service.admin, answer)).status == 200
    stolen = {"grant_type": "authorization_code", "code": answer["code"], "redirect_uri": answer["to"]}
    refused = await ask(provider, "/token", **stolen, code_verifier="x" * 43)
    assert (refused[0], refused[1]["error"]) == (400, "invalid_grant")
    await push(service.admin, "a")
    assert (await service.admin.settled(1))[0]["status"] == "succeeded"
    refused = await ask(provider, "/token", **stolen, code_verifier=verifier)
    assert (refused[0], refused[1]["error"]) == (400, "invalid_grant")
    receiver.answers = [Answer(401)]
    await push(service.admin, "b")
    await until_it_waits(service.admin, watch)
    assert (await service.admin.get("/api/v1/deliveries")).body["items"][0]["status"] == "pending"


async def until_it_waits(admin: Client, watch: Any) -> None:
    async with asyncio.timeout(5):
        while (await shown(admin, watch))["statusReason"] != "authorization":
            await asyncio.sleep(0.01)


async def ask(provider: Provider, path: str, **form: str) -> tuple[int, Any]:
    """What the provider answers to the client."""
    headers = {"Authorization": basic(BasicAuth(providers.CLIENT["clientId"], providers.CLIENT["clientSecret"]))}
    async with (
        aiohttp.ClientSession() as session,
        session.post(provider.url + path, data=form, headers=headers) as answer,
    ):
        return answer.status, await answer.json() if answer.content_type == "application/json" else None
