"""What a scenario costs, in CPU time, and how much of the machine was left for it."""

from __future__ import annotations

import os
import tempfile
import time
from contextlib import suppress
from pathlib import Path

from tests.bench.processes import Process

SYNCS = 200


class Meter:
    """The CPU time of some processes from now on, by their parts in the scenario, and of everybody else."""

    def __init__(self, **parts: Process) -> None:
        self._parts = parts
        self._before = {part: process.cost() for part, process in parts.items()}
        self._busy, self._started = _busy(), time.monotonic()

    def figures(self, scenario: str, count: int) -> dict[str, float]:
        """Microseconds of each process for each of ``count``; of the service those of its event loop apart.

        ``strangers`` is the share of the machine (percent) that was taken by processes that are not measured: where
        it is much, the speeds beside it are too low.
        """
        there = (time.monotonic() - self._started) * (os.cpu_count() or 1)
        busy = _busy() - self._busy
        spent = {part: process.cost() - self._before[part] for part, process in self._parts.items()}
        figures = {f"{scenario}_{part}_us": cost.total * 1e6 / count for part, cost in spent.items()}
        if "service" in spent:
            figures[f"{scenario}_loop_us"] = spent["service"].loop * 1e6 / count
        strangers = busy - sum(cost.total for cost in spent.values())
        return {**figures, "strangers": 100 * max(0.0, strangers) / there}


def sync(directory: Path | None) -> dict[str, float]:
    """How long it takes (ms) to make 4 KiB at the end of a file durable, which is what a commit waits for."""
    took = []
    with tempfile.NamedTemporaryFile(dir=directory) as file:
        for _ in range(SYNCS):
            started = time.perf_counter()
            os.write(file.fileno(), bytes(4096))
            os.fsync(file.fileno())
            took.append(1000 * (time.perf_counter() - started))
    took.sort()
    return {"sync_p50": took[SYNCS // 2], "sync_p99": took[SYNCS * 99 // 100]}


def _busy() -> float:
    """CPU seconds that the machine's processors have worked, or were taken away from it."""
    with suppress(OSError):
        user, nice, system, _idle, _waiting, *taken = map(int, Path("/proc/stat").read_text().split()[1:9])
        return (user + nice + system + sum(taken)) / os.sysconf("SC_CLK_TCK")
    return 0.0
