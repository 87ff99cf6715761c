"""``webhook-watch serve`` as a process of its own, which can be killed."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp

from tests.support import running


@asynccontextmanager
async def process(directory: Path, port: int) -> AsyncIterator[asyncio.subprocess.Process]:
    """``webhook-watch serve`` as a process of its own, ready; killed at the end of the block if it still runs."""
    environ = {"PATH": os.environ["PATH"], "PYTHONPATH": str(running.ROOT)}
    environ |= running.environ(directory, WATCH_PORT=str(port))
    log = await asyncio.to_thread((directory / "serve.log").open, "ab")
    started = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "service", "serve", cwd=directory, env=environ, stdout=log, stderr=log
    )
    log.close()
    try:
        async with aiohttp.ClientSession() as session, asyncio.timeout(20):
            while True:
                try:
                    async with session.get(f"http://127.0.0.1:{port}/readyz") as answer:
                        if answer.status == 200:
                            break
                except aiohttp.ClientConnectionError:
                    assert started.returncode is None, (directory / "serve.log").read_text()
                await asyncio.sleep(0.02)
        yield started
    finally:
        if started.returncode is None:
            started.kill()
        await started.wait()
