"""Documents of a type that nobody wrote any for, made from its schema."""

from __future__ import annotations

from collections.abc import Iterator

from service.changes import detect, members
from service.changes.types import ResourceType
from service.demo.caller import Unexpected
from service.model import Document, Json
from service.watches import preview


def sample(rtype: ResourceType, number: int) -> Document:
    """A document that the type takes: an example of its schema, without what the example does not get right."""
    document = preview.example(rtype, None)
    identities = tuple(rtype.identity_paths.values())
    copied = tuple(rule.source for rule in rtype.derive if rule.rule == "copyOf" and rule.path in identities)
    for path in identities + copied:  # what is unique, or becomes so
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


def variant(rtype: ResourceType, document: Document, turn: int) -> Document:
    """The document with one member changed that its clients may change."""
    writable = detect.strip(document, rtype.read_only)
    for path, value in leaves(document):
        changed = members.put(document, path, _other(value, turn))
        if (
            path not in rtype.identity_paths.values()
            and path not in rtype.immutable
            and rtype.gate.accepts(changed)
            and detect.differs(writable, detect.strip(changed, rtype.read_only), rtype.rules)
        ):
            return changed
    raise Unexpected(f"no member of a sample of {rtype.name} can be changed")


def leaves(document: Document, path: detect.Path = ()) -> Iterator[tuple[detect.Path, Json]]:
    """What is no object, and where."""
    for name, value in document.items():
        if isinstance(value, dict):
            yield from leaves(value, (*path, name))
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
