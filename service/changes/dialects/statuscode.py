"""The ``statusCode`` dialect: every body says in ``statusCode`` what came of the call; 0 is success.

Genesys speaks it: an item is ``{"statusCode": 0, "user": {...}}``, a list ``{"statusCode": 0, "uris": [...]}`` or,
when ``fields`` or ``subresources`` are asked for, ``{"statusCode": 0, "users": [...]}``; an error
``{"statusCode": 6, "statusMessage": "..."}``, whatever its HTTP status. There is no paging. ``uri`` and ``path`` lead
to an item on the host that was asked.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from urllib.parse import quote, urlsplit

from service import jsontext
from service.changes import detect, filters
from service.changes.dialects.codec import Face, Page, UpstreamError, an_array, an_object, with_query
from service.changes.gate import REQUIRED
from service.changes.listing import Listing
from service.changes.parameters import BadParameter, Query
from service.changes.resourcetype import ResourceType
from service.errors import Invalid, WatchError
from service.model import Document, Json

EVERYTHING = "*"
OK, MISSING, INVALID, FORBIDDEN, INTERNAL, NO_PERMISSION, NOT_FOUND = 0, 1, 2, 3, 4, 5, 6
EXISTS, NOT_AUTHENTICATED = 18, 20
CODES: Mapping[int, int] = {  # of the HTTP status that stands besides
    400: INVALID,
    401: NOT_AUTHENTICATED,
    403: NO_PERMISSION,
    404: NOT_FOUND,
    405: FORBIDDEN,
    409: EXISTS,
    413: INVALID,
    415: INVALID,
    422: INVALID,
}


class StatusCode:
    """The codec; see ``codec.Dialect``."""

    media_type = "application/json"
    made: tuple[detect.Path, ...] = (("uri",), ("path",), ("*", "*", "uri"), ("*", "*", "path"))
    resource_pointer = ""
    incremental = False

    def negotiate(self, method: str, headers: Mapping[str, str]) -> None:
        """Anything goes."""

    def listing(self, face: Face, query: Query) -> Listing:
        """URIs, unless ``fields`` or ``subresources`` ask for more; any other parameter filters exactly."""
        rtype = face.rtype
        for name in query:
            if name not in (*rtype.filters, "fields", "subresources"):
                raise BadParameter(name, f"cannot be filtered by: there is {', '.join(rtype.filters)}")
        shown = _Shown.of(face, query)
        uris = "fields" not in query and "subresources" not in query
        element: Callable[[str, Document], Json] = (lambda id_, _document: face.url_of(id_)) if uris else shown.item
        name = jsontext.text("uris" if uris else rtype.plural)
        return Listing(
            passes=filters.compile(rtype, query),
            window=None,
            element=element,
            prefix=f'{{"statusCode":{OK},{name}:['.encode(),
            suffix=lambda _found: b"]}",
        )

    def item(self, face: Face, query: Query) -> Callable[[str, Document], Json]:
        """Under its name, such as ``user``."""
        shown = _Shown.of(face, query)
        return lambda id_, document: {"statusCode": OK, face.rtype.singular: shown.item(id_, document)}

    def deleted(self) -> Json:
        """Success."""
        return {"statusCode": OK}

    def error(self, error: WatchError) -> Json:
        """``{"statusCode": 2, "statusMessage": ...}`` with every fault in the message."""
        code = CODES.get(error.status, INTERNAL)
        if any(fault.detail == REQUIRED for fault in error.errors):
            code = MISSING
        message = "; ".join(f"{fault.pointer or 'the body'}: {fault.detail}" for fault in error.errors) or error.detail
        return {"statusCode": code, "statusMessage": message}

    def body(self, _rtype: ResourceType, value: Json, _current: Document | None) -> Document:
        """The item itself."""
        if not isinstance(value, dict):
            raise Invalid.at("", "must be an object: send the item itself")
        return value

    def first_page(self, url: str, _since: str | None) -> str:
        """Everything of everyone, since by default there are URIs only, and items without their subresources."""
        return with_query(url, {"fields": EVERYTHING, "subresources": EVERYTHING})

    def read_page(self, url: str, body: Json) -> Page:
        """What stands under the collection's name, which ends its URL as a rule, or else the only array there is."""
        answer = _sound(body)
        arrays = [name for name, member in answer.items() if isinstance(member, list) and name != "uris"]
        name = urlsplit(url).path.rstrip("/").rpartition("/")[2]
        return Page(an_array(answer, arrays[0] if name not in answer and len(arrays) == 1 else name), None)

    def read_element(self, element: Json) -> Document:
        """The item, without what names its host."""
        return detect.strip(an_object(element, "an item"), self.made)

    def read_item(self, value: Json) -> Document:
        """The one object of the answer."""
        found = [member for member in _sound(value).values() if isinstance(member, dict)]
        if len(found) != 1:
            raise UpstreamError("the answer does not hold one item")
        return self.read_element(found[0])

    def watermark(self, _element: Json) -> str | None:
        """An item does not say when it was updated."""
        return None


@dataclass(frozen=True, slots=True)
class _Shown:
    """What of an item is shown."""

    face: Face
    fields: frozenset[str] | None  # None: all
    subresources: frozenset[str]

    @classmethod
    def of(cls, face: Face, query: Query) -> _Shown:
        declared = face.rtype.subresources
        fields = _names(query.get("fields", EVERYTHING))
        subresources = _names(query.get("subresources", ""))
        unknown = sorted((subresources or frozenset()).difference(declared))
        if unknown:
            raise BadParameter("subresources", f"there is no {unknown[0]}, only {', '.join(declared) or 'none'}")
        return cls(face, fields, frozenset(declared) if subresources is None else subresources)

    def item(self, id_: str, document: Document) -> Document:
        hidden = set(self.face.rtype.subresources) - self.subresources
        whole: Document = {
            **document,
            "uri": self.face.url_of(id_),
            "path": f"{self.face.rtype.upstream}/{quote(id_, safe='')}",
        }
        return {
            name: value
            for name, value in whole.items()
            if name not in hidden and (self.fields is None or name in self.fields or name in self.subresources)
        }


def _names(text: str) -> frozenset[str] | None:
    """The names of a comma list; None for ``*``."""
    names = frozenset(name.strip() for name in text.split(",")) - {""}
    return None if EVERYTHING in names else names


def _sound(value: Json) -> Document:
    """The answer, unless its code says that it is none, or only a part of one."""
    answer = an_object(value, "the answer")
    code = answer.get("statusCode")
    if str(code) != str(OK):
        message = answer.get("statusMessage")
        words = message[:200] if isinstance(message, str) else "the upstream answered with an error"
        raise UpstreamError(words if "statusCode" in answer else "the answer has no statusCode", code)
    return answer
