"""What each database does with resources, their identities, snapshots of whole directories, and lists of them."""

from __future__ import annotations

import pytest

from service import errors
from service.store import fanouts, lists, resources, snapshots
from service.store.driver import Transaction
from service.store.fanouts import Audience
from service.store.snapshots import SnapshotRow
from service.store.store import Store
from tests.support import stored
from tests.support.stored import NOW, TENANT, TYPE, change, deliver, delivery, do, resource


async def save(opened: Store, *made: resources.Stored) -> None:
    await do(opened, resources.insert, made)


async def test_a_resource_is_found_as_it_was_stored(opened: Store):
    document = {"id": "zoë", "big": 2**63 - 1, "half": 0.5, "text": 'a "quoted" \u2028 line', "none": None, "on": True}
    await save(opened, resource("zoë", 1, document), resource("gone", 3, None, origin="imported"))
    keys = [(TENANT, TYPE, "zoë"), (TENANT, TYPE, "gone"), (TENANT, TYPE, "unknown"), ("another", TYPE, "zoë")]
    found = await do(opened, resources.load, keys)
    assert found == {keys[0]: resource("zoë", 1, document), keys[1]: resource("gone", 3, None, origin="imported")}
    texts = await resources.texts(opened, keys)
    assert texts[keys[1]].text is None
    assert await resources.one(opened, TENANT, TYPE, "zoë") == found[keys[0]]
    assert await resources.one(opened, TENANT, TYPE, "unknown") is None


async def test_a_change_replaces_what_was_there(opened: Store):
    await save(opened, resource("a"), resource("b"))
    await do(opened, resources.save, [resource("a", 2), resource("b", 2, None)])
    assert [found.version for found in await resources.page(opened, TENANT, TYPE, "", 10)] == [2]
    assert (await resources.one(opened, TENANT, TYPE, "b")).document is None  # type: ignore[union-attr]


async def test_a_resource_is_not_made_twice(opened: Store):
    await save(opened, resource("a"))
    with pytest.raises(Exception, match=r"UNIQUE|others kept writing the same"):
        await save(opened, resource("a"))


async def test_resources_are_listed_in_the_order_of_code_points_without_tombstones(opened: Store):
    names = ["B", "a", "_", "ä", "10", "9", "a b", "\U0001f600"]
    await save(opened, *(resource(name) for name in names), resource("gone", 2, None))
    ordered = sorted(names)
    assert [found.id for found in await resources.page(opened, TENANT, TYPE, "", 10)] == ordered
    assert [found.id for found in await resources.page(opened, TENANT, TYPE, ordered[2], 2)] == ordered[3:5]
    assert [id_ for id_, _ in await lists.portion(opened, TENANT, TYPE, "9", 3)] == ordered[2:5]
    assert [id_ for id_, _ in await lists.portion(opened, TENANT, TYPE, "", 9, length=2)] == ["10"]
    assert await lists.lengths(opened, TENANT, TYPE) == [1, 2, 3, 4]
    assert await lists.count(opened, TENANT, TYPE) == len(names)
    assert await lists.nth(opened, TENANT, TYPE, 1) == ordered[1]
    assert await lists.nth(opened, TENANT, TYPE, 100) is None
    assert [id_ for id_, _ in await lists.some(opened, TENANT, TYPE, ["9", "unknown", "gone", "10"])] == ["9", "10"]
    latest = await resources.latest(opened, TENANT, TYPE, None)
    assert latest is not None
    assert latest.id in names
    assert await resources.latest(opened, TENANT, TYPE, "gone") is None


async def test_an_identity_has_one_owner(opened: Store):
    key = (TENANT, TYPE, "email", "zoë@example.com")
    await do(opened, resources.move_identities, [], [(key, "a")])
    assert await resources.owners(opened, [key, (*key[:3], "nobody@example.com")]) == {key: "a"}
    await do(opened, resources.move_identities, [key], [(key, "b")])
    assert await resources.owners(opened, [key]) == {key: "b"}
    with pytest.raises(Exception, match=r"UNIQUE|others kept writing the same"):
        await do(opened, resources.move_identities, [], [(key, "c")])
    known, owners = await do(opened, resources.load_with_owners, [(TENANT, TYPE, "a")], [key])
    assert (known, owners) == ({}, {key: "b"})


async def test_what_a_snapshot_has_not_shown_is_missing_window_by_window(opened: Store):
    shot = SnapshotRow("snp_1", TENANT, TYPE, "imported", NOW)
    names = [f"a{number}" for number in range(9)]
    await save(opened, *(resource(name, origin="imported") for name in names))
    await save(opened, resource("mine"), resource("new", origin="imported", updated=NOW + 1))
    await do(opened, snapshots.begin, shot)
    assert await do(opened, snapshots.mark, shot.id, ["a0", "a1", "x"]) == {"a0", "a1", "x"}
    assert await do(opened, snapshots.mark, shot.id, ["a1", "a2"]) == {"a2"}
    assert await snapshots.total(opened, shot) == 10
    windows = [window async for window in snapshots.windows(opened, shot, 4)]
    assert windows == [("", "a3"), ("a3", "a7"), ("a7", "new")]
    missing = [await snapshots.missing(opened, shot, *window, 10) for window in windows]
    assert missing == [["a3"], ["a4", "a5", "a6", "a7"], ["a8"]]
    assert await snapshots.missing(opened, shot, "", "z", 2) == ["a3", "a4"]


async def test_a_snapshot_ends_before_its_marks_are_dropped(opened: Store):
    shot = SnapshotRow("snp_1", TENANT, TYPE, "imported", NOW)
    await do(opened, snapshots.begin, shot)
    await do(opened, snapshots.mark, shot.id, ["a", "b", "c"])
    assert await snapshots.one(opened, shot.id) == shot
    await do(opened, snapshots.finish, shot.id, NOW + 5)
    assert [row.finished for row in await snapshots.left_over(opened, "imported")] == [NOW + 5]
    await do(opened, snapshots.purge, NOW + 100)
    assert await do(opened, snapshots.forget, shot.id, 2) == 2
    assert await do(opened, snapshots.forget, shot.id, 2) == 1
    assert await snapshots.left_over(opened, "imported") == []
    await do(opened, snapshots.purge, NOW + 100)
    assert await snapshots.one(opened, shot.id) is None


async def test_changes_that_many_hear_of_are_told_one_after_another_in_portions(opened: Store):
    audience = Audience.of(["w3", "w1", "w2"], 2)
    assert audience == Audience.of(["w1", "w2", "w3"], 2)
    await stored.watch(opened, "w1")
    await deliver(opened, *(delivery(change("a", version)) for version in (1, 2)), delivery(change("b")))
    for told in (change("a"), change("a", 2), change("b")):
        await do(opened, fanouts.insert, [(told, audience)])
    a, b = (TENANT, TYPE, "a"), (TENANT, TYPE, "b")
    assert await fanouts.open_(opened) == {a: 2, b: 1}
    assert await fanouts.among(opened, [a, (TENANT, TYPE, "c")]) == {a}
    told = []
    while (portion := await do(opened, fanouts.take, TENANT)) is not None:
        told.append((portion.change_id, portion.watch_ids, portion.is_last))
    assert told == [
        (id_, watch_ids, is_last)
        for id_ in ("chg_a0001", "chg_a0002", "chg_b0001")
        for watch_ids, is_last in ((["w1", "w2"], False), (["w3"], True))
    ]
    assert await fanouts.open_(opened) == {}
    assert await fanouts.change(opened, "chg_a0002") == change("a", 2)


async def test_a_transaction_that_breaks_leaves_nothing_behind(opened: Store):
    async def action(transaction: Transaction) -> None:
        await resources.insert(transaction, [resource("a")])
        assert await resources.load(transaction, [(TENANT, TYPE, "a")]), "it sees what it wrote itself"
        raise errors.Conflict("no")

    with pytest.raises(errors.Conflict):
        await opened.write(action)
    assert await resources.one(opened, TENANT, TYPE, "a") is None
