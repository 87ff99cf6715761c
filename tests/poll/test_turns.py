"""Whose turn it is, and what is left of a turn that was cut off."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from pathlib import Path

import pytest

from service.changes.poll.turn import Lost
from service.store import sources
from tests.support import polling
from tests.support.polling import TENANT, Rig
from tests.support.upstream import Upstream


async def cut_off(rig: Rig, source: str, commits: int) -> bool:
    """Work at a source and be killed after so many transactions; whether there was still something to do then."""
    row = await rig.claim(source)
    assert row is not None
    store = rig.means.store
    last = store.commits() + commits
    task = asyncio.create_task(rig.work(row))
    while store.commits() < last and not task.done():
        await asyncio.sleep(0)
    task.cancel()
    rig.worker = f"{rig.worker}'s successor"
    with suppress(asyncio.CancelledError):
        await task
        return False
    return True


async def take_over(rig: Rig, source: str) -> None:
    """Go on, unless all was done."""
    rig.wait(polling.LEASE / 1000)
    row = await rig.claim(source)
    if row is not None:
        await rig.work(row)


@pytest.mark.parametrize("type_", ["agendize.account", "outreach.user", "rinkel.user"])
async def test_killed_after_any_transaction_a_sweep_goes_on_and_tells_every_change_once(type_: str, tmp_path: Path):
    alive, commits = True, 0
    while alive:
        commits += 1
        directory = tmp_path / str(commits)
        directory.mkdir()
        async with polling.rig(directory) as rig, Upstream(type_, users=9) as upstream:
            source = await rig.baseline(upstream)
            gone = upstream.id_of(4)
            upstream.remove(4)
            upstream.add(10)
            upstream.rename(5, "Grace")
            await rig.keeper.sweep(TENANT, source)
            alive = await cut_off(rig, source, commits)
            if alive:
                assert await rig.claim(source) is None, "the lease still runs"
                await take_over(rig, source)
                sweep = await rig.sweep(source)
                assert (sweep["state"], sweep["seen"], sweep["heldDeletions"]) == ("completed", 9, 0), commits
            assert sorted(await rig.changes()) == sorted(
                [("created", upstream.id_of(10)), ("updated", upstream.id_of(5)), ("deleted", gone)]
            ), commits
    assert commits > 5


async def test_killed_while_confirmed_deletions_are_done_they_are_done_in_the_end_and_nothing_else(tmp_path: Path):
    alive, commits = True, 0
    while alive:
        commits += 1
        directory = tmp_path / str(commits)
        directory.mkdir()
        async with polling.rig(directory) as rig, Upstream("agendize.account", users=12) as upstream:
            source = await rig.baseline(upstream)
            for number in range(1, 8):
                upstream.remove(number)
            await rig.keeper.sweep(TENANT, source)
            assert (await rig.next_sweep(source))["heldDeletions"] == 7
            await rig.keeper.confirm(TENANT, source)
            alive = await cut_off(rig, source, commits)
            if alive:
                await take_over(rig, source)
            assert len(await rig.documents("agendize.account")) == 5, commits
            assert sorted(await rig.changes()) == [("deleted", f"{1000 + number}") for number in range(1, 8)], commits


async def test_of_many_who_want_a_turn_one_gets_it(rig: Rig):
    async with Upstream("agendize.account", users=1) as upstream:
        source = await rig.source(upstream)
        workers = [f"wrk_{number}" for number in range(10)]

        async def claim(worker: str) -> object:
            return await rig.means.store.write(
                lambda transaction: sources.claim(transaction, source, worker, rig.now, rig.now + polling.LEASE)
            )

        claims = await asyncio.gather(*map(claim, workers))
        assert sum(row is not None for row in claims) == 1


async def test_who_has_lost_a_turn_writes_nothing_more(rig: Rig):
    async with Upstream("outreach.user", users=9) as upstream:
        source = await rig.source(upstream)
        late = await rig.claim(source)
        assert late is not None
        rig.wait(polling.LEASE / 1000)
        rig.worker = "another"
        assert (await rig.turn(source))["seen"] == 9
        before = await rig.row(source)
        with pytest.raises(Lost):
            await rig.work(late)
        after = await rig.row(source)
        assert (after.sweep, after.due, after.fence) == (before.sweep, before.due, before.fence)
        assert await rig.changes() == []


@pytest.mark.parametrize("what", ["pause", "merge"])
async def test_a_sweep_ends_at_its_next_page_when_its_source_is_paused_or_changed(rig: Rig, what: str):
    async with Upstream("outreach.user", users=9) as upstream:
        source = await rig.source(upstream)

        async def intervene() -> None:
            if what == "pause":
                await rig.keeper.pause(TENANT, source)
            else:
                await rig.keeper.merge(TENANT, source, {"interval": 100})

        upstream.hooks = {2: intervene}
        row = await rig.claim(source)
        assert row is not None
        with pytest.raises(Lost):
            await rig.work(row)
        assert len(upstream.calls) == 2
        if what == "pause":
            assert await rig.claim(source) is None
            assert (await rig.sweep(source))["state"] == "waiting"
            await rig.keeper.resume(TENANT, source)
        sweep = await rig.turn(source)
        assert (sweep["state"], sweep["seen"], sweep["pages"]) == ("completed", 9, 3)
        assert len(upstream.calls) == 4
        assert await rig.changes() == []


async def test_a_sweep_of_another_url_begins_anew(rig: Rig):
    async with Upstream("outreach.user", users=9) as upstream, Upstream("outreach.user", users=9) as other:
        source = await rig.source(upstream)

        async def move() -> None:
            await rig.keeper.merge(TENANT, source, {"url": other.url})

        upstream.hooks = {2: move}
        row = await rig.claim(source)
        assert row is not None
        with pytest.raises(Lost):
            await rig.work(row)
        assert (await rig.turn(source))["seen"] == 9
        assert len(other.calls) == 3


async def test_who_asks_for_a_sweep_during_one_gets_another_that_begins_afterwards(rig: Rig):
    async with Upstream("outreach.user", users=9) as upstream:
        source = await rig.source(upstream)

        async def ask() -> None:
            upstream.remove(1)
            await rig.keeper.sweep(TENANT, source)

        upstream.hooks = {3: ask}
        await rig.turn(source)
        assert await rig.due_in(source) <= 0
        await rig.turn(source)
        assert await rig.due_in(source) > 0
        assert await rig.changes() == [("deleted", "1")]


async def test_snapshots_leave_nothing_behind(rig: Rig):
    async with Upstream("outreach.user", users=9) as upstream:
        source = await rig.baseline(upstream)
        for _ in range(3):
            await rig.keeper.sweep(TENANT, source)
            await rig.turn(source)
        assert await rig.count("snapshots") == 0
        assert await rig.count("seen") == 0
