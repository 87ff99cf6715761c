"""Sweeps as they should be: a silent baseline, then every change once."""

from __future__ import annotations

import pytest

from tests.support.polling import Rig
from tests.support.upstream import TYPES, Upstream, updated


@pytest.mark.parametrize("type_", TYPES)
async def test_the_first_sweep_is_a_silent_baseline_and_then_every_change_is_told(rig: Rig, type_: str):
    async with Upstream(type_, users=7) as upstream:
        source = await rig.source(upstream)
        sweep = await rig.turn(source)
        assert (sweep["state"], sweep["seen"], sweep["created"]) == ("completed", 7, 0), sweep
        assert await rig.changes() == []
        assert len(await rig.documents(type_)) == 7
        gone = upstream.id_of(7)
        upstream.add(8)
        upstream.rename(3, "Grace")
        upstream.remove(7)
        await rig.keeper.sweep("default", source)
        sweep = await rig.turn(source)
        assert (sweep["seen"], sweep["created"], sweep["updated"], sweep["deleted"]) == (7, 1, 1, 1), sweep
        assert sorted(await rig.changes()) == [
            ("created", upstream.id_of(8)),
            ("deleted", gone),
            ("updated", upstream.id_of(3)),
        ]


@pytest.mark.parametrize("type_", TYPES)
async def test_emit_initial_tells_what_the_first_sweep_finds_as_created(rig: Rig, type_: str):
    async with Upstream(type_, users=4) as upstream:
        source = await rig.source(upstream, emitInitial=True)
        assert (await rig.turn(source))["created"] == 4
        assert sorted(await rig.changes()) == sorted(("created", upstream.id_of(number)) for number in upstream.users)


@pytest.mark.parametrize("type_", TYPES)
async def test_what_is_as_it_was_is_no_change_however_its_members_are_ordered(rig: Rig, type_: str):
    async with Upstream(type_, users=7, shuffle=True) as upstream:
        source = await rig.baseline(upstream)
        for _ in range(3):
            await rig.keeper.sweep("default", source)
            assert (await rig.turn(source))["seen"] == 7
        assert await rig.changes() == []


async def test_sets_that_are_ordered_otherwise_and_members_that_do_not_count_are_no_change(rig: Rig):
    async with Upstream("rinkel.user", users=2) as upstream:
        source = await rig.baseline(upstream)
        upstream.users[1]["notifications"]["missedCalls"]["channels"].reverse()
        upstream.users[2]["availability"] = "UNAVAILABLE"
        await rig.next_sweep(source)
        assert await rig.changes() == []
        assert (await rig.documents("rinkel.user"))[upstream.id_of(2)]["availability"] == "UNAVAILABLE"


@pytest.mark.parametrize("type_", TYPES)
async def test_a_resource_is_kept_without_what_names_a_host_or_is_a_credential(rig: Rig, type_: str):
    async with Upstream(type_, users=1) as upstream:
        await rig.baseline(upstream)
        (document,) = (await rig.documents(type_)).values()
        assert "127.0.0.1" not in str(document)
        assert "a-credential" not in str(document)


async def test_sweeps_follow_each_other_at_the_interval_counted_from_their_beginning(rig: Rig):
    async with Upstream("agendize.account", users=1) as upstream:
        source = await rig.baseline(upstream, interval=60)
        assert await rig.due_in(source) == 60
        assert await rig.claim(source) is None
        rig.wait(60)
        await rig.turn(source)
        assert await rig.due_in(source) == 60


async def test_an_incremental_sweep_asks_for_what_was_updated_since_the_newest_of_the_last_one(rig: Rig):
    async with Upstream("outreach.user", users=7) as upstream:
        source = await rig.baseline(upstream, interval=60, fullInterval=600)
        upstream.rename(2, "Grace")
        sweep = await rig.next_sweep(source)
        assert (sweep["full"], sweep["updated"], sweep["deleted"]) == (False, 1, 0), sweep
        (since, sort) = (upstream.calls[0].query["filter[updatedAt]"], upstream.calls[0].query["sort"])
        assert since < updated(3) + "..inf"  # the newest of its first page was the third
        assert sort == "updatedAt"
        assert await rig.changes() == [("updated", "2")]


async def test_what_is_updated_while_a_sweep_reads_is_found_by_the_next_incremental_one(rig: Rig):
    async with Upstream("outreach.user", users=7) as upstream:
        source = await rig.source(upstream, interval=60, fullInterval=600)
        # on the first page, after it was read; and the one on the last page is updated later still
        upstream.between = {1: lambda: (upstream.rename(1, "Grace"), upstream.rename(7, "Grace"))}
        await rig.next_sweep(source)
        sweep = await rig.next_sweep(source)
        assert sweep["full"] is False
        assert await rig.changes() == [("updated", "1")]


async def test_only_a_full_sweep_deletes_and_it_comes_at_its_own_interval(rig: Rig):
    async with Upstream("outreach.user", users=7) as upstream:
        source = await rig.baseline(upstream, interval=60, fullInterval=180)
        upstream.remove(5)
        assert [(await rig.next_sweep(source))["full"] for _ in range(3)] == [False, False, True]
        assert await rig.changes() == [("deleted", "5")]


async def test_a_resource_that_somebody_pushed_is_updated_by_a_sweep_but_never_deleted(rig: Rig):
    async with Upstream("agendize.account", users=2) as upstream:
        pushed = upstream.users[1] | {"firstName": "Pushed"}
        await rig.service.admin.put(f"/api/v1/resources/agendize.account/{pushed['id']}", pushed)
        source = await rig.baseline(upstream)
        upstream.remove(1)
        upstream.remove(2)
        await rig.next_sweep(source)
        assert await rig.changes() == [("created", "1001"), ("updated", "1001"), ("deleted", "1002")]
        assert (await rig.documents("agendize.account"))["1001"]["firstName"] == "Ada"


async def test_deleting_a_source_leaves_its_resources_to_nobody(rig: Rig):
    async with Upstream("agendize.account", users=2) as upstream:
        source = await rig.baseline(upstream)
        await rig.keeper.remove("default", source)
        again = await rig.baseline(upstream)
        upstream.users.clear()
        sweep = await rig.next_sweep(again)
        assert (sweep["state"], sweep["deleted"]) == ("completed", 0)
        assert len(await rig.documents("agendize.account")) == 2
        assert await rig.changes() == []


async def test_an_identity_that_a_deletion_frees_belongs_to_its_new_owner_after_the_same_sweep(rig: Rig):
    async with Upstream("agendize.account", users=3) as upstream:
        source = await rig.baseline(upstream)
        email = upstream.users[1]["email"]
        upstream.remove(1)
        upstream.add(9)
        upstream.users[9] |= {"email": email, "userName": email}
        sweep = await rig.next_sweep(source)
        assert (sweep["created"], sweep["deleted"], sweep["refused"]) == (1, 1, 0), sweep
        assert await rig.changes() == [("deleted", "1001"), ("created", "1009")]


async def test_an_identity_that_one_gives_to_another_belongs_to_its_new_owner_after_the_same_sweep(rig: Rig):
    async with Upstream("outreach.user", users=7) as upstream:
        source = await rig.baseline(upstream, interval=60, fullInterval=6000)
        upstream.rename(5, "Grace")
        upstream.rename(6, "Grace")
        upstream.users[5]["attributes"]["username"] = "user6"
        upstream.users[6]["attributes"]["username"] = "somebody"
        sweep = await rig.next_sweep(source)
        assert (sweep["full"], sweep["updated"], sweep["refused"]) == (False, 2, 0), sweep
        assert await rig.changes() == [("updated", "6"), ("updated", "5")]


async def test_a_record_whose_identity_belongs_to_another_is_refused_and_read_again(rig: Rig):
    async with Upstream("outreach.user", users=7) as upstream:
        source = await rig.baseline(upstream, interval=60, fullInterval=6000)
        upstream.rename(5, "Grace")
        upstream.users[5]["attributes"]["username"] = "user6"
        for number in range(1, 5):
            upstream.rename(number, "Grace")
            sweep = await rig.next_sweep(source)
            assert (sweep["full"], sweep["updated"], sweep["refused"]) == (False, 1, 1), sweep
            assert "belongs to" in sweep["lastFault"]
        upstream.users[5]["attributes"]["username"] = "user5"
        assert (await rig.next_sweep(source))["updated"] == 1
