"""Compiled paths against jsonpath-ng itself, what is refused, and what cannot be made to take long."""

from __future__ import annotations

import json
import time
import warnings
from pathlib import Path

import jsonpath_ng.ext
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.watches import jsonpath

CORPUS = json.loads((Path(__file__).parents[1] / "corpus" / "paths.json").read_text(encoding="utf-8"))
DOCUMENT = CORPUS["document"]


def expected(path, document):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        return [match.value for match in jsonpath_ng.ext.parse(path).find(document)]


def found(path, document):
    """What we find, as jsonpath-ng would give it."""
    expression = jsonpath.compile(path)
    value = expression.find(document, jsonpath.Budget())
    if not expression.definite:
        return value
    return [] if value is jsonpath.MISSING else [value]


def exact(value):
    return json.dumps(value)  # where 1, 1.0 and true are three


@pytest.mark.parametrize("path", CORPUS["paths"])
def test_a_path_finds_what_jsonpath_ng_finds(path):
    assert exact(found(path, DOCUMENT)) == exact(expected(path, DOCUMENT))


NAMES = st.sampled_from(["a", "b", "id", "['a','b']", "['x y']", "*"])
LITERALS = st.sampled_from(["1", "1.0", "-1", "'a'", "'1'", "true", "false", "null", "@.b", "$.a", "$.a.b"])
SELECTORS = st.one_of(
    NAMES.map(lambda name: name if name.startswith("[") else f".{name}"),
    NAMES.map(lambda name: f"..{name}"),
    st.integers(-2, 2).map(lambda index: f"[{index}]"),
    st.sampled_from(["[0,1]", "[:1]", "[1:]", "[::-1]", "[*]"]),
)
COMPARISONS = st.tuples(
    st.sampled_from(["@", "@.a", "@.b", "@.*", "@[0]", "@..a", "$.a"]),
    st.sampled_from(["==", "!=", "<", "<=", ">", ">="]),
    LITERALS,
).map(" ".join)
CONDITIONS = st.recursive(
    st.one_of(COMPARISONS, st.sampled_from(["@.a", "!@.b", "@..id", "$.b"])),
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from([" && ", " || "]), inner).map("".join), inner.map(lambda one: f"({one})")
    ),
    max_leaves=4,
)
FILTERS = CONDITIONS.map(lambda condition: f"[?({condition})]")
QUERIES = st.lists(st.one_of(SELECTORS, FILTERS), max_size=4).map(lambda steps: "$" + "".join(steps))
VALUES = st.recursive(
    st.sampled_from([None, True, False, 0, 1, 1.0, -1, 2, "a", "1", ""]),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.sampled_from(["a", "b", "id", "x y"]), inner, max_size=3)
    ),
    max_leaves=12,
)


@settings(max_examples=30000, deadline=None)
@given(QUERIES, VALUES)
def test_any_path_finds_what_jsonpath_ng_finds_in_any_document(path, document):
    assert exact(found(path, document)) == exact(expected(path, document))


def test_old_spellings_mean_what_they_meant_and_warn_nobody():
    assert found("$.list[?(@.id == 1 & @.on == true)].n", DOCUMENT) == ["one"]
    assert found("$.list[?(n == two)].id", DOCUMENT) == [2.0]


@pytest.mark.parametrize(
    ("path", "definite", "names"),
    [
        ("$", True, ()),
        ("$.a", True, ("a",)),
        ("  $.staff.firstName ", True, ("staff", "firstName")),
        ("$.tags[0].id", True, ("tags",)),
        ("$['a b'].c", True, ("a b", "c")),
        ("$.a.*.b", False, ("a",)),
        ("$.a,b", False, ()),
        ("$.a[0,1]", False, ("a",)),
        ("$.a[1:]", False, ("a",)),
        ("$.a[?(@.b)].c", False, ("a",)),
        ("$..a", False, ()),
    ],
)
def test_a_path_knows_its_names_and_whether_it_is_definite(path, definite, names):
    expression = jsonpath.compile(path)
    assert (expression.text, expression.definite, expression.names()) == (path, definite, names)


def test_a_definite_path_gives_a_value_or_missing():
    root = {"a": None, "b": [False], "0": "name"}
    for path, value in [("$.a", None), ("$.b[0]", False), ("$.b[1]", jsonpath.MISSING), ("$[0]", jsonpath.MISSING)]:
        assert jsonpath.compile(path).find(root, jsonpath.Budget()) is value
    assert jsonpath.compile("$.b[*].x").find(root, jsonpath.Budget()) == []


@pytest.mark.parametrize(
    ("path", "position", "detail"),
    [
        ("", 0, "begins with `$`"),
        ("staff.firstName", 0, "write $.staff.firstName"),
        ("  @.a", 2, "write $.a"),
        ("$.", 2, "ends too early"),
        ("$..", 3, "ends too early"),
        ("$.a[", 4, "ends too early"),
        ("$.a]", 3, "`]` does not belong here"),
        ("$.a b", 4, "`b` does not belong here"),
        ("$.a['x'].b c", 11, "`c`"),
        ("$[0,'a']", 4, "`'a']` does not belong here"),
        ("$.a[?(@.b ==)]", 12, "does not belong here"),
        ("$.é", 2, "`é` does not belong in a path"),
        ("$.a{", 3, "`{` does not belong in a path"),
        ("$['abc", 2, "the quote `'` is never closed"),
        ('$.a["x"].b["', 11, '`"` is never closed'),
        ("$.a['x\\", 6, "`\\` does not belong"),
        ("$.a\n.b", 3, "line breaks"),
        ("$['\x00']", 3, "control characters"),
        ("$['\ud800']", 3, "control characters"),
        ("$.a[?(@.n =~ 'x.*')]", 10, "regular expressions"),
        ("$.a.`len`", 4, "`len`"),
        ("$.a.`sub(/x/, y)`", 4, "`sub(/x/, y)`"),
        ("$.a.`split(x, 0, -1)`", 4, "`split("),
        ("$.a.`sorted`", 4, "`sorted`"),
        ("$.a.`keys`", 4, "`keys`"),
        ("$.a.`parent`.b", 4, "`parent`"),
        ("$.a where b", 4, "the operator `where`"),
        ("$.a wherenot b", 4, "the operator `wherenot`"),
        ("$.where", 2, "written ['where']"),
        ("$.a | $.b", 4, "a union of paths"),
        ("$.a & $.b", 4, "an intersection"),
        ("$.a + 1", 4, "arithmetic"),
        ("$.a - $.b", 4, "arithmetic"),
        ("$.a*2", 3, "arithmetic"),
        ("$.a * $.b", 4, "arithmetic"),
        ("$.a[?(@.b * 2 == 4)]", 10, "arithmetic"),
        ("$.a[/x]", 4, "sorting"),
        ("$.a[\\x]", 4, "sorting"),
        ("$.a~", 3, "`~`"),
        ("$.a.$.b", 4, "`$` stands only where a path begins"),
        ("$.a.@", 4, "`@` stands only where a path begins"),
        ("$.a.($.b)", 5, "`$` stands only where"),
        ("$.a[?(@.b.($.c))]", 11, "`$` stands only where"),
        ("$.a[?(@.b.((@.c)))]", 12, "`@` stands only where"),
        ("$.a.`this`", 4, "stands only where"),
        ("$" + "a" * 1024, 1024, "at most 1,024 characters"),
        ("$" + ".a" * 65, 0, "at most 64 steps"),
        ("$[?(" + "@.a.b.c.d && " * 20 + "@)]", 0, "at most 64 steps"),
        ("$" + "[" * 1000, 256, "at most 256 parts"),
        ("$" + "[?(@" * 9, 33, "nested at most 16 deep"),
    ],
)
def test_a_path_is_refused_at_its_place(path, position, detail):
    with pytest.raises(jsonpath.PathError) as caught:
        jsonpath.compile(path)
    assert (caught.value.position, detail in caught.value.detail) == (position, True), caught.value.detail


PIECES = [
    *(
        "$",
        ".",
        "..",
        "a",
        "b",
        "'x'",
        '"q"',
        "[",
        "]",
        "(",
        ")",
        "?",
        "@",
        "==",
        "!=",
        "<",
        ">=",
        "=",
        "=~",
        "&",
        "&&",
    ),
    *(
        "||",
        "|",
        "!",
        "*",
        "0",
        "-1",
        "1.5",
        ":",
        ",",
        "null",
        "true",
        "where",
        "`",
        "'",
        '"',
        "\\",
        "/",
        "+",
        "-",
        "~",
    ),
    *("{", " ", "$.", "[?(", "@.", "`len`", "`this`"),
]


@settings(max_examples=30000, deadline=None)
@given(st.lists(st.sampled_from(PIECES), max_size=16).map("".join))
def test_hostile_text_is_taken_or_refused_with_a_place(text):
    path = f"${text}"
    try:
        jsonpath.compile(path).find(DOCUMENT, jsonpath.Budget())
    except jsonpath.PathError as error:
        assert 0 <= error.position <= len(path)  # noqa: PT017  most of these raise, but not all
    except jsonpath.TooMuch:
        pass


TREE = {"a": [{"b": [{"c": list(range(50))} for _ in range(20)]} for _ in range(20)]}
TEXTS = {name: {"a": "x" * 500_000} for name in "abcdefgh"} | {"a": "x" * 500_000, "list": [["x" * 500_000]] * 2000}


@pytest.mark.parametrize(
    ("path", "document"),
    [
        ("$..*..*..*", TREE),
        ("$..*..*", TREE),
        ("$..[?(@..*)]", TREE),
        ("$..[?(@..[?(@..*)])]", TREE),
        ("$..[0,0,0,0,0,0]..[0,0,0,0,0,0]..*", TREE),
        ("$.list[*][?(@ == $.a)]..*", TEXTS),
        ("$.list[?(@ == $.list[0])]", TEXTS),
    ],
)
def test_a_path_stops_when_its_budget_is_spent(path, document):
    expression = jsonpath.compile(path)
    started = time.thread_time()
    with pytest.raises(jsonpath.TooMuch):
        expression.find(document, jsonpath.Budget())
    assert time.thread_time() - started < 1  # tens of milliseconds; the rest is for slow machines


def test_a_budget_is_shared():
    budget = jsonpath.Budget()
    expression = jsonpath.compile("$..*")
    expression.find(TREE, budget)
    with pytest.raises(jsonpath.TooMuch):
        expression.find(TREE, budget)


def test_a_value_of_any_depth_is_walked_without_recursion():
    document = []
    for _ in range(5000):
        document = [document]
    assert len(jsonpath.compile("$..*").find(document, jsonpath.Budget())) == 5000
    other = jsonpath.compile("$[?(@ == $[0])]").find(document, jsonpath.Budget())
    assert len(other) == 1


def test_compiling_writes_and_prints_nothing(tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    jsonpath.compile("$.freshly.compiled[?(@.path == 'x')]")
    assert list(tmp_path.iterdir()) == []
    assert capfd.readouterr() == ("", "")
