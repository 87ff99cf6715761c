from __future__ import annotations

import copy
import random
import time

import jsonpatch
import jsonpointer
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.changes.diff import diff, equal

PAIRS = 60_000
SCALARS = [
    None,
    True,
    False,
    0,
    1,
    1.0,
    -0.0,
    1.5,
    2**53,
    2.0**53,
    2**64 - 1,
    2.0**64,
    -(2**63),
    "",
    "1",
    "a",
    "é😀",
    "-",
]
NAMES = ["a", "b", "", "-", "0", "01", "a/b", "m~n", "~1", "id", "tags", "é"]
IDS = [1, 2, 3, 4, 5, "1", "2", "a", "b", "", -1, 2**63]


class Generator:
    """Random documents, and documents that were edited from others, by a seed."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)

    def value(self, depth: int):
        kind = self.random.random()
        if depth <= 0 or kind < 0.3:
            return self.random.choice(SCALARS)
        if kind < 0.6:
            return {name: self.value(depth - 1) for name in self.random.sample(NAMES, self.random.randrange(5))}
        if kind < 0.75:
            return [self.value(depth - 1) for _ in range(self.random.randrange(5))]
        return [self.element(key, depth - 1) for key in self.random.sample(IDS, self.random.randrange(1, 7))]

    def element(self, key, depth: int):
        # now and then a boolean for an id, or the same one again: such arrays are compared by place
        return {
            "id": key if self.random.random() < 0.98 else self.random.choice([True, 1, 1.0]),
            "v": self.value(depth),
        }

    def edited(self, value, depth: int = 2):
        if self.random.random() < 0.15:
            return self.value(depth)
        if isinstance(value, dict):
            edited = {
                name: member if name == "id" else self.edited(member, depth - 1)
                for name, member in value.items()
                if self.random.random() < 0.92
            }
            if self.random.random() < 0.2:
                edited[self.random.choice(NAMES)] = self.value(1)
            return edited
        if isinstance(value, list):
            edited = [self.edited(element, depth - 1) for element in value if self.random.random() < 0.88]
            if self.random.random() < 0.35:
                added = self.element(self.random.choice(IDS), 1) if self.random.random() < 0.7 else self.value(1)
                edited.insert(self.random.randint(0, len(edited)), added)
            if self.random.random() < 0.35:
                self.random.shuffle(edited)
            return edited
        return value


def typed(value):
    """The value with its types beside it, for a comparison that shares nothing with ours but Python's numbers."""
    match value:
        case dict():
            return {name: typed(member) for name, member in value.items()}
        case list():
            return [typed(element) for element in value]
        case bool():
            return "boolean", value
        case int() | float():
            return "number", value
        case _:
            return value


def replay(document, operations):
    """Apply a patch as plainly as RFC 6902 reads, without copying its values, checking every old value on the way."""
    document = copy.deepcopy(document)
    for operation in operations:
        assert (
            operation.keys()
            == {
                "add": {"op", "path", "value"},
                "remove": {"op", "path", "oldValue"},
                "replace": {"op", "path", "value", "oldValue"},
                "move": {"op", "from", "path"},
            }[operation["op"]]
        )
        if "oldValue" in operation:
            assert typed(jsonpointer.resolve_pointer(document, operation["path"])) == typed(operation["oldValue"])
        if operation["path"] == "":
            document = operation["value"]
            continue
        value = operation.get("value")
        if operation["op"] == "move":
            parent, token = jsonpointer.JsonPointer(operation["from"]).to_last(document)
            value = parent.pop(token)
        parent, token = jsonpointer.JsonPointer(operation["path"]).to_last(document)
        if operation["op"] in ("remove", "replace"):
            del parent[token]
        if operation["op"] != "remove":
            if isinstance(parent, list):
                assert token <= len(parent)
                parent.insert(token, value)
            else:
                parent[token] = value
    return document


def test_sixty_thousand_random_pairs_are_patched_exactly_by_the_published_library():
    generator = Generator(20260201)
    used: set[str] = set()
    for number in range(PAIRS):
        before = generator.value(4)
        after = generator.value(4) if number % 10 == 0 else generator.edited(before)
        operations = diff(before, after)
        patched = jsonpatch.apply_patch(before, operations)
        same = typed(before) == typed(after)
        assert typed(patched) == typed(after), (before, after, operations)
        assert (operations == []) is same is equal(before, after), (before, after, operations)
        used.update(operation["op"] for operation in operations)
    assert used == {"add", "remove", "replace", "move"}


@settings(max_examples=600, deadline=None)
@given(st.integers(0, 2**32))
def test_old_values_are_true_and_neither_document_is_touched(seed):
    generator = Generator(seed)
    before = generator.value(4)
    after = generator.edited(before)
    untouched = copy.deepcopy((before, after))
    operations = diff(before, after)
    assert typed(replay(before, operations)) == typed(after)
    assert typed(list(untouched)) == typed([before, after])


json_values = st.recursive(
    st.sampled_from(SCALARS) | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(NAMES) | st.text(max_size=3), inner, max_size=4)
        | st.lists(
            st.fixed_dictionaries({"id": st.sampled_from(IDS), "v": inner}), max_size=5, unique_by=lambda e: e["id"]
        )
    ),
    max_leaves=12,
)


@settings(max_examples=600, deadline=None)
@given(json_values, json_values)
def test_any_two_values_are_patched_exactly(before, after):
    operations = diff(before, after)
    assert typed(jsonpatch.apply_patch(before, operations)) == typed(after)
    assert typed(replay(before, operations)) == typed(after)
    assert (operations == []) is (typed(before) == typed(after))


def op(kind: str, path: str, *values, **source):
    fields = {"add": ["value"], "remove": ["oldValue"], "replace": ["oldValue", "value"], "move": []}[kind]
    return {"op": kind, "path": path, **dict(zip(fields, values, strict=True)), **source}


A, B, C, D = ({"id": letter, "n": 1} for letter in "ABCD")


@pytest.mark.parametrize(
    ("before", "after", "operations"),
    [
        pytest.param({"a": 1, "b": 2}, {"b": 2, "a": 1}, [], id="the order of members means nothing"),
        pytest.param({"a": 1}, {"a": 1.0}, [], id="1 and 1.0 are one number"),
        pytest.param({"a": 0.0}, {"a": -0.0}, [], id="zero has no sign"),
        pytest.param({"a": 1}, {"a": True}, [op("replace", "/a", 1, True)], id="1 is not true"),
        pytest.param({"a": False}, {"a": 0}, [op("replace", "/a", False, 0)], id="false is not 0"),
        pytest.param({"a": 1}, {"a": "1"}, [op("replace", "/a", 1, "1")], id="1 is not its digit"),
        pytest.param([[0]], [[False]], [op("replace", "/0/0", 0, False)], id="a boolean deep inside"),
        pytest.param({"a": None}, {}, [op("remove", "/a", None)], id="null is not missing"),
        pytest.param({}, {"a": None}, [op("add", "/a", None)], id="missing is not null"),
        pytest.param({"a": {}}, {"a": []}, [op("replace", "/a", {}, [])], id="an object is no array"),
        pytest.param(2**53 + 1, 2.0**53, [op("replace", "", 2**53 + 1, 2.0**53)], id="a double next to an integer"),
        pytest.param({"a": 1}, [1], [op("replace", "", {"a": 1}, [1])], id="another kind of document"),
        pytest.param(None, {"a": 1}, [op("replace", "", None, {"a": 1})], id="a document from null"),
        pytest.param(
            {"a/b": {"m~n": {"": 1}}}, {"a/b": {"m~n": {"": 2}}}, [op("replace", "/a~1b/m~0n/", 1, 2)], id="escapes"
        ),
        pytest.param({"~1": 1}, {"~1": 2}, [op("replace", "/~01", 1, 2)], id="an escape is escaped once"),
        pytest.param({"0": 1}, {"0": 2}, [op("replace", "/0", 1, 2)], id="a name that looks like an index"),
        pytest.param(
            {"-": 1}, {"-": 2}, [op("remove", "/-", 1), op("add", "/-", 2)], id="a name that looks like an end"
        ),
        pytest.param(
            {"keep": 1, "gone": 2, "changed": 3},
            {"new": 4, "changed": 5, "keep": 1},
            [op("remove", "/gone", 2), op("replace", "/changed", 3, 5), op("add", "/new", 4)],
            id="members come, change and go",
        ),
        pytest.param(["b"], ["a", "b"], [op("add", "/0", "a")], id="a new first element"),
        pytest.param(["a", "b"], ["b"], [op("remove", "/0", "a")], id="a lost first element"),
        pytest.param([1, 2, 3, 4], [1, 4], [op("remove", "/2", 3), op("remove", "/1", 2)], id="lost ones, from the end"),
        pytest.param([1, 4], [1, 2, 3, 4], [op("add", "/1", 2), op("add", "/2", 3)], id="new ones in the middle"),
        pytest.param(["a", "a"], ["a", "a", "a"], [op("add", "/2", "a")], id="one more of the same"),
        pytest.param(
            [{"a": 1}, {"b": 1}], [{"a": 2}, {"b": 1}], [op("replace", "/0/a", 1, 2)], id="no ids: element by element"
        ),
        pytest.param([A, B], [{"id": "A", "n": 2}, B], [op("replace", "/0/n", 1, 2)], id="ids: inside the element"),
        pytest.param([A, B], [B], [op("remove", "/0", A)], id="ids: one lost"),
        pytest.param([B], [A, B], [op("add", "/0", A)], id="ids: one new in front"),
        pytest.param([A, B, C, D], [B, C, D, A], [op("move", "/3", **{"from": "/0"})], id="ids: the first goes last"),
        pytest.param([A, B, C, D], [D, A, B, C], [op("move", "/0", **{"from": "/3"})], id="ids: the last goes first"),
        pytest.param(
            [A, B, C],
            [D, {"id": "C", "n": 2}, B],
            [op("remove", "/0", A), op("add", "/0", D), op("move", "/1", **{"from": "/2"}), op("replace", "/1/n", 1, 2)],
            id="ids: one lost, one new, one moved and changed",
        ),
        pytest.param(
            [{"id": 1, "n": 1}], [{"id": "1", "n": 1}], [op("remove", "/0", {"id": 1, "n": 1}), op("add", "/0", {"id": "1", "n": 1})],
            id="ids: 1 and its digit are two elements",
        ),
        pytest.param([{"id": 1}], [{"id": True}], [op("replace", "/0/id", 1, True)], id="ids: 1 becomes true"),
        pytest.param(
            [{"id": 1}, {"id": True}], [{"id": True}, {"id": 1}], [op("replace", "/0/id", 1, True), op("replace", "/1/id", True, 1)],
            id="ids: true is none",
        ),
        pytest.param(
            [{"id": False}, {"id": True}], [{"id": True}, {"id": False}],
            [op("replace", "/0/id", False, True), op("replace", "/1/id", True, False)],
            id="ids: nor is false",
        ),
        pytest.param([A, A], [A], [op("remove", "/1", A)], id="ids that are given twice are none"),
        pytest.param([A, 1], [A, 2], [op("replace", "/1", 1, 2)], id="one element without an id is enough"),
    ],
)  # fmt: skip
def test_the_patch_says(before, after, operations):
    assert typed(diff(before, after)) == typed(operations)
    assert typed(jsonpatch.apply_patch(before, operations)) == typed(after)


@pytest.mark.parametrize(
    "values",
    [[1, 1.0], [True], [False], [0, 0.0, -0.0], ["1"], [None], [""], [[]], [{}], [[1], [1.0]], [[True]], [{"a": 1}, {"a": 1.0}],
     [{"a": True}], [2**53, 2.0**53], [2**53 + 1], [2**63, 2.0**63], [2**64 - 1], [2.0**64], [1e308], [{"a": 1, "b": [{}]}, {"b": [{}], "a": 1}]],
    ids=repr,
)  # fmt: skip
def test_values_are_equal_within_their_group_alone(values):
    others = [{"a": 2}, [2], 2, "2", True, False, 1, 0, 2**64 - 1, 2.0**64, 2**53 + 1, 2.0**53, None, "", [], {}]
    for value in values:
        assert all(equal(value, twin) and equal(twin, value) for twin in values)
        assert all(equal(value, other) is (typed(value) == typed(other)) for other in others)
    assert len([other for other in others if equal(values[0], other)]) <= 1


def test_five_thousand_elements_in_another_order_take_no_more_moves_than_elements():
    before = [{"id": number, "tag": f"tag {number}"} for number in range(5000)]
    after = copy.deepcopy(before)
    random.Random(7).shuffle(after)
    started = time.perf_counter()
    operations = diff(before, after)
    assert time.perf_counter() - started < 2
    assert {operation["op"] for operation in operations} == {"move"}
    assert len(operations) < len(before)
    assert jsonpatch.apply_patch(before, operations) == after


def test_a_patch_that_would_outgrow_the_documents_replaces_the_whole():
    name = "n" * 100_000
    before = {name: [{"id": number, "v": 1} for number in range(1000)]}
    after = {name: [{"id": number, "v": 2} for number in range(1000)]}
    assert diff(before, after) == [{"op": "replace", "path": "", "value": after, "oldValue": before}]


def test_documents_of_the_greatest_depth_are_compared():
    before, after = 1, True
    for _ in range(32):
        before, after = {"a": [before]}, {"a": [after]}
    assert diff(before, after) == [{"op": "replace", "path": "/a/0" * 32, "value": True, "oldValue": 1}]
