"""Every named query is prepared against the real tables, so that no typing error waits for its caller."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from service.store import feed, journal, migrate, sql, sqlite
from service.store.driver import Database

FILES = sorted((Path(migrate.__file__).parent).glob("*.sql"))
QUERIES = [query for file in FILES for query in sql.Queries(file)]
FRAGMENTS = {
    "journal.list": list(journal.FILTERS.values()),
    "journal.events": list(journal.EVENT_FILTERS.values()),
    "feed.page": [feed.REST, feed.LATER, *feed.FILTERS.values()],
    "feed.of_one": [feed.BEHIND, *feed.FILTERS.values()],
}


async def test_every_query_is_understood_by_the_database(database: Database):
    await migrate.migrate(database)
    refused = {}
    for query in QUERIES:
        text = query.postgresql if database.is_shared and query.postgresql is not None else query.text
        text = text.replace("@filters@", " AND ".join(FRAGMENTS.get(query.name, ())))
        text = text.replace("@from@", journal.PLAIN.rows).replace("@tie@", journal.PLAIN.tie)
        text = text.replace("@order@", journal.PLAIN.order)
        named = dict.fromkeys(re.findall(r"(?<!:):(\w+)", text))
        try:
            await database.fetch(sql.Query(query.name, f"EXPLAIN {text}" if text else ""), named)
        except Exception as error:  # noqa: BLE001  all of them are told
            refused[query.name] = str(error)
    assert not refused


@pytest.mark.parametrize(
    "name",
    [
        "deliveries.claim",
        "deliveries.advance",
        "deliveries.backlog",
        "deliveries.advanced",
        "deliveries.insert",
        "deliveries.journal",
        "deliveries.save_attempt",
        "deliveries.settle",
        "deliveries.next_due",
        "resources.load",
        "resources.owners",
        "journal.expired",
        "health.of",
        "health.locked",
        "health.ailing",
    ],
)
async def test_what_runs_all_the_time_never_scans_a_table(name: str, tmp_path: Path):
    query = next(query for query in QUERIES if query.name == name)
    named = dict.fromkeys(re.findall(r"(?<!:):(\w+)", query.text))
    async with sqlite.opened(tmp_path / "a.db") as database:
        await migrate.migrate(database)
        plan = await database.fetch(sql.Query(name, f"EXPLAIN QUERY PLAN {query.text}"), named)
    steps = [row["detail"] for row in plan]
    tables = "deliveries|resources|identities|changes|journal|watch_health|[drijh]"
    assert not [step for step in steps if re.match(rf"SCAN ({tables})\b(?!.*USING (COVERING )?INDEX)", step)], steps
