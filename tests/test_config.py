from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from service import config, errors

DEFAULTS = Path(__file__).parents[1] / "config"
ROWS = {row.key: row for row in config.TABLE}
ADMIN_KEY = "an-admin-key-of-24-chars"
SECRET_KEY = "a-secret-key-with-32-characters!"


@pytest.fixture
def write(tmp_path):
    def write(text: str | bytes) -> Path:
        (tmp_path / config.FILE).write_bytes(text if isinstance(text, bytes) else text.encode())
        return tmp_path

    return write


def refusal(directory: Path | None = DEFAULTS, **environ: str) -> str:
    with pytest.raises(errors.ConfigError) as caught:
        config.load(directory, environ)
    return str(caught.value)


# The file that comes with the package


def test_the_file_lists_every_setting_and_no_other():
    content = tomllib.loads((DEFAULTS / config.FILE).read_text(encoding="utf-8"))
    assert [f"{section}.{name}" for section, members in content.items() for name in members] == list(ROWS)


def test_the_file_gives_each_setting_its_default():
    assert config.load(DEFAULTS, {}) == config.Settings(DEFAULTS)


@pytest.mark.parametrize("row", config.TABLE, ids=lambda row: row.key)
def test_the_file_has_the_sentence_and_the_variable_of_each_setting(row):
    text = (DEFAULTS / config.FILE).read_text(encoding="utf-8")
    section = text.split(f"\n[{row.section}]\n")[1].split("\n[")[0]
    assert re.search(rf"(?m)^# {re.escape(row.doc)}\n{row.name} = .* # {row.variable}\b", section)
    assert row.doc.endswith(".")


def test_an_empty_file_is_the_defaults(write):
    directory = write("")
    assert config.load(directory, {}) == config.Settings(directory)


def test_the_contract_names_these_variables():
    assert {
        "WATCH_DATABASE_URL",
        "WATCH_HOST",
        "WATCH_PORT",
        "WATCH_ADMIN_KEY",
        "WATCH_SECRET_KEY",
        "WATCH_PUBLIC_URL",
        "WATCH_EGRESS_ALLOW",
    } <= {row.variable for row in config.TABLE}


# What goes before what


def test_the_environment_goes_before_the_file(write):
    directory = write('[server]\nport = 9000\nhost = "::1"\n')
    settings = config.load(directory, {"WATCH_PORT": "9001", "HOME": "/root", "PATH": ""})
    assert (settings.server.port, settings.server.host) == (9001, "::1")


def test_an_empty_variable_is_as_good_as_none(write):
    directory = write("[server]\nport = 9000\n")
    assert config.load(directory, {"WATCH_PORT": " ", "WATCH_ADMIN_KEY": ""}).server.port == 9000


def test_variables_are_read_as_their_kind():
    settings = config.load(
        DEFAULTS,
        {
            "WATCH_EGRESS_ALLOW": "10.1.0.0/16, ::1,192.0.2.7",
            "WATCH_SECRET_KEY": f"{SECRET_KEY}1,{SECRET_KEY}2",
            "WATCH_ADMIN_KEY": f"{ADMIN_KEY}\n",
            "WATCH_PUBLIC_URL": "https://watch.example.com/",
            "WATCH_DELIVERY_SHUTDOWN_GRACE": "2.5",
            "WATCH_LOGGING_LEVEL": "WARNING",
        },
    )
    assert settings.egress.allow == ("10.1.0.0/16", "::1/128", "192.0.2.7/32")
    assert settings.secret.key == (f"{SECRET_KEY}1", f"{SECRET_KEY}2")
    assert settings.admin.key == ADMIN_KEY
    assert settings.server.public_url == "https://watch.example.com"
    assert settings.delivery.shutdown_grace == 2.5
    assert settings.logging.level == "warning"


# Which directory


def test_the_argument_goes_before_the_variable_and_the_variable_before_the_working_directory(
    write, tmp_path, monkeypatch
):
    here, named, given = tmp_path / "here", tmp_path / "named", tmp_path / "given"
    for place in (here / "config", named, given):
        place.mkdir(parents=True)
        (place / config.FILE).touch()
    monkeypatch.chdir(here)
    environ = {"WATCH_CONFIG": str(named)}
    assert config.load(given, environ).directory == given
    assert config.load(None, environ).directory == named
    assert config.load(None, {}).directory == Path("config")


def test_without_any_the_packages_own_directory_is_taken(tmp_path, monkeypatch):
    (tmp_path / "config").mkdir()  # somebody else's: it holds no service.toml
    monkeypatch.chdir(tmp_path)
    settings = config.load(None, {})
    assert settings.directory == DEFAULTS
    assert settings.resources == DEFAULTS / "resources"


def test_a_directory_without_settings_is_refused_by_name(tmp_path):
    assert str(tmp_path) in refusal(tmp_path)
    assert "WATCH_CONFIG" in refusal(None, WATCH_CONFIG=str(tmp_path / "missing"))


# The database's URL


@pytest.mark.parametrize(
    ("url", "path", "key_file"),
    [
        ("sqlite:///watch.db", Path("watch.db"), Path("watch.db.key")),
        ("sqlite:////var/lib/watch.db", Path("/var/lib/watch.db"), Path("/var/lib/watch.db.key")),
        ("sqlite:///:memory:", None, None),
    ],
)
def test_the_url_names_the_file_and_its_key(url, path, key_file):
    database = config.load(DEFAULTS, {"WATCH_DATABASE_URL": url}).database
    assert (database.path, database.key_file) == (path, key_file)


@pytest.mark.parametrize("url", ["postgresql://watch:hunter2@db/watch", "postgres:///watch?host=/run/postgresql"])
def test_the_url_of_a_postgresql_database_has_no_file(url):
    database = config.load(DEFAULTS, {"WATCH_DATABASE_URL": url}).database
    assert (database.path, database.key_file) == (None, None)
    assert "hunter2" not in repr(database)


@pytest.mark.parametrize("url", ["postgresql://watch:hunter2@db", "postgresql://watch:hunter2@db:99999/watch"])
def test_a_postgresql_url_without_a_database_is_refused_without_showing_its_password(url):
    text = refusal(WATCH_DATABASE_URL=url)
    assert "must name a database" in text
    assert "hunter2" not in text


@pytest.mark.parametrize(
    "url", ["watch.db", "sqlite://watch.db", "sqlite:///", "sqlite:///a/", "mysql://x", "sqlite:///a?b"]
)
def test_another_url_is_refused(url):
    assert "sqlite:///relative.db" in refusal(WATCH_DATABASE_URL=url)


# What is refused


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("[server\n", ("cannot be read", "line 1")),
        (b"\xff", ("cannot be read", "utf-8")),
        ("[servr]\nport = 1\n", ("servr: no such section", "did you mean server?")),
        ("server = 1\n", ("server: must be a section",)),
        ("[server]\nprot = 1\n", ("server.prot: no such setting", "did you mean server.port?")),
        ("[server]\nnonsense = 1\n", ("server.nonsense: no such setting",)),
        ("[server]\nport = 70000\n", ("server.port: must be a whole number from 0 to 65535, not '70000'",)),
        ("[server]\nport = true\n", ("server.port: must be a whole number",)),
        ('[server]\nport = "8080"\n', ("server.port: must be a whole number",)),
        ("[server]\nport = 1.5\n", ("server.port: must be a whole number",)),
        ("[server]\nhost = 1\n", ("server.host: must be text",)),
        ('[server]\nhost = ""\n', ("server.host: must not be empty",)),
        ('[server]\nhost = "a\\nb"\n', ("server.host: must be text of one line",)),
        ("[server]\nmax_body_bytes = 1\n", ("server.max_body_bytes: must be",)),
        ('[server]\npublic_url = "watch.example.com"\n', ("server.public_url: must be a URL",)),
        ('[server]\npublic_url = "https://u:p@watch.example.com"\n', ("server.public_url: must be a URL",)),
        ('[server]\npublic_url = "https://watch.example.com/?a=b"\n', ("server.public_url: must be a URL",)),
        ("[log]\nretention_interval = nan\n", ("log.retention_interval: must be a number of seconds",)),
        ("[tail]\nheartbeat = true\n", ("tail.heartbeat: must be a number of seconds",)),
        ('[logging]\nlevel = "loud"\n', ("logging.level: must be one of debug, info, warning, error, not 'loud'",)),
        ('[egress]\nallow = "10.0.0.0/8"\n', ("egress.allow: must be a list",)),
        ("[egress]\nallow = [1]\n", ("egress.allow: must be text",)),
    ],
)
def test_a_wrong_file_is_refused_with_file_key_and_reason(write, text, parts):
    directory = write(text)
    told = refusal(directory)
    assert told.startswith(f"{directory / config.FILE}: ")
    for part in parts:
        assert part in told


@pytest.mark.parametrize(
    ("name", "text", "part"),
    [
        ("WATCH_PORT", "http", "WATCH_PORT: must be a whole number from 0 to 65535, not 'http'"),
        ("WATCH_PORT", "tcp://10.0.0.1:80", "WATCH_PORT: must be a whole number"),
        ("WATCH_TAIL_HEARTBEAT", "inf", "WATCH_TAIL_HEARTBEAT: must be a number of seconds"),
        ("WATCH_EGRESS_ALLOW", "10.0.0.1/8", "write 10.0.0.0/8 for 10.0.0.1/8"),
        ("WATCH_EGRESS_ALLOW", "10.0.0.0/8,example.com", "'example.com' is none"),
    ],
)
def test_a_wrong_variable_is_refused_by_its_name(name, text, part):
    assert part in refusal(**{name: text})


def test_all_faults_are_told_at_once(write):
    directory = write('[server]\nport = -1\nhots = "x"\n[logging]\nlevel = "loud"\n')
    told = refusal(directory, WATCH_TAIL_HEARTBEAT="soon")
    assert len(told.splitlines()) == 4


def test_an_unknown_variable_is_doubted_but_stops_nothing():
    settings = config.load(DEFAULTS, {"WATCH_PRT": "1", "WATCH_SERVICE_HOST": "10.0.0.1", "WATCH_URL": "x", "PATH": ""})
    assert settings.doubts[0] == "WATCH_PRT: no such setting; did you mean WATCH_PORT?; it was passed over"
    assert len(settings.doubts) == 2


# Secrets stay secret


@pytest.mark.parametrize(
    ("name", "text", "part"),
    [
        ("WATCH_ADMIN_KEY", "too-short-admin-key", "WATCH_ADMIN_KEY: must have at least 24 characters"),
        ("WATCH_SECRET_KEY", f"{SECRET_KEY},too-short", "WATCH_SECRET_KEY: each text must have at least 32 characters"),
        ("WATCH_ADMIN_KEY", f"{ADMIN_KEY}\x07bell", "WATCH_ADMIN_KEY: must be text of one line"),
    ],
)
def test_a_short_key_is_refused_without_showing_it(name, text, part):
    told = refusal(**{name: text})
    assert part in told
    assert not any(piece in told for piece in text.split(","))


def test_keys_are_not_in_the_settings_representation(write):
    directory = write(f'[admin]\nkey = "{ADMIN_KEY}"\n[secret]\nkey = ["{SECRET_KEY}"]\n')
    settings = config.load(directory, {})
    assert (settings.admin.key, settings.secret.key) == (ADMIN_KEY, (SECRET_KEY,))
    assert ADMIN_KEY not in repr(settings)
    assert SECRET_KEY not in repr(settings)
