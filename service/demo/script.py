"""Who plays, and what they write.

Accounts are written through the vendor's own paths, as Agendize's clients do. For any other type the samples are
made from its schema, and pushed.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

from service import jsontext
from service.changes import detect, members
from service.changes.types import ResourceType
from service.demo.caller import Call, Unexpected
from service.model import Document, Json
from service.watches import preview

ACCOUNT = "agendize.account"
ACCOUNTS = Path(__file__).parent / "accounts.ndjson"
MAIL: Document = {
    "to": "${$.firstName} ${$.lastName} <${$.email}>",
    "subject": "Your account was ${$.event.type}",
    "language": "${$.preferences.language}",
}
NOTICE: Document = {
    "what": "${$.event.type}",
    "which": "${$.event.objectType}/${$.event.objectId}",
    "version": "${$.event.version}",
}
SAMPLES = 3  # of a type that we know nothing of


class Script(Protocol):
    """What the story needs to know of a type."""

    rtype: ResourceType
    noun: str
    samples: tuple[Document, ...]
    template: Document  # of the shaped watch
    reader: str  # the name of that watch
    shaped: str  # what the template is for, in words
    twist: str  # how ``repeat`` is worded differently

    def create(self, sample: Document) -> Call:
        """Make a resource."""
        ...

    def change(self, current: Document, turn: int) -> Call:
        """Change it; another turn changes it differently."""
        ...

    def repeat(self, current: Document) -> Call:
        """Write what is there already."""
        ...

    def delete(self, current: Document) -> Call:
        """Delete it."""
        ...

    def resource(self, answer: Document) -> Document:
        """The resource in the answer to a write."""
        ...


def of(rtype: ResourceType) -> Script:
    """The script for this type."""
    return Accounts(rtype) if rtype.name == ACCOUNT else Pushed(rtype)


class Accounts:
    """Reseller accounts, over the vendor's paths."""

    noun = "account"
    reader = "Mailing"
    shaped = "the mailing list wants three fields in words of its own"
    twist = "the same names again, and the tools in another order, which means nothing"

    def __init__(self, rtype: ResourceType) -> None:
        self.rtype = rtype
        self.template = MAIL
        self.samples = tuple(_object(line) for line in ACCOUNTS.read_bytes().splitlines())

    def create(self, sample: Document) -> Call:
        """As the vendor's insert."""
        return Call("POST", self.rtype.collection, sample)

    def change(self, current: Document, turn: int) -> Call:
        """As the vendor's update; the first turn is the one that the story tells."""
        tags = current.get("tags") or []
        changes: tuple[Document, ...] = (
            {"status": "disabled" if current.get("status") == "enabled" else "enabled"},
            {
                "lastName": "Nicholls",
                "tools": ["save", "scheduling", "call"],
                "tags": [*(tags if isinstance(tags, list) else ()), {"tag": "vip", "color": "#ff8c00"}],
            },
            {"preferences": {"language": "fr" if turn % 2 else "en"}},
            {"additionalUsers": turn},
        )
        return self._update(current, changes[turn % len(changes)])

    def repeat(self, current: Document) -> Call:
        """Fewer words, another order."""
        tools = current["tools"]
        assert isinstance(tools, list)  # noqa: S101  our own sample
        return self._update(current, {"lastName": current["lastName"], "tools": tools[::-1]})

    def delete(self, current: Document) -> Call:
        """As the vendor's delete."""
        return Call("DELETE", f"{self.rtype.collection}/{current['id']}")

    def resource(self, answer: Document) -> Document:
        """The vendor answers with the account itself."""
        return answer

    def _update(self, current: Document, body: Document) -> Call:
        return Call("PUT", f"{self.rtype.collection}/{current['id']}", body)


class Pushed:
    """Resources of any type, pushed."""

    reader = "Notices"
    shaped = "somebody only wants to know what happened to which"
    twist = "the same document again"

    def __init__(self, rtype: ResourceType) -> None:
        self.rtype = rtype
        self.noun = rtype.name.rpartition(".")[2]
        self.template = NOTICE
        self.samples = tuple(_sample(rtype, number) for number in range(1, SAMPLES + 1))

    def create(self, sample: Document) -> Call:
        """A push of what is not there yet."""
        identity = members.get(sample, self.rtype.id_path)
        return Call("PUT", f"/api/v1/resources/{self.rtype.name}/{identity}", sample)

    def change(self, current: Document, turn: int) -> Call:
        """A push of a variant."""
        return self.create(_variant(self.rtype, current, turn))

    def repeat(self, current: Document) -> Call:
        """A push of what is there."""
        return self.create(current)

    def delete(self, current: Document) -> Call:
        """A deletion at the origin."""
        call = self.create(current)
        return Call("DELETE", call.path)

    def resource(self, answer: Document) -> Document:
        """Our own face answers with the resource and its version."""
        resource = answer["resource"]
        assert isinstance(resource, dict)  # noqa: S101  it was just written
        return resource


def _sample(rtype: ResourceType, number: int) -> Document:
    """A document that the type takes: an example of its schema, without what the example does not get right."""
    document = preview.example(rtype, None)
    for path in rtype.identity_paths.values():
        document = members.put(document, path, f"sample{number}@example.com")
    own_id: Json = 1000 + number if rtype.integer_ids else f"sample-{number}"
    document = detect.strip(members.put(document, rtype.id_path, own_id), rtype.withheld)
    while faults := rtype.gate.explain(document):
        wrong = tuple(faults[0].pointer.replace("~1", "/").replace("~0", "~").split("/")[1:2])
        smaller = detect.strip(document, [wrong])
        if not wrong or wrong == rtype.id_path or smaller == document:
            raise Unexpected(f"no sample of {rtype.name} could be made: {faults[0].pointer}: {faults[0].detail}")
        document = smaller
    return document


def _variant(rtype: ResourceType, document: Document, turn: int) -> Document:
    """The document with one member changed that may change."""
    for path, value in _leaves(document):
        changed = members.put(document, path, _other(value, turn))
        if (
            path not in rtype.identity_paths.values()
            and path not in rtype.immutable
            and rtype.gate.accepts(changed)
            and detect.differs(document, changed, rtype.rules)
        ):
            return changed
    raise Unexpected(f"no member of a sample of {rtype.name} can be changed")


def _leaves(document: Document, path: detect.Path = ()) -> Iterator[tuple[detect.Path, Json]]:
    for name, value in document.items():
        if isinstance(value, dict):
            yield from _leaves(value, (*path, name))
        else:
            yield (*path, name), value


def _other(value: Json, turn: int) -> Json:
    match value:
        case bool():
            return not value
        case int() | float():
            return value + 1
        case str():
            return f"{value.split(' changed')[0]} changed {turn}"
        case _:
            return value


def _object(line: bytes) -> Document:
    value = jsontext.loads(line)
    assert isinstance(value, dict)  # noqa: S101  our own file
    return value
