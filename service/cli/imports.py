"""``webhook-watch import``: a whole directory from a file into a running service."""

from __future__ import annotations

import asyncio
import json
import os
import stat
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import quote

import aiohttp
import click
from rich import filesize, progress
from rich.console import Console

from service.cli import client, complete, terminal
from service.cli.terminal import Failure

PIECE = 256 * 1024  # bytes that are read at once
GZIP = b"\x1f\x8b"  # how it begins
EVERY = 5.0  # seconds between two lines of progress where there is no terminal
FIGURES = ("created", "updated", "unchanged", "deleted", "failed")  # always told
RARE = {"overtaken": "overtaken by later writes", "heldDeletions": "deletions held"}  # told if there are any

Pieces = AsyncIterator[bytes]
Sent = Callable[[int], None]  # is told of bytes that were sent


@click.command("import", short_help="Import a whole directory from a file.")
@client.options
@click.argument("type_name", metavar="TYPE", shell_complete=complete.types)
@click.argument("file", type=click.Path(exists=True, dir_okay=False, allow_dash=True, path_type=Path))
@click.option("--force", is_flag=True, help="Delete what is missing in the file, however much it is.")
@click.option(
    "--max-delete-share", type=click.FloatRange(0, 1), help="Hold more deletions than this part of all.  [default: 0.2]"
)
@click.option("--json", "machine", is_flag=True, help="Machine-readable: the job as JSON.")
def import_(
    url: str,
    key: str,
    type_name: str,
    file: Path,
    force: bool,  # noqa: FBT001  click passes options by name
    max_delete_share: float | None,
    machine: bool,  # noqa: FBT001
) -> None:
    """Import all resources of TYPE from FILE: JSON, one resource in each line, its id inside; may be gzip; - is stdin.

    The file is a complete snapshot. What it shows is created or updated, and what was imported before and is missing
    in it is deleted, once all of it was read without a fault; many deletions are held until --force. Example:
    webhook-watch import agendize.account accounts.ndjson.gz
    """
    query = {"force": "true"} if force else {}
    if max_delete_share is not None:
        query["maxDeleteShare"] = repr(max_delete_share)
    before = time.monotonic()
    with _opened(file) as source:
        job = terminal.run(_import(url, key, type_name, source, query))
    if machine:
        click.echo(json.dumps(job, ensure_ascii=False))
    else:
        click.echo(_summary(job, time.monotonic() - before))
    if job["state"] != "succeeded":
        places = [_place(file, error) for error in job["errors"]]
        raise Failure("\n".join([*places, str(job["detail"]).replace("force=true", "--force")]))


@contextmanager
def _opened(file: Path) -> Iterator[BinaryIO]:
    if str(file) != "-":
        with file.open("rb", buffering=0) as source:
            yield source
    elif sys.stdin.isatty():
        raise click.UsageError("FILE is -, but nothing is piped into it.")
    else:
        yield sys.stdin.buffer


async def _import(url: str, key: str, type_name: str, source: BinaryIO, query: Mapping[str, str]) -> Any:
    """The job that came of it."""
    status = os.fstat(source.fileno())
    total = status.st_size if stat.S_ISREG(status.st_mode) else None
    is_pipe = stat.S_ISFIFO(status.st_mode) or stat.S_ISSOCK(status.st_mode)
    pieces = _of_pipe(source) if is_pipe else _of_file(source)
    first = await anext(pieces, b"")
    headers = {"Content-Type": "application/gzip" if first.startswith(GZIP) else "application/x-ndjson"}
    path = f"/api/v1/resources/{quote(type_name, safe='')}/import"
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=client.PATIENCE.total)
    console = terminal.console(stderr=True)
    async with client.connected(url, key) as service:
        with _shown(console, type_name, total) as sent:
            body = _counted(first, pieces, sent)
            async with service.open("POST", path, data=body, params=query, headers=headers, timeout=timeout) as answer:
                return await answer.json()


async def _of_file(source: BinaryIO) -> Pieces:
    while piece := source.read(PIECE):
        yield piece


async def _of_pipe(source: BinaryIO) -> Pieces:
    """Without a thread, which would wait for the pipe's next bytes even after Ctrl-C."""
    reader = asyncio.StreamReader()
    transport, _ = await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), source
    )
    try:
        while piece := await reader.read(PIECE):
            yield piece
    finally:
        transport.close()


async def _counted(first: bytes, rest: Pieces, sent: Sent) -> Pieces:
    if first:
        yield first
        sent(len(first))
    async for piece in rest:
        yield piece
        sent(len(piece))


@contextmanager
def _shown(console: Console, name: str, total: int | None) -> Iterator[Sent]:
    """A bar on a terminal, elsewhere a line now and then."""
    if not console.is_terminal:
        yield Plain(console.print, total, time.monotonic)
        return
    columns = (
        progress.TextColumn("{task.description}"),
        progress.BarColumn(),
        progress.TaskProgressColumn(),
        progress.DownloadColumn(),
        progress.TransferSpeedColumn(),
        progress.TimeRemainingColumn(),
    )
    with progress.Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task(name, total=total)
        yield lambda count: bar.update(task, advance=count)


class Plain:
    """Progress as lines: how much was sent, how fast, and how long the rest will take."""

    def __init__(self, say: Callable[[str], None], total: int | None, now: Callable[[], float]) -> None:
        self._say = say
        self._total = total
        self._now = now
        self._began = self._last = now()
        self._sent = 0

    def __call__(self, count: int) -> None:
        """So many more bytes were sent."""
        self._sent += count
        now = self._now()
        if now - self._last < EVERY:
            return
        self._last = now
        rate = self._sent / (now - self._began)
        line = f"{filesize.decimal(self._sent)}, {filesize.decimal(int(rate))}/s"
        if self._total:
            left = (self._total - self._sent) / rate
            line = f"{self._sent / self._total:.0%}, {line}, {left:.0f} s left"
        self._say(line)


def _summary(job: Mapping[str, Any], seconds: float) -> str:
    figures = [f"{job[name]:,} {name}" for name in FIGURES]
    figures += [f"{job[name]:,} {words}" for name, words in RARE.items() if job[name]]
    rate = job["done"] / max(seconds, 0.001)
    return f"{job['done']:,} lines in {seconds:.1f} s, {rate:,.0f} a second: {', '.join(figures)}"


def _place(file: Path, error: Mapping[str, Any]) -> str:
    where = f"{file}:{error['line']}: "
    return where + (f"{error['pointer']}: {error['detail']}" if error["pointer"] else str(error["detail"]))
