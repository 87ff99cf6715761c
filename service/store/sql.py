"""Named SQL text, read from the file beside the module that uses it.

A file holds blocks that begin with ``-- name: load``. Parameters are written ``:name``. The text is the same
for every database. Where it cannot be, a block ``-- postgresql: load`` with the same name takes its place on
PostgreSQL; a name that has only such a block is a statement that SQLite, with its one writer, does without. What
PostgreSQL spells in another way but one for one (``json_each``), its driver translates.

In migrations, lines after ``-- on sqlite`` or ``-- on postgresql`` are for that database alone, until ``-- on both``;
``@serial@`` is the type of a key that counts up.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_HEADER = re.compile(r"^-- (name|postgresql): (\w+)[^\n]*\n", re.MULTILINE)
_SWITCH = re.compile(r"^-- on (sqlite|postgresql|both)\b[^\n]*\n", re.MULTILINE)


@dataclass(frozen=True, slots=True, eq=False)
class Query:
    """One statement and its name, such as ``deliveries.claim``."""

    name: str
    text: str  # "": there is none but on PostgreSQL
    postgresql: str | None = None  # in place of ``text``


class Queries:
    """The queries of one file, as attributes."""

    def __init__(self, path: Path) -> None:
        pieces = _HEADER.split(path.read_text(encoding="utf-8"))[1:]
        texts = {
            (kind, name): text.strip().removesuffix(";")
            for kind, name, text in zip(pieces[::3], pieces[1::3], pieces[2::3], strict=True)
        }
        self._queries = {
            name: Query(f"{path.stem}.{name}", texts.get(("name", name), ""), texts.get(("postgresql", name)))
            for _, name in texts
        }

    def __getattr__(self, name: str) -> Query:
        try:
            return self._queries[name]
        except KeyError:
            raise AttributeError(f"no query is named {name}") from None

    def __iter__(self) -> Iterator[Query]:
        return iter(self._queries.values())


def beside(module_file: str) -> Queries:
    """The queries of ``resources.sql`` for ``beside(__file__)`` in ``resources.py``."""
    return Queries(Path(module_file).with_suffix(".sql"))


def migration(text: str, database: str) -> str:
    """The lines of a migration that are for ``sqlite`` or for ``postgresql``."""
    first, *pieces = _SWITCH.split(text)
    chosen = [piece for mark, piece in zip(pieces[::2], pieces[1::2], strict=True) if mark in {database, "both"}]
    return "".join([first, *chosen])
