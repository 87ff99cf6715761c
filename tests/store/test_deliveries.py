"""What each database does with deliveries: leases, fences, lanes and the log."""

from __future__ import annotations

from typing import Any

import pytest

from service.model import DeliveryStatus, Reason
from service.store import changes, deliveries, journal
from service.store.deliveries import Job
from service.store.store import Store
from tests.support import stored
from tests.support.stored import NOW, TENANT, change, deliver, delivery, do, settlement

PENDING, FAILED, SUCCEEDED = DeliveryStatus.PENDING, DeliveryStatus.FAILED, DeliveryStatus.SUCCEEDED


@pytest.fixture(autouse=True)
async def two_watches(opened: Store):
    for name in ("w1", "w2"):
        await stored.watch(opened, name)


async def claim(opened: Store, watch_id: str = "w1", *, now: int = NOW, limit: int = 10) -> tuple[list[Job], Any]:
    return await do(opened, deliveries.claim, watch_id, "me", now, limit)


async def settle(opened: Store, *settlements: Any, onward: frozenset[str] = frozenset({"w1"})) -> list[Job]:
    return (await do(opened, deliveries.settle, settlements, onward, "me", NOW)).jobs()


async def statuses(opened: Store) -> dict[str, str]:
    return {row["id"]: row["status"] for row in await journal.page(opened, TENANT, {}, 100)}


async def test_what_is_due_is_claimed_oldest_first_and_only_once(opened: Store):
    told = [delivery(change(name), due=NOW + place) for place, name in enumerate("cab")]
    await deliver(opened, *told, delivery(change("later"), due=NOW + 1000))
    jobs, following = await claim(opened, now=NOW + 10, limit=2)
    assert [job.id for job in jobs] == ["dlv_w1_c0001", "dlv_w1_a0001"]
    assert (jobs[0].fence, jobs[0].attempts, jobs[0].single, jobs[0].body) == (1, 0, False, None)
    assert jobs[0].change == change("c")
    assert following == NOW + 2
    jobs, following = await claim(opened, now=NOW + 10)
    assert [job.id for job in jobs] == ["dlv_w1_b0001"]
    assert following == NOW + 1000
    assert await claim(opened, now=NOW + 10) == ([], NOW + 1000)
    assert await claim(opened, "w2", now=NOW + 10) == ([], None)


async def test_of_a_lane_only_the_first_has_a_due_time(opened: Store):
    placed = await deliver(opened, delivery(change("a")))
    assert placed == {"dlv_w1_a0001": NOW}
    behind, other = delivery(change("a", 2), worker="me"), delivery(change("b"), worker="me")
    assert await deliver(opened, behind, other) == {behind.id: None, other.id: NOW}
    assert await deliver(opened, delivery(change("a", 3), lane=None)) == {"dlv_w1_a0003": NOW}
    assert await deliveries.backlog(opened) == {"w1": NOW}


async def test_the_end_of_one_gives_the_next_of_its_lane_its_turn(opened: Store):
    await deliver(opened, delivery(change("a")))
    await deliver(opened, delivery(change("a", 2)))
    await deliver(opened, delivery(change("a", 3)))
    (job,), _ = await claim(opened)
    (following,) = await settle(opened, settlement(job))
    assert (following.id, following.fence, following.change) == ("dlv_w1_a0002", 1, change("a", 2))
    assert await settle(opened, settlement(following), onward=frozenset()) == [], "it waits in the table"
    (last,), _ = await claim(opened)
    assert last.id == "dlv_w1_a0003"


async def test_a_failure_that_is_tried_again_keeps_its_lane_and_its_body(opened: Store):
    await deliver(opened, delivery(change("a")))
    await deliver(opened, delivery(change("a", 2)))
    (job,), _ = await claim(opened)
    assert await settle(opened, settlement(job, PENDING, Reason.STATUS, NOW + 5000)) == []
    assert await claim(opened) == ([], NOW + 5000)
    (again,), _ = await claim(opened, now=NOW + 5000)
    assert (again.id, again.body, again.attempts, again.fence) == (job.id, b"a body", 1, 2)


async def test_an_outcome_under_a_former_fence_changes_nothing(opened: Store):
    await deliver(opened, delivery(change("a")))
    (lost,), _ = await claim(opened)
    await do(opened, deliveries.free, ["me"])
    (job,), _ = await claim(opened)
    assert job.fence > lost.fence
    await settle(opened, settlement(lost, FAILED, Reason.TIMEOUT))
    assert await statuses(opened) == {"dlv_w1_a0001": "pending"}
    await settle(opened, settlement(job))
    (row,) = await journal.history(opened, TENANT, job.id)
    assert (row["status"], row["number"], row["attempt_reason"]) == ("succeeded", 1, None)


async def test_what_is_given_back_or_taken_over_is_claimed_again(opened: Store):
    told = [delivery(change(name), worker="me") for name in "ab"]
    await deliver(opened, *told)
    assert await claim(opened) == ([], None)
    await do(opened, deliveries.release, "somebody else", [told[0].id])
    assert await claim(opened) == ([], None)
    await do(opened, deliveries.release, "me", [told[0].id])
    assert [job.id for job in (await claim(opened))[0]] == [told[0].id]
    await do(opened, deliveries.free, ["somebody else", "another one"])
    assert await claim(opened) == ([], None)
    await do(opened, deliveries.take_over, "not me")
    assert len((await claim(opened))[0]) == 2


async def test_a_canceled_one_stays_canceled_whatever_comes_of_its_attempt(opened: Store):
    await deliver(opened, delivery(change("a")), delivery(change("b")), delivery(change("c"), "w2"))
    (job, *_), _ = await claim(opened)
    await do(opened, deliveries.cancel, "w1", NOW)
    await settle(opened, settlement(job))
    assert await statuses(opened) == {"dlv_w1_a0001": "canceled", "dlv_w1_b0001": "canceled", "dlv_w2_c0001": "pending"}


async def test_an_ended_one_is_sent_once_more_outside_its_lane(opened: Store):
    await deliver(opened, delivery(change("a")))
    (job,), _ = await claim(opened)
    await settle(opened, settlement(job, FAILED, Reason.STATUS))
    await do(opened, deliveries.again, job.id, FAILED, NOW)
    (again,), _ = await claim(opened)
    assert (again.id, again.lane, again.single) == (job.id, None, True)
    await settle(opened, settlement(again))
    (taken,) = await do(opened, deliveries.take_again, [job.id, "unknown"], "me", NOW)
    assert (taken.id, taken.single, taken.attempts) == (job.id, True, 2)


async def test_one_that_waits_is_hurried(opened: Store):
    await deliver(opened, delivery(change("a"), due=NOW + 5000))
    await do(opened, deliveries.again, "dlv_w1_a0001", PENDING, NOW)
    assert len((await claim(opened))[0]) == 1


async def test_the_journal_tells_what_happened_in_order(opened: Store):
    await deliver(opened, delivery(change("a")), delivery(change("b")))
    jobs, _ = await claim(opened)
    await settle(opened, *(settlement(job) for job in jobs))
    last = await journal.last_seq(opened)
    rows = await journal.events(opened, TENANT, 0, last, {})
    assert [(row["kind"], row["status"]) for row in rows] == [("created", "pending")] * 2 + [
        ("attempt", "succeeded")
    ] * 2
    assert [row["seq"] for row in rows] == sorted(row["seq"] for row in rows)
    assert rows[-1]["seq"] == last
    assert await journal.first_seq(opened) == rows[0]["seq"]
    found = await journal.events(opened, TENANT, rows[0]["seq"], last, {"status": "succeeded", "objectId": "b"})
    assert [row["id"] for row in found] == ["dlv_w1_b0001"]
    assert await journal.events(opened, "another", 0, last, {}) == []


@pytest.mark.parametrize(
    ("filters", "found"),
    [
        ({}, ["dlv_w2_a0001", "dlv_w1_b0001", "dlv_w1_a0001"]),
        ({"cursor": "dlv_w2_a0001"}, ["dlv_w1_b0001", "dlv_w1_a0001"]),
        ({"watchId": "w2"}, ["dlv_w2_a0001"]),
        ({"objectId": "a"}, ["dlv_w2_a0001", "dlv_w1_a0001"]),
        ({"objectEvent": "created", "status": "failed"}, ["dlv_w1_a0001"]),
        ({"statusCode": 200}, ["dlv_w1_a0001"]),
        ({"reason": "status"}, ["dlv_w1_a0001"]),
    ],
    ids=str,
)
async def test_the_log_is_listed_newest_first_and_filtered(opened: Store, filters: dict[str, Any], found: list[str]):
    told = [delivery(change("a")), delivery(change("b")), delivery(change("a", id_="chg_a0001"), "w2")]
    await deliver(opened, *told)
    (job, _), _ = await claim(opened)
    await settle(opened, settlement(job, FAILED, Reason.STATUS))
    assert [row["id"] for row in await journal.page(opened, TENANT, filters, 10)] == found
    assert [row["id"] for row in await journal.page(opened, TENANT, filters, 1)] == found[:1]


async def test_what_ended_long_ago_is_dropped_a_few_at_a_time_and_what_leans_on_it_later(opened: Store):
    await deliver(opened, *(delivery(change(name)) for name in "abc"))
    (one, two, _), _ = await claim(opened)
    await settle(opened, settlement(one), settlement(two))
    assert await do(opened, changes.purge, "chg_z", 10) == 0, "deliveries lean on them"
    assert await do(opened, journal.drop_expired, "dlv_z", NOW + 1, 1) >= 1
    while await do(opened, journal.drop_expired, "dlv_z", NOW + 1, 1):
        pass
    assert await statuses(opened) == {"dlv_w1_c0001": "pending"}
    assert await journal.history(opened, TENANT, one.id) == []
    assert await do(opened, changes.purge, "chg_z", 10) == 2


async def test_a_text_with_a_nul_is_refused_by_name_where_it_cannot_be_stored(opened: Store):
    from service import errors
    from tests.support import notes

    if not opened.is_shared:
        await do(opened, notes.note, "nul", "a\x00b")
        assert await notes.noted(opened, "nul") == "a\x00b"
        return
    with pytest.raises(errors.Invalid, match="NUL"):
        await do(opened, notes.note, "nul", "a\x00b")
