"""A service whose sources are worked at by hand, turn by turn, at times that the test chooses.

The clock of the sources is years ahead, so that the service's own poller has nothing to do with them.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from service import clock, vault
from service.changes.intake import PUSHED, Intake, Write
from service.changes.poll.keeper import Sources
from service.changes.poll.turn import Means, Turn
from service.changes.poll.upstream import Upstream as Reader
from service.changes.snapshot import Snapshots
from service.delivery import send
from service.delivery.authenticate import Tokens
from service.delivery.egress import Guard
from service.delivery.fanout import FanOut
from service.store import sources
from service.store.sources import SourceRow
from service.store.sql import Query
from tests.support import running
from tests.support.upstream import Upstream

TENANT = "default"
LEASE = 30_000
YEARS = 10 * 365 * 86_400_000
CHANGES = Query("test.changes", "SELECT event, object_id, version, after FROM changes ORDER BY id")


@dataclass
class Rig:
    """The service, its sources, and their clock."""

    service: running.Service
    keeper: Sources
    means: Means
    intake: Intake
    time: list[int] = field(default_factory=list)
    worker: str = "wrk_test"

    @property
    def now(self) -> int:
        return self.time[0]

    def wait(self, seconds: float) -> None:
        """Let time pass."""
        self.time[0] += round(seconds * 1000)

    async def source(self, upstream: Upstream, **members: Any) -> str:
        """A new source of an upstream."""
        body = {"type": upstream.type, "url": upstream.url, **members}
        return (await self.keeper.create(TENANT, body)).source.id

    async def claim(self, source_id: str) -> SourceRow | None:
        """Begin a turn, if the source is due."""

        async def action(transaction: Any) -> SourceRow | None:
            return await sources.claim(transaction, source_id, self.worker, self.now, self.now + LEASE)

        return await self.means.store.write(action)

    async def row(self, source_id: str) -> SourceRow:
        """As it is stored."""
        row = await sources.one(self.means.store, TENANT, source_id)
        assert row is not None
        return row

    async def push(self, type_: str, document: Any) -> None:
        """Somebody else says how a resource is."""
        await self._write(type_, str(document["id"]), lambda _current: document)

    async def erase(self, type_: str, object_id: str) -> None:
        """Somebody else deletes a resource."""
        await self._write(type_, object_id, lambda _current: None)

    async def _write(self, type_: str, object_id: str, apply: Any) -> None:
        self.wait(0.001)  # the page was asked for before
        await self.intake.write(Write(self.means.types[type_], TENANT, object_id, apply, PUSHED))

    async def work(self, row: SourceRow) -> None:
        """What the poller does with a claim."""
        source = self.keeper.open(row)
        end = await Turn(self.means, row, source, self.means.types[source.type]).run()
        settled = await self.means.store.write(
            lambda transaction: sources.settle(transaction, row.id, row.fence, end, self.now)
        )
        assert settled

    async def turn(self, source_id: str) -> Any:
        """One turn; the sweep as answers show it."""
        row = await self.claim(source_id)
        assert row is not None, "it is not due"
        await self.work(row)
        return await self.sweep(source_id)

    async def sweep(self, source_id: str) -> Any:
        return (await self.keeper.get(TENANT, source_id)).sweep

    async def due_in(self, source_id: str) -> float:
        """Seconds until its next turn."""
        due = (await self.keeper.get(TENANT, source_id)).next_sweep
        assert due is not None
        return (due - self.now) / 1000

    async def next_sweep(self, source_id: str) -> Any:
        """Let time pass until the next turn, and work until the sweep is over."""
        while True:
            self.wait(max(0, await self.due_in(source_id)))
            sweep = await self.turn(source_id)
            if sweep["state"] not in ("running", "waiting"):
                return sweep

    async def baseline(self, upstream: Upstream, **members: Any) -> str:
        """A source whose first sweep is over."""
        source_id = await self.source(upstream, **members)
        sweep = await self.next_sweep(source_id)
        assert sweep["state"] == "completed", sweep
        upstream.calls.clear()
        return source_id

    async def changes(self) -> list[tuple[str, str]]:
        """Every change so far: event and id."""
        return [(row["event"], row["object_id"]) for row in await self.means.store.fetch(CHANGES)]

    async def count(self, table: str) -> int:
        """Rows of a table."""
        return int((await self.means.store.fetch(Query("test.count", f"SELECT count(*) FROM {table}")))[0][0])

    async def documents(self, type_: str) -> dict[str, Any]:
        """What is stored, by id."""
        answer = await self.service.admin.get(f"/api/v1/resources/{type_}?limit=500")
        return {item["id"]: item["resource"] for item in answer.body["items"]}


@asynccontextmanager
async def rig(directory: Path, config_directory: Path = running.ROOT / "config") -> AsyncIterator[Rig]:
    """Start one."""
    time = [clock.now_ms() + YEARS]

    def now() -> int:
        return time[0]

    async with running.service(directory, config_directory) as service:
        services = service.running.services
        box = vault.Vault([running.SECRET_KEY])
        guard = Guard(["127.0.0.0/8"])
        keeper = Sources(services.store, box, services.types, guard.check, now=now)
        fan_out = FanOut(services.store, services.registrar, services.handoff, now=now)
        intake = Intake(services.store, services.registry, fan_out, now=now)
        async with send.session(guard) as client, Tokens(client, now, keeper.keep_refresh_token) as tokens:
            reader = Reader(client, tokens, now, timeout=5)
            means = Means(services.store, Snapshots(services.store, intake), reader, services.types, now, lambda: 0.0)
            yield Rig(service, keeper, means, intake, time)
