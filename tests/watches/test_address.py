"""Addresses, case by case from a file."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service import errors
from service.model import Change, Event
from service.watches import address, template

CORPUS = json.loads((Path(__file__).parents[1] / "corpus" / "addresses.json").read_text(encoding="utf-8"))


def those_with(member):
    return pytest.mark.parametrize("case", [c for c in CORPUS["cases"] if member in c], ids=lambda c: c["address"][:60])


def change(after):
    return Change("chg_1", "default", "t", "1", Event.UPDATED, 3, 0, CORPUS["before"], after, [], "/t")


@those_with("expanded")
def test_an_address_is_filled(case):
    compiled = address.compile(case["address"])
    assert compiled.origin == case["origin"]
    assert compiled.expand(change(CORPUS["after"])) == case["expanded"]


@those_with("error")
def test_a_value_does_not_fit_its_place(case):
    with pytest.raises(template.TemplateError) as caught:
        address.compile(case["address"]).expand(change(CORPUS["after"]))
    assert case["error"] in caught.value.detail


@those_with("detail")
def test_an_address_is_refused(case):
    with pytest.raises(errors.Invalid) as caught:
        address.compile(case["address"])
    fault = caught.value.errors[0]
    assert fault.pointer == ""
    assert case["detail"] in fault.detail


def test_all_faulty_paths_are_told_at_once():
    with pytest.raises(errors.Invalid) as caught:
        address.compile("https://example.com/${$.[}/${$.a+1}")
    assert len(caught.value.errors) == 2


def test_paths_are_listed():
    listed = address.compile("https://example.com/${$.id}?a=${$..b}").expressions
    assert [(pointer, path.text) for pointer, path in listed] == [("", "$.id"), ("", "$..b")]


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_no_value_leaves_its_place(value):
    try:
        url = address.compile("https://example.com/a/${$.v}/b?c=${$.v}&d").expand(change({"v": value}))
    except template.TemplateError:
        assert value in {"", ".", ".."}
        return
    start, path, end = url.split("/a/")[0], *url.split("/a/")[1].split("/b?c=")
    assert start == "https://example.com"
    assert end == f"{path}&d"
    assert path.isascii()
    assert not set(path) & set("/?#&@:\\ \r\n")
