"""``python -m service serve``, until there is a command line."""

from __future__ import annotations

import asyncio
import os
import signal
import sys

import uvloop

from service import app, config


async def main() -> None:
    ended = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ended.set)
    async with app.running(config.load(None, os.environ)):
        await ended.wait()


if __name__ == "__main__":
    sys.exit(uvloop.run(main()))
