"""Fifty healthy receivers beside one that never answers, one that sends a byte a second, and one that resets."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path

from tests.support import running
from tests.support.receiver import HANG, RESET, Receiver, Wire

TYPE = "/api/v1/resources/agendize.account"
HEALTHY, CHANGES, SLOTS = 50, 60, 8


class Trickling:
    """Answers each connection with the head at once, and then a byte a second."""

    def __init__(self) -> None:
        self.open = self.most = 0

    async def play(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.open += 1
        self.most = max(self.most, self.open)
        try:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n")
            while True:
                writer.write(b".")
                await writer.drain()
                await asyncio.sleep(1)
        finally:
            self.open -= 1


async def test_healthy_receivers_get_everything_and_bad_ones_hold_no_more_than_their_slots(tmp_path: Path):
    trickling = Trickling()
    async with AsyncExitStack() as stack:
        silent, resetting = [await stack.enter_async_context(Receiver()) for _ in range(2)]
        silent.answers, resetting.answers = (lambda _call: HANG), (lambda _call: RESET)
        wire = await stack.enter_async_context(Wire(trickling.play))
        healthy = [await stack.enter_async_context(Receiver()) for _ in range(HEALTHY)]
        more = {"WATCH_DELIVERY_CONCURRENCY_PER_WATCH": str(SLOTS), "WATCH_DELIVERY_SHUTDOWN_GRACE": "0"}
        service = await stack.enter_async_context(running.service(tmp_path, **more))
        bad = [await service.admin.watch(each.url, retry={"timeout": 30}) for each in (silent, wire, resetting)]
        for each in healthy:
            await service.admin.watch(each.url)
        for number in range(CHANGES):
            answer = await service.admin.put(f"{TYPE}/a{number}", {"id": f"a{number}"})
            assert answer.status == 201
        await asyncio.gather(*(each.wait_for(CHANGES, timeout=30) for each in healthy))
        assert {len({call.headers["webhook-id"] for call in each.calls}) for each in healthy} == {CHANGES}
        assert len(silent.calls) == SLOTS
        assert trickling.most == SLOTS
        assert service.running.services.handoff.in_flight <= 3 * SLOTS
        silent_id, trickling_id, resetting_id = (watch["id"] for watch in bad)
        # What waits behind the silent and the trickling one waits in the table, and the resetting one is spared.
        for watch_id in (silent_id, trickling_id):
            rows = await service.admin.get(f"/api/v1/deliveries?watchId={watch_id}&status=pending&limit=500")
            assert len(rows.body["items"]) == CHANGES
        async with asyncio.timeout(10):
            while (await service.admin.get(f"/api/v1/watches/{resetting_id}")).body["health"]["state"] != "failing":
                await asyncio.sleep(0.01)
