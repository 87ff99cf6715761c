"""How far a sweep is, and what follows from what. Values in, values out: ``turn`` does what is decided here.

    IDLE -> READING -> READ -> DELETING -> IDLE     a full sweep
                    -> READ -> AGAIN -> DELETING    ... of several pages, in which something was missing
    IDLE -> READING -> READ -> IDLE                 an incremental one: it cannot tell what is gone

A list that is read page by page is no photograph. While we read, an item that is deleted, or sorted elsewhere,
moves others over the border of two pages, and one that moves towards the beginning is never shown. So what a
full sweep of several pages misses is looked for once more, over all pages, before it counts as gone.

Where an incremental sweep may begin is told by the first page of the sweep before it: everything on it was
updated before it was asked for, so that whatever is updated afterwards is not older than the newest of it. (The
newest of the later pages would be too new: what was updated meanwhile, on pages that were read already, is older.)
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from service import clock
from service.changes import snapshot
from service.changes.poll.source import Source
from service.changes.poll.upstream import Refusal
from service.delivery import retry
from service.model import Document

TRIES = (1.0, 5.0, 20.0)  # seconds before a page is asked for again; then the sweep has failed
FRESH = 3_600_000  # ms: a sweep that stopped is gone on with that long, or for two intervals; then it begins anew
MOST_PAGES = 100_000  # of one sweep
COUNTERS = {  # of a sweep, as they are shown
    "pages": "pages",
    "seen": "seen",
    "created": "created",
    "updated": "updated",
    "deleted": "deleted",
    "held": "heldDeletions",
    "overtaken": "overtaken",
    "nameless": "withoutIdentity",
    "unreadable": "unreadable",
    "faulty": "schemaFaults",
    "refused": "refused",
}


class Stage(StrEnum):
    """What a sweep is at."""

    IDLE = "idle"  # nothing is under way
    READING = "reading"
    READ = "read"  # every page
    AGAIN = "again"  # reading a second time: something was missing
    DELETING = "deleting"  # what was missing then, too


AFTER = {Stage.READING: Stage.READ, Stage.AGAIN: Stage.DELETING}  # the last page


@dataclass(frozen=True, slots=True)
class Sweep:
    """The sweep under way or the last one, and what the next one must know of those before."""

    stage: Stage = Stage.IDLE
    full: bool = True  # reads everything
    failed: bool = False  # the last one did not come to its end; its place is kept
    started: int | None = None  # ms
    finished: int | None = None
    url: str | None = None  # of the page to read next
    snapshot: str | None = None  # id of what it has seen
    read_at: int | None = None  # when the last page was read
    tries: int = 0  # of the page to read next, that failed
    pages: int = 0
    seen: int = 0
    created: int = 0
    updated: int = 0
    deleted: int = 0
    overtaken: int = 0  # older than what is stored: passed over
    nameless: int = 0  # records without a usable identity
    unreadable: int = 0  # records that hold what cannot be kept
    faulty: int = 0  # records that break the schema
    refused: int = 0  # records whose identity belongs to another resource
    fault: str | None = None  # the last of these, in words
    error: str | None = None  # why it failed, waits, or could not delete
    mark: int | None = None  # ms, on the upstream's clock: the newest of this sweep's first page
    watermark: int | None = None  # the same of the last one that was completed: where an incremental one begins
    baseline: bool = False  # a full sweep was completed: what is new from now on is told
    last_full: int | None = None  # when the last one that was completed began
    outage: bool = False  # the upstream has failed since the last one that was completed
    held: int = 0  # deletions that wait for a confirmation
    held_snapshot: str | None = None  # which sweep did not see them

    @property
    def reading(self) -> bool:
        """Whether a page is to be read."""
        return self.stage in (Stage.READING, Stage.AGAIN)


def load(document: Mapping[str, Any]) -> Sweep:
    """The sweep that ``store`` wrote; what this version does not know is left out."""
    names = {field.name for field in dataclasses.fields(Sweep)}
    known = {name: value for name, value in document.items() if name in names}
    return Sweep(**{**known, "stage": Stage(known.get("stage", Stage.IDLE))})


def store(sweep: Sweep) -> Document:
    """The sweep as it is stored."""
    return dataclasses.asdict(sweep)


def show(sweep: Sweep, *, running: bool) -> Document:
    """The sweep as answers show it; ``running``: a process is at it now."""
    times = {"started": sweep.started, "finished": sweep.finished}
    return {
        "state": _state(sweep, running=running),
        "full": sweep.full,
        **{name: None if at is None else clock.rfc3339(at) for name, at in times.items()},
        **{shown: getattr(sweep, name) for name, shown in COUNTERS.items()},
        "lastFault": sweep.fault,
        "lastError": sweep.error,
    }


def _state(sweep: Sweep, *, running: bool) -> str:
    if sweep.failed:
        return "failed"
    if sweep.stage is not Stage.IDLE:
        return "running" if running else "waiting"
    if sweep.held:
        return "held"
    return "pending" if sweep.finished is None else "completed"


# Beginning


def goes_on(sweep: Sweep, source: Source, now: int) -> bool:
    """Whether there is a sweep to go on with."""
    if sweep.stage is Stage.IDLE or sweep.snapshot is None:
        return False
    since = sweep.read_at if sweep.read_at is not None else sweep.started or 0
    return now - since <= max(FRESH, 2000 * source.interval)


def is_full(sweep: Sweep, source: Source, now: int, *, incremental: bool, asked: bool) -> bool:
    """Whether the next sweep must read everything."""
    if asked or not incremental or not sweep.baseline or sweep.watermark is None or sweep.last_full is None:
        return True
    return now - sweep.last_full >= 1000 * source.full_every


def begin(sweep: Sweep, now: int, url: str, snapshot_id: str, *, full: bool) -> Sweep:
    """A new one; what is known of those before is kept."""
    return Sweep(
        stage=Stage.READING,
        full=full,
        started=now,
        url=url,
        snapshot=snapshot_id,
        error=sweep.error,
        watermark=sweep.watermark,
        baseline=sweep.baseline,
        last_full=sweep.last_full,
        outage=sweep.outage,
        held=sweep.held,
        held_snapshot=sweep.held_snapshot,
    )


# Reading


def took(sweep: Sweep, now: int, next_url: str | None, *, mark: int | None) -> Sweep:
    """A page was read. ``mark``: the newest update on it, on the upstream's clock."""
    first = sweep.pages == 0
    return dataclasses.replace(
        sweep,
        stage=sweep.stage if next_url is not None else AFTER[sweep.stage],
        url=next_url,
        pages=sweep.pages + 1,
        read_at=now,
        tries=0,
        mark=mark if first else sweep.mark,
    )


def reads_again(sweep: Sweep, missing: int) -> bool:
    """Whether what a full sweep has missed may have slipped from one page to another."""
    return sweep.stage is Stage.READ and sweep.full and sweep.pages > 1 and missing > 0


def read_again(sweep: Sweep, url: str) -> Sweep:
    """From the first page."""
    return dataclasses.replace(sweep, stage=Stage.AGAIN, url=url)


@dataclass(frozen=True, slots=True)
class Wait:
    """A sweep that can do nothing now."""

    sweep: Sweep
    due: int  # ms: when to look at it again
    hold_until: int = 0  # ms: when the upstream may be asked again at the earliest


def hold(sweep: Sweep, until: int) -> Wait:
    """The rate limit is used up."""
    return Wait(sweep, until, until)


def refuse(sweep: Sweep, source: Source, refusal: Refusal, now: int, jitter: float) -> Wait:
    """A page could not be had: ask again soon, or when the upstream says, or at the next interval."""
    # Who is told to wait, waits: that is no failure, and a rate limit is no outage.
    limited = refusal.status == 429
    sweep = dataclasses.replace(sweep, outage=sweep.outage or not limited)
    if refusal.not_before is not None and not refusal.final:
        until = refusal.not_before
        said = f"{refusal.detail}; the upstream asks to wait until {clock.rfc3339(until)}"
        return Wait(dataclasses.replace(sweep, error=said, failed=False), until, until)
    soon = None if refusal.final else retry.next_attempt(TRIES, sweep.tries + 1, now, jitter)
    if soon is not None:
        waiting = dataclasses.replace(sweep, error=refusal.detail, tries=sweep.tries + 1, failed=False)
        return Wait(waiting, soon)
    failed = dataclasses.replace(sweep, error=refusal.detail, tries=0, failed=True, finished=now)
    return Wait(failed, next_due(source, sweep.started, now, jitter))


# Ending


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether what a full sweep has missed is deleted."""

    delete: bool
    held: int = 0  # how many wait for a confirmation instead
    why_not: str | None = None  # for an operator


def judge(sweep: Sweep, source: Source, missing: int, total: int) -> Verdict:
    """What becomes of the resources that a complete sweep did not show; ``total``: all that are its to delete."""
    if missing == 0:
        return Verdict(delete=False)
    if sweep.nameless:
        records = f"{sweep.nameless} record{'s' * (sweep.nameless > 1)}"
        return Verdict(delete=False, why_not=f"{records} had no usable id and may be any of {missing} that are missing")
    if sweep.outage and missing == total:
        why = f"nothing was shown after the upstream had failed: {missing} deletions wait for a confirmation"
        return Verdict(delete=False, held=missing, why_not=why)
    if snapshot.too_many(missing, total, source.max_delete_share):
        share = f"{source.max_delete_share * 100:g} %"
        why = f"{missing} of {total} resources are missing, more than {share}: their deletion waits for a confirmation"
        return Verdict(delete=False, held=missing, why_not=why)
    return Verdict(delete=True)


def complete(sweep: Sweep, now: int, verdict: Verdict, deleted: int) -> Sweep:
    """A sweep that read every page."""
    ended = dataclasses.replace(
        sweep,
        stage=Stage.IDLE,
        failed=False,
        finished=now,
        url=None,
        snapshot=None,
        deleted=sweep.deleted + deleted,
        error=verdict.why_not,
        watermark=sweep.watermark if sweep.mark is None or _is_wanting(sweep) else sweep.mark,
        outage=sweep.outage and not sweep.full and sweep.seen == 0,  # which does not say that all is well again
    )
    if not sweep.full:
        return ended
    return dataclasses.replace(
        ended,
        baseline=True,
        last_full=sweep.started,
        held=verdict.held,
        held_snapshot=sweep.snapshot if verdict.held else None,
    )


def _is_wanting(sweep: Sweep) -> bool:
    """Whether an incremental sweep could not take what it read: then the next one reads it again."""
    return not sweep.full and sweep.refused > 0


def confirmed(sweep: Sweep, deleted: int) -> Sweep:
    """What was held is deleted."""
    return dataclasses.replace(sweep, deleted=sweep.deleted + deleted, held=0, held_snapshot=None, error=None)


def next_due(source: Source, started: int | None, now: int, jitter: float) -> int:
    """When the next sweep begins: an interval after this one began, and up to 20 % more.

    So sources that were made together do not ask together for ever.
    """
    begun = started if started is not None else now
    return max(now, begun + round(source.interval * (1 + retry.JITTER * jitter) * 1000))
