"""What an import makes of bytes: lines in the memory of one line, gzip that must be whole, and the verdict."""

from __future__ import annotations

import gzip
import itertools
import json
import random
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service import errors, jsontext
from service.changes import entries, ndjson, types
from service.changes.entries import Batch, Entry
from service.changes.ndjson import BrokenOff, Cutter, Line
from service.changes.snapshot import Counts
from service.changes.tally import Tally, Terms
from service.store.jobs import State

ACCOUNT = types.load(Path(__file__).parents[2] / "config" / "resources")["agendize.account"]
TERMS = Terms(longest=1000)


def cut(pieces: list[bytes], longest: int = 1000) -> list[tuple[int, bytes | None]]:
    cutter = Cutter(longest)
    lines = [line for piece in pieces for line in cutter.feed(piece)]
    return [(line.number, line.text) for line in [*lines, *cutter.end()]]


async def stream(*pieces: bytes, breaks: str | None = None) -> AsyncIterator[bytes]:
    for piece in pieces:
        yield piece
    if breaks is not None:
        raise BrokenOff(breaks)


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        (b"", []),
        (b"a", [(1, b"a")]),
        (b"a\n", [(1, b"a")]),
        (b"a\nb", [(1, b"a"), (2, b"b")]),
        (b"a\r\n\r\n \t\nb\r", [(1, b"a"), (4, b"b")]),
        (b"\n\n\na\n\n", [(4, b"a")]),
        (b"a\rb\n", [(1, b"a\rb")]),
    ],
)
def test_lines_end_with_lf_or_crlf_or_the_stream_and_blank_ones_only_count(text: bytes, lines: list[tuple[int, bytes]]):
    assert cut([text]) == lines
    assert cut([bytes([byte]) for byte in text]) == lines


def test_a_line_that_is_too_long_is_passed_over_without_being_kept():
    cutter = Cutter(10)
    assert [*cutter.feed(b"0123456789\n0123456789")] == [Line(1, b"0123456789")]
    for _ in range(1000):
        assert [*cutter.feed(b"x" * 1000)] == []
        assert len(cutter._rest) <= 10
    assert [*cutter.feed(b"\nshort\nanother that is long\n")] == [Line(2, None), Line(3, b"short"), Line(4, None)]
    assert [*cutter.feed(b"and the last one"), *cutter.end()] == [Line(5, None)]


@given(st.lists(st.binary(max_size=40).filter(lambda line: b"\n" not in line)), st.lists(st.integers(0, 400)))
def test_where_the_network_cuts_makes_no_difference(lines: list[bytes], cuts: list[int]):
    text = b"\n".join(lines)
    places = [0, *sorted(min(place, len(text)) for place in cuts), len(text)]
    pieces = [text[start:stop] for start, stop in itertools.pairwise(places)]
    assert cut(pieces, 30) == cut([text], 30)
    assert [text for _, text in cut([text], 40) if text is not None] == [
        line.removesuffix(b"\r") for line in lines if line.strip(b" \t\r\n\v\f")
    ]


async def test_portions_have_so_many_lines_or_so_many_bytes():
    short = [len(portion) async for portion in ndjson.portions(stream(b"{}\n" * 250), 1000)]
    assert short == [100, 100, 50]
    long = [len(portion) async for portion in ndjson.portions(stream(*[b"x" * 300_000 + b"\n"] * 5), 1_000_000)]
    assert long == [2, 2, 1]


async def test_a_stream_that_breaks_gives_its_whole_lines_and_then_the_break():
    portions = ndjson.portions(stream(b"a\nb\nhal", breaks="gone"), 1000)
    assert [line.text for line in await anext(portions)] == [b"a", b"b"]
    with pytest.raises(BrokenOff, match="gone"):
        await anext(portions)


@pytest.mark.parametrize("size", [1, 7, 1000, 65536])
async def test_gzip_is_read_in_any_pieces_and_never_much_at_once(size: int):
    chance = random.Random(size)
    bomb = b"0" * 3_000_000
    mixed = b"".join(chance.choice((b"%d," % chance.getrandbits(64), b"aaaaaaaaaaaaaaaaaaaa")) for _ in range(20_000))
    packed = gzip.compress(mixed) + gzip.compress(b"") + gzip.compress(bomb)
    pieces = [packed[start : start + size] for start in range(0, len(packed), size)]
    parts = [part async for part in ndjson.inflated(stream(*pieces))]
    assert max(map(len, parts)) <= ndjson.INFLATED_AT_ONCE
    assert b"".join(parts) == mixed + bomb


async def test_gzip_that_is_cut_anywhere_is_broken_off():
    packed = gzip.compress(b"some text, and some text more\n" * 10) + gzip.compress(b"x")
    whole = {0, packed.index(b"\x1f\x8b", 1)}  # nothing yet, or a member that is complete
    for end in range(len(packed)):
        try:
            parts = [part async for part in ndjson.inflated(stream(packed[:end]))]
        except BrokenOff:
            assert end not in whole
        else:
            assert end in whole, (end, parts)


def line(text: str, number: int = 1) -> Line:
    return Line(number, text.encode())


@pytest.mark.parametrize(
    "text",
    [
        '{"id": "a1", "email": "a@example.com", "credit": 1.0, "tags": [{"id": "1", "tag": "caf\\u00e9"}]}',
        '{"id":"a1","password":"hunter2","ssoToken":"t","sendSignupEmail":true}',
        '{"id": "a1", "credit": 12345678901234567890}',
    ],
)
def test_a_glance_sees_the_text_that_the_strict_reader_would_store(text: str):
    entry = entries.read(ACCOUNT, line(text), 1000)
    assert entry.document is not None
    assert entries.glance(ACCOUNT, line(text)) == ("a1", jsontext.text(entry.document))
    assert entries.glance(ACCOUNT, Line(1, entries.glance(ACCOUNT, line(text))[1].encode())) == (
        "a1",
        jsontext.text(entry.document),
    )


@pytest.mark.parametrize("text", ["{", "[]", '"a1"', "{}", '{"id": null}', '{"id": ""}', '{"id": 1.5}', '{"id": ".."}'])
def test_what_has_no_identity_is_not_recognised_and_refused(text: str):
    assert entries.glance(ACCOUNT, line(text)) is None
    with pytest.raises((errors.BadRequest, errors.Invalid)):
        entries.read(ACCOUNT, line(text), 1000)


def test_a_batch_is_full_by_its_documents_its_bytes_or_its_entries():
    documents, long, same = Batch(), Batch(), Batch()
    for number in range(entries.DOCUMENTS):
        assert not documents.is_full
        assert documents.add(Entry(number, str(number), {}, 100))
    assert documents.is_full
    assert not documents.add(Entry(200, "7", {}, 100))
    long.add(Entry(1, "a", {}, entries.BYTES))
    assert long.is_full
    for number in range(entries.MOST):
        assert not same.is_full
        same.add(Entry(number, str(number), None, 2000))
    assert same.is_full


def tally(**figures) -> Tally:
    return Tally(**{"before": 100, "done": 90, **figures})


@pytest.mark.parametrize(
    ("tally", "terms", "state", "whole", "held"),
    [
        (tally(), TERMS, State.SUCCEEDED, True, False),
        (tally(missing=20), TERMS, State.SUCCEEDED, True, False),
        (tally(missing=21), TERMS, State.HELD, True, True),
        (tally(missing=100), Terms(1000, force=True), State.SUCCEEDED, True, False),
        (tally(missing=100), Terms(1000, max_delete_share=1), State.SUCCEEDED, True, False),
        (tally(before=6, missing=5), Terms(1000, max_delete_share=0), State.SUCCEEDED, True, False),
        (tally(before=6, missing=6), TERMS, State.HELD, True, True),
        (tally(unread=1), TERMS, State.FAILED, False, False),
        (tally(unread=1), Terms(1000, force=True), State.FAILED, False, False),
        (tally(broken="gone"), Terms(1000, force=True), State.FAILED, False, False),
        (tally(done=0), TERMS, State.FAILED, False, False),
        (tally(done=0, missing=100), Terms(1000, force=True), State.SUCCEEDED, True, False),
        (tally(refused=1), TERMS, State.FAILED, True, False),
    ],
)
def test_only_a_whole_snapshot_deletes_and_only_so_much(
    tally: Tally, terms: Terms, state: State, whole: bool, held: bool
):
    assert tally.is_whole(terms) is whole
    assert (whole and tally.is_held(terms)) is held
    ended, detail = tally.verdict(terms)
    assert ended is state
    assert (detail is None) is (state is State.SUCCEEDED)


def test_errors_are_told_in_the_order_of_lines():
    told = Tally(counts=Counts())
    for number in (7, 3, 5):
        told.complain(number, "", "wrong")
    assert [error["line"] for error in json.loads(json.dumps(told.result(ACCOUNT)))["errors"]] == [3, 5, 7]
