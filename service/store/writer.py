"""Group commit: writes that wait at the same time share one transaction.

A commit costs an fsync, and an fsync costs as much as a hundred inserts. So nobody commits for himself: a
write is an *item* handed to a *batch function*, and while one transaction is being made durable, the items
that arrive wait and go together into the next. A batch function gets all waiting items of its kind at once,
inside the open transaction, and answers one result for each, in order; an exception among the results is
raised to the caller of that item alone and must have left nothing behind. If a batch function itself raises,
everything is rolled back and each item is tried in a transaction of its own, so that one bad item cannot
fail its neighbours. What collides with another process is tried again as it is, a few times, before that.

A rare write that changes what the batch functions themselves lean on (a watch, a key) goes *alone*, in a
transaction of its own: what it does after its commit is done before the next batch begins.

A caller is answered after the commit, never before; but where others wait already, the answers go out when their
transaction has been handed to the database. What callers do with an answer takes the event loop as long as the commit
takes the database, so that each would wait for the other if they took turns.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from service import errors
from service.store.driver import Collision, Transaction

LONGEST_UNTOLD = 0.002  # seconds that an answer waits for the next transaction to be on its way
MOST_ITEMS = 512  # of one transaction: bounds what a commit makes the next one wait
TRIES = 5  # of a transaction that collides with those of other processes

Item = TypeVar("Item")
Result = TypeVar("Result")
Batch = Callable[[Transaction, Sequence[Any]], Awaitable[Sequence[Any]]]


class Transactional(Protocol):
    """A database that can open a transaction."""

    def transaction(self, *, alone: bool = False) -> AbstractAsyncContextManager[Transaction]:
        """One transaction, committed at the end of the block: see driver.Database."""
        ...


@dataclass(slots=True)
class Waiting:
    """An item in the queue, and who waits for it."""

    batch: Batch
    item: Any
    alone: bool = False
    future: asyncio.Future[Any] | None = None
    failed: Callable[[Any, Exception], None] | None = None  # in place of a future

    def tell(self, result: Any) -> None:
        """What came of it; if its caller went away meanwhile, what it asked for is stored all the same."""
        if self.failed is not None and isinstance(result, Exception):
            self.failed(self.item, result)
        if self.future is None or self.future.done():
            return
        if isinstance(result, Exception):
            self.future.set_exception(result)
        else:
            self.future.set_result(result)


class Writer:
    """The queue in front of the database's one writing connection."""

    def __init__(self, database: Transactional) -> None:
        self._database = database
        self._queue: deque[Waiting] = deque()
        self._arrived = asyncio.Event()
        self._closed = False
        self._committed = asyncio.Event()
        self._untold: list[tuple[Waiting, Any]] = []  # what is durable, and its callers do not know yet
        self.commits = 0

    async def submit(
        self,
        batch: Callable[[Transaction, Sequence[Item]], Awaitable[Sequence[Result | Exception]]],
        item: Item,
        *,
        alone: bool = False,
    ) -> Result:
        """Hand one item to a batch function; its result, once it is durable."""
        return await self.enqueue(batch, item, alone=alone)

    def enqueue(
        self,
        batch: Callable[[Transaction, Sequence[Item]], Awaitable[Sequence[Result | Exception]]],
        item: Item,
        *,
        alone: bool = False,
    ) -> asyncio.Future[Result]:
        """The same, its result as a future."""
        if self._closed:
            raise errors.Unavailable("the service is stopping; nothing was stored")
        future: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        self._queue.append(Waiting(batch, item, alone, future))
        self._arrived.set()
        return future

    def post(
        self,
        batch: Callable[[Transaction, Sequence[Item]], Awaitable[Sequence[Result | Exception]]],
        item: Item,
        failed: Callable[[Item, Exception], None],
    ) -> None:
        """Hand one item to a batch function, and go on; ``failed`` is called with it if it could not be written."""
        if self._closed:
            failed(item, errors.Unavailable("the service is stopping; nothing was stored"))
            return
        self._queue.append(Waiting(batch, item, failed=failed))
        self._arrived.set()

    async def committed_since(self, mark: int, seconds: float) -> bool:
        """Wait until ``commits`` is past ``mark``; False when ``seconds`` pass before."""
        if self.commits > mark:
            return True
        try:
            async with asyncio.timeout(seconds):
                await self._committed.wait()
        except TimeoutError:
            return False
        return True

    async def run(self) -> None:
        """Commit what waits, for as long as the service runs; then what is left, and end."""
        while not (self._closed and not self._queue):
            await self._arrived.wait()
            self._arrived.clear()
            while self._queue:
                await self._settle(self._next_group())
            self._tell()

    def close(self) -> None:
        """Take nothing more; ``run`` ends when the queue is empty."""
        self._closed = True
        self._arrived.set()

    def _next_group(self) -> list[Waiting]:
        group = [self._queue.popleft()]
        while self._queue and len(group) < MOST_ITEMS and not (group[0].alone or self._queue[0].alone):
            group.append(self._queue.popleft())
        return group

    async def _settle(self, group: list[Waiting], tries: int = TRIES) -> None:
        try:
            results = await self._commit(group)
        except Exception as error:  # noqa: BLE001  whatever it is, it belongs to the callers
            if isinstance(error, Collision) and tries > 1:
                await self._settle(group, tries - 1)
                return
            if len(group) > 1 and not isinstance(error, errors.Unavailable):
                for waiting in group:
                    await self._settle([waiting])
                return
            if isinstance(error, Collision):
                error = errors.Unavailable(f"others kept writing the same ({error}); nothing was stored, try again")
            results = [error] * len(group)
        self._untold += zip(group, results, strict=True)
        if group[0].alone or not self._queue:
            self._tell()
        else:
            asyncio.get_running_loop().call_later(LONGEST_UNTOLD, self._tell)

    def _tell(self) -> None:
        untold, self._untold = self._untold, []
        for waiting, result in untold:
            waiting.tell(result)

    async def _commit(self, group: list[Waiting]) -> list[Any]:
        kinds: dict[Batch, list[int]] = {}
        for index, waiting in enumerate(group):
            kinds.setdefault(waiting.batch, []).append(index)
        results: list[Any] = [None] * len(group)
        async with self._database.transaction(alone=group[0].alone) as transaction:
            for batch, indexes in kinds.items():
                answers = await batch(transaction, [group[index].item for index in indexes])
                for index, answer in zip(indexes, answers, strict=True):
                    results[index] = answer
            if self._untold:
                asyncio.get_running_loop().call_soon(self._tell)  # once the commit is on its way
        self.commits += 1
        self._committed.set()  # wakes whoever waits, and the next ones wait for the next
        self._committed = asyncio.Event()
        return results
