"""``python -m tests.bench.waiting``: what deliveries cost that wait for a retry, and how soon a start with them delivers.

A service registers watches and stops; deliveries that were tried once and are due in an hour are written directly
through the store; the service starts again, and a new change is pushed as soon as it is ready.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from pathlib import Path

import click

from service import clock, ids
from service.model import Change, DeliveryStatus, Event, Reason
from service.store import changes, deliveries, store
from service.store.deliveries import NewDelivery
from service.store.driver import Transaction
from service.store.store import Store
from tests.bench import log_size, processes, served

WAITING, WATCHES = 100_000, 50
HOUR = 3_600_000  # ms
AT_ONCE = 20  # changes of one transaction
QUIET = 5.0  # seconds that the service is watched while nothing happens
TYPE = "agendize.account"


@click.command(help=__doc__.split("\n", maxsplit=1)[0].partition(": ")[2] if __doc__ else None)
@click.option("--waiting", default=WAITING, show_default=True, type=click.IntRange(WATCHES))
@click.option("--directory", type=click.Path(path_type=Path, exists=True, file_okay=False), help="Where it is put.")
def main(waiting: int, directory: Path | None) -> None:
    """Fill, start, and say how it went."""
    with tempfile.TemporaryDirectory(prefix="webhook-watch-bench-", dir=directory) as place:
        for name, value in asyncio.run(_measure(Path(place), waiting)).items():
            click.echo(f"{name:58}{value:10.3f}")


async def _measure(place: Path, waiting: int) -> dict[str, float]:
    async with processes.worker("receiver", {}) as receiver:
        address = f"http://127.0.0.1:{(await receiver.answer())['port']}/hooks"
        await receiver.ask({"do": "answer"})
        async with served.service(place) as service:
            made = [await service.admin.watch(address) for _ in range(WATCHES)]
        async with asyncio.TaskGroup() as group, store.opened(f"sqlite:///{place}/watch.db", group) as opened:
            await _fill(opened, [watch["id"] for watch in made], waiting)
        started = time.time()
        async with served.service(place) as service:
            ready = time.time()
            answer = await service.admin.put(f"/api/v1/resources/{TYPE}/new", {"id": "new"})
            assert answer.status == 201, answer.text
            came = await receiver.ask({"do": "wait", "count": 1})
            await asyncio.sleep(1)
            before, memory = service.process.cost(), service.process.memory()
            await asyncio.sleep(QUIET)
            spent = service.process.cost() - before
    return {
        "deliveries that wait": waiting,
        "start to ready, s": ready - started,
        "start to the first delivery, s": came["first"] / 1e9 - started,
        "CPU while nothing happens, ms a second": 1000 * spent.total / QUIET,
        "resident memory, MB": memory.get("rss", 0.0),
    }


async def _fill(opened: Store, watch_ids: list[str], waiting: int) -> None:
    for start in range(0, waiting // len(watch_ids), AT_ONCE):
        numbers = range(start, min(start + AT_ONCE, waiting // len(watch_ids)))
        await opened.submit(_write, (numbers, watch_ids))


async def _write(transaction: Transaction, items: list[tuple[range, list[str]]]) -> list[None]:
    now = clock.now_ms()
    for numbers, watch_ids in items:
        made = [_change(number, now) for number in numbers]
        await changes.insert(transaction, made)
        new = [
            NewDelivery(ids.new("dlv", now), watch_id, change, change.object_id, now, None)
            for change in made
            for watch_id in watch_ids
        ]
        await deliveries.insert(transaction, new, now)
        ended = {"status": DeliveryStatus.PENDING, "reason": Reason.STATUS, "due": now + HOUR}
        await transaction.many(log_size.END, [{"id": item.id, **ended} for item in new])
        attempt = {"at": now, "body": "{}", "code": 503, "reason": Reason.STATUS}
        await transaction.many(log_size.ATTEMPT, [{"id": item.id, **attempt} for item in new])
    return [None] * len(items)


def _change(number: int, now: int) -> Change:
    document = {"id": f"waiting{number}", "number": number}
    return Change(
        ids.new("chg", now), "default", TYPE, f"waiting{number}", Event.CREATED, 1, now, None, document, [], "/agendize"
    )


if __name__ == "__main__":
    main()
