"""The vendor face of a type: its collection, its items and their operations, in its dialect."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping

import orjson
from aiohttp import web

from service import access, errors, ids, jsontext
from service.api import answers, lists, watches
from service.api.call import Call
from service.changes import numbers, operations
from service.changes.dialects import DIALECTS
from service.changes.dialects.codec import Dialect, Face
from service.changes.intake import HOSTED, Write
from service.changes.listing import Found, Listing
from service.changes.types import Operation, ResourceType
from service.errors import FieldError
from service.model import Document, Json
from service.store import resources
from service.store.lists import Text
from service.store.resources import Stored

log = logging.getLogger(__name__)

Action = Callable[[Call, ResourceType, Operation], Awaitable[web.StreamResponse]]


async def collection(call: Call, rtype: ResourceType) -> web.StreamResponse:
    """An operation on the collection itself: list or insert."""
    return await _operate(call, rtype, rtype.collection_methods)


async def item(call: Call, rtype: ResourceType) -> web.StreamResponse:
    """An operation on one item, found by any of its identities."""
    return await _operate(call, rtype, rtype.item_methods)


async def nothing(call: Call, rtype: ResourceType) -> web.StreamResponse:
    """Whatever lies deeper."""
    raise errors.NotFound(f"there is nothing at {call.request.path}: an item of {rtype.name} has nothing below it")


async def watch(call: Call, rtype: ResourceType) -> web.StreamResponse:
    """Watch for changes of this type; plain JSON, whatever the dialect."""
    if call.request.method != "POST":
        raise errors.MethodNotAllowed(f"{call.request.method} is not taken here", ("POST",))
    access.require(call.principal, rtype.permissions["watch"], f"watching {rtype.name}")
    return await watches.register(call, rtype.name)


async def _operate(call: Call, rtype: ResourceType, methods: Mapping[str, Operation]) -> web.StreamResponse:
    operation = methods.get("GET" if call.request.method == "HEAD" else call.request.method)
    if operation is None:
        raise errors.MethodNotAllowed(f"{call.request.method} is not taken here", tuple(methods))
    access.require(call.principal, rtype.permissions[operation.name], f"{operation.name} of {rtype.name}")
    DIALECTS[rtype.dialect].negotiate(call.request.method, call.request.headers)
    return await ACTIONS[operation.name](call, rtype, operation)


async def _list(call: Call, rtype: ResourceType, operation: Operation) -> web.StreamResponse:
    dialect = DIALECTS[rtype.dialect]
    listing = dialect.listing(_face(call, rtype), call.request.query)
    scan = lists.Scan(call.services.store, call.tenant, rtype.name, listing.passes)
    if listing.window is None:
        return await _stream(call, dialect, listing, scan, operation.status)
    texts, found = await lists.page(scan, listing.window)
    body = bytearray(listing.prefix)
    for start in range(0, len(texts), lists.PORTION):
        body += (b"," if start else b"") + _written(listing, texts[start : start + lists.PORTION])
        await asyncio.sleep(0)  # a page may be long: let others have a turn
    body += listing.suffix(found)
    return web.Response(body=bytes(body), status=operation.status, content_type=dialect.media_type)


async def _stream(call: Call, dialect: Dialect, listing: Listing, scan: lists.Scan, status: int) -> web.StreamResponse:
    """A list without pages is written while it is read, so that one of any length takes the memory of a portion."""
    answer = web.StreamResponse(status=status, headers={"Content-Type": dialect.media_type})
    if call.request.method == "HEAD":
        await answer.prepare(call.request)
        return answer
    try:
        begun = False
        async for portion in scan.portions():
            chunk = _written(listing, portion)
            if not answer.prepared:  # only now: reading may have failed
                await answer.prepare(call.request)
                await answer.write(listing.prefix)
            if chunk:
                await answer.write(b"," + chunk if begun else chunk)
                begun = True
        await answer.write(listing.suffix(Found()))
        await answer.write_eof()
    except Exception:
        if not answer.prepared:
            raise
        # Half of a list is out: only a connection that breaks tells the reader that the rest will not come.
        log.exception("%s %s broke off", call.request.method, call.request.path)
        if call.request.transport is not None:
            call.request.transport.abort()
    return answer


def _written(listing: Listing, texts: Iterable[Text]) -> bytes:
    return b",".join(jsontext.dumps(listing.element(id_, orjson.loads(text))) for id_, text in texts)


async def _get(call: Call, rtype: ResourceType, operation: Operation) -> web.StreamResponse:
    answer = _answering(call, rtype, operation)
    stored = await find(call, rtype, call.part("item"))
    return answer(stored.id, stored.document or {})


async def _insert(call: Call, rtype: ResourceType, operation: Operation) -> web.StreamResponse:
    dialect, value = DIALECTS[rtype.dialect], await call.json()
    answering = _answering(call, rtype, operation)
    host = call.request.url.host or ""
    now = call.services.intake.now()

    def apply(_current: Document | None) -> Document:
        body = dialect.body(rtype, value, None)
        with _within(dialect.resource_pointer):
            return operations.insert(rtype, body, now=now, new_id=ids.new, new_number=numbers.new, host=host)

    written = await call.services.intake.write(Write(rtype, call.tenant, None, apply, HOSTED))
    answer = answering(written.stored.id, written.document)
    if operation.status == 201:
        answer.headers["Location"] = _face(call, rtype).url_of(written.stored.id)
    return answer


async def _update(call: Call, rtype: ResourceType, operation: Operation) -> web.StreamResponse:
    now = call.services.intake.now()
    return await _rewrite(
        call,
        rtype,
        operation,
        lambda current, body: operations.update(rtype, current, body, now=now, new_id=ids.new),
    )


async def _patch(call: Call, rtype: ResourceType, operation: Operation) -> web.StreamResponse:
    return await _rewrite(
        call, rtype, operation, lambda current, body: operations.patch(rtype, current, body, new_id=ids.new)
    )


async def _delete(call: Call, rtype: ResourceType, operation: Operation) -> web.StreamResponse:
    await call.services.intake.write(
        Write(rtype, call.tenant, call.part("item"), lambda _current: None, HOSTED, any_identity=True)
    )
    dialect = DIALECTS[rtype.dialect]
    body = dialect.deleted()
    return answers.nothing(operation.status) if body is None else answers.ok(body, operation.status, dialect.media_type)


async def _rewrite(
    call: Call, rtype: ResourceType, operation: Operation, change: Callable[[Document, Json], Document]
) -> web.StreamResponse:
    dialect, value = DIALECTS[rtype.dialect], await call.json()
    answer = _answering(call, rtype, operation)
    target = call.part("item")

    def apply(current: Document | None) -> Document:
        if current is None:
            raise _missing(rtype, target)
        body = dialect.body(rtype, value, current)
        with _within(dialect.resource_pointer):
            return change(current, body)

    written = await call.services.intake.write(Write(rtype, call.tenant, target, apply, HOSTED, any_identity=True))
    return answer(written.stored.id, written.document)


ACTIONS: dict[str, Action] = {
    "list": _list,
    "get": _get,
    "insert": _insert,
    "update": _update,
    "patch": _patch,
    "delete": _delete,
}


async def find(call: Call, rtype: ResourceType, target: str) -> Stored:
    """The item that has this identity, the id first; NotFound when there is none."""
    store = call.services.store
    stored = await resources.one(store, call.tenant, rtype.name, target)
    if stored is None or stored.document is None:
        asked = [(call.tenant, rtype.name, member, target) for member in rtype.identity[1:]]
        owners = await resources.owners(store, asked)
        owner = next((owners[key] for key in asked if key in owners), None)
        stored = await resources.one(store, call.tenant, rtype.name, owner) if owner is not None else None
    if stored is None or stored.document is None:
        raise _missing(rtype, target)
    return stored


def _face(call: Call, rtype: ResourceType) -> Face:
    base = call.services.settings.server.public_url or str(call.request.url.origin())
    return Face(rtype, base + rtype.collection, call.principal.role in rtype.permissions["update"])


def _answering(call: Call, rtype: ResourceType, operation: Operation) -> Callable[[str, Document], web.Response]:
    """What answers with an item; made before anything is written, since the query may be at fault."""
    dialect = DIALECTS[rtype.dialect]
    body = dialect.item(_face(call, rtype), call.request.query)
    return lambda id_, document: answers.ok(body(id_, document), operation.status, dialect.media_type)


@contextlib.contextmanager
def _within(pointer: str) -> Iterator[None]:
    """Let faults point into the body, in which the resource stands at this place."""
    try:
        yield
    except errors.Invalid as error:
        if not pointer:
            raise
        raise errors.Invalid.of(
            [FieldError(pointer + fault.pointer, fault.detail) for fault in error.errors]
        ) from error


def _missing(rtype: ResourceType, target: str) -> errors.NotFound:
    return errors.NotFound(f"there is no {rtype.name} {target}")
