"""``webhook-watch check``: would it start?"""

from __future__ import annotations

import sqlite3
from pathlib import Path
from urllib.parse import urlsplit

import click
from rich.table import Table

from service import errors
from service.changes import types
from service.cli import settings, terminal
from service.store import migrate, sqlite, store
from service.store.driver import Database


@click.command(short_help="Say whether the service would start, or why not.")
@settings.option
def check(directory: Path | None) -> None:
    """Read the settings, the resource types and the version of the database, and say what is wrong with them.

    Nothing is changed. The exit code is 0 when the service can start with them, else 1. Example: webhook-watch check
    --config /etc/webhook-watch
    """
    loaded = settings.load(directory)
    known = types.load(loaded.resources)
    url = loaded.database.url
    where, found = terminal.run(_shared(url) if store.is_postgresql(url) else _file(store.path_of(url)))
    table = Table.grid(padding=(0, 2))
    table.add_row("settings", str(loaded.directory.resolve()))
    table.add_row("database", where, found)
    for rtype in known.values():
        table.add_row("type", rtype.name, rtype.collection)
    for doubt in loaded.doubts:
        terminal.complain(doubt, "warning")
    console = terminal.console()
    console.print("ok", style="green")
    console.print(table, soft_wrap=True)


async def _shared(url: str) -> tuple[str, str]:
    """A PostgreSQL database, without its password, and what a start will find; ConfigError when it could not start."""
    async with store.database(url) as database:
        parts = urlsplit(url)
        return f"{parts.scheme}://{parts.hostname or ''}{parts.path}", await _state(database)


async def _file(path: Path) -> tuple[str, str]:
    """The same of an SQLite file, which is only read."""
    where = str(path.resolve())
    if not path.exists():
        if not path.parent.is_dir():
            raise errors.ConfigError(f"database.url: the directory {path.parent} does not exist; make it first")
        return where, "will be made"
    try:
        async with sqlite.Connection.to(f"{path.resolve().as_uri()}?mode=ro", uri=True) as connection:
            return where, await _state(sqlite.SqliteDatabase(path, connection, connection))
    except sqlite3.DatabaseError as error:
        raise errors.ConfigError(f"database {path}: {error}") from error


async def _state(database: Database) -> str:
    present, newest = await migrate.installed(database), max(migrate.available())
    if present > newest:
        raise errors.ConfigError(
            f"the database is at migration {present}, this version knows {newest}: it was used by a newer version"
        )
    return f"at migration {present}" + ("" if present == newest else f", will be brought to {newest}")
