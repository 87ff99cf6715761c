"""Which updates a watch with ``fields`` hears of, and that asking costs no more than it must."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from service import errors
from service.changes import detect
from service.changes.detect import Rules
from service.model import Change, Event, Watch, WatchStatus
from service.watches import fields
from service.watches.fields import Comparison
from service.watches.registry import Prepared, Registry

CASES = json.loads((Path(__file__).parents[1] / "corpus" / "fields.json").read_text(encoding="utf-8"))
WATCH = Watch("wch_1", "t", "acme.user", "https://example.com/", 0, 0)


def update(before: Any, after: Any, object_id: str = "u1") -> Change:
    return Change(
        "chg_1", "t", "acme.user", object_id, Event.UPDATED, 2, 0, before, after, detect.diff(before, after), "/users"
    )


def registry_of(*watches: Watch) -> Registry:
    registry = Registry()
    for watch in watches:
        registry.adopt(Prepared.of(watch))
    return registry


def heard(registry: Registry, change: Change) -> list[str]:
    return sorted(prepared.watch.id for prepared in registry.match(change))


@pytest.mark.parametrize("case", CASES, ids=[case["name"] for case in CASES])
def test_an_update_is_heard_of_if_a_field_changed(case: Any):
    registry = registry_of(replace(WATCH, fields=tuple(case["fields"])))
    for before, after in ((case["before"], case["after"]), (case["after"], case["before"])):
        assert heard(registry, update(before, after)) == (["wch_1"] if case["touched"] else [])


def test_the_index_never_passes_over_what_a_comparison_finds():
    """Random documents, random paths: the watches that hear are those whose paths lead to something else."""
    chance = random.Random(3)
    names = ("a", "b", "c", "0", "id")

    def value(depth: int) -> Any:
        kind = chance.randrange(5 if depth else 3)
        if kind == 3:
            return {name: value(depth - 1) for name in chance.sample(names, chance.randrange(4))}
        if kind == 4:
            return [value(depth - 1) for _ in range(chance.randrange(4))]
        return chance.choice((0, 1, True, False, None, "x", 1.0))

    def path() -> str:
        links = [
            f".{chance.choice(names[:3])}",
            "['0']",
            "[0]",
            "[*]",
            "..a",
            ".*",
            "[-1]",
            "['a', 'b']",
            "[?(@.a == 1)]",
        ]
        weights = (8, 2, 2, 1, 1, 1, 1, 1, 1)
        return "$" + "".join(chance.choices(links, weights, k=chance.randrange(4)))

    watches = [
        replace(WATCH, id=f"wch_{number}", fields=tuple({path() for _ in range(chance.randrange(1, 4))}))
        for number in range(300)
    ]
    registry = registry_of(*watches)
    compiled = {watch.id: fields.compile(watch.fields or ()) for watch in watches}
    silent = 0
    for _ in range(400):
        before = {name: value(3) for name in names[:3]}
        after = {**before, chance.choice(names): value(3)}
        change = update(before, after)
        if not change.diff:
            continue
        comparison = Comparison(change, lambda _type, document: document)
        expected = sorted(id_ for id_, paths in compiled.items() if comparison.touches(paths))
        assert heard(registry, change) == expected
        silent += len(watches) - len(expected)
    assert silent > 1000


def test_created_and_deleted_pass_whatever_the_fields_are():
    registry = registry_of(replace(WATCH, fields=("$.a",)))
    made = replace(update({}, {"b": 1}), event=Event.CREATED, before=None, diff=[])
    gone = replace(made, event=Event.DELETED, before={"b": 1}, after=None)
    assert heard(registry, made) == heard(registry, gone) == ["wch_1"]


def test_fields_go_along_with_events_and_resource_and_status():
    registry = registry_of(
        replace(WATCH, id="all"),
        replace(WATCH, id="picky", fields=("$.a",)),
        replace(WATCH, id="picky of u1", fields=("$.a",), object_id="u1"),
        replace(WATCH, id="picky of u2", fields=("$.a",), object_id="u2"),
        replace(WATCH, id="not of updates", fields=("$.a",), events=(Event.CREATED,)),
        replace(WATCH, id="disabled", fields=("$.a",), status=WatchStatus.DISABLED),
        replace(WATCH, id="another tenant's", fields=("$.a",), tenant="other"),
        replace(WATCH, id="of another type", fields=("$.a",), object_type="acme.device"),
    )
    assert heard(registry, update({"a": 1}, {"a": 2})) == ["all", "picky", "picky of u1"]
    assert heard(registry, update({"a": 1}, {"a": 2}, "u2")) == ["all", "picky", "picky of u2"]
    change = update({"b": 1}, {"b": 2})
    assert heard(registry, change) == ["all"]
    over = registry.passed_over(change, registry.match(change))
    assert over is not None
    assert (over.watches, sorted(over.ids)) == (2, ["picky", "picky of u1"])
    everything = update({"a": 1}, {"a": 2})
    assert registry.passed_over(everything, registry.match(everything)) is None


def test_a_watch_that_changes_or_goes_is_asked_no_more():
    registry = registry_of(replace(WATCH, fields=("$.a", "$.b.c")))
    registry.adopt(Prepared.of(replace(WATCH, fields=("$.b.d",))))
    assert heard(registry, update({"a": 1}, {"a": 2})) == []
    assert heard(registry, update({"b": {"d": 1}}, {"b": {"d": 2}})) == ["wch_1"]
    registry.adopt(Prepared.of(WATCH))
    assert heard(registry, update({"a": 1}, {"a": 2})) == ["wch_1"]
    assert not registry.has_fields
    registry.adopt(Prepared.of(replace(WATCH, fields=("$.a",))))
    registry.remove("wch_1")
    assert heard(registry, update({"a": 1}, {"a": 2})) == []
    assert not registry.has_fields


def test_the_order_of_a_set_is_no_change_of_it():
    rules = Rules.parse([], ["tools", "teams.*.roles"])
    registry = Registry(lambda _type, document: detect.in_order(document, rules))
    registry.adopt(Prepared.of(replace(WATCH, fields=("$.tools", "$.teams[*].roles"))))
    before = {"tools": ["a", "b"], "teams": [{"roles": [1, 2]}], "x": 1}
    assert heard(registry, update(before, {"tools": ["b", "a"], "teams": [{"roles": [2, 1]}], "x": 2})) == []
    assert heard(registry, update(before, {**before, "tools": ["b", "c"]})) == ["wch_1"]
    assert heard(registry, update(before, {**before, "teams": [{"roles": [2, 1, 1]}]})) == ["wch_1"]


def test_ten_thousand_watches_cost_a_change_what_the_one_costs_that_wants_it():
    """Work is counted, not time: how many watches were looked at for a change that one of them wants."""
    chance = random.Random(10)
    registry = Registry()
    for number in range(10_000):
        kind = number % 4
        watch = replace(WATCH, id=f"wch_{number}")
        if kind == 0:  # of a resource of its own
            watch = replace(watch, object_id=f"other{number}")
        elif kind == 1:  # of other events
            watch = replace(watch, events=chance.choice(((Event.CREATED,), (Event.DELETED,))))
        else:  # of other members, side by side or inside each other
            watch = replace(watch, fields=(f"$.m{number}", f"$.preferences.p{number}.x"))
        registry.adopt(Prepared.of(watch))
    registry.adopt(Prepared.of(replace(WATCH, id="the one", fields=("$.preferences.language",))))
    change = update({"preferences": {"language": "en"}}, {"preferences": {"language": "fr"}})
    for _ in range(5):
        assert heard(registry, change) == ["the one"]
    assert registry.examined == 5
    over = registry.passed_over(change, registry.match(change))
    assert over is not None
    assert over.watches == 5000
    assert len(over.ids) == 20
    other = update({"credit": 1}, {"credit": 2})
    assert heard(registry, other) == []
    assert registry.examined == 6  # of the change before, asked once more


def test_paths_that_look_at_everything_are_bounded_and_tell_in_doubt():
    registry = registry_of(*(replace(WATCH, id=f"wch_{n}", fields=(f"$..*..*..x{n}",)) for n in range(50)))
    before = {"a": [[n] * 50 for n in range(200)], "b": 1}
    assert len(heard(registry, update(before, {**before, "b": 2}))) == 50


def test_a_path_that_is_none_is_refused_with_its_place():
    with pytest.raises(errors.Invalid) as caught:
        fields.compile(["$.a", "$.[", "b"])
    assert [(fault.pointer, fault.detail.partition(":")[0]) for fault in caught.value.errors] == [
        ("/1", "`$.[`, character 4"),
        ("/2", "`b`, character 1"),
    ]


def test_who_hears_is_the_same_however_watches_came_and_went():
    chance = random.Random(8)
    registry, there = Registry(), {}
    for _ in range(1500):
        id_ = f"wch_{chance.randrange(12)}"
        if chance.random() < 0.3:
            registry.remove(id_)
            there.pop(id_, None)
        else:
            watch = replace(
                WATCH,
                id=id_,
                object_id=chance.choice((None, "u1", "u2")),
                events=tuple(chance.sample((Event.CREATED, Event.UPDATED, Event.DELETED), chance.randrange(1, 4))),
                fields=chance.choice((None, None, ("$.a",), ("$.b",))),
                status=chance.choice(tuple(WatchStatus)),
            )
            registry.adopt(Prepared.of(watch))
            there[id_] = watch
        updated = update({"a": 1, "b": 1}, {"a": 2, "b": 1}, chance.choice(("u1", "u2", "u3")))
        for change in (updated, replace(updated, event=Event.DELETED, after=None, diff=[])):
            expected = sorted(
                watch.id
                for watch in there.values()
                if watch.status is WatchStatus.ENABLED
                and change.event in watch.events
                and watch.object_id in {None, change.object_id}
                and not (change.event is Event.UPDATED and watch.fields == ("$.b",))
            )
            assert heard(registry, change) == expected
    assert len(registry) == len(there)
