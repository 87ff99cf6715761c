"""Importing from outside: a file, gzip or standard input, what is told of it, and how it fails."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest
from click.testing import CliRunner

from service.cli import imports, main
from tests.cli.conftest import KEY, interrupt

TYPE = "agendize.account"


@pytest.fixture
def served(shell):
    with shell.serving() as served:
        yield served


def write(path: Path, numbers, **members) -> Path:
    lines = [json.dumps({"id": f"a{number:03d}", "userName": f"user{number}", **members}) for number in numbers]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def test_a_file_is_imported_and_counted_and_again_changes_nothing(shell, served, tmp_path):
    file = write(tmp_path / "accounts.ndjson", range(40))
    first = shell.run("import", TYPE, str(file), "--url", served.url)
    again = shell.run("import", TYPE, str(file), "--url", served.url)

    assert first.returncode == 0, first.stderr
    assert first.stdout.startswith("40 lines in ")
    assert first.stdout.endswith(" a second: 40 created, 0 updated, 0 unchanged, 0 deleted, 0 failed\n")
    assert again.stdout.endswith(" a second: 0 created, 0 updated, 40 unchanged, 0 deleted, 0 failed\n")
    assert first.stderr == again.stderr == ""


def test_what_would_be_deleted_in_masses_is_held_until_it_is_forced(shell, served, tmp_path):
    shell.run("import", TYPE, str(write(tmp_path / "all.ndjson", range(40))), "--url", served.url)
    rest = str(write(tmp_path / "rest.ndjson", range(30)))
    held = shell.run("import", TYPE, rest, "--url", served.url)
    forced = shell.run("import", TYPE, rest, "--force", "--url", served.url)

    assert held.returncode == 1
    assert "0 deleted, 0 failed, 10 deletions held" in held.stdout
    assert held.stderr == (
        "webhook-watch: error: 10 of 40 imported resources are missing, more than 20 %: none was deleted; "
        "if they are really gone, import the file again with --force\n"
    )
    assert forced.returncode == 0
    assert "30 unchanged, 10 deleted" in forced.stdout


def test_a_share_of_deletions_may_be_given(shell, served, tmp_path):
    shell.run("import", TYPE, str(write(tmp_path / "all.ndjson", range(40))), "--url", served.url)
    rest = str(write(tmp_path / "rest.ndjson", range(30)))

    assert shell.run("import", TYPE, rest, "--max-delete-share", "0.25", "--url", served.url).returncode == 0


def test_bad_lines_are_told_with_their_file_and_line(shell, served, tmp_path):
    file = write(tmp_path / "bad.ndjson", range(2))
    with file.open("a", encoding="utf-8") as more:
        more.write('{"id": "x", "currency": "XXX"}\nid,email\n')
    done = shell.run("import", TYPE, str(file), "--url", served.url)

    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        f'webhook-watch: error: {file}:3: /currency: must be one of "USD", "CAD", "EUR", "GBP", "JPY"',
        f"webhook-watch: error: {file}:4: not JSON: expecting value (column 1)",
        (
            "webhook-watch: error: lines that were refused: 2 of 4, so that nothing was deleted; correct them, "
            "and import the whole file again"
        ),
    ]


def test_gzip_and_standard_input_are_read_and_the_job_is_shown_as_json(shell, served, tmp_path):
    plain = write(tmp_path / "accounts.ndjson", range(300), comment="c" * 2000).read_bytes()
    packed = tmp_path / "accounts.export"  # known by its first bytes, not by its name
    packed.write_bytes(gzip.compress(plain))
    file = shell.run("import", TYPE, str(packed), "--json", "--url", served.url)
    assert json.loads(file.stdout)["created"] == 300
    for data in (plain, packed.read_bytes()):
        piped = subprocess.run(
            [sys.executable, "-m", "service", "import", TYPE, "-", "--json", "--url", served.url],
            input=data,
            env=shell.environ(),
            cwd=tmp_path,
            capture_output=True,
            timeout=60,
            check=True,
        )
        job = json.loads(piped.stdout)
        assert (job["state"], job["unchanged"], job["done"]) == ("succeeded", 300, 300)


def test_an_empty_input_is_taken_for_a_mistake(shell, served):
    shell.run("import", TYPE, str(write(shell.directory / "two.ndjson", range(2))), "--url", served.url)
    done = shell.run("import", TYPE, "/dev/null", "--url", served.url)

    assert done.returncode == 1
    assert "no line came, so that nothing was deleted" in done.stderr


def test_a_pipe_that_is_interrupted_leaves_what_it_brought_and_a_failed_job(shell, served):
    line = b'{"id": "a1"}\n'
    with subprocess.Popen(
        [sys.executable, "-m", "service", "import", TYPE, "-", "--url", served.url],
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=shell.environ(PYTHONUNBUFFERED="1"),
        cwd=shell.directory,
    ) as sending:
        sending.stdin.write(line)
        sending.stdin.flush()
        while b"running" not in jobs(served):
            pass
        assert interrupt(sending) == 130
        assert b"Traceback" not in sending.stderr.read()
    while b"running" in (listed := jobs(served)):
        pass
    (job,) = json.loads(listed)["items"]
    assert job["state"] == "failed"
    assert job["detail"].startswith("the connection broke before the end of the body")


def test_an_import_whose_service_is_killed_has_failed_at_the_next_start(shell):
    lines = b"".join(b'{"id": "a%d"}\n' % number for number in range(150))
    with (
        shell.serving() as served,
        subprocess.Popen(
            [sys.executable, "-m", "service", "import", TYPE, "-", "--url", served.url],
            stdin=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=shell.environ(),
            cwd=shell.directory,
        ) as sending,
    ):
        sending.stdin.write(lines)
        sending.stdin.flush()
        while b"running" not in jobs(served):
            pass
        served.kill()
        served.wait()
        sending.stdin.close()
        assert sending.wait(20) == 1
        assert b"Traceback" not in sending.stderr.read()
    with shell.serving() as again:
        (job,) = json.loads(jobs(again))["items"]
        assert job["state"] == "failed"
        assert job["detail"] == (
            "the service was stopped before its end: what was done by then stays; import the whole file again"
        )
        piped = shell.directory / "again.ndjson"
        piped.write_bytes(lines)
        assert shell.run("import", TYPE, str(piped), "--url", again.url).returncode == 0


def jobs(served) -> bytes:
    request = urllib.request.Request(f"{served.url}/api/v1/jobs", headers={"Authorization": f"Bearer {KEY}"})
    with urllib.request.urlopen(request) as answer:
        return answer.read()


def test_what_is_refused_is_said_before_much_is_sent(shell, served, tmp_path):
    file = write(tmp_path / "large.ndjson", range(20_000), comment="c" * 1000)
    key = shell.run("keys", "create", "ops", "--role", "operator", "--url", served.url).stdout.strip()
    unknown = shell.run("import", "nobody.knows", str(file), "--url", served.url)
    forbidden = shell.run("import", TYPE, str(file), "--url", served.url, "--key", key)

    assert (unknown.returncode, forbidden.returncode) == (1, 1)
    assert unknown.stderr.startswith(
        "webhook-watch: error: POST /api/v1/resources/nobody.knows/import was answered 404: there is no resource type"
    )
    assert "was answered 403: push of agendize.account takes the role" in forbidden.stderr


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ((TYPE, "missing.ndjson"), "'missing.ndjson' does not exist"),
        ((TYPE, "."), "is a directory"),
        ((TYPE,), "Missing argument 'FILE'"),
        ((TYPE, "-", "--max-delete-share", "20"), "20.0 is not in the range 0<=x<=1"),
    ],
)
def test_a_misuse_is_told_and_exits_2(arguments, says):
    done = CliRunner().invoke(main, ["import", *arguments, "--key", "k"], prog_name="webhook-watch")

    assert done.exit_code == 2
    assert says in done.stderr


def test_where_there_is_no_terminal_progress_is_a_line_now_and_then():
    said, clock = [], [100.0]
    show = imports.Plain(said.append, 200_000_000, lambda: clock[0])
    for _ in range(20):
        clock[0] += 0.5
        show(5_000_000)
    assert said == ["25%, 50.0 MB, 10.0 MB/s, 15 s left", "50%, 100.0 MB, 10.0 MB/s, 10 s left"]


def test_of_a_pipe_nobody_knows_how_much_is_left():
    said, clock = [], [0.0]
    show = imports.Plain(said.append, None, lambda: clock[0])
    clock[0] = 6.0
    show(6_000)
    assert said == ["6.0 kB, 1.0 kB/s"]
