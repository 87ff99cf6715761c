from __future__ import annotations

import json

import pytest

from service import errors, jsontext
from service.changes.dialects import DIALECTS
from service.changes.dialects.codec import UpstreamError
from service.errors import FieldError, Invalid

ITEMS = DIALECTS["items"]
ADA = {"id": "1", "firstName": "Ada", "nested": {"items": [1]}}


@pytest.mark.parametrize("count", [0, 1, 2, 5])
def test_a_streamed_list_is_read_back_element_by_element(count):
    documents = [{"id": str(number)} for number in range(count)]
    elements = ITEMS.frame.separator.join(jsontext.dumps(ITEMS.element(document)) for document in documents)
    body = ITEMS.frame.prefix + elements + ITEMS.frame.suffix
    assert json.loads(body) == {"items": documents}
    assert ITEMS.read_list(jsontext.loads(body)) == documents


def test_an_item_is_itself_both_ways():
    assert ITEMS.item(ADA) == ADA
    assert ITEMS.read_item(ITEMS.item(ADA)) == ADA
    assert ITEMS.body(ADA) == ADA


def test_elements_of_a_list_are_handed_on_whatever_they_are():
    assert ITEMS.read_list({"items": [None, {}, 5], "kind": "list"}) == [None, {}, 5]


@pytest.mark.parametrize("value", [None, [], [ADA], "x", 5])
def test_a_body_that_is_no_item_is_invalid(value):
    with pytest.raises(Invalid) as caught:
        ITEMS.body(value)
    assert caught.value.errors[0].pointer == ""


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (
            Invalid("no", (FieldError("/a", "is required"),)),
            {"code": 422, "reason": "invalid", "message": "no", "errors": [{"pointer": "/a", "detail": "is required"}]},
        ),
        (errors.NotFound("gone"), {"code": 404, "reason": "notFound", "message": "gone", "errors": []}),
        (errors.Conflict("taken"), {"code": 409, "reason": "conflict", "message": "taken", "errors": []}),
        (
            errors.MethodNotAllowed("no PUT", ("GET",)),
            {"code": 405, "reason": "methodNotAllowed", "message": "no PUT", "errors": []},
        ),
    ],
)
def test_errors_have_the_vendors_shape(error, expected):
    assert ITEMS.error(error) == {"error": expected}


@pytest.mark.parametrize(
    ("answer", "says", "code"),
    [
        ({"error": {"code": 401, "reason": "authError", "message": "Invalid key"}}, "authError: Invalid key", 401),
        ({"error": {"message": "Invalid key"}, "items": []}, "Invalid key", None),
        ({"error": {"code": "E7"}}, "the upstream answered with an error", "E7"),
        ({"error": "quota"}, "quota", None),
        ({"error": False}, "the upstream answered with an error", None),
        ([], "the answer is not a JSON object", None),
        (None, "the answer is not a JSON object", None),
    ],
)
def test_an_upstreams_error_is_seen_whatever_its_status(answer, says, code):
    for read in (ITEMS.read_item, ITEMS.read_list):
        with pytest.raises(UpstreamError) as caught:
            read(answer)
        assert (caught.value.detail, caught.value.code) == (says, code)


def test_our_own_errors_are_read_as_errors():
    with pytest.raises(UpstreamError, match="notFound: there is none"):
        ITEMS.read_item(ITEMS.error(errors.NotFound("there is none")))


@pytest.mark.parametrize("answer", [{}, {"items": None}, {"items": {}}, {"data": []}])
def test_a_list_without_items_is_no_empty_list(answer):
    with pytest.raises(UpstreamError, match='no array "items"'):
        ITEMS.read_list(answer)


def test_a_null_error_is_none():
    assert ITEMS.read_list({"items": [ADA], "error": None}) == [ADA]
