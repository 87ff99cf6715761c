"""OAuth2 through the whole service, with a real authorisation server and a receiver that checks the token."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from tests.support import running
from tests.support.authserver import AuthServer
from tests.support.receiver import Answer, Call, Receiver

TYPE = "/api/v1/resources/agendize.account"


@pytest.fixture
def authority():
    with AuthServer() as server:
        yield server


def guarded(authority: AuthServer):
    """The answers of a receiver that takes the newest token only."""

    def answer(call: Call) -> Answer:
        return Answer(200 if call.headers.get("authorization") == f"Bearer {authority.issued[-1]}" else 401)

    return answer


async def push(service: running.Service, object_id: str) -> None:
    assert (await service.admin.put(f"{TYPE}/{object_id}", {"organization": "x"})).status == 201


@pytest.mark.parametrize(("client_auth", "method"), [("basic", "client_secret_basic"), ("post", "client_secret_post")])
async def test_client_credentials_fetch_one_token_for_all_deliveries(service, receiver, authority, client_auth, method):
    authority.add_client("crm", "s:ecr%t/é", method)
    receiver.answers = guarded(authority)
    await service.admin.watch(
        receiver.url,
        oauth2Auth={
            "grantType": "client_credentials",
            "clientId": "crm",
            "clientSecret": "s:ecr%t/é",
            "accessTokenUrl": authority.token_url,
            "clientAuth": client_auth,
            "scope": "read",
        },
    )
    for number in range(20):
        await push(service, f"a{number}")
    rows = await service.admin.settled(20)
    assert {row["status"] for row in rows} == {"succeeded"}
    assert len(authority.asked) == 1


async def test_a_rotated_refresh_token_is_stored_and_used_after_a_restart(
    tmp_path: Path, receiver: Receiver, authority
):
    first = authority.issue(authority.add_client("crm", "the-client-secret"))
    receiver.answers = guarded(authority)
    async with running.service(tmp_path) as service:
        watch = await service.admin.watch(
            receiver.url,
            oauth2Auth={
                "clientId": "crm",
                "clientSecret": "the-client-secret",
                "refreshToken": first,
                "accessTokenUrl": authority.token_url,
            },
        )
        assert set(watch["secretsSet"]) == {"/oauth2Auth/clientSecret", "/oauth2Auth/refreshToken"}
        await push(service, "a")
        await service.admin.settled(1)
    assert first not in authority.good_refresh_tokens()
    async with running.service(tmp_path) as service:
        await push(service, "b")
        rows = await service.admin.settled(2)
        assert {row["status"] for row in rows} == {"succeeded"}
    second = authority.asked[-1]["refresh_token"]
    assert second != first
    stored = "\n".join(sqlite3.connect(tmp_path / "watch.db").iterdump())
    for secret in (first, second, *authority.good_refresh_tokens(), *authority.issued, "the-client-secret"):
        assert secret not in stored


async def test_a_token_that_the_receiver_no_longer_takes_is_replaced_within_the_same_attempt(
    service, receiver, authority
):
    authority.add_client("crm", "the-client-secret")
    receiver.answers = guarded(authority)
    await service.admin.watch(
        receiver.url,
        retry={"schedule": []},
        oauth2Auth={
            "grantType": "client_credentials",
            "clientId": "crm",
            "clientSecret": "the-client-secret",
            "accessTokenUrl": authority.token_url,
        },
    )
    await push(service, "a")
    await service.admin.settled(1)
    authority.issued.append("revoked everything before")
    await push(service, "b")
    rows = await service.admin.settled(2)
    assert [row["status"] for row in rows] == ["succeeded", "succeeded"]
    assert len(authority.asked) == 2


async def test_a_refused_token_fails_the_attempt_with_what_the_server_said(service, receiver, authority):
    authority.add_client("crm", "right")
    await service.admin.watch(
        receiver.url,
        retry={"schedule": []},
        oauth2Auth={
            "grantType": "client_credentials",
            "clientId": "crm",
            "clientSecret": "wrong-secret",
            "accessTokenUrl": authority.token_url,
        },
    )
    await push(service, "a")
    (row,) = await service.admin.settled(1)
    assert (row["status"], row["reason"]) == ("failed", "token")
    detail = await service.admin.get(f"/api/v1/deliveries/{row['id']}")
    assert "invalid_client" in detail.body["response"]["errorMessage"]
    assert "wrong-secret" not in detail.text
    assert receiver.calls == []


async def test_without_a_refresh_token_deliveries_wait_until_there_is_one(service, receiver, authority):
    client = authority.add_client("crm", "the-client-secret")
    receiver.answers = guarded(authority)
    oauth2 = {"clientId": "crm", "clientSecret": "the-client-secret", "accessTokenUrl": authority.token_url}
    watch = await service.admin.watch(receiver.url, oauth2Auth=oauth2)
    assert (watch["status"], watch["statusReason"]) == ("enabled", "authorization")
    await push(service, "a")
    (row,) = (await service.admin.get("/api/v1/deliveries")).body["items"]
    assert row["status"] == "pending"
    changed = await service.admin.patch(
        f"/api/v1/watches/{watch['id']}", {"oauth2Auth": {"refreshToken": authority.issue(client)}}
    )
    assert changed.body["statusReason"] is None
    (row,) = await service.admin.settled(1)
    assert row["status"] == "succeeded"
