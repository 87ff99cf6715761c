"""What is written, and when: a cast, and the face through which it acts."""

from __future__ import annotations

from service.changes import members
from service.changes.types import ResourceType
from service.demo import cast, faces, specimens
from service.demo.caller import Call
from service.model import Document, Json

ACCOUNT = "agendize.account"  # who plays if nobody says


class Script:
    """The calls of the story, for one type. Raises Unexpected when no cast for it can be made."""

    def __init__(self, rtype: ResourceType) -> None:
        self.rtype = rtype
        self.noun = rtype.name.rpartition(".")[2]
        self.cast = cast.of(rtype)
        self._face = faces.of(rtype)

    def create(self, sample: Document) -> Call:
        """Make a resource."""
        return self._face.insert(sample)

    def change(self, current: Document, turn: int) -> Call:
        """Change it; another turn changes it differently."""
        changes = self.cast.changes
        change = changes[turn % len(changes)] if changes else specimens.variant(self.rtype, current, turn)
        return self._face.update(current, change)

    def repeat(self, current: Document) -> Call:
        """Write what is there already, after the first change."""
        return self._face.update(current, current if self.cast.same is None else self.cast.same)

    def delete(self, current: Document) -> Call:
        """Delete it."""
        return self._face.delete(current)

    def resource(self, answer: Json) -> Document:
        """The resource in the answer to a write."""
        return self._face.resource(answer)

    def id(self, resource: Document) -> str:
        """The id, as paths and events have it."""
        return str(members.get(resource, self.rtype.id_path))

    def called(self, resource: Document) -> str:
        """What people call the resource."""
        names = (members.get(resource, members.split(dotted)) for dotted in self.cast.called)
        return " ".join(name for name in names if isinstance(name, str))
