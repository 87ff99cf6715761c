from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1]))  # tests import tests.support

from service import ids
from tests.support import postgres, running
from tests.support.receiver import Receiver


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--postgresql", action="store_true", help="run every test of the service over PostgreSQL")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if metafunc.definition.get_closest_marker("databases") and not metafunc.config.getoption("--postgresql"):
        metafunc.parametrize("over_postgresql", ["sqlite", "postgresql"], indirect=True)


@pytest.fixture(autouse=True)
def over_postgresql(request: pytest.FixtureRequest):
    """With ``--postgresql``, or for a test that is marked so: its service keeps everything in PostgreSQL."""
    marked = request.node.get_closest_marker("postgresql") is not None or getattr(request, "param", "") == "postgresql"
    if not (request.config.getoption("--postgresql") or marked):
        yield
        return
    server = request.getfixturevalue("postgres_server")
    url = asyncio.run(server.new_database())
    (request.getfixturevalue("tmp_path") / "database.url").write_text(url)
    yield
    asyncio.run(server.drop(url))


@pytest.fixture(autouse=True)
def own_ids(monkeypatch: pytest.MonkeyPatch):
    """Ids never go back in time, so those of a test whose clock is ahead would be ahead in all that follow."""
    monkeypatch.setattr(ids, "_last_ms", 0)


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
