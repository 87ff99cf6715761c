"""Packages of npm for tests, and node to run them.

They are installed once, outside of this tree, into the user's cache. Without node and npm, or a registry that npm can
reach, tests that ask for one are skipped, and say so.
"""

from __future__ import annotations

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
        pytest.skip(f"node and npm are not here: no test with npm's {package}")
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "webhook-watch-tests"
    home = cache / f"{package.replace('/', '-')}-{version}"
    if not home.is_dir():
        cache.mkdir(parents=True, exist_ok=True)
        draft = Path(tempfile.mkdtemp(dir=cache))
        command = [npm, "install", "--prefix", draft, "--no-audit", "--no-fund", "--ignore-scripts"]
        done = subprocess.run([*command, f"{package}@{version}"], check=False, capture_output=True, timeout=100)
        if done.returncode:
            shutil.rmtree(draft)
            pytest.skip(f"npm cannot install {package} {version}, so no test with it: {done.stderr.decode()}")
        try:
            draft.rename(home)
        except OSError:  # another run was quicker
            shutil.rmtree(draft)
    return home / "node_modules" / package


def node() -> str:
    """Where node is."""
    found = shutil.which("node")
    assert found is not None, "ask for a package first"
    return found
