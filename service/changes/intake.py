"""Where a write becomes a change, or nothing.

All writes that wait at the same time are taken in together, inside one transaction: the resources they mean
are loaded at once, the operations (pure functions of the current document) are applied one after another,
and the new states, their changes and the deliveries of those changes are written in bulk. A write that
fails (invalid, in conflict) fails alone and leaves nothing behind.

Writes go in rounds, at most one of a resource in each, because what a write gives is what the next one of
the same resource starts from; a round asks the database once who owns the identities that it would claim.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from service import clock, errors, ids
from service.changes import detect, diff, operations
from service.changes.types import ResourceType
from service.delivery import outbox
from service.model import Change, Document, Event
from service.store import changes, resources
from service.store.driver import Transaction
from service.store.resources import IdentityKey, Key, Stored
from service.store.store import Store
from service.watches.registry import Registry

HOSTED, PUSHED = "hosted", "pushed"  # origins: what may delete a resource


@dataclass(frozen=True, slots=True)
class Write:
    """A write that somebody asks for.

    ``apply`` makes the next document of the current one (None: there is none); it gives None to delete, and
    raises a WatchError for what cannot be.
    """

    type: ResourceType
    tenant: str
    target: str | None  # the item's id, or with ``any_identity`` any identity of it; None: a new item
    apply: Callable[[Document | None], Document | None]
    origin: str
    any_identity: bool = False


@dataclass(frozen=True, slots=True)
class Written:
    """What a write came to."""

    stored: Stored  # the state after it; a tombstone when it deleted
    change: Change | None  # None: it changed nothing

    @property
    def document(self) -> Document:
        """The document after the write; of a deleted resource the last one."""
        if self.stored.document is not None:
            return self.stored.document
        if self.change is None:
            raise errors.NotFound(f"there is no {self.stored.type} {self.stored.id}")
        return self.change.resource


@dataclass(slots=True)
class Batch:
    """The state of one transaction's writes while they are applied."""

    now: int
    before: dict[Key, Stored]  # as it was loaded
    current: dict[Key, Stored]  # as the writes left it
    owners: dict[IdentityKey, str | None] = field(default_factory=dict)
    taken: dict[IdentityKey, str | None] = field(default_factory=dict)  # owners as they were loaded
    changes: list[Change] = field(default_factory=list)


class Intake:
    """The one way in for writes of resources."""

    def __init__(
        self,
        store: Store,
        registry: Registry,
        handoff: outbox.Handoff,
        *,
        now: Callable[[], int] = clock.now_ms,
        observe: Callable[[Sequence[Change]], None] = lambda _changes: None,
    ) -> None:
        self._store = store
        self._registry = registry
        self._handoff = handoff
        self.now = now
        self._observe = observe

    async def write(self, write: Write) -> Written:
        """Take one write in; durable, with its deliveries, when this returns.

        Raises:
            NotFound, Conflict, Invalid: see the operation; nothing was stored.
            Unavailable: the database cannot take it; nothing was stored.
        """
        return await self._store.submit(self._take, write)

    async def _take(self, transaction: Transaction, writes: Sequence[Write]) -> list[Written | Exception]:
        keys = await _resolve(transaction, writes)
        known = await resources.load(transaction, {key for key in keys if key is not None})
        batch = Batch(self.now(), known, dict(known))
        results: list[Written | Exception | None] = [None] * len(writes)
        waiting = list(range(len(writes)))
        while waiting:
            now_indexes, waiting = _one_of_each(waiting, keys)
            drafts: dict[int, Stored] = {}
            for index in now_indexes:
                try:
                    drafts[index] = _draft(writes[index], keys[index], batch)
                except errors.WatchError as error:
                    results[index] = error
            await _load_owners(transaction, batch, [(writes[index], draft) for index, draft in drafts.items()])
            for index, draft in drafts.items():
                try:
                    results[index] = _accept(writes[index], draft, batch)
                except errors.WatchError as error:
                    results[index] = error
        await self._save(transaction, batch)
        return [result if result is not None else RuntimeError("a write was passed over") for result in results]

    async def _save(self, transaction: Transaction, batch: Batch) -> None:
        await resources.save(
            transaction, [stored for key, stored in batch.current.items() if batch.before.get(key) is not stored]
        )
        moved = {key: owner for key, owner in batch.owners.items() if batch.taken.get(key) != owner}
        await resources.move_identities(
            transaction,
            [key for key in moved if batch.taken.get(key) is not None],
            [(key, owner) for key, owner in moved.items() if owner is not None],
        )
        await changes.insert(transaction, batch.changes)
        told = [(change, self._registry.match(change)) for change in batch.changes]
        await outbox.enqueue(transaction, told, self._handoff, batch.now)
        transaction.after_commit(lambda: self._observe(batch.changes))


async def _resolve(transaction: Transaction, writes: Sequence[Write]) -> list[Key | None]:
    """The key that each write means; an identity that is not the id is looked up, the first member that has it wins."""
    keys: list[Key | None] = [
        None if write.target is None else (write.tenant, write.type.name, write.target) for write in writes
    ]
    asked = {
        (write.tenant, write.type.name, member, write.target)
        for write in writes
        if write.any_identity and write.target is not None
        for member in write.type.identity[1:]
    }
    if not asked:
        return keys
    by_id = await resources.load(transaction, {key for key in keys if key is not None})
    owners = await resources.owners(transaction, asked)
    for index, write in enumerate(writes):
        key = keys[index]
        if key is None or not write.any_identity or (key in by_id and by_id[key].document is not None):
            continue
        for member in write.type.identity[1:]:
            owner = owners.get((write.tenant, write.type.name, member, key[2]))
            if owner is not None:
                keys[index] = (write.tenant, write.type.name, owner)
                break
    return keys


def _one_of_each(waiting: Iterable[int], keys: Sequence[Key | None]) -> tuple[list[int], list[int]]:
    now, later, seen = [], [], set()
    for index in waiting:
        key = keys[index]
        if key is not None and key in seen:
            later.append(index)
        else:
            seen.add(key)
            now.append(index)
    return now, later


def _draft(write: Write, key: Key | None, batch: Batch) -> Stored:
    """The state that a write would give."""
    old = batch.current.get(key) if key is not None else None
    document = write.apply(old.document if old is not None else None)
    if document is None:
        if old is None or old.document is None:
            raise errors.NotFound(f"there is no {write.type.name} {write.target}")
        return Stored(old.tenant, old.type, old.id, old.version + 1, old.origin, batch.now, None)
    object_id = str(operations.identity(write.type, document)) if key is None else key[2]
    return Stored(
        write.tenant,
        write.type.name,
        object_id,
        old.version + 1 if old is not None else 1,
        write.origin if old is None or old.document is None else old.origin,
        batch.now,
        document,
    )


async def _load_owners(transaction: Transaction, batch: Batch, drafts: Iterable[tuple[Write, Stored]]) -> None:
    unknown = set()
    for write, draft in drafts:
        old = batch.current.get(draft.key)
        for key in _identity_keys(write, draft) | (_identity_keys(write, old) if old is not None else set()):
            if key not in batch.owners:
                unknown.add(key)
    if unknown:
        found = await resources.owners(transaction, unknown)
        for key in unknown:
            batch.owners[key] = batch.taken[key] = found.get(key)


def _accept(write: Write, draft: Stored, batch: Batch) -> Written:
    """Make a draft the current state, with its change if it is one; Conflict leaves everything as it was."""
    old = batch.current.get(draft.key)
    wanted = _identity_keys(write, draft)
    for key in wanted:
        owner = batch.owners.get(key)
        if owner not in {None, draft.id}:
            raise errors.Conflict(f"{key[2]} {key[3]!r} belongs to {write.type.name} {owner} already")
    before = old.document if old is not None else None
    after = draft.document
    if old is not None and before is not None and after is not None and not detect.differs(before, after, write.type.rules):
        if detect.equal(before, after):
            return Written(old, None)
        # Only what counts for nothing differs: keep what is stored fresh, without a version.
        fresh = Stored(old.tenant, old.type, old.id, old.version, old.origin, old.updated, after)
        batch.current[old.key] = fresh
        return Written(fresh, None)
    for key in (_identity_keys(write, old) if old is not None else set()) - wanted:
        batch.owners[key] = None
    for key in wanted:
        batch.owners[key] = draft.id
    batch.current[draft.key] = draft
    event = Event.CREATED if before is None else Event.DELETED if after is None else Event.UPDATED
    change = Change(
        id=ids.new("chg", batch.now),
        tenant=draft.tenant,
        type=draft.type,
        object_id=draft.id,
        event=event,
        version=draft.version,
        time=batch.now,
        before=before,
        after=after,
        diff=diff.diff(before, after) if event is Event.UPDATED else [],
        source=write.type.collection,
    )
    batch.changes.append(change)
    return Written(draft, change)


def _identity_keys(write: Write, stored: Stored) -> set[IdentityKey]:
    if stored.document is None:
        return set()
    found = operations.identities(write.type, stored.document)
    return {(stored.tenant, stored.type, member, value) for member, value in found.items()}
