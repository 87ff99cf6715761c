from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1]))  # tests import tests.support

from tests.support import postgres, running
from tests.support.receiver import Receiver


@pytest.fixture(scope="session")
def postgres_server():
    with postgres.server() as server:
        yield server


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if postgres.find() is None:
        terminalreporter.write_line(postgres.MISSING, red=True, bold=True)


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
