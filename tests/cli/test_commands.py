"""What every command has in common, and the two that only look: check and migrate."""

from __future__ import annotations

import shutil
import sqlite3
from pathlib import Path

import pytest

from service.store import migrate

CONFIG = Path(__file__).parents[2] / "config"
COMMANDS = (
    ["serve"],
    ["demo"],
    ["tail"],
    ["listen"],
    *(["watch", name] for name in ("list", "show", "create", "test", "enable", "disable", "authorize", "delete")),
    ["completion"],
    ["keys", "list"],
    ["keys", "create"],
    ["keys", "revoke"],
    ["migrate"],
    ["check"],
)


@pytest.fixture
def config(tmp_path: Path) -> Path:
    shutil.copytree(CONFIG, tmp_path / "settings")
    return tmp_path / "settings"


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_every_command_has_help_with_an_example(shell, command):
    done = shell.call(*command, "--help")
    example = " ".join(done.stdout.split()).partition("Example: ")[2]

    assert done.returncode == 0
    assert f"webhook-watch {' '.join(command)}" in example.partition("Options:")[0]
    assert done.stderr == ""


def test_without_a_command_all_are_listed(shell):
    done = shell.run()

    assert done.returncode == 2
    assert all(command[0] in done.stderr for command in COMMANDS)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["serve", "--prot", "80"], "No such option '--prot'"),
        (["serve", "--port", "70000"], "70000 is not in the range"),
        (["serve", "--role", "boss"], "'boss' is not one of 'all', 'api', 'worker'"),
        (["keys", "create", "ci", "--key", "k"], "Missing option '--role'"),
        (["tail", "--key", "k", "--status", "lost"], "'lost' is not one of 'pending'"),
        (["tail", "--key", "k", "--url", "127.0.0.1:8080"], "--url must be like http://"),
        (["keys", "--key", "k", "--url", "http://"], "--url must be like http://127.0.0.1:8080, not 'http://'"),
        (["tail", "--key", "k\nX-Role: admin"], "An API key is one line of text"),
        (["tail"], "set WATCH_API_KEY"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_command_that_is_misused_says_how_to_use_it_and_exits_2(shell, arguments, says):
    done = shell.call(*arguments, WATCH_ADMIN_KEY="")

    assert done.returncode == 2
    assert done.stderr.startswith("webhook-watch: error: ")
    assert says in done.stderr
    assert "--help" in done.stderr


@pytest.mark.parametrize("command", [["tail"], ["keys", "list"]], ids=" ".join)
def test_a_service_that_is_not_there_is_said_in_one_line(shell, command):
    done = shell.call(*command, WATCH_ADMIN_KEY="k", WATCH_URL="http://127.0.0.1:1/")

    assert done.returncode == 1
    assert done.stderr == (
        "webhook-watch: error: cannot connect to http://127.0.0.1:1: Connection refused; is the service running there?\n"
    )


@pytest.mark.parametrize("command", ["serve", "check", "migrate"])
def test_a_bad_setting_stops_with_the_file_the_key_and_the_reason(shell, config, command):
    (config / "service.toml").write_text('[server]\nport = "x"\n\n[serve]\nhost = "y"\n', encoding="utf-8")
    done = shell.call(command, "--config", str(config))

    assert done.returncode == 1
    assert done.stdout == ""
    lines = done.stderr.splitlines()
    assert sorted(lines) == [
        f"webhook-watch: error: {config}/service.toml: serve: no such section; did you mean server?",
        f"webhook-watch: error: {config}/service.toml: server.port: must be a whole number from 0 to 65535, not 'x'",
    ]


def test_check_names_variables_that_are_no_settings_but_not_those_of_the_client(shell):
    done = shell.call("check", WATCH_PROT="80", WATCH_URL="http://127.0.0.1:1", WATCH_API_KEY="k")

    assert done.returncode == 0
    assert done.stderr.startswith("webhook-watch: warning: WATCH_PROT: no such setting; did you mean WATCH_PORT?")
    assert len(done.stderr.splitlines()) == 1


def test_check_says_ok_with_what_a_start_would_use(shell, config):
    done = shell.call("check", "--config", str(config))

    assert done.returncode == 0
    assert done.stdout.startswith("ok\n")
    lines = [line.split(maxsplit=1) for line in done.stdout.splitlines()[1:]]
    rows = {name: text for name, text in lines if name != "type"}
    assert str(config) in rows["settings"]
    assert str(shell.directory / "watch.db") in rows["database"]
    assert "will be made" in rows["database"]
    types = dict(text.split() for name, text in lines if name == "type")
    assert types["agendize.account"] == "/agendize/api/2.0/resellers/accounts"
    assert len(types) == 4
    assert "\x1b" not in done.stdout
    assert not (shell.directory / "watch.db").exists()


def test_check_finds_a_broken_type_file(shell, config):
    (config / "resources" / "acme.user.json").write_text('{"name": "acme.user"', encoding="utf-8")
    done = shell.call("check", "--config", str(config))

    assert done.returncode == 1
    assert "acme.user.json: " in done.stderr


SOURCE = 'type = "outreach.user"\nurl = "https://api.example.com/api/v2"\ninterval = 300\n'


def test_check_shows_the_sources_of_files_and_finds_what_is_wrong_with_each(shell, config):
    (config / "sources" / "crm.toml").write_text(SOURCE, encoding="utf-8")
    good = shell.call("check", "--config", str(config))
    (config / "sources" / "a.toml").write_text('type = "no.type"\nurl = "ftp://x"\ninterval = 300\n', encoding="utf-8")
    (config / "sources" / "b.toml").write_text(SOURCE + '[auth.headers]\nx-key = "env:NOT_SET"\n', encoding="utf-8")
    bad = shell.call("check", "--config", str(config), WATCH_DATABASE_URL="sqlite:////nowhere/at/all.db")

    assert good.returncode == 0, good.stderr
    assert "source    src_file_crm  outreach.user  https://api.example.com/api/v2" in good.stdout
    assert (bad.returncode, bad.stdout) == (1, "")
    assert "a.toml: type: is no known resource type" in bad.stderr
    assert "a.toml: url: " in bad.stderr
    assert "b.toml: auth.headers.x-key: the environment variable NOT_SET is not set" in bad.stderr
    assert "the directory /nowhere/at does not exist" in bad.stderr


def test_check_tries_the_encryption_key_and_makes_none(shell):
    with shell.serving() as served:
        served.terminate()
        served.wait(20)
    key = shell.directory / "watch.db.key"
    assert shell.call("check").returncode == 0
    other = shell.call("check", WATCH_SECRET_KEY="another text of thirty-two characters or more")
    key.unlink()
    lost = shell.call("check")

    for done in (other, lost):
        assert done.returncode == 1
        assert "secret.key: a stored secret does not open with any of the keys" in done.stderr
    assert not key.exists()


def test_migrate_makes_the_tables_once_and_check_sees_them(shell):
    first, second = shell.call("migrate"), shell.call("migrate")

    assert first.returncode == second.returncode == 0
    assert first.stdout.splitlines() == [f"applied {path.stem}" for path in migrate.available().values()]
    assert second.stdout == "nothing to apply: the database has this version's tables\n"
    assert f"at migration {max(migrate.available())}\n" in shell.call("check").stdout


def test_a_database_of_a_newer_version_is_refused(shell):
    shell.call("migrate")
    with sqlite3.connect(shell.directory / "watch.db") as database:
        database.execute("UPDATE meta SET value = '99' WHERE name = 'schema'")
    database.close()

    for done in (shell.call("check"), shell.call("migrate"), shell.run("serve")):
        assert done.returncode == 1
        assert "is at migration 99" in done.stderr


def test_a_file_that_is_no_database_is_named(shell):
    (shell.directory / "watch.db").write_text("This is a letter, not a database, and long enough to tell." * 20)

    for command in ("check", "migrate"):
        done = shell.call(command)
        assert done.returncode == 1
        assert done.stderr.startswith(f"webhook-watch: error: database {shell.directory}/watch.db: ")


def test_check_of_a_postgresql_database_tells_all_that_a_start_would_lack_and_no_password(shell):
    done = shell.call("check", WATCH_DATABASE_URL="postgresql://watch:hunter2@127.0.0.1:1/watch", WATCH_SECRET_KEY="")

    assert done.returncode == 1
    assert "set WATCH_SECRET_KEY, to the same text for every process" in done.stderr
    assert "database.url: postgresql://127.0.0.1/watch: " in done.stderr
    assert "hunter2" not in done.stderr
