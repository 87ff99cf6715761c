"""``webhook-watch redeliver``: send a watch again what failed, or what it never heard of, and follow how far it is."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import click
from rich import progress
from rich.console import Console

from service.cli import client, complete, options, terminal
from service.cli.client import Client, Unreachable
from service.cli.terminal import Failure

WATCHES, JOBS = "/api/v1/watches", "/api/v1/jobs"
STATUSES = ("failed", "succeeded", "canceled")
LOOK = 0.25  # seconds between two looks at the job
EVERY = 5.0  # seconds between two lines of progress where there is no terminal
PATIENCE = 60.0  # seconds that a service may be away meanwhile, to be restarted say

Job = Mapping[str, Any]
watch_id = click.argument(
    "watch_id", type=options.ID, metavar="ID", shell_complete=complete.ids(WATCHES, "name", "address")
)


@click.command(short_help="Send a watch again what failed, or what it missed.")
@client.options
@watch_id
@click.option("--since", metavar="TIME", help="Nothing older than this RFC 3339 time, such as 2026-01-31T12:00:00Z.")
@click.option("--until", metavar="TIME", help="Only what is older than this.  [default: now]")
@click.option(
    "--status",
    "statuses",
    multiple=True,
    type=click.Choice(STATUSES),
    help="Deliveries that ended like this (repeatable).  [default: failed, but nothing with --missing]",
)
@click.option("--missing", is_flag=True, help="Send also changes that were never queued for it.")
@click.option("--detach", is_flag=True, help="Begin, and do not wait for the end.")
@click.option("--json", "machine", is_flag=True, help="Machine-readable: the job as JSON.")
def redeliver(
    url: str,
    key: str,
    watch_id: str,
    since: str | None,
    until: str | None,
    statuses: tuple[str, ...],
    missing: bool,  # noqa: FBT001  click passes options by name
    detach: bool,  # noqa: FBT001
    machine: bool,  # noqa: FBT001
) -> int:
    """Send the watch ID again what failed, behind what is live. It goes on in the service, whatever becomes of this.

    The exit code is 0 if the receiver took all of it, else 1. What it missed while it was disabled, or before it was
    registered, comes with --missing. Example: webhook-watch redeliver wch_01JD3ZT4RV8Y6Q2N5K7M9X0B1C --missing
    """
    body: dict[str, object] = {"missing": missing}
    if statuses or missing:
        body["status"] = list(statuses)
    body |= {name: value for name, value in (("since", since), ("until", until)) if value is not None}
    job = terminal.run(_redeliver(url, key, watch_id, body, follow=not detach))
    if machine:
        click.echo(json.dumps(job, ensure_ascii=False))
    elif detach:
        click.echo(f"began {job['id']}")
    else:
        click.echo(_summary(job))
    if detach:
        return 0
    if job["state"] != "succeeded":
        raise Failure(f"{job['id']}: {job['state']}: {job['detail']}")
    return 1 if job["failed"] else 0


async def _redeliver(url: str, key: str, watch_id: str, body: object, *, follow: bool) -> Any:
    async with client.connected(url, key) as service:
        job = await service.call("POST", f"{WATCHES}/{watch_id}/redeliver", body)
        if not follow:
            return job
        console = terminal.console(stderr=True)
        try:
            with _shown(console, watch_id) as tell:
                return await _followed(service, job, tell)
        except asyncio.CancelledError:
            click.echo(f"{job['id']} goes on; POST {JOBS}/{job['id']}/cancel stops it", err=True)
            raise


async def _followed(service: Client, job: Job, tell: Callable[[Job], None]) -> Job:
    """The job, once it has ended; meanwhile the service may be away for a while."""
    heard = time.monotonic()
    while job["state"] == "running":
        tell(job)
        await asyncio.sleep(LOOK)
        try:
            job = await service.call("GET", f"{JOBS}/{job['id']}")
            heard = time.monotonic()
        except Unreachable:
            if time.monotonic() - heard > PATIENCE:
                raise
    tell(job)
    return job


@contextmanager
def _shown(console: Console, name: str) -> Iterator[Callable[[Job], None]]:
    """A bar on a terminal, elsewhere a line now and then."""
    if not console.is_terminal:
        yield Plain(console.print, time.monotonic)
        return
    columns = (
        progress.TextColumn("{task.description}"),
        progress.BarColumn(),
        progress.TaskProgressColumn(),
        progress.MofNCompleteColumn(),
        progress.TimeRemainingColumn(),
    )
    with progress.Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task(name, total=None)
        yield lambda job: bar.update(task, completed=job["done"], total=job["total"])


class Plain:
    """Progress as lines."""

    def __init__(self, say: Callable[[str], None], now: Callable[[], float]) -> None:
        self._say = say
        self._now = now
        self._last = now()

    def __call__(self, job: Job) -> None:
        """So far it is."""
        if self._now() - self._last >= EVERY and job["state"] == "running":
            self._last = self._now()
            self._say("counting" if job["total"] is None else f"{job['done']:,} of {job['total']:,}")


def _summary(job: Job) -> str:
    if job["state"] == "succeeded" and not job["total"]:
        return "nothing to send"
    figures = [f"{job['done']:,} sent", f"{job['succeeded']:,} taken", f"{job['failed']:,} failed"]
    if job["waiting"]:
        figures.append(f"{job['waiting']:,} waiting behind one that failed")
    return ", ".join(figures)
