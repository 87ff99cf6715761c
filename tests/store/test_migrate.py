from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

import pytest

from service import errors
from service.model import Algorithm
from service.store import cryptokeys, migrate, sqlite, store
from service.store.cryptokeys import CryptoKeyRow
from service.store.driver import Database
from service.store.sql import Query
from tests.support import notes
from tests.support.postgres import Server

TABLES = Query(
    "test.tables",
    "SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name",
    postgresql="SELECT tablename AS name FROM pg_tables WHERE schemaname = 'public' ORDER BY tablename",
)


async def test_an_empty_database_gets_every_table_and_a_migrated_one_nothing(database: Database):
    assert await migrate.migrate(database) == [path.stem for path in migrate.available().values()]
    assert await migrate.migrate(database) == []
    assert await migrate.installed(database) == max(migrate.available())
    names = {row["name"] for row in await database.fetch(TABLES)}
    assert {"resources", "changes", "watches", "deliveries", "attempts", "journal"} <= names


async def test_a_database_of_a_newer_version_is_refused(database: Database):
    await migrate.migrate(database)
    async with database.transaction() as transaction:
        await notes.note(transaction, "schema", "9999")
    with pytest.raises(errors.ConfigError, match="newer version"):
        await migrate.migrate(database)


async def test_a_migration_that_fails_leaves_the_database_as_it_was(database: Database, tmp_path: Path):
    files = tmp_path / "migrations"
    files.mkdir()
    (files / "0001_first.sql").write_text("CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL);")
    (files / "0002_second.sql").write_text("CREATE TABLE half (id TEXT); CREATE TABLE half (id TEXT);")
    with pytest.raises(errors.ConfigError, match="0002_second"):
        await migrate.migrate(database, files)
    assert await migrate.installed(database) == 1
    assert [row["name"] for row in await database.fetch(TABLES)] == ["meta"]


async def test_lines_for_one_database_are_left_out_for_the_other(database: Database, tmp_path: Path):
    (tmp_path / "0001_first.sql").write_text(
        "CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL);\n"
        "-- on sqlite\nCREATE TABLE light (id TEXT);\n"
        "-- on postgresql: with words behind it\nCREATE TABLE heavy (id TEXT);\n"
        "-- on both\nCREATE TABLE plain (id @serial@, name TEXT);\n"
    )
    await migrate.migrate(database, tmp_path)
    own = "heavy" if database.is_shared else "light"
    names = [row["name"] for row in await database.fetch(TABLES)]
    assert [name for name in names if not name.startswith("sqlite_")] == sorted(["meta", "plain", own])


async def test_of_processes_that_start_at_once_one_migrates_and_the_others_wait(postgres_server: Server):
    url = await postgres_server.new_database()

    async def start() -> list[str]:
        async with store.database(url) as database:
            return await migrate.migrate(database)

    applied = await asyncio.gather(*(start() for _ in range(4)))
    assert sorted(len(names) for names in applied) == [0, 0, 0, len(migrate.available())]
    await postgres_server.drop(url)


async def test_a_file_that_is_no_database_is_refused_by_name(tmp_path: Path):
    path = tmp_path / "letter.db"
    path.write_text("Dear reader, this is not a database, however long you look at it.\n" * 100)
    with pytest.raises(errors.ConfigError, match=r"letter\.db"):
        async with sqlite.opened(path):
            pass


async def test_keys_of_a_former_version_are_still_there_and_still_named_by_their_watches(
    database: Database, tmp_path: Path
):
    former = tmp_path / "migrations"
    former.mkdir()
    for number, path in migrate.available().items():
        if number < 5:
            (former / path.name).write_text(path.read_text(encoding="utf-8"), encoding="utf-8")
    await migrate.migrate(database, former)
    await database.script(
        """
        INSERT INTO tenants (id, created) VALUES ('default', 1);
        INSERT INTO crypto_keys (id, tenant, name, algorithm, sealed, created)
        VALUES ('key_1', 'default', 'first', 'hmac-sha256', 'sealed', 2);
        INSERT INTO watches (id, tenant, object_type, status, address, spec, created, updated, revision)
        VALUES ('wch_1', 'default', 'agendize.account', 'enabled', 'https://example.com/', '{}', 3, 3, 1);
        INSERT INTO watch_keys (watch_id, key_id) VALUES ('wch_1', 'key_1');
        """
    )
    await migrate.migrate(database)
    key = await cryptokeys.one(database, "default", "key_1")
    assert key == CryptoKeyRow("key_1", "default", "first", Algorithm.HMAC_SHA256, "sealed", 2, watches=1)
    with pytest.raises(Exception, match=r"(?i)foreign key"):  # the table still refuses it
        async with database.transaction() as transaction:
            await cryptokeys.remove(transaction, "key_1", None)
    assert await cryptokeys.one(database, "default", "key_1") == key


async def test_events_of_watches_join_those_of_changes_and_what_is_stored_stays(database: Database, tmp_path: Path):
    before = tmp_path / "before"
    before.mkdir()
    for number, path in migrate.available().items():
        if number < 9:
            shutil.copy(path, before)
    insert = Query(
        "test.change",
        "INSERT INTO changes (id, tenant, type, object_id, event, version, time, source, after, diff) "
        "VALUES (:id, 't', 'watch', 'w', :event, :version, 1, '/', '{}', '[]')",
    )
    await migrate.migrate(database, before)
    async with database.transaction() as transaction:
        await transaction.fetch(insert, {"id": "1", "event": "created", "version": 1})
    await migrate.migrate(database)
    async with database.transaction() as transaction:
        await transaction.fetch(insert, {"id": "2", "event": "exhausted", "version": 2})
    with pytest.raises(Exception, match=r"(?i)check constraint"):
        async with database.transaction() as transaction:
            await transaction.fetch(insert, {"id": "3", "event": "eaten", "version": 3})
    events = await database.fetch(Query("test.events", "SELECT id, event FROM changes ORDER BY id"))
    assert [tuple(row) for row in events] == [("1", "created"), ("2", "exhausted")]
