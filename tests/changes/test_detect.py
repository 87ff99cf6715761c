from __future__ import annotations

import copy
import random
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.changes import detect

NONE = detect.Rules.parse([], [])

scalars = st.sampled_from([None, True, False, 0, 1, 1.0, 2, "", "1", "a"])
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=10,
)
documents = st.dictionaries(st.sampled_from("abc"), values, max_size=3)
paths = st.lists(st.lists(st.sampled_from(["a", "b", "*"]), min_size=1, max_size=3).map(tuple), max_size=3).map(tuple)


def differs(before, after, ignore=(), unordered=()):
    rules = detect.Rules.parse(ignore, unordered)
    said = detect.differs(before, after, rules)
    assert said is detect.differs(after, before, rules)
    return said


def test_without_rules_documents_differ_unless_they_are_equal():
    assert not differs({"a": 1, "b": [1, {}]}, {"b": [1.0, {}], "a": 1})
    assert differs({"a": 1}, {"a": True})
    assert differs({"a": 1}, {"a": "1"})
    assert differs({"a": None}, {})
    assert differs({"a": [1, 2]}, {"a": [2, 1]})


@pytest.mark.parametrize(
    ("before", "after", "ignore", "answer"),
    [
        ({"a": 1, "seen": 1}, {"a": 1, "seen": 2}, ["seen"], False),
        ({"a": 1, "seen": 1}, {"a": 1}, ["seen"], False),
        ({"a": 1, "seen": 1}, {"a": 2, "seen": 1}, ["seen"], True),
        ({"a": {"seen": 1, "b": 1}}, {"a": {"seen": 2, "b": 1}}, ["a.seen"], False),
        ({"a": {"seen": 1, "b": 1}}, {"a": {"seen": 1, "b": 2}}, ["a.seen"], True),
        ({"a": {"seen": 1}}, {"a": {}}, ["a.seen"], False),
        ({"a": {"seen": 1}}, {}, ["a.seen"], True),
        ({"a": {"seen": 1}}, {"a": "seen"}, ["a.seen"], True),
        ({"tags": [{"id": 1, "color": "red"}]}, {"tags": [{"id": 1, "color": "blue"}]}, ["tags.*.color"], False),
        ({"tags": [{"id": 1, "color": "red"}]}, {"tags": [{"id": 2, "color": "red"}]}, ["tags.*.color"], True),
        ({"tags": [{"color": "red"}]}, {"tags": [{"color": "red"}, {}]}, ["tags.*.color"], True),
        ({"n": {"x": {"on": 1}, "y": {"on": 1}}}, {"n": {"x": {"on": 2}, "y": {"on": 3}}}, ["n.*.on"], False),
        ({"n": {"x": {"on": 1}}}, {"n": {"x": {"on": 2}}}, ["n.y.on", "n.*.off"], True),
        ({"n": {"x": {"on": 1, "off": 1}}}, {"n": {"x": {"on": 2, "off": 2}}}, ["n.x.on", "n.*.off"], False),
        ({"a": [1, 2]}, {"a": [1, 3]}, ["a.1"], False),
        ({"a": [1, 2]}, {"a": [3, 2]}, ["a.1"], True),
        ({"a": [1, 2]}, {"a": []}, ["a.*"], False),
        ({"a": 1}, {"b": 2}, ["*"], False),
    ],
)
def test_what_is_ignored_does_not_count(before, after, ignore, answer):
    assert differs(before, after, ignore=ignore) is answer


@pytest.mark.parametrize(
    ("before", "after", "unordered", "answer"),
    [
        ({"tools": ["call", "save"]}, {"tools": ["save", "call"]}, ["tools"], False),
        ({"tools": ["call", "save"]}, {"tools": ["save", "call"]}, ["other"], True),
        ({"tools": ["call", "save"]}, {"tools": ["save", "scheduling"]}, ["tools"], True),
        ({"tools": ["a", "a", "b"]}, {"tools": ["a", "b", "b"]}, ["tools"], True),
        ({"tools": ["a", "a"]}, {"tools": ["a"]}, ["tools"], True),
        ({"n": [1, True, "1"]}, {"n": ["1", 1.0, True]}, ["n"], False),
        ({"n": [1, 1]}, {"n": [1, True]}, ["n"], True),
        ({"n": [2**53, 2**53 + 1]}, {"n": [2**53 + 1, 2.0**53]}, ["n"], False),
        ({"n": [2**53, 2**53 + 1]}, {"n": [2.0**53, 2.0**53]}, ["n"], True),
        ({"n": [2**64 - 1, -0.0]}, {"n": [0, 2.0**64]}, ["n"], True),
        ({"tags": [{"a": 1, "b": 2}, {}]}, {"tags": [{}, {"b": 2, "a": 1.0}]}, ["tags"], False),
        ({"tags": [{"a": [1, 2]}, {}]}, {"tags": [{}, {"a": [2, 1]}]}, ["tags"], True),
        ({"tags": [{"a": [1, 2]}, {}]}, {"tags": [{}, {"a": [2, 1]}]}, ["tags", "tags.*.a"], False),
        ({"n": {"x": {"channels": [1, 2]}}}, {"n": {"x": {"channels": [2, 1]}}}, ["n.*.channels"], False),
        ({"n": [{"channels": [1, 2]}]}, {"n": [{"channels": [2, 1]}]}, ["n.*.channels"], False),
        ({"n": [{"channels": [1]}, {}]}, {"n": [{}, {"channels": [1]}]}, ["n.*.channels"], True),
        ({"tools": ["a"]}, {"tools": "a"}, ["tools"], True),
        ({"tools": ["a"]}, {}, ["tools"], True),
    ],
)
def test_the_order_of_sets_does_not_count(before, after, unordered, answer):
    assert differs(before, after, unordered=unordered) is answer


def test_elements_of_a_set_are_compared_without_what_is_ignored_in_them():
    before = {"tags": [{"id": 1, "seen": 1}, {"id": 2, "seen": 2}]}
    after = {"tags": [{"id": 2, "seen": 3}, {"id": 1}]}
    assert not differs(before, after, ignore=["tags.*.seen"], unordered=["tags"])
    assert differs(before, {"tags": [{"id": 2}, {"id": 2}]}, ignore=["tags.*.seen"], unordered=["tags"])


@settings(max_examples=500, deadline=None)
@given(documents, documents, paths, paths)
def test_ignoring_is_comparing_without(before, after, ignore, unordered):
    stripped = (detect.strip(before, ignore), detect.strip(after, ignore))
    rules = detect.Rules(ignore, unordered)
    assert detect.differs(before, after, rules) is detect.differs(*stripped, detect.Rules((), unordered))
    assert detect.differs(before, after, NONE) is not detect.equal(before, after)
    assert not detect.differs(before, copy.deepcopy(before), rules)


@settings(max_examples=300, deadline=None)
@given(st.lists(values, max_size=6), st.lists(values, max_size=6), st.randoms(use_true_random=False))
def test_sets_differ_when_no_pairing_of_their_elements_is_equal(some, others, rnd):
    shuffled = rnd.sample(some, len(some))
    assert not differs({"s": some}, {"s": shuffled}, unordered=["s"])
    left = list(others)
    for element in some:
        twin = next((index for index, other in enumerate(left) if detect.equal(element, other)), None)
        if twin is None:
            break
        del left[twin]
    else:
        assert differs({"s": some}, {"s": others}, unordered=["s"]) is bool(left)
        return
    assert differs({"s": some}, {"s": others}, unordered=["s"])


def test_a_set_of_thousands_is_compared_without_trying_every_pair():
    before = [{"id": number, "name": f"tag {number}", "weight": number / 2} for number in range(20_000)]
    after = copy.deepcopy(before)
    random.Random(3).shuffle(after)
    started = time.perf_counter()
    assert not differs({"tags": before}, {"tags": after}, unordered=["tags"])
    assert time.perf_counter() - started < 4
    after[0]["weight"] = 0.25
    assert differs({"tags": before}, {"tags": after}, unordered=["tags"])


@pytest.mark.parametrize(
    ("document", "path", "stripped"),
    [
        ({"password": "x", "a": 1}, "password", {"a": 1}),
        ({"a": {"password": "x", "b": 1}, "c": 2}, "a.password", {"a": {"b": 1}, "c": 2}),
        ({"k": [{"secret": 1, "b": 2}, {"b": 3}, 4]}, "k.*.secret", {"k": [{"b": 2}, {"b": 3}, 4]}),
        ({"k": {"x": {"secret": 1}, "y": 2}}, "k.*.secret", {"k": {"x": {}, "y": 2}}),
        ({"k": [1, 2, 3]}, "k.1", {"k": [1, 3]}),
        ({"k": [{"s": 1}, {"s": 2}]}, "k.1.s", {"k": [{"s": 1}, {}]}),
        ({"k": [1, 2, 3], "a": 1}, "k.*", {"k": [], "a": 1}),
        ({"a": 1, "b": 2}, "*", {}),
        ({"password": None}, "password", {}),
    ],
)
def test_secret_members_are_left_out_of_a_copy(document, path, stripped):
    untouched = copy.deepcopy(document)
    rules = detect.Rules.parse([path], [])
    assert detect.strip(document, rules.ignore) == stripped
    assert document == untouched


@pytest.mark.parametrize("path", ["password", "a.password", "a.*.password", "list.*.password", "list.7", "n.password"])
def test_a_document_with_nothing_to_leave_out_is_itself(path):
    document = {"a": {"b": {}}, "list": [{}, {"b": 1}, []], "n": None, "e": {}}
    assert detect.strip(document, detect.Rules.parse([path], []).ignore) is document


def test_a_copy_shares_what_it_leaves_alone():
    document = {"a": {"password": "x"}, "big": {"b": []}}
    assert detect.strip(document, (("a", "password"),))["big"] is document["big"]
