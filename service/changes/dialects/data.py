"""The ``data`` dialect: items as ``{"data": {...}}``, lists as ``{"data": [...], "meta": {"pagination": {...}}}``.

Rinkel speaks it. Of its errors nothing is known but their status, so ours are ``{"error": {...}}``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import partial
from urllib.parse import parse_qsl, urlsplit

from service import jsontext
from service.changes import filters, parameters
from service.changes.detect import Path
from service.changes.dialects.codec import Face, Page, UpstreamError, an_array, an_object, with_query
from service.changes.listing import Found, Listing, Numbered
from service.changes.parameters import Query
from service.changes.resourcetype import ResourceType
from service.errors import Invalid, WatchError
from service.model import Document, Json

PER_PAGE, MOST_PER_PAGE = 100, 1000
FARTHEST = 10**9  # page


class Data:
    """The codec; see ``codec.Dialect``."""

    media_type = "application/json"
    made: tuple[Path, ...] = ()
    resource_pointer = ""
    incremental = False

    def negotiate(self, method: str, headers: Mapping[str, str]) -> None:
        """Anything goes."""

    def listing(self, face: Face, query: Query) -> Listing:
        """``page``, counted from 1, of ``perPage`` items."""
        window = Numbered(
            page=parameters.whole(query, "page", 1, FARTHEST),
            size=parameters.whole(query, "perPage", PER_PAGE, MOST_PER_PAGE),
        )
        return Listing(
            passes=filters.compile(face.rtype, query),
            window=window,
            element=lambda _id, document: document,
            prefix=b'{"data":[',
            suffix=partial(_pagination, window),
        )

    def item(self, _face: Face, _query: Query) -> Callable[[str, Document], Json]:
        """Under ``data``."""
        return lambda _id, document: {"data": document}

    def deleted(self) -> Json:
        """Nothing."""
        return None

    def error(self, error: WatchError) -> Json:
        """``{"error": {"status": 404, "code": "notFound", "message": ..., "errors": [{"pointer", "detail"}]}}``."""
        return {
            "error": {
                "status": error.status,
                "code": error.code,
                "message": error.detail,
                "errors": [{"pointer": fault.pointer, "detail": fault.detail} for fault in error.errors],
            }
        }

    def body(self, _rtype: ResourceType, value: Json, _current: Document | None) -> Document:
        """The item itself."""
        if not isinstance(value, dict):
            raise Invalid.at("", "must be an object: send the item itself")
        return value

    def first_page(self, url: str, _since: str | None) -> str:
        """As many as the upstream thinks fit: what it calls a page's size is not known."""
        return url

    def read_page(self, url: str, body: Json) -> Page:
        """What ``data`` holds; there is a next page if ``meta.pagination`` says so."""
        answer = _sound(body)
        elements = an_array(answer, "data")
        meta = answer.get("meta")
        pagination = meta.get("pagination") if isinstance(meta, dict) else None
        if not isinstance(pagination, dict):
            return Page(elements, None)
        asked = _number(dict(parse_qsl(urlsplit(url).query)), "page", 1)
        current = _number(pagination, "currentPage", asked)
        if current != asked:
            raise UpstreamError(f"page {asked} was asked for and page {current} came")
        pages = _pages(pagination, len(elements))
        if current <= pages and not elements:
            raise UpstreamError(f"page {current} of {pages} is empty")
        return Page(elements, with_query(url, {"page": str(current + 1)}) if current < pages else None)

    def read_element(self, element: Json) -> Document:
        """The item itself."""
        return an_object(element, "an item")

    def read_item(self, value: Json) -> Document:
        """What ``data`` holds."""
        return an_object(_sound(value).get("data"), "data")

    def watermark(self, _element: Json) -> str | None:
        """An item does not say when it was updated."""
        return None


def _pagination(window: Numbered, found: Found) -> bytes:
    total = found.total or 0
    pagination: Document = {
        "totalItems": total,
        "totalPages": -(-total // window.size),
        "currentPage": window.page,
        "perPage": window.size,
    }
    return b'],"meta":' + jsontext.dumps({"pagination": pagination}) + b"}"


def _sound(value: Json) -> Document:
    """The answer, unless it is an error: one without ``data``, or with a word about what went wrong besides."""
    answer = an_object(value, "the answer")
    for name in ("error", "errors"):
        said = answer.get(name)
        if said:
            message = said.get("message") if isinstance(said, dict) else said
            code = said.get("code") if isinstance(said, dict) else None
            raise UpstreamError(_words(message) or "the upstream answered with an error", code)
    if "data" not in answer:
        raise UpstreamError(_words(answer.get("message")) or 'the answer has no "data"')
    return answer


def _words(message: Json) -> str:
    return message[:200] if isinstance(message, str) else ""


def _pages(pagination: Mapping[str, Json], elements: int) -> int:
    if pagination.get("totalPages") is not None:
        return _number(pagination, "totalPages", 1)
    size = max(1, _number(pagination, "perPage", elements))
    return -(-_number(pagination, "totalItems", elements) // size)


def _number(members: Mapping[str, Json], name: str, default: int) -> int:
    """A whole number; one that turned into a string is one still."""
    value = members.get(name)
    if value is None:
        return default
    text = str(value)
    if isinstance(value, bool) or not re.fullmatch("[0-9]{1,18}", text):
        raise UpstreamError(f"{name} is no number of pages or items")
    return int(text)
