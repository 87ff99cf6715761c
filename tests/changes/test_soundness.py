from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service import jsontext
from service.changes import soundness
from service.errors import BadRequest, Invalid

DEEP = 65


def nested(depth, value=None):
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize(
    "value", [{}, {"a": [1, 1.5, None, True, "é𝄞"]}, 2**64 - 1, -(2**63), 5e-324, nested(64), {"é": {"": []}}]
)
def test_what_can_be_kept_is_sound(value):
    soundness.check(value)


@pytest.mark.parametrize(
    ("value", "pointer", "says"),
    [
        ({"a": [0, 2**64]}, "/a/1", "integer is outside"),
        ({"a": -(2**63) - 1}, "/a", "integer is outside"),
        ({"a": {"b": float("nan")}}, "/a/b", "NaN and Infinity"),
        ({"a": float("inf")}, "/a", "NaN and Infinity"),
        ({"a": "\ud800"}, "/a", "lone surrogate"),
        ({"a": {"\udc00": 1}}, "/a", "lone surrogate"),
        ({"a": nested(DEEP)}, "", "nested more than 64 levels"),
    ],
)
def test_what_cannot_is_told_with_its_place(value, pointer, says):
    with pytest.raises(Invalid) as caught:
        soundness.check(value)
    (fault,) = caught.value.errors
    assert fault.pointer == pointer
    assert says in fault.detail


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(st.characters()), inner, max_size=3),
    max_leaves=8,
)


@given(JSON)
def test_it_agrees_with_the_strict_reader(value):
    try:
        soundness.check(value)
    except Invalid:
        with pytest.raises(BadRequest):
            jsontext.loads(json.dumps(value))
    else:
        assert jsontext.loads(json.dumps(value)) == value
