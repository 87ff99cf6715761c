"""The ``items`` dialect: bare items, lists as ``{"items": [...]}``, errors as ``{"error": {...}}``.

Agendize speaks it. A list has no paging; an answer of 200 may still hold an ``error``.
"""

from __future__ import annotations

from service.changes.dialects.codec import Frame, UpstreamError
from service.errors import Invalid, WatchError
from service.model import Document, Json


class Items:
    """The codec; see ``codec.Dialect``."""

    media_type = "application/json"
    frame = Frame(b'{"items":[', b",", b"]}")

    def item(self, document: Document) -> Json:
        """The item itself."""
        return document

    def element(self, document: Document) -> Json:
        """The item itself."""
        return document

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

    def body(self, value: Json) -> Document:
        """The item itself."""
        if not isinstance(value, dict):
            raise Invalid.at("", "must be an object: send the item itself")
        return value

    def read_item(self, value: Json) -> Document:
        """The item itself, unless it is an error."""
        return _sound(value)

    def read_list(self, value: Json) -> list[Json]:
        """What ``items`` holds."""
        elements = _sound(value).get("items")
        if not isinstance(elements, list):
            raise UpstreamError('the answer has no array "items"')
        return elements


def _sound(value: Json) -> Document:
    """The answer, unless it is none: an account has no member ``error``, so one that does is an error."""
    if not isinstance(value, dict):
        raise UpstreamError("the answer is not a JSON object")
    error = value.get("error")
    if error is None:
        return value
    said = error if isinstance(error, dict) else {"message": error}
    words = [str(said[name]) for name in ("reason", "message") if said.get(name)]
    raise UpstreamError(": ".join(words) or "the upstream answered with an error", said.get("code"))
