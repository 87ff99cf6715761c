"""The service with a heart: a task that notes how late the event loop comes back to it.

Its settings are its argument, as JSON. It ends with its input; each line asks how it was since the line before.
"""

from __future__ import annotations

import asyncio
import sys
import time

import orjson
import uvloop

from service import app, config
from tests.bench import lines

BEAT = 0.002  # seconds


class Heart:
    """Beats in the event loop, and notes by how many milliseconds each beat came late.

    On a machine with other work some of that is waiting for a processor: ``busy`` has what the loop's thread itself
    computed meanwhile.
    """

    def __init__(self) -> None:
        self._late: list[float] = []
        self._busy: list[float] = []

    async def beat(self) -> None:
        while True:
            before, computed = time.perf_counter(), time.thread_time()
            await asyncio.sleep(BEAT)
            self._late.append(1000 * (time.perf_counter() - before - BEAT))
            self._busy.append(1000 * (time.thread_time() - computed))

    def report(self) -> dict[str, float]:
        late, busy = sorted(self._late) or [0.0], sorted(self._busy) or [0.0]
        self._late, self._busy = [], []
        return {
            "late_p99": late[len(late) * 99 // 100],
            "late_longest": late[-1],
            "busy_p99": busy[len(busy) * 99 // 100],
            "busy_longest": busy[-1],
        }


async def main() -> None:
    heart = Heart()
    async with app.running(config.load(None, orjson.loads(sys.argv[1]))) as running, asyncio.TaskGroup() as group:
        beating = group.create_task(heart.beat())
        lines.say({"url": running.url})
        async for _ in lines.heard():
            lines.say(heart.report())
        beating.cancel()


if __name__ == "__main__":
    sys.exit(uvloop.run(main()))
