"""What a dialect is: a small two-way codec, used to serve a collection here and to read an upstream."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from service.errors import WatchError
from service.model import Document, Json


@dataclass(frozen=True, slots=True)
class Frame:
    """What stands around and between the elements of a list, so that one of any length can be streamed."""

    prefix: bytes
    separator: bytes
    suffix: bytes


class UpstreamError(Exception):
    """An upstream's answer that is an error, or not what the dialect says, whatever its HTTP status was."""

    def __init__(self, detail: str, code: Json = None) -> None:
        super().__init__(detail)
        self.detail = detail
        self.code = code  # as the upstream gave it


class Dialect(Protocol):
    """Values in, values out: JSON text is read and written by the caller, but for the frame of a list."""

    @property
    def media_type(self) -> str:
        """Of every body."""

    @property
    def frame(self) -> Frame:
        """Of a list's body."""

    def item(self, document: Document) -> Json:
        """The body that answers with one item."""

    def element(self, document: Document) -> Json:
        """One item inside of a list."""

    def error(self, error: WatchError) -> Json:
        """The body of an error."""

    def body(self, value: Json) -> Document:
        """The resource in the body of a write. Raises Invalid, with pointers into the body."""

    def read_item(self, value: Json) -> Document:
        """The resource in an upstream's answer. Raises UpstreamError."""

    def read_list(self, value: Json) -> list[Json]:
        """The elements of an upstream's list, whatever each of them is. Raises UpstreamError."""
