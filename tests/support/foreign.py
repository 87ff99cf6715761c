"""Servers that others wrote, installed by the tests themselves and run as processes of their own.

They are kept in the user's cache directory, so that only the first run installs them.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest

INSTALLED_WITHIN = 300  # seconds
STARTED_WITHIN = 30


def python_package(name: str, version: str) -> Path:
    """The directory of a PyPI package and what it needs."""
    return _installed(f"{name}-{version}", ["pip", f"{name}=={version}"], _pip)


def npm_packages(*packages: str) -> Path:
    """The directory of npm packages such as ``left-pad@1.3.0``; skips where npm is missing."""
    if shutil.which("npm") is None or shutil.which("node") is None:
        pytest.skip(f"npm is not installed, so {' '.join(packages)} is not tried")
    return _installed("+".join(packages).replace("/", "_"), list(packages), _npm)


def _installed(name: str, arguments: Sequence[str], install: object) -> Path:
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "webhook-watch-tests"
    there = cache / name
    if not there.is_dir():
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache) as draft:
            install(Path(draft) / "it", arguments)  # type: ignore[operator]
            try:
                (Path(draft) / "it").rename(there)
            except OSError:  # another run was faster
                assert there.is_dir()
    return there


def _pip(directory: Path, arguments: Sequence[str]) -> None:
    run(sys.executable, "-m", "pip", "install", "--quiet", "--target", str(directory), *arguments[1:])


def _npm(directory: Path, arguments: Sequence[str]) -> None:
    directory.mkdir()
    options = ("--no-audit", "--no-fund", "--ignore-scripts", "--no-save", "--loglevel=error")
    run("npm", "install", "--prefix", str(directory), *options, *arguments)


def run(*command: str, within: float = INSTALLED_WITHIN, cwd: Path | None = None) -> None:
    """Run a command that has to succeed."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=within, check=False, cwd=cwd)
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout}\n{done.stderr}"


@asynccontextmanager
async def served(url: str, *command: str, directory: Path, **variables: str) -> AsyncIterator[Path]:
    """Run a server until it answers at this URL, and end it by its id; the file of what it says."""
    log = directory / "foreign.log"
    file = await asyncio.to_thread(log.open, "ab")
    environ = {"PATH": os.environ["PATH"], "HOME": str(directory), **variables}
    process = await asyncio.create_subprocess_exec(*command, cwd=directory, env=environ, stdout=file, stderr=file)
    file.close()
    try:
        async with aiohttp.ClientSession() as session, asyncio.timeout(STARTED_WITHIN):
            answered = False
            while not answered:
                assert process.returncode is None, log.read_text()
                await asyncio.sleep(0.05)
                try:
                    async with session.get(url):
                        answered = True
                except aiohttp.ClientConnectionError:
                    continue
        yield log
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()
