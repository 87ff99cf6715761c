from __future__ import annotations

import json

import pytest


@pytest.fixture
def served(shell):
    with shell.serving() as served:
        yield served


def test_a_key_is_made_listed_used_and_revoked(shell, served):
    made = shell.call("keys", "create", "the console", "--role", "operator", WATCH_URL=served.url)
    assert made.returncode == 0
    key = made.stdout.strip()
    assert key.startswith("wwk_")
    assert "shown this once" in made.stderr

    listed = shell.call("keys", "list", "--json", "--url", served.url, WATCH_API_KEY=key)
    rows = [json.loads(line) for line in listed.stdout.splitlines()]
    (row,) = [row for row in rows if row["name"] == "the console"]
    assert row["role"] == "operator"
    assert key not in listed.stdout

    table = shell.call("keys", "list", "--url", served.url)
    assert row["id"] in table.stdout
    assert "\x1b" not in table.stdout

    refused = shell.call("keys", "revoke", row["id"], "--url", served.url, "--key", key)
    assert refused.returncode == 1
    assert "403" in refused.stderr

    assert shell.call("keys", "revoke", row["id"], "--url", served.url).stdout == f"revoked {row['id']}\n"
    gone = shell.call("keys", "list", "--url", served.url, "--key", key)
    assert gone.returncode == 1
    assert gone.stderr == (
        "webhook-watch: error: GET /api/v1/apiKeys was answered 401: this API key is unknown or was revoked\n"
    )


def test_a_key_of_another_tenant_is_told_as_json(shell, served):
    made = shell.call("keys", "create", "ci", "--role", "agent", "--tenant", "acme", "--json", "--url", served.url)

    assert made.returncode == 0
    shown = json.loads(made.stdout)
    assert (shown["tenant"], shown["role"], shown["key"][:4]) == ("acme", "agent", "wwk_")


def test_what_the_service_refuses_is_said(shell, served):
    for name in ("", "a\x1b[31m"):
        refused = shell.call("keys", "create", name, "--role", "agent", "--url", served.url)
        assert refused.returncode == 1
        assert "was answered 422: /name: must " in refused.stderr
    tls = shell.call("keys", "--url", served.url.replace("http:", "https:"))
    assert tls.stderr.endswith("no TLS is spoken there; is it http://?\n")
    done = shell.call("keys", "create", "ci", "--role", "agent", "--tenant", "Not A Name", "--url", served.url)

    assert done.returncode == 1
    assert "422: /tenant: a tenant is 1 to 63 lower-case letters" in done.stderr
