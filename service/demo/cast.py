"""Who plays: what ``casts/<type>.json`` has of a type, or what can be made of its schema."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from service import jsontext
from service.changes.detect import Path as Place
from service.changes.types import ResourceType
from service.demo import specimens
from service.model import Document

CASTS = Path(__file__).parent / "casts"
SAMPLES = 4  # of a type that we know nothing of
SHOWN = 2  # members of such a type in a template
NOTICE: Document = {
    "what": "${$.event.type}",
    "which": "${$.event.objectType}/${$.event.objectId}",
    "version": "${$.event.version}",
}
_PLAIN = re.compile("[A-Za-z][A-Za-z0-9_]*")  # a name that a path takes without quotes


@dataclass(frozen=True, slots=True)
class Cast:
    """What the story needs of a type. A change is what an update says: the members that become different."""

    called: tuple[str, ...]  # dotted paths of what people call a resource
    reader: str  # the name of the watch with a template
    purpose: str  # what the template is for, in words
    template: Document
    samples: tuple[Document, ...]  # the first is the one that the story is about
    changes: tuple[Document, ...]  # the first is the one that is told; (): make some
    twist: str  # how ``same`` is worded, after the first change
    same: Document | None  # an update that changes nothing; None: the whole document again


def of(rtype: ResourceType) -> Cast:
    """The cast of this type. Raises Unexpected when there is none and none can be made."""
    file = CASTS / f"{rtype.name}.json"
    return _read(file) if file.is_file() else _made(rtype)


def _read(file: Path) -> Cast:
    data: Any = jsontext.loads(file.read_bytes())
    members: dict[str, Any] = {name: tuple(value) if isinstance(value, list) else value for name, value in data.items()}
    return Cast(**members)


def _made(rtype: ResourceType) -> Cast:
    samples = tuple(specimens.sample(rtype, number) for number in range(1, SAMPLES + 1))
    texts = [path for path, value in specimens.leaves(samples[0]) if isinstance(value, str) and _is_plain(path)]
    own: Document = {path[-1]: f"${{$.{'.'.join(path)}}}" for path in texts[:SHOWN]}
    return Cast(
        called=rtype.identity[1:2],
        reader="Notices",
        purpose="somebody only wants to know what happened to which",
        template={**own, **NOTICE},
        samples=samples,
        changes=(),
        twist="the same document again",
        same=None,
    )


def _is_plain(path: Place) -> bool:
    return all(map(_PLAIN.fullmatch, path))
