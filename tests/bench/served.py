"""The service under test: a process of its own on a database of its own, and what its public face says."""

from __future__ import annotations

import asyncio
import re
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp

from tests.bench import processes
from tests.bench.processes import Process
from tests.support import running
from tests.support.running import Client

STARTED_WITHIN = 30.0  # seconds
LOOK = 0.01  # seconds between two looks at the log's end
COMMITS = re.compile(r"^webhook_watch_commits_total ([\d.e+]+)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Served:
    """A running service."""

    process: Process
    admin: Client
    host: str
    port: int

    async def watch(self, address: str) -> None:
        """A signed watch of every account."""
        await self.admin.watch(address, signature={"enabled": True}, retry={"timeout": 30})

    async def commits(self) -> float:
        page = (await self.admin.get("/metrics")).text
        found = COMMITS.search(page)
        return float(found[1]) if found else float("nan")

    async def settled(self) -> None:
        """Wait until the log has nothing pending."""
        while (await self.admin.get("/api/v1/deliveries?status=pending&limit=1")).body["items"]:
            await asyncio.sleep(LOOK)

    async def check(self) -> None:
        """Nothing may have failed: a benchmark that breaks measures something else."""
        failed = (await self.admin.get("/api/v1/deliveries?status=failed&limit=1")).body["items"]
        assert not failed, failed


@asynccontextmanager
async def service(directory: Path, **more: str) -> AsyncIterator[Served]:
    """Start one in a directory, with further WATCH_* variables, and wait until it is ready."""
    host, port, log = "127.0.0.1", _free_port(), directory / "service.log"
    environ = running.environ(directory, WATCH_HOST=host, WATCH_PORT=str(port), **more)
    async with (
        processes.logged(("-m", "service", "serve"), environ, log) as process,
        aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=60)) as session,
    ):
        admin = Client(session, f"http://{host}:{port}", running.ADMIN_KEY)
        try:
            await _ready(admin, process)
            yield Served(process, admin, host, port)
        except BaseException as error:
            error.add_note(f"the service's last words:\n{log.read_text()[-4000:]}")
            raise


async def _ready(admin: Client, process: Process) -> None:
    async with asyncio.timeout(STARTED_WITHIN):
        while process.running:
            try:
                if (await admin.get("/readyz")).status == 200:
                    return
            except aiohttp.ClientConnectionError:
                pass
            await asyncio.sleep(LOOK)
    raise RuntimeError("the service did not start")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
