"""Array elements with ids of our making, such as tags: they keep them as long as they live.

An update replaces the array, and a client that read it, changed one element and sent all of them back expects
the others to be the same ones as before. So an element is known by the id it was sent with, or else, since ids
are read-only and many clients leave them out, by being equal to one that is there in all that can be written.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Callable, Hashable
from typing import TypeAlias

from service import jsontext
from service.changes import detect, members
from service.changes.types import Elements, ResourceType
from service.errors import FieldError
from service.model import Document, Json

NewId = Callable[[str], str]  # from a prefix, such as ids.new
_Id: TypeAlias = str | int | None  # None: no id, or nothing that could be one
_Known: TypeAlias = dict[_Id, tuple[Document, Document]]  # by id: a whole element, and what can be written of it


def renumber(rtype: ResourceType, document: Document, body: Document, current: Document, new_id: NewId) -> Document:
    """The document with an id in every element of the arrays that the body replaced.

    The body has them as they were sent, the document without what is read-only.
    """
    for kind in rtype.elements:
        sent, elements = _list(body, kind.array), _list(document, kind.array)
        if elements and len(sent) == len(elements):
            known = _known(kind, current)
            chosen = _recognised(kind, sent, elements, known)
            numbered = [
                _numbered(kind, element, id_, known.get(id_), new_id)
                for element, id_ in zip(elements, chosen, strict=True)
            ]
            document = members.put(document, kind.array, numbered)
    return document


def append(
    rtype: ResourceType, name: str, document: Document, body: Document, new_id: NewId
) -> tuple[Document, dict[str, str], list[FieldError]]:
    """The document with the body's elements of one array: those with a known id changed, the others added.

    Besides, which pointer into the document follows from which into the body, and what is wrong with the ids.
    """
    kind = next((kind for kind in rtype.elements if kind.array == (name,)), None)
    elements = _list(document, (name,)).copy()
    index_of: dict[_Id, int] = {}
    for index, element in enumerate(elements):
        if (id_ := _id(kind, element)) is not None:
            index_of.setdefault(id_, index)
    places: dict[str, str] = {}
    faults: list[FieldError] = []
    bare = _list(detect.strip(body, rtype.read_only), (name,))
    for position, (sent, element) in enumerate(zip(_list(body, (name,)), bare, strict=True)):
        if kind is None or not isinstance(sent, dict) or sent.get(kind.name) is None:
            index = len(elements)
            elements.append(_numbered(kind, element, None, None, new_id) if kind is not None else element)
        elif (found := index_of.get(_id(kind, sent))) is not None:
            index = found
            elements[index] = members.merge(elements[index], element)
        else:
            pointer = jsontext.pointer(name, position, kind.name)
            faults.append(FieldError(pointer, "is the id of no element that is there: leave it out to add one"))
            continue
        places[jsontext.pointer(name, index)] = jsontext.pointer(name, position)
    return members.put(document, (name,), elements), places, faults


def _known(kind: Elements, current: Document) -> _Known:
    known: _Known = {}
    for element in _list(current, kind.array):
        id_ = _id(kind, element)
        if id_ is not None and isinstance(element, dict):
            known.setdefault(id_, (element, detect.strip(element, kind.read_only)))
    return known


def _recognised(kind: Elements, sent: list[Json], elements: list[Json], known: _Known) -> list[_Id]:
    """For each element the id of the known one that it is, each of which is given once; None: a new one."""
    left = dict(known)
    chosen = [id_ if left.pop(id_, None) is not None else None for id_ in (_id(kind, element) for element in sent)]
    alike: defaultdict[Hashable, deque[_Id]] = defaultdict(deque)
    for id_, (_, writable) in left.items():
        alike[_content(writable, but=kind.name)].append(id_)
    for index, element in enumerate(elements):
        if chosen[index] is None and isinstance(element, dict):
            same = alike.get(_content(element, but=kind.name))
            if same:
                chosen[index] = same.popleft()
    return chosen


def _numbered(kind: Elements, element: Json, id_: _Id, known: tuple[Document, Document] | None, new_id: NewId) -> Json:
    """The element with its id, and with what else is read-only in the one that it is."""
    if not isinstance(element, dict):
        return element  # which its schema will refuse
    if known is None:
        return {kind.name: new_id(kind.prefix), **element}
    whole, writable = known
    kept = {name: value for name, value in whole.items() if name not in writable}
    return {kind.name: id_, **kept, **element}


def _content(value: Json, *, but: str = "") -> Hashable:
    """Equal for what typed equality calls equal: 1 and 1.0, not 1 and true."""
    if isinstance(value, dict):
        return frozenset((name, _content(inner)) for name, inner in value.items() if name != but)
    if isinstance(value, list):
        return tuple(map(_content, value))
    return (bool, value) if isinstance(value, bool) else value


def _id(kind: Elements | None, element: Json) -> _Id:
    value = element.get(kind.name) if kind is not None and isinstance(element, dict) else None
    return value if isinstance(value, str | int) and not isinstance(value, bool) else None


def _list(document: Document, path: detect.Path) -> list[Json]:
    value = members.get(document, path)
    return value if isinstance(value, list) else []
