"""What the writes of a vendor-face collection, and a push, make of a document: pure functions.

Each takes the current document (if there is one) and a body that came through ``jsontext.loads``, and gives the
next document, ready to be compared and stored: nothing secret and nothing write-only is left in it. No argument
is changed; the result shares with them what it leaves as it was.

What they refuse raises Invalid, with all faults at once and pointers into the body. A write answers for the
faults that it makes, not for those it finds: a polled document may break its schema, and must not become one
that nobody can change any more.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime

from service import clock, jsontext
from service.changes import detect, elements, members, soundness
from service.changes.elements import NewId
from service.changes.gate import MOST_FAULTS, REQUIRED
from service.changes.types import Derivation, ResourceType
from service.errors import FieldError, Invalid
from service.model import Document, Json

LONGEST_IDENTITY = 255  # characters
CONTROL = re.compile("[\x00-\x1f\x7f-\x9f]")
INTEGER = re.compile("0|-?[1-9][0-9]{0,17}")  # the one way to write it, and of 64 bits


def insert(
    rtype: ResourceType, body: Json, *, now: int, new_id: NewId, new_number: Callable[[], int], host: str
) -> Document:
    """A new item; ``now`` in ms, ``host`` the host name that was called, without a port.

    ``new_id`` makes ids that are text from a prefix, ``new_number`` those that are integers.
    """
    given = _object(body)
    document = elements.renumber(rtype, detect.strip(given, rtype.read_only), given, {}, new_id)
    faults = [
        FieldError(jsontext.pointer(*path), REQUIRED)
        for path in rtype.operations["insert"].required
        if members.get(given, path) in (None, "")
    ]
    made: dict[detect.Path, Json] = {}
    complete = document
    for rule in rtype.derive:
        value = new_number() if rule.rule == "number" else _make(rule, complete, now, new_id, host)
        if value is not None:
            made[rule.path] = value
            complete = members.put(complete, rule.path, value)
    return _admit(rtype, None, document, faults, made=made)


def update(rtype: ResourceType, current: Document, body: Json, *, now: int, new_id: NewId) -> Document:
    """Objects are merged deeply, arrays replaced, what is read-only ignored; ``now`` in ms."""
    given = _object(body)
    document = members.merge_objects(current, detect.strip(given, rtype.read_only))
    document = elements.renumber(rtype, document, given, current, new_id)
    faults = [
        FieldError(jsontext.pointer(*path), "is set once and cannot be changed: leave it out")
        for path in rtype.immutable
        if (old := members.get(current, path)) is not None and not detect.equal(old, members.get(document, path))
    ]
    copies = {rule.path: members.get(document, rule.source) for rule in rtype.derive if rule.rule == "copyOf"}
    made = {
        path: value
        for path, value in copies.items()
        if value is not None and not detect.equal(value, members.get(document, path))
    }
    if detect.differs(current, detect.strip(document, rtype.withheld), rtype.rules):
        made |= {rule.path: clock.rfc3339(now) for rule in rtype.derive if rule.rule == "touch"}
    return _admit(rtype, current, document, faults, made=made)


def patch(rtype: ResourceType, current: Document, body: Json, *, new_id: NewId) -> Document:
    """Adds to the arrays that the type names; an element with a known id changes that one instead."""
    given = _object(body)
    arrays = rtype.operations["patch"].append
    only = f"cannot be patched, only {', '.join(arrays)} can: use an update"
    faults = [FieldError(jsontext.pointer(name), only) for name in given if name not in arrays]
    document = current
    places: dict[str, str] = {}
    for name in arrays:
        if isinstance(given.get(name), list):
            document, moved, unknown = elements.append(rtype, name, document, given, new_id)
            places |= moved
            faults += unknown
        elif name in given:
            faults.append(FieldError(jsontext.pointer(name), "must be an array"))
    return _admit(rtype, current, document, faults, places=places)


def push(rtype: ResourceType, object_id: str, body: Json) -> Document:
    """The full current document, as somebody else holds it: nothing is derived, what is read-only is taken."""
    document = _object(body)
    if fault := _identity_fault(object_id):
        raise Invalid.at("", f"the id in the path {fault}")
    inside = members.get(document, rtype.id_path)
    if inside is None:
        value: Json = int(object_id) if rtype.integer_ids and INTEGER.fullmatch(object_id) else object_id
        document = members.put(document, rtype.id_path, value)
    elif _identity_text(inside) != object_id:
        detail = f"is not the id in the path, {object_id!r}: send the same or leave it out"
        raise Invalid.at(jsontext.pointer(*rtype.id_path), detail)
    return _admit(rtype, None, document, [])


def polled(rtype: ResourceType, document: Document) -> tuple[str, Document, list[FieldError]]:
    """The id of a document that an upstream sent, the document as it is kept, and what is wrong with it.

    What breaks the schema is kept and told, never dropped: the upstream decides what its documents are. Raises
    Invalid for what cannot be kept: no usable identity, a number that is no 64-bit integer or finite double, a
    depth that ``jsontext`` would not read.
    """
    fault = _identity_fault(_identity_text(members.get(document, rtype.id_path)))
    if fault is not None:
        raise Invalid.at(jsontext.pointer(*rtype.id_path), fault)
    kept = detect.strip(document, rtype.withheld)
    soundness.check(kept)
    return str(identity(rtype, kept)), kept, _first_of_each_place(rtype.gate.explain(kept))


def identity(rtype: ResourceType, document: Document) -> str | None:
    """The document's id; None if it has none that can be used."""
    return _usable(members.get(document, rtype.id_path))


def identities(rtype: ResourceType, document: Document) -> dict[str, str]:
    """What finds the document besides its id: value by member. Empty and unusable values find nothing."""
    found = {dotted: _usable(members.get(document, path)) for dotted, path in rtype.identity_paths.items()}
    return {dotted: text for dotted, text in found.items() if text is not None and dotted != rtype.identity[0]}


def same_identities(rtype: ResourceType, before: Document, after: Document) -> bool:
    """Whether both have the very same identities, which is so of nearly all updates."""
    for path in rtype.identity_paths.values():
        old, new = members.get(before, path), members.get(after, path)
        if old is not new and (type(old) is not type(new) or old != new):
            return False
    return True


def _object(body: Json) -> Document:
    if not isinstance(body, dict):
        raise Invalid.at("", "must be an object: send the resource itself")
    return body


def _make(rule: Derivation, document: Document, now: int, new_id: NewId, host: str) -> Json:
    """The value that a rule makes for a new item; None: none."""
    if rule.rule == "copyOf":
        return members.get(document, rule.source)
    if members.has(document, rule.path):
        return None
    match rule.rule, rule.argument:
        case "defaultTo", _:
            return members.get(document, rule.source)
        case "default", value:
            return value
        case "host", _:
            return host or None
        case "time", "zoned":
            return {"dateTime": datetime.fromtimestamp(now // 1000, UTC).isoformat()[:19], "timeZone": "UTC"}
        case "time" | "touch", _:
            return clock.rfc3339(now)
        case "generate", prefix:
            return new_id(str(prefix))
    return None


def _admit(
    rtype: ResourceType,
    before: Document | None,
    document: Document,
    faults: list[FieldError],
    *,
    made: Mapping[detect.Path, Json] | None = None,
    places: Mapping[str, str] | None = None,
) -> Document:
    """The document with what was ``made`` for it, checked, and without what is withheld.

    ``faults`` of the body are known already. ``places`` leads from pointers into the document to pointers into
    the body, where they differ.
    """
    made, places = made or {}, places or {}
    if made:  # who sent a value is told of it where it was sent, not where it was copied to
        copies = [rule for rule in rtype.derive if rule.rule == "copyOf" and rule.path in made]
        places = {jsontext.pointer(*rule.path): jsontext.pointer(*rule.source) for rule in copies}
    complete = _with(document, made)
    broken = rtype.gate.explain(complete)
    if broken and made:
        unfit = {fault.pointer for fault in broken}.difference(places)
        complete = _with(
            document, {path: value for path, value in made.items() if jsontext.pointer(*path) not in unfit}
        )
        broken = rtype.gate.explain(complete)
    if broken and before is not None:
        found = rtype.gate.explain(before)
        broken = [fault for fault in broken if fault not in found]
    broken += _identity_faults(rtype, before or {}, complete)
    if faults or broken:
        raise Invalid.of(_first_of_each_place([*faults, *_in_body(broken, places)])[:MOST_FAULTS])
    return detect.strip(complete, rtype.withheld)


def _first_of_each_place(faults: list[FieldError]) -> list[FieldError]:
    said: dict[str, FieldError] = {}
    for fault in faults:
        said.setdefault(fault.pointer, fault)
    return [*said.values()]


def _with(document: Document, made: Mapping[detect.Path, Json]) -> Document:
    for path, value in made.items():
        document = members.put(document, path, value)
    return document


def _in_body(faults: list[FieldError], places: Mapping[str, str]) -> list[FieldError]:
    """The faults where the body has them."""
    moved = []
    for fault in faults:
        there = fault.pointer
        while there and there not in places:
            there = there.rpartition("/")[0]
        moved.append(FieldError(places.get(there, there) + fault.pointer.removeprefix(there), fault.detail))
    return moved


def _identity_faults(rtype: ResourceType, before: Document, document: Document) -> list[FieldError]:
    """What is wrong with identities that this write set."""
    faults = []
    for path in rtype.identity_paths.values():
        value, old = members.get(document, path), members.get(before, path)
        if value is old or (isinstance(value, str) and value == old):
            continue
        text = _identity_text(value)
        fault = None if path != rtype.id_path and text in (None, "") else _identity_fault(text)
        if fault is not None:
            faults.append(FieldError(jsontext.pointer(*path), fault))
    return faults


def _usable(value: Json) -> str | None:
    text = _identity_text(value)
    return text if _identity_fault(text) is None else None


def _identity_text(value: Json) -> str | None:
    """An identity as paths and indexes have it."""
    return str(value) if isinstance(value, str | int) and not isinstance(value, bool) else None


def _identity_fault(text: str | None) -> str | None:
    """Why it cannot find an item, at the end of a path."""
    if text is None:
        return "must be a string or an integer"
    if not text or len(text) > LONGEST_IDENTITY:
        return f"must have 1 to {LONGEST_IDENTITY} characters"
    if text in (".", ".."):
        return "cannot be a segment of a path: clients resolve it away"
    if CONTROL.search(text):
        return "must not hold control characters"
    return None
