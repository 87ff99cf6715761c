"""What the lines of an import hold."""

from __future__ import annotations

from dataclasses import dataclass, field

import orjson

from service import errors, jsontext
from service.changes import detect, operations
from service.changes.ndjson import Line
from service.changes.types import ResourceType
from service.model import Document

DOCUMENTS, BYTES = 100, 512 * 1024  # of a batch, which is one transaction
MOST = 1000  # entries of a batch: one that is stored already costs a transaction next to nothing


@dataclass(frozen=True, slots=True)
class Entry:
    """A line that was read."""

    line: int  # its number
    id: str
    document: Document | None  # ready to be stored; None: it is what is stored
    size: int  # bytes of it


@dataclass(slots=True)
class Batch:
    """Entries, each of another resource, that are committed together."""

    entries: dict[str, Entry] = field(default_factory=dict)  # by their ids
    documents: int = 0
    size: int = 0

    def add(self, entry: Entry) -> bool:
        """Take one in; False, and nothing is done, when the batch has that resource already."""
        if entry.id in self.entries:
            return False
        self.entries[entry.id] = entry
        if entry.document is not None:
            self.documents += 1
            self.size += entry.size
        return True

    @property
    def is_full(self) -> bool:
        """Whether it is time to commit it."""
        return self.documents >= DOCUMENTS or self.size >= BYTES or len(self.entries) >= MOST


def glance(rtype: ResourceType, line: Line) -> tuple[str, str] | None:
    """The id and the text of the document in a line as a quick reader has it; None when it finds none.

    Most lines say what is stored already. Nothing is written on their word, so they need no reader who is strict.
    """
    try:
        body = orjson.loads(line.text or b"")
    except orjson.JSONDecodeError:
        return None
    object_id = operations.identity(rtype, body) if isinstance(body, dict) else None
    return None if object_id is None else (object_id, jsontext.text(detect.strip(body, rtype.withheld)))


def read(rtype: ResourceType, line: Line, longest: int) -> Entry:
    """What a line holds.

    Raises:
        TooLarge, BadRequest, Invalid: nothing that can be taken.
    """
    if line.text is None:
        raise errors.TooLarge(f"the line is longer than {longest} bytes")
    body = jsontext.loads(line.text)
    if not isinstance(body, dict):
        raise errors.Invalid.at("", "must be an object: send one resource in each line")
    object_id = operations.identity(rtype, body)
    if object_id is None:
        raise errors.Invalid.at(jsontext.pointer(*rtype.id_path), "must be the id: a string or an integer")
    return Entry(line.number, object_id, operations.push(rtype, object_id, body), line.size)
