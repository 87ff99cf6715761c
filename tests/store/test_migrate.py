from __future__ import annotations

from pathlib import Path

import pytest

from service import errors
from service.store import migrate, sqlite
from service.store.sql import Query
from tests.support import notes

TABLES = Query("test.tables", "SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name")


async def test_an_empty_database_gets_every_table_and_a_migrated_one_nothing(tmp_path: Path):
    async with sqlite.opened(tmp_path / "a.db") as database:
        assert await migrate.migrate(database) == [path.stem for path in migrate.available().values()]
        assert await migrate.migrate(database) == []
        assert await migrate.installed(database) == max(migrate.available())
        names = {row["name"] for row in await database.fetch(TABLES)}
    assert {"resources", "changes", "watches", "deliveries", "attempts", "journal"} <= names


async def test_a_database_of_a_newer_version_is_refused(tmp_path: Path):
    async with sqlite.opened(tmp_path / "a.db") as database:
        await migrate.migrate(database)
        async with database.transaction() as transaction:
            await notes.note(transaction, "schema", "9999")
        with pytest.raises(errors.ConfigError, match="newer version"):
            await migrate.migrate(database)


async def test_a_migration_that_fails_leaves_the_database_as_it_was(tmp_path: Path):
    files = tmp_path / "migrations"
    files.mkdir()
    (files / "0001_first.sql").write_text("CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL);")
    (files / "0002_second.sql").write_text("CREATE TABLE half (id TEXT); CREATE TABLE half (id TEXT);")
    async with sqlite.opened(tmp_path / "a.db") as database:
        with pytest.raises(errors.ConfigError, match="0002_second"):
            await migrate.migrate(database, files)
        assert await migrate.installed(database) == 1
        assert [row["name"] for row in await database.fetch(TABLES)] == ["meta"]


async def test_a_file_that_is_no_database_is_refused_by_name(tmp_path: Path):
    path = tmp_path / "letter.db"
    path.write_text("Dear reader, this is not a database, however long you look at it.\n" * 100)
    with pytest.raises(errors.ConfigError, match=r"letter\.db"):
        async with sqlite.opened(path):
            pass
