"""How resources are written: through the vendor's own paths where they have writes, by a push elsewhere."""

from __future__ import annotations

from typing import Protocol
from urllib.parse import quote

from service.changes import detect, members
from service.changes.dialects import DIALECTS
from service.changes.types import ResourceType
from service.demo.caller import Call
from service.model import Document, Json


class Face(Protocol):
    """What can be done with a resource, as calls that are still to be made."""

    def insert(self, sample: Document) -> Call:
        """Make it."""
        ...

    def update(self, current: Document, change: Document) -> Call:
        """Change it: objects are merged deeply, arrays replaced."""
        ...

    def delete(self, current: Document) -> Call:
        """Delete it."""
        ...

    def resource(self, answer: Json) -> Document:
        """The resource in the answer to a write."""
        ...


def of(rtype: ResourceType) -> Face:
    """The vendor's face if it can be written through."""
    return Vendor(rtype) if {"insert", "update"} <= rtype.operations.keys() else Push(rtype)


class Push:
    """Our own face: whole documents, with ids that are given."""

    def __init__(self, rtype: ResourceType) -> None:
        self._rtype = rtype

    def insert(self, sample: Document) -> Call:
        """A push of what is not there yet."""
        return Call("PUT", self._path(sample), sample)

    def update(self, current: Document, change: Document) -> Call:
        """A push of what it becomes."""
        return Call("PUT", self._path(current), members.merge(current, change))

    def delete(self, current: Document) -> Call:
        """A deletion at the origin."""
        return Call("DELETE", self._path(current))

    def resource(self, answer: Json) -> Document:
        """It stands beside its version."""
        resource = members.get(answer, ("resource",))
        assert isinstance(resource, dict)  # noqa: S101  it was just written
        return resource

    def _path(self, resource: Document) -> str:
        return f"/api/v1/resources/{self._rtype.name}/{_id(self._rtype, resource)}"


class Vendor:
    """The vendor's face, in its dialect."""

    def __init__(self, rtype: ResourceType) -> None:
        self._rtype = rtype
        self._dialect = DIALECTS[rtype.dialect]

    def insert(self, sample: Document) -> Call:
        """As the vendor's insert; the id is made there."""
        new = detect.strip(sample, [self._rtype.id_path])
        return self._call("insert", self._rtype.collection, new)

    def update(self, current: Document, change: Document) -> Call:
        """As the vendor's update."""
        return self._call("update", self._path(current), change)

    def delete(self, current: Document) -> Call:
        """As the vendor's delete; where there is none, behind its back."""
        if "delete" not in self._rtype.operations:
            return Push(self._rtype).delete(current)
        return Call("DELETE", self._path(current))

    def resource(self, answer: Json) -> Document:
        """As a poller reads it."""
        return self._dialect.read_item(answer)

    def _call(self, operation: str, path: str, resource: Document) -> Call:
        body: Json = detect.strip(resource, self._rtype.read_only)
        for name in reversed(self._dialect.resource_pointer.split("/")[1:]):
            body = {name: body}
        return Call(self._rtype.operations[operation].methods[0], path, body, self._dialect.media_type)

    def _path(self, resource: Document) -> str:
        return f"{self._rtype.collection}/{_id(self._rtype, resource)}"


def _id(rtype: ResourceType, resource: Document) -> str:
    return quote(str(members.get(resource, rtype.id_path)), safe="")
