"""No list, whatever it is filtered by, and nothing that runs by itself reads a whole table: the databases' own plans."""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from service.store import journal, migrate, sql
from service.store.driver import Database, Row, Transaction
from service.store.sql import Query

TENANTS = "INSERT INTO tenants (id, created) VALUES ('default', 1) ON CONFLICT DO NOTHING"
WATCH = (
    "INSERT INTO watches (id, tenant, object_type, status, address, spec, created, updated, revision) "
    "VALUES (:id, 'default', :type, 'enabled', 'http://x', '{}', 1, 1, 1)"
)
VALUES: Mapping[str, tuple[Any, ...]] = {
    "watchId": ("w",),
    "objectId": ("o",),
    "objectType": ("agendize.account", "rinkel.user", "none"),
    "objectEvent": ("created", "updated", "deleted", "test"),
    "status": ("pending", "succeeded", "failed", "canceled"),
    "statusCode": (200, 500),
    "reason": ("status",),
    "since": (5,),
    "until": (5,),
    "cursor": ("dlv_",),
}
LARGE = "deliveries|attempts|changes|journal|resources|replay_seen"
OWN = ("deliveries_lane", "deliveries_claimable")  # indexes of what is pending alone, which may be read whole
NAMED = [
    ("journal", "history"),
    ("journal", "expired"),
    ("journal", "drop_attempts"),
    ("journal", "drop_delivery"),
    ("journal", "last_seq"),
    ("journal", "first_seq"),
    ("changes", "purge"),
    ("deliveries", "take_over"),
    ("deliveries", "backlog"),
    ("fanouts", "head"),
    ("fanouts", "change"),
    ("replays", "deliveries"),
    ("replays", "changes"),
    ("replays", "progress"),
    ("replays", "behind"),
]


class Explained:
    """Answers queries, and notes how the database goes about them."""

    def __init__(self, transaction: Transaction, *, is_shared: bool) -> None:
        self._transaction = transaction
        self._explain = "EXPLAIN (COSTS OFF)" if is_shared else "EXPLAIN QUERY PLAN"
        self.steps: list[str] = []

    async def fetch(self, query: Query, params: Mapping[str, Any] | None = None) -> list[Row]:
        await self.explain(query, params)
        return await self._transaction.fetch(query, params)

    async def explain(self, query: Query, params: Mapping[str, Any] | None) -> None:
        """Note it without running it."""
        plan = await self._transaction.fetch(Query(query.name, f"{self._explain} {query.text}"), params)
        self.steps += [str(row[-1]) for row in plan]

    def scans(self) -> list[str]:
        """The steps that read a large table from one end to the other."""
        return [step for step in self.steps if _is_scan(step)]


def _is_scan(step: str) -> bool:
    if re.search(rf"Seq Scan on ({LARGE})\b", step):
        return True
    scan = re.match(rf"SCAN ({LARGE}|[dacjps])\b(.*)", step)
    return scan is not None and not any(name in scan[2] for name in OWN)


def _combinations() -> list[dict[str, Any]]:
    singles = [{name: value} for name, values in VALUES.items() for value in values]
    pairs = [{**one, **other} for one, other in itertools.combinations(singles, 2) if one.keys().isdisjoint(other)]
    return [{}, *singles, *pairs]


async def _prepared(database: Database) -> None:
    await migrate.migrate(database)
    async with database.transaction() as transaction:
        await transaction.fetch(Query("tenants", TENANTS))
        for id_, type_ in (("w", "agendize.account"), ("v", "rinkel.user")):
            await transaction.fetch(Query("watch", WATCH), {"id": id_, "type": type_})


async def test_no_list_of_deliveries_reads_a_whole_table(database: Database):
    await _prepared(database)
    found = {}
    async with database.transaction() as transaction:
        if database.is_shared:  # a table of nothing is read whole unless that is dear
            await transaction.fetch(Query("dear", "SET LOCAL enable_seqscan = off"))
        for filters in _combinations():
            explained = Explained(transaction, is_shared=database.is_shared)
            assert await journal.page(explained, "default", filters, 50) == []
            if scans := explained.scans():
                found[str(filters)] = scans
    assert not found


@pytest.mark.parametrize("name", NAMED, ids=".".join)
async def test_what_runs_by_itself_reads_no_whole_table(database: Database, name: tuple[str, str]):
    await _prepared(database)
    file, block = name
    query = getattr(sql.Queries(Path(migrate.__file__).parent / f"{file}.sql"), block)
    async with database.transaction() as transaction:
        if database.is_shared:
            await transaction.fetch(Query("dear", "SET LOCAL enable_seqscan = off"))
        explained = Explained(transaction, is_shared=database.is_shared)
        await explained.explain(query, dict.fromkeys(re.findall(r"(?<!:):(\w+)", query.text)))
    assert not explained.scans()
