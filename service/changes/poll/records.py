"""The elements of a page as documents that can be stored, and what is wrong with those that cannot.

An upstream is not told of its mistakes, so nothing here raises. What breaks the schema is delivered all the same;
what cannot be kept is passed over, and its resource stays as it was; what has no identity may be any resource.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson

from service.changes import detect, operations, scalars, soundness
from service.changes.dialects.codec import Dialect, UpstreamError
from service.changes.poll import lenient
from service.changes.types import ResourceType
from service.errors import FieldError, Invalid
from service.model import Document, Json

_NUMBER = re.compile(r"-?(?:0|[1-9]\d{0,19})(?:\.\d{1,30})?(?:[eE][+-]?\d{1,3})?", re.ASCII)  # as JSON writes one


@dataclass(slots=True)
class Records:
    """What some elements came to."""

    documents: dict[str, Document] = field(default_factory=dict)  # by id; the first of each
    unreadable: list[str] = field(default_factory=list)  # ids of records that hold what cannot be kept: passed over
    nameless: int = 0  # records without a usable identity
    faulty: int = 0  # documents that break the schema
    fault: str | None = None  # what is wrong with the last of these

    def add(self, others: Records, known: set[str]) -> None:
        """These too, but for the documents of resources that are ``known``, which then the others' are as well."""
        new = {object_id: document for object_id, document in others.documents.items() if object_id not in known}
        self.documents |= new
        known |= new.keys()
        self.unreadable += others.unreadable
        self.nameless += others.nameless
        self.faulty += others.faulty
        self.fault = others.fault or self.fault

    def pass_over(self, object_id: str | None, why: str) -> None:
        """A record that cannot be kept; None: nor can it be told whose it is."""
        if object_id is None:
            self.nameless += 1
            self.fault = f"a record without a usable id: {why}"
        else:
            self.unreadable.append(object_id)
            self.fault = f"{object_id}: {why}"


def read(rtype: ResourceType, dialect: Dialect, elements: Iterable[Json]) -> Records:
    """Read them, whatever they are."""
    records = Records()
    for element in elements:
        object_id: str | None = None
        try:
            document = dialect.read_element(element)
            object_id = _identity(rtype, document)
            if lenient.is_ambiguous(element):
                raise Invalid.at("", "a member is given twice")
            object_id, document, faults = operations.polled(rtype, document)
        except UpstreamError as error:
            records.pass_over(object_id, error.detail)
        except Invalid as error:
            records.pass_over(object_id, _words(error.errors[0]))
        else:
            if object_id not in records.documents:
                records.documents[object_id] = document
                if faults:
                    records.faulty += 1
                    records.fault = f"{object_id}: {_words(faults[0])}"
    return records


def newest(dialect: Dialect, elements: Iterable[Json]) -> int | None:
    """When the newest of the elements was updated, in ms on the upstream's clock; None where they do not say."""
    moments = []
    for element in elements:
        try:
            moments.append(scalars.moment(dialect.watermark(element)))
        except UpstreamError:
            continue
    return max((moment for moment in moments if moment is not None), default=None)


def steady(documents: Mapping[str, Document], stored: Mapping[str, str]) -> dict[str, Document]:
    """The documents, in which a number that is merely written as a text now, or a text as a number, stays what it was.

    Upstreams change their serialisers, and nobody wants to hear of every user's ``"id": "17"``. Only what is the same
    number stays; ``stored`` holds the texts of the documents as they are.
    """
    steadied = {}
    for object_id, document in documents.items():
        text = stored.get(object_id)
        if text is None or text == orjson.dumps(document).decode():
            steadied[object_id] = document
        else:
            steadied[object_id] = _like(orjson.loads(text), document)
    return steadied


def _identity(rtype: ResourceType, document: Document) -> str | None:
    """The id of a document that perhaps cannot be kept."""
    object_id = operations.identity(rtype, document)
    soundness.check(object_id)
    return object_id


def _words(fault: FieldError) -> str:
    return f"{fault.pointer} {fault.detail}".strip()


def _like(old: Any, new: Any) -> Any:
    if isinstance(old, dict) and isinstance(new, dict):
        return {name: _like(old[name], value) if name in old else value for name, value in new.items()}
    if isinstance(old, list) and isinstance(new, list):
        return [_like(before, value) for before, value in zip(_partners(old, new), new, strict=True)]
    if isinstance(old, str) and isinstance(new, int | float) and not isinstance(new, bool):
        return old if _is(old, new) else new
    if isinstance(new, str) and isinstance(old, int | float) and not isinstance(old, bool):
        return old if _is(new, old) else new
    return new


def _partners(old: list[Any], new: list[Any]) -> list[Any]:
    """For each new element the old one that it is compared with: that of its id, or else of its place."""
    by_id = {str(each["id"]): each for each in old if isinstance(each, dict) and "id" in each}
    places = [*old, *[None] * len(new)]
    return [
        by_id.get(str(each["id"])) if isinstance(each, dict) and "id" in each else place
        for each, place in zip(new, places, strict=False)
    ]


def _is(text: str, number: float) -> bool:
    """Whether a text is how JSON writes this number."""
    if not _NUMBER.fullmatch(text):
        return False
    written: int | float = int(text) if text.lstrip("-").isdigit() else float(text)
    return math.isfinite(written) and detect.equal(written, number)
