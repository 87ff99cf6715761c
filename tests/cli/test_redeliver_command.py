from __future__ import annotations

import json
import threading
import time
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from tests.cli.conftest import KEY, interrupt

ACCOUNTS = "agendize.account"


class Receiver(ThreadingHTTPServer):
    """Answers every callback with its ``status``, once its ``gate`` is open."""

    def __init__(self) -> None:
        self.status, self.calls, self.gate = 200, 0, threading.Event()
        self.gate.set()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                self.rfile.read(int(self.headers["content-length"]))
                receiver.gate.wait(20)
                receiver.calls += 1
                self.send_response(receiver.status)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        super().__init__(("127.0.0.1", 0), Handler)


@pytest.fixture
def receiver():
    with Receiver() as receiver:
        threading.Thread(target=receiver.serve_forever, daemon=True).start()
        yield receiver
        receiver.gate.set()
        receiver.shutdown()


@pytest.fixture
def served(shell):
    with shell.serving(WATCH_EGRESS_ALLOW="127.0.0.0/8") as served:
        yield served


def watch(shell, served, receiver) -> str:
    """A watch that makes one attempt only; its id."""
    form = shell.directory / "watch.json"
    address = f"http://127.0.0.1:{receiver.server_port}/hooks"
    form.write_text(json.dumps({"objectType": ACCOUNTS, "address": address, "retry": {"schedule": []}}))
    made = shell.call("watch", "create", "--file", str(form), "--json", "--url", served.url)
    assert made.returncode == 0, made.stderr
    return json.loads(made.stdout)["id"]


def write(shell, served, count: int) -> None:
    lines = shell.directory / "accounts.ndjson"
    lines.write_text("\n".join(json.dumps({"id": f"a{number}", "organization": "Acme"}) for number in range(count)))
    assert shell.call("import", ACCOUNTS, str(lines), "--url", served.url).returncode == 0


def until(condition) -> None:
    for _ in range(1000):
        if condition():
            return
        time.sleep(0.02)
    pytest.fail("it did not come to that")


def test_what_failed_is_sent_again_and_the_exit_code_says_whether_it_was_taken(shell, served, receiver):
    id_ = watch(shell, served, receiver)
    receiver.status = 500
    write(shell, served, 12)
    until(lambda: receiver.calls == 12)
    again = shell.call("redeliver", id_, "--url", served.url)
    assert (again.returncode, again.stdout) == (1, "12 sent, 0 taken, 12 failed\n")
    receiver.status = 200
    again = shell.call("redeliver", id_, "--status", "failed", "--json", "--url", served.url)
    job = json.loads(again.stdout)
    assert (again.returncode, job["state"], job["succeeded"], job["total"]) == (0, "succeeded", 12, 12)
    again = shell.call("redeliver", id_, "--url", served.url)
    assert (again.returncode, again.stdout) == (0, "nothing to send\n")
    again = shell.call(
        "redeliver", id_, "--status", "succeeded", "--until", "2020-01-01T00:00:00Z", "--url", served.url
    )
    assert again.stdout == "nothing to send\n"


def test_what_it_missed_is_sent(shell, served, receiver):
    write(shell, served, 30)
    id_ = watch(shell, served, receiver)
    again = shell.call("redeliver", id_, "--missing", "--url", served.url)
    assert (again.returncode, again.stdout) == (0, "30 sent, 30 taken, 0 failed\n")
    assert receiver.calls == 30


def test_after_ctrl_c_it_goes_on_in_the_service(shell, served, receiver):
    write(shell, served, 30)
    id_ = watch(shell, served, receiver)
    receiver.gate.clear()
    with shell.started("redeliver", id_, "--missing", "--url", served.url) as process:
        until(lambda: "redeliver" in _jobs(served))
        assert interrupt(process) == 130
        assert "goes on" in process.stderr.read()
    receiver.gate.set()
    until(lambda: receiver.calls == 30)


def test_what_is_refused_is_said_in_words(shell, served, receiver):
    id_ = watch(shell, served, receiver)
    unknown = shell.call("redeliver", "wch_no", "--url", served.url)
    assert unknown.returncode == 1
    assert "there is no watch wch_no" in unknown.stderr
    vague = shell.call("redeliver", id_, "--since", "yesterday", "--url", served.url)
    assert vague.returncode == 1
    assert "RFC 3339" in vague.stderr
    misspelt = shell.call("redeliver", id_, "--status", "lost", "--url", served.url)
    assert misspelt.returncode == 2


def _jobs(served) -> list[str]:
    """The kinds of the jobs that were begun."""
    headers = {"Authorization": f"Bearer {KEY}"}
    with urllib.request.urlopen(urllib.request.Request(f"{served.url}/api/v1/jobs", headers=headers)) as answer:
        return [job["kind"] for job in json.loads(answer.read())["items"]]
