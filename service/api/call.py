"""One call: who asks, what for, with which body; and the parameters of lists, read strictly."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Collection, Mapping, Sequence

from aiohttp import http_exceptions, web

from service import clock, errors, jsontext
from service.api.services import Services
from service.model import Document, Json, Principal
from service.values import value

DEFAULT_LIMIT, MOST = 50, 500


@value
class Visit:
    """A request, whoever makes it."""

    request: web.BaseRequest
    services: Services
    parts: Mapping[str, str]  # of the path, by name

    def part(self, name: str) -> str:
        """A part of the path."""
        return self.parts[name]


@value
class Call(Visit):
    """A request whose caller is known and may make it."""

    principal: Principal

    @property
    def tenant(self) -> str:
        """Whose data it is about."""
        return self.principal.tenant

    async def json(self) -> Json:
        """The body; BadRequest, TooLarge or UnsupportedMediaType when it cannot be read as JSON."""
        content_type = self.request.content_type
        if "Content-Type" in self.request.headers and not (
            content_type == "application/json"
            or (content_type.startswith("application/") and content_type.endswith("+json"))
        ):
            raise errors.UnsupportedMediaType(f"{content_type} is not taken here: send application/json")
        return jsontext.loads(await self.body())

    async def optional_json(self) -> Json:
        """The body, or an empty object where none was sent."""
        return await self.json() if await self.body() else {}

    async def body(self) -> bytes:
        """The bytes of the body; TooLarge past the limit."""
        try:
            return await self.request.read()
        except web.HTTPRequestEntityTooLarge as error:
            limit = self.services.settings.server.max_body_bytes
            raise errors.TooLarge(f"the body is larger than {limit} bytes: send less at once") from error
        except (web.RequestPayloadError, http_exceptions.BadHttpMessage) as error:
            raise errors.BadRequest("the body cannot be read: it is cut off, or not compressed as it says") from error

    def only(self, names: Collection[str]) -> dict[str, str]:
        """The query's parameters; BadRequest names one that is not known here, or is given twice."""
        query = self.request.query
        for name in query:
            if name not in names:
                raise errors.BadRequest(f"unknown parameter {name!r}: this list takes {', '.join(sorted(names))}")
            if len(query.getall(name)) > 1:
                raise errors.BadRequest(f"parameter {name!r} is given twice")
        return dict(query)

    def limit(self) -> int:
        """How many items of a list are asked for."""
        text = self.request.query.get("limit")
        if text is None:
            return DEFAULT_LIMIT
        if not (text.isascii() and text.isdigit() and len(text) <= len(str(MOST)) and 1 <= int(text) <= MOST):
            raise errors.BadRequest(f"parameter 'limit' is a number from 1 to {MOST}, not {text[:40]!r}")
        return int(text)

    def time(self, name: str) -> int | None:
        """A parameter that is a time, in ms."""
        text = self.request.query.get(name)
        if text is None:
            return None
        try:
            return clock.parse_rfc3339(text.replace(" ", "+"))  # a + that was not encoded
        except (ValueError, OverflowError) as error:
            raise errors.BadRequest(
                f"parameter {name!r} must be an RFC 3339 time such as 2026-01-31T12:00:00Z"
            ) from error

    def cursor(self) -> str:
        """Where a list goes on: the id after which the page begins, or ""."""
        text = self.request.query.get("cursor", "")
        try:
            return base64.b64decode(text.encode("ascii"), altchars=b"-_", validate=True).decode()
        except (binascii.Error, UnicodeError) as error:
            raise errors.BadRequest("parameter 'cursor' is not one of ours: take nextCursor as it was given") from error


def page(items: Sequence[Document], last: str | None) -> Document:
    """A list's answer; ``last`` is the id that its last item ends at, None when there is no more."""
    return {"items": list(items), "nextCursor": None if last is None else cursor_of(last)}


def cursor_of(last: str) -> str:
    """What ``Call.cursor`` reads."""
    return base64.urlsafe_b64encode(last.encode()).decode()
