"""The vendor face of a type: its collection, its items and their operations, in its dialect."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

from aiohttp import web

from service import access, errors, ids, jsontext
from service.api import answers, watches
from service.api.call import Call
from service.changes import filters, operations
from service.changes.dialects import DIALECTS
from service.changes.intake import HOSTED, Write
from service.changes.types import Operation, ResourceType
from service.model import Document
from service.store import resources

PAGE = 200  # resources that a streamed list reads at once

Action = Callable[[Call, ResourceType, Operation], Awaitable[web.StreamResponse]]


async def collection(call: Call, rtype: ResourceType) -> web.StreamResponse:
    """An operation on the collection itself: list or insert."""
    return await _operate(call, rtype, rtype.collection_methods)


async def item(call: Call, rtype: ResourceType) -> web.StreamResponse:
    """An operation on one item, found by any of its identities."""
    return await _operate(call, rtype, rtype.item_methods)


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
    return await ACTIONS[operation.name](call, rtype, operation)


async def _list(call: Call, rtype: ResourceType, operation: Operation) -> web.StreamResponse:
    """Stream every item that passes the filters: a list of any length takes the memory of one page."""
    dialect = DIALECTS[rtype.dialect]
    passes = filters.compile(rtype, call.request.query)
    answer = web.StreamResponse(status=operation.status, headers={"Content-Type": dialect.media_type})
    found = await resources.page(call.services.store, call.tenant, rtype.name, "", PAGE)
    await answer.prepare(call.request)
    await answer.write(dialect.frame.prefix)
    first = True
    while found:
        chunk = bytearray()
        for stored in found:
            if stored.document is not None and passes(stored.document):
                chunk += b"" if first else dialect.frame.separator
                chunk += jsontext.dumps(dialect.element(stored.document))
                first = False
        if chunk:
            await answer.write(bytes(chunk))
        if len(found) < PAGE:
            break
        found = await resources.page(call.services.store, call.tenant, rtype.name, found[-1].id, PAGE)
    await answer.write(dialect.frame.suffix)
    await answer.write_eof()
    return answer


async def _get(call: Call, rtype: ResourceType, operation: Operation) -> web.StreamResponse:
    document = await find(call, rtype, call.part("item"))
    return _answer(rtype, document, operation)


async def _insert(call: Call, rtype: ResourceType, operation: Operation) -> web.StreamResponse:
    body = await _body(call, rtype)
    host = call.request.url.host or ""
    now = call.services.intake.now()

    def apply(_current: Document | None) -> Document:
        return operations.insert(rtype, body, now=now, new_id=ids.new, host=host)

    written = await call.services.intake.write(Write(rtype, call.tenant, None, apply, HOSTED))
    return _answer(rtype, written.document, operation)


async def _update(call: Call, rtype: ResourceType, operation: Operation) -> web.StreamResponse:
    body = await _body(call, rtype)
    return await _rewrite(
        call, rtype, operation, lambda current: operations.update(rtype, current, body, new_id=ids.new)
    )


async def _patch(call: Call, rtype: ResourceType, operation: Operation) -> web.StreamResponse:
    body = await _body(call, rtype)
    return await _rewrite(
        call, rtype, operation, lambda current: operations.patch(rtype, current, body, new_id=ids.new)
    )


async def _delete(call: Call, rtype: ResourceType, operation: Operation) -> web.StreamResponse:
    await call.services.intake.write(
        Write(rtype, call.tenant, call.part("item"), lambda _current: None, HOSTED, any_identity=True)
    )
    return answers.nothing(operation.status)


async def _rewrite(
    call: Call, rtype: ResourceType, operation: Operation, change: Callable[[Document], Document]
) -> web.StreamResponse:
    target = call.part("item")

    def apply(current: Document | None) -> Document:
        if current is None:
            raise _missing(rtype, target)
        return change(current)

    written = await call.services.intake.write(Write(rtype, call.tenant, target, apply, HOSTED, any_identity=True))
    return _answer(rtype, written.document, operation)


ACTIONS: dict[str, Action] = {
    "list": _list,
    "get": _get,
    "insert": _insert,
    "update": _update,
    "patch": _patch,
    "delete": _delete,
}


async def find(call: Call, rtype: ResourceType, target: str) -> Document:
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
    return stored.document


async def _body(call: Call, rtype: ResourceType) -> Document:
    return DIALECTS[rtype.dialect].body(await call.json())


def _answer(rtype: ResourceType, document: Document, operation: Operation) -> web.Response:
    dialect = DIALECTS[rtype.dialect]
    return answers.ok(dialect.item(document), operation.status, dialect.media_type)


def _missing(rtype: ResourceType, target: str) -> errors.NotFound:
    return errors.NotFound(f"there is no {rtype.name} {target}")
