"""The deliveries: queue and log in one table.

Lease and fence. A delivery that is handed to a worker carries that worker's id and a *fence*, a number that
goes up each time it changes hands. The worker sends, then settles: its outcome is written only where the
fence is still the one it was given. A process that is killed leaves rows with its id behind; whoever takes
over clears the id and raises the fence, so that the row is sent again, and a late outcome of the first
holder, should it live after all, finds another fence and changes nothing. So nothing is lost, nothing is
settled twice, and what may happen twice is only the sending, under the same ``webhook-id``. On SQLite the
lease behind it is the lock on the database file: the kernel ends it with the process, so the next one takes
over at once. Where several processes share a database, see ``replicas``.

Lanes. Deliveries of one watch and one resource form a lane. Only its head has a ``due`` time; the others
wait with none, cost nothing while they wait, and cannot be claimed by mistake. When the head has ended, the
same transaction gives the next its turn.
"""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence

import orjson

from service.model import Change, DeliveryStatus, Reason
from service.store import changes, resources, sql
from service.store.driver import Later, Reader, Row, Transaction
from service.values import value

Q = sql.beside(__file__)

Lane = tuple[str, str]  # watch id, resource id


@value
class NewDelivery:
    """A delivery to be written; ``worker`` is set when it is handed on in memory right after the commit."""

    id: str
    watch_id: str
    change: Change
    lane: str | None  # the resource's id, or None outside any order
    due: int | None  # None: an earlier one of its lane is pending
    worker: str | None
    single: bool = False  # one attempt only


@value
class Job:
    """A delivery in a worker's hands, under a fence."""

    id: str
    watch_id: str
    change: Change
    lane: str | None
    fence: int
    attempts: int  # made so far
    single: bool
    body: bytes | None  # as first rendered; None before the first attempt
    weight: int = 1  # what it takes in memory: see changes.weight


@value
class Attempt:
    """One exchange, as the log shows it: everything secret is masked already."""

    started: int
    duration: int
    method: str
    address: str
    request_headers: Mapping[str, str]
    status_code: int | None
    response_headers: Mapping[str, str]
    response_body: str
    reason: Reason | None
    error_message: str | None


@value
class Settlement:
    """What an attempt came to, and what follows from it."""

    job: Job
    attempt: Attempt
    body: str | None  # the rendered body, the first time it was rendered
    status: DeliveryStatus
    reason: Reason | None
    due: int | None  # the next attempt, while pending


@value
class Onward:
    """The deliveries that got their turn by a settlement."""

    _answer: Later

    def jobs(self) -> list[Job]:
        """Those that are in the worker's hands now; to be asked after the commit."""
        return [_job(row) for row in self._answer.rows]


async def insert(transaction: Transaction, deliveries: Sequence[NewDelivery], now: int) -> Later:
    """Write new deliveries and their first line of the journal.

    One whose lane has a pending delivery already waits behind it, whatever it says itself. The answer's rows, there
    after the commit, tell the ``id`` of each delivery and its ``due``, None where it waits.
    """
    placed = await transaction.many(
        Q.insert,
        [
            {
                "id": new.id,
                "tenant": new.change.tenant,
                "watch_id": new.watch_id,
                "change_id": new.change.id,
                "object_type": new.change.type,
                "object_id": new.change.object_id,
                "object_event": new.change.event,
                "version": new.change.version,
                "lane": new.lane,
                "due": new.due,
                "worker": new.worker,
                "single": int(new.single),
                "created": now,
            }
            for new in deliveries
        ],
    )
    await transaction.many(
        Q.journal, [{"id": new.id, "fence": None, "at": now, "kind": "created"} for new in deliveries]
    )
    return placed


async def claim(
    transaction: Transaction, watch_id: str, worker: str, now: int, limit: int
) -> tuple[list[Job], int | None]:
    """Take up to ``limit`` due deliveries of a watch, oldest first; and when the next after them is due."""
    rows = await transaction.fetch(Q.claim, {"watch_id": watch_id, "worker": worker, "now": now, "limit": limit})
    following = await transaction.fetch(Q.next_due, {"watch_id": watch_id})
    return await _jobs(transaction, [row["id"] for row in rows]), following[0]["due"]


async def settle(
    transaction: Transaction, settlements: Sequence[Settlement], onward: Container[str], worker: str, now: int
) -> Onward:
    """Write outcomes under their fences; the next jobs of the lanes that went on, already claimed.

    ``onward`` holds the ids of those watches whose next deliveries the worker takes; those of others get their
    turn, but wait in the table.
    """
    await transaction.many(  # first, so that nobody else can take them over before the rest is written
        Q.settle,
        [
            {
                "id": item.job.id,
                "fence": item.job.fence,
                "attempts": item.job.attempts + 1,
                "due": item.due,
                "reason": item.reason,
                "status": item.status,
            }
            for item in settlements
        ],
    )
    await transaction.many(Q.save_attempt, [_attempt_row(item) for item in settlements])
    await transaction.many(
        Q.journal, [{"id": item.job.id, "fence": item.job.fence, "at": now, "kind": "attempt"} for item in settlements]
    )
    lanes = {
        (item.job.watch_id, item.job.lane)
        for item in settlements
        if item.status is not DeliveryStatus.PENDING and item.job.lane is not None
    }
    if lanes:
        # Who writes one of these resources now, and finds a delivery of it pending, is waited for, and found here.
        ended = (item.job.change for item in settlements if (item.job.watch_id, item.job.lane) in lanes)
        await resources.hold(transaction, ((change.tenant, change.type, change.object_id) for change in ended))
    ours = [lane for lane in lanes if lane[0] in onward]
    await _advance(transaction, [lane for lane in lanes if lane[0] not in onward], None, now)
    await _advance(transaction, ours, worker, now)
    taken = {"lanes": orjson.dumps(ours).decode(), "worker": worker, "now": now}
    return Onward(await transaction.later(Q.advanced, taken) if ours else Later())


async def release(transaction: Transaction, worker: str, ids: Sequence[str]) -> None:
    """Give claimed deliveries back unsent."""
    await transaction.fetch(Q.release, {"worker": worker, "ids": orjson.dumps(list(ids)).decode()})


async def free(transaction: Transaction, workers: Sequence[str]) -> int:
    """Free what these held, who are no more; how many that were."""
    return len(await transaction.fetch(Q.free, {"workers": orjson.dumps(list(workers)).decode()}))


async def take_over(transaction: Transaction, worker: str) -> None:
    """Free what every other worker holds: called by the one process that owns the database."""
    await transaction.fetch(Q.take_over, {"worker": worker})


async def backlog(reader: Reader) -> dict[str, int]:
    """Watches with claimable deliveries, and when the first of each is due."""
    return {row["watch_id"]: row["due"] for row in await reader.fetch(Q.backlog)}


async def cancel(transaction: Transaction, watch_id: str, now: int) -> None:
    """End everything that a watch has pending."""
    await transaction.fetch(Q.journal_cancel, {"watch_id": watch_id, "now": now})
    await transaction.fetch(Q.cancel, {"watch_id": watch_id})


async def again(transaction: Transaction, delivery_id: str, status: DeliveryStatus, now: int) -> None:
    """One more attempt: of an ended delivery outside its lane, of a pending one now instead of later."""
    query = Q.hurry if status is DeliveryStatus.PENDING else Q.again
    await transaction.fetch(query, {"id": delivery_id, "now": now})


async def take_again(transaction: Transaction, ids: Sequence[str], worker: str, now: int) -> list[Job]:
    """One more attempt of each that has ended, outside its lane, leased to a worker already."""
    if not ids:
        return []
    rows = await transaction.fetch(
        Q.take_again, {"ids": orjson.dumps(list(ids)).decode(), "worker": worker, "now": now}
    )
    taken = [row["id"] for row in rows]
    await transaction.fetch(Q.journal_again, {"ids": orjson.dumps(taken).decode(), "now": now})
    return await _jobs(transaction, taken)


async def journal_status(transaction: Transaction, delivery_id: str, fence: int, now: int) -> None:
    """A line of the journal for a change of status that is no attempt."""
    await transaction.many(Q.journal, [{"id": delivery_id, "fence": fence, "at": now, "kind": "status"}])


async def _advance(transaction: Transaction, lanes: Sequence[Lane], worker: str | None, now: int) -> None:
    if lanes:
        await transaction.later(Q.advance, {"lanes": orjson.dumps(lanes).decode(), "worker": worker, "now": now})


async def _jobs(reader: Reader, ids: Sequence[str]) -> list[Job]:
    if not ids:
        return []
    rows = await reader.fetch(Q.jobs, {"ids": orjson.dumps(list(ids)).decode()})
    return [_job(row) for row in rows]


def _job(row: Row) -> Job:
    return Job(
        id=row["id"],
        watch_id=row["watch_id"],
        change=changes.from_row(row),
        lane=row["lane"],
        fence=row["fence"],
        attempts=row["attempts"],
        single=bool(row["single"]),
        body=None if row["body"] is None else row["body"].encode(),
        weight=changes.weight(row),
    )


def _attempt_row(item: Settlement) -> dict[str, object]:
    attempt = item.attempt
    return {
        "id": item.job.id,
        "fence": item.job.fence,
        "number": item.job.attempts + 1,
        "started": attempt.started,
        "duration": attempt.duration,
        "method": attempt.method,
        "address": attempt.address,
        "request_headers": orjson.dumps(dict(attempt.request_headers)).decode(),
        "body": item.body,
        "status_code": attempt.status_code,
        "response_headers": orjson.dumps(dict(attempt.response_headers)).decode(),
        "response_body": attempt.response_body,
        "reason": attempt.reason,
        "error_message": attempt.error_message,
    }
