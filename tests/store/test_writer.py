from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from service import errors
from service.store import sqlite, store
from service.store.driver import Transaction
from service.store.store import Store
from tests.support import notes


async def remember(transaction: Transaction, items: list[str]) -> list[str | Exception]:
    results: list[str | Exception] = []
    for item in items:
        if item == "refused":
            results.append(errors.Conflict("refused alone"))
            continue
        if item == "bug":
            raise RuntimeError("a bug")
        await notes.note(transaction, item, "set")
        results.append(item.upper())
    return results


async def test_writes_that_wait_at_the_same_time_share_one_commit(opened: Store):
    before = opened.commits()
    answers = await asyncio.gather(*(opened.submit(remember, f"item{number}") for number in range(100)))
    assert answers == [f"ITEM{number}" for number in range(100)]
    assert opened.commits() - before <= 2
    assert await notes.noted(opened, "item99") == "set"


async def test_an_exception_among_the_results_reaches_its_caller_only(opened: Store):
    answers = await asyncio.gather(
        opened.submit(remember, "a"),
        opened.submit(remember, "refused"),
        opened.submit(remember, "b"),
        return_exceptions=True,
    )
    assert answers[0] == "A"
    assert isinstance(answers[1], errors.Conflict)
    assert answers[2] == "B"


async def test_a_batch_that_breaks_fails_only_the_item_that_breaks_it(opened: Store):
    answers = await asyncio.gather(
        *(opened.submit(remember, item) for item in ("x", "bug", "y")), return_exceptions=True
    )
    assert answers[0] == "X"
    assert isinstance(answers[1], RuntimeError)
    assert answers[2] == "Y"
    assert await notes.noted(opened, "x") == "set"


async def test_what_is_done_after_a_commit_is_done_before_its_caller_hears_of_it(opened: Store):
    order = []

    async def action(transaction: Transaction) -> None:
        transaction.after_commit(lambda: order.append("after commit"))

    await opened.write(action)
    order.append("caller")
    assert order == ["after commit", "caller"]


async def test_nothing_is_done_after_a_transaction_that_failed(opened: Store):
    order: list[str] = []

    async def action(transaction: Transaction) -> None:
        transaction.after_commit(lambda: order.append("after commit"))
        await notes.note(transaction, "half", "written")
        raise errors.Conflict("no")

    with pytest.raises(errors.Conflict):
        await opened.write(action)
    assert order == []
    assert await notes.noted(opened, "half") is None


async def test_a_write_alone_shares_its_transaction_with_nobody(opened: Store):
    seen: list[str] = []

    async def alone(transaction: Transaction) -> None:
        seen.append("alone begins")
        await notes.note(transaction, "alone", "written")
        transaction.after_commit(lambda: seen.append("alone is committed"))

    async def batch(transaction: Transaction, items: list[int]) -> list[int]:
        await notes.note(transaction, "batch", "written")
        transaction.after_commit(lambda: seen.extend("batch" for _ in items))
        return items

    await asyncio.gather(opened.submit(batch, 1), opened.submit(batch, 2), opened.write(alone), opened.submit(batch, 3))
    assert sorted(seen) == ["alone begins", "alone is committed", *["batch"] * 3]
    assert seen.index("alone is committed") == seen.index("alone begins") + 1


async def test_a_caller_who_goes_away_loses_nothing_of_the_others(opened: Store):
    impatient = asyncio.create_task(opened.submit(remember, "impatient"))
    patient = asyncio.create_task(opened.submit(remember, "patient"))
    await asyncio.sleep(0)
    impatient.cancel()
    assert await patient == "PATIENT"


async def test_a_store_that_is_closed_takes_nothing_and_has_written_what_waited(url: str):
    async with asyncio.TaskGroup() as group:
        async with store.opened(url, group) as first:
            waiting = asyncio.create_task(first.submit(remember, "late"))
            await asyncio.sleep(0)
        assert await waiting == "LATE"
        with pytest.raises(errors.Unavailable):
            await first.submit(remember, "too late")
        async with store.opened(url, group) as second:
            assert await notes.noted(second, "late") == "set"


async def test_a_database_that_is_locked_by_a_stranger_is_unavailable_and_recovers(tmp_path: Path, monkeypatch):
    import sqlite3

    monkeypatch.setattr(sqlite, "PRAGMAS", (*sqlite.PRAGMAS, "PRAGMA busy_timeout = 50"))
    async with asyncio.TaskGroup() as group, store.opened(f"sqlite:///{tmp_path}/busy.db", group) as opened:
        stranger = sqlite3.connect(tmp_path / "busy.db", isolation_level=None)
        stranger.execute("BEGIN IMMEDIATE")
        with pytest.raises(errors.Unavailable, match="nothing was stored"):
            await opened.submit(remember, "blocked")
        stranger.execute("ROLLBACK")
        stranger.close()
        assert await opened.submit(remember, "free") == "FREE"


async def test_one_process_serves_a_database_file(tmp_path: Path):
    url = f"sqlite:///{tmp_path}/sole.db"
    async with asyncio.TaskGroup() as group, store.opened(url, group):
        with pytest.raises(errors.ConfigError, match="another process serves this file"):
            async with store.opened(url, group):
                pass
