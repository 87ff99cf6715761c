"""Replays: jobs that send deliveries of a watch again, or changes that were never queued for it."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

import orjson

from service.model import DeliveryStatus
from service.store import sql
from service.store.driver import Reader, Row, Transaction

Q = sql.beside(__file__)


class Phase(StrEnum):
    """What a replay is at, in this order."""

    PLAN = "plan"  # counting, and noting of which changes there are deliveries
    AGAIN = "again"  # sending ended deliveries once more
    MISSING = "missing"  # sending changes that were never queued


@dataclass(frozen=True, slots=True)
class Given:
    """A delivery that was given to be sent."""

    id: str
    attempts: int  # that had been made before


@dataclass(frozen=True, slots=True)
class Replay:
    """What a replay that is running has to do, and how far it is."""

    job_id: str
    tenant: str
    watch_id: str
    since: int | None  # ms; None: as far back as the log goes
    until: int  # ms
    statuses: frozenset[DeliveryStatus]  # of the ended deliveries that are sent again
    missing: bool  # whether changes are sent that were never queued
    phase: Phase = Phase.PLAN
    place: str = ""  # the last id that was dealt with in this phase
    under_way: tuple[Given, ...] = ()
    step: int = 0  # how often it was written


async def insert(transaction: Transaction, replay: Replay) -> None:
    """Write a new one down."""
    await transaction.fetch(
        Q.insert,
        {
            **_state(replay),
            "tenant": replay.tenant,
            "watch_id": replay.watch_id,
            "since": replay.since,
            "until": replay.until,
            "statuses": orjson.dumps(sorted(replay.statuses)).decode(),
            "missing": int(replay.missing),
        },
    )


async def save(transaction: Transaction, replay: Replay) -> bool:
    """How far it is now; False when another process has written it since, and nothing may follow from this one."""
    return bool(await transaction.fetch(Q.save, _state(replay)))


async def give(transaction: Transaction, replay: Replay) -> None:
    """What is under way now, in the transaction that has saved it."""
    state = _state(replay)
    await transaction.fetch(Q.give, {name: state[name] for name in ("job_id", "under_way")})


async def remove(transaction: Transaction, job_id: str) -> None:
    """It has ended."""
    await transaction.fetch(Q.remove, {"job_id": job_id})


async def everyone(reader: Reader) -> list[Replay]:
    """Those that are running."""
    return [_replay(row) for row in await reader.fetch(Q.all)]


async def one(reader: Reader, job_id: str) -> Replay | None:
    """One that is running, or None once it has ended."""
    rows = await reader.fetch(Q.one, {"job_id": job_id})
    return _replay(rows[0]) if rows else None


async def see(transaction: Transaction, job_id: str, change_ids: Iterable[str]) -> None:
    """Note that there are deliveries of these changes."""
    await transaction.many(Q.see, [{"job_id": job_id, "change_id": change_id} for change_id in change_ids])


async def forget(transaction: Transaction, job_id: str, limit: int) -> int:
    """Drop some of what was noted; how many that were."""
    return len(await transaction.fetch(Q.forget, {"job_id": job_id, "limit": limit}))


async def left_over(reader: Reader) -> list[str]:
    """Jobs that have ended, of which notes are left."""
    return [row["job_id"] for row in await reader.fetch(Q.left_over)]


async def deliveries(reader: Reader, watch_id: str, after: str, before: str, limit: int) -> list[Row]:
    """The next deliveries of a watch between two ids: id, change_id, object_event, status."""
    return await reader.fetch(Q.deliveries, {"watch_id": watch_id, "after": after, "before": before, "limit": limit})


async def changes(reader: Reader, job_id: str, after: str, before: str, limit: int) -> list[Row]:
    """The next changes of everybody between two ids: id, tenant, type, object_id, event; ``seen`` is null if missing."""
    return await reader.fetch(Q.changes, {"job_id": job_id, "after": after, "before": before, "limit": limit})


async def is_telling(reader: Reader, tenant: str, before: str) -> bool:
    """Whether a change with an id below this one is still being told to its watches."""
    return bool(await reader.fetch(Q.telling, {"tenant": tenant, "before": before}))


async def progress(reader: Reader, ids: Collection[str]) -> list[Row]:
    """How deliveries stand that were given to be sent: id, status, attempts, due; one that is gone has no row."""
    return await reader.fetch(Q.progress, {"ids": orjson.dumps(list(ids)).decode()}) if ids else []


async def behind(reader: Reader, lanes: Sequence[tuple[str, str, int]]) -> set[tuple[str, int]]:
    """Of watches, lanes and versions: the lanes and versions that have to wait for an earlier version."""
    if not lanes:
        return set()
    asked = [(watch_id, lane, str(version)) for watch_id, lane, version in lanes]
    rows = await reader.fetch(Q.behind, {"lanes": orjson.dumps(asked).decode()})
    return {(row["lane"], int(row["version"])) for row in rows}


def _state(replay: Replay) -> dict[str, object]:
    return {
        "job_id": replay.job_id,
        "phase": replay.phase,
        "place": replay.place,
        "under_way": orjson.dumps([(given.id, given.attempts) for given in replay.under_way]).decode(),
        "step": replay.step,
    }


def _replay(row: Row) -> Replay:
    return Replay(
        job_id=row["job_id"],
        tenant=row["tenant"],
        watch_id=row["watch_id"],
        since=row["since"],
        until=row["until"],
        statuses=frozenset(DeliveryStatus(status) for status in orjson.loads(row["statuses"])),
        missing=bool(row["missing"]),
        phase=Phase(row["phase"]),
        place=row["place"],
        under_way=tuple(Given(*pair) for pair in orjson.loads(row["under_way"])),
        step=row["step"],
    )
