"""Watches from the command line: registered, shown, tested, stopped, removed; and what it says when it cannot be."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
import urllib.request

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tests.cli.conftest import KEY, Shell
from tests.cli.test_listen_command import listening

WISHES = (
    *("--type", "agendize.account", "--object", "acc_1", "--name", "CRM", "--events", "created,updated"),
    *("--field", "$.email", "--field", "$.tags[*].tag"),
    *("--method", "PUT", "--previous-data", "--header", "X-Key: a:b", "--basic", "me:pass:word"),
    *("--retry", "1,0.5", "--timeout", "3", "--rate-limit", "2.5", "--ordering", "none", "--disabled"),
)


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    with Shell(tmp_path_factory.mktemp("served")).serving(
        WATCH_EGRESS_ALLOW="127.0.0.0/8", WATCH_PUBLIC_URL="https://watch.example.com"
    ) as served:
        yield served


@pytest.fixture
def run(shell, served):
    return lambda *arguments, **variables: shell.call("watch", *arguments, WATCH_URL=served.url, **variables)


def made(run, *options):
    """A watch that was registered, as JSON."""
    done = run("create", "--json", "--type", "agendize.account", "--address", "http://127.0.0.1:9/hook", *options)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_every_option_is_a_member_of_the_watch(run):
    watch = made(run, *WISHES)

    assert watch["objectId"] == "acc_1"
    assert watch["events"] == ["created", "updated"]
    assert (watch["name"], watch["method"], watch["status"], watch["ordering"]) == ("CRM", "PUT", "disabled", "none")
    assert watch["retry"] == {"schedule": [1, 0.5], "timeout": 3}
    assert watch["rateLimit"] == 2.5
    assert watch["addPreviousData"] is True
    assert watch["fields"] == ["$.email", "$.tags[*].tag"]
    assert watch["basicAuth"] == {"username": "me"}
    assert watch["secretsSet"] == ["/basicAuth/password", "/httpRequestHeader/X-Key"]
    assert made(run, "--retry", "none")["retry"]["schedule"] == []


def test_the_secret_of_a_new_key_is_shown_once_and_stands_alone(run):
    done = run("create", "--type", "agendize.account", "--address", "http://127.0.0.1:9/hook", "--sign")

    *_, last = done.stdout.splitlines()
    assert last.startswith("whsec_")
    assert "shown this once" in done.stderr
    assert done.stdout.count("whsec_") == 1
    watch_id = done.stdout.split()[1]
    shown = run("show", watch_id)
    assert "key_" in shown.stdout
    assert "whsec_" not in shown.stdout
    other = made(
        run, "--crypto-key", json.loads(run("show", "--json", watch_id).stdout)["signature"]["cryptoKeyIds"][0]
    )
    assert other["signature"]["enabled"] is True


def test_a_key_of_ones_own_signs_and_is_verified_with_its_other_half(run, shell):
    secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
    private = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
    public = "whpk_" + base64.b64encode(private.public_key().public_bytes_raw()).decode()
    (shell.directory / "key").write_text("whsk_" + base64.b64encode(private.private_bytes_raw()).decode() + "\n")
    with listening(shell, "--json", "--secret", secret, "--secret", public) as receiver:
        for own in (secret, f"@{shell.directory}/key"):
            options = ("--secret", own, "--sign")
            done = run("create", "--type", "agendize.account", "--address", receiver.url, *options)
            assert done.returncode == 0, done.stderr
            assert "whsec_" not in done.stdout
            assert run("test", done.stdout.split()[1]).returncode == 0
        scheme = ("--scheme", "http-message-signatures", "--method", "PUT")
        done = run("create", "--type", "agendize.account", "--address", f"{receiver.url}/a?b=1", *options, *scheme)
        assert run("test", done.stdout.split()[1]).returncode == 0
        rows = [json.loads(receiver.stdout.readline()) for _ in range(3)]

    assert [(row["verified"], row["fault"]) for row in rows] == [(True, None)] * 3
    assert [row["headers"]["webhook-signature"].partition(",")[0] for row in rows[:2]] == ["v1", "v1a"]
    assert "signature-input" in rows[2]["headers"]


def test_a_key_is_not_left_over_when_its_watch_is_refused(run, served, shell):
    done = run("create", "--type", "no.type", "--address", "x", "--secret", "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA")
    wrong = run("create", "--type", "agendize.account", "--address", "http://x.example", "--secret", "hunter2")
    names = [row["name"] for row in everything(served, "/api/v1/cryptoKeys") if row["name"]]

    assert (done.returncode, wrong.returncode) == (1, 1)
    assert "/objectType: " in done.stderr
    assert "POST /api/v1/cryptoKeys was answered 422: /privateKey: " in wrong.stderr
    assert "hunter2" not in wrong.stderr
    assert len([name for name in names if name.startswith("of watch")]) == 3, "those of the test before this one"


def everything(served, path):
    request = urllib.request.Request(f"{served.url}{path}?limit=500", headers={"Authorization": f"Bearer {KEY}"})
    with urllib.request.urlopen(request) as answer:
        return json.load(answer)["items"]


@pytest.mark.parametrize(
    ("text", "schema"),
    [
        ('{"id": "${$.id}"}', {"id": "${$.id}"}),
        ('{"id": ${$.id}}', '{"id": ${$.id}}'),
        ('"[${$.id}]"', "[${$.id}]"),
    ],
)
def test_a_template_is_an_object_or_text_and_may_stand_in_a_file(run, tmp_path, text, schema):
    (tmp_path / "template").write_text(text, encoding="utf-8")

    assert made(run, "--schema", text)["schema"] == schema
    assert made(run, "--schema", f"@{tmp_path}/template")["schema"] == schema


def test_a_watch_may_come_as_json_and_options_go_before_it(run, shell, served, tmp_path):
    form = {"objectType": "agendize.account", "address": "http://a.example/x", "retry": {"schedule": [7]}, "name": "a"}
    (tmp_path / "watch.json").write_text(json.dumps(form), encoding="utf-8")
    watch = json.loads(run("create", "-f", f"{tmp_path}/watch.json", "--name", "b", "--timeout", "2", "--json").stdout)

    assert (watch["name"], watch["address"]) == ("b", "http://a.example/x")
    assert watch["retry"] == {"schedule": [7], "timeout": 2}

    piped = subprocess.run(
        [sys.executable, "-m", "service", "watch", "create", "--json", "--file", "-"],
        input=json.dumps(form),
        env=shell.environ(WATCH_URL=served.url),
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert json.loads(piped.stdout)["name"] == "a"


def test_watches_are_listed_disabled_enabled_and_deleted(run):
    long = made(run, "--name", "n" * 200, "--address", f"http://x.example/{'a' * 200}")
    row = next(line for line in run("list").stdout.splitlines() if long["id"] in line)
    assert row.split()[1:5] == ["n" * 200, "agendize.account", "all", f"http://x.example/{'a' * 200}"], "nothing is cut"
    watch = made(run, "--name", "listed [bold]here")
    row = next(line for line in run("list").stdout.splitlines() if watch["id"] in line)
    assert "listed [bold]here" in row
    assert " all " in row
    assert row.split()[-2:] == ["enabled", "healthy"]

    assert run("disable", watch["id"]).stdout == f"disabled {watch['id']}\n"
    assert json.loads(run("show", watch["id"], "--json").stdout)["status"] == "disabled"
    refused = run("test", watch["id"])
    assert refused.returncode == 1
    assert "is disabled: enable it first" in refused.stderr
    assert run("enable", watch["id"]).stdout == f"enabled {watch['id']}\n"
    rows = {row["id"]: row["status"] for row in map(json.loads, run("--json").stdout.splitlines())}
    assert rows[watch["id"]] == "enabled"
    assert run("delete", watch["id"]).stdout == f"deleted {watch['id']}\n"
    gone = run("show", watch["id"])
    assert gone.returncode == 1
    assert gone.stderr == (
        f"webhook-watch: error: GET /api/v1/watches/{watch['id']} was answered 404: there is no watch {watch['id']}\n"
    )


def test_a_test_says_what_came_of_it(run, shell):
    with listening(shell, "--json") as receiver:
        watch = made(run, "--address", f"{receiver.url}/hook")
        taken = run("test", watch["id"])
        assert json.loads(receiver.stdout.readline())["headers"]["ce-type"] == "agendize.account.test"
    refused = run("test", watch["id"])
    sent = run("test", watch["id"], "--wait", "0")

    assert (taken.returncode, refused.returncode, sent.returncode) == (0, 1, 0)
    assert taken.stdout.split()[2:5] == ["succeeded", "test", "204"]
    assert "refused: " in refused.stdout
    assert sent.stdout.startswith("queued dlv_")
    assert json.loads(run("test", watch["id"], "--json").stdout)["reason"] == "refused"
    shown = run("show", watch["id"]).stdout
    assert "degraded since 20" in shown
    assert "failures in a row" in shown
    assert "degraded" in next(line for line in run("list").stdout.splitlines() if watch["id"] in line)


def test_a_receiver_that_is_asked_first_consents_and_is_shown_to(run, shell):
    with listening(shell, "--json") as receiver:
        watch = made(run, "--address", f"{receiver.url}/hook", "--verification", "webhook-origin")
        assert run("test", watch["id"]).returncode == 0
        assert json.loads(receiver.stdout.readline())["headers"]["ce-type"] == "agendize.account.test"
        assert "nothing is verified" in receiver.stderr.readline()
        assert "handshake: watch.example.com may send callbacks to /hook" in receiver.stderr.readline()
    (row,) = [line for line in run("show", watch["id"]).stdout.splitlines() if line.startswith("verificationState")]
    assert "verified" in row


def test_the_address_of_an_oauth2_consent_is_printed(run, tmp_path):
    auth = {"clientId": "c", "authUrl": "https://login.example.com/a", "accessTokenUrl": "https://login.example.com/t"}
    (tmp_path / "watch.json").write_text(json.dumps({"oauth2Auth": auth}), encoding="utf-8")
    watch = made(run, "--file", f"{tmp_path}/watch.json")

    assert run("authorize", watch["id"]).stdout.startswith("https://login.example.com/a?")
    assert run("authorize", made(run)["id"]).returncode == 1
    assert "(authorization)" in run("show", watch["id"]).stdout


def test_every_fault_is_a_line_with_its_pointer(run):
    done = run("create", "--type", "agendize.acount", "--address", "ftp://x")
    one = run("create", "--type", "agendize.account", "--address", "http://x.example", "--header", "Host: y")
    warned = run(
        "create", "--type", "agendize.account", "--address", "http://x.example", "--schema", '{"a": "${$.nme}"}'
    )

    assert done.returncode == one.returncode == 1
    assert "was answered 422: /objectType: is no known resource type; did you mean agendize.account?" in done.stderr
    assert "\nwebhook-watch: error:   /address: " in done.stderr
    assert len(one.stderr.splitlines()) == 1
    assert "/httpRequestHeader/Host: " in one.stderr
    assert warned.returncode == 0
    assert warned.stderr.startswith("webhook-watch: warning: /schema/a: ")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["create"], "Nothing to register: give --type and --address, or --file."),
        (["create", "--basic", "me"], "it is USERNAME:PASSWORD"),
        (["create", "--header", "X"], "it is 'Name: value'"),
        (["create", "--retry", "soon"], "it is seconds with commas, or none"),
        (["create", "--schema", "@nowhere"], "nowhere: No such file or directory"),
        (["create", "--file", "nowhere"], "--file nowhere: No such file or directory"),
        (["create", "--file", "bad.json"], "--file bad.json: not JSON"),
        (["create", "--file", "list.json"], "--file list.json: holds no JSON object"),
        (["create", "--file", "latin.json"], "--file latin.json: is no UTF-8"),
        (["show", ".."], "'..' is no id"),
        (["delete", "a/b"], "'a/b' is no id"),
        (["delete", ""], "'' is no id"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_cannot_be_meant_is_refused_before_the_service_is_asked(shell, arguments, says, monkeypatch):
    (shell.directory / "bad.json").write_text("{", encoding="utf-8")
    (shell.directory / "list.json").write_text("[]", encoding="utf-8")
    (shell.directory / "latin.json").write_bytes(b'{"name": "\xe4"}')
    monkeypatch.chdir(shell.directory)
    done = shell.call("watch", *arguments, WATCH_URL="http://127.0.0.1:1")

    assert done.returncode == 2
    assert says in done.stderr
