"""One process at work at one source: page after page, until the sweep is over or has a reason to wait.

After each page its place is written down. A turn that is cut off there has lost nothing: the page may be read
again, and what it shows is there already.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from service import clock
from service.changes.dialects import DIALECTS
from service.changes.poll import records, sweep
from service.changes.poll.records import Records
from service.changes.poll.source import Source
from service.changes.poll.sweep import Stage, Sweep, Verdict, Wait
from service.changes.poll.upstream import Reading, Refusal, Upstream
from service.changes.snapshot import Counts, Snapshots
from service.changes.types import ResourceType, collection_url
from service.model import Document
from service.store import resources, snapshots, sources
from service.store.driver import Transaction
from service.store.snapshots import SnapshotRow
from service.store.sources import End, SourceRow
from service.store.store import Store

log = logging.getLogger(__name__)

AT_ONCE = 100  # records that are taken in by one transaction
READ_AT_ONCE = 25  # records that are read before others may use the event loop
MOST_REFUSED = 1000  # records that are tried again at the end of a sweep, when deletions have freed identities
FORGOTTEN = frozenset({400, 404, 410, 422})  # how upstreams refuse the URL of a page that they gave long ago


class Lost(Exception):
    """It is not our turn any more: the source was changed, paused or deleted, or another process has it."""


@dataclass(frozen=True, slots=True)
class Means:
    """What a turn works with."""

    store: Store
    snapshots: Snapshots
    upstream: Upstream
    types: Mapping[str, ResourceType]
    now: Callable[[], int]
    jitter: Callable[[], float]


class Turn:
    """A claimed source. ``run`` it once."""

    def __init__(self, means: Means, row: SourceRow, source: Source, rtype: ResourceType) -> None:
        self._means = means
        self._row = row
        self._source = source
        self._rtype = rtype
        self._dialect = DIALECTS[rtype.dialect]
        self._sweep = sweep.load(row.sweep)
        self._snapshot: SnapshotRow | None = None
        self._refused: dict[str, tuple[Document, int]] = {}  # with the time at which it was asked for
        self._confirmed = row.confirmed

    async def run(self) -> End:
        """Go on with the sweep, or begin one; how the turn leaves the source. Raises Lost, Unavailable."""
        await self._conclude_held()
        resumed = self._sweep.failed and self._sweep.pages > 0  # from a place that may be forgotten upstream
        if not await self._resume():
            await self._begin()
        not_before = 0
        visited: set[str] = set()
        while self._sweep.reading:
            result = await self._next_page(visited)
            if isinstance(result, Refusal):
                if resumed and result.status in FORGOTTEN:
                    log.info("source %s begins anew: %s", self._source.id, result.detail)
                    await self._begin()
                    resumed = False
                    visited.clear()
                    continue
                return self._wait(sweep.refuse(self._sweep, self._source, result, self._now(), self._means.jitter()))
            resumed = False
            await self._take(result)
            not_before = result.not_before or 0
            if self._sweep.reading and self._now() < not_before:
                return self._wait(sweep.hold(self._sweep, not_before))
            if await self._reads_again():
                visited.clear()
        return await self._complete(not_before)

    # Beginning

    async def _resume(self) -> bool:
        """Whether there is a sweep to go on with."""
        found = None
        if sweep.goes_on(self._sweep, self._source, self._now()) and self._sweep.snapshot is not None:
            found = await snapshots.one(self._means.store, self._sweep.snapshot)
        if found is None or (found.finished is not None and self._sweep.reading):
            return False
        self._snapshot = found
        self._sweep = replace(self._sweep, failed=False)
        return True

    async def _begin(self) -> None:
        for former in await snapshots.left_over(self._means.store, self._source.origin):
            if former.id != self._sweep.held_snapshot:
                await self._means.snapshots.finish(former, self._rtype, delete=False)
        now = self._now()
        full = sweep.is_full(
            self._sweep, self._source, now, incremental=self._dialect.incremental, asked=self._row.asked
        )
        self._snapshot = await self._means.snapshots.begin(self._source.tenant, self._rtype, self._source.origin)
        url = self._first_page(since=None if full else self._sweep.watermark)
        self._sweep = sweep.begin(self._sweep, now, url, self._snapshot.id, full=full)
        await self._checkpoint(begins=full)

    def _first_page(self, since: int | None) -> str:
        url = collection_url(self._rtype, self._source.url)
        return self._dialect.first_page(url, None if since is None else clock.rfc3339(since))

    # Reading

    async def _next_page(self, visited: set[str]) -> Reading | Refusal:
        url = self._sweep.url or ""
        if url in visited:
            return Refusal("the pages lead in a circle: one was given as the next a second time", final=True)
        if self._sweep.pages >= sweep.MOST_PAGES:
            return Refusal(f"there are more than {sweep.MOST_PAGES} pages", final=True)
        visited.add(url)
        return await self._means.upstream.fetch(self._source, self._dialect, url)

    async def _take(self, reading: Reading) -> None:
        """Take a page in, a portion at a time, and write down that it was."""
        mark = records.newest(self._dialect, reading.elements)
        if mark is not None and reading.clock is not None:
            mark = min(mark, reading.clock)  # a time to come would hide everything until then
        known = set[str]()
        for start in range(0, len(reading.elements), AT_ONCE):
            found = Records()
            for first in range(start, min(start + AT_ONCE, len(reading.elements)), READ_AT_ONCE):
                few = reading.elements[first : min(first + READ_AT_ONCE, start + AT_ONCE)]
                found.add(records.read(self._rtype, self._dialect, few), known)
                await asyncio.sleep(0)
            counts = await self._take_portion(found, reading.asked_at)
            self._count(found, counts)
        self._sweep = sweep.took(self._sweep, self._now(), reading.next, mark=mark)
        await self._checkpoint()

    async def _take_portion(self, found: Records, asked_at: int) -> Counts:
        there = await resources.texts(
            self._means.store, [(self._source.tenant, self._rtype.name, each) for each in found.documents]
        )
        texts = {key[2]: stored.text for key, stored in there.items() if stored.text is not None}
        documents = records.steady(found.documents, texts)
        counts = await self._means.snapshots.take(
            self._begun,
            self._rtype,
            list(documents.items()),
            asked_at=asked_at,
            silent=self._silent,
            once=True,
            same=found.unreadable,
        )
        for object_id, why in counts.failures:
            log.info("source %s: %s is refused: %s", self._source.id, object_id, why)
            if len(self._refused) < MOST_REFUSED:
                self._refused[object_id] = documents[object_id], asked_at
        if self._sweep.held_snapshot is not None:  # what is shown is not missing there any more, either
            shown = {*documents, *found.unreadable}
            await self._means.store.submit(_mark, (self._sweep.held_snapshot, shown))
        return counts

    def _count(self, found: Records, counts: Counts) -> None:
        now = self._sweep
        again = now.stage is Stage.AGAIN  # what was wrong with it is counted already
        shown = len(found.documents) + len(found.unreadable) - len(counts.repeated)
        fault = counts.failures[-1] if counts.failures else None
        self._sweep = replace(
            now,
            seen=now.seen + shown - (len(found.unreadable) if again else 0),
            created=now.created + (0 if self._silent else counts.created),
            updated=now.updated + counts.updated,
            overtaken=now.overtaken + counts.overtaken,
            nameless=now.nameless + (0 if again else found.nameless),
            unreadable=now.unreadable + (0 if again else len(found.unreadable)),
            faulty=now.faulty + (0 if again else found.faulty),
            refused=now.refused + counts.failed,
            fault=f"{fault[0]}: {fault[1]}" if fault is not None else found.fault or now.fault,
        )

    async def _reads_again(self) -> bool:
        """Whether the pages are read a second time, since something was missing from them."""
        if self._sweep.stage is not Stage.READ or not self._sweep.full:
            return False
        missing = await self._means.snapshots.count_missing(self._begun)
        if not sweep.reads_again(self._sweep, missing):
            return False
        self._sweep = sweep.read_again(self._sweep, self._first_page(since=None))
        await self._checkpoint()
        return True

    # Ending

    async def _complete(self, not_before: int) -> End:
        """Every page was read: delete what is gone, if that may be."""
        verdict, deleted = Verdict(delete=False), 0
        if self._begun.finished is None:
            shown = await sources.count_seen(self._means.store, self._begun.id)
            self._sweep = replace(self._sweep, seen=shown)
        if self._sweep.full and self._begun.finished is None:  # else it ended, and this was cut off
            missing = await self._means.snapshots.count_missing(self._begun)
            total = await self._means.snapshots.total(self._begun)
            verdict = sweep.judge(self._sweep, self._source, missing, total)
        if self._begun.finished is None and not verdict.held:
            deleted = await self._means.snapshots.finish(self._begun, self._rtype, delete=verdict.delete)
        if self._sweep.full:
            await self._forget(self._sweep.held_snapshot)
        await self._try_refused_again()
        now = self._now()
        self._sweep = sweep.complete(self._sweep, now, verdict, deleted)
        await self._recount_held()
        log.info("source %s: swept: %s", self._source.id, _summary(self._sweep))
        due = sweep.next_due(self._source, self._sweep.started, now, self._means.jitter())
        return End(sweep.store(self._sweep), max(due, not_before), not_before, completed=True)

    async def _try_refused_again(self) -> None:
        """What came later, and what was deleted, may have freed the identities that they have been given upstream."""
        for object_id, (document, asked_at) in self._refused.items():
            portion = [(object_id, document)]
            counts = await self._means.snapshots.take(
                self._begun, self._rtype, portion, asked_at=asked_at, silent=self._silent
            )
            self._sweep = replace(
                self._sweep,
                created=self._sweep.created + (0 if self._silent else counts.created),
                updated=self._sweep.updated + counts.updated,
                refused=self._sweep.refused - 1 + counts.failed,
            )

    async def _conclude_held(self) -> None:
        """Do the deletions that an operator has confirmed."""
        if not self._confirmed:
            return
        held = await self._held()
        if held is not None and held.finished is None:  # else this was cut off when all was done
            deleted = await self._means.snapshots.finish(held, self._rtype, delete=True)
            self._sweep = sweep.confirmed(self._sweep, deleted)
            log.info("source %s: %d held deletions were confirmed", self._source.id, deleted)
        self._confirmed = False
        await self._checkpoint(concluded=True)

    async def _recount_held(self) -> None:
        """What was shown again is held no more."""
        held = await self._held()
        if held is None:
            return
        missing = await self._means.snapshots.count_missing(held)
        if missing:
            self._sweep = replace(self._sweep, held=missing)
        else:
            await self._forget(held.id)
            self._sweep = replace(self._sweep, held=0, held_snapshot=None)

    async def _held(self) -> SnapshotRow | None:
        held = self._sweep.held_snapshot
        return None if held is None else await snapshots.one(self._means.store, held)

    async def _forget(self, snapshot_id: str | None) -> None:
        """End a snapshot that nobody goes on with."""
        found = None if snapshot_id is None else await snapshots.one(self._means.store, snapshot_id)
        if found is not None and found.finished is None:
            await self._means.snapshots.finish(found, self._rtype, delete=False)

    # Writing down

    async def _checkpoint(self, *, begins: bool = False, concluded: bool = False) -> None:
        async def write(transaction: Transaction, documents: Sequence[Document]) -> list[bool | None]:
            return [
                await sources.checkpoint(
                    transaction, self._row.id, self._row.fence, document, begins=begins, concluded=concluded
                )
                for document in documents
            ]

        confirmed = await self._means.store.submit(write, sweep.store(self._sweep))
        if confirmed is None:
            raise Lost
        self._confirmed = confirmed
        await self._conclude_held()

    def _wait(self, wait: Wait) -> End:
        if wait.sweep.failed:
            log.warning("source %s: the sweep failed: %s", self._source.id, wait.sweep.error)
        return End(sweep.store(wait.sweep), wait.due, wait.hold_until, completed=False)

    @property
    def _silent(self) -> bool:
        """Whether this is the baseline: what it finds is no news."""
        return not (self._sweep.baseline or self._source.emit_initial)

    @property
    def _begun(self) -> SnapshotRow:
        if self._snapshot is None:
            raise RuntimeError("no sweep was begun")
        return self._snapshot

    def _now(self) -> int:
        return self._means.now()


async def _mark(transaction: Transaction, items: Sequence[tuple[str, set[str]]]) -> list[set[str]]:
    return [await snapshots.mark(transaction, snapshot_id, ids) for snapshot_id, ids in items]


def _summary(done: Sweep) -> str:
    counted = ((name, getattr(done, name)) for name in ("pages", *("seen", "created", "updated", "deleted", "held")))
    return ", ".join(f"{count} {name}" for name, count in counted if count)
