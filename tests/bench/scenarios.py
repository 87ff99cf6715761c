"""What is measured: each scenario on a service and a database of its own, each a coroutine that gives figures by name.

The first figure of a scenario is its speed. Costs are CPU microseconds for each change, delivery or post.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.bench import documents, processes, served
from tests.bench.meter import Meter
from tests.bench.processes import Process
from tests.bench.served import Served
from tests.support import running

Figures = dict[str, float]

CONNECTIONS = 64  # of the writer
CONCURRENCY = 32  # callbacks under way at once: of a watch, and of the ceiling
HEALTHY = 50  # watches beside the bad ones
FAN_OUT = 10  # watches that a change of the drain is delivered to
NEIGHBOURS, NEIGHBOURS_RATE = 400, 50.0  # changes of another tenant meanwhile, and how many of them a second
WARM_UP = 0.1  # of the open loop's changes, whose latency is not counted


@dataclass(frozen=True, slots=True)
class Bench:
    """What every scenario needs."""

    receiver: Process
    address: str  # of the receiver
    count: int  # changes of a scenario
    directory: Path | None  # where databases are put


async def ceiling(bench: Bench) -> Figures:
    """Callbacks that a bare client posts."""
    await bench.receiver.ask({"do": "answer"})
    count = bench.count * 2  # it is quick: as many again, for a time that is long enough to be measured
    job = {"count": count, "url": bench.address, "concurrency": CONCURRENCY}
    async with processes.worker("ceiling", job) as client:
        await client.answer()
        meter = Meter(client=client, receiver=bench.receiver)
        run = await client.ask()
        spent = meter.figures("ceiling", count)
    return {"ceiling": _rate(count, run), **spent}


async def accepted(bench: Bench) -> Figures:
    """Changes taken in while nobody watches."""
    async with _service(bench) as service, _load(bench, service) as load:
        meter = Meter(service=service.process, writer=load)
        run = await _written(load)
        spent = meter.figures("accepted", bench.count)
    return {"accepted": _rate(bench.count, run), **spent}


async def whole_path(bench: Bench) -> Figures:
    """Written over HTTP, called back, and logged: one watch."""
    async with _service(bench) as service:
        await service.watch(bench.address)
        await bench.receiver.ask({"do": "answer"})
        async with _load(bench, service) as load:
            commits = await service.commits()
            meter = Meter(service=service.process, receiver=bench.receiver, writer=load)
            run = await _written(load)
            came = await bench.receiver.ask({"do": "wait", "count": bench.count})
            ended = await _settled(service)
            spent = meter.figures("whole", bench.count)
            commits = await service.commits() - commits
        await service.check()
        return {
            "whole": bench.count / (ended - run["started"] / 1e9),
            "whole_written": _rate(bench.count, run),
            "whole_settled_after_ms": 1000 * (ended - came["last"] / 1e9),
            "whole_commits": 1000 * commits / bench.count,
            **_memory("whole", service),
            **spent,
        }


async def drain(bench: Bench) -> Figures:
    """Changes that are accepted already, each for ten watches: a restarted service delivers them.

    The receiver holds its answers until everything is accepted. Then the service is stopped, and started again:
    what counts is the time from the first callback to the last one settled.
    """
    changes, deliveries = bench.count // FAN_OUT * 2, bench.count * 2
    with _directory(bench) as directory:
        await bench.receiver.ask({"do": "hold"})
        async with served.service(directory, WATCH_DELIVERY_SHUTDOWN_GRACE="0") as service:
            for _ in range(FAN_OUT):
                await service.watch(bench.address)
            async with _load(bench, service, count=changes) as load:
                filled = await _written(load)
        await bench.receiver.ask({"do": "answer"})
        async with served.service(directory) as service:
            await bench.receiver.ask({"do": "wait", "count": 1})
            meter = Meter(service=service.process, receiver=bench.receiver)
            came = await bench.receiver.ask({"do": "wait", "count": deliveries})
            ended = await _settled(service)
            spent = meter.figures("drain", deliveries) | _memory("drain", service)
            commits = await service.commits()
            await service.check()
    return {
        "drain": deliveries / (ended - came["first"] / 1e9),
        "drain_queued": _rate(deliveries, filled),
        "drain_commits": 1000 * commits / deliveries,
        **spent,
    }


async def latency(bench: Bench, rate: float) -> Figures:
    """From just before a write is sent until the receiver has its callback, at a fixed rate."""
    async with _service(bench) as service:
        await service.watch(bench.address)
        await bench.receiver.ask({"do": "answer"})
        async with _load(bench, service, rate=rate) as load:
            commits = await service.commits()
            meter = Meter(service=service.process, receiver=bench.receiver, writer=load)
            run = await _written(load)
            await bench.receiver.ask({"do": "wait", "count": bench.count})
            await _settled(service)
            spent = meter.figures("latency", bench.count)
            commits = await service.commits() - commits
        arrivals = await bench.receiver.ask({"do": "arrivals"})
        await service.check()
    sent = [*run["sent"].items()][int(bench.count * WARM_UP) :]
    took = sorted((arrivals[name] - at) / 1e6 for name, at in sent)
    return {
        "latency_rate": rate,
        "latency_p50": took[len(took) // 2],
        "latency_p99": took[len(took) * 99 // 100],
        "latency_most": took[-1],
        "latency_commits": 1000 * commits / bench.count,
        **spent,
    }


async def fan_out(bench: Bench) -> Figures:
    """One change that as many watches hear of as there are changes elsewhere, and meanwhile another tenant's changes."""
    async with _service(bench) as service:
        gate = asyncio.Semaphore(CONNECTIONS)

        async def watch() -> None:
            async with gate:
                await service.watch(bench.address)

        await asyncio.gather(*(watch() for _ in range(bench.count)))
        other = await service.admin.key_of("admin", "neighbour")
        await other.watch(bench.address)
        await bench.receiver.ask({"do": "answer"})
        before = service.process.memory()
        async with _load(bench, service, count=NEIGHBOURS, rate=NEIGHBOURS_RATE, key=other.key) as load:
            load.tell(None)
            await bench.receiver.ask({"do": "wait", "count": NEIGHBOURS // 4})
            pushed = time.time_ns()
            answer = await service.admin.put(f"{documents.PATH}/everyone", {"id": "everyone"})
            answered = time.time_ns()
            assert answer.status == 201, answer.text
            run = await load.answer()
            await bench.receiver.ask({"do": "wait", "count": bench.count + NEIGHBOURS})
            await _settled(service)
        arrivals = await bench.receiver.ask({"do": "arrivals"})
        ended = (await bench.receiver.ask({"do": "departures"}))["everyone/1"]
        await service.check()
        after = service.process.memory()
    meanwhile = [name for name, at in run["sent"].items() if pushed < at < ended]
    took = sorted((arrivals[name] - run["sent"][name]) / 1e6 for name in meanwhile)
    calm = sorted((arrivals[name] - at) / 1e6 for name, at in run["sent"].items() if at < pushed)
    return {
        "fan_out": bench.count / ((ended - pushed) / 1e9),
        "fan_out_answered_ms": (answered - pushed) / 1e6,
        "fan_out_neighbour_calm": calm[len(calm) // 2],
        "fan_out_neighbour_p50": took[len(took) // 2],
        "fan_out_neighbour_most": took[-1],
        "fan_out_grew": after.get("peak", 0) - before.get("peak", 0),
    }


async def fairness(bench: Bench) -> Figures:
    """Healthy watches, and then the same beside three whose receivers are bad: how fast, and how late at half of that.

    The rates are of deliveries to healthy receivers, closed loop; the latencies are of each of them, open loop.
    """
    changes = max(bench.count // 10, 2 * CONNECTIONS)
    alone = await _to_healthy(bench, changes, [])
    rate = alone / HEALTHY / 2  # changes a second
    async with processes.worker("bad", {}) as bad:
        ports = (await bad.answer()).values()
        addresses = [f"http://127.0.0.1:{port}/hooks/accounts" for port in ports]
        beside = await _to_healthy(bench, changes, addresses)
        late_alone = await _late_to_healthy(bench, changes, [], rate)
        late_beside = await _late_to_healthy(bench, changes, addresses, rate)
    return {
        "fair_alone": alone,
        "fair_beside": beside,
        "fair_rate": beside / alone,
        "fair_p99_alone": late_alone,
        "fair_p99_beside": late_beside,
        "fair_p99": late_beside / late_alone,
    }


async def _to_healthy(bench: Bench, changes: int, bad: Sequence[str]) -> float:
    """Deliveries a second that healthy receivers get."""
    async with _neighbours(bench, bad) as service, _load(bench, service, count=changes) as load:
        run = await _written(load)
        came = await bench.receiver.ask({"do": "wait", "count": changes * HEALTHY})
    return changes * HEALTHY / ((came["last"] - run["started"]) / 1e9)


async def _late_to_healthy(bench: Bench, changes: int, bad: Sequence[str], rate: float) -> float:
    """From a write to a healthy receiver, at a fixed rate of changes: the 99th percentile (ms) of its deliveries."""
    async with _neighbours(bench, bad) as service, _load(bench, service, count=changes, rate=rate) as load:
        run = await _written(load)
        await bench.receiver.ask({"do": "wait", "count": changes * HEALTHY})
        each = await bench.receiver.ask({"do": "each"})
    counted = dict([*run["sent"].items()][int(changes * WARM_UP) :])
    took = sorted((at - counted[name]) / 1e6 for name, at in each if name in counted)
    return took[len(took) * 99 // 100]


@asynccontextmanager
async def _neighbours(bench: Bench, bad: Sequence[str]) -> AsyncIterator[Served]:
    """A service with healthy watches and some with bad receivers."""
    with _directory(bench) as directory:
        async with served.service(directory, WATCH_DELIVERY_SHUTDOWN_GRACE="0") as service:
            for address in (*bad, *[bench.address] * HEALTHY):
                await service.watch(address)
            await bench.receiver.ask({"do": "answer"})
            yield service


@contextmanager
def _directory(bench: Bench) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="webhook-watch-bench-", dir=bench.directory) as directory:
        yield Path(directory)


@asynccontextmanager
async def _service(bench: Bench) -> AsyncIterator[Served]:
    with _directory(bench) as directory:
        async with served.service(directory) as service:
            yield service


@asynccontextmanager
async def _load(
    bench: Bench, service: Served, *, count: int | None = None, rate: float | None = None, key: str | None = None
) -> AsyncIterator[Process]:
    job = {
        "host": service.host,
        "port": service.port,
        "key": key or running.ADMIN_KEY,
        "count": count or bench.count,
        "connections": CONNECTIONS,
        "rate": rate,
    }
    async with processes.worker("load", job) as load:
        await load.answer()
        yield load


async def _written(load: Process) -> dict[str, Any]:
    run = await load.ask()
    refused = {status: times for status, times in run["statuses"].items() if status not in {"200", "201"}}
    assert not refused, refused
    return run


async def _settled(service: Served) -> float:
    """When the log had nothing pending any more (seconds)."""
    await service.settled()
    return time.time()


def _rate(count: int, run: Mapping[str, int]) -> float:
    return count / ((run["ended"] - run["started"]) / 1e9)


def _memory(scenario: str, service: Served) -> Figures:
    return {f"{scenario}_{name}": megabytes for name, megabytes in service.process.memory().items()}
