"""What only a database does that several processes share: life and death, locks, marks, and who waits for whom."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence

import pytest

from service import errors
from service.model import Health
from service.store import deliveries, health, jobs, journal, replicas, resources, store
from service.store.driver import Transaction
from service.store.jobs import Job
from service.store.sql import Query
from service.store.store import SharedStore
from tests.support import stored
from tests.support.postgres import Server
from tests.support.stored import NOW, TENANT, TYPE, change, deliver, delivery, do, resource

SILENCE = Query("test.silence", "UPDATE replicas SET expires = 0 WHERE id = :id")
LINE = Query(
    "test.line",
    "INSERT INTO journal (tenant, delivery_id, at, kind, status, attempts) "
    "VALUES (:tenant, 'dlv', 0, 'created', 'pending', 0) RETURNING seq",
)


@pytest.fixture
async def url(postgres_server: Server):
    found = await postgres_server.new_database()
    yield found
    await postgres_server.drop(found)


async def test_who_has_not_been_heard_of_is_buried_once_and_lives_on_only_anew(opened: SharedStore):
    for name in ("one", "two"):
        await replicas.join(opened, name)
    assert await replicas.beat(opened, "one", works=True) == 0
    assert await replicas.beat(opened, "two", works=False) == 1, "others that deliver"
    assert await do(opened, replicas.bury, "two") == []
    await opened.fetch(SILENCE, {"id": "one"})
    assert await do(opened, replicas.bury, "one") == [], "nobody buries himself"
    assert await do(opened, replicas.bury, "two") == ["one"]
    assert await do(opened, replicas.bury, "two") == []
    assert await replicas.beat(opened, "one", works=True) is None
    await do(opened, replicas.leave, "two")
    assert await replicas.beat(opened, "two", works=True) is None


async def test_whose_jobs_seem_to_run_and_who_is_no_more_is_found(opened: SharedStore):
    await replicas.join(opened, "alive")
    for worker in ("alive", "dead", None):
        await do(opened, jobs.insert, Job(f"job_{worker}", TENANT, "import", str(worker), NOW, worker=worker))
    assert await replicas.gone(opened) == ["dead"]
    await do(opened, jobs.abandon, "import", "cut off", NOW, ["dead"])
    assert await replicas.gone(opened) == []


async def test_nobody_is_buried_while_a_transaction_of_his_is_open(opened: SharedStore):
    await replicas.join(opened, "one")
    going = asyncio.Event()

    async def slow(transaction: Transaction, items: list[None]) -> list[None]:
        assert (await replicas.begin(transaction, "one"))["id"] == "one"
        await opened.fetch(SILENCE, {"id": "one"})
        await going.wait()
        return items

    async def bury(transaction: Transaction, items: list[None]) -> list[list[str]]:
        return [await replicas.bury(transaction, "two") for _ in items]

    waiting = asyncio.create_task(opened.submit(slow, None))
    while not (await opened.fetch(Query("test.expired", "SELECT 1 FROM replicas WHERE expires = 0"))):
        await asyncio.sleep(0.01)
    assert await opened.submit(bury, None) == []
    going.set()
    await waiting
    assert await opened.submit(bury, None) == ["one"]


async def test_a_lock_is_one_s_until_it_is_given_back_or_its_time_is_over(opened: SharedStore):
    assert await replicas.lock(opened, "token w1", "one", 60_000)
    assert await replicas.lock(opened, "token w1", "one", 60_000)
    assert not await replicas.lock(opened, "token w1", "two", 60_000)
    assert await replicas.lock(opened, "token w2", "two", 60_000)
    await replicas.unlock(opened, "token w1", "two")
    assert not await replicas.lock(opened, "token w1", "two", 60_000)
    await replicas.unlock(opened, "token w1", "one")
    assert await replicas.lock(opened, "token w1", "two", -1)
    assert await replicas.lock(opened, "token w1", "one", 60_000), "its time was over"
    await do(opened, replicas.free_locks, ["one", "two"])
    assert await replicas.lock(opened, "token w2", "one", 60_000)


async def test_a_tail_never_passes_a_line_that_is_not_committed_yet(opened: SharedStore):
    open_, done = asyncio.Event(), asyncio.Event()
    first: list[int] = []

    async def slow(transaction: Transaction, items: list[None]) -> list[None]:
        first.append((await transaction.fetch(LINE, {"tenant": "slow"}))[0]["seq"])
        open_.set()
        await done.wait()
        return items

    async def quick(transaction: Transaction, items: list[None]) -> list[int]:
        return [(await transaction.fetch(LINE, {"tenant": "quick"}))[0]["seq"] for _ in items]

    before = await opened.submit(quick, None)
    waiting = asyncio.create_task(opened.submit(slow, None))
    await open_.wait()
    after = await opened.submit(quick, None)
    assert before < first[0] < after
    assert await journal.last_seq(opened) < first[0]
    done.set()
    await waiting
    assert await journal.last_seq(opened) == after


async def test_who_writes_a_resource_waits_for_who_ends_a_delivery_of_it(opened: SharedStore):
    """So that of two that come at once, either the end sees the next one, or the next one sees the end."""
    await stored.watch(opened, "w1")
    await do(opened, resources.insert, [resource("a")])
    await deliver(opened, delivery(change("a"), worker="me"))
    key = (TENANT, TYPE, "a")
    held, order = asyncio.Event(), []

    async def write(transaction: Transaction, items: list[None]) -> list[None]:
        await resources.load(transaction, [key])
        held.set()
        await asyncio.sleep(0.1)  # the other one has begun, and waits
        await deliveries.insert(transaction, [], NOW)
        order.append("written")
        return items

    async def end(transaction: Transaction, items: list[None]) -> list[None]:
        await resources.hold(transaction, [key])
        order.append("ended")
        return items

    writing = asyncio.create_task(opened.submit(write, None))
    await held.wait()
    await opened.submit(end, None)
    await writing
    assert order == ["written", "ended"]


async def test_of_two_that_count_a_first_failure_at_once_neither_is_lost(opened: SharedStore):
    async def count(transaction: Transaction, items: Sequence[None]) -> Sequence[None]:
        known = await health.locked(transaction, ["w1"])
        await asyncio.sleep(0.05)  # the other one has begun
        await health.save(transaction, {"w1": Health(known["w1"].failures + 1, NOW, None)})
        return items

    async def another(transaction: Transaction, items: Sequence[None]) -> Sequence[None]:
        return await count(transaction, items)

    await asyncio.gather(opened.submit(count, None), opened.submit(another, None))
    assert (await health.of(opened, ["w1"]))["w1"].failures == 2


async def test_a_write_alone_waits_for_the_transactions_of_all_processes(opened: SharedStore, url: str):
    open_, done = asyncio.Event(), asyncio.Event()
    order = []

    async def slow(_transaction: Transaction, items: list[None]) -> list[None]:
        open_.set()
        await done.wait()
        order.append("one of many")
        return items

    async def alone(_transaction: Transaction) -> None:
        order.append("alone")

    async with asyncio.TaskGroup() as group, store.opened(url, group) as other:
        waiting = asyncio.create_task(other.submit(slow, None))
        await open_.wait()
        writing = asyncio.create_task(opened.write(alone))
        await asyncio.sleep(0.1)
        assert not writing.done()
        done.set()
        await asyncio.gather(waiting, writing)
    assert order == ["one of many", "alone"]


async def test_what_one_tells_all_others_hear_and_it_does_not(opened: SharedStore, url: str):
    heard: list[tuple[str, list[str]]] = []

    class Nobody:
        worker_id = "wrk"

        async def begun(self, transaction: Transaction, row: object) -> None:
            """Whatever."""

    async with asyncio.TaskGroup() as group, store.opened(url, group) as other:
        assert isinstance(other, SharedStore)
        other.attend(Nobody(), lambda topic, names: heard.append((topic, sorted(names))))
        async with asyncio.timeout(5):
            while (store.DELIVERIES, ["w1", "w2"]) not in heard:
                opened.tell(store.DELIVERIES, "w1")
                opened.tell(store.DELIVERIES, "w2")
                other.tell(store.SOURCES)
                await asyncio.sleep(0.02)
        for number in range(1000):
            opened.tell(store.DELIVERIES, f"wch_{number:026}")
        async with asyncio.timeout(5):
            while (store.DELIVERIES, []) not in heard:
                await asyncio.sleep(0.02)
    assert store.SOURCES not in {topic for topic, _ in heard}


async def test_without_its_library_the_start_says_what_to_install(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "asyncpg", None)
    monkeypatch.delitem(sys.modules, "service.store.postgres", raising=False)
    with pytest.raises(errors.ConfigError, match=r"webhook-watch\[postgres\]"):
        async with store.database("postgresql://watch@127.0.0.1/watch"):
            pass


async def test_a_database_that_cannot_be_reached_stops_the_start_without_showing_its_password():
    with pytest.raises(errors.ConfigError) as refused:
        async with store.database("postgresql://watch:hunter2@127.0.0.1:1/watch"):
            pass
    assert "127.0.0.1/watch" in refused.value.detail
    assert "hunter2" not in refused.value.detail
