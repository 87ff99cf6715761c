"""Packages of npm for tests, and node to run them.

They are installed once, outside of this tree, into the user's cache. Without node and npm, or a registry that npm can
reach, tests that ask for one are skipped, and say so.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest


def installed(package: str, version: str) -> Path:
    """The directory of a package, installed if need be; skips the test where it cannot be."""
    npm = shutil.which("npm")
    if npm is None or shutil.which("node") is None:
        pytest.skip(f"NO NODE AND NPM ARE HERE, so no test with npm's {package}")
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "webhook-watch-tests"
    home = cache / f"{package.replace('/', '-')}-{version}"
    try:
        if not home.is_dir():
            _install(npm, f"{package}@{version}", home)
    except (OSError, subprocess.SubprocessError) as error:
        said = getattr(error, "stderr", None) or b""
        pytest.skip(f"NPM CANNOT INSTALL {package} {version}, so no test with it: {error} {said.decode()}")
    return home / "node_modules" / package


def _install(npm: str, what: str, home: Path) -> None:
    """Into a directory beside it, which then takes its name: whole, or not at all."""
    home.parent.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(dir=home.parent))
    try:
        command = [
            npm,
            "install",
            "--prefix",
            draft,
            "--no-audit",
            "--no-fund",
            "--ignore-scripts",
            "--fetch-retries=1",
        ]
        subprocess.run([*command, what], check=True, capture_output=True, timeout=60)
        with contextlib.suppress(OSError):  # another run was quicker
            draft.rename(home)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def node() -> str:
    """Where node is."""
    found = shutil.which("node")
    assert found is not None, "ask for a package first"
    return found
