"""Who writes, and who is told: random writes at a bounded rate, and receivers that note what comes."""

from __future__ import annotations

import asyncio
import itertools
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import aiohttp

from tests.chaos.ledger import Arrival, Ledger, Said, Write
from tests.support.receiver import Answer, Call, Receiver
from tests.support.running import Client

TYPE = "/api/v1/resources/agendize.account"
NOTHING = "nothing was stored"  # what a 503 says if it is sure of that
WRITERS = 16
DELETIONS = 0.05  # of the writes


class Hook:
    """The receiver of one watch. ``mood`` is what it does to a callback in a bad time; None: it takes it."""

    def __init__(self, name: str, ledger: Ledger, is_allowed: Callable[[Call], bool] = lambda _call: True) -> None:
        self.name = name
        self.mood: Callable[[], Answer | None] = lambda: None
        self.receiver = Receiver()
        self.receiver.answers = self._answer
        self._ledger = ledger
        self._is_allowed = is_allowed

    def _answer(self, call: Call) -> Answer:
        answer = (self.mood() or Answer(200)) if self._is_allowed(call) else Answer(401)
        self._ledger.arrivals.append(
            Arrival(
                self.name,
                call.headers["ce-subject"],
                int(call.headers["ce-sequence"]),
                call.headers["ce-id"],
                call.headers["webhook-id"],
                call.json()["organization"],
                taken=answer == Answer(200),
            )
        )
        return answer


@dataclass(slots=True)
class Resource:
    """What its one writer knows of a resource."""

    id: str
    version: int | None = None  # None: it is not there, or nobody knows


class Load:
    """Writers, each with resources of its own, all together at a rate."""

    def __init__(self, clients: Sequence[Client], ledger: Ledger, chance: random.Random, rate: float) -> None:
        self._clients = clients
        self._ledger = ledger
        self._chance = chance
        self._pause = WRITERS / rate  # seconds between two writes of a writer, on the average
        self._marks = itertools.count(1)
        self.odd: list[str] = []  # answers that should not be

    async def run(self, resources: int, over: asyncio.Event) -> None:
        async with asyncio.TaskGroup() as group:
            for number in range(WRITERS):
                mine = [Resource(f"r{index}") for index in range(number, resources, WRITERS)]
                group.create_task(self._write_all(mine, over))

    async def _write_all(self, mine: Sequence[Resource], over: asyncio.Event) -> None:
        while not over.is_set():
            await asyncio.sleep(self._chance.uniform(0, 2 * self._pause))
            chosen, client = self._chance.choice(mine), self._chance.choice(self._clients)
            # After an answer that was lost comes no deletion: two of them in a row could not be told apart.
            if chosen.version is not None and self._chance.random() < DELETIONS:
                await self._delete(client, chosen)
            else:
                await self._put(client, chosen)

    async def _put(self, client: Client, chosen: Resource) -> None:
        mark = f"mark {next(self._marks)}"
        said, body = await self._call(client, "PUT", chosen.id, {"id": chosen.id, "organization": mark})
        version = body["version"] if said is Said.ACCEPTED else None
        self._ledger.writes.append(Write(chosen.id, mark, said, version))
        if said is not Said.REFUSED:
            chosen.version = version

    async def _delete(self, client: Client, chosen: Resource) -> None:
        said, _ = await self._call(client, "DELETE", chosen.id, None)
        self._ledger.writes.append(Write(chosen.id, None, said, chosen.version))
        if said is not Said.REFUSED:
            chosen.version = None

    async def _call(self, client: Client, method: str, object_id: str, body: object) -> tuple[Said, dict[str, int]]:
        try:
            answer = await client.call(method, f"{TYPE}/{object_id}", body)
        except aiohttp.ClientConnectorError:
            return Said.REFUSED, {}
        except (aiohttp.ClientError, TimeoutError):
            return Said.LOST, {}
        if answer.status in {200, 201, 204}:
            return Said.ACCEPTED, answer.body or {}
        if answer.status == 503:
            return (Said.REFUSED if NOTHING in answer.text else Said.LOST), {}
        self.odd.append(f"{method} {object_id} was answered {answer.status}: {answer.text[:200]}")
        return Said.LOST, {}
