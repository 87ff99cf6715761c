"""Jobs over HTTP: work that takes longer than a call, and how far it is."""

from __future__ import annotations

from aiohttp import web

from service import clock, errors
from service.api import answers
from service.api.call import Call, page
from service.model import Document
from service.store import jobs
from service.store.jobs import Job


async def list_(call: Call) -> web.Response:
    """The tenant's jobs, newest first."""
    call.only({"cursor", "limit"})
    limit = call.limit()
    found = await jobs.page(call.services.store, call.tenant, call.cursor() or None, limit + 1)
    last = found[limit - 1].id if len(found) > limit else None
    return answers.ok(page([shown(job) for job in found[:limit]], last))


async def get(call: Call) -> web.Response:
    """One job."""
    job = await jobs.one(call.services.store, call.tenant, call.part("id"))
    if job is None:
        raise errors.NotFound(f"there is no job {call.part('id')}; those that ended long ago are forgotten")
    return answers.ok(shown(job))


def shown(job: Job) -> Document:
    """A job as everyone sees it."""
    return {
        "id": job.id,
        "kind": job.kind,
        "state": job.state,
        "detail": job.detail,
        "done": job.done,
        "total": job.total,
        "started": clock.rfc3339(job.started),
        "finished": None if job.finished is None else clock.rfc3339(job.finished),
        **job.result,
    }
