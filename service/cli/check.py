"""``webhook-watch check``: would it start?"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import click

from service import app, clock, errors
from service.api.services import Part
from service.changes import types
from service.changes.poll import declared
from service.changes.poll.form import World
from service.changes.poll.source import Source
from service.changes.types import ResourceType
from service.cli import settings, terminal
from service.config import Settings
from service.delivery.egress import Guard
from service.store import migrate, sealed, sqlite, store
from service.store.driver import Database
from service.vault import Vault, VaultError


@click.command(short_help="Say whether the service would start, or why not.")
@settings.option
def check(directory: Path | None) -> None:
    """Read the settings, the resource types, the sources, the database and its key, and say what is wrong with them.

    Nothing is changed. The exit code is 0 when the service can start with them, else 1. Example: webhook-watch check
    --config /etc/webhook-watch
    """
    loaded = settings.load(directory)
    faults: list[str] = []
    known: Mapping[str, ResourceType] = {}
    sources: list[Source] = []
    where = found = ""
    with _gathered(faults):
        known = types.load(loaded.resources)
        sources = _sources(loaded, known)
    with _gathered(faults):
        app.check_sharing(loaded, Part.ALL)
    with _gathered(faults):
        where, found = terminal.run(_database(loaded))
    if faults:
        raise errors.ConfigError("\n".join(faults))
    for doubt in loaded.doubts:
        terminal.complain(doubt, "warning")
    terminal.console().print("ok", style="green")
    terminal.table([("settings", str(loaded.directory.resolve()))])
    terminal.table([("database", where, found)])
    terminal.table([("type    ", rtype.name, rtype.collection) for rtype in known.values()])
    terminal.table([("source  ", source.id, source.type, source.url) for source in sources])


@contextmanager
def _gathered(faults: list[str]) -> Iterator[None]:
    """Go on after a fault: whoever sets it up wants to hear of everything at once."""
    try:
        yield
    except errors.ConfigError as error:
        faults.append(error.detail)


def _sources(loaded: Settings, known: Mapping[str, ResourceType]) -> list[Source]:
    world = World(clock.now_ms(), known, Guard(loaded.egress.allow).check)
    return declared.load(loaded.directory / "sources", os.environ, world)


async def _database(loaded: Settings) -> tuple[str, str]:
    """Where it is, without a password, and what a start will find there; ConfigError when it could not start."""
    box = _vault(loaded)
    url = loaded.database.url
    if not store.is_postgresql(url):
        return await _file(store.path_of(url), box)
    async with store.database(url) as database:
        parts = urlsplit(url)
        return f"{parts.scheme}://{parts.hostname or ''}{parts.path}", await _state(database, box)


def _vault(loaded: Settings) -> Vault | None:
    """The vault, if its key is there; a start would make one."""
    file = loaded.database.key_file
    if not loaded.secret.key and (file is None or not file.exists()):
        return None
    return Vault.load(loaded.secret.key, file)


async def _file(path: Path, box: Vault | None) -> tuple[str, str]:
    """The same of an SQLite file, which is only read."""
    where = str(path.resolve())
    if not path.exists():
        if not path.parent.is_dir():
            raise errors.ConfigError(f"database.url: the directory {path.parent} does not exist; make it first")
        return where, "will be made"
    try:
        async with sqlite.Connection.to(f"{path.resolve().as_uri()}?mode=ro", uri=True) as connection:
            return where, await _state(sqlite.SqliteDatabase(path, connection, connection), box)
    except sqlite3.DatabaseError as error:
        raise errors.ConfigError(f"database {path}: {error}") from error


async def _state(database: Database, box: Vault | None) -> str:
    present, newest = await migrate.installed(database), max(migrate.available())
    if present > newest:
        raise errors.ConfigError(
            f"the database is at migration {present}, this version knows {newest}: it was used by a newer version"
        )
    stored = await sealed.canary(database) if present else None
    if stored is not None:
        try:
            (box or Vault.load((), None)).open(stored)
        except VaultError as error:
            raise errors.ConfigError(f"secret.key: {error.detail}") from error
    return f"at migration {present}" + ("" if present == newest else f", will be brought to {newest}")
