"""Newline-delimited JSON: a stream of bytes cut into lines, and gzip around it, in the memory of a few lines."""

from __future__ import annotations

import zlib
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass

LINES, BYTES = 100, 512 * 1024  # of a portion: so many lines, or fewer once they have so many bytes
GZIP = 16 + zlib.MAX_WBITS  # zlib's way to ask for a gzip header and its checksum
INFLATED_AT_ONCE = 64 * 1024  # bytes: a few bytes of gzip may hold a thousand times as many


class BrokenOff(Exception):
    """The stream did not come to its end; the text says why."""


@dataclass(frozen=True, slots=True)
class Line:
    """One line that is not blank."""

    number: int  # from 1, blank ones counted
    text: bytes | None  # without its end; None: it is longer than what is taken

    @property
    def size(self) -> int:
        """Bytes of it that are in memory."""
        return 0 if self.text is None else len(self.text)


async def portions(pieces: AsyncIterator[bytes], longest: int) -> AsyncIterator[list[Line]]:
    """The lines of a stream, some at a time.

    Raises:
        BrokenOff: as the pieces do, behind the lines that ended before.
    """
    cutter = Cutter(longest)
    portion: list[Line] = []
    size = 0
    try:
        async for piece in pieces:
            for line in cutter.feed(piece):
                portion.append(line)
                size += line.size
                if len(portion) >= LINES or size >= BYTES:
                    yield portion
                    portion, size = [], 0
    except BrokenOff:
        if portion:
            yield portion
        raise
    portion.extend(cutter.end())
    if portion:
        yield portion


class Cutter:
    """Cuts what comes in any pieces; a line ends with LF or CRLF, the last one also with the stream."""

    def __init__(self, longest: int) -> None:
        self._longest = longest
        self._number = 0
        self._rest = bytearray()  # of the line that has not ended yet
        self._too_long = False  # it is passed over

    def feed(self, piece: bytes) -> Iterator[Line]:
        """The lines that end in this piece."""
        *ends, rest = piece.split(b"\n")
        for end in ends:
            yield from self._end(end)
        self._keep(rest)

    def end(self) -> Iterator[Line]:
        """The line that the end of the stream ends, if there is one."""
        if self._rest or self._too_long:
            yield from self._end(b"")

    def _end(self, text: bytes) -> Iterator[Line]:
        self._number += 1
        if self._rest or self._too_long or len(text) > self._longest:
            self._keep(text)
            text, too_long = bytes(self._rest), self._too_long
            self._rest, self._too_long = bytearray(), False
            if too_long:
                yield Line(self._number, None)
                return
        if text and not text.isspace():
            yield Line(self._number, text.removesuffix(b"\r"))

    def _keep(self, text: bytes) -> None:
        if self._too_long or len(self._rest) + len(text) > self._longest:
            self._rest, self._too_long = bytearray(), True
        else:
            self._rest += text


async def inflated(pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """What is in gzip, of one or several members.

    Raises:
        BrokenOff: it is no gzip, or ends in the middle: half of a directory is no directory.
    """
    member, begun = zlib.decompressobj(GZIP), False
    async for piece in pieces:
        rest = piece
        while rest:
            if member.eof:
                member = zlib.decompressobj(GZIP)
            begun = True
            try:
                yield member.decompress(rest, INFLATED_AT_ONCE)
            except zlib.error as error:
                raise BrokenOff(f"the body is no gzip, or a broken one ({error})") from error
            rest = member.unconsumed_tail or member.unused_data
    if begun and not member.eof:
        raise BrokenOff("the gzip ends in the middle")
