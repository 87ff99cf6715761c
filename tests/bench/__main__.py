"""``python -m tests.bench``: how fast the service is on this machine, in proportion to what a bare client can do.

Everything runs on loopback, in processes of their own: the service, the receiver, and the writer of changes or,
in its place, the bare client. Machines differ and drift, so what counts is the ratio to the ceiling: each round
measures it anew, before and after each figure that is compared with it.

    python -m tests.bench                       three rounds, some minutes
    python -m tests.bench --quick               a smoke run
    python -m tests.bench --only whole_path     ceiling and whole path alone
    python -m tests.bench --json bench.json     the figures as JSON besides (``-``: instead of the table)
"""

from __future__ import annotations

import asyncio
import signal
from collections import defaultdict
from pathlib import Path

import click
import orjson
from rich.console import Console

from tests.bench import meter, processes, report, scenarios
from tests.bench.scenarios import Bench, Figures

COMPARED = {"accepted": scenarios.accepted, "whole_path": scenarios.whole_path, "drain": scenarios.drain}
ALONE = {"fan_out": scenarios.fan_out, "fairness": scenarios.fairness}  # of themselves, not of the ceiling
SCENARIOS = (*COMPARED, "latency", *ALONE)
COUNT, QUICK = 10_000, 400  # changes of one scenario


Samples = defaultdict[str, list[float]]


@click.command(help=__doc__.split("\n", maxsplit=1)[0].partition(": ")[2] if __doc__ else None)
@click.option("--rounds", default=3, show_default=True, type=click.IntRange(1), help="How often all is measured.")
@click.option("--count", default=COUNT, show_default=True, type=click.IntRange(100), help="Changes of one scenario.")
@click.option("--only", multiple=True, type=click.Choice(SCENARIOS), help="Measure this (repeatable), and the ceiling.")
@click.option("--quick", is_flag=True, help="One short round: whether everything runs, not how fast.")
@click.option("--json", "target", help="Write JSON to this file; - is standard output.")
@click.option(
    "--directory",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="Where the databases are put, on the disk that is to be measured; default: the system's temporary directory.",
)
def main(
    rounds: int, count: int, only: tuple[str, ...], quick: bool, target: str | None, directory: Path | None
) -> None:
    """Measure, and say what came of it."""
    rounds, count = (1, QUICK) if quick else (rounds, count)
    chosen = [name for name in SCENARIOS if name in only or not only]
    facts = report.machine()
    console = Console(stderr=True) if target == "-" else report.console()
    samples = asyncio.run(_measure(rounds, count, chosen, directory, console))
    report.show(samples, facts, console)
    if target:
        settings = {"rounds": rounds, "count": count, "scenarios": chosen}
        written = orjson.dumps(report.data(samples, facts, settings), option=orjson.OPT_INDENT_2).decode()
        if target == "-":
            click.echo(written)
        else:
            Path(target).write_text(written + "\n", encoding="utf-8")


async def _measure(rounds: int, count: int, chosen: list[str], directory: Path | None, console: Console) -> Samples:
    task = asyncio.current_task()
    assert task is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)  # the processes are ended on the way out
    samples: Samples = defaultdict(list)
    async with processes.worker("receiver", {}) as receiver:
        port = (await receiver.answer())["port"]
        bench = Bench(receiver, f"http://127.0.0.1:{port}/hooks/accounts", count, directory)
        for number in range(rounds):
            with console.status(f"round {number + 1} of {rounds}"):
                await _round(bench, chosen, samples)
    return samples


async def _round(bench: Bench, chosen: list[str], samples: Samples) -> None:
    """Each scenario once. What is compared with the ceiling is compared with the mean of those before and after it."""
    _keep(meter.sync(bench.directory), samples)
    before = await _ceiling(bench, samples)
    for name in chosen:
        if name == "latency":
            whole = samples["whole"][-1] if samples["whole"] else (await scenarios.whole_path(bench))["whole"]
            _keep(await scenarios.latency(bench, whole / 2), samples)
            continue
        if name in ALONE:
            _keep(await ALONE[name](bench), samples)
            continue
        figures = await COMPARED[name](bench)
        after = await _ceiling(bench, samples)
        speed = next(iter(figures))  # each scenario's first figure
        _keep({**figures, f"{speed}_to_ceiling": 2 * figures[speed] / (before + after)}, samples)
        before = after


async def _ceiling(bench: Bench, samples: Samples) -> float:
    figures = await scenarios.ceiling(bench)
    _keep(figures, samples)
    return figures["ceiling"]


def _keep(figures: Figures, samples: Samples) -> None:
    for name, value in figures.items():
        samples[name].append(value)


if __name__ == "__main__":
    main()
