"""The order of changes: nothing that is committed later stands before what a reader has seen."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import Any

import pytest

from service.journal import feed as journal_feed
from service.journal.feed import Wanted
from service.model import Change, Event
from service.store import changes, feed, migrate, sqlite
from service.store.driver import Database, Transaction
from service.store.feed import START, Place
from service.store.sql import Query

ORDER = Query("test.order", "SELECT id FROM changes ORDER BY tx, seq")
INSERT = Query(
    "test.insert",
    "INSERT INTO changes (id, tenant, type, object_id, event, version, time, source, after, diff)"
    " VALUES (:id, 'default', 'agendize.account', 'a1', 'updated', :version, :version, '/', '{}', '[]')",
)


async def write(transaction: Transaction, *names: str) -> None:
    made = [
        Change(f"chg_{name}", "t", "acme.user", name, Event.CREATED, 1, 1000, None, {"id": name}, [], "/")
        for name in names
    ]
    await changes.insert(transaction, made)


async def seen(database: Database, after: Place = START) -> list[tuple[Place, str]]:
    rows = await feed.page(database, "t", {}, after, 100)
    return [(Place(row["tx"], row["seq"]), row["object_id"]) for row in rows]


class BrokenOff(Exception):
    """What ends a transaction here."""


async def break_off(database: Database) -> None:
    async with database.transaction() as transaction:
        await write(transaction, "lost")
        raise BrokenOff


async def test_a_transaction_that_is_committed_later_stands_behind_what_was_seen(database: Database):
    await migrate.migrate(database)
    async with database.transaction() as transaction:
        await write(transaction, "first")
    if not database.is_shared:
        async with database.transaction() as transaction:
            await write(transaction, "second", "third")
        assert [name for _, name in await seen(database)] == ["first", "second", "third"]
        return
    async with database.transaction() as slow:
        await write(slow, "slow 1")
        async with database.transaction() as quick:
            await write(quick, "quick")
        before = await seen(database)
        assert [name for _, name in before] == ["first"]  # the quick one is committed, but others may come before it
        await write(slow, "slow 2")
    behind = await seen(database, before[-1][0])
    assert [name for _, name in behind] == ["slow 1", "slow 2", "quick"]
    assert await seen(database) == before + behind
    for place, name in behind[:-1]:
        assert [later for _, later in await seen(database, place)] == ["slow 1", "slow 2", "quick"][
            [name for _, name in behind].index(name) + 1 :
        ]


async def test_a_reader_waits_a_moment_for_writes_that_began_before_what_is_committed(database: Database):
    await migrate.migrate(database)
    if not database.is_shared:
        return

    async def read() -> list[Any]:
        items, _ = await journal_feed.page(database, "t", Wanted(), None, 100)
        return [item.document["objectId"] for item in items]

    async with database.transaction() as slow:
        await write(slow, "slow")
        async with database.transaction() as quick:
            await write(quick, "quick")
        reading = asyncio.ensure_future(read())
        await asyncio.sleep(0.05)
        assert not reading.done()
    assert await reading == ["slow", "quick"]
    async with database.transaction() as endless:
        await write(endless, "endless")
        async with database.transaction() as quick:
            await write(quick, "quick 2")
        assert await read() == ["slow", "quick"]  # nobody waits for ever, and nothing is passed over
    assert await read() == ["slow", "quick", "endless", "quick 2"]


async def test_a_transaction_that_is_rolled_back_leaves_a_gap_that_nobody_waits_for(database: Database):
    await migrate.migrate(database)
    with pytest.raises(BrokenOff):
        await break_off(database)
    async with database.transaction() as transaction:
        await write(transaction, "kept")
    assert [name for _, name in await seen(database)] == ["kept"]


async def test_places_are_not_given_again_when_the_newest_changes_are_gone(database: Database):
    await migrate.migrate(database)
    async with database.transaction() as transaction:
        await write(transaction, "a", "b")
    ((_, _), (last, _)) = await seen(database)
    async with database.transaction() as transaction:
        assert await changes.purge(transaction, "chg_z", 100) == 2
    assert await seen(database) == []
    assert await feed.forgotten(database, "t") == (last, 1000)
    async with database.transaction() as transaction:
        await write(transaction, "c")
    ((place, name),) = await seen(database, last)
    assert name == "c"
    assert place > last


async def test_changes_from_before_get_their_places_in_the_order_of_their_ids(database: Database, tmp_path: Path):
    for number, file in migrate.available().items():
        if number < 7:
            (tmp_path / file.name).write_text(file.read_text(encoding="utf-8"), encoding="utf-8")
    await migrate.migrate(database, tmp_path)
    async with database.transaction() as transaction:
        await transaction.many(INSERT, [{"id": f"chg_{number}", "version": number} for number in (3, 1, 2)])
    await migrate.migrate(database)
    assert [row["id"] for row in await database.fetch(ORDER)] == ["chg_1", "chg_2", "chg_3"]


async def test_a_page_is_one_stretch_of_an_index_however_much_stands_before_it(tmp_path: Path):
    async def plan(query: Query, *fragments: str) -> str:
        text = query.text.replace("@filters@", " AND ".join(fragments))
        named = dict.fromkeys(re.findall(r":(\w+)", text))
        return str((await database.fetch(Query("test.plan", f"EXPLAIN QUERY PLAN {text}"), named))[0]["detail"])

    of_type, of_object = feed.FILTERS["type"], feed.FILTERS["objectId"]
    async with sqlite.opened(tmp_path / "a.db") as database:
        await migrate.migrate(database)
        rest = "SEARCH c USING INDEX changes_feed (tenant=? AND tx=? AND seq>?)"
        assert await plan(feed.Q.page, feed.REST) == rest
        assert await plan(feed.Q.page, feed.REST, of_type, feed.FILTERS["since"]) == rest
        assert await plan(feed.Q.page, feed.LATER) == "SEARCH c USING INDEX changes_feed (tenant=? AND tx>?)"
        assert "type=? AND object_id=?" in await plan(feed.Q.of_one, feed.BEHIND, of_type, of_object)
