"""Following the log from outside: what a line says, and that none is lost or repeated when the service restarts."""

from __future__ import annotations

import io
import json
import urllib.request

from rich.console import Console

from service.cli import lines
from service.cli.lines import Entry
from tests.cli.conftest import KEY, interrupt

ACCOUNTS = "/agendize/api/2.0/resellers/accounts"


def call(served, method, path, body):
    request = urllib.request.Request(
        served.url + path,
        json.dumps(body).encode(),
        {"Authorization": f"Bearer {KEY}", "Content-Type": "application/json"},
        method=method,
    )
    with urllib.request.urlopen(request) as answer:
        return json.load(answer)


def watch(served, name):
    """A watch whose callbacks fail at once, since no hole is open to this machine."""
    return call(
        served,
        "POST",
        f"{ACCOUNTS}/watch",
        {"address": "http://127.0.0.1:9/hook", "name": name, "retry": {"schedule": []}},
    )["id"]


def insert(served, number):
    return call(served, "POST", ACCOUNTS, {"email": f"user{number}@example.com", "profile": {"id": "1"}})["id"]


def test_it_goes_on_after_a_restart_without_a_gap_and_without_repeats(shell):
    with shell.serving() as served:
        watch(served, "restart")
        port = int(served.url.rpartition(":")[2])
        with shell.started("tail", "--json", "--since-id", "0", "--url", served.url) as tail:
            accounts = [insert(served, 1)]
            rows = [json.loads(tail.stdout.readline()) for _ in range(2)]
            served.kill()
            served.wait()
            assert "connection lost, reconnecting after event 2" in tail.stderr.readline()
            with shell.serving(port) as again:
                accounts.append(insert(again, 2))
                rows += [json.loads(tail.stdout.readline()) for _ in range(2)]
                assert "connected again" in tail.stderr.readline()
                accounts.append(insert(again, 3))
                rows += [json.loads(tail.stdout.readline()) for _ in range(2)]
                assert interrupt(tail) == 130
                assert tail.stdout.read() == ""
                assert "Traceback" not in tail.stderr.read()

    assert [row["objectId"] for row in rows] == [account for account in accounts for _ in range(2)]
    assert [(row["kind"], row["status"]) for row in rows] == [("created", "pending"), ("attempt", "failed")] * 3
    assert [row["seq"] for row in rows] == sorted({row["seq"] for row in rows})


def test_filters_choose_and_lines_are_plain_where_there_is_no_terminal(shell):
    with shell.serving() as served:
        watch(served, "first")
        second = watch(served, "second")
        account = insert(served, 1)
        with shell.started(
            "tail", "--since-id", "0", "--watch", second, "--status", "failed", "--url", served.url
        ) as tail:
            line = tail.stdout.readline()
    assert "\x1b" not in line
    words = line.split()
    assert words[2:4] == ["failed", "created"]
    assert "second" in words
    assert f"agendize.account/{account}" in words
    assert "blocked:" in words


def test_a_key_that_may_not_read_the_log_ends_it(shell):
    with shell.serving() as served:
        agent = shell.call("keys", "create", "agent", "--role", "agent", "--url", served.url).stdout.strip()
        unknown = shell.call("tail", "--url", served.url, "--key", "not-a-key-of-this-service")
        forbidden = shell.call("tail", "--url", served.url, "--key", agent)

    assert (unknown.returncode, forbidden.returncode) == (1, 1)
    assert unknown.stderr.startswith("webhook-watch: error: GET /api/v1/deliveries/stream was answered 401: ")
    assert "was answered 403: " in forbidden.stderr


ROW = {
    "kind": "attempt",
    "id": "dlv_1",
    "status": "pending",
    "reason": "status",
    "objectEvent": "updated",
    "objectType": "agendize.account",
    "objectId": "acc_1",
    "watch": {"id": "wch_1", "name": "CRM"},
    "created": "2026-03-01T02:59:59.000Z",
    "sent": "2026-03-01T03:00:00.012Z",
    "duration": 7,
    "nextAttempt": "2026-03-01T03:00:05.000Z",
    "response": {"statusCode": 503, "errorMessage": "answered 503"},
}
CREATED = {"kind": "created", "reason": None, "sent": None, "duration": None, "response": None, "nextAttempt": None}


def printed(*rows, **options):
    page = io.StringIO()
    show = lines.Printer(Console(file=page, width=200, markup=False, **options))
    for number, row in enumerate(rows):
        show(Entry(str(number), row))
    return page.getvalue().splitlines()


def test_a_line_says_when_what_to_whom_and_why_not():
    (line,) = printed(ROW)

    assert " ".join(line.split()) == (
        "03-01 03:00:00.012 pending updated 503 7 ms CRM agendize.account/acc_1 dlv_1 "
        "status: answered 503 next attempt 03:00:05"
    )


def test_lines_are_aligned_whatever_they_have_to_say():
    made, attempted = printed(ROW | CREATED, ROW)

    assert made.index("agendize.account") == attempted.index("agendize.account")
    assert made.index("dlv_1") == attempted.index("dlv_1")
    assert made.startswith("03-01 02:59:59.000")


def test_on_a_terminal_the_status_is_coloured_and_a_name_is_no_markup():
    (line,) = printed(
        ROW | {"watch": {"id": "w", "name": "[red]x[/red]"}}, force_terminal=True, color_system="standard"
    )

    assert "\x1b[33m  pending" in line
    assert "[red]x[/red]" in line
