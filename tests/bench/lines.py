"""How the processes of a benchmark talk: one JSON value a line, on standard input and output.

A child ends when its input ends, so that none outlives the benchmark.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator

import orjson

LONGEST = 1 << 28  # bytes: the arrivals of a hundred thousand callbacks are one line


def say(value: object) -> None:
    sys.stdout.buffer.write(orjson.dumps(value) + b"\n")
    sys.stdout.buffer.flush()


async def heard() -> AsyncIterator[bytes]:
    reader = asyncio.StreamReader(limit=LONGEST)
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    async for line in reader:
        yield line
