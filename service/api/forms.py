"""Reading small bodies: which members there may be, and what many of them share."""

from __future__ import annotations

from collections.abc import Collection

from service import jsontext
from service.errors import FieldError, Invalid
from service.model import Document, Json

LONGEST_NAME = 255  # characters


def members(body: Json, known: Collection[str]) -> Document:
    """The body, an object of known members. Raises Invalid."""
    if not isinstance(body, dict):
        raise Invalid.at("", "must be a JSON object")
    unknown = [
        FieldError(jsontext.pointer(name), f"is not a known member: {', '.join(sorted(known))} are")
        for name in body
        if name not in known
    ]
    if unknown:
        raise Invalid.of(unknown)
    return body


def name_faults(body: Document) -> list[FieldError]:
    """What is wrong with its ``name``, which may be missing."""
    name = body.get("name")
    if isinstance(name, (str, type(None))) and len(name or "") <= LONGEST_NAME:
        return []
    return [FieldError("/name", f"must be a string of at most {LONGEST_NAME} characters")]
