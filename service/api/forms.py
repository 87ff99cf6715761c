"""Reading small bodies: which members there may be, and what many of them share."""

from __future__ import annotations

import re
from collections.abc import Collection

from service import jsontext
from service.errors import FieldError, Invalid
from service.model import Document, Json

LONGEST_NAME = 255  # characters
_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f]")


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
    if name is None:
        return []
    if not isinstance(name, str) or not 0 < len(name) <= LONGEST_NAME:
        return [FieldError("/name", f"must be a string of 1 to {LONGEST_NAME} characters")]
    if _CONTROLS.search(name):
        return [FieldError("/name", "must not hold control characters")]
    return []
