"""Reading server-sent events: bytes in, events out (WHATWG HTML, section 9.2.6).

A parser of our own, because the published ones for aiohttp are asleep since 2023, and drop an event that has an
id but no data: that is how the service tells a quiet client where to resume.
"""

from __future__ import annotations

import codecs
import io
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field

import aiohttp


@dataclass(frozen=True, slots=True)
class Event:
    """One event; without data it only moves the place at which to resume."""

    id: str | None  # the last one that the stream named, with this event or before
    name: str
    data: str


@dataclass(slots=True)
class Parser:
    """What has been read of an event that has not ended yet."""

    _id: str | None = None
    _name: str = ""
    _data: list[str] = field(default_factory=list)
    _rest: str = ""
    _text: io.IncrementalNewlineDecoder = field(  # any kind of line end, also one that is cut in two
        default_factory=lambda: io.IncrementalNewlineDecoder(
            codecs.getincrementaldecoder("utf-8-sig")("replace"), translate=True
        )
    )

    def feed(self, chunk: bytes) -> Iterator[Event]:
        """The events that end in these bytes."""
        *lines, self._rest = (self._rest + self._text.decode(chunk)).split("\n")
        for line in lines:
            if line:
                self._take(line)
            else:
                yield Event(self._id, self._name or "message", "\n".join(self._data))
                self._name, self._data = "", []

    def _take(self, line: str) -> None:
        name, _, value = line.partition(":")  # a comment has no name
        value = value.removeprefix(" ")
        if name == "data":
            self._data.append(value)
        elif name == "event":
            self._name = value
        elif name == "id" and "\0" not in value:
            self._id = value


async def events(stream: aiohttp.StreamReader) -> AsyncIterator[Event]:
    """The events of an answer, as they come. Not read by lines, which aiohttp bounds: a row may be longer."""
    parser = Parser()
    async for chunk in stream.iter_any():
        for event in parser.feed(chunk):
            yield event
