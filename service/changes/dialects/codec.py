"""What a dialect is: a small two-way codec, used to serve a collection here and to read an upstream."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

from service.changes.detect import Path
from service.changes.listing import Listing
from service.changes.parameters import Query
from service.changes.resourcetype import ResourceType
from service.errors import WatchError
from service.model import Document, Json

UNESCAPED = "*:,"  # in the queries that we write, as vendors document theirs


@dataclass(frozen=True, slots=True)
class Face:
    """The vendor face of a type, as one caller sees it."""

    rtype: ResourceType
    url: str  # absolute, of the collection
    may_update: bool  # whether this caller may change items

    def url_of(self, id_: str) -> str:
        """The absolute URL of an item."""
        return f"{self.url}/{quote(id_, safe='')}"


@dataclass(frozen=True, slots=True)
class Page:
    """One page of an upstream's list."""

    elements: list[Json]  # whatever each of them is
    next: str | None  # absolute URL of the next page; None: this was the last


class UpstreamError(Exception):
    """An upstream's answer that is an error, or not what the dialect says, whatever its HTTP status was."""

    def __init__(self, detail: str, code: Json = None) -> None:
        super().__init__(detail)
        self.detail = detail
        self.code = code  # as the upstream gave it


class Dialect(Protocol):
    """Values in, values out: JSON text is read and written by the caller, but for what stands around a list."""

    @property
    def media_type(self) -> str:
        """Of every body."""

    @property
    def made(self) -> tuple[Path, ...]:
        """Members that are made when serving, since they name a host, and are never stored."""

    @property
    def resource_pointer(self) -> str:
        """Where the resource is in the body of a write."""

    @property
    def incremental(self) -> bool:
        """Whether a list can be read from a watermark on."""

    # Serving

    def negotiate(self, method: str, headers: Mapping[str, str], /) -> None:
        """Raises UnsupportedMediaType or NotAcceptable when the dialect has a word in it."""

    def listing(self, face: Face, query: Query, /) -> Listing:
        """The list that a query asks for. Raises BadParameter."""

    def item(self, face: Face, query: Query, /) -> Callable[[str, Document], Json]:
        """What makes the body that answers with one item, from its id and its document. Raises BadParameter."""

    def deleted(self) -> Json:
        """The body that answers a deletion; None: none."""

    def error(self, error: WatchError, /) -> Json:
        """The body of an error."""

    def body(self, rtype: ResourceType, value: Json, current: Document | None, /) -> Document:
        """The resource in the body of a write to an item, or to the collection where there is no current one.

        Raises Invalid with pointers into the body, Conflict or Forbidden.
        """

    # Reading

    def first_page(self, url: str, since: str | None, /) -> str:
        """The URL of the first page; ``url`` is the collection's, ``since`` a watermark (None: everything).

        An incremental read reaches back a little behind the watermark, since an upstream's clocks and commits
        are not in one order.
        """

    def read_page(self, url: str, body: Json, /) -> Page:
        """The page in the answer that this URL gave. Raises UpstreamError, also for an error in a 200."""

    def read_element(self, element: Json, /) -> Document:
        """The resource in an element of a page. Raises UpstreamError."""

    def read_item(self, value: Json, /) -> Document:
        """The resource in an upstream's answer with one item. Raises UpstreamError."""

    def watermark(self, element: Json, /) -> str | None:
        """When an element was updated, as the upstream writes it; None: not known."""


def with_query(url: str, parameters: Mapping[str, str]) -> str:
    """The URL with these parameters in place of those of their names; the others are kept."""
    parts = urlsplit(url)
    kept = [(name, value) for name, value in parse_qsl(parts.query, keep_blank_values=True) if name not in parameters]
    return parts._replace(query=urlencode([*kept, *parameters.items()], safe=UNESCAPED)).geturl()


def an_object(value: Json, what: str) -> Document:
    """An upstream's value that must be an object."""
    if not isinstance(value, dict):
        raise UpstreamError(f"{what} is not a JSON object")
    return value


def an_array(answer: Document, name: str) -> list[Json]:
    """A member of an upstream's answer that must be an array."""
    elements = answer.get(name)
    if not isinstance(elements, list):
        raise UpstreamError(f'the answer has no array "{name}"')
    return elements
