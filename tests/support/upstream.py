"""A real upstream of each of the four systems, whose answers are scripted, on 127.0.0.1.

    async with Upstream("outreach.user", users=7, page_size=3) as upstream:
        upstream.faults = [None, status(503, **{"Retry-After": "2"})]   # the second request fails, then all is well
        upstream.between = {1: lambda: upstream.remove(2)}             # after the first answer the directory changes
        ... upstream.url ...

It speaks the dialect as the vendor's documents have it, by code of its own: nothing here knows ours.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any, Self
from urllib.parse import quote

from aiohttp import web
from multidict import CIMultiDictProxy

from tests.support.receiver import reset

BASE = {
    "agendize.account": "/api/2.0",
    "outreach.user": "/api/v2",
    "rinkel.user": "/v1",
    "genesys.user": "/api/v2",
}
PATH = {
    "agendize.account": "/api/2.0/resellers/accounts",
    "outreach.user": "/api/v2/users",
    "rinkel.user": "/v1/users",
    "genesys.user": "/api/v2/users",
}
TYPES = tuple(BASE)
PAGED = ("outreach.user", "rinkel.user")
EPOCH = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Fault:
    """What is done to the answer that would have come."""

    status: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | Callable[[bytes], bytes] | None = None  # instead of the page, or made of it
    cut: int | None = None  # so many bytes are missing from its end when the connection is closed
    reset: bool = False  # the connection is reset before an answer


def status(code: int, body: bytes = b"", **headers: str) -> Fault:
    return Fault(status=code, body=body, headers=headers)


@dataclass(frozen=True, slots=True)
class Call:
    """One request."""

    path: str
    query: Mapping[str, str]
    headers: CIMultiDictProxy[str]


class Upstream:
    """``users`` holds the vendor's items by number, in the order in which the list gives them."""

    def __init__(self, type_: str, users: int = 0, *, page_size: int = 3, shuffle: bool = False) -> None:
        self.type = type_
        self.page_size = page_size
        self.users: dict[int, dict[str, Any]] = {}
        self.calls: list[Call] = []
        self.faults: list[Fault | None] = []
        self.between: dict[int, Callable[[], object]] = {}  # called after so many answers
        self.hooks: dict[int, Callable[[], Awaitable[object]]] = {}  # awaited before the answer of that number
        self.always: Fault | None = None  # where there is no other
        self.gate = asyncio.Event()  # while it is shut, requests are taken and not answered
        self.gate.set()
        self.admits: Callable[[Mapping[str, str]], bool] = lambda _headers: True
        self.headers: dict[str, str] = {}  # of every answer
        self.shuffle = shuffle  # members come in another order each time
        self.ticks = 0
        self.port = 0
        self._arrived = asyncio.Condition()
        self._runner: web.ServerRunner | None = None
        for number in range(1, users + 1):
            self.add(number)

    @property
    def origin(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def url(self) -> str:
        """The base of the API, as a source has it."""
        return self.origin + BASE[self.type]

    # The directory

    def add(self, number: int, name: str = "Ada") -> None:
        self.users[number] = ITEMS[self.type](number, name)
        self._touch(number)

    def rename(self, number: int, name: str) -> None:
        user = self.users[number]
        if self.type == "outreach.user":
            user["attributes"]["firstName"] = name
        else:
            user["firstName"] = name
        self._touch(number)

    def remove(self, number: int) -> None:
        del self.users[number]

    def id_of(self, number: int) -> str:
        return str(self.users[number]["id"])

    def _touch(self, number: int) -> None:
        self.ticks += 1
        if self.type == "outreach.user":
            self.users[number]["attributes"]["updatedAt"] = updated(self.ticks)

    def http_time(self, ticks: int) -> str:
        """The same as an HTTP date."""
        return format_datetime(EPOCH + timedelta(minutes=10 * ticks), usegmt=True)

    def page_url(self, number: int) -> str:
        """Of the page of a list of everyone; of the first one as a link to it would be."""
        name, value = (
            ("page[after]", (number - 1) * self.page_size) if self.type == "outreach.user" else ("page", number)
        )
        return self.link({name: str(value)})

    # The server

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def start(self) -> None:
        """Listen; after a stop, on the same port again."""
        self._runner = web.ServerRunner(web.Server(self._handle, access_log=None), shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self.port, reuse_address=True)
        await site.start()
        self.port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        """An outage."""
        if self._runner:
            await self._runner.cleanup()
            self._runner = None

    async def wait_for(self, calls: int) -> None:
        """Until so many requests have come."""
        async with asyncio.timeout(10), self._arrived:
            await self._arrived.wait_for(lambda: len(self.calls) >= calls)

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        self.calls.append(Call(request.path, dict(request.query), request.headers))
        fault = self.faults.pop(0) if self.faults else self.always
        code, body = self._answer(request)
        if len(self.calls) in self.hooks:
            await self.hooks.pop(len(self.calls))()
        async with self._arrived:
            self._arrived.notify_all()
        await self.gate.wait()
        if fault is not None and fault.reset:
            assert request.transport is not None
            reset(request.transport)
        if fault is not None and fault.status is not None:
            code = fault.status
        if fault is not None and fault.body is not None:
            body = fault.body(body) if callable(fault.body) else fault.body
        headers = {"Content-Type": "application/json", **self.headers, **(fault.headers if fault else {})}
        response = web.StreamResponse(status=code, headers=headers)
        response.content_length = len(body)
        await response.prepare(request)
        if fault is not None and fault.cut is not None:
            await response.write(body[: -fault.cut])
            assert request.transport is not None
            request.transport.close()
        else:
            await response.write(body)
            await response.write_eof()
        self.between.pop(len(self.calls), lambda: None)()
        return response

    def _answer(self, request: web.BaseRequest) -> tuple[int, bytes]:
        if not self.admits(request.headers):
            return 401, b'{"error": "unauthorized"}'
        if request.path != PATH[self.type]:
            return 404, b"{}"
        return 200, json.dumps(LISTS[self.type](self, request.query)).encode()

    def shown(self) -> list[dict[str, Any]]:
        """All items, each with its members in another order than the last time, if they are shuffled."""
        items = list(self.users.values())
        return [_turned(item, len(self.calls)) for item in items] if self.shuffle else items

    def link(self, query: Mapping[str, str]) -> str:
        return f"{self.origin}{PATH[self.type]}?" + "&".join(f"{k}={quote(v, safe='')}" for k, v in query.items())


def updated(ticks: int) -> str:
    """The time of an update: ten minutes lie between two."""
    return (EPOCH + timedelta(minutes=10 * ticks)).strftime("%Y-%m-%dT%H:%M:%S.000Z")


def _turned(value: Any, turns: int) -> Any:
    if isinstance(value, list):
        return [_turned(each, turns) for each in value]
    if not isinstance(value, dict):
        return value
    names = list(value)
    turn = turns % len(names) if names else 0
    return {name: _turned(value[name], turns) for name in names[turn:] + names[:turn]}


def _items(upstream: Upstream, _query: Mapping[str, str]) -> Any:
    return {"items": upstream.shown()}


def _jsonapi(upstream: Upstream, query: Mapping[str, str]) -> Any:
    items = upstream.shown()
    if "filter[updatedAt]" in query:
        since = query["filter[updatedAt]"].removesuffix("..inf")
        items = [item for item in items if item["attributes"]["updatedAt"] >= since]
    if query.get("sort") == "updatedAt":
        items.sort(key=lambda item: item["attributes"]["updatedAt"])
    start = int(query.get("page[after]", "0"))
    end = start + upstream.page_size
    links = {"first": upstream.link({})}
    if end < len(items):
        links["next"] = upstream.link({**query, "page[after]": str(end)})
    shown = [{**item, "links": {"self": f"{upstream.url}/users/{item['id']}"}} for item in items[start:end]]
    return {"data": shown, "links": links}


def _data(upstream: Upstream, query: Mapping[str, str]) -> Any:
    items, size = upstream.shown(), upstream.page_size
    page = int(query.get("page", "1"))
    pagination = {
        "totalItems": len(items),
        "totalPages": -(-len(items) // size),
        "currentPage": page,
        "perPage": size,
    }
    return {"data": items[(page - 1) * size : page * size], "meta": {"pagination": pagination}}


def _status_code(upstream: Upstream, query: Mapping[str, str]) -> Any:
    if query.get("fields") != "*":
        return {"statusCode": 0, "uris": [f"{upstream.url}/users/{item['id']}" for item in upstream.shown()]}
    hosted = {"uri": upstream.url, "path": "/users"}
    return {"statusCode": 0, "users": [{**item, **hosted} for item in upstream.shown()]}


def _account(number: int, name: str) -> dict[str, Any]:
    email = f"user{number}@example.com"
    return {
        "id": f"{1000 + number}",
        "userName": email,
        "email": email,
        "firstName": name,
        "lastName": "Lovelace",
        "credit": 12.5,
        "additionalUsers": number,
        "ssoToken": f"a-credential-{number}",
        "status": "enabled",
        "tags": [{"id": "1", "tag": "vip", "color": "#ff0000"}, {"id": "2", "tag": "new", "color": "#00ff00"}],
    }


def _prospector(number: int, name: str) -> dict[str, Any]:
    return {
        "type": "user",
        "id": number,
        "attributes": {
            "email": f"user{number}@example.com",
            "username": f"user{number}",
            "firstName": name,
            "lastName": "Lovelace",
            "locked": False,
            "updatedAt": None,
        },
        "relationships": {"profile": {"data": {"type": "profile", "id": 1}}},
    }


def _colleague(number: int, name: str) -> dict[str, Any]:
    return {
        "id": f"64a6b60be7ce3a7774{number:06d}",
        "firstName": name,
        "lastName": "Lovelace",
        "email": f"user{number}@example.com",
        "availability": "AVAILABLE",
        "phoneNumber": {"e164": f"+3120000{number:04d}", "countryIsoCode": "NL", "countryCallingCode": 31},
        "notifications": {"missedCalls": {"enabled": True, "channels": ["EMAIL", "PUSH"]}},
    }


def _operator(number: int, name: str) -> dict[str, Any]:
    return {
        "id": f"1e6def1758784546a610039f94{number:06x}",
        "userName": f"user{number}@example.com",
        "firstName": name,
        "lastName": "Lovelace",
        "roles": ["ROLE_ADMIN", "ROLE_AGENT"],
        "skills": [{"id": 1, "level": 3}],
        "devices": [],
        "enabled": True,
        "changePasswordOnFirstLogin": False,
    }


ITEMS: Mapping[str, Callable[[int, str], dict[str, Any]]] = {
    "agendize.account": _account,
    "outreach.user": _prospector,
    "rinkel.user": _colleague,
    "genesys.user": _operator,
}
LISTS: Mapping[str, Callable[[Upstream, Mapping[str, str]], Any]] = {
    "agendize.account": _items,
    "outreach.user": _jsonapi,
    "rinkel.user": _data,
    "genesys.user": _status_code,
}
