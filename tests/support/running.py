"""A real service in this process, on a real database file, and a client of its HTTP face."""

from __future__ import annotations

import asyncio
import json as json_
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

from service import app, clock, config
from service.api.services import Part
from service.app import Running

ROOT = Path(__file__).parents[2]
ADMIN_KEY = "a-bootstrap-key-for-tests-only"
SECRET_KEY = "an-encryption-key-for-the-tests-only"
ACCOUNTS = "/agendize/api/2.0/resellers/accounts"


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back."""

    status: int
    headers: Mapping[str, str]
    text: str
    body: Any  # parsed JSON, or None

    def problem(self, status: int) -> Any:
        """The body of a refusal on our own face (RFC 9457)."""
        assert self.status == status, self.text
        assert self.headers["Content-Type"] == "application/problem+json"
        assert set(self.body) == {"type", "title", "status", "detail", "errors"}
        assert self.body["status"] == status
        return self._says_what_to_do(self.body, self.body["detail"])

    def vendor_error(self, status: int) -> Any:
        """The same on a collection that speaks the ``items`` dialect: what stands in ``error``."""
        assert self.status == status, self.text
        assert self.headers["Content-Type"] == "application/json"
        assert set(self.body) == {"error"}
        error = self.body["error"]
        assert set(error) == {"code", "reason", "message", "errors"}
        assert error["code"] == status
        return self._says_what_to_do(error, error["message"])

    def pointers(self) -> list[str]:
        """What a refusal points at."""
        return [fault["pointer"] for fault in self.body.get("error", self.body)["errors"]]

    def _says_what_to_do(self, refusal: Any, sentence: str) -> Any:
        assert len(sentence) > 5
        assert all(fault["detail"] for fault in refusal["errors"])
        assert "Traceback" not in self.text
        assert "service/" not in self.text
        return refusal


@dataclass(frozen=True, slots=True)
class Line:
    """One server-sent event."""

    id: str | None
    name: str | None
    data: Any


class Client:
    """Calls the service's public face with one API key."""

    def __init__(self, session: aiohttp.ClientSession, url: str, key: str | None) -> None:
        self.session = session
        self.url = url
        self.key = key

    def with_key(self, key: str | None) -> Client:
        """The same, as somebody else."""
        return Client(self.session, self.url, key)

    async def call(self, method: str, path: str, json: Any = None, **options: Any) -> Answer:
        """One request."""
        headers = dict(options.pop("headers", {}))
        if self.key is not None:
            headers.setdefault("Authorization", f"Bearer {self.key}")
        if json is not None:
            options["json"] = json
        async with self.session.request(method, self.url + path, headers=headers, **options) as answer:
            text = await answer.text()
            body = await answer.json(content_type=None) if text and "json" in answer.content_type else None
            return Answer(answer.status, dict(answer.headers), text, body)

    async def get(self, path: str, **options: Any) -> Answer:
        return await self.call("GET", path, **options)

    async def post(self, path: str, json: Any = None, **options: Any) -> Answer:
        return await self.call("POST", path, json, **options)

    async def put(self, path: str, json: Any = None, **options: Any) -> Answer:
        return await self.call("PUT", path, json, **options)

    async def patch(self, path: str, json: Any = None, **options: Any) -> Answer:
        return await self.call("PATCH", path, json, **options)

    async def delete(self, path: str, **options: Any) -> Answer:
        return await self.call("DELETE", path, **options)

    async def key_of(self, role: str, tenant: str = "default") -> Client:
        """A client with a new key."""
        made = await self.post("/api/v1/apiKeys", {"name": f"{role} of {tenant}", "role": role, "tenant": tenant})
        assert made.status == 201, made.text
        return self.with_key(made.body["key"])

    @asynccontextmanager
    async def stream(self, query: str = "", last: str | None = None) -> AsyncIterator[AsyncIterator[Line]]:
        """The event stream, open: what it says, from after ``last`` on if that is given."""
        headers = {"Authorization": f"Bearer {self.key}", **({} if last is None else {"Last-Event-ID": last})}
        url = f"{self.url}/api/v1/deliveries/stream{query}"
        async with self.session.get(url, headers=headers, timeout=aiohttp.ClientTimeout(total=60)) as answer:
            assert answer.status == 200, await answer.text()
            assert answer.content_type == "text/event-stream"
            async for line in answer.content:
                if line.startswith(b"id: "):  # the place where it begins
                    break
            yield _lines(answer.content)

    async def settled(self, count: int, *, query: str = "", seconds: float = 10) -> list[Any]:
        """The newest deliveries, oldest first, once there are ``count`` of them and none is pending."""
        rows: list[Any] = []
        async with asyncio.timeout(seconds):
            while len(rows) < count or any(row["status"] == "pending" for row in rows):
                await asyncio.sleep(0.01)
                rows = (await self.get(f"/api/v1/deliveries?limit=500{query}")).body["items"]
        return rows[::-1]

    async def watch(self, address: str, **members: Any) -> Any:
        """Register a watch of all accounts."""
        body = {"objectType": "agendize.account", "address": address, **members}
        made = await self.post("/api/v1/watches", body)
        assert made.status == 201, made.text
        return made.body


async def _lines(content: aiohttp.StreamReader) -> AsyncIterator[Line]:
    fields: dict[str, str] = {}
    async for raw in content:
        name, _, value = raw.decode().rstrip("\n").partition(": ")
        if name:
            fields[name] = value
        elif "data" in fields:
            yield Line(fields.get("id"), fields.get("event"), json_.loads(fields["data"]))
            fields = {}


def database(directory: Path) -> str:
    """The database of a test: an SQLite file in its directory, or the one that a fixture has put there."""
    given = directory / "database.url"
    return given.read_text() if given.exists() else f"sqlite:///{directory}/watch.db"


def environ(directory: Path, **more: str) -> dict[str, str]:
    """The variables of a service that may call receivers on this machine."""
    return {
        "WATCH_DATABASE_URL": database(directory),
        "WATCH_PORT": "0",
        "WATCH_ADMIN_KEY": ADMIN_KEY,
        "WATCH_SECRET_KEY": SECRET_KEY,
        "WATCH_EGRESS_ALLOW": "127.0.0.0/8,::1/128",
        **more,
    }


@dataclass(frozen=True, slots=True)
class Service:
    """A running service and its administrator's client."""

    running: Running
    admin: Client


@asynccontextmanager
async def service(
    directory: Path,
    config_directory: Path = ROOT / "config",
    *,
    part: Part = Part.ALL,
    now: Callable[[], int] = clock.now_ms,
    **more: str,
) -> AsyncIterator[Service]:
    """Start one, or a part of one; ``now`` is the clock of its deliveries, ``more`` are further WATCH_* variables."""
    settings = config.load(config_directory, environ(directory, **more))
    timeout = aiohttp.ClientTimeout(total=30)
    async with app.running(settings, part, now=now) as running, aiohttp.ClientSession(timeout=timeout) as session:
        yield Service(running, Client(session, running.url, ADMIN_KEY))
