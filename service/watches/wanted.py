"""What a replay is to send, found window by window among everything that there is."""

from __future__ import annotations

from collections.abc import AsyncIterator

from service import ids
from service.model import Event
from service.store import replays
from service.store.driver import Reader, Row
from service.store.replays import Phase, Replay
from service.watches.registry import Registry

WINDOW = 1000  # rows that are looked through at once
LATE = 60_000  # ms: a delivery is made no later after its change than this, unless it is in a fan-out


class Wanted:
    """The deliveries and the changes that a replay is about."""

    def __init__(self, replay: Replay, registry: Registry) -> None:
        self._replay = replay
        self._registry = registry

    def begin(self, kind: str) -> str:
        """Before the first id of a kind (``dlv``, ``chg``) that may be wanted."""
        return ids.floor(kind, self._replay.since or 0)

    def end(self, kind: str) -> str:
        """Behind the last one."""
        return ids.floor(kind, self._replay.until)

    async def deliveries(self, reader: Reader, end: str) -> AsyncIterator[tuple[int, list[str]]]:
        """All deliveries that the watch has of these changes: how many of a window are wanted, and of which changes."""
        place = ids.floor("dlv", max(0, (self._replay.since or 0) - LATE))
        while rows := await replays.deliveries(reader, self._replay.watch_id, place, end, WINDOW):
            place = rows[-1]["id"]
            yield sum(map(self._is_again, rows)), [row["change_id"] for row in rows]

    async def following(self, reader: Reader, phase: Phase, after: str) -> tuple[list[str], str | None]:
        """The wanted ids among the next ones behind an id, and the last of those; None: there are no more."""
        replay = self._replay
        if phase is Phase.AGAIN:
            rows = await replays.deliveries(reader, replay.watch_id, after, self.end("dlv"), WINDOW)
            found = [row["id"] for row in rows if self._is_again(row)]
        else:
            rows = await replays.changes(reader, replay.job_id, after, self.end("chg"), WINDOW)
            found = [row["id"] for row in rows if self._is_missing(row)]
        return found, rows[-1]["id"] if rows else None

    def _is_again(self, row: Row) -> bool:
        """Whether a delivery is sent once more; a test is over when it is over."""
        is_wanted = row["status"] in self._replay.statuses and row["object_event"] != Event.TEST
        return is_wanted and self.begin("dlv") <= row["id"] < self.end("dlv")

    def _is_missing(self, row: Row) -> bool:
        """Whether a change is one that the watch wants to hear of and has no delivery of; its fields are asked later."""
        prepared = self._registry.get(self._replay.watch_id)
        if prepared is None or row["seen"] is not None:
            return False
        watch = prepared.watch
        return (
            (row["tenant"], row["type"]) == (watch.tenant, watch.object_type)
            and watch.object_id in {None, row["object_id"]}
            and row["event"] in watch.events
        )
