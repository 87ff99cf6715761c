"""The public HTTP API, called as any client calls it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

import aiohttp


class Unexpected(Exception):
    """The story cannot go on: something did not answer as it has to."""


@dataclass(frozen=True, slots=True)
class Call:
    """A request, before it is made."""

    method: str
    path: str
    body: Any = None
    media_type: str = "application/json"


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back."""

    status: int
    body: Any

    @property
    def phrase(self) -> str:
        """Such as ``201 Created``."""
        return f"{self.status} {HTTPStatus(self.status).phrase}"


class Caller:
    """A client of one service, with a key or (an empty one) without."""

    def __init__(self, session: aiohttp.ClientSession, url: str, key: str, name: str = "") -> None:
        self._session = session
        self.url = url
        self.key = key
        self.name = name  # of the service, where there are several

    def stranger(self) -> Caller:
        """Somebody without a key, who calls the same service."""
        return Caller(self._session, self.url, "", self.name)

    async def make(self, call: Call) -> Answer:
        """Make a request; Unexpected when it is refused."""
        options: dict[str, Any] = {"headers": {"Authorization": f"Bearer {self.key}"} if self.key else {}}
        if call.body is not None:
            options["data"] = json.dumps(call.body).encode()
            options["headers"]["Content-Type"] = call.media_type
        try:
            async with self._session.request(call.method, self.url + call.path, **options) as response:
                text = await response.text()
        except (aiohttp.ClientError, TimeoutError) as error:
            raise Unexpected(f"{call.method} {call.path} was not answered: {error!r}") from error
        if not response.ok:
            raise Unexpected(f"{call.method} {call.path} was answered {response.status}: {text}")
        return Answer(response.status, json.loads(text) if text else None)

    async def get(self, path: str) -> Any:
        """What is there."""
        return (await self.make(Call("GET", path))).body
