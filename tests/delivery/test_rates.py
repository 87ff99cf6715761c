"""``rateLimit``, with real receivers: it holds, it counts attempts, and nobody else feels it."""

from __future__ import annotations

import asyncio
import itertools
import time

import pytest

from service import clock
from service.delivery.pace import LEEWAY
from tests.support import running
from tests.support.receiver import Answer, Receiver
from tests.support.running import Client

TYPE = "/api/v1/resources/agendize.account"


async def push(admin: Client, *names: str) -> None:
    answers = await asyncio.gather(*(admin.put(f"{TYPE}/{name}", {"id": name}) for name in names))
    assert {answer.status for answer in answers} == {201}


@pytest.mark.parametrize("statuses", [(200,), (200, 500, 502)], ids=["taken", "often refused"])
async def test_attempts_are_spaced_whatever_comes_of_them(admin, receiver, statuses):
    rate, count = 40, 90
    answers = itertools.cycle(map(Answer, statuses))
    receiver.answers = lambda _call: next(answers)
    await admin.watch(receiver.url, rateLimit=rate, retry={"schedule": []})
    await push(admin, *(f"a{number}" for number in range(count)))
    rows = await admin.settled(count)
    times = sorted(clock.parse_rfc3339(row["sent"]) / 1000 for row in rows)
    burst = 1 + rate * LEEWAY / 1000
    for index, first in enumerate(times):
        within = sum(1 for at in times[index:] if at < first + 1)
        assert within <= rate * 1.05 + burst, f"{within} attempts in the second after {first - times[0]:.2f} s"
    assert times[-1] - times[0] >= (count - 1 - burst) / rate * 0.95
    assert times[-1] - times[0] <= count / rate * 1.5, "turns were lost"


async def test_a_slow_rate_holds_no_place_and_slows_nobody_down(service: running.Service):
    async with Receiver() as slow, Receiver() as quick:
        await service.admin.watch(slow.url, rateLimit=0.5)
        await service.admin.watch(quick.url)
        await push(service.admin, *(f"a{number}" for number in range(300)))
        await quick.wait_for(300)
        assert 1 <= len(slow.calls) <= 8
        async with asyncio.timeout(5):
            while service.running.services.handoff.in_flight:
                await asyncio.sleep(0.01)


async def test_more_than_memory_holds_goes_out_at_the_rate_as_well(tmp_path):
    async with (
        Receiver() as receiver,
        running.service(tmp_path, WATCH_DELIVERY_BUFFER_PER_WATCH="4") as service,
    ):
        await service.admin.watch(receiver.url, rateLimit=100)
        await push(service.admin, *(f"a{number}" for number in range(200)))
        await receiver.wait_for(1)
        started = time.monotonic()
        await receiver.wait_for(200, timeout=10)
        assert time.monotonic() - started >= 1.7


async def test_another_rate_holds_at_once(admin, receiver):
    watch = await admin.watch(receiver.url, rateLimit=0.001)
    await push(admin, *(f"a{number}" for number in range(50)))
    await receiver.wait_for(1)
    changed = await admin.patch(f"/api/v1/watches/{watch['id']}", {"rateLimit": None})
    assert "rateLimit" not in changed.body
    await receiver.wait_for(50)


async def test_retry_after_and_the_rate_hold_together(admin, receiver):
    receiver.answers = [Answer(503, {"Retry-After": "1"})]
    await admin.watch(receiver.url, rateLimit=50, retry={"schedule": [0.01] * 3})
    await push(admin, "a")
    await receiver.wait_for(1)
    started = time.monotonic()
    await push(admin, *(f"b{number}" for number in range(50)))
    await receiver.wait_for(52, timeout=10)
    assert time.monotonic() - started >= 0.9 + 45 / 50 * 0.95
