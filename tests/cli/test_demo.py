"""The demo, as a stranger runs it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tests.cli.conftest import interrupt

CONFIG = Path(__file__).parents[2] / "config"


OUTAGE = 17  # callbacks that are shown of it: 3 to the CRM, 5 notices, 6 when Billing is probed, and 3 again
MADE_UP = (
    "it did not wait for Billing, which is still being tried",
    "each was tried 7 times, then given up",
    "20 failures in a row, and the breaker opened: one request at a time is sent from now on",
    "one notice that it is failing now",
    "one for each delivery that was given up",
    "one request at a time, until one was taken",
    "Ops hears that it has recovered",
    "the breaker is closed",
    "the job has ended, and everything was taken",
    "the webhook-ids and the bodies of then: a receiver knows what it has seen",
)


def test_the_story_is_told_and_every_part_of_it_comes_true(shell, tmp_path):
    (tmp_path / "tmp").mkdir()
    done = shell.run("demo", "--once", WATCH_PORT="not a port", WATCH_NONSENSE="1", TMPDIR=str(tmp_path / "tmp"))

    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr == ""
    assert done.stdout.count("✓ signature verified") == 13 + OUTAGE, "12 deliveries, one of them twice"
    assert "✗" not in done.stdout
    assert '"Brontë" → "Nicholls"' in done.stdout
    assert "all 12 deliveries succeeded" in done.stdout
    for sentence in MADE_UP:
        assert f"  ✓ {sentence}\n" in done.stdout
    assert "all 29 deliveries of this story have succeeded" in done.stdout
    assert "\x1b" not in done.stdout
    assert list((tmp_path / "tmp").iterdir()) == []
    assert sorted(path.name for path in tmp_path.iterdir()) == ["tmp"]


TOLD = {  # what only this type has to say
    "agendize.account": '"apiKey": "demo_',
    "genesys.user": '"basic": {"username": "demo", "password": "demo_',
    "outreach.user": '"card": "Ada Lovelace, Account Executive"',
    "rinkel.user": '"x-rinkel-api-key": "demo_',
}


@pytest.mark.parametrize("type_name", TOLD)
def test_a_change_of_each_of_the_four_directories_is_polled_and_told(shell, tmp_path, type_name):
    (tmp_path / "tmp").mkdir()
    done = shell.run("demo", "--once", "--type", type_name, TMPDIR=str(tmp_path / "tmp"))

    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr == ""
    assert done.stdout.count("✓ signature verified") == 7 + OUTAGE, "6 deliveries, one of them twice"
    assert "✗" not in done.stdout
    assert "it is a silent baseline" in done.stdout
    for number, event in enumerate(("created", "updated", "deleted"), 1):
        assert f"✓ the event is {type_name}.{event}, version {number}" in done.stdout
    assert TOLD[type_name] in done.stdout
    for sentence in MADE_UP:
        assert f"  ✓ {sentence}\n" in done.stdout
    assert list((tmp_path / "tmp").iterdir()) == []


def test_the_sources_of_the_configuration_are_left_alone(shell, tmp_path):
    shutil.copytree(CONFIG, tmp_path / "config")
    (tmp_path / "config" / "sources" / "real.toml").write_text("this would stop the start")
    done = shell.run("demo", "--once")

    assert done.returncode == 0, done.stderr


def test_any_type_that_is_loaded_can_play(shell, tmp_path):
    shutil.copytree(CONFIG, tmp_path / "config")
    declared = {
        "description": "Users of Acme.",
        "name": "acme.user",
        "collection": "/acme/users",
        "dialect": "items",
        "identity": ["id", "email"],
        "schema": {
            "type": "object",
            "required": ["id", "email"],
            "properties": {
                "id": {"type": "integer"},
                "email": {"type": "string"},
                "phone": {"type": "string", "pattern": "^[+][0-9]+$"},
                "active": {"type": "boolean"},
            },
        },
    }
    (tmp_path / "config" / "resources" / "acme.user.json").write_text(json.dumps(declared))
    done = shell.run("demo", "--once", "--type", "acme.user")

    assert done.returncode == 0, done.stdout + done.stderr
    assert "the event is acme.user.deleted, version 3" in done.stdout
    assert "true → false" in done.stdout
    assert '"phone": "example"' not in done.stdout, "which its pattern does not allow"


def test_a_type_that_nobody_declared_is_refused_with_those_that_are(shell):
    done = shell.run("demo", "--type", "acme.user")

    assert done.returncode == 1
    assert done.stderr == (
        "webhook-watch: error: there is no resource type 'acme.user'; "
        "there is agendize.account, genesys.user, outreach.user, rinkel.user\n"
    )


@pytest.mark.parametrize("options", [(), ("--type", "agendize.account")], ids=["hosted", "polled"])
def test_what_does_not_come_true_is_named_and_it_exits_1(shell, tmp_path, options):
    shutil.copytree(CONFIG, tmp_path / "config")
    accounts = tmp_path / "config" / "resources" / "agendize.account.json"
    accounts.write_text(accounts.read_text().replace('"set": ["tools"],', '"set": [],'))  # now their order counts
    done = shell.run("demo", "--once", *options)

    assert done.returncode == 1
    assert "webhook-watch: error: demo: no version, no delivery, no callback" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_callback_that_does_not_come_ends_the_story_and_it_exits_1(shell, tmp_path):
    shutil.copytree(CONFIG, tmp_path / "config")
    accounts = tmp_path / "config" / "resources" / "agendize.account.json"
    declared = json.loads(accounts.read_text())
    declared.setdefault("ignore", []).append("additionalUsers")  # which is what changes while the receiver is down
    accounts.write_text(json.dumps(declared))
    done = shell.run("demo", "--once")

    assert done.returncode == 1
    assert done.stderr == "webhook-watch: error: demo: no callback came to /everything within 10 s\n"
    assert "A receiver is down" in done.stdout
    assert "How to go on" not in done.stdout


def test_without_once_it_stays_up_and_goes_on_until_it_is_told_to_stop(shell, tmp_path):
    (tmp_path / "tmp").mkdir()
    with shell.started("demo", TMPDIR=str(tmp_path / "tmp"), PYTHONUNBUFFERED="1") as demo:
        for line in demo.stdout:
            if "updated" in line and "agendize.account/acc_" in line:
                break
        assert interrupt(demo) == 130
        assert demo.stderr.read().strip() == ""
    assert list((tmp_path / "tmp").iterdir()) == []
