from __future__ import annotations

import json
from pathlib import Path

import pytest

from service.changes.dialects import mediatypes
from service.errors import NotAcceptable, UnsupportedMediaType

CASES = json.loads((Path(__file__).parents[1] / "corpus" / "media_types.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("header", CASES["content"]["taken"])
def test_a_body_of_json_api_is_taken(header):
    mediatypes.check_content(header)


@pytest.mark.parametrize("header", CASES["content"]["refused"])
def test_a_body_of_anything_else_is_not(header):
    with pytest.raises(UnsupportedMediaType):
        mediatypes.check_content(header)


@pytest.mark.parametrize("header", CASES["accept"]["taken"])
def test_who_accepts_json_api_is_answered(header):
    mediatypes.check_accept(header)


@pytest.mark.parametrize("header", CASES["accept"]["refused"])
def test_who_accepts_none_of_it_is_not(header):
    with pytest.raises(NotAcceptable):
        mediatypes.check_accept(header)


def test_a_header_without_end_is_read_in_time():
    with pytest.raises(NotAcceptable):
        mediatypes.check_accept('a;b="' * 2000)
    with pytest.raises(UnsupportedMediaType):
        mediatypes.check_content("application/vnd.api+json" + "; a" * 2000)
