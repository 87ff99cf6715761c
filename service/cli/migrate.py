"""``webhook-watch migrate``: a database brought to this version's tables, without serving it."""

from __future__ import annotations

from pathlib import Path

import click

from service.cli import settings, terminal
from service.store import migrate as migrations
from service.store import store


@click.command(short_help="Bring the database to this version's tables.")
@settings.option
def migrate(directory: Path | None) -> None:
    """Bring the database to this version's tables, making it if need be, and say what was applied.

    `serve` does the same when it starts; this is for doing it before. No other process may serve an SQLite file
    meanwhile; with PostgreSQL, others that start wait. Example: webhook-watch migrate --config /etc/webhook-watch
    """
    url = settings.load(directory).database.url
    applied = terminal.run(_migrate(url))
    for name in applied:
        click.echo(f"applied {name}")
    if not applied:
        click.echo("nothing to apply: the database has this version's tables")


async def _migrate(url: str) -> list[str]:
    async with store.database(url) as database:
        return await migrations.migrate(database)
