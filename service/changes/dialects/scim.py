"""The ``scim`` dialect: bare resources, lists as ``{"Resources": [...], "totalResults": ...}`` (RFC 7644).

Pages are counted in resources: ``startIndex`` from 1, ``count`` of them. ``meta.location`` and ``$ref`` name a host.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from urllib.parse import parse_qsl, urlsplit

from service import jsontext
from service.changes import detect, filters, parameters
from service.changes.detect import Path
from service.changes.dialects.codec import Face, Page, UpstreamError, an_array, an_object, with_query
from service.changes.listing import Found, Listing, Numbered
from service.changes.parameters import BadParameter, Query
from service.changes.resourcetype import ResourceType
from service.errors import Invalid, WatchError
from service.model import Document, Json

LIST = "urn:ietf:params:scim:api:messages:2.0:ListResponse"
ERROR = "urn:ietf:params:scim:api:messages:2.0:Error"
COUNT, MOST = 100, 1000
FARTHEST = 10**9
SCIM_TYPES: Mapping[int, str] = {400: "invalidSyntax", 409: "uniqueness", 422: "invalidValue"}  # RFC 7644, table 9


class Scim:
    """The codec; see ``codec.Dialect``."""

    media_type = "application/scim+json"
    made: tuple[Path, ...] = (("meta", "location"), ("*", "$ref"), ("*", "*", "$ref"))
    resource_pointer = ""
    incremental = False  # a server need not filter by meta.lastModified

    def negotiate(self, method: str, headers: Mapping[str, str]) -> None:
        """Anything goes."""

    def listing(self, face: Face, query: Query) -> Listing:
        """``count`` resources from ``startIndex`` on, which is where a page of that many begins."""
        start, size = parameters.whole(query, "startIndex", 1, FARTHEST), parameters.whole(query, "count", COUNT, MOST)
        if (start - 1) % size:
            raise BadParameter("startIndex", f"must be where a page of {size} begins: 1, {size + 1}, ...")
        window = Numbered(page=(start - 1) // size + 1, size=size)
        return Listing(
            passes=filters.compile(face.rtype, query),
            window=window,
            element=partial(_resource, face),
            prefix=b'{"Resources":[',
            suffix=partial(_end, window),
        )

    def item(self, face: Face, _query: Query) -> Callable[[str, Document], Json]:
        """The resource itself."""
        return partial(_resource, face)

    def deleted(self) -> Json:
        """Nothing."""
        return None

    def error(self, error: WatchError) -> Json:
        """``{"schemas": [...], "status": "404", "detail": ...}``, with a ``scimType`` where there is one."""
        said = "; ".join(f"{fault.pointer or 'the body'}: {fault.detail}" for fault in error.errors) or error.detail
        answer: Document = {"schemas": [ERROR], "status": str(error.status), "detail": said}
        return {**answer, "scimType": SCIM_TYPES[error.status]} if error.status in SCIM_TYPES else answer

    def body(self, _rtype: ResourceType, value: Json, _current: Document | None) -> Document:
        """The resource itself."""
        if not isinstance(value, dict):
            raise Invalid.at("", "must be an object: send the resource itself")
        return value

    def first_page(self, url: str, _since: str | None) -> str:
        """As many as the upstream thinks fit."""
        return with_query(url, {"startIndex": "1"})

    def read_page(self, url: str, body: Json) -> Page:
        """What ``Resources`` holds; there is a next page while ``totalResults`` is not reached."""
        answer = _sound(body)
        total = _number(answer.get("totalResults"), "totalResults")
        elements = an_array(answer, "Resources") if total or "Resources" in answer else []
        asked = int(dict(parse_qsl(urlsplit(url).query)).get("startIndex", "1"))
        start = _number(answer.get("startIndex", asked), "startIndex")
        if start != asked:
            raise UpstreamError(f"what begins at {asked} was asked for and what begins at {start} came")
        following = start + len(elements)
        if not elements and start <= total:
            raise UpstreamError(f"there are {total} resources, and none from {start} on")
        return Page(elements, with_query(url, {"startIndex": str(following)}) if following <= total else None)

    def read_element(self, element: Json) -> Document:
        """The resource, without what names its host."""
        return detect.strip(an_object(element, "a resource"), self.made)

    def read_item(self, value: Json) -> Document:
        """The resource, unless it is an error."""
        return self.read_element(_sound(value))

    def watermark(self, _element: Json) -> str | None:
        """It is not asked for what was updated since."""
        return None


def _resource(face: Face, id_: str, document: Document) -> Document:
    meta = document.get("meta")
    return {**document, "meta": {**(meta if isinstance(meta, dict) else {}), "location": face.url_of(id_)}}


def _end(window: Numbered, found: Found) -> bytes:
    total, start = found.total or 0, (window.page - 1) * window.size + 1
    page: Document = {
        "schemas": [LIST],
        "totalResults": total,
        "startIndex": start,
        "itemsPerPage": max(0, min(window.size, total - start + 1)),
    }
    return b"]," + jsontext.dumps(page)[1:]


def _sound(value: Json) -> Document:
    """The answer, unless it says that it is an error."""
    answer = an_object(value, "the answer")
    schemas = answer.get("schemas")
    if isinstance(schemas, list) and ERROR in schemas:
        detail = answer.get("detail")
        words = detail[:200] if isinstance(detail, str) else "the upstream answered with an error"
        raise UpstreamError(words, answer.get("scimType") or answer.get("status"))
    return answer


def _number(value: Json, name: str) -> int:
    """A whole number; one that turned into a string is one still."""
    text = str(value)
    if isinstance(value, bool) or not (text.isascii() and text.isdigit() and len(text) <= 18):
        raise UpstreamError(f"{name} is no number of resources")
    return int(text)
