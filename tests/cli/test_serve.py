"""Serving: how it starts, how it stops, and how it dies."""

from __future__ import annotations

import json
import re
import signal
import sqlite3
import urllib.request

from service.cli import logs
from tests.cli.conftest import interrupt


def test_a_key_is_made_at_the_first_start_and_shown_once(shell):
    with shell.serving(WATCH_ADMIN_KEY="") as first:
        shown = first.stderr.readline()
        assert shown.startswith("bootstrap API key (shown once): wwk_")
        key = shown.split()[-1]
        request = urllib.request.Request(f"{first.url}/api/v1/watches", headers={"Authorization": f"Bearer {key}"})
        with urllib.request.urlopen(request) as answer:
            assert json.load(answer)["items"] == []
        first.terminate()
        assert first.wait(20) == 0
    with shell.serving(WATCH_ADMIN_KEY="") as second:
        assert interrupt(second) == 130
        assert "bootstrap" not in second.stderr.read()


def test_each_event_is_a_line_with_time_level_logger_and_message(shell):
    with shell.serving() as served:
        assert re.fullmatch(
            r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z INFO +service\.app +listening on .*\n", served.told[-1]
        )


def test_no_message_can_write_a_line_of_its_own():
    record = logs.logging.LogRecord("service", 20, "", 0, "GET %s", ("/x\n2026-01-01T00:00:00Z INFO\x1b[31m",), None)

    assert logs.Line().format(record).endswith(r"GET /x\n2026-01-01T00:00:00Z INFO\x1b[31m")


def test_a_database_has_one_server(shell):
    with shell.serving():
        done = shell.run("serve", "--port", "0")

    assert done.returncode == 1
    assert "another process serves this file" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_port_that_is_taken_is_named(shell, tmp_path):
    with shell.serving() as served:
        port = served.url.rpartition(":")[2]
        done = shell.run("serve", "--port", port, WATCH_DATABASE_URL=f"sqlite:///{tmp_path}/other.db")

    assert done.returncode == 1
    assert f"cannot listen on 127.0.0.1:{port}" in done.stderr
    assert "Traceback" not in done.stderr


def test_when_a_part_of_it_dies_the_process_ends_and_says_why(shell):
    with shell.serving(WATCH_LOG_RETENTION_INTERVAL="1") as served:
        with sqlite3.connect(shell.directory / "watch.db") as database:
            database.execute(
                "INSERT INTO journal (tenant, delivery_id, at, kind, status, attempts) "
                "VALUES ('default', 'dlv', 1, 'status', 'failed', 0)"
            )
            database.execute("CREATE TRIGGER no BEFORE DELETE ON journal BEGIN SELECT RAISE(ABORT, 'not mine'); END")
        database.close()

        assert served.wait(20) == 1
        said = served.stderr.read()
    assert "CRITICAL service.cli.serve  stopped by a failure of its own: IntegrityError('not mine')" in said


def test_a_second_signal_ends_it_at_once(shell):
    with shell.serving() as served:
        served.send_signal(signal.SIGTERM)
        assert "stopping" in served.stderr.readline()
        served.send_signal(signal.SIGTERM)
        assert served.wait(20) in {0, 143}
        assert "Traceback" not in served.stderr.read()
