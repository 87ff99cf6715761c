"""``webhook-watch serve``: the service, until it is told to stop."""

from __future__ import annotations

import asyncio
import gc
import logging
import signal
from pathlib import Path

import click

from service import app
from service.api.services import Part
from service.cli import logs, settings, terminal
from service.config import Settings

log = logging.getLogger(__name__)

STOPS = {signal.SIGTERM: 0, signal.SIGINT: 128 + signal.SIGINT}  # signal to exit code


@click.command(short_help="Run the service.")
@settings.option
@click.option("--host", metavar="ADDRESS", help="The address to listen on, instead of the setting server.host.")
@click.option("--port", type=click.IntRange(0, 65535), help="The port, instead of server.port; 0 takes any free one.")
@click.option(
    "--role",
    type=click.Choice([part.value for part in Part]),
    default=Part.ALL.value,
    show_default=True,
    help="What this process does.",
)
def serve(directory: Path | None, host: str | None, port: int | None, role: str) -> int:
    """Run the service until SIGTERM or Ctrl-C, then end callbacks that are under way and stop.

    Settings come from service.toml and WATCH_* variables. Any number of processes serve one PostgreSQL database; with
    `--role api` one only answers calls, with `--role worker` it only delivers, polls and keeps the log. At the first start of a database without WATCH_ADMIN_KEY
    an API key is made and shown once. Example: webhook-watch serve --port 8080
    """
    loaded = settings.load(directory, WATCH_HOST=host, WATCH_PORT=port)
    logs.to_stderr(loaded.logging.level)
    return terminal.run(_serve(loaded, Part(role)))


async def _serve(loaded: Settings, part: Part) -> int:
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    stopped: asyncio.Future[signal.Signals] = loop.create_future()

    def stop(number: signal.Signals) -> None:
        if not stopped.done():
            stopped.set_result(number)
        elif task is not None:  # told twice: now
            task.cancel()

    for number in STOPS:
        loop.add_signal_handler(number, stop, number)
    try:
        async with app.running(loaded, part) as running:
            _spare_the_collector()
            if running.new_admin_key is not None:
                click.echo(f"bootstrap API key (shown once): {running.new_admin_key}", err=True)
            return STOPS[await stopped]
    except ExceptionGroup as died:  # whoever supervises the process starts it again, and nothing is lost
        for error in died.exceptions:
            log.critical("stopped by a failure of its own: %r", error, exc_info=error)
        return 1


def _spare_the_collector() -> None:
    """What is here now stays; what a write leaves behind is freed by its reference counts: look for cycles seldom."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(100_000, 50, 100)
