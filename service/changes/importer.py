"""Importing a whole directory: newline-delimited JSON, one resource in each line, as a job.

Lines are committed in batches while the stream is read, so that an import of any length takes the memory of a
few batches, and what was committed stays whatever comes after. Only the end of the stream says that the
snapshot is complete. So deletions wait for it, and are not made at all when it did not come, or when a line
could not be read: nobody knows which resource that line would have shown.

A line whose identity belongs to another resource waits until the others are taken and the missing deleted: an
account that was made anew under another id has the user name of the one that is gone.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from contextlib import suppress
from dataclasses import replace

from service import errors, ids, jsontext
from service.changes import entries, ndjson
from service.changes.entries import Batch, Entry
from service.changes.intake import Intake
from service.changes.ndjson import BrokenOff, Line
from service.changes.snapshot import IMPORTED, Counts, Snapshots
from service.changes.tally import Tally, Terms
from service.changes.types import ResourceType
from service.store import jobs
from service.store.driver import Transaction
from service.store.jobs import Job, State
from service.store.snapshots import SnapshotRow
from service.store.store import Store

log = logging.getLogger(__name__)

KIND = "import"
TURN = 16 * 1024  # bytes that are read before others have their turn on the event loop
MOST_WAITING, WAITING_BYTES = 1000, 2 * 1024 * 1024  # lines whose identities belong to others
PROGRESS = 1000  # ms between two notes of how far a job is
KEPT = 30 * 24 * 3600 * 1000  # ms that a job can be looked up
AGAIN = "what was done by then stays; import the whole file again"
STOPPED = f"the service was stopped before its end: {AGAIN}"


class Importer:
    """Takes imports in."""

    def __init__(self, store: Store, intake: Intake) -> None:
        self._store = store
        self._snapshots = Snapshots(store, intake)
        self._now = intake.now

    async def recover(self, workers: Sequence[str] | None = None) -> None:
        """What processes that are no more were importing has failed; what they had taken stays.

        None for the workers: all but this one, which has imported nothing yet.
        """
        abandoned = await self._store.submit(_abandon, (self._now(), workers))
        if abandoned:
            log.warning("%d imports were cut off when the service stopped", len(abandoned))
        await self._snapshots.drop(IMPORTED, None if workers is None else abandoned)

    async def run(self, tenant: str, rtype: ResourceType, pieces: AsyncIterator[bytes], terms: Terms) -> Job:
        """Import a stream that comes in ``pieces``, which raise BrokenOff when it breaks; the job as it ended.

        Raises:
            Conflict: another import of this type is running; nothing was read.
            Unavailable: the database cannot take it; what was committed stays, and the job says so.
        """
        worker = self._store.lease.worker_id
        job = Job(ids.new("job", self._now()), tenant, KIND, rtype.name, self._now(), worker=worker)
        running = _Import(self._store, self._snapshots, self._now, job, rtype, terms)
        await running.begin()
        try:
            return await running.through(pieces)
        except BaseException as error:
            with suppress(errors.Unavailable):
                await running.end(State.FAILED, _why(error))
            raise


class _Import:
    """One import while it runs."""

    def __init__(
        self, store: Store, snapshots: Snapshots, now: Callable[[], int], job: Job, rtype: ResourceType, terms: Terms
    ) -> None:
        self._store = store
        self._snapshots = snapshots
        self._now = now
        self._job = job
        self._type = rtype
        self._terms = terms
        self._tally = Tally()
        self._noted = job.started  # when progress was last written down
        self._waiting: list[Entry] = []
        self._waiting_bytes = 0

    async def begin(self) -> None:
        """Write the job down, unless another one imports this type."""
        job = self._as_it_is()

        async def action(transaction: Transaction) -> None:
            other = await jobs.running(transaction, job.tenant, job.kind, job.subject)
            if other is not None:
                raise errors.Conflict(f"job {other.id} imports {job.subject} already: wait until it has ended")
            await jobs.purge(transaction, job.tenant, ids.floor("job", job.started - KEPT))
            await jobs.insert(transaction, job)

        await self._store.write(action)

    async def through(self, pieces: AsyncIterator[bytes]) -> Job:
        """The stream, then what follows from it."""
        tally, terms = self._tally, self._terms
        shot = await self._snapshots.begin(self._job.tenant, self._type, IMPORTED)
        tally.before = await self._snapshots.total(shot)
        await self._take_all(shot, pieces)
        if tally.is_whole(terms):
            tally.missing = await self._snapshots.count_missing(shot)
            if not tally.is_held(terms):
                tally.deleted = await self._snapshots.delete_missing(shot, self._type)
        await self._take_waiting(shot)
        await self._snapshots.finish(shot, self._type, delete=False)
        return await self.end(*tally.verdict(terms))

    async def end(self, state: State, detail: str | None) -> Job:
        """Write down how it ended."""
        job = self._as_it_is(held=state is State.HELD)
        total = job.done if self._tally.broken is None else None
        ended = replace(job, state=state, detail=detail, total=total, finished=self._now())
        await self._store.submit(_save, ended)
        log.info("import %s of %s: %s", job.id, job.subject, detail or state)
        return ended

    async def _take_all(self, shot: SnapshotRow, pieces: AsyncIterator[bytes]) -> None:
        """While a batch is committed the next one is read, and no further: a stream that is too fast waits."""
        committing: asyncio.Task[None] | None = None
        batch = Batch()
        try:
            async with asyncio.TaskGroup() as group:
                async for portion in self._portions(pieces):
                    async for entry in self._entries(shot, portion):
                        if not batch.add(entry):
                            self._complain_of_repeat(entry)
                    if batch.is_full:
                        if committing is not None:
                            await committing
                        committing = group.create_task(self._take(shot, batch))
                        batch = Batch()
        except* errors.WatchError as failed:
            raise failed.exceptions[0] from None
        await self._take(shot, batch)

    async def _portions(self, pieces: AsyncIterator[bytes]) -> AsyncIterator[list[Line]]:
        try:
            async for portion in ndjson.portions(pieces, self._terms.longest):
                yield portion
        except BrokenOff as error:
            self._tally.broken = str(error)

    async def _entries(self, shot: SnapshotRow, portion: list[Line]) -> AsyncIterator[Entry]:
        """What the lines hold; complaints about those that cannot be read."""
        same = await self._same(shot, portion) if self._tally.before else {}
        async for line in _in_turns(portion):
            self._tally.done += 1
            try:
                known = same.get(line.number)
                yield (
                    Entry(line.number, known, None, 0) if known else entries.read(self._type, line, self._terms.longest)
                )
            except errors.WatchError as error:
                self._tally.unread += 1
                fault = error.errors[0] if error.errors else errors.FieldError("", error.detail)
                # To its reader a line is a whole text, whose line is the first.
                self._tally.complain(line.number, fault.pointer, fault.detail.replace("(line 1, column", "(column"))

    async def _same(self, shot: SnapshotRow, portion: list[Line]) -> dict[int, str]:
        """The ids in those lines, by number, that say what is stored already."""
        glances = [
            (line.number, seen) async for line in _in_turns(portion) if (seen := entries.glance(self._type, line))
        ]
        stored = await self._snapshots.are_stored(shot, [seen for _, seen in glances])
        return {number: seen[0] for (number, seen), is_stored in zip(glances, stored, strict=True) if is_stored}

    async def _take(self, shot: SnapshotRow, batch: Batch) -> None:
        counts = await self._commit(shot, batch.entries.values(), once=True)
        for object_id in counts.repeated:
            self._complain_of_repeat(batch.entries[object_id])
        for object_id, detail in counts.failures:
            self._put_off(batch.entries[object_id], detail)
        if self._now() - self._noted >= PROGRESS:
            self._noted = self._now()
            await self._store.submit(_save, self._as_it_is())

    async def _commit(self, shot: SnapshotRow, taken: Collection[Entry], *, once: bool = False) -> Counts:
        documents = [(entry.id, entry.document) for entry in taken if entry.document is not None]
        same = [entry.id for entry in taken if entry.document is None]
        # Who writes a resource after the import began knows better: what the stream has of it may be older.
        counts = await self._snapshots.take(shot, self._type, documents, asked_at=shot.started, once=once, same=same)
        self._tally.counts.add(counts)
        return counts

    def _complain_of_repeat(self, entry: Entry) -> None:
        self._tally.unread += 1
        pointer = jsontext.pointer(*self._type.id_path)
        self._tally.complain(entry.line, pointer, f"{entry.id!r} stands in an earlier line, too: send it once")

    def _put_off(self, entry: Entry, detail: str) -> None:
        """Let it wait for what has its identity, if there is room."""
        if len(self._waiting) < MOST_WAITING and self._waiting_bytes + entry.size <= WAITING_BYTES:
            self._waiting.append(entry)
            self._waiting_bytes += entry.size
        else:
            self._refuse(entry, detail)

    async def _take_waiting(self, shot: SnapshotRow) -> None:
        """Try those again that wait, for as long as one of them makes way for another."""
        refusals: dict[str, str] = {}
        while self._waiting:
            refusals = {}
            for start in range(0, len(self._waiting), entries.DOCUMENTS):
                counts = await self._commit(shot, self._waiting[start : start + entries.DOCUMENTS])
                refusals |= dict(counts.failures)
            if len(refusals) == len(self._waiting):
                break
            self._waiting = [entry for entry in self._waiting if entry.id in refusals]
        for entry in self._waiting:
            self._refuse(entry, refusals[entry.id])

    def _refuse(self, entry: Entry, detail: str) -> None:
        self._tally.refused += 1
        self._tally.complain(entry.line, "", detail)

    def _as_it_is(self, *, held: bool = False) -> Job:
        return replace(self._job, done=self._tally.done, result=self._tally.result(self._type, held=held))


async def _in_turns(lines: Sequence[Line]) -> AsyncIterator[Line]:
    """The lines; every few of them the rest of the service has its turn on the event loop."""
    size = 0
    for line in lines:
        yield line
        size += line.size
        if size >= TURN:
            await asyncio.sleep(0)
            size = 0


def _why(error: BaseException) -> str:
    """Why an import failed, for whoever looks at its job."""
    if isinstance(error, asyncio.CancelledError):
        return STOPPED
    words = error.detail if isinstance(error, errors.WatchError) else "something went wrong on our side"
    return f"{words}: {AGAIN}"


async def _abandon(
    transaction: Transaction, items: Sequence[tuple[int, Sequence[str] | None]]
) -> list[list[tuple[str, str]]]:
    return [await jobs.abandon(transaction, KIND, STOPPED, now, workers) for now, workers in items]


async def _save(transaction: Transaction, changed: Sequence[Job]) -> list[None]:
    for job in changed:
        await jobs.save(transaction, job)
    return [None] * len(changed)
