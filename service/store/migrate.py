"""Bringing a database to this version's tables: numbered files, applied in order, each in one transaction."""

from __future__ import annotations

import re
from pathlib import Path

from service import errors
from service.store.driver import Database
from service.store.sql import Query

DIRECTORY = Path(__file__).parent / "migrations"

_INSTALLED = Query("migrate.installed", "SELECT value FROM meta WHERE name = 'schema'")
_HAS_META = Query(
    "migrate.has_meta",
    "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'meta'",
    postgresql="SELECT 1 WHERE to_regclass('meta') IS NOT NULL",
)


def available(directory: Path = DIRECTORY) -> dict[int, Path]:
    """The numbered files: ``0001_initial.sql`` is 1."""
    found = {}
    for path in sorted(directory.glob("*.sql")):
        match = re.match(r"(\d{4})_", path.name)
        if match:
            found[int(match[1])] = path
    return found


async def installed(database: Database) -> int:
    """The number of the last migration that this database has; 0 for an empty one."""
    if not await database.fetch(_HAS_META):
        return 0
    rows = await database.fetch(_INSTALLED)
    return int(rows[0][0]) if rows else 0


async def migrate(database: Database, directory: Path = DIRECTORY) -> list[str]:
    """Apply what is missing, while other processes that want to do the same wait; the names of what was applied.

    Raises:
        ConfigError: the database was made by a newer version, whose tables this one does not know; or a
            migration fails, and leaves nothing behind.
    """
    files = available(directory)
    async with database.exclusively():
        present = await installed(database)
        if present > max(files):
            raise errors.ConfigError(
                f"the database is at migration {present}, this version knows {max(files)}: it was used by a newer "
                "version; run that version, or restore a backup"
            )
        missing = {number: path for number, path in files.items() if number > present}
        for number, path in missing.items():
            await _apply(database, number, path)
    return [path.stem for path in missing.values()]


async def _apply(database: Database, number: int, path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    done = (
        f"INSERT INTO meta (name, value) VALUES ('schema', '{number}') "  # noqa: S608  a number of ours
        "ON CONFLICT (name) DO UPDATE SET value = excluded.value;"
    )
    try:
        await database.script(f"{text}\n-- on both\n{done}")
    except errors.Unavailable as error:
        raise errors.ConfigError(f"migration {path.stem}: {error.detail}; nothing of it was kept") from error
