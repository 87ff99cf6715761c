"""Sources of a running service, as its clients see them."""

from __future__ import annotations

import asyncio
from typing import Any

from tests.support.running import Client

SOURCES = "/api/v1/sources"
UNDER_WAY = ("pending", "running", "waiting")


async def until(admin: Client, source_id: str, *states: str, seconds: float = 10) -> Any:
    """The source, once its sweep is in one of these states."""
    async with asyncio.timeout(seconds):
        while True:
            shown = (await admin.get(f"{SOURCES}/{source_id}")).body
            if shown["sweep"]["state"] in states:
                return shown
            await asyncio.sleep(0.01)


async def swept(admin: Client, source_id: str) -> Any:
    """The source after a sweep that begins now."""
    before = (await admin.get(f"{SOURCES}/{source_id}")).body["sweep"]["finished"]
    asked = await admin.post(f"{SOURCES}/{source_id}/sweep")
    assert asked.status == 202, asked.text
    async with asyncio.timeout(10):
        while True:
            shown = (await admin.get(f"{SOURCES}/{source_id}")).body
            if shown["sweep"]["finished"] != before and shown["sweep"]["state"] not in UNDER_WAY:
                return shown
            await asyncio.sleep(0.01)


async def made(admin: Client, **members: Any) -> Any:
    answer = await admin.post(SOURCES, {"type": "outreach.user", "url": "https://api.example.com/v2", **members})
    assert answer.status == 201, answer.text
    assert answer.headers["Location"] == answer.body["selfLink"] == f"{SOURCES}/{answer.body['id']}"
    return answer.body
