"""``webhook-watch check``: would it start?"""

from __future__ import annotations

import sqlite3
from pathlib import Path

import click
from rich.table import Table

from service import errors
from service.changes import types
from service.cli import settings, terminal
from service.store import migrate, sqlite, store


@click.command(short_help="Say whether the service would start, or why not.")
@settings.option
def check(directory: Path | None) -> None:
    """Read the settings, the resource types and the version of the database, and say what is wrong with them.

    Nothing is changed. The exit code is 0 when the service can start with them, else 1. Example: webhook-watch check
    --config /etc/webhook-watch
    """
    loaded = settings.load(directory)
    known = types.load(loaded.resources)
    path = store.path_of(loaded.database.url)
    table = Table.grid(padding=(0, 2))
    table.add_row("settings", str(loaded.directory.resolve()))
    table.add_row("database", str(path.resolve()), terminal.run(_database(path)))
    for rtype in known.values():
        table.add_row("type", rtype.name, rtype.collection)
    for doubt in loaded.doubts:
        terminal.complain(doubt, "warning")
    console = terminal.console()
    console.print("ok", style="green")
    console.print(table, soft_wrap=True)


async def _database(path: Path) -> str:
    """What a start will find, in words; ConfigError when it could not start."""
    newest = max(migrate.available())
    if not path.exists():
        if not path.parent.is_dir():
            raise errors.ConfigError(f"database.url: the directory {path.parent} does not exist; make it first")
        return "will be made"
    try:
        async with sqlite.Connection.to(f"{path.resolve().as_uri()}?mode=ro", uri=True) as connection:
            present = await migrate.installed(sqlite.SqliteDatabase(path, connection, connection))
    except sqlite3.DatabaseError as error:
        raise errors.ConfigError(f"database {path}: {error}") from error
    if present > newest:
        raise errors.ConfigError(
            f"database {path}: is at migration {present}, this version knows {newest}: it was used by a newer version"
        )
    return f"at migration {present}" + ("" if present == newest else f", will be brought to {newest}")
