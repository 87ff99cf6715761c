"""The processes of the service: started, ended by force or by asking, and started again, each by its own id."""

from __future__ import annotations

import asyncio
import os
import random
import resource
import signal
import socket
import sys
import time
from collections.abc import Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import aiohttp

from tests.chaos.ledger import Cut, Ledger
from tests.support import running

PATIENCE = 40.0  # seconds: for a start, and for an end that was asked for


class Trouble:
    """Whether the database is in trouble, or was since some time: then a start may be refused."""

    def __init__(self) -> None:
        self._now = 0
        self._last = 0.0

    @contextmanager
    def lasting(self):
        self._now += 1
        try:
            yield
        finally:
            self._now -= 1
            self._last = time.monotonic()

    def since(self, moment: float) -> bool:
        return self._now > 0 or self._last >= moment


class Keeper:
    """Keeps one process running; ``findings`` says when it ended on its own."""

    def __init__(
        self,
        directory: Path,
        database: Path,
        prefix: Sequence[str],
        ledger: Ledger,
        trouble: Trouble,
        findings: list[str],
    ) -> None:
        self._directory = directory
        self._prefix = prefix  # of the command
        self._database = database
        self._ledger = ledger
        self._cuts: list[Cut] = []  # after which it is not ready yet
        self._trouble = trouble
        self._findings = findings
        self._is_ending = False
        self._process: asyncio.subprocess.Process | None = None
        self.port = free_port()
        self.ready = asyncio.Event()
        self.file_limit: int | None = None  # bytes that a file of the process may have

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def log(self) -> Path:
        return self._directory / f"serve{self.port}.log"

    async def run(self) -> None:
        """Start it, and again whenever it has ended, until cancelled; then it is killed if it still runs."""
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=2)) as session:
            while True:
                began = time.monotonic()
                process = self._process = await self._spawn()
                self._is_ending = False
                self.limit(self.file_limit)
                becoming = asyncio.create_task(self._become_ready(session))
                try:
                    status = await process.wait()
                finally:
                    becoming.cancel()
                    if process.returncode is None:
                        process.kill()
                        await process.wait()
                if not self._is_ending:
                    self._judge_death(status, began)
                    await asyncio.sleep(0.2)
                self.ready.clear()

    async def end(self, number: signal.Signals) -> None:
        """End it by this signal; it is started again."""
        process, was_ready = self._process, self.ready.is_set()
        if process is None or process.returncode is not None:
            return
        self._is_ending = True
        self.ready.clear()
        self._cuts.append(self._ledger.cut())
        with suppress(ProcessLookupError):
            process.send_signal(number)
        try:
            status = await asyncio.wait_for(process.wait(), PATIENCE)
        except TimeoutError:
            self._findings.append(f"{number.name} did not end the service within {PATIENCE:.0f} s")
            process.kill()
            return
        if was_ready and number is signal.SIGTERM and status != 0:
            self._findings.append(f"after SIGTERM the service ended with status {status}, see {self.log.name}")

    def limit(self, size: int | None) -> None:
        """How large a file of the process may be, from now on, and after its next start."""
        self.file_limit = size
        if self._process is not None and self._process.returncode is None:
            _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
            with suppress(ProcessLookupError):
                resource.prlimit(
                    self._process.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY if size is None else size, hard)
                )

    def _judge_death(self, status: int, began: float) -> None:
        if self.ready.is_set():
            self._findings.append(f"the service ended on its own with status {status}, see {self.log.name}")
        elif not self._trouble.since(began):
            self._findings.append(f"the service did not start: status {status}, see {self.log.name}")

    async def _spawn(self) -> asyncio.subprocess.Process:
        environ = {"PATH": os.environ["PATH"], "PYTHONPATH": str(running.ROOT)}
        environ |= running.environ(
            self._database,
            WATCH_PORT=str(self.port),
            WATCH_DELIVERY_CONCURRENCY_PER_WATCH=str(CONCURRENCY),
            WATCH_DELIVERY_SHUTDOWN_GRACE="2",
        )
        with self.log.open("ab") as log:
            command = (*self._prefix, sys.executable, "-m", "service", "serve")
            return await asyncio.create_subprocess_exec(
                *command, cwd=self._directory, env=environ, stdout=log, stderr=log
            )

    async def _become_ready(self, session: aiohttp.ClientSession) -> None:
        while True:
            with suppress(aiohttp.ClientError, TimeoutError):
                async with session.get(f"{self.url}/readyz") as answer:
                    if answer.status == 200:
                        self.ready.set()
                        while self._cuts:
                            self._ledger.mend(self._cuts.pop())
                        return
            await asyncio.sleep(0.03)


CONCURRENCY = 8  # callbacks of one watch that are under way at once


class Reaper:
    """Ends a process again and again, at random points: mostly by force."""

    def __init__(self, keeper: Keeper, chance: random.Random, pause: float) -> None:
        self._keeper = keeper
        self._chance = chance
        self._pause = pause  # seconds between a start and the end after it, on the average
        self.kills = 0
        self.stops = 0

    async def run(self, over: asyncio.Event) -> None:
        while not over.is_set():
            if self._chance.random() < 0.85:  # else it may hit a start as well
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._keeper.ready.wait(), PATIENCE)
            with suppress(TimeoutError):
                await asyncio.wait_for(over.wait(), self._chance.uniform(0.02, 2 * self._pause))
                return
            if self._chance.random() < 0.8:
                self.kills += 1
                await self._keeper.end(signal.SIGKILL)
            else:
                self.stops += 1
                await self._keeper.end(signal.SIGTERM)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
