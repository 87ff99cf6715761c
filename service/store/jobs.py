"""Jobs: work that takes longer than a call, how far it is, and what it came to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum

import orjson

from service.model import Document
from service.store import sql
from service.store.driver import Reader, Row, Transaction

Q = sql.beside(__file__)


class State(StrEnum):
    """Where a job stands; all but ``running`` are ends."""

    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"  # what it had done by then is done
    HELD = "held"  # it stopped before a step that somebody must confirm
    CANCELED = "canceled"  # somebody stopped it; what it had done by then is done


@dataclass(frozen=True, slots=True)
class Job:
    """One job. Of a tenant, a kind and a subject there is one at a time that runs."""

    id: str  # job_..., sortable by time
    tenant: str
    kind: str  # such as import
    subject: str  # what it works on, such as the name of a resource type
    started: int
    state: State = State.RUNNING
    done: int = 0  # how much of it
    total: int | None = None  # and of how much; None while that is unknown
    detail: str | None = None  # for a person: why it failed or is held, and how to go on
    result: Document = field(default_factory=dict)  # what its kind says besides
    finished: int | None = None
    worker: str | None = None  # whose it is: the job ends with that process


async def insert(transaction: Transaction, job: Job) -> None:
    """Write a new one down."""
    await transaction.fetch(Q.insert, _row(job))


async def save(transaction: Transaction, job: Job) -> None:
    """How far it is now, or how it ended; one that has ended stays as it is."""
    await transaction.fetch(Q.save, _row(job))


async def one(reader: Reader, tenant: str, job_id: str) -> Job | None:
    """One job of a tenant, or None."""
    rows = await reader.fetch(Q.one, {"tenant": tenant, "id": job_id})
    return _job(rows[0]) if rows else None


async def page(reader: Reader, tenant: str, before: str | None, limit: int) -> list[Job]:
    """The newest ``limit`` jobs of a tenant, or the next ones after the job ``before``."""
    return [_job(row) for row in await reader.fetch(Q.page, {"tenant": tenant, "before": before, "limit": limit})]


async def running(reader: Reader, tenant: str, kind: str, subject: str) -> Job | None:
    """The job that works on this now, or None."""
    rows = await reader.fetch(Q.running, {"tenant": tenant, "kind": kind, "subject": subject})
    return _job(rows[0]) if rows else None


async def abandon(
    transaction: Transaction, kind: str, detail: str, now: int, workers: Sequence[str] | None = None
) -> list[tuple[str, str]]:
    """Those of ``workers`` that run have failed, since nobody works on them any more; their tenants and subjects.

    None for the workers: all of them, for a process that is the only one.
    """
    gone = None if workers is None else orjson.dumps(list(workers)).decode()
    rows = await transaction.fetch(Q.abandon, {"kind": kind, "detail": detail, "now": now, "workers": gone})
    return [(row["tenant"], row["subject"]) for row in rows]


async def purge(transaction: Transaction, tenant: str, before_id: str) -> None:
    """Delete the ended ones that are older than this id."""
    await transaction.fetch(Q.purge, {"tenant": tenant, "before": before_id})


def _row(job: Job) -> dict[str, object]:
    return {
        "id": job.id,
        "tenant": job.tenant,
        "kind": job.kind,
        "subject": job.subject,
        "state": job.state,
        "done": job.done,
        "total": job.total,
        "detail": job.detail,
        "result": orjson.dumps(job.result).decode(),
        "started": job.started,
        "finished": job.finished,
        "worker": job.worker,
    }


def _job(row: Row) -> Job:
    return Job(
        id=row["id"],
        tenant=row["tenant"],
        kind=row["kind"],
        subject=row["subject"],
        started=row["started"],
        state=State(row["state"]),
        done=row["done"],
        total=row["total"],
        detail=row["detail"],
        result=orjson.loads(row["result"]),
        finished=row["finished"],
    )
