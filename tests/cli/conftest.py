"""The command line as its users have it: processes of their own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from service.cli import main

KEY = "a-bootstrap-key-for-tests-only"
ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Shell:
    """Runs ``webhook-watch`` in a directory, with an environment that has nothing of the person's own."""

    directory: Path

    def environ(self, **more: str) -> dict[str, str]:
        own = {name: value for name, value in os.environ.items() if not name.startswith("WATCH_")}
        return {**own, "PYTHONPATH": str(ROOT), **self.settings(**more)}

    def settings(self, **more: str) -> dict[str, str]:
        return {"WATCH_DATABASE_URL": f"sqlite:///{self.directory}/watch.db", "WATCH_ADMIN_KEY": KEY, **more}

    def run(self, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run a command to its end."""
        return subprocess.run(
            [sys.executable, "-m", "service", *arguments],
            cwd=self.directory,
            env=self.environ(**variables),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def call(self, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        """The same within this process, for what needs none of its own, nor a log."""
        own = {name: None for name in os.environ if name.startswith("WATCH_")}
        done = CliRunner().invoke(main, arguments, prog_name="webhook-watch", env={**own, **self.settings(**variables)})
        return subprocess.CompletedProcess(arguments, done.exit_code, done.stdout, done.stderr)

    @contextmanager
    def started(self, *arguments: str, **variables: str) -> Iterator[subprocess.Popen[str]]:
        """Run a command beside the test, and end it by its id."""
        with subprocess.Popen(
            [sys.executable, "-m", "service", *arguments],
            cwd=self.directory,
            env=self.environ(**variables),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as process:
            try:
                yield process
            finally:
                process.kill()

    @contextmanager
    def serving(self, port: int = 0, **variables: str) -> Iterator[Any]:
        """Serve; the process, and as ``url`` where it answers."""
        with self.started("serve", "--port", str(port), **variables) as process:
            process.told = []
            for line in process.stderr:
                process.told.append(line)
                if "listening on" in line:
                    process.url = line.split("listening on ")[1].split()[0]
                    break
            else:
                pytest.fail("".join(process.told))
            yield process


def interrupt(process: subprocess.Popen[str]) -> int:
    """Ctrl-C; the exit code."""
    process.send_signal(signal.SIGINT)
    return process.wait(20)


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    return Shell(tmp_path)
