"""Members of documents, by plain paths: tuples of names, written with dots in type files."""

from __future__ import annotations

from service.changes.detect import Path
from service.model import Document, Json


def split(dotted: str) -> Path:
    """``profile.id`` as ``("profile", "id")``."""
    return tuple(dotted.split("."))


def get(document: Json, path: Path) -> Json:
    """The value at a path; None where there is none: a null and a missing member are the same here."""
    for name in path:
        if not isinstance(document, dict):
            return None
        document = document.get(name)
    return document


def has(document: Json, path: Path) -> bool:
    """Whether there is a value at a path, be it null."""
    parent = get(document, path[:-1])
    return isinstance(parent, dict) and path[-1] in parent


def put(document: Document, path: Path, value: Json) -> Document:
    """A copy with the value at the path, objects made on the way; as it was if something else is in the way."""
    name, rest = path[0], path[1:]
    if rest:
        inner = document.get(name, {})
        if not isinstance(inner, dict):
            return document
        value = put(inner, rest, value)
    return {**document, name: value}


def merge(old: Json, new: Json) -> Json:
    """``new``, but objects are merged deeply: what it does not have is kept."""
    if not isinstance(old, dict) or not isinstance(new, dict):
        return new
    return merge_objects(old, new)


def merge_objects(old: Document, new: Document) -> Document:
    """A copy of ``old`` with the members of ``new``, merged deeply."""
    merged = old.copy()
    for name, value in new.items():
        merged[name] = merge(merged.get(name), value)
    return merged
