from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from service.store import store
from service.store.store import Store


@pytest.fixture(params=["sqlite", "postgresql"])
async def url(request: pytest.FixtureRequest, tmp_path: Path):
    """An empty database of each kind: what a test says of the store, it says of both."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path}/w.db"
        return
    server = request.getfixturevalue("postgres_server")
    found = await server.new_database()
    yield found
    await server.drop(found)


@pytest.fixture
async def opened(url: str):
    async with asyncio.TaskGroup() as group, store.opened(url, group) as opened:
        yield opened


@pytest.fixture
async def database(url: str):
    async with store.database(url) as database:
        yield database


@pytest.fixture
def is_sqlite(opened: Store) -> bool:
    return not opened.is_shared
