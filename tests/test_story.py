"""One change, end to end: written over HTTP, detected, shaped, signed, delivered, verified by others' code, logged."""

from __future__ import annotations

import json
from pathlib import Path

import jsonpatch
import pytest
from standardwebhooks import Webhook

from tests.support.receiver import Receiver
from tests.support.running import ACCOUNTS, Client

pytestmark = pytest.mark.databases

CORPUS = Path(__file__).parent / "corpus" / "accounts.ndjson"


async def test_an_account_changes_and_whoever_watches_it_is_told(admin: Client, receiver: Receiver):
    registered = await admin.post(
        f"{ACCOUNTS}/watch",
        {
            "address": f"{receiver.url}/hooks/accounts",
            "name": "CRM",
            "basicAuth": {"username": "crm", "password": "s3cret-pässword"},
            "addPreviousData": "true",
            "signature": {"enabled": True},
        },
    )
    assert registered.status == 201, registered.text
    watch = registered.body
    secret = watch["signature"]["secret"]
    assert "/basicAuth/password" in watch["secretsSet"]
    assert "s3cret" not in registered.text

    made = await admin.post(
        ACCOUNTS, {"email": "zoë@example.com", "profile": {"id": "p1"}, "firstName": "Zoë", "lastName": "Ångström"}
    )
    assert made.status in {200, 201}, made.text
    account = made.body
    changed = await admin.put(f"{ACCOUNTS}/{account['id']}", {"lastName": "Müller", "password": "never stored"})
    assert changed.status == 200, changed.text
    unchanged = await admin.put(f"{ACCOUNTS}/{account['id']}", {"lastName": "Müller"})
    assert unchanged.status == 200
    deleted = await admin.delete(f"{ACCOUNTS}/zoë@example.com")
    assert deleted.status == 204

    created, updated, gone = await receiver.wait_for(3)
    for call in (created, updated, gone):
        Webhook(secret).verify(call.body, dict(call.headers))
        assert call.headers["authorization"].startswith("Basic ")
        assert call.headers["ce-source"] == ACCOUNTS
        assert call.headers["ce-subject"] == account["id"]
        assert call.headers["ce-specversion"] == "1.0"
    assert [call.headers["ce-type"] for call in receiver.calls] == [
        f"agendize.account.{event}" for event in ("created", "updated", "deleted")
    ]
    assert [call.headers["ce-sequence"] for call in receiver.calls] == ["1", "2", "3"]

    body = created.json()
    assert {name: body[name] for name in account} == account
    assert body["previousData"] is None
    assert body["changes"] == []
    body = updated.json()
    changes, previous = body.pop("changes"), body.pop("previousData")
    assert changes == [{"op": "replace", "path": "/lastName", "value": "Müller", "oldValue": "Ångström"}]
    assert jsonpatch.apply_patch(previous, changes) == body
    assert gone.json()["previousData"] == body

    rows = await admin.settled(3)
    assert [row["objectEvent"] for row in rows] == ["created", "updated", "deleted"]
    assert {row["status"] for row in rows} == {"succeeded"}
    shown = await admin.get(f"/api/v1/deliveries/{updated.headers['webhook-id']}")
    assert shown.body["request"]["headers"]["authorization"] == "***"
    assert json.loads(shown.body["request"]["body"]) == updated.json()
    assert shown.body["response"]["statusCode"] == 200
    assert "s3cret" not in shown.text
    assert "never stored" not in shown.text


async def test_every_account_of_the_corpus_arrives_as_it_was_pushed(admin: Client, receiver: Receiver):
    await admin.watch(receiver.url)
    accounts = [json.loads(line) for line in CORPUS.read_text().strip().split("\n")][:200]  # names hold U+2028
    for account in accounts:
        pushed = await admin.put(f"/api/v1/resources/agendize.account/{account['id']}", account)
        assert pushed.status == 201, pushed.text
    calls = await receiver.wait_for(len(accounts), timeout=30)
    arrived = {call.headers["ce-subject"]: call.json() for call in calls}
    for account in accounts:
        account.pop("ssoToken", None)
        assert arrived[account["id"]] == account
