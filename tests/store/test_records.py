"""What each database does with watches, keys, sources, jobs, and the rest of what is kept one by one."""

from __future__ import annotations

from dataclasses import replace

import pytest

from service.model import DeliveryStatus, Health, Role
from service.store import (
    authorizations,
    cryptokeys,
    health,
    jobs,
    keptanswers,
    keys,
    replays,
    replicas,
    sealed,
    sources,
    tokens,
    verifications,
    watches,
)
from service.store.authorizations import AuthorizationRow
from service.store.cryptokeys import CryptoKeyRow
from service.store.jobs import Job, State
from service.store.keys import ApiKeyRow
from service.store.replays import Given, Phase, Replay
from service.store.sources import End, SourceRow
from service.store.store import Store
from tests.support import stored
from tests.support.stored import NOW, TENANT, change, deliver, delivery, do


async def test_watches_are_found_listed_and_those_written_since_a_revision(opened: Store):
    first = await stored.watch(opened, "w1", name="first")
    second = await stored.watch(opened, "w2")
    assert second > first
    found = await watches.one(opened, TENANT, "w1")
    assert found is not None
    assert (found.spec["name"], found.sealed, found.revision, found.is_deleted) == ("first", "sealed", first, False)
    assert await watches.one(opened, "another", "w1") is None
    assert await watches.anyones(opened, "w1") == found
    assert [row.id for row in await watches.page(opened, TENANT, "w1", 10)] == ["w2"]
    third = await do(opened, watches.remove, "w1", NOW)
    assert [row.id for row in await watches.everyone(opened)] == ["w2"]
    assert [(row.id, row.is_deleted, row.revision) for row in await watches.since(opened, first)] == [
        ("w2", False, second),
        ("w1", True, third),
    ]
    assert (await replicas.revisions(opened))[0] == third
    assert await watches.one(opened, TENANT, "w1") is None


async def test_a_pause_that_a_receiver_asked_for_is_the_longest_and_its_address_s(opened: Store):
    before = await stored.watch(opened, "w1")
    await do(opened, watches.hold, "w1", NOW + 10)
    await do(opened, watches.hold, "w1", NOW + 5)
    (row,) = await watches.since(opened, before)
    assert row.hold_until == NOW + 10
    await stored.watch(opened, "w1", name="renamed")
    assert (await watches.everyone(opened))[0].hold_until == NOW + 10
    await stored.watch(opened, "w1", address="https://elsewhere.example/")
    assert (await watches.everyone(opened))[0].hold_until == 0


async def crypto_key(opened: Store, id_: str) -> int:
    await do(opened, keys.add_tenant, TENANT, NOW)
    return await do(opened, cryptokeys.add, CryptoKeyRow(id_, TENANT, "ours", "hmac-sha256", "sealed", NOW))


async def test_crypto_keys_follow_each_other_and_are_kept_while_a_watch_names_them(opened: Store):
    first = await crypto_key(opened, "key_1")
    await crypto_key(opened, "key_2")
    await stored.watch(opened, "w1", "key_1")
    assert await watches.users_of_key(opened, "key_1") == ["w1"]
    revision, renamed = await do(opened, watches.rename_key, "key_1", "key_2", NOW + 1)
    assert renamed == ["w1"]
    assert revision > first
    retired = await do(opened, cryptokeys.retire, "key_1", "key_2", NOW + 100)
    assert [(row.id, row.successor, row.expires) for row in await cryptokeys.changed(opened, revision)] == [
        ("key_1", "key_2", NOW + 100)
    ]
    assert await cryptokeys.state(opened) == (2, retired)
    assert await cryptokeys.ids(opened) == {"key_1", "key_2"}
    await do(opened, cryptokeys.used, {"key_2": NOW}, NOW - 1)
    found = await cryptokeys.one(opened, TENANT, "key_2")
    assert found is not None
    assert (found.last_used, found.watches) == (NOW, 1)
    assert [row.id for row in await cryptokeys.page(opened, TENANT, "key_1", 5)] == ["key_2"]
    await do(opened, cryptokeys.remove, "key_1", "key_2")
    assert await cryptokeys.ids(opened) == {"key_2"}
    with pytest.raises(Exception, match=r"(?i)foreign key"):
        await do(opened, cryptokeys.remove, "key_2", None)


async def test_api_keys_are_found_by_their_hash_and_each_write_of_one_counts(opened: Store):
    row = ApiKeyRow("apk_1", TENANT, None, Role.AGENT, NOW)
    await do(opened, keys.add_tenant, TENANT, NOW)
    await do(opened, keys.add_tenant, TENANT, NOW + 1)
    await do(opened, keys.save_api_key, row, "hash")
    _, before = await replicas.revisions(opened)
    assert await keys.api_key_by_hash(opened, "hash") == row
    await do(opened, keys.save_api_key, row, "another hash")
    assert await keys.api_key_by_hash(opened, "hash") is None
    assert await keys.api_key(opened, None, "apk_1") == await keys.api_key(opened, TENANT, "apk_1") == row
    assert await keys.api_key(opened, "another", "apk_1") is None
    assert await keys.api_keys(opened, None, "", 5) == await keys.api_keys(opened, TENANT, "", 5) == [row]
    assert await keys.api_keys(opened, TENANT, "apk_1", 5) == []
    await do(opened, keys.delete_api_key, "apk_1")
    assert await keys.api_keys(opened, None, "", 5) == []
    assert (await replicas.revisions(opened))[1] > before + 1


async def test_whatever_is_sealed_is_sealed_anew(opened: Store):
    await crypto_key(opened, "key_1")
    await stored.watch(opened, "w1")
    await do(opened, sealed.set_canary, "bird")
    await do(opened, sealed.seal_anew, str.upper)
    assert await sealed.canary(opened) == "BIRD"
    assert (await watches.everyone(opened))[0].sealed == "SEALED"
    assert (await cryptokeys.one(opened, TENANT, "key_1")).sealed == "SEALED"  # type: ignore[union-attr]


async def test_one_job_at_a_time_runs_of_a_kind_and_a_subject(opened: Store):
    job = Job("job_1", TENANT, "import", "acme.user", NOW, worker="wrk_1")
    await do(opened, jobs.insert, job)
    found = await jobs.running(opened, TENANT, "import", "acme.user")
    assert found == replace(job, worker=None)
    with pytest.raises(Exception, match=r"UNIQUE|others kept writing the same"):
        await do(opened, jobs.insert, replace(job, id="job_2"))
    await do(opened, jobs.save, replace(job, done=3, total=9, result={"created": 3}))
    assert await do(opened, jobs.abandon, "import", "gone", NOW + 1, ["wrk_2"]) == []
    assert await do(opened, jobs.abandon, "import", "gone", NOW + 1, ["wrk_1"]) == [(TENANT, "acme.user")]
    await do(opened, jobs.save, replace(job, done=4))
    ended = await jobs.one(opened, TENANT, "job_1")
    assert ended is not None
    assert (ended.state, ended.done, ended.total, ended.detail, ended.finished) == (State.FAILED, 3, 9, "gone", NOW + 1)
    await do(opened, jobs.insert, replace(job, id="job_2"))
    assert [found.id for found in await jobs.page(opened, TENANT, None, 5)] == ["job_2", "job_1"]
    assert [found.id for found in await jobs.page(opened, TENANT, "job_2", 5)] == ["job_1"]
    await do(opened, jobs.purge, TENANT, "job_9")
    assert [found.id for found in await jobs.page(opened, TENANT, None, 5)] == ["job_2"]
    assert await do(opened, jobs.abandon, "import", "gone", NOW, None) == [(TENANT, "acme.user")]


async def source(opened: Store) -> SourceRow:
    await do(opened, keys.add_tenant, TENANT, NOW)
    row = SourceRow("src_1", TENANT, {"type": "acme.user", "status": "active"}, "sealed", "file.toml", {"n": 1}, NOW)
    await do(opened, sources.insert, row)
    return row


async def test_a_source_is_worked_at_by_one_at_a_time_under_a_fence(opened: Store):
    row = await source(opened)
    assert await sources.one(opened, TENANT, "src_1") == await sources.one(opened, None, "src_1") == row
    assert await sources.page(opened, TENANT, "", 5) == await sources.declared(opened) == [row]
    assert await sources.due(opened, "me", NOW, 5) == ["src_1"]
    assert await sources.due(opened, "me", NOW - 1, 5) == []
    claimed = await do(opened, sources.claim, "src_1", "me", NOW, NOW + 30)
    assert (claimed.worker, claimed.lease_until, claimed.fence) == ("me", NOW + 30, 1)
    assert await do(opened, sources.claim, "src_1", "another", NOW + 29, NOW + 60) is None
    assert await sources.next_due(opened, "another") == NOW + 30
    assert await sources.next_due(opened, "me") is None
    assert await do(opened, sources.keep, "src_1", 1, NOW + 40)
    assert await do(opened, sources.checkpoint, "src_1", 1, {"n": 2}) is False
    await do(opened, sources.confirm, "src_1", NOW)
    assert await do(opened, sources.checkpoint, "src_1", 1, {"n": 2}) is True
    assert await do(opened, sources.checkpoint, "src_1", 1, {"n": 2}, concluded=True) is False
    taken = await do(opened, sources.claim, "src_1", "another", NOW + 40, NOW + 70)
    assert (taken.worker, taken.fence, taken.sweep) == ("another", 2, {"n": 2})
    assert not await do(opened, sources.keep, "src_1", 1, NOW + 99)
    assert await do(opened, sources.checkpoint, "src_1", 1, {"n": 3}) is None
    assert not await do(opened, sources.settle, "src_1", 1, End({"n": 3}, NOW, 0, completed=True), NOW)
    assert await do(opened, sources.settle, "src_1", 2, End({"n": 4}, NOW + 500, NOW + 300, completed=True), NOW + 50)
    settled = await sources.one(opened, None, "src_1")
    assert settled is not None
    assert (settled.worker, settled.due, settled.hold_until, settled.sweep) == (None, NOW + 500, NOW + 300, {"n": 4})
    await do(opened, sources.sweep_now, "src_1", NOW + 100)
    assert (await sources.one(opened, None, "src_1")).due == NOW + 300  # type: ignore[union-attr]


async def test_the_turns_of_those_who_are_no_more_are_free(opened: Store):
    await source(opened)
    await do(opened, sources.claim, "src_1", "me", NOW, NOW + 30)
    await do(opened, sources.free, ["another"])
    assert await sources.due(opened, "you", NOW, 5) == []
    await do(opened, sources.free, ["me", "another"])
    assert await sources.due(opened, "you", NOW, 5) == ["src_1"]
    await do(opened, sources.claim, "src_1", "me", NOW, NOW + 30)
    await do(opened, sources.take_over)
    assert await sources.due(opened, "you", NOW, 5) == ["src_1"]
    row = await sources.one(opened, None, "src_1")
    assert row is not None
    await do(opened, sources.save, replace(row, spec={"type": "acme.user", "status": "paused"}))
    assert await sources.due(opened, "you", NOW, 5) == []
    await do(opened, sources.save_secrets, "src_1", "other")
    assert (await sources.one(opened, None, "src_1")).sealed == "other"  # type: ignore[union-attr]
    await do(opened, sources.remove, row, "pushed")
    assert await sources.one(opened, None, "src_1") is None


async def test_the_health_of_receivers_is_kept(opened: Store):
    for name in ("w1", "w2"):
        await stored.watch(opened, name)
    known = {"w1": Health(3, NOW, None), "w2": Health(0, None, NOW)}
    await do(opened, health.save, known)
    assert await health.of(opened, ["w1", "w2", "w3"]) == await do(opened, health.locked, ["w1", "w2"]) == known
    assert await health.ailing(opened) == {"w1": known["w1"]}
    assert [await do(opened, health.next_notice, "w1") for _ in range(2)] == [1, 2]
    await do(opened, health.save, {"w1": Health(4, NOW, NOW - 5)})
    assert (await health.of(opened, ["w1"]))["w1"].failures == 4
    await do(opened, health.forgive, "w1")
    assert await health.ailing(opened) == {}
    await do(opened, health.forget, "w1")
    assert await health.of(opened, ["w1"]) == {}


async def test_a_replay_goes_on_from_the_step_that_its_writer_has_seen(opened: Store):
    replay = Replay("job_1", TENANT, "w1", None, NOW, frozenset({DeliveryStatus.FAILED}), missing=True)
    await stored.watch(opened, "w1")
    await deliver(opened, delivery(change("a")), delivery(change("b"), lane=None))
    await do(opened, replays.insert, replay)
    assert await replays.everyone(opened) == [replay]
    ahead = replace(replay, phase=Phase.MISSING, place="dlv_1", under_way=(Given("dlv_w1_a0001", 2),))
    assert await do(opened, replays.save, ahead)
    assert not await do(opened, replays.save, ahead), "another one was there before"
    assert await replays.one(opened, "job_1") == replace(ahead, step=1)
    await do(opened, replays.give, replace(ahead, under_way=()))
    assert (await replays.one(opened, "job_1")).under_way == ()  # type: ignore[union-attr]
    await do(opened, replays.see, "job_1", ["chg_a0001", "chg_a0001"])
    found = await replays.changes(opened, "job_1", "", "chg_z", 5)
    assert [(row["id"], row["seen"]) for row in found] == [("chg_a0001", "chg_a0001"), ("chg_b0001", None)]
    assert [row["id"] for row in await replays.deliveries(opened, "w1", "", "dlv_z", 1)] == ["dlv_w1_a0001"]
    progress = await replays.progress(opened, ["dlv_w1_b0001", "unknown"])
    assert [(row["id"], row["attempts"], row["due"]) for row in progress] == [("dlv_w1_b0001", 0, NOW)]
    assert await replays.behind(opened, [("w1", "a", 2), ("w1", "a", 1), ("w1", "b", 2)]) == {("a", 2)}
    assert not await replays.is_telling(opened, TENANT, "chg_z")
    await do(opened, replays.remove, "job_1")
    assert await replays.left_over(opened) == ["job_1"]
    assert await do(opened, replays.forget, "job_1", 5) == 1
    assert await replays.left_over(opened) == []


async def test_a_receiver_is_asked_by_one_at_a_time(opened: Store):
    await stored.watch(opened, "w1")
    await do(opened, verifications.ask, "w1", NOW, anew=False)
    assert await verifications.next_due(opened) == NOW
    (claim,) = await do(opened, verifications.claim, "me", NOW, NOW + 30, 5)
    assert await do(opened, verifications.claim, "you", NOW + 29, NOW + 60, 5) in ([], ())
    await do(opened, verifications.ask, "w1", NOW + 1, anew=True)
    assert not await do(opened, verifications.settle, claim, None), "it was asked for anew"
    (claim,) = await do(opened, verifications.claim, "me", NOW + 1, NOW + 30, 5)
    await do(opened, verifications.free, ["me"])
    (claim,) = await do(opened, verifications.claim, "you", NOW + 1, NOW + 30, 5)
    await do(opened, verifications.release, "you")
    (claim,) = await do(opened, verifications.claim, "me", NOW + 1, NOW + 30, 5)
    assert await do(opened, verifications.settle, claim, NOW + 99)
    assert await verifications.next_due(opened) == NOW + 99


async def test_an_authorization_is_used_once(opened: Store):
    await stored.watch(opened, "w1")
    await do(opened, authorizations.insert, AuthorizationRow("hash", TENANT, "w1", "sealed", NOW + 10))
    found = await authorizations.one(opened, "hash")
    assert found is not None
    assert (found.sealed, found.used) == ("sealed", None)
    assert await do(opened, authorizations.use, "hash", NOW)
    assert not await do(opened, authorizations.use, "hash", NOW)
    assert (await authorizations.one(opened, "hash")).sealed is None  # type: ignore[union-attr]
    await do(opened, authorizations.purge, NOW + 11)
    assert await authorizations.one(opened, "hash") is None


async def test_an_answer_is_kept_once_and_for_a_day(opened: Store):
    day = keptanswers.KEPT
    assert await do(opened, keptanswers.keep, "id", "sealed", NOW)
    assert not await do(opened, keptanswers.keep, "id", "other", NOW + 1)
    assert await keptanswers.find(opened, "id", NOW + day - 1) == "sealed"
    assert await keptanswers.find(opened, "id", NOW + day) is None
    assert await do(opened, keptanswers.expire, NOW + day - 1, 5) == 0
    assert await do(opened, keptanswers.expire, NOW + day + 1, 5) == 1


async def test_a_token_is_kept_for_all_until_it_is_no_good(opened: Store):
    await do(opened, tokens.keep, "w1", "sealed", NOW)
    await do(opened, tokens.keep, "w1", "newer", NOW + 5)
    assert await tokens.find(opened, "w1") == ("newer", NOW + 5)
    await do(opened, tokens.purge, NOW + 5)
    assert await tokens.find(opened, "w1") is not None
    await do(opened, tokens.purge, NOW + 6)
    assert await tokens.find(opened, "w1") is None
