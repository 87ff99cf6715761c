"""Showing the request that a watch would send, before it sends any."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from service import errors, ids, jsontext
from service.delivery import attempt, authenticate, masking
from service.delivery.recipient import RenderError
from service.delivery.sign import Signing
from service.errors import FieldError, Invalid
from service.model import CHANGES, NOTICES, WATCH, Change, Document, Event, Json, Watch, WatchStatus
from service.store.deliveries import Job
from service.watches import fields
from service.watches.registry import Prepared

MEMBERS = ("watch", "event", "resource", "objectId", "previous")
DEEPEST = 8  # of an example


class TypeInfo(Protocol):
    """What a preview needs to know of a resource type."""

    @property
    def name(self) -> str:
        """Such as agendize.account."""
        ...

    @property
    def collection(self) -> str:
        """The source of its events."""
        ...

    @property
    def identity(self) -> tuple[str, ...]:
        """Dotted paths; the first is the id."""
        ...

    @property
    def schema(self) -> Mapping[str, Any]:
        """The JSON Schema of its documents."""
        ...


@dataclass(frozen=True, slots=True)
class Asked:
    """What a preview is asked of."""

    watch: Document | str  # a registration, or the id of a watch
    event: Event | None  # None: one that is usual for what the watch watches
    resource: Document | None
    object_id: str | None
    previous: Document | None


def parse(body: Json) -> Asked:
    """Read a preview's body: ``{watch, event, resource | objectId, previous}``. Raises Invalid."""
    if not isinstance(body, dict):
        raise Invalid.at("", "must be a JSON object")
    given: dict[str, Any] = body
    faults = [
        FieldError(jsontext.pointer(name), f"is not a member of a preview: {', '.join(MEMBERS)} are")
        for name in body
        if name not in MEMBERS
    ]
    watch, resource = given.get("watch"), given.get("resource")
    object_id, previous = given.get("objectId"), given.get("previous")
    event = given.get("event")
    if not isinstance(watch, (dict, str)):
        faults.append(FieldError("/watch", "must be a registration, or the id of a watch"))
    if event is not None and (not isinstance(event, str) or event not in set(Event)):
        faults.append(FieldError("/event", f"must be one of {', '.join(Event)}"))
    if not isinstance(resource, (dict, type(None))):
        faults.append(FieldError("/resource", "must be an object"))
    if not isinstance(previous, (dict, type(None))):
        faults.append(FieldError("/previous", "must be an object"))
    if not isinstance(object_id, (str, type(None))):
        faults.append(FieldError("/objectId", "must be a string"))
    if (resource is None) == (object_id is None):
        faults.append(FieldError("/resource", "either resource or objectId must be given, and not both"))
    if faults:
        raise Invalid.of(faults)
    return Asked(given["watch"], None if event is None else Event(event), resource, object_id, previous)


def event(watch: Watch, asked: Asked) -> Event:
    """The event that is asked about. Raises Invalid for one that such a watch never hears."""
    known = NOTICES if watch.object_type == WATCH else CHANGES
    if asked.event is None:
        return Event.FAILING if known is NOTICES else Event.UPDATED
    if asked.event not in (*known, Event.TEST):
        raise Invalid.at("/event", f"must be one of {', '.join((*known, Event.TEST))} for {watch.object_type}")
    return asked.event


def change(
    watch: Watch,
    rtype: TypeInfo,
    asked: Asked,
    diff: Callable[[Document, Document], list[Document]],
    now: int,
) -> Change:
    """The change that is asked about, whose ``resource`` is given or was found.

    An update without ``previous`` is shown as one that changed nothing.
    """
    resource, kind = asked.resource or {}, event(watch, asked)
    before: Document | None = asked.previous if asked.previous is not None else resource
    after: Document | None = resource
    if kind is Event.CREATED or kind in NOTICES:
        before = None
    elif kind is Event.DELETED:
        before, after = resource, None
    return Change(
        id=ids.new("chg", now),
        tenant=watch.tenant,
        type=rtype.name,
        object_id=asked.object_id or str(_member(resource, rtype.identity[0])),
        event=kind,
        version=1 if before is None else 2,
        time=now,
        before=before,
        after=after,
        diff=diff(before, after) if kind is Event.UPDATED and before is not None and after is not None else [],
        source=rtype.collection,
    )


def unheard(watch: Watch, change: Change, in_order: fields.InOrder) -> list[FieldError]:
    """Why the watch would not be told of this change; nothing if it would."""
    why = []
    if watch.status is WatchStatus.DISABLED:
        why.append(FieldError("/watch/status", "it is disabled: no change is sent"))
    if watch.object_id not in {None, change.object_id}:
        why.append(FieldError("/watch/objectId", f"a change of {change.object_id} is not sent: it is another resource"))
    if change.event not in watch.events and change.event is not Event.TEST:
        why.append(FieldError("/watch/events", f"{change.event} is not among them: this change is not sent"))
    paths = fields.compile(watch.fields or ())
    if paths and change.event is Event.UPDATED and not fields.Comparison(change, in_order).touches(paths):
        why.append(FieldError("/watch/fields", "none of them differs between previous and resource: this is not sent"))
    return why


def request(watch: Watch, change: Change, signing: Signing, now: int) -> Document:
    """``{method, address, headers, body}`` as they would be sent, secrets masked. Raises Invalid."""
    prepared = Prepared.of(watch)
    job = Job(ids.new("dlv", now), watch.id, change, None, 0, 0, single=True, body=None)
    authorization = None
    if watch.basic_auth is not None:
        authorization = authenticate.basic(watch.basic_auth)
    elif watch.oauth2 is not None:
        authorization = "Bearer"  # no token is fetched for a preview, and it would be masked anyway
    try:
        made = attempt.request(job, prepared, attempt.body(job, prepared), signing, authorization, now)
    except RenderError as error:
        raise errors.Invalid.at("/watch", error.detail) from error
    headers: Document = dict(masking.headers(made.headers, prepared.secrets, watch.headers.keys()))
    body = None if made.body is None else made.body.decode()
    return {"method": made.method, "address": made.url, "headers": headers, "body": body}


def example(rtype: TypeInfo, object_id: str | None) -> Document:
    """A document that the type's schema would take, for a test before there is any resource."""
    made = _example(rtype.schema, DEEPEST)
    document = made if isinstance(made, dict) else {}
    return _with(document, rtype.identity[0].split("."), object_id or "example")


def _with(document: Document, path: list[str], value: Json) -> Document:
    name, *rest = path
    inner = document.get(name)
    return {**document, name: _with(inner if isinstance(inner, dict) else {}, rest, value) if rest else value}


def _example(schema: Any, depth: int) -> Json:
    if not isinstance(schema, dict) or depth == 0:
        return None
    for name in ("const", "default"):
        if name in schema:
            return schema[name]  # type: ignore[no-any-return]
    for name in ("examples", "enum"):
        if schema.get(name):
            return schema[name][0]  # type: ignore[no-any-return]
    kind = schema.get("type")
    kind = kind[0] if isinstance(kind, list) else kind
    if kind == "object" or "properties" in schema:
        members = schema.get("properties", {}).items()
        return {name: _example(inner, depth - 1) for name, inner in members if not _withheld(inner)}
    if kind == "array":
        return [_example(schema.get("items", {}), depth - 1)]
    plain: dict[Any, Json] = {"string": "example", "integer": 1, "number": 1, "boolean": True}
    return plain.get(kind)


def _withheld(schema: Any) -> bool:
    return isinstance(schema, dict) and bool(schema.get("writeOnly"))


def _member(document: Document, dotted: str) -> Json:
    value: Json = document
    for name in dotted.split("."):
        value = value.get(name) if isinstance(value, dict) else None
    return value
