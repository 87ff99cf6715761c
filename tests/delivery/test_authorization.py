"""Beginning an authorization, and every way in which one comes to nothing: each says so, and stores nothing."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from service import clock, errors
from service.delivery import send
from service.delivery.egress import Guard
from service.store.sql import Query
from service.vault import Vault
from service.watches.authorization import LIFETIME, Authorizations
from tests.support import running
from tests.support.receiver import Answer, Receiver
from tests.support.running import Client, Service

PUBLIC = "https://watch.example.com/base"
TOKENS = {"access_token": "an-access-token", "token_type": "Bearer", "refresh_token": "a-refresh-token"}


@pytest.fixture
async def service(tmp_path: Path) -> AsyncIterator[Service]:
    async with running.service(tmp_path, WATCH_PUBLIC_URL=PUBLIC) as service:
        yield service


@pytest.fixture
async def endpoint() -> AsyncIterator[Receiver]:
    """A token endpoint, as far as these tests need one."""
    async with Receiver() as endpoint:
        endpoint.answers = lambda _: granting()
        yield endpoint


def granting(**members: Any) -> Answer:
    answer = {name: value for name, value in {**TOKENS, **members}.items() if value is not None}
    return Answer(200, {"content-type": "application/json"}, json.dumps(answer).encode())


async def waiting(admin: Client, endpoint: Receiver, **oauth2: Any) -> Any:
    """A watch that waits for its owner's authorization."""
    given = {
        "clientId": "crm",
        "clientSecret": "the-client-secret",
        "authUrl": "https://login.example.com/auth?prompt=consent",
        "accessTokenUrl": f"{endpoint.url}/token",
        "scope": "read offline_access",
        **oauth2,
    }
    watch = await admin.watch("http://127.0.0.1:9/", name="<b>CRM</b>", oauth2Auth=given)
    assert watch["statusReason"] == "authorization"
    return watch


async def begun(admin: Client, watch: Any) -> dict[str, str]:
    """The parameters of the URL that an authorization begins with."""
    answer = await admin.get(f"{watch['selfLink']}/oauth2/authorize")
    assert answer.status == 200, answer.text
    assert answer.headers["Cache-Control"] == "no-store"
    query = parse_qs(urlsplit(answer.body["url"]).query)
    assert all(len(values) == 1 for values in query.values())
    return {name: values[0] for name, values in query.items()}


async def back(admin: Client, **parameters: str) -> running.Answer:
    """What the browser shows when it comes back with these; it has no API key."""
    return await admin.with_key(None).get("/oauth2/callback", params=parameters)


async def still_waits(admin: Client, watch: Any) -> bool:
    shown = (await admin.get(watch["selfLink"])).body
    return shown["statusReason"] == "authorization" and "/oauth2Auth/refreshToken" not in shown["secretsSet"]


async def stored(service: Service) -> str:
    """What the database holds of watches and their authorizations."""
    tables = [Query("test.dump", f"SELECT * FROM {table}") for table in ("watches", "authorizations")]
    rows = [row for table in tables for row in await service.running.services.store.fetch(table)]
    assert len(rows) >= 2
    return "\n".join(str(tuple(row)) for row in rows)


async def test_the_url_asks_for_a_code_with_pkce_and_keeps_the_providers_own_parameters(service, endpoint):
    watch = await waiting(
        service.admin, endpoint, authUrl="https://login.example.com/auth?prompt=consent&response_type=token&state=fixed"
    )
    query = await begun(service.admin, watch)
    assert (query["response_type"], query["client_id"], query["prompt"]) == ("code", "crm", "consent")
    assert (query["scope"], query["redirect_uri"]) == ("read offline_access", f"{PUBLIC}/oauth2/callback")
    assert (query["code_challenge_method"], len(query["code_challenge"])) == ("S256", 43)
    again = await begun(service.admin, watch)
    assert len({query["state"], again["state"], "fixed"}) == 3
    assert query["code_challenge"] != again["code_challenge"]


async def test_a_scope_that_the_url_of_the_provider_brings_stays_unless_the_watch_has_one(service, endpoint):
    url = "https://login.example.com/auth?scope=from%20url"
    for scope, asked in ((None, "from url"), ("its own", "its own")):
        watch = await waiting(service.admin, endpoint, authUrl=url, scope=scope)
        assert (await begun(service.admin, watch))["scope"] == asked


async def test_a_watch_whose_receiver_must_consent_too_is_not_said_to_deliver_already(service, endpoint):
    watch = await waiting(service.admin, endpoint)
    await service.admin.patch(watch["selfLink"], {"verification": "webhook-origin"})
    query = await begun(service.admin, watch)
    done = await back(service.admin, state=query["state"], code="the-code")
    assert done.status == 200
    assert "Its receiver is asked for consent next" in done.text


async def test_the_code_is_exchanged_once_and_the_refresh_token_is_sealed(service, endpoint):
    watch = await waiting(service.admin, endpoint)
    query = await begun(service.admin, watch)
    before = await stored(service)
    done = await back(service.admin, state=query["state"], code="the-code")
    assert done.status == 200, done.text
    (call,) = endpoint.calls
    form = {name: values[0] for name, values in parse_qs(call.body.decode()).items()}
    verifier = form.pop("code_verifier")
    assert form == {
        "grant_type": "authorization_code",
        "code": "the-code",
        "redirect_uri": f"{PUBLIC}/oauth2/callback",
    }
    assert call.headers["authorization"].startswith("Basic ")
    shown = (await service.admin.get(watch["selfLink"])).body
    assert shown["statusReason"] is None
    assert "/oauth2Auth/refreshToken" in shown["secretsSet"]
    for secret in (query["state"], verifier, "the-code", TOKENS["refresh_token"], "the-client-secret"):
        assert secret not in before + await stored(service)


async def test_the_page_is_safe_to_show(service, endpoint):
    watch = await waiting(service.admin, endpoint)
    query = await begun(service.admin, watch)
    done = await back(service.admin, state=query["state"], code="the-code")
    assert done.headers["Content-Type"] == "text/html; charset=utf-8"
    assert done.headers["Cache-Control"] == "no-store"
    assert done.headers["Referrer-Policy"] == "no-referrer"
    assert "default-src 'none'" in done.headers["Content-Security-Policy"]
    assert "frame-ancestors 'none'" in done.headers["Content-Security-Policy"]
    assert "&lt;b&gt;CRM&lt;/b&gt;" in done.text
    assert "<script" not in done.text
    assert "://" not in done.text


@pytest.mark.parametrize(
    "parameters",
    [
        {},
        {"code": "<script>alert(1)</script>"},
        {"state": "", "code": "c"},
        {"state": "<script>alert(1)</script>", "code": "c"},
        {"state": "never-given-out", "error": "<script>alert(1)</script>", "error_description": "call 555"},
    ],
)
async def test_a_state_that_was_never_given_out_is_refused_and_nothing_of_it_is_shown(service, endpoint, parameters):
    watch = await waiting(service.admin, endpoint)
    refused = await back(service.admin, **parameters)
    assert refused.status == 400
    assert "not one that this service gave out" in refused.text
    assert "alert" not in refused.text
    assert "555" not in refused.text
    assert endpoint.calls == []
    assert await still_waits(service.admin, watch)


async def test_a_parameter_that_is_there_twice_is_refused_and_uses_nothing_up(service, endpoint):
    watch = await waiting(service.admin, endpoint)
    query = await begun(service.admin, watch)
    doubled = await service.admin.get(f"/oauth2/callback?state={query['state']}&code=a&code=b")
    assert doubled.status == 400
    assert "twice" in doubled.text
    assert (await back(service.admin, state=query["state"], code="a")).status == 200


async def test_a_look_at_the_address_without_opening_it_uses_nothing_up(service, endpoint):
    watch = await waiting(service.admin, endpoint)
    query = await begun(service.admin, watch)
    looked = await service.admin.call("HEAD", f"/oauth2/callback?state={query['state']}&code=a")
    assert looked.status == 405
    assert (await back(service.admin, state=query["state"], code="a")).status == 200


async def test_a_state_is_taken_once_even_by_two_who_come_at_the_same_time(service, endpoint):
    watch = await waiting(service.admin, endpoint)
    query = await begun(service.admin, watch)
    both = await asyncio.gather(*(back(service.admin, state=query["state"], code="the-code") for _ in range(2)))
    assert sorted(answer.status for answer in both) == [200, 409]
    replayed = await back(service.admin, state=query["state"], code="another-code")
    assert replayed.status == 409
    assert "has come before" in replayed.text
    assert len(endpoint.calls) == 1


@pytest.mark.parametrize(("later", "passes"), [(LIFETIME - 10_000, True), (LIFETIME + 1, False)])
async def test_any_replica_finishes_what_another_began_until_the_state_expires(service, endpoint, later, passes):
    watch = await waiting(service.admin, endpoint)
    query = await begun(service.admin, watch)
    services = service.running.services
    async with send.session(Guard(["127.0.0.0/8"])) as client:
        replica = Authorizations(
            services.store,
            services.registrar,
            Vault([running.SECRET_KEY]),
            client,
            PUBLIC,
            now=lambda: clock.now_ms() + later,
        )
        answer = {"state": query["state"], "code": "the-code"}
        if passes:
            assert (await replica.finish(answer)).status_reason is None
            return
        with pytest.raises(errors.BadRequest, match="good for 10 minutes"):
            await replica.finish(answer)
    assert (await back(service.admin, **answer)).status == 409
    assert endpoint.calls == []
    assert await still_waits(service.admin, watch)


async def test_a_denied_consent_is_told_and_the_watch_goes_on_waiting(service, endpoint):
    watch = await waiting(service.admin, endpoint)
    query = await begun(service.admin, watch)
    denied = await back(
        service.admin, state=query["state"], error="access_denied", error_description="<i>not</i> today"
    )
    assert denied.status == 403
    assert "consent was not given (access_denied: &lt;i&gt;not&lt;/i&gt; today)" in denied.text.lower()
    assert (await back(service.admin, state=query["state"], code="after all")).status == 409
    assert endpoint.calls == []
    assert await still_waits(service.admin, watch)


async def test_a_provider_that_refuses_is_told_with_what_it_said(service, endpoint):
    watch = await waiting(service.admin, endpoint)
    query = await begun(service.admin, watch)
    refused = await back(service.admin, state=query["state"], error="invalid_scope")
    assert refused.status == 502
    assert "invalid_scope" in refused.text
    query = await begun(service.admin, watch)
    empty = await back(service.admin, state=query["state"])
    assert empty.status == 400
    assert "neither a code nor an error" in empty.text
    assert await still_waits(service.admin, watch)


async def test_a_provider_that_gives_no_refresh_token_is_told_how_to_be_asked_for_one(service, endpoint):
    endpoint.answers = lambda _: granting(refresh_token=None)
    watch = await waiting(service.admin, endpoint)
    query = await begun(service.admin, watch)
    refused = await back(service.admin, state=query["state"], code="the-code")
    assert refused.status == 502
    assert "offline_access" in refused.text
    assert await still_waits(service.admin, watch)


async def test_a_token_endpoint_that_answers_nonsense_or_not_at_all_is_told_without_secrets(service, endpoint, caplog):
    watch = await waiting(service.admin, endpoint)
    said = b'{"error":"invalid_client","error_description":"bad the-client-secret or the-code"}'
    for answer, expected in (
        (Answer(401, {}, said), "invalid_client: bad *** or ***"),
        (Answer(200, {}, b"<html>"), "no JSON object"),
        (Answer(302, {"location": "http://elsewhere.example"}), "redirect"),
    ):
        endpoint.answers = [answer]
        query = await begun(service.admin, watch)
        refused = await back(service.admin, state=query["state"], code="the-code")
        assert refused.status == 502
        assert expected in refused.text
    await endpoint.stop()
    query = await begun(service.admin, watch)
    refused = await back(service.admin, state=query["state"], code="the-code")
    assert refused.status == 502
    assert "connection refused" in refused.text
    assert watch["id"] in caplog.text
    for secret in (query["state"], "the-code", "the-client-secret"):
        assert secret not in refused.text
        assert secret not in caplog.text
    assert await still_waits(service.admin, watch)


async def test_the_egress_guard_stands_before_the_token_endpoint(tmp_path, endpoint):
    async with running.service(tmp_path, WATCH_PUBLIC_URL=PUBLIC, WATCH_EGRESS_ALLOW="10.9.8.7/32") as service:
        watch = await waiting(service.admin, endpoint)
        query = await begun(service.admin, watch)
        refused = await back(service.admin, state=query["state"], code="the-code")
        assert refused.status == 502
        assert "127.0.0.1 is blocked" in refused.text
        assert endpoint.calls == []


@pytest.mark.parametrize(
    ("iss", "status"), [("https://login.example.com", 200), ("https://evil.example.com", 400), (None, 400)]
)
async def test_an_answer_of_another_issuer_gets_no_code(service, endpoint, iss, status):
    watch = await waiting(service.admin, endpoint, issuer="https://login.example.com")
    query = await begun(service.admin, watch)
    given = {} if iss is None else {"iss": iss}
    answer = await back(service.admin, state=query["state"], code="the-code", **given)
    assert answer.status == status
    assert len(endpoint.calls) == (1 if status == 200 else 0)
    assert await still_waits(service.admin, watch) == (status != 200)


@pytest.mark.parametrize(
    "change",
    [
        {"oauth2Auth": {"scope": "everything"}},
        {"oauth2Auth": {"clientSecret": "another"}},
        {"oauth2Auth": {"authUrl": "https://elsewhere.example.com/auth"}},
        {"oauth2Auth": None},
    ],
)
async def test_consent_to_other_settings_than_the_watch_has_now_is_worthless(service, endpoint, change):
    watch = await waiting(service.admin, endpoint)
    query = await begun(service.admin, watch)
    assert (await service.admin.patch(watch["selfLink"], change)).status == 200
    refused = await back(service.admin, state=query["state"], code="the-code")
    assert refused.status == 409
    assert "changed meanwhile" in refused.text
    assert endpoint.calls == []


async def test_changes_that_are_no_business_of_oauth2_leave_an_authorization_alone(service, endpoint):
    watch = await waiting(service.admin, endpoint)
    query = await begun(service.admin, watch)
    assert (await service.admin.patch(watch["selfLink"], {"name": "another", "status": "disabled"})).status == 200
    done = await back(service.admin, state=query["state"], code="the-code")
    assert done.status == 200
    assert "It is disabled" in done.text
    assert (await service.admin.get(watch["selfLink"])).body["status"] == "disabled"


async def test_settings_that_change_while_the_code_is_exchanged_get_no_token(service, endpoint):
    gate = asyncio.Event()
    endpoint.answers = lambda _: Answer(200, {}, json.dumps(TOKENS).encode(), gate=gate)
    watch = await waiting(service.admin, endpoint)
    query = await begun(service.admin, watch)
    coming = asyncio.create_task(back(service.admin, state=query["state"], code="the-code"))
    await endpoint.wait_for(1)
    assert (await service.admin.patch(watch["selfLink"], {"oauth2Auth": {"clientId": "other"}})).status == 200
    gate.set()
    assert (await coming).status == 409
    assert await still_waits(service.admin, watch)


async def test_a_watch_that_was_deleted_meanwhile_is_not_authorized(service, endpoint):
    watch = await waiting(service.admin, endpoint)
    query = await begun(service.admin, watch)
    assert (await service.admin.delete(watch["selfLink"])).status == 204
    refused = await back(service.admin, state=query["state"], code="the-code")
    assert refused.status == 409
    assert "was deleted" in refused.text
    assert endpoint.calls == []


@pytest.mark.parametrize(
    ("members", "names"),
    [
        ({}, "has no oauth2Auth"),
        ({"oauth2Auth": {"clientId": "crm", "accessTokenUrl": "https://login.example.com/token"}}, "authUrl"),
        (
            {
                "oauth2Auth": {
                    "clientId": "crm",
                    "clientSecret": "s",
                    "grantType": "client_credentials",
                    "accessTokenUrl": "https://login.example.com/token",
                }
            },
            "client_credentials",
        ),
    ],
)
async def test_a_watch_that_cannot_be_authorized_says_what_it_lacks(service, members, names):
    watch = await service.admin.watch("https://crm.example.com/", **members)
    refusal = (await service.admin.get(f"{watch['selfLink']}/oauth2/authorize")).problem(409)
    assert names in refusal["detail"]


async def test_without_a_public_url_the_setting_is_named(tmp_path, endpoint):
    async with running.service(tmp_path) as service:
        watch = await waiting(service.admin, endpoint)
        refusal = (await service.admin.get(f"{watch['selfLink']}/oauth2/authorize")).problem(409)
        assert "WATCH_PUBLIC_URL" in refusal["detail"]
        assert "/oauth2/callback" in refusal["detail"]


async def test_only_an_admin_of_its_tenant_begins_an_authorization(service, endpoint):
    watch = await waiting(service.admin, endpoint)
    path = f"{watch['selfLink']}/oauth2/authorize"
    (await (await service.admin.key_of("operator")).get(path)).problem(403)
    (await (await service.admin.key_of("agent")).get(path)).problem(403)
    (await (await service.admin.key_of("admin", "other")).get(path)).problem(404)
    (await service.admin.with_key(None).get(path)).problem(401)


async def test_what_is_sealed_of_an_authorization_outlives_a_rotation_of_the_encryption_key(tmp_path, endpoint):
    async with running.service(tmp_path, WATCH_PUBLIC_URL=PUBLIC) as service:
        watch = await waiting(service.admin, endpoint)
        query = await begun(service.admin, watch)
    new = "another-encryption-key-for-the-tests"
    for keys in (f"{new},{running.SECRET_KEY}", new):
        async with running.service(tmp_path, WATCH_PUBLIC_URL=PUBLIC, WATCH_SECRET_KEY=keys) as service:
            assert (await service.admin.get(watch["selfLink"])).status == 200
    async with running.service(tmp_path, WATCH_PUBLIC_URL=PUBLIC, WATCH_SECRET_KEY=new) as service:
        assert (await back(service.admin, state=query["state"], code="the-code")).status == 200
