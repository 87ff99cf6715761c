"""``python -m tests.bench.log_size``: what a log of a million deliveries costs, in proportion to one of ten thousand.

Two databases are filled directly through the store, each by its own figures: most deliveries taken, some given up,
some waiting for a retry; beside the large tenant a small one. Then the same is done to both by turns: lists by every
filter (values that are common, rare, and nowhere), the tail's window, new deliveries, retention, and a start.

    python -m tests.bench.log_size                  10,000 against 1,000,000: some minutes, 2 GB of disk
    python -m tests.bench.log_size --large 100000   a shorter look
"""

from __future__ import annotations

import asyncio
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from service import ids
from service.journal import log, retention
from service.model import Change, DeliveryStatus, Event, Reason
from service.store import changes, deliveries, journal, store
from service.store.deliveries import NewDelivery
from service.store.driver import Transaction
from service.store.sql import Query
from service.store.store import Store

SMALL, LARGE = 10_000, 1_000_000  # deliveries
WATCHES = 10  # that hear of each change
OBJECTS = 5_000
AT_ONCE = 100  # changes of one transaction
ROUNDS = 15
STEP = 20  # ms between two changes
TENANT, WORKER = "default", "wrk_bench"
START = 1_790_000_000_000  # ms: when the first delivery was made
EVENTS = (Event.UPDATED,) * 8 + (Event.CREATED,) * 2

# What becomes of a delivery, by its number: all but these are taken.
FAILED_EVERY, WAITING_EVERY, RARE_EVERY = 50, 97, 4_999
SCATTER, SCATTER_OVER = 48_271, 2_147_483_647

END = Query(
    "bench.end",
    "UPDATE deliveries SET status = :status, reason = :reason, due = :due, worker = NULL, attempts = 1 WHERE id = :id",
)
ATTEMPT = Query(
    "bench.attempt",
    "INSERT INTO attempts (delivery_id, number, started, duration, method, address, request_headers, body, status_code, "
    "response_headers, response_body, reason, error_message) VALUES (:id, 1, :at, 12, 'POST', 'http://127.0.0.1/hooks', "
    """'{"content-type":"application/json","user-agent":"webhook-watch"}', :body, :code, '{}', 'ok', :reason, NULL)""",
)
WATCH = Query(
    "bench.watch",
    "INSERT INTO watches (id, tenant, object_type, status, name, address, spec, created, updated, revision) "
    "VALUES (:id, :tenant, :type, 'enabled', NULL, 'http://127.0.0.1/hooks', '{}', 1, 1, 1)",
)
ALL_TENANTS = Query(
    "bench.tenant", "INSERT INTO tenants (id, created) VALUES ('small', 1), ('default', 1) ON CONFLICT DO NOTHING"
)

FILTERS: tuple[dict[str, object], ...] = (
    {},
    {"watchId": "wch_3"},
    {"watchId": "wch_none"},
    {"objectId": "acc7"},
    {"objectId": "none"},
    {"objectType": "agendize.account"},
    {"objectType": "rinkel.user"},
    {"objectType": "outreach.user"},
    {"objectEvent": "updated"},
    {"objectEvent": "created"},
    {"objectEvent": "deleted"},
    {"objectEvent": "test"},
    {"status": "succeeded"},
    {"status": "failed"},
    {"status": "pending"},
    {"status": "canceled"},
    {"statusCode": 200},
    {"statusCode": 500},
    {"statusCode": 418},
    {"reason": "status"},
    {"reason": "timeout"},
    {"reason": "tls"},
    {"since": START + 50_000},
    {"since": 2 * START},
    {"until": START + 50_000},
    {"until": START},
    {"watchId": "wch_3", "status": "failed"},
    {"watchId": "wch_3", "status": "pending"},
    {"watchId": "wch_3", "reason": "tls"},
    {"objectId": "acc7", "status": "failed"},
    {"objectType": "rinkel.user", "status": "failed"},
    {"objectEvent": "created", "status": "failed", "since": START},
    {"status": "failed", "statusCode": 500},
)


@click.command(help=__doc__.split("\n", maxsplit=1)[0].partition(": ")[2] if __doc__ else None)
@click.option("--small", default=SMALL, show_default=True, type=click.IntRange(1000))
@click.option("--large", default=LARGE, show_default=True, type=click.IntRange(1000))
@click.option(
    "--directory", type=click.Path(path_type=Path, exists=True, file_okay=False), help="Where databases are put."
)
def main(small: int, large: int, directory: Path | None) -> None:
    """Fill both, measure by turns, and say how they compare."""
    with tempfile.TemporaryDirectory(prefix="webhook-watch-bench-", dir=directory) as place:
        rows = asyncio.run(_measure(Path(place), small, large))
    table = Table(
        "", f"{small:,}", f"{large:,}", "ratio", title="milliseconds, medians", title_justify="left", box=None
    )
    for column in table.columns[1:]:
        column.justify = "right"
    for name, one, other in rows:
        table.add_row(name, f"{one:.2f}", f"{other:.2f}", f"{other / one:.2f}")
    Console(highlight=False, width=100).print(table)


async def _measure(place: Path, small: int, large: int) -> list[tuple[str, float, float]]:
    async with AsyncExitStack() as stack:
        group = await stack.enter_async_context(asyncio.TaskGroup())
        stores = []
        for name, count in (("small", small), ("large", large)):
            opened = await stack.enter_async_context(store.opened(f"sqlite:///{place}/{name}.db", group))
            await fill(opened, count)
            stores.append(opened)
        return [(name, *[await _median(work, each) for each in stores]) for name, work in _works()]


def _works() -> Iterator[tuple[str, Callable[[Store], Awaitable[object]]]]:
    for filters in FILTERS:
        name = ", ".join(f"{key}={value}" for key, value in filters.items()) or "all"
        yield f"list {name}", lambda opened, filters=filters: log.page(opened, TENANT, dict(filters), 50)
    yield "list of a small tenant", lambda opened: log.page(opened, "small", {}, 50)
    yield "tail: the last 500 lines", _tail
    yield "100 deliveries inserted", lambda opened: opened.submit(_insert, None)
    yield "taken over at a start", lambda opened: opened.write(lambda t: deliveries.take_over(t, "wrk_new"))
    yield "what waits, after a start", deliveries.backlog
    yield "retention: one chunk", lambda opened: opened.submit(retention.drop, START + STEP * 900)


async def _median(work: Callable[[Store], Awaitable[object]], opened: Store) -> float:
    took = []
    for _ in range(ROUNDS):
        started = time.perf_counter()
        await work(opened)
        took.append(1000 * (time.perf_counter() - started))
    return statistics.median(took)


async def _tail(opened: Store) -> None:
    last = await journal.last_seq(opened)
    await journal.events(opened, TENANT, last - 500, last, {})


async def _insert(transaction: Transaction, items: list[None]) -> list[None]:
    now = START * 2
    for number in range(10):
        change = replace(_change(number, now, TENANT), object_id=ids.new("acc"))
        await changes.insert(transaction, [change])
        new = [NewDelivery(ids.new("dlv", now), f"wch_{w}", change, None, now, WORKER) for w in range(WATCHES)]
        await deliveries.insert(transaction, new, now)
    return [None] * len(items)


async def fill(opened: Store, count: int) -> None:
    """So many deliveries, and a hundred of another tenant in their midst."""
    await opened.write(_prepare)
    for start in range(0, count // WATCHES, AT_ONCE):
        await opened.submit(_fill, range(start, min(start + AT_ONCE, count // WATCHES)))


async def _prepare(transaction: Transaction) -> None:
    await transaction.fetch(ALL_TENANTS)
    types = {WATCHES: "rinkel.user", WATCHES + 1: "outreach.user"}
    for number in range(WATCHES + 2):
        row = {"id": f"wch_{number}", "tenant": TENANT, "type": types.get(number, "agendize.account")}
        await transaction.fetch(WATCH, row)
    await transaction.fetch(WATCH, {"id": "wch_small", "tenant": "small", "type": "agendize.account"})


async def _fill(transaction: Transaction, ranges: list[range]) -> list[None]:
    for numbers in ranges:
        new: list[NewDelivery] = []
        made: list[Change] = []
        for number in numbers:
            now = START + number * STEP
            change = _change(number, now, TENANT)
            made.append(change)
            new += [NewDelivery(ids.new("dlv", now), f"wch_{w}", change, None, now, WORKER) for w in range(WATCHES)]
        if numbers.start == 0:
            made.append(rare := _change(-1, START, TENANT, "rinkel.user"))
            made.append(other := _change(-2, START, "small"))
            new += [NewDelivery(ids.new("dlv", START), f"wch_{WATCHES}", rare, None, START, WORKER) for _ in range(5)]
            new += [NewDelivery(ids.new("dlv", START), "wch_small", other, None, START, WORKER) for _ in range(100)]
        await changes.insert(transaction, made)
        for start in range(0, len(new), WATCHES):
            await deliveries.insert(transaction, new[start : start + WATCHES], new[start].change.time)
        ends = [_end(numbers.start * WATCHES + index, item) for index, item in enumerate(new)]
        await transaction.many(END, [{key: end[key] for key in ("id", "status", "reason", "due")} for end in ends])
        await transaction.many(
            ATTEMPT, [{key: end[key] for key in ("id", "at", "body", "code", "reason")} for end in ends]
        )
    return [None] * len(ranges)


def _end(number: int, item: NewDelivery) -> dict[str, object]:
    status, reason, code, due = DeliveryStatus.SUCCEEDED, None, 200, None
    number = number * SCATTER % SCATTER_OVER  # nothing that is regular in what was written
    if number % RARE_EVERY == 1:
        status, reason, code = DeliveryStatus.FAILED, Reason.TIMEOUT, None
    elif number % FAILED_EVERY == 2:
        status, reason, code = DeliveryStatus.FAILED, Reason.STATUS, 500
    elif number % WAITING_EVERY == 3:
        status, reason, code, due = DeliveryStatus.PENDING, Reason.STATUS, 503, START * 3
    at, body = item.change.time, '{"id":"1","comment":"' + "c" * 900 + '"}'
    return {"id": item.id, "status": status, "reason": reason, "due": due, "at": at, "body": body, "code": code}


def _change(number: int, now: int, tenant: str, type_: str = "agendize.account") -> Change:
    object_id = f"acc{number % OBJECTS}" if number >= 0 else f"other{number}"
    document = {"id": object_id, "number": number}
    return Change(
        id=ids.new("chg", now),
        tenant=tenant,
        type=type_,
        object_id=object_id,
        event=EVENTS[number % len(EVENTS)] if number >= 0 else Event.UPDATED,
        version=max(number, 0) // OBJECTS + 1,
        time=now,
        before=None,
        after=document,
        diff=[],
        source="/agendize",
    )


if __name__ == "__main__":
    main()
