"""Where a write becomes a change, or nothing.

All writes that wait at the same time are taken in together, inside one transaction: the resources they mean
are loaded at once, the operations (pure functions of the current document) are applied one after another,
and the new states, their changes and the deliveries of those changes are written in bulk. A write that
fails (invalid, in conflict) fails alone and leaves nothing behind.

Writes go in rounds, at most one of a resource in each, because what a write gives is what the next one of
the same resource starts from; a round asks the database once who owns the identities that it would claim.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field, replace

from service import clock, errors, ids, jsontext
from service.changes import detect, operations
from service.changes.types import ResourceType
from service.delivery.fanout import FanOut
from service.model import Change, Document, Event
from service.store import changes, resources
from service.store.driver import Transaction
from service.store.resources import IdentityKey, Key, Stored
from service.store.store import Store
from service.values import value
from service.watches.registry import Registry

HOSTED, PUSHED = "hosted", "pushed"  # origins: what may delete a resource


@value
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
    silent: bool = False  # should it create the resource, nobody is told: there is no change
    check: Callable[[int | None], None] | None = (
        None  # judges the version that is there (None: nothing is), and may raise
    )


@value
class Written:
    """What a write came to."""

    stored: Stored  # the state after it; a tombstone when it deleted
    change: Change | None  # None: it changed nothing, or silently
    created: bool = False  # there was no such resource before

    @property
    def document(self) -> Document:
        """The document after the write; of a deleted resource the last one."""
        if self.stored.document is not None:
            return self.stored.document
        if self.change is None:
            raise errors.NotFound(f"there is no {self.stored.type} {self.stored.id}")
        return self.change.resource


@value
class Draft:
    """What a write would give, before it is known whether it may."""

    write: Write
    key: Key
    document: Document | None  # None: it deletes
    given_up: Collection[IdentityKey]  # identities that the resource would have no more
    claimed: Collection[IdentityKey]  # and those that it would have besides


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
        fan_out: FanOut,
        *,
        now: Callable[[], int] = clock.now_ms,
        observe: Callable[[Sequence[Change]], None] = lambda _changes: None,
    ) -> None:
        self._store = store
        self._registry = registry
        self._fan_out = fan_out
        self.now = now
        self._observe = observe

    async def write(self, write: Write) -> Written:
        """Take one write in; durable, with its deliveries, when this returns.

        Raises:
            NotFound, Conflict, Invalid: see the operation; nothing was stored.
            Unavailable: the database cannot take it; nothing was stored.
        """
        return await self._store.submit(self.take, write)

    async def take(self, transaction: Transaction, writes: Sequence[Write]) -> list[Written | Exception]:
        """Take writes in as a part of a transaction; a result or an error for each, in order."""
        keys, known = await _resolve(transaction, writes)
        batch = Batch(self.now(), known, dict(known))
        results: list[Written | Exception | None] = [None] * len(writes)
        waiting = list(range(len(writes)))
        while waiting:
            now_indexes, waiting = _one_of_each(waiting, keys)
            drafts: dict[int, Draft] = {}
            for index in now_indexes:
                try:
                    drafts[index] = _draft(writes[index], keys[index], batch)
                except errors.WatchError as error:
                    results[index] = error
            await _look_up(transaction, batch, drafts.values())
            for index, draft in drafts.items():
                try:
                    results[index] = _accept(draft, batch)
                except errors.WatchError as error:
                    results[index] = error
        await self._save(transaction, batch)
        return [result if result is not None else RuntimeError("a write was passed over") for result in results]

    async def _save(self, transaction: Transaction, batch: Batch) -> None:
        changed = [(key, stored) for key, stored in batch.current.items() if batch.before.get(key) is not stored]
        await resources.insert(transaction, [stored for key, stored in changed if key not in batch.before])
        await resources.save(transaction, [stored for key, stored in changed if key in batch.before])
        moved = {key: owner for key, owner in batch.owners.items() if batch.taken.get(key) != owner}
        await resources.move_identities(
            transaction,
            [key for key in moved if batch.taken.get(key) is not None],
            [(key, owner) for key, owner in moved.items() if owner is not None],
        )
        heavy = await changes.insert(transaction, batch.changes)
        told = [(change, self._registry.match(change)) for change in batch.changes]
        if self._registry.has_fields:
            passed = [(change, self._registry.passed_over(change, heard)) for change, heard in told]
            await changes.note_filtered(
                transaction, [(change, over.watches, over.ids) for change, over in passed if over is not None]
            )
        await self._fan_out.tell(transaction, told, batch.now, heavy)
        transaction.after_commit(lambda: self._observe(batch.changes))


async def _resolve(transaction: Transaction, writes: Sequence[Write]) -> tuple[list[Key | None], dict[Key, Stored]]:
    """The key that each write means, and the resources behind them.

    An identity that is not the id is looked up; the first member that has it wins.
    """
    keys: list[Key | None] = [
        None if write.target is None else (write.tenant, write.type.name, write.target) for write in writes
    ]
    asked = {
        (write.tenant, write.type.name, member, write.target)
        for write in writes
        if write.any_identity and write.target is not None
        for member in write.type.identity[1:]
    }
    named = {key for key in keys if key is not None}
    if not asked:
        return keys, await resources.load(transaction, named)
    known, owners = await resources.load_with_owners(transaction, named, asked)
    moved: set[Key] = set()
    for index, write in enumerate(writes):
        key = keys[index]
        if key is None or not write.any_identity or (key in known and known[key].document is not None):
            continue
        for member in write.type.identity[1:]:
            owner = owners.get((write.tenant, write.type.name, member, key[2]))
            if owner is not None:
                keys[index] = meant = (write.tenant, write.type.name, owner)
                moved.add(meant)
                break
    if transaction.is_shared:  # now all at once, and nobody else until the end
        return keys, await resources.load(transaction, {key for key in keys if key is not None})
    missing = moved - known.keys()
    return keys, {**known, **await resources.load(transaction, missing)} if missing else known


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


def _draft(write: Write, key: Key | None, batch: Batch) -> Draft:
    """What a write would give."""
    old = batch.current.get(key) if key is not None else None
    before = old.document if old is not None else None
    if write.check is not None:
        write.check(old.version if old is not None and before is not None else None)
    document = write.apply(before)
    if document is None and before is None:
        raise errors.NotFound(f"there is no {write.type.name} {write.target}")
    if key is None and document is not None:
        key = (write.tenant, write.type.name, str(operations.identity(write.type, document)))
    if key is None:
        raise errors.NotFound(f"there is no {write.type.name} without an id")
    if before is not None and document is not None and operations.same_identities(write.type, before, document):
        return Draft(write, key, document, (), ())
    had, wanted = _identity_keys(write, key, before), _identity_keys(write, key, document)
    return Draft(write, key, document, had - wanted, wanted - had)


async def _look_up(transaction: Transaction, batch: Batch, drafts: Collection[Draft]) -> None:
    """Load what only the drafts could tell: who has the identities they want, and the ids of new items."""
    ids_made = {draft.key for draft in drafts if draft.write.target is None and draft.key not in batch.current}
    if ids_made:
        there = await resources.load(transaction, ids_made)
        batch.before.update(there)
        batch.current.update(there)
    unknown = {key for draft in drafts for key in (*draft.given_up, *draft.claimed) if key not in batch.owners}
    if unknown:
        found = await resources.owners(transaction, unknown)
        for key in unknown:
            batch.owners[key] = batch.taken[key] = found.get(key)


def _accept(draft: Draft, batch: Batch) -> Written:
    """Make a draft the current state, with its change if it is one; Conflict leaves everything as it was."""
    write, (tenant, type_, object_id) = draft.write, draft.key
    old = batch.current.get(draft.key)
    before, after = old.document if old is not None else None, draft.document
    if write.target is None and before is not None:
        raise errors.Conflict(f"{write.type.identity[0]} {object_id!r} belongs to a {type_} already")
    for key in draft.claimed:
        owner = batch.owners.get(key)
        if owner not in {None, object_id}:
            raise errors.Conflict(f"{key[2]} {key[3]!r} belongs to {type_} {owner} already")
    difference: list[Document] = []
    if old is not None and before is not None and after is not None:
        difference = detect.diff(before, after)
        if not difference:
            return Written(old, None)
        if not detect.is_change(before, after, difference, write.type.rules):
            # Only what counts for nothing differs: keep what is stored fresh, without a version.
            batch.current[draft.key] = fresh = replace(old, document=after, text=jsontext.text(after))
            return Written(fresh, None)
    batch.owners.update(dict.fromkeys(draft.given_up))
    batch.owners.update(dict.fromkeys(draft.claimed, object_id))
    version = old.version + 1 if old is not None else 1  # a tombstone's versions go on
    origin = old.origin if old is not None and before is not None else write.origin
    text = None if after is None else jsontext.text(after)
    stored = Stored(tenant, type_, object_id, version, origin, batch.now, after, text)
    batch.current[draft.key] = stored
    if before is None and write.silent:
        return Written(stored, None, created=True)
    event = Event.CREATED if before is None else Event.DELETED if after is None else Event.UPDATED
    change = Change(
        id=ids.new("chg", batch.now),
        tenant=tenant,
        type=type_,
        object_id=object_id,
        event=event,
        version=version,
        time=batch.now,
        before=before,
        after=after,
        diff=difference,
        source=write.type.collection,
        before_text=old.text if old is not None else None,
        after_text=text,
    )
    batch.changes.append(change)
    return Written(stored, change, created=before is None)


def _identity_keys(write: Write, key: Key, document: Document | None) -> set[IdentityKey]:
    if document is None:
        return set()
    found = operations.identities(write.type, document)
    return {(key[0], key[1], member, value) for member, value in found.items()}
