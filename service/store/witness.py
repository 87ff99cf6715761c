"""Something that is written in the same transaction as what it is about: the answer to a request.

What a request does and the answer that is kept of it must both be durable, or neither. But the answer is made by the
request's handler, of what the transaction gave, and a handler gets that when it is committed. So a handler with a
witness gets it before: its first write is run alone, and when its result is there, the transaction is held open. The
handler goes on with the result, reads in the open transaction whatever it reads, and makes its answer; the answer is
written, and only then are both committed. Whoever waits for the answer hears of it after that. A handler that fails
meanwhile, or is gone, leaves nothing behind; one that writes a second time has its first write committed by itself.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextvars import ContextVar
from typing import Any, TypeVar

from service import errors
from service.store.driver import Transaction
from service.store.writer import Writer

PATIENCE = 5.0  # seconds that the database is held up for an answer, at most

Item = TypeVar("Item")
Result = TypeVar("Result")
Batch = Callable[[Transaction, Sequence[Item]], Awaitable[Sequence[Result | Exception]]]


class Abandoned(Exception):
    """The handler is gone: what it began to write is rolled back."""


class Witness:
    """Goes with one request, in the context variable ``WITNESS``."""

    def __init__(self, keep: Callable[[Transaction, Any], Awaitable[None]]) -> None:
        self._keep = keep  # writes an answer
        self.transaction: Transaction | None = None  # held open, and what the request reads from
        self._result: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()  # None: it will come too late
        self._committed: asyncio.Future[Any] | None = None
        self._is_kept = False

    async def carry(self, writer: Writer, batch: Batch[Item, Result], item: Item) -> Result:
        """Hand the request's write to a batch function; its result, before it is durable."""
        if self._committed is not None:
            await self._let_go()
            return await writer.submit(batch, item, alone=True)

        async def witnessed(transaction: Transaction, items: Sequence[Item]) -> Sequence[Result | Exception]:
            results = await batch(transaction, items)
            if not isinstance(results[0], Exception):
                await self._hold(transaction, results[0])
            return results

        self._committed = committed = writer.enqueue(witnessed, item, alone=True)
        await asyncio.wait((self._result, committed), return_when=asyncio.FIRST_COMPLETED)
        if not self._result.done():  # it was refused, and nothing written
            self._committed = None
            return committed.result()
        found: Result = self._result.result()
        return found

    async def settle(self, answer: Any) -> bool:
        """Give the answer; whether it is durable with what was written, once that is. False: it was not kept."""
        if not self._answer.done():
            self._answer.set_result(answer)
        if self._committed is not None:
            await self._committed
        return self._is_kept

    def abandon(self) -> None:
        """There will be no answer: roll back what is not committed yet."""
        if not self._answer.done():
            self._answer.set_exception(Abandoned())
            self._answer.exception()  # nobody else may ask for it
        if self._committed is not None:
            self._committed.add_done_callback(lambda future: future.cancelled() or future.exception())

    async def _hold(self, transaction: Transaction, result: Any) -> None:
        if self._result.done():  # a second try, which gave another result than the handler has gone on with
            raise errors.Unavailable("others kept writing the same; nothing was stored, try again")
        self.transaction = transaction
        self._result.set_result(result)
        try:
            await asyncio.wait((self._answer,), timeout=PATIENCE)
            if not self._answer.done():
                self._answer.set_result(None)
        finally:
            self.transaction = None
        answer = self._answer.result()
        if answer is not None:
            await self._keep(transaction, answer)
            self._is_kept = True

    async def _let_go(self) -> None:
        if not self._answer.done():
            self._answer.set_result(None)
        if self._committed is not None:
            await self._committed


WITNESS: ContextVar[Witness | None] = ContextVar("witness", default=None)
