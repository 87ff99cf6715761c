"""Sources over HTTP: make, read, change and remove them, and what operators ask of their sweeps."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from aiohttp import web

from service import clock, errors
from service.api import answers
from service.api.call import Call, page
from service.changes.poll import spec
from service.changes.poll.keeper import Kept
from service.model import Document, Json


async def create(call: Call) -> web.Response:
    """A new source; its first sweep begins at once."""
    kept = await call.services.sources.create(call.tenant, await call.json())
    answer = answers.ok(_with_warnings(kept), 201)
    answer.headers["Location"] = f"/api/v1/sources/{kept.source.id}"
    return answer


async def list_(call: Call) -> web.Response:
    """The tenant's sources, in the order of ids."""
    call.only({"cursor", "limit"})
    limit = call.limit()
    found = await call.services.sources.page(call.tenant, call.cursor(), limit + 1)
    last = found[limit - 1].source.id if len(found) > limit else None
    return answers.ok(page([_shown(kept) for kept in found[:limit]], last))


async def get(call: Call) -> web.Response:
    """One source, without its secrets."""
    return answers.ok(_shown(await call.services.sources.get(call.tenant, call.part("id"))))


async def merge(call: Call) -> web.Response:
    """A PATCH: a JSON Merge Patch."""
    kept = await call.services.sources.merge(call.tenant, call.part("id"), await call.json())
    return answers.ok(_with_warnings(kept))


async def delete(call: Call) -> web.Response:
    """Remove a source; the resources that it has shown stay."""
    await call.services.sources.remove(call.tenant, call.part("id"))
    return answers.nothing()


async def pause(call: Call) -> web.Response:
    """Sweep it no more."""
    return await _ask(call, call.services.sources.pause, 200)


async def resume(call: Call) -> web.Response:
    """Sweep it again."""
    return await _ask(call, call.services.sources.resume, 200)


async def sweep(call: Call) -> web.Response:
    """A full sweep, now."""
    return await _ask(call, call.services.sources.sweep, 202)


async def confirm(call: Call) -> web.Response:
    """Do the deletions that are held."""
    return await _ask(call, call.services.sources.confirm, 202)


async def _ask(call: Call, ask: Callable[[str, str], Awaitable[Kept]], status: int) -> web.Response:
    if await call.optional_json() != {}:
        raise errors.Invalid.at("", "must be empty: this takes no members")
    return answers.ok(_shown(await ask(call.tenant, call.part("id"))), status)


def _with_warnings(kept: Kept) -> Document:
    warnings: list[Json] = [{"pointer": warning.pointer, "detail": warning.detail} for warning in kept.warnings]
    return {**_shown(kept), "warnings": warnings}


def _shown(kept: Kept) -> Document:
    due = kept.next_sweep
    return {
        **spec.show(kept.source),
        "nextSweep": None if due is None else clock.rfc3339(due),
        "sweep": kept.sweep,
    }
