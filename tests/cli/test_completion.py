"""Completion, as the shells ask for it."""

from __future__ import annotations

import shutil
import subprocess
import sys

import pytest

from tests.cli.conftest import KEY

SHELLS = ("bash", "zsh", "fish")
PROGRAM = "from service.cli import main; main(prog_name='webhook-watch')"


def offered(shell, line, **variables):
    """What is offered after a line, as bash asks for it."""
    words = line.split(" ")
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        env=shell.environ(
            _WEBHOOK_WATCH_COMPLETE="bash_complete", COMP_WORDS=line, COMP_CWORD=str(len(words) - 1), **variables
        ),
        cwd=shell.directory,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stderr == ""
    return [item.partition(",")[2] for item in done.stdout.split()]


def test_commands_options_choices_and_types_are_offered(shell):
    assert offered(shell, "webhook-watch li") == ["listen"]
    assert offered(shell, "webhook-watch watch cr") == ["create"]
    assert offered(shell, "webhook-watch watch create --prev") == ["--previous-data"]
    assert offered(shell, "webhook-watch tail --status s") == ["succeeded"]
    assert offered(shell, "webhook-watch watch create --type ") == [
        "agendize.account",
        "genesys.user",
        "outreach.user",
        "rinkel.user",
    ]
    assert offered(shell, "webhook-watch import r") == ["rinkel.user"]


def test_ids_are_those_of_the_service_and_none_without_it(shell):
    with shell.serving() as served:
        form = ("--type", "agendize.account", "--address", "http://x.example")
        shell.call("watch", "create", *form, "--name", "CRM", WATCH_URL=served.url)
        (watch_id,) = offered(shell, "webhook-watch watch show wch", WATCH_URL=served.url)
        assert watch_id in shell.call("watch", "show", watch_id, WATCH_URL=served.url).stdout
        assert offered(shell, f"webhook-watch watch test --url {served.url} --key {KEY} ", WATCH_ADMIN_KEY="") == [
            watch_id
        ]
        assert offered(shell, "webhook-watch tail --watch wch_0000", WATCH_URL=served.url) == []
        assert offered(shell, "webhook-watch watch show ", WATCH_URL=served.url, WATCH_ADMIN_KEY="") == []
        assert offered(shell, "webhook-watch watch show ", WATCH_URL=served.url, WATCH_ADMIN_KEY="another key") == []
    assert offered(shell, "webhook-watch watch show ", WATCH_URL=served.url) == []


@pytest.mark.parametrize("name", SHELLS)
def test_the_script_of_each_shell_is_printed_and_is_one(shell, name):
    done = shell.call("completion", name)

    assert done.returncode == 0
    assert f"_WEBHOOK_WATCH_COMPLETE={name}_complete" in done.stdout
    if shutil.which(name) is None:
        pytest.skip(f"there is no {name} here to read the script")
    subprocess.run([name, "-n"], input=done.stdout, text=True, check=True, timeout=20, capture_output=True)


@pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash here")
def test_bash_completes_with_it(shell):
    program = shell.directory / "webhook-watch"
    program.write_text(f"#!{sys.executable}\n{PROGRAM}\n")
    program.chmod(0o755)
    (shell.directory / "script").write_text(shell.call("completion", "bash").stdout)
    asked = (
        f"PATH={shell.directory}:$PATH; . ./script; complete -p webhook-watch >/dev/null || exit 9; "
        "COMP_WORDS=(webhook-watch watch en); COMP_CWORD=2; _webhook_watch_completion webhook-watch; "
        'echo "${COMPREPLY[@]}"'
    )
    done = subprocess.run(
        ["bash", "-c", asked],
        cwd=shell.directory,
        env=shell.environ(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert (done.returncode, done.stdout.strip()) == (0, "enable"), done.stderr


def test_a_shell_that_is_not_known_is_refused(shell):
    done = shell.call("completion", "tcsh")

    assert done.returncode == 2
    assert "'tcsh' is not one of 'bash', 'zsh', 'fish'" in done.stderr
