from __future__ import annotations

from pathlib import Path

import pytest

from tests.support import polling
from tests.support.authserver import AuthServer


@pytest.fixture
async def rig(tmp_path: Path):
    async with polling.rig(tmp_path) as rig:
        yield rig


@pytest.fixture
def authority():
    with AuthServer() as server:
        yield server
