"""Reading a whole directory: an import, or a full sweep of a source.

A snapshot is taken in portions, each in one transaction with the note of which resources it showed, so that
a process which is killed goes on where it was. Only when the whole of it was read may what it did not show be
deleted, and then only what has its own origin and has not changed since it began.

Most of a snapshot is what is there already. A document whose text is the stored one, byte for byte, is known
to be unchanged without being parsed or compared.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

from service import errors, ids, jsontext
from service.changes.intake import Intake, Write
from service.changes.types import ResourceType
from service.model import Document, Event
from service.store import resources, snapshots
from service.store.driver import Transaction
from service.store.resources import Text
from service.store.snapshots import SnapshotRow
from service.store.store import Store

IMPORTED = "imported"
WINDOW = 2000  # resources that one query looks through for missing ones
DELETED_AT_ONCE = 100  # resources of one transaction
FORGOTTEN_AT_ONCE = 1000
MOST_FAILURES = 20  # that are kept with their reasons
MAX_DELETE_SHARE = 0.2
FEW = 5  # deletions that nobody is asked about, however small the directory


@dataclass(slots=True)
class Counts:
    """What became of the documents of one portion, or of several."""

    created: int = 0
    updated: int = 0
    unchanged: int = 0
    overtaken: int = 0  # asked for before the last write of the resource was committed: discarded
    failed: int = 0  # refused: an identity that belongs to another resource
    failures: list[tuple[str, str]] = field(default_factory=list)  # id and reason: all of a portion's, or the first
    repeated: list[str] = field(default_factory=list)  # with ``once``: ids of a portion that an earlier one had

    def add(self, other: Counts) -> None:
        """Count another portion in."""
        self.created += other.created
        self.updated += other.updated
        self.unchanged += other.unchanged
        self.overtaken += other.overtaken
        self.failed += other.failed
        self.failures = (self.failures + other.failures)[:MOST_FAILURES]


@dataclass(frozen=True, slots=True)
class Portion:
    """Some documents of a snapshot."""

    snapshot: SnapshotRow
    type: ResourceType
    documents: Sequence[tuple[str, Document]]  # id and document, ready to be stored
    asked_at: int | None  # when their request was sent, in ms; None: they cannot be overtaken
    silent: bool  # a resource that is new is stored without a change: nobody is told
    once: bool  # a resource that an earlier portion has shown is passed over
    same: Sequence[str]  # ids of more resources, which were shown as they are stored


class Snapshots:
    """Taking snapshots in, and drawing the conclusions."""

    def __init__(self, store: Store, intake: Intake) -> None:
        self._store = store
        self._intake = intake

    async def begin(self, tenant: str, rtype: ResourceType, origin: str) -> SnapshotRow:
        """A new snapshot; ``origin`` is ``imported`` or ``source:<id>``."""
        now = self._intake.now()
        row = SnapshotRow(ids.new("snp", now), tenant, rtype.name, origin, now)
        await self._store.submit(_begin, row)
        return row

    async def take(
        self,
        snapshot: SnapshotRow,
        rtype: ResourceType,
        documents: Sequence[tuple[str, Document]],
        *,
        asked_at: int | None = None,
        silent: bool = False,
        once: bool = False,
        same: Sequence[str] = (),
    ) -> Counts:
        """Take documents in; durable, with their changes and deliveries, when this returns. 100 at once are good.

        A list that is read by pages may show a resource twice, and the later document counts; with ``once`` a resource
        that an earlier portion has shown is passed over. ``same`` has the ids of resources that were shown as they are.
        """
        if not documents and not same:
            return Counts()
        return await self._store.submit(self._take, Portion(snapshot, rtype, documents, asked_at, silent, once, same))

    async def are_stored(self, snapshot: SnapshotRow, texts: Sequence[tuple[str, str]]) -> list[bool]:
        """Of ids and texts of documents: which are stored like this, byte for byte."""
        keys = {(snapshot.tenant, snapshot.type, object_id) for object_id, _ in texts}
        there = {key[2]: stored.text for key, stored in (await resources.texts(self._store, keys)).items()}
        return [there.get(object_id) == text for object_id, text in texts]

    async def total(self, snapshot: SnapshotRow) -> int:
        """How many resources there are of its origin."""
        return await snapshots.total(self._store, snapshot)

    async def count_missing(self, snapshot: SnapshotRow) -> int:
        """How many of them it has not shown: what ``finish`` would delete."""
        count = 0
        async for after, until in snapshots.windows(self._store, snapshot, WINDOW):
            count += len(await snapshots.missing(self._store, snapshot, after, until, WINDOW))
        return count

    async def delete_missing(self, snapshot: SnapshotRow, rtype: ResourceType) -> int:
        """Delete what it has not shown, some at a time; how many that were. It may be called again after a kill."""
        deleted = 0
        async for after, until in snapshots.windows(self._store, snapshot, WINDOW):
            gone = await snapshots.missing(self._store, snapshot, after, until, 1)
            while gone:
                gone = await self._store.submit(self._delete, (snapshot, rtype, after, until))
                deleted += len(gone)
        return deleted

    async def finish(self, snapshot: SnapshotRow, rtype: ResourceType, *, delete: bool) -> int:
        """Delete what was missing, if ``delete``, and end the snapshot; how many were deleted.

        It may be called again after a kill, as ``delete_missing`` may.
        """
        deleted = await self.delete_missing(snapshot, rtype) if delete else 0
        await self._forget(snapshot)
        return deleted

    async def drop(self, origin: str, of: Collection[tuple[str, str]] | None = None) -> None:
        """End the snapshots of an origin that were begun and nobody goes on with; nothing is deleted.

        ``of``: of these tenants and types only.
        """
        for snapshot in await snapshots.left_over(self._store, origin):
            if of is None or (snapshot.tenant, snapshot.type) in of:
                await self._forget(snapshot)

    async def _forget(self, snapshot: SnapshotRow) -> None:
        # Ended first: who was killed in between would find a snapshot that seems to have shown next to nothing.
        await self._store.submit(_finish, (snapshot.id, self._intake.now()))
        while await self._store.submit(_forget, snapshot.id):
            pass

    async def _delete(
        self, transaction: Transaction, items: Sequence[tuple[SnapshotRow, ResourceType, str, str]]
    ) -> list[list[str] | Exception]:
        return [await self._delete_some(transaction, *item) for item in items]

    async def _delete_some(
        self, transaction: Transaction, snapshot: SnapshotRow, rtype: ResourceType, after: str, until: str
    ) -> list[str]:
        """Delete missing ones, looked for in the same transaction, so that no write comes between."""
        gone = await snapshots.missing(transaction, snapshot, after, until, DELETED_AT_ONCE)
        for result in await self._intake.take(transaction, [_deletion(snapshot, rtype, each) for each in gone]):
            if isinstance(result, Exception):
                raise result
        return gone

    async def _take(self, transaction: Transaction, portions: Sequence[Portion]) -> list[Counts | Exception]:
        return [await self._take_one(transaction, portion) for portion in portions]

    async def _take_one(self, transaction: Transaction, portion: Portion) -> Counts:
        counts = Counts()
        snapshot = portion.snapshot
        shown = {*portion.same, *(object_id for object_id, _ in portion.documents)}
        new = await snapshots.mark(transaction, snapshot.id, shown)
        passed_over = shown - new if portion.once else set()
        counts.repeated.extend(passed_over)
        counts.unchanged += sum(object_id not in passed_over for object_id in portion.same)
        documents = [(object_id, document) for object_id, document in portion.documents if object_id not in passed_over]
        if not documents:
            return counts
        keys = {(snapshot.tenant, snapshot.type, object_id) for object_id, _ in documents}
        await resources.hold(transaction, keys)
        there = await resources.texts(transaction, keys)
        writes = []
        for object_id, document in documents:
            old = there.get((snapshot.tenant, snapshot.type, object_id))
            if old is not None and old.text == jsontext.text(document):
                counts.unchanged += 1
            elif old is not None and _is_overtaken(portion, old):
                counts.overtaken += 1
            else:
                writes.append(_write(portion, object_id, document))
        for write, result in zip(writes, await self._intake.take(transaction, writes), strict=True):
            if isinstance(result, Exception):
                if not isinstance(result, errors.WatchError):
                    raise result
                counts.failed += 1
                counts.failures.append((str(write.target), result.detail))
            elif result.created:
                counts.created += 1
            elif result.change is not None and result.change.event is Event.UPDATED:
                counts.updated += 1
            else:
                counts.unchanged += 1
        return counts


def too_many(missing: int, total: int, share: float = MAX_DELETE_SHARE) -> bool:
    """Whether so many deletions are held until somebody confirms them.

    ``total`` is what there was before, ``share`` the part of it (0 to 1) that may go unasked; a few always may.
    """
    return missing > FEW and missing > share * total


def _is_overtaken(portion: Portion, old: Text) -> bool:
    return portion.asked_at is not None and old.updated > portion.asked_at


def _write(portion: Portion, object_id: str, document: Document) -> Write:
    return Write(
        portion.type,
        portion.snapshot.tenant,
        object_id,
        lambda _current: document,
        portion.snapshot.origin,
        silent=portion.silent,
    )


def _deletion(snapshot: SnapshotRow, rtype: ResourceType, object_id: str) -> Write:
    return Write(rtype, snapshot.tenant, object_id, lambda _current: None, snapshot.origin)


async def _begin(transaction: Transaction, rows: Sequence[SnapshotRow]) -> list[None]:
    for row in rows:
        await snapshots.begin(transaction, row)
    return [None] * len(rows)


async def _forget(transaction: Transaction, snapshot_ids: Sequence[str]) -> list[int]:
    return [await snapshots.forget(transaction, snapshot_id, FORGOTTEN_AT_ONCE) for snapshot_id in snapshot_ids]


async def _finish(transaction: Transaction, items: Sequence[tuple[str, int]]) -> list[None]:
    for snapshot_id, now in items:
        await snapshots.finish(transaction, snapshot_id, now)
    return [None] * len(items)
