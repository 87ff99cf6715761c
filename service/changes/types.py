"""Resource types: what ``config/resources/*.json`` says of one kind of account or user.

Everything that is particular to a vendor stands in its file (and in its dialect's codec), nothing in code: an
operator adds a type by adding a file. ``schemas/resource-type.json`` is the form of these files, with a
sentence for each member; what no schema can say is checked here, and every fault stops the start with the
file, the member and the reason.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from itertools import combinations
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from service import jsontext
from service.changes import detect, dialects, members
from service.changes.gate import Gate, SchemaError, marked
from service.changes.resourcetype import Derivation, Elements, Filter, Operation, ResourceType
from service.errors import BadRequest, ConfigError
from service.model import WATCH, Json, Role

__all__ = ["Derivation", "Elements", "Filter", "Operation", "ResourceType", "collection_url", "load", "parse"]

FORM = Path(__file__).parent.parent / "schemas" / "resource-type.json"
OURS = ("/api/v1", "/.well-known", "/healthz", "/readyz", "/metrics", "/console", "/oauth2")  # no type may live there

ON_COLLECTION = frozenset({"list", "insert"})  # the other operations are on an item
METHODS: Mapping[str, tuple[str, ...]] = {  # by which an operation is reached if its type does not say
    "list": ("GET",),
    "insert": ("POST",),
    "get": ("GET",),
    "update": ("PUT", "POST", "PATCH"),
    "patch": ("PATCH",),
    "delete": ("DELETE",),
}
USUAL = ("list", "insert", "get", "update", "delete")  # the operations of a type that names none
STATUS: Mapping[str, int] = {"insert": 201, "delete": 204}  # 200 for the others

READING = frozenset(Role)
WRITING = frozenset({Role.ADMIN, Role.AGENT})
PERMISSIONS: Mapping[str, frozenset[Role]] = {  # of a type that grants nothing else
    "list": READING,
    "get": READING,
    "insert": WRITING,
    "update": WRITING,
    "patch": WRITING,
    "delete": WRITING,
    "push": WRITING,
    "watch": frozenset({Role.ADMIN}),
}


def load(directory: Path) -> dict[str, ResourceType]:
    """Every type of a directory by its name, in the order of the file names.

    Raises:
        ConfigError: no file there, or one that is wrong; names the file, the member and the reason.
    """
    files = sorted(directory.glob("*.json"))
    if not files:
        raise ConfigError(f"{directory}: holds no resource type: add a .json file")
    loaded = {file.name: _read(file) for file in files}
    for file, one in loaded.items():
        if one.name == WATCH:
            raise ConfigError(f"{file}: /name: {WATCH!r} is what watches of other watches have: take another name")
    for (file, one), (other_file, other) in combinations(loaded.items(), 2):
        if one.name == other.name:
            raise ConfigError(f"{other_file}: /name: {other.name!r} is the type of {file} already")
        for shorter, longer in ((one.collection, other.collection), (other.collection, one.collection)):
            if longer == shorter or longer.rpartition("/")[0] == shorter:
                raise ConfigError(f"{other_file}: /collection: {other.collection!r} collides with the one of {file}")
    return {rtype.name: rtype for rtype in loaded.values()}


def collection_url(rtype: ResourceType, url: str) -> str:
    """The URL of the collection at an upstream, of whose API ``url`` is the base, or which it is already."""
    parts = urlsplit(url)
    path = parts.path.rstrip("/")
    return parts._replace(path=path if path.endswith(rtype.upstream) else path + rtype.upstream).geturl()


def parse(value: Json, file: str) -> ResourceType:
    """One type from the content of its file, whose name is used in errors only. Raises ConfigError."""
    faults = _form().explain(value)
    if faults or not isinstance(value, dict):
        raise ConfigError("; ".join(f"{file}: {fault.pointer or 'the file'}: {fault.detail}" for fault in faults))
    data: dict[str, Any] = value
    collection = data["collection"]
    if any(f"{collection}/".startswith(f"{path}/") for path in OURS):
        raise ConfigError(f"{file}: /collection: {collection!r} is a path of the service itself")
    if data["dialect"] not in dialects.DIALECTS:
        known = ", ".join(sorted(dialects.DIALECTS))
        raise ConfigError(f"{file}: /dialect: {data['dialect']!r} is unknown: there is {known}")
    schema = data["schema"]
    try:
        gate = Gate(schema)
    except SchemaError as error:
        raise ConfigError(f"{file}: /schema{error.pointer}: {error.detail}") from None
    identity = tuple(data["identity"])
    id_path = members.split(identity[0])
    integer_ids = members.get(schema, (*(s for name in id_path for s in ("properties", name)), "type")) == "integer"
    operations = _operations(data.get("operations"))
    secret, read_only, write_only = (
        _paths(data.get("secret", ())),
        marked(schema, "readOnly"),
        marked(schema, "writeOnly"),
    )
    derive, elements = _derivations(data, read_only, file, integer_ids=integer_ids)
    last = collection.rpartition("/")[2]
    return ResourceType(
        name=data["name"],
        collection=collection,
        upstream=data.get("upstream", f"/{last}"),
        dialect=data["dialect"],
        singular=data.get("singular", data["name"].rpartition(".")[2]),
        plural=data.get("plural", last),
        schema=schema,
        gate=gate,
        identity=identity,
        identity_paths={dotted: members.split(dotted) for dotted in identity},
        id_path=id_path,
        immutable=_paths([identity[0], *data.get("immutable", ())]),
        secret=secret,
        ignore=_paths(data.get("ignore", ())),
        unordered=_paths(data.get("set", ())),
        rules=detect.Rules.parse(data.get("ignore", ()), data.get("set", ())),
        read_only=read_only,
        write_only=write_only,
        withheld=tuple(dict.fromkeys(secret + write_only + dialects.DIALECTS[data["dialect"]].made)),
        permissions={**PERMISSIONS, **{k: frozenset(map(Role, v)) for k, v in data.get("permissions", {}).items()}},
        operations=operations,
        collection_methods=_by_method(operations, file, collection=True),
        item_methods=_by_method(operations, file, collection=False),
        integer_ids=integer_ids,
        derive=derive,
        elements=elements,
        filters={
            name: Filter(name, f["match"], _paths(f["paths"]), tuple(f.get("values", ())))
            for name, f in data.get("filters", {}).items()
        },
        sort={name: members.split(dotted) for name, dotted in data.get("sort", {}).items()},
        subresources=tuple(data.get("subresources", ())),
        auth_headers=tuple(data.get("auth", {}).get("headers", ())),
        auth_basic=data.get("auth", {}).get("basic", False),
    )


def _read(file: Path) -> ResourceType:
    try:
        value = jsontext.loads(file.read_bytes())
    except OSError as error:
        raise ConfigError(f"{file.name}: cannot be read: {error.strerror}") from None
    except BadRequest as error:
        raise ConfigError(f"{file.name}: {error.detail}") from None
    return parse(value, file.name)


@functools.cache
def _form() -> Gate:
    form = jsontext.loads(FORM.read_bytes())
    assert isinstance(form, dict)  # noqa: S101  our own file
    return Gate(form)


def _paths(dotted: Any) -> tuple[detect.Path, ...]:
    return tuple(dict.fromkeys(map(members.split, dotted)))


def _operations(declared: Mapping[str, Any] | None) -> dict[str, Operation]:
    """The operations of a type. PATCH belongs to ``patch`` where a type has it, to ``update`` elsewhere."""
    given: Mapping[str, Any] = {name: {} for name in USUAL} if declared is None else declared
    operations = {}
    for name, options in given.items():
        usual = tuple(m for m in METHODS[name] if not (name == "update" and m == "PATCH" and "patch" in given))
        operations[name] = Operation(
            name=name,
            methods=tuple(options.get("methods", usual)),
            status=options.get("status", STATUS.get(name, 200)),
            required=_paths(options.get("required", ())),
            append=tuple(options.get("append", ())),
        )
    return operations


def _by_method(operations: Mapping[str, Operation], file: str, *, collection: bool) -> dict[str, Operation]:
    reached: dict[str, Operation] = {}
    for operation in operations.values():
        if (operation.name in ON_COLLECTION) is collection:
            for method in operation.methods:
                if method in reached:
                    both = f"{reached[method].name} and {operation.name}"
                    raise ConfigError(f"{file}: /operations/{operation.name}/methods: {method} would mean {both}")
                reached[method] = operation
    return reached


def _derivations(
    data: Mapping[str, Any], read_only: tuple[detect.Path, ...], file: str, *, integer_ids: bool
) -> tuple[tuple[Derivation, ...], tuple[Elements, ...]]:
    """What the file declares; an id is made in any case: a number, or text that begins with the type's last word."""
    made_id = {data["identity"][0]: {"generate": data["name"].rpartition(".")[2].lower()}}
    derivations, elements = [], []
    for dotted, rule in (made_id | data.get("derive", {})).items():
        path = members.split(dotted)
        ((kind, argument),) = rule.items()
        if integer_ids and dotted == data["identity"][0] and kind == "generate":
            derivations.append(Derivation(path, "number", None))
        elif "*" not in path:
            derivations.append(Derivation(path, kind, argument))
        elif kind == "generate" and [index for index, step in enumerate(path) if step == "*"] == [len(path) - 2] != [0]:
            inside = tuple(other[len(path) - 1 :] for other in read_only if other[: len(path) - 1] == path[:-1])
            elements.append(Elements(path[:-2], path[-1], argument, tuple(filter(None, inside))))
        else:
            raise ConfigError(f"{file}: {jsontext.pointer('derive', dotted)}: a * is for ids, as in array.*.id")
    return tuple(derivations), tuple(elements)
