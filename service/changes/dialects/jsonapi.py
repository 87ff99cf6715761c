"""The ``jsonapi`` dialect: JSON:API 1.1 (https://jsonapi.org/format), with the habits of Outreach.

A resource is ``{"type": "user", "id": 1, "attributes": {...}, "relationships": {...}}``: ids are integers where the type
declares them so. Its ``links``, which name a host, are made when it is served. Errors carry the vendor's words in
``id`` and ``title``, and the HTTP status besides.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from urllib.parse import parse_qsl, urljoin, urlsplit

from service import clock, jsontext
from service.changes import detect, filters, members, scalars
from service.changes.dialects import jsonapiquery, mediatypes
from service.changes.dialects.codec import Face, Page, UpstreamError, an_array, an_object, with_query
from service.changes.dialects.jsonapiquery import Shown
from service.changes.listing import Found, Keyset, Listing
from service.changes.order import Position
from service.changes.parameters import BadParameter, Query
from service.changes.resourcetype import ResourceType
from service.errors import Conflict, FieldError, Forbidden, Invalid, WatchError
from service.model import Document, Json

WRITTEN = ("attributes", "relationships")  # of a resource in the body of a write
ON_REQUEST = ("canWrite", "dataConnections")  # of ``meta``
UPDATED = "updatedAt"  # the attribute that a poll goes by
PAGE_SIZE = 250  # that a poll asks for
OVERLAP = 300_000  # ms that an incremental read reaches back behind its watermark
ERRORS: Mapping[int, tuple[str, str]] = {  # the vendor's id and title, by HTTP status
    401: ("unauthenticatedRequest", "Unauthenticated Request"),
    403: ("unauthorizedRequest", "Unauthorized Request"),
    404: ("resourceNotFound", "Resource Not Found"),
    415: ("unsupportedMediaType", "Unsupported Media Type"),
    422: ("validationError", "Validation Error"),
    429: ("rateLimitExceeded", "Rate Limit Exceeded"),
}


class JsonApi:
    """The codec; see ``codec.Dialect``."""

    media_type = mediatypes.JSON_API
    made: tuple[detect.Path, ...] = (("links",), ("relationships", "*", "links"))
    resource_pointer = "/data"
    incremental = True

    def negotiate(self, method: str, headers: Mapping[str, str]) -> None:
        """A body must be JSON:API, and so must be what the caller accepts."""
        if method in ("POST", "PATCH", "PUT"):
            mediatypes.check_content(headers.get("Content-Type"))
        mediatypes.check_accept(headers.get("Accept"))

    def listing(self, face: Face, query: Query) -> Listing:
        """One page, with links to those beside it."""
        what, window = jsonapiquery.listed(face.rtype, query)
        return Listing(
            passes=filters.compile(face.rtype, query),
            window=window,
            element=partial(_resource, face, what),
            prefix=b'{"data":[',
            suffix=partial(_end, face, query, window),
        )

    def item(self, face: Face, query: Query) -> Callable[[str, Document], Json]:
        """Under ``data``."""
        what = jsonapiquery.shown(face.rtype, query)
        return lambda id_, document: {"data": _resource(face, what, id_, document)}

    def deleted(self) -> Json:
        """Nothing."""
        return None

    def error(self, error: WatchError) -> Json:
        """``{"errors": [{"id": "validationError", "title", "detail", "status": "422", "source": {"pointer"}}]}``."""
        id_, title = ERRORS.get(error.status, (error.code, error.title))
        common: Document = {"id": id_, "title": title, "status": str(error.status)}
        said: list[Json] = [
            {**common, "detail": fault.detail, "source": {"pointer": fault.pointer}} for fault in error.errors
        ]
        if isinstance(error, BadParameter):
            said = [{**common, "detail": error.detail, "source": {"parameter": error.parameter}}]
        return {"errors": said or [{**common, "detail": error.detail}]}

    def body(self, rtype: ResourceType, value: Json, current: Document | None) -> Document:
        """The resource object under ``data``: what JSON:API does not know of it is ignored."""
        data = value.get("data") if isinstance(value, dict) else None
        if not isinstance(data, dict):
            raise Invalid.at("/data", "must be a resource object: send {type, attributes, relationships} as data")
        if not isinstance(data.get("type"), str):
            raise Invalid.at("/data/type", f"must be the type of the resource: {rtype.singular}")
        if data["type"] != rtype.singular:
            raise _at(Conflict, "/data/type", f"the type of this collection is {rtype.singular}")
        if current is None and "id" in data:
            raise _at(Forbidden, "/data/id", "ids are made here: leave it out")
        id_ = scalars.text(members.get(current, rtype.id_path))
        if "id" in data and scalars.text(data["id"]) != id_:
            raise _at(Conflict, "/data/id", f"the {rtype.singular} at this path is {id_}: send its id, or none")
        return {"type": rtype.singular, **{name: data[name] for name in WRITTEN if name in data}}

    def first_page(self, url: str, since: str | None) -> str:
        """Incrementally, those that were updated since, the oldest update first."""
        size = dict(parse_qsl(urlsplit(url).query)).get("page[size]", str(PAGE_SIZE))
        changed = {} if since is None else {f"filter[{UPDATED}]": f"{_earlier(since)}..inf", "sort": UPDATED}
        return with_query(url, {"page[size]": size, **changed})

    def read_page(self, url: str, body: Json) -> Page:
        """What ``data`` holds; there is a next page if ``links.next`` leads to one.

        It stays on the origin that was asked, whatever host the link names: that is whom our credentials are for.
        """
        answer = _sound(body)
        links = answer.get("links")
        link = links.get("next") if isinstance(links, dict) else None
        href = link.get("href") if isinstance(link, dict) else link
        if href is None or href == "":
            return Page(an_array(answer, "data"), None)
        if not isinstance(href, str):
            raise UpstreamError("links.next is no link")
        try:
            here, there = urlsplit(url), urlsplit(urljoin(url, href))
        except ValueError:
            raise UpstreamError("links.next is no link") from None
        following = there._replace(scheme=here.scheme, netloc=here.netloc, fragment="").geturl()
        if following == url:
            raise UpstreamError("links.next leads to the same page again")
        return Page(an_array(answer, "data"), following)

    def read_element(self, element: Json) -> Document:
        """The resource object without its links, nor those of its relationships."""
        return detect.strip(an_object(element, "a resource"), self.made)

    def read_item(self, value: Json) -> Document:
        """What ``data`` holds."""
        return self.read_element(an_object(_sound(value).get("data"), "data"))

    def watermark(self, element: Json) -> str | None:
        """The attribute ``updatedAt``."""
        updated = members.get(element, ("attributes", UPDATED))
        return updated if isinstance(updated, str) and scalars.moment(updated) is not None else None


def _resource(face: Face, what: Shown, id_: str, document: Document) -> Document:
    """A resource object as it is shown."""
    stored = document.get("meta")
    meta: Document = (
        {name: value for name, value in stored.items() if name not in ON_REQUEST} if isinstance(stored, dict) else {}
    )
    if what.authorization:
        meta["canWrite"] = face.may_update
    if what.connections:
        meta["dataConnections"] = members.get(stored, ("dataConnections",)) or []
    resource: Document = {"type": face.rtype.singular, "id": id_, **document}
    for name in WRITTEN:
        fields = resource.get(name)
        if isinstance(fields, dict):
            resource[name] = {
                key: value
                for key, value in fields.items()
                if (what.fields is None or key in what.fields) and not (name == "relationships" and value == {})
            }
    resource.pop("meta", None)
    return {**resource, "links": {"self": face.url_of(id_)}, **({"meta": meta} if meta else {})}


def _end(face: Face, query: Query, window: Keyset, found: Found) -> bytes:
    """What stands behind the resources of a page."""

    def link(**cursor: Position) -> str:
        pages = {f"page[{name}]": window.order.cursor(position) for name, position in cursor.items()}
        kept = {name: value for name, value in query.items() if name not in ("page[after]", "page[before]")}
        return with_query(face.url, {**kept, **pages})

    links: Document = {"first": link()}
    if found.earlier and found.first is not None:
        links["prev"] = link(before=found.first)
    if found.later and found.last is not None:
        links["next"] = link(after=found.last)
    meta: Document = {} if found.total is None else {"meta": {"count": found.total}}
    return b"]," + jsontext.dumps({"links": links, **meta})[1:]


def _at(error: type[WatchError], pointer: str, detail: str) -> WatchError:
    return error(detail, (FieldError(pointer, detail),))


def _earlier(since: str) -> str:
    moment = scalars.moment(since)
    return since if moment is None else clock.rfc3339(max(0, moment - OVERLAP))


def _sound(value: Json) -> Document:
    """The answer, unless it is made of errors."""
    answer = an_object(value, "the answer")
    said = answer.get("errors")
    if said is None:
        return answer
    first = said[0] if isinstance(said, list) and said else said
    if not isinstance(first, dict):
        raise UpstreamError("the upstream answered with an error")
    words = [str(first[name]) for name in ("title", "detail") if first.get(name)]
    raise UpstreamError(": ".join(words)[:200] or "the upstream answered with an error", first.get("id"))
