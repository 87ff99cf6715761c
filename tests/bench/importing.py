"""``python -m tests.bench.importing``: a whole directory imported, and again, and what everyone else feels of it.

The service runs in a process of its own, with a heart in its event loop. While the imports run, somebody else reads
and writes single accounts at a steady pace.

    python -m tests.bench.importing                         100,000 accounts of 2 KB
    python -m tests.bench.importing --count 5000            a smoke run
    python -m tests.bench.importing --json importing.json   the figures as JSON besides (``-``: instead of the table)
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import click
import orjson
from rich.console import Console
from rich.table import Table

from tests.bench import processes, report
from tests.bench.processes import Process
from tests.support import accounts, running
from tests.support.running import Client

TYPE = "/api/v1/resources/agendize.account"
SIZE = 2048  # bytes of a line
PACE = 0.02  # seconds between two calls of the others
PIECE = 256 * 1024  # bytes of the file that are read at once
CHANGED, GONE = 100, 150  # of these many accounts one is changed, or gone, in the third import

Figures = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Bench:
    """What an import is measured with."""

    service: Process
    admin: Client
    directory: Path


@click.command(help=__doc__.split("\n", maxsplit=1)[0].partition(": ")[2] if __doc__ else None)
@click.option("--count", default=100_000, show_default=True, type=click.IntRange(1000), help="Accounts of the file.")
@click.option("--json", "target", help="Write JSON to this file; - is standard output.")
@click.option(
    "--directory",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="Where the database is put, on the disk that is to be measured; default: the system's temporary directory.",
)
def main(count: int, target: str | None, directory: Path | None) -> None:
    """Measure, and say what came of it."""
    facts = report.machine()
    console = Console(stderr=True) if target == "-" else report.console()
    figures = asyncio.run(_measure(count, directory, console))
    _show(figures, facts, console)
    if target:
        written = orjson.dumps({"machine": facts, "count": count, "imports": figures}, option=orjson.OPT_INDENT_2)
        if target == "-":
            click.echo(written.decode())
        else:
            Path(target).write_bytes(written + b"\n")


async def _measure(count: int, directory: Path | None, console: Console) -> list[Figures]:
    with tempfile.TemporaryDirectory(prefix="webhook-watch-bench-", dir=directory) as made:
        file, later = Path(made, "accounts.ndjson"), Path(made, "later.ndjson")
        with console.status("writing the files"):
            _write(file, lines(count))
            _write(later, _later(count))
        async with (
            processes.worker("heart", running.environ(Path(made))) as service,
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=None)) as session,
        ):
            url = (await service.answer())["url"]
            bench = Bench(service, Client(session, url, running.ADMIN_KEY), Path(made))
            figures = []
            for name, path in (("first", file), ("again, unchanged", file), ("some changed, some gone", later)):
                with console.status(name):
                    figures.append({"name": name, **await _import(bench, path, count)})
        return figures


async def _import(bench: Bench, path: Path, count: int) -> Figures:
    await bench.service.ask()
    cost = bench.service.cost()
    async with _others(bench.admin) as felt:
        started = time.perf_counter()
        answer = await bench.admin.post(
            f"{TYPE}/import", data=_pieces(path), headers={"Content-Type": "application/x-ndjson"}
        )
        took = time.perf_counter() - started
    spent, heart, job = bench.service.cost() - cost, await bench.service.ask(), answer.body
    assert answer.status == 200, answer.text
    assert job["state"] == "succeeded", job
    memory = bench.service.memory()
    return {
        "counts": {name: job[name] for name in ("done", "created", "updated", "unchanged", "deleted", "failed")},
        "seconds": took,
        "rate": job["done"] / took,
        "loop_us": 1e6 * spent.loop / count,
        "database_us": 1e6 * spent.others / count,
        "rss": memory.get("rss"),
        "peak": memory.get("peak"),
        **heart,
        **felt,
    }


@asynccontextmanager
async def _others(admin: Client) -> AsyncIterator[Figures]:
    """Somebody reads and writes; how long each call took is in the figures at the end."""
    felt: Figures = {}
    took: dict[str, list[float]] = {"get": [], "put": []}
    stop = asyncio.Event()

    async def read(number: int) -> None:
        assert (await admin.get(f"{TYPE}/live-{number % 10}")).status == 200

    async def write(number: int) -> None:
        body = {"email": f"live-{number % 10}@example.com", "credit": time.time_ns() / 1e9}
        assert (await admin.put(f"{TYPE}/live-{number % 10}", body)).status in {200, 201}

    async def timed(name: str, call: Any) -> None:
        before = time.perf_counter()
        await call
        took[name].append(1000 * (time.perf_counter() - before))

    async def go_on() -> None:
        number = 0
        while not stop.is_set():
            await asyncio.sleep(PACE)
            await asyncio.gather(timed("get", read(number)), timed("put", write(number)))
            number += 1

    for number in range(10):
        await write(number)
    async with asyncio.TaskGroup() as group:
        group.create_task(go_on())
        yield felt
        stop.set()
    for name, times in took.items():
        times.sort()
        felt |= {
            f"{name}_p50": times[len(times) // 2],
            f"{name}_p99": times[len(times) * 99 // 100],
            f"{name}_most": times[-1],
        }


async def _pieces(path: Path) -> AsyncIterator[bytes]:
    with path.open("rb") as file:
        while piece := await asyncio.to_thread(file.read, PIECE):
            yield piece


def lines(count: int) -> Iterator[dict[str, object]]:
    """Accounts whose lines have the size."""
    for account in accounts.accounts(count):
        padding = SIZE - len(orjson.dumps({**account, "comment": ""})) - 1
        yield {**account, "comment": "c" * max(0, padding)}


def _later(count: int) -> Iterator[dict[str, object]]:
    for number, account in enumerate(lines(count)):
        if number % GONE:
            yield {**account, "clientName": "changed"} if number % CHANGED == 0 else account


def _write(path: Path, documents: Iterator[dict[str, object]]) -> None:
    with path.open("wb") as file:
        for document in documents:
            file.write(orjson.dumps(document, option=orjson.OPT_APPEND_NEWLINE))


ROWS = (
    ("seconds", "time", "s", 1),
    ("rate", "lines", "1/s", 0),
    ("loop_us", "CPU of a line: event loop", "us", 1),
    ("database_us", "  database threads", "us", 1),
    ("rss", "resident memory after it", "MB", 1),
    ("peak", "  peak", "MB", 1),
    ("late_p99", "event loop blocked: p99", "ms", 1),
    ("late_longest", "  longest", "ms", 1),
    ("busy_p99", "  of this, computing: p99", "ms", 1),
    ("busy_longest", "  longest", "ms", 1),
    ("get_p50", "a GET meanwhile: p50", "ms", 1),
    ("get_p99", "  p99", "ms", 1),
    ("get_most", "  longest", "ms", 1),
    ("put_p50", "a PUT meanwhile: p50", "ms", 1),
    ("put_p99", "  p99", "ms", 1),
    ("put_most", "  longest", "ms", 1),
)


def _show(figures: list[Figures], facts: dict[str, object], console: Console) -> None:
    title = ", ".join(f"{name} {value}" for name, value in facts.items())
    table = Table("", *(run["name"] for run in figures), "", title=title, title_justify="left", box=None)
    for name, label, unit, digits in ROWS:
        table.add_row(label, *(f"{run[name] or 0:,.{digits}f}" for run in figures), unit)
    for name in figures[0]["counts"]:
        table.add_row(name, *(f"{run['counts'][name]:,}" for run in figures))
    for column in table.columns[1:-1]:
        column.justify = "right"
    console.print(table)


if __name__ == "__main__":
    main()
