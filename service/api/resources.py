"""Our own face of every type: list, get, push and delete under ``/api/v1/resources/{type}``."""

from __future__ import annotations

from aiohttp import web

from service import access, clock, errors, jsontext
from service.api import answers, etags
from service.api.call import Call, page
from service.changes import operations
from service.changes.intake import PUSHED, Write
from service.changes.types import ResourceType
from service.model import Document
from service.store import resources
from service.store.resources import Stored


async def list_(call: Call) -> web.Response:
    """Every resource of a type that is there, in the order of ids."""
    rtype = find_type(call, "list")
    call.only({"cursor", "limit"})
    limit = call.limit()
    found = await resources.page(call.services.store, call.tenant, rtype.name, call.cursor(), limit + 1)
    last = found[limit - 1].id if len(found) > limit else None
    return answers.ok(page([shown(stored) for stored in found[:limit]], last))


async def get(call: Call) -> web.Response:
    """One resource; 404 once it is deleted."""
    rtype = find_type(call, "get")
    stored = await resources.one(call.services.store, call.tenant, rtype.name, call.part("id"))
    if stored is None or stored.document is None:
        raise errors.NotFound(f"there is no {rtype.name} {call.part('id')}")
    return etags.answered(call.request, answers.ok(shown(stored)), stored.version)


async def push(call: Call) -> web.Response:
    """The full current document of a resource, as somebody else holds it: 201 when it is new, else 200."""
    rtype = find_type(call, "push")
    object_id = call.part("id")
    document = operations.push(rtype, object_id, await call.json())
    asked = etags.conditions(call.request)
    written = await call.services.intake.write(
        Write(
            rtype,
            call.tenant,
            object_id,
            lambda _current: document,
            PUSHED,
            check=None if asked is None else asked.check,
        )
    )
    answer = answers.ok(shown(written.stored), 201 if written.created else 200)
    return etags.tagged(answer, written.stored.version)


async def delete(call: Call) -> web.Response:
    """Delete one; what watches are told is its last version."""
    rtype = find_type(call, "delete")
    asked = etags.conditions(call.request)
    check = None if asked is None else asked.check_existing
    await call.services.intake.write(
        Write(rtype, call.tenant, call.part("id"), lambda _current: None, PUSHED, check=check)
    )
    return answers.nothing()


def shown(stored: Stored) -> Document:
    """A resource as our face shows it."""
    return {
        "id": stored.id,
        "version": stored.version,
        "updated": clock.rfc3339(stored.updated),
        "deleted": stored.document is None,
        "resource": None if stored.text is None else jsontext.written(stored.text),
    }


def find_type(call: Call, operation: str) -> ResourceType:
    """The type in the path; NotFound, or Forbidden when its permissions do not grant the operation."""
    name = call.part("type")
    rtype = call.services.types.get(name)
    if rtype is None:
        raise errors.NotFound(f"there is no resource type {name}; known are {', '.join(call.services.types)}")
    access.require(call.principal, rtype.permissions[operation], f"{operation} of {name}")
    return rtype
