from __future__ import annotations

import base64
import functools
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.changes.order import Key, Order
from service.changes.parameters import BadParameter

NAME, AGE, AT = (("name",), "text"), (("age",), "number"), (("at",), "date-time")
VALUES = st.fixed_dictionaries(
    {},
    optional={
        "name": st.sampled_from(["", "a", "B", "ä", "𝄞", None, 5]),
        "age": st.sampled_from([0, 1, 1.5, -1, 2**63, True, "x", None]),
        "at": st.sampled_from(["2026-01-31T12:00:00Z", "2026-01-31T13:00:00+01:00", "2026-01-31T12:00:00.001Z", "?"]),
    },
)
DOCUMENTS = st.lists(VALUES, max_size=12).map(lambda found: [(str(n), one) for n, one in enumerate(found)])
KEYS = st.lists(
    st.builds(lambda key, descending: Key(*key, descending), st.sampled_from([NAME, AGE, AT]), st.booleans()),
    max_size=3,
)


def order(*keys):
    return Order(tuple(Key(path, kind, descending) for (path, kind), descending in keys))


def ranked(by, documents):
    return [id_ for id_, one in sorted(documents.items(), key=lambda item: by.rank(by.position(item[1], item[0])))]


def test_ids_decide_where_nothing_else_does():
    documents = {"2": {"name": "a"}, "10": {"name": "a"}, "1": {"name": "a"}}
    assert ranked(order(), documents) == ["1", "10", "2"]
    assert ranked(order((NAME, False)), documents) == ["1", "10", "2"]
    assert ranked(order((NAME, True)), documents) == ["1", "10", "2"]


def test_ids_that_are_numbers_are_in_the_order_of_numbers():
    documents = {"2": {}, "10": {}, "1": {}, "9": {}}
    assert ranked(Order(numeric=True), documents) == ["1", "2", "9", "10"]
    by_name = Order(order((NAME, True)).keys, numeric=True)
    assert ranked(by_name, {**documents, "3": {"name": "a"}}) == ["1", "2", "9", "10", "3"]


def test_the_second_key_decides_where_the_first_does_not():
    documents = {
        "1": {"name": "b", "age": 1},
        "2": {"name": "a", "age": 1},
        "3": {"name": "a", "age": 10},
        "4": {"name": "b", "age": 9},
    }
    assert ranked(order((NAME, False), (AGE, True)), documents) == ["3", "2", "4", "1"]
    assert ranked(order((NAME, True), (AGE, False)), documents) == ["1", "4", "2", "3"]


def test_times_are_sorted_as_times():
    documents = {
        "1": {"at": "2026-01-31T12:00:00.5Z"},
        "2": {"at": "2026-01-31T12:00:00Z"},
        "3": {"at": "2026-01-31T14:00:00+02:30"},
    }
    assert ranked(order((AT, False)), documents) == ["3", "2", "1"]


def test_what_is_missing_comes_last_and_first_when_descending():
    documents = {"1": {}, "2": {"age": 5}, "3": {"age": None}, "4": {"age": "x"}, "5": {"age": -1}}
    assert ranked(order((AGE, False)), documents) == ["5", "2", "1", "3", "4"]
    assert ranked(order((AGE, True)), documents) == ["1", "3", "4", "2", "5"]


@given(DOCUMENTS, KEYS)
def test_an_order_is_total_and_a_cursor_stands_for_a_place_in_it(documents, keys):
    by = Order(tuple(keys))
    positions = [by.position(one, id_) for id_, one in documents]
    for position in positions:
        assert by.read("page[after]", by.cursor(position)) == position
    in_order = sorted(positions, key=by.rank)
    assert in_order == sorted(positions, key=functools.cmp_to_key(lambda a, b: compared(by, a, b)))


def compared(by, a, b):
    """The same order, told key by key."""
    for key, mine, other in zip(by.keys, a, b, strict=False):
        if (mine is None) != (other is None):
            return (1 if mine is None else -1) * (-1 if key.descending else 1)
        if mine is not None and mine != other:
            return (1 if mine > other else -1) * (-1 if key.descending else 1)
    return 1 if a[-1] > b[-1] else -1


def encoded(value):
    return base64.urlsafe_b64encode(json.dumps(value, separators=(",", ":")).encode()).decode().rstrip("=")


@pytest.mark.parametrize(
    "cursor",
    [
        "",
        "x",
        "%%%",
        "é",
        encoded([]),
        encoded({}),
        encoded("x"),
        encoded([[], "1"]),
        encoded([[["text", "name", True]], "a", "1"]),
        encoded([[["text", "name", False]], "1"]),
        encoded([[["text", "name", False]], "a", 1]),
        encoded([[["text", "name", False]], {}, "1"]),
        encoded([[["text", "name", False]], "a", "b", "1"]),
        encoded([[["text", "name", False]], "a", "1"]) + "=",
        base64.urlsafe_b64encode(b"\xff\xff").decode(),
        base64.urlsafe_b64encode(b"[1e999]").decode(),
    ],
)
def test_what_is_no_cursor_of_this_order_is_refused(cursor):
    with pytest.raises(BadParameter) as caught:
        order((NAME, False)).read("page[after]", cursor)
    assert caught.value.parameter == "page[after]"


def test_a_cursor_of_this_order_is_taken():
    assert order((NAME, False)).read("page[after]", encoded([[["text", "name", False]], "a", "1"])) == ("a", "1")
