from __future__ import annotations

from service.cli import sse
from service.cli.sse import Event

STREAM = (
    "\ufeffretry: 1000\n\n"
    'id: 7\nevent: delivery\ndata: {"name": "Zoë"}\n\n'
    "id: 9\n: still here\n\n"
    "data:one\r\ndata: two\rdata\r\n\r\n"
    "unknown: field\nid: a\0b\ndata: last\n\n"
    "data: never ended\n"
).encode()

EVENTS = [
    Event(None, "message", ""),
    Event("7", "delivery", '{"name": "Zoë"}'),
    Event("9", "message", ""),
    Event("9", "message", "one\ntwo\n"),
    Event("9", "message", "last"),
]


def test_events_are_read_with_any_line_end_and_an_id_without_data_counts():
    assert list(sse.Parser().feed(STREAM)) == EVENTS


def test_it_does_not_matter_where_the_network_cuts():
    for size in (1, 2, 3, 5):
        parser = sse.Parser()
        chunks = (STREAM[start : start + size] for start in range(0, len(STREAM), size))
        assert [event for chunk in chunks for event in parser.feed(chunk)] == EVENTS
