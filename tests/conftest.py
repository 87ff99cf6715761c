from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1]))  # tests import tests.support

from tests.support import running
from tests.support.receiver import Receiver


@pytest.fixture
async def receiver():
    async with Receiver() as receiver:
        yield receiver


@pytest.fixture
async def service(tmp_path: Path):
    async with running.service(tmp_path) as service:
        yield service


@pytest.fixture
def admin(service: running.Service) -> running.Client:
    return service.admin
