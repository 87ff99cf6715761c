"""The processes of a benchmark: starting them, talking to them, what they cost, and ending them, each by its own id."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from tests.bench import lines

ROOT = Path(__file__).parents[2]
PATIENCE = 20.0  # seconds that a process has to end before it is killed


@dataclass(frozen=True, slots=True)
class Cost:
    """CPU seconds of a process so far: of its first thread, which runs the event loop, and of all others."""

    loop: float
    others: float

    @property
    def total(self) -> float:
        return self.loop + self.others

    def __sub__(self, before: Cost) -> Cost:
        return Cost(self.loop - before.loop, self.others - before.others)


class Process:
    """One child."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    @property
    def pid(self) -> int:
        return self._process.pid

    async def ask(self, question: object = None) -> Any:
        """Send a line; the line that comes back."""
        self.tell(question)
        return await self.answer()

    def tell(self, value: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(orjson.dumps(value) + b"\n")

    async def answer(self) -> Any:
        assert self._process.stdout is not None
        line = await self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"process {self.pid} ended with status {await self._process.wait()}")
        return orjson.loads(line)

    @property
    def running(self) -> bool:
        return self._process.returncode is None

    def cost(self) -> Cost:
        """Read from /proc; nothing where there is none, or once the process has ended."""
        threads = {}
        with suppress(OSError):
            for task in Path(f"/proc/{self.pid}/task").iterdir():
                threads[int(task.name)] = int((task / "schedstat").read_text().split()[0]) / 1e9
        return Cost(threads.pop(self.pid, 0.0), sum(threads.values()))

    def memory(self) -> dict[str, float]:
        """Resident MB now and at its peak; nothing where there is no /proc."""
        with suppress(OSError):
            fields = dict(line.split(":", 1) for line in Path(f"/proc/{self.pid}/status").read_text().splitlines())
            return {name: int(fields[key].split()[0]) / 1024 for name, key in (("rss", "VmRSS"), ("peak", "VmHWM"))}
        return {}

    async def end(self) -> None:
        """Ask it to end (its input ends, and SIGTERM), and wait; past its time, kill it."""
        if not self.running:
            return
        if self._process.stdin is not None:
            self._process.stdin.close()
        with suppress(ProcessLookupError):
            self._process.terminate()
        try:
            async with asyncio.timeout(PATIENCE):
                await self._process.wait()
        except TimeoutError:
            self._process.kill()
            await self._process.wait()


@asynccontextmanager
async def worker(module: str, job: Mapping[str, object]) -> AsyncIterator[Process]:
    """A process of the benchmark itself, which talks JSON lines."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", f"tests.bench.{module}", orjson.dumps(job).decode()),
        cwd=ROOT,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        limit=lines.LONGEST,
    )
    started = Process(process)
    try:
        yield started
    finally:
        await started.end()


@asynccontextmanager
async def logged(arguments: tuple[str, ...], environ: Mapping[str, str], log: Path) -> AsyncIterator[Process]:
    """A process that writes to a file."""
    with log.open("ab") as output:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *arguments,
            cwd=ROOT,
            env={**os.environ, **environ},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
    started = Process(process)
    try:
        yield started
    finally:
        await started.end()
