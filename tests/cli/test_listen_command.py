"""Receiving on a laptop: what is verified, shown, forwarded, and how it behaves badly when it is told to."""

from __future__ import annotations

import json
import socket
import time
import urllib.error
import urllib.request
from contextlib import contextmanager
from datetime import UTC, datetime

import pytest
from standardwebhooks import Webhook

from tests.cli.conftest import KEY, interrupt

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
WHOLE = {
    "id": "acc_1",
    "firstName": "Anna",
    "previousData": {"id": "acc_1", "firstName": "Ann"},
    "changes": [{"op": "replace", "path": "/firstName", "value": "Anna", "oldValue": "Ann"}],
}


@contextmanager
def listening(shell, *options, **variables):
    with shell.started("listen", "--port", "0", *options, PYTHONUNBUFFERED="1", **variables) as process:
        process.url = process.stderr.readline().split("listening on ")[1].split()[0].rstrip(";,")
        yield process


def send(url, body, message_id="dlv_1", *, secret=SECRET, method="POST", **more):
    """The status and the body of the answer."""
    now = datetime.now(UTC)
    headers = {
        "Content-Type": "application/json",
        "webhook-id": message_id,
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": Webhook(secret).sign(message_id, now, body.decode("utf-8", "ignore")),
        "ce-type": "agendize.account.updated",
        "ce-sequence": "2",
        **more,
    }
    request = urllib.request.Request(url, body if method == "POST" else None, headers, method=method)
    try:
        with urllib.request.urlopen(request) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


def call(served, method, path, body):
    request = urllib.request.Request(
        served.url + path,
        json.dumps(body).encode(),
        {"Authorization": f"Bearer {KEY}", "Content-Type": "application/json"},
        method=method,
    )
    with urllib.request.urlopen(request) as answer:
        return json.load(answer)


def test_a_callback_of_the_service_is_verified_failed_once_and_taken_when_it_comes_again(shell):
    with shell.serving(WATCH_EGRESS_ALLOW="127.0.0.0/8") as served:
        with listening(shell, "--json") as first:
            wishes = {"signature": {"enabled": True}, "retry": {"schedule": [0.1]}, "addPreviousData": True}
            watch = call(
                served,
                "POST",
                "/api/v1/watches",
                {"objectType": "agendize.account", "address": f"{first.url}/hook?x=1", **wishes},
            )
            port = first.url.rpartition(":")[2]
            assert "nothing is verified" in first.stderr.readline()
            assert interrupt(first) == 130
        secret = watch["signature"]["secret"]
        options = ("--json", "--fail-first", "1", "--port", port)
        with listening(shell, *options, WATCH_LISTEN_SECRET=secret) as receiver:
            account = {"email": "ann@example.com", "profile": {"id": "1"}}
            made = call(served, "POST", "/agendize/api/2.0/resellers/accounts", account)
            rows = [json.loads(receiver.stdout.readline()) for _ in range(2)]

    assert [(row["verified"], row["attempt"], row["answered"]) for row in rows] == [(True, 1, 503), (True, 2, 204)]
    assert {row["target"] for row in rows} == {"/hook?x=1"}
    body = json.loads(rows[0]["body"])
    assert (body["id"], body["previousData"], body["changes"]) == (made["id"], None, [])
    assert rows[0]["headers"]["webhook-id"] == rows[1]["headers"]["webhook-id"]
    assert rows[1]["received"] >= rows[0]["received"]


def test_headers_body_and_diff_are_shown_and_what_is_not_believed_is_refused(shell):
    with listening(shell, "--secret", SECRET) as receiver:
        answers = [
            send(f"{receiver.url}/hooks", json.dumps(WHOLE).encode()),
            send(receiver.url, json.dumps(WHOLE).encode(), secret="whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"),
            send(receiver.url, b"", **{"webhook-signature": ""}),
        ]
        assert interrupt(receiver) == 130
        shown = receiver.stdout.read()
        assert receiver.stderr.read().strip() == ""

    assert [status for status, _ in answers] == [204, 401, 401]
    first, second, third, _ = shown.split("\n\n")
    lines = [" ".join(line.split()) for line in first.splitlines()]
    assert lines[0].endswith("POST /hooks agendize.account.updated version 2 ✓ signature verified answered 204")
    assert "webhook-id dlv_1" in lines
    assert '"firstName": "Anna"' in lines
    assert 'replace /firstName "Ann" → "Anna"' in lines
    assert "✗ wrong signature: made with another key, or the body was changed  answered 401" in second
    assert "✗ no webhook-signature  answered 401" in third
    assert "no body" in third
    assert "\x1b" not in shown


@pytest.mark.parametrize(
    ("body", "shown"),
    [
        (b"\xff\xfe\x00", "\\xff\\xfe\\x00"),
        (b"<html>\x1b[31m</html>", "<html>\\x1b[31m</html>"),
        (b'{"a": "\\u001b[31m \xc2\x9b"}', '"a": "\\u001b[31m \\u009b"'),
        (b'{"a": 1, "a": 2}', '{"a": 1, "a": 2}'),
        (b"[" * 100_000, "97,952 more bytes; --json shows all of them"),
        (b"[" * 1000, "no JSON: nested more than"),
        (b'["a", null]', '["a", null]'),
        (b'{"changes": [1], "previousData": 1}', '"changes": [1]'),
        (b'{"a": 1e999}', "no JSON"),
    ],
    ids=range(9),
)
def test_no_body_breaks_it_or_steers_the_terminal(listener, body, shown):
    status, _ = send(listener.url, body)

    assert status == 204
    page = ""
    while shown not in page:
        line = listener.stdout.readline()
        assert line, page
        page += line
    assert "\x1b" not in page


@pytest.fixture(scope="module")
def listener(tmp_path_factory):
    from tests.cli.conftest import Shell

    with listening(Shell(tmp_path_factory.mktemp("listener"))) as process:
        yield process


def raw(url, data):
    host, port = url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), 10) as connection:
        connection.sendall(data)
        return connection.makefile("rb").read()


def test_what_is_no_http_is_answered_in_words_and_it_goes_on(shell):
    with listening(shell, "--secret", SECRET) as receiver:
        tls = raw(receiver.url, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n")
        broken = raw(
            receiver.url,
            b"POST / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n\r\n",
        )
        too_long = raw(
            receiver.url,
            b"POST / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 17000000\r\n\r\n" + b"x" * 17_000_000,
        )
        assert send(receiver.url, b"{}")[0] == 204
        assert interrupt(receiver) == 130
        said = receiver.stderr.read()

    assert b" 400 " in tls.splitlines()[0]
    assert b"use http://, not https://" in tls
    assert b" 400 " in broken.splitlines()[0]
    assert b" 413 " in too_long.splitlines()[0]
    assert "Traceback" not in said
    assert "use http://, not https://" in said
    assert "more than 16,777,216 bytes" in said


def test_it_consents_to_the_handshake_of_cloudevents(shell):
    with listening(shell, "--secret", SECRET) as receiver:
        request = urllib.request.Request(
            receiver.url, headers={"WebHook-Request-Origin": "watch.example.com"}, method="OPTIONS"
        )
        with urllib.request.urlopen(request) as answer:
            assert answer.headers["WebHook-Allowed-Origin"] == "watch.example.com"
            assert answer.headers["WebHook-Allowed-Rate"] == "*"
            assert "POST" in answer.headers["Allow"]
        assert "watch.example.com may send callbacks" in receiver.stderr.readline()
        with listening(shell, "--secret", SECRET, "--fail-first", "1", "--forward", receiver.url) as front:
            request.full_url = front.url
            with urllib.request.urlopen(request) as answer:
                assert answer.headers["WebHook-Allowed-Origin"] == "watch.example.com"
            assert "OPTIONS /: forwarded, answered 200" in front.stderr.readline()


def test_a_status_and_a_delay_can_be_wished_for(shell):
    with listening(shell, "--status", "410", "--delay", "0.3", "--secret", SECRET, "--json") as receiver:
        before = time.monotonic()
        assert send(receiver.url, b"{}")[0] == 410
        assert time.monotonic() - before >= 0.3
        assert json.loads(receiver.stdout.readline())["verified"] is True
    with listening(shell, "--status", "500", "--fail-first", "2") as receiver:
        assert [send(receiver.url, b"{}")[0] for _ in range(3)] == [500, 500, 204]
        assert send(receiver.url, b"{}", "dlv_2")[0] == 500


def test_what_is_believed_is_forwarded_and_answered_as_the_other_answers(shell, unused_tcp_port):
    with (
        listening(shell, "--json", "--status", "418") as behind,
        listening(
            shell, "--json", "--secret", SECRET, "--fail-first", "1", "--forward", f"{behind.url}/app?a=1"
        ) as front,
    ):
        answers = [send(f"{front.url}/hook?b=2", b'{"a": 1}', **{"x-own": "1"})[0] for _ in range(2)]
        answers.append(send(front.url, b"{}", "dlv_2", secret="whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA")[0])
        rows = [json.loads(front.stdout.readline()) for _ in range(3)]
        (passed,) = [json.loads(behind.stdout.readline())]
        assert interrupt(behind) == 130
        assert behind.stdout.read() == "", "what is not believed, or fails, is not passed on"
        assert send(front.url, b"{}", "dlv_1")[0] == 502

    assert answers == [503, 418, 503]
    assert [row["answered"] for row in rows] == answers
    assert (passed["target"], passed["body"], passed["headers"]["x-own"]) == ("/app?a=1&b=2", '{"a": 1}', "1")
    assert passed["headers"]["webhook-signature"] == rows[1]["headers"]["webhook-signature"]


def test_what_comes_round_is_not_forwarded_again(shell, unused_tcp_port):
    here = f"http://127.0.0.1:{unused_tcp_port}"
    with listening(shell, "--json", "--port", str(unused_tcp_port), "--forward", here) as receiver:
        assert send(receiver.url, b"{}")[0] == 502
        rows = [json.loads(receiver.stdout.readline()) for _ in range(2)]

    assert [row["answered"] for row in rows] == [502, 502]


def test_it_ends_when_nobody_reads_on(shell):
    with listening(shell, "--json") as receiver:
        receiver.stdout.close()
        assert send(receiver.url, b"{}")[0] == 204
        assert receiver.wait(20) == 1
        assert "Traceback" not in receiver.stderr.read()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--secret", "hunter2"], "it is no key: it begins with whsec_ (shared secret) or whpk_ (public key)"),
        (["--secret", "@nowhere"], "nowhere: No such file or directory"),
        (["--forward", "localhost:3000"], "--forward must be like http://127.0.0.1:3000"),
        (["--forward", "http://x", "--status", "500"], "give --status with --fail-first only"),
        (["--status", "99"], "99 is not in the range"),
        (["--delay", "-1"], "-1.0 is not in the range"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_wish_that_cannot_be_is_refused(shell, arguments, says):
    done = shell.call("listen", *arguments)

    assert done.returncode == 2
    assert says in done.stderr
    assert "hunter2" not in done.stderr


def test_a_port_that_is_taken_is_named(shell):
    with listening(shell) as receiver:
        port = receiver.url.rpartition(":")[2]
        done = shell.run("listen", "--port", port)

    assert done.returncode == 1
    assert done.stderr == f"webhook-watch: error: cannot listen on 127.0.0.1:{port}: Address already in use\n"
