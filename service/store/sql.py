"""Named SQL text, read from the file beside the module that uses it.

A file holds blocks that begin with ``-- name: load``. Parameters are written ``:name``. The text is the same
for every database but for tokens between at signs, which a driver replaces when it prepares a query.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_HEADER = re.compile(r"^-- name: (\w+)[^\n]*\n", re.MULTILINE)


@dataclass(frozen=True, slots=True, eq=False)
class Query:
    """One statement and its name, such as ``deliveries.claim``."""

    name: str
    text: str


class Queries:
    """The queries of one file, as attributes."""

    def __init__(self, path: Path) -> None:
        pieces = _HEADER.split(path.read_text(encoding="utf-8"))[1:]
        self._queries = {
            name: Query(f"{path.stem}.{name}", text.strip().removesuffix(";"))
            for name, text in zip(pieces[::2], pieces[1::2], strict=True)
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
