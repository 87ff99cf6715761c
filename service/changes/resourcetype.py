"""What a resource type is, once its file is read: see ``types`` for the reading."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from service.changes import detect, members
from service.changes.gate import Gate
from service.model import Document, Json, Role


@dataclass(frozen=True, slots=True)
class Operation:
    """Something that the vendor-face collection, or an item of it, can be asked to do."""

    name: str  # list, insert, get, update, patch or delete
    methods: tuple[str, ...]  # HTTP methods that reach it
    status: int  # HTTP status of success
    required: tuple[detect.Path, ...] = ()  # insert: members that a new item must have
    append: tuple[str, ...] = ()  # patch: the arrays it adds to


@dataclass(frozen=True, slots=True)
class Derivation:
    """A member that the directory makes itself."""

    path: detect.Path
    rule: str  # copyOf, defaultTo, default, host, time, touch, generate or number
    argument: Json  # the dotted path of another member, a value, a form of time, or an id's prefix

    @property
    def source(self) -> detect.Path:
        """The other member, of ``copyOf`` and ``defaultTo``."""
        return members.split(str(self.argument))


@dataclass(frozen=True, slots=True)
class Elements:
    """An array whose elements have ids of our making."""

    array: detect.Path
    name: str  # of the member that holds the id
    prefix: str  # of the ids that are made
    read_only: tuple[detect.Path, ...]  # members of an element, the id's among them as a rule


@dataclass(frozen=True, slots=True)
class Filter:
    """A query parameter of the list."""

    name: str
    match: str  # contains, equals, all, after, before, range or related
    paths: tuple[detect.Path, ...]  # one of these members must match
    values: tuple[str, ...]  # all that may be asked for; (): anything


@dataclass(frozen=True, slots=True, eq=False)
class ResourceType:
    """One type, compiled. Paths are tuples of member names; ``*`` is any name or index."""

    name: str  # such as agendize.account
    collection: str  # URL path of the vendor face
    upstream: str  # URL path of the collection below the base URL of the vendor's API
    dialect: str  # a name in dialects.DIALECTS
    singular: str  # what an envelope calls one item
    plural: str  # and several
    schema: Document  # JSON Schema 2020-12
    gate: Gate  # the schema, compiled
    identity: tuple[str, ...]  # dotted paths that find an item; the first is the id
    identity_paths: Mapping[str, detect.Path]  # the same, split
    id_path: detect.Path  # of the first
    immutable: tuple[detect.Path, ...]  # set once; the id among them
    secret: tuple[detect.Path, ...]  # never stored, compared, logged or sent
    ignore: tuple[detect.Path, ...]  # whose change alone is no change
    unordered: tuple[detect.Path, ...]  # arrays whose order means nothing
    rules: detect.Rules  # ignore and unordered, compiled
    read_only: tuple[detect.Path, ...]  # set by us or by a push, ignored from a vendor-face write
    write_only: tuple[detect.Path, ...]  # accepted and checked, never stored
    withheld: tuple[detect.Path, ...]  # secret, write_only and what the dialect makes: never kept
    permissions: Mapping[str, frozenset[Role]]  # by operation, push and watch among them
    operations: Mapping[str, Operation]  # by name; what is missing is answered 405
    collection_methods: Mapping[str, Operation]  # by HTTP method, on the collection
    item_methods: Mapping[str, Operation]  # by HTTP method, on an item
    integer_ids: bool  # the id is declared as an integer
    derive: tuple[Derivation, ...]  # in this order
    elements: tuple[Elements, ...]  # arrays whose elements are given ids
    filters: Mapping[str, Filter]  # by query parameter
    sort: Mapping[str, detect.Path]  # members that a list may be sorted by, by the name that asks for it
    subresources: tuple[str, ...]  # members that are shown only to who asks for them
    auth_headers: tuple[str, ...]  # in which a client of the vendor may send its API key
    auth_basic: bool  # or as the password of HTTP Basic

    def kind(self, path: detect.Path) -> str:
        """What a query may take the member for: ``date-time``, ``boolean``, ``number`` or ``text``."""
        declared = members.get(self.schema, tuple(step for name in path for step in ("properties", name)))
        if not isinstance(declared, dict):
            return "text"
        if declared.get("format") == "date-time":
            return "date-time"
        types = declared.get("type")
        plain = {"boolean": "boolean", "integer": "number", "number": "number"}
        found = (plain[name] for name in (types if isinstance(types, list) else [types]) if name in plain)
        return next(found, "text")
