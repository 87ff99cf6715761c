"""The ``items`` dialect: bare items, lists as ``{"items": [...]}``, errors as ``{"error": {...}}``.

Agendize speaks it. A list has no paging; an answer of 200 may still hold an ``error``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from service.changes import filters
from service.changes.detect import Path
from service.changes.dialects.codec import Face, Page, UpstreamError, an_array, an_object
from service.changes.listing import Listing
from service.changes.parameters import Query
from service.changes.resourcetype import ResourceType
from service.errors import Invalid, WatchError
from service.model import Document, Json


class Items:
    """The codec; see ``codec.Dialect``."""

    media_type = "application/json"
    made: tuple[Path, ...] = ()
    resource_pointer = ""
    incremental = False

    def negotiate(self, method: str, headers: Mapping[str, str]) -> None:
        """Anything goes."""

    def listing(self, face: Face, query: Query) -> Listing:
        """Everything that passes the type's filters."""
        return Listing(
            passes=filters.compile(face.rtype, query),
            window=None,
            element=lambda _id, document: document,
            prefix=b'{"items":[',
            suffix=lambda _found: b"]}",
        )

    def item(self, _face: Face, _query: Query) -> Callable[[str, Document], Json]:
        """The item itself."""
        return lambda _id, document: document

    def deleted(self) -> Json:
        """Nothing."""
        return None

    def error(self, error: WatchError) -> Json:
        """``{"error": {"code": 422, "reason": "invalid", "message": ..., "errors": [{"pointer", "detail"}]}}``."""
        return {
            "error": {
                "code": error.status,
                "reason": error.code,
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
        """All there is."""
        return url

    def read_page(self, _url: str, body: Json) -> Page:
        """What ``items`` holds."""
        return Page(an_array(_sound(body), "items"), None)

    def read_element(self, element: Json) -> Document:
        """The item itself."""
        return an_object(element, "an item")

    def read_item(self, value: Json) -> Document:
        """The item itself, unless it is an error."""
        return _sound(value)

    def watermark(self, _element: Json) -> str | None:
        """An item does not say when it was updated."""
        return None


def _sound(value: Json) -> Document:
    """The answer, unless it is none: an account has no member ``error``, so one that does is an error."""
    answer = an_object(value, "the answer")
    error = answer.get("error")
    if error is None:
        return answer
    said = error if isinstance(error, dict) else {"message": error}
    words = [str(said[name]) for name in ("reason", "message") if said.get(name)]
    raise UpstreamError(": ".join(words) or "the upstream answered with an error", said.get("code"))
