"""The ceiling: what a bare aiohttp client posts, one process, nothing stored.

The session keeps no cookies and opens as many connections as there are posts at once. Headers and bodies are made
and signed beforehand.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Iterator

import aiohttp
import orjson
import uvloop

from tests.bench import documents, lines


async def main() -> None:
    job = orjson.loads(sys.argv[1])
    waiting = iter([*documents.callbacks(job["count"])])
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar()) as session:
        heard = lines.heard()
        lines.say({"ready": True})
        await anext(heard)
        started = time.time_ns()
        async with asyncio.TaskGroup() as group:
            for _ in range(job["concurrency"]):
                group.create_task(_post(session, job["url"], waiting))
        lines.say({"started": started, "ended": time.time_ns()})
        await anext(heard, None)  # what this process has cost is read before it ends


async def _post(session: aiohttp.ClientSession, url: str, waiting: Iterator[tuple[dict[str, str], bytes]]) -> None:
    for headers, body in waiting:
        async with session.post(url, data=body, headers=headers) as answer:
            await answer.read()
            assert answer.status == 200


if __name__ == "__main__":
    sys.exit(uvloop.run(main()))
