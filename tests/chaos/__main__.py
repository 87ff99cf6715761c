"""``python -m tests.chaos --minutes 3``: the service is killed and all around it breaks, and nothing may be lost.

Under load the service is killed at random points, 50 times at least, and started again; receivers, the token
endpoint and the database fail in turn. Then every change that was accepted, every callback that came, the feed and
the log are compared. It ends with 1 if anything was lost, out of order, or told too often, and keeps its directory.

    python -m tests.chaos --minutes 3                       SQLite
    python -m tests.chaos --minutes 3 --database postgresql two replicas over a PostgreSQL that is restarted and cut
    python -m tests.chaos --minutes 3 --disk                SQLite on a small tmpfs that is filled (root)
    python -m tests.chaos --seed 17                         the same dice again
"""

from __future__ import annotations

import asyncio
import random
import shutil
import sys
import tempfile
from pathlib import Path

import click
from rich.console import Console

from tests.chaos import faults, run
from tests.support import postgres

MOST_SHOWN = 30  # findings


@click.command(help=__doc__.split("\n", maxsplit=1)[0].partition(": ")[2] if __doc__ else None)
@click.option("--minutes", default=3.0, show_default=True, type=click.FloatRange(0.05), help="How long it is loaded.")
@click.option("--kills", default=50, show_default=True, help="kill -9 at least so often, however long that takes.")
@click.option("--seed", type=int, help="Of the dice; default: a new one, which is printed.")
@click.option("--database", type=click.Choice(["sqlite", "postgresql"]), default="sqlite", show_default=True)
@click.option("--replicas", type=click.IntRange(1), help="Processes; default: 1, with PostgreSQL 2.")
@click.option("--rate", default=50.0, show_default=True, help="Writes a second, all together.")
@click.option("--fault", multiple=True, type=click.Choice(faults.NAMES), help="This alone (repeatable), not all.")
@click.option("--disk", is_flag=True, help="Put SQLite on a small file system in memory, and fill it: needs root.")
def main(
    minutes: float,
    kills: int,
    seed: int | None,
    database: str,
    replicas: int | None,
    rate: float,
    fault: tuple[str, ...],
    disk: bool,
) -> None:
    """Run it, and say what came of it."""
    is_postgresql = database == "postgresql"
    if is_postgresql and postgres.find() is None:
        raise click.UsageError(postgres.MISSING)
    if (disk and is_postgresql) or ((replicas or 1) > 1 and not is_postgresql):
        raise click.UsageError("--disk is for SQLite, and several replicas are for PostgreSQL")
    plan = run.Plan(
        seed=random.SystemRandom().randrange(1_000_000) if seed is None else seed,
        seconds=minutes * 60,
        ends=kills,
        rate=rate,
        postgresql=is_postgresql,
        replicas=replicas or (2 if is_postgresql else 1),
        disk=disk,
        faults=fault or faults.NAMES,
    )
    console = Console(highlight=False, markup=False, soft_wrap=True)
    directory = Path(tempfile.mkdtemp(prefix="chaos-"))
    console.print(f"seed {plan.seed}, {directory}")
    report = asyncio.run(run.run(plan, directory))
    for name, figure in report.figures.items():
        console.print(f"{name:>15}  {figure}")
    for finding in report.findings[:MOST_SHOWN]:
        console.print(f"! {finding}", style="red")
    if report.findings:
        console.print(f"{len(report.findings)} violations; seed {plan.seed}; everything is in {directory}")
        sys.exit(1)
    shutil.rmtree(directory)
    console.print(f"nothing lost, nothing out of order; seed {plan.seed}")


if __name__ == "__main__":
    main()
