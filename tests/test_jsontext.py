from __future__ import annotations

import base64
import json
import random
from pathlib import Path

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service import jsontext
from service.errors import BadRequest

CORPUS = Path(__file__).parent / "corpus" / "bad_json.json"
BAD = jsontext.loads(CORPUS.read_bytes())["cases"]
ACCOUNT = (
    '{"id": "a1", "firstName": "Zo\\u00eb", "lastName": "Åström", "credit": 12.5, "additionalUsers": -3, '
    '"sendSignupEmail": false, "whiteLabel": {"logoURL": null}, "tags": [{"id": "t1", "color": "#ff0000"}, {}], '
    '"tools": ["call", "\\ud83d\\ude00"], "big": [18446744073709551615, -9223372036854775808, 1e308, -0, 1E2]}'
)


def body(case: dict) -> bytes:
    if "base64" in case:
        return base64.b64decode(case["base64"])
    return case.get("text", "").encode() or "".join(text * times for text, times in case.get("parts", [])).encode()


def refused(data: bytes | str, **options) -> BadRequest:
    with pytest.raises(BadRequest) as caught:
        jsontext.loads(data, **options)
    return caught.value


@pytest.mark.parametrize("case", BAD, ids=[case["name"] for case in BAD])
def test_bad_text_is_refused_with_what_and_where(case):
    error = refused(body(case))
    assert case["says"] in error.detail
    assert [fault.pointer for fault in error.errors] == ([case["pointer"]] if "pointer" in case else [])
    assert len(jsontext.dumps([error.detail, *(fault.detail for fault in error.errors)])) < 3000


@pytest.mark.parametrize("case", [case for case in BAD if "base64" not in case], ids=lambda case: case["name"])
def test_decoded_text_is_refused_as_its_bytes_are(case):
    assert refused(body(case).decode()).detail == refused(body(case)).detail


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (" 0 ", 0),
        ("-0", 0),
        ("18446744073709551615", 2**64 - 1),
        ("-9223372036854775808", -(2**63)),
        ("1.7976931348623157e308", 1.7976931348623157e308),
        ("1e-400", 0.0),
        ("null", None),
        ('""', ""),
        ('"\\ud83d\\ude00 \\u00e9 \\\\ud800"', "😀 é \\ud800"),
        ('{"": {"-": []}}', {"": {"-": []}}),
        ("[" * 64 + "]" * 64, None),
        ('["' + "[{" * 100 + '"]', ["[{" * 100]),
        ('"' + "{" * 100 + '"', "{" * 100),
        (json.dumps([[{}]] * 100), [[{}]] * 100),
    ],
)
def test_good_text_is_read(text, value):
    assert jsontext.loads(text) == jsontext.loads(text.encode()) == (json.loads(text) if value is None else value)


def test_a_whole_number_stays_an_integer_and_a_point_makes_a_double():
    assert [type(number) for number in jsontext.loads("[1, 1.0, 1e0, true]")] == [int, float, float, bool]


def test_the_limit_of_depth_is_the_callers():
    assert jsontext.loads("[[1]]", max_depth=2) == [[1]]
    assert "more than 2 levels" in refused('{"a": {"b": {}}}', max_depth=2).detail


def test_a_limit_above_what_the_stack_holds_is_no_recursion_error():
    assert "nested too deeply" in refused("[" * 200_000 + "]" * 200_000, max_depth=1_000_000).detail


def test_a_lone_surrogate_in_decoded_text_is_refused_with_its_place():
    assert "a lone surrogate (line 2, column 6)" in refused('{\n"a": "\ud800"}'.replace('"a": ', '"a":')).detail


def test_an_answer_does_not_echo_a_long_name():
    error = refused('{"a": {"' + "k" * 5000 + '": NaN}}')
    assert error.errors[0].pointer == "/a"


def test_what_is_written_is_compact_and_reads_back_the_same():
    value = jsontext.loads(ACCOUNT)
    assert (
        jsontext.text(value)
        == jsontext.dumps(value).decode()
        == json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    )
    assert jsontext.loads(jsontext.dumps(value)) == value


def test_pointers_escape_names_and_take_indices():
    assert jsontext.pointer() == ""
    assert jsontext.pointer("a/b", 0, "m~n", "~1", "") == "/a~1b/0/m~0n/~01/"
    assert jsontext.escape("plain") == "plain"


PIECES = [
    '"',
    "\\",
    "{",
    "}",
    "[",
    "]",
    ",",
    ":",
    "0",
    "-",
    ".",
    "e",
    "9",
    " ",
    "\n",
    "\\u",
    "d8",
    "a",
    "NaN",
    "é",
    "\x00",
]


@settings(max_examples=1500, deadline=None)
@given(st.randoms(use_true_random=False), st.integers(0, 4))
def test_damaged_text_is_read_as_another_strict_reader_reads_it_or_refused(rnd: random.Random, damages: int):
    characters = list(ACCOUNT)
    for _ in range(damages):
        at = rnd.randrange(len(characters))
        characters[at : at + rnd.randrange(3)] = rnd.choice(PIECES)
    text = "".join(characters)
    try:
        value = jsontext.loads(text)
    except BadRequest as error:
        stricter = ("given twice", "the integer is outside")  # than the other reader
        if not any(words in error.detail for words in stricter):
            with pytest.raises(orjson.JSONDecodeError):
                orjson.loads(text)
    else:
        assert jsontext.dumps(value) == orjson.dumps(orjson.loads(text))


MEMBERS = [
    '"id":1,',
    '"id" :1,',
    '"id"\n:1,',
    '"\\":":1,',
    '"a\\u0022:":2,',
    '"n":18446744073709551616,',
    '"x":-9223372036854775809,',
]


def outcome(data: bytes | str) -> object:
    try:
        value = jsontext.loads(data)
    except BadRequest as error:
        return error.detail
    return repr(value)


@settings(max_examples=1500, deadline=None)
@given(
    st.lists(st.sampled_from([*MEMBERS, '"m":{', '"l":[{', "}]", "},", '"s":"\\":",', '"e":1e300,']), max_size=12),
    st.booleans(),
)
def test_what_is_read_swiftly_is_what_the_strict_reader_reads(members: list[str], closes: bool):
    text = "{" + "".join(members) + '"z":0' + ("}" if closes else "") + "}" * "".join(members).count("{")
    assert outcome(text) == outcome(text.encode())


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=40) | st.text(max_size=40))
def test_whatever_comes_is_read_or_refused(data):
    try:
        said = jsontext.loads(data)
    except BadRequest as error:
        said = error.detail
    assert jsontext.dumps(said)
