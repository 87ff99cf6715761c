"""Keeping the sources: made, changed, paused and removed, and what operators ask of them.

A source that a file declares is changed in its file. When the file is gone, it is paused and says why, with all
that it knows; deleting it is left to an operator.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol, TypeVar

from service import clock, errors, ids, jsontext
from service.changes.intake import PUSHED
from service.changes.poll import form as forms
from service.changes.poll import spec, sweep
from service.changes.poll.form import Judged, World
from service.changes.poll.source import Source, Status, StatusReason
from service.changes.poll.sweep import Stage
from service.errors import FieldError
from service.model import Document, Json, OAuth2
from service.store import keys, sources
from service.store.driver import Reader, Transaction
from service.store.sources import SourceRow
from service.store.store import Store
from service.vault import Vault

Result = TypeVar("Result")


class Listener(Protocol):
    """Who must know of it: the poller."""

    def wake(self) -> None:
        """A source may be due now."""
        ...

    async def leave(self, source_id: str) -> None:
        """Stop working at a source."""
        ...


@dataclass(frozen=True, slots=True)
class Kept:
    """A source, and how far its sweep is."""

    source: Source
    sweep: Document  # as answers show it
    next_sweep: int | None  # ms; None: it is paused
    warnings: tuple[FieldError, ...] = ()  # what looks wrong in it, where it was just made or changed


class Sources:
    """The one place where sources are written."""

    def __init__(
        self,
        store: Store,
        vault: Vault,
        types: Mapping[str, Any],
        blocked: Callable[[str], str | None],
        *,
        now: Callable[[], int] = clock.now_ms,
    ) -> None:
        self._store = store
        self._vault = vault
        self._types = types
        self._blocked = blocked
        self._now = now
        self._listeners: list[Listener] = []

    def listen(self, *listeners: Listener) -> None:
        """Tell these of every change."""
        self._listeners.extend(listeners)

    def world(self) -> World:
        """What a form is judged against, now."""
        return World(self._now(), self._types, self._blocked)

    def open(self, row: SourceRow) -> Source:
        """The source in a row."""
        return spec.from_record(row.id, row.tenant, row.spec, self._unseal(row.sealed))

    # What clients ask for

    async def create(self, tenant: str, body: Json) -> Kept:
        """A new source, whose first sweep begins at once. Raises Invalid."""
        judged = forms.parse(body, self.world(), tenant=tenant, source_id=ids.new("src", self._now()))
        return await self._write(lambda transaction: self._insert(transaction, judged))

    async def merge(self, tenant: str, source_id: str, body: Json) -> Kept:
        """A PATCH. Raises NotFound, Invalid; Conflict for a source of a file."""

        async def action(transaction: Transaction) -> Kept:
            row = await self._row(transaction, tenant, source_id)
            current = self.open(row)
            _refuse_declared(current)
            judged = forms.merge(current, body, self.world())
            return await self._save(transaction, row, judged.source, judged.warnings)

        return await self._write(action)

    async def remove(self, tenant: str, source_id: str) -> None:
        """Delete a source. The resources that it has shown stay, as if they had been pushed.

        Raises NotFound; Conflict for a source that a file declares.
        """

        async def stop(transaction: Transaction) -> None:
            row = await self._row(transaction, tenant, source_id)
            source = self.open(row)
            _refuse_declared(source)
            await self._save(transaction, row, replace(source, status=Status.PAUSED))

        async def action(transaction: Transaction) -> None:
            await sources.remove(transaction, await self._row(transaction, tenant, source_id), PUSHED)

        await self._store.write(stop)  # so that nobody begins a turn again, once they have left it
        for listener in self._listeners:
            await listener.leave(source_id)
        await self._store.write(action)

    async def get(self, tenant: str, source_id: str) -> Kept:
        """One source. Raises NotFound."""
        return self._kept(await self._row(self._store, tenant, source_id))

    async def page(self, tenant: str, after: str, limit: int) -> list[Kept]:
        """The next ``limit`` sources in the order of ids; ``after`` is "" at first."""
        return [self._kept(row) for row in await sources.page(self._store, tenant, after, limit)]

    # What operators ask for

    async def pause(self, tenant: str, source_id: str) -> Kept:
        """Sweep it no more; a sweep that is under way stops after its page, and its place is kept. Raises NotFound."""
        return await self._switch(tenant, source_id, Status.PAUSED)

    async def resume(self, tenant: str, source_id: str) -> Kept:
        """Sweep it again, from now on. Raises NotFound; Conflict when its file is gone."""
        return await self._switch(tenant, source_id, Status.ACTIVE)

    async def sweep(self, tenant: str, source_id: str) -> Kept:
        """Begin a full sweep now, or right after the one that is under way. Raises NotFound, Conflict."""
        return await self._ask(tenant, source_id, sources.sweep_now)

    async def confirm(self, tenant: str, source_id: str) -> Kept:
        """Do the deletions that are held. Raises NotFound, Conflict."""
        kept = await self.get(tenant, source_id)
        if not kept.sweep["heldDeletions"]:
            raise errors.Conflict(f"source {source_id} holds no deletions: there is nothing to confirm")
        return await self._ask(tenant, source_id, sources.confirm)

    # What the service does by itself

    async def declare(self, declared: Iterable[Source]) -> None:
        """See to it that the sources of files are as the files say, at the start. Raises ConfigError."""
        wanted = {source.id: source for source in declared}

        async def action(transaction: Transaction) -> None:
            there = {row.id: row for row in await sources.declared(transaction)}
            for source in wanted.values():
                await self._declare(transaction, source, there.get(source.id))
            for row in there.values():
                if row.id not in wanted:
                    await self._undeclare(transaction, row)

        await self._write(action)

    async def credentials(self, source_id: str) -> OAuth2 | None:
        """How a source is asked, as it is stored now."""
        row = await sources.one(self._store, None, source_id)
        return None if row is None else self.open(row).auth.oauth2

    async def keep_refresh_token(self, source_id: str, refresh_token: str, former: Collection[str]) -> None:
        """Store a rotated refresh token in the place of a former one; durable when this returns."""

        async def action(transaction: Transaction) -> None:
            row = await sources.one(transaction, None, source_id)
            source = None if row is None else self.open(row)
            oauth2 = None if source is None else source.auth.oauth2
            if source is not None and oauth2 is not None and oauth2.refresh_token in former:
                renewed = replace(source.auth, oauth2=replace(oauth2, refresh_token=refresh_token))
                secrets = spec.to_record(replace(source, auth=renewed))[1]
                await sources.save_secrets(transaction, source_id, self._seal(secrets))

        await self._store.write(action)

    # Inside the transactions

    async def _insert(self, transaction: Transaction, judged: Judged, declared: str | None = None) -> Kept:
        public, secrets = spec.to_record(judged.source)
        row = SourceRow(
            judged.source.id,
            judged.source.tenant,
            public,
            self._seal(secrets),
            declared,
            sweep.store(sweep.Sweep()),
            self._now(),
        )
        await sources.insert(transaction, row)
        return self._kept(row, judged.warnings)

    async def _save(
        self,
        transaction: Transaction,
        row: SourceRow,
        source: Source,
        warnings: tuple[FieldError, ...] = (),
        declared: str | None = None,
    ) -> Kept:
        public, secrets = spec.to_record(source)
        progress = sweep.load(row.sweep)
        before = self.open(row)
        if (before.url, before.auth) != (source.url, source.auth):  # what was read of another upstream is no beginning
            progress = replace(progress, stage=Stage.IDLE, failed=False, error=None)
            row = replace(row, hold_until=0)
        if before.url != source.url:
            progress = replace(progress, watermark=None)
        saved = replace(
            row,
            spec=public,
            sealed=self._seal(secrets),
            declared=declared if declared is not None else row.declared,
            sweep=sweep.store(progress),
            due=max(self._now(), row.hold_until) if source.status is Status.ACTIVE else row.due,
            worker=None,
        )
        await sources.save(transaction, saved)
        return self._kept(saved, warnings)

    async def _switch(self, tenant: str, source_id: str, status: Status) -> Kept:
        async def action(transaction: Transaction) -> Kept:
            row = await self._row(transaction, tenant, source_id)
            source = self.open(row)
            if source.status is status:
                return self._kept(row)
            if source.status_reason is StatusReason.UNDECLARED:
                raise errors.Conflict(
                    f"{source.file}, which declared source {source_id}, is gone: bring it back, or delete the source"
                )
            return await self._save(transaction, row, replace(source, status=status, updated=self._now()))

        return await self._write(action)

    async def _ask(self, tenant: str, source_id: str, ask: Callable[[Transaction, str, int], Awaitable[None]]) -> Kept:
        async def action(transaction: Transaction) -> Kept:
            row = await self._row(transaction, tenant, source_id)
            if row.spec["status"] != Status.ACTIVE:
                raise errors.Conflict(f"source {source_id} is paused: resume it first")
            await ask(transaction, source_id, self._now())
            return self._kept(await self._row(transaction, tenant, source_id))

        return await self._write(action)

    async def _declare(self, transaction: Transaction, source: Source, row: SourceRow | None) -> None:
        # A refresh token is rotated, so what is stored is newer than the file, until the file changes.
        form = spec.to_form(source)
        declared = self._vault.seal(jsontext.dumps(form))
        if row is None:
            await keys.add_tenant(transaction, source.tenant, self._now())
            await self._insert(transaction, Judged(source, ()), declared)
            return
        current = self.open(row)
        if (row.tenant, current.type) != (source.tenant, source.type):
            raise errors.ConfigError(
                f"{source.file}: the tenant and the type of a source cannot change: declare it in a file of another name"
            )
        same = row.declared is not None and jsontext.loads(self._vault.open(row.declared)) == form
        if same and current.status_reason is None:
            return
        status = current.status if current.status_reason is None else Status.ACTIVE
        renewed = replace(source, created=current.created, status=status)
        if same:
            renewed = replace(renewed, auth=current.auth)
        await self._save(transaction, row, renewed, declared=declared)

    async def _undeclare(self, transaction: Transaction, row: SourceRow) -> None:
        source = self.open(row)
        if source.status_reason is None:
            gone = replace(source, status=Status.PAUSED, status_reason=StatusReason.UNDECLARED, updated=self._now())
            await self._save(transaction, row, gone)

    async def _write(self, action: Callable[[Transaction], Awaitable[Result]]) -> Result:
        async def and_wake(transaction: Transaction) -> Result:
            for listener in self._listeners:
                transaction.after_commit(listener.wake)
            return await action(transaction)

        return await self._store.write(and_wake)

    async def _row(self, reader: Reader, tenant: str, source_id: str) -> SourceRow:
        row = await sources.one(reader, tenant, source_id)
        if row is None:
            raise errors.NotFound(f"there is no source {source_id}")
        return row

    def _kept(self, row: SourceRow, warnings: tuple[FieldError, ...] = ()) -> Kept:
        source = self.open(row)
        running = row.worker is not None and row.lease_until > self._now()
        shown = sweep.show(sweep.load(row.sweep), running=running)
        return Kept(source, shown, row.due if source.status is Status.ACTIVE else None, warnings)

    def _seal(self, secrets: Mapping[str, str]) -> str:
        return self._vault.seal(jsontext.dumps(dict(secrets)))

    def _unseal(self, sealed: str | None) -> dict[str, str]:
        opened: Any = jsontext.loads(self._vault.open(sealed)) if sealed else {}
        return dict(opened)


def _refuse_declared(source: Source) -> None:
    if source.file is not None and source.status_reason is None:
        raise errors.Conflict(f"source {source.id} is declared in {source.file}: change it there, and restart")
