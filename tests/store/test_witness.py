"""A request's write and its answer are committed together, or neither is."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from service import errors
from service.store import keptanswers, store
from service.store.driver import Transaction
from service.store.store import Store
from service.store.witness import WITNESS, Witness
from tests.support import notes


class Taken(Exception):
    """There is an answer already."""


async def keep(transaction: Transaction, answer: str) -> None:
    if not await keptanswers.keep(transaction, "ida_1", answer, 1000):
        raise Taken


def noting(name: str, value: str) -> Callable[[Transaction], Awaitable[str]]:
    async def action(transaction: Transaction) -> str:
        await notes.note(transaction, name, value)
        return value

    return action


async def witnessed(handler: Callable[[], Awaitable[Any]]) -> tuple[Any, bool]:
    """A handler's answer, and whether it was kept with what the handler wrote."""
    witness = Witness(keep)
    token = WITNESS.set(witness)
    try:
        answer = await handler()
    except BaseException:
        witness.abandon()
        raise
    finally:
        WITNESS.reset(token)
    return answer, await witness.settle(answer)


async def test_the_answer_is_made_before_anybody_else_sees_what_it_is_about(opened: Store):
    seen: dict[str, Any] = {}

    async def handler() -> str:
        value = await opened.write(noting("a", "1"))
        seen["by the handler"] = await notes.noted(opened, "a")
        token = WITNESS.set(None)  # as somebody else
        seen["by others"] = await notes.noted(opened, "a")
        WITNESS.reset(token)
        return f"answer {value}"

    assert await witnessed(handler) == ("answer 1", True)
    assert seen == {"by the handler": "1", "by others": None}
    assert await notes.noted(opened, "a") == "1"
    assert await keptanswers.find(opened, "ida_1", 1000) == "answer 1"


async def test_a_handler_that_fails_leaves_nothing_behind(opened: Store):
    async def handler() -> str:
        await opened.write(noting("a", "1"))
        raise KeyError

    with pytest.raises(KeyError):
        await witnessed(handler)
    await opened.write(noting("b", "1"))  # and the writer goes on
    assert await notes.noted(opened, "a") is None
    assert await keptanswers.find(opened, "ida_1", 1000) is None


async def test_a_handler_that_is_canceled_leaves_nothing_behind(opened: Store):
    reached = asyncio.Event()

    async def handler() -> str:
        await opened.write(noting("a", "1"))
        reached.set()
        await asyncio.Event().wait()
        return "never"

    async with asyncio.TaskGroup() as group:
        task = group.create_task(witnessed(handler))
        await reached.wait()
        task.cancel()
    await opened.write(noting("b", "1"))
    assert await notes.noted(opened, "a") is None


async def test_a_write_that_is_refused_is_told_to_the_handler(opened: Store):
    async def action(_transaction: Transaction) -> str:
        raise errors.Conflict("no")

    async def handler() -> str:
        with pytest.raises(errors.Conflict):
            await opened.write(action)
        return "refused"

    assert await witnessed(handler) == ("refused", False)
    assert await keptanswers.find(opened, "ida_1", 1000) is None


async def test_a_second_write_commits_the_first_by_itself(opened: Store):
    async def handler() -> str:
        await opened.write(noting("a", "1"))
        await opened.write(noting("b", "2"))
        token = WITNESS.set(None)
        assert (await notes.noted(opened, "a"), await notes.noted(opened, "b")) == ("1", "2")
        WITNESS.reset(token)
        return "two"

    assert await witnessed(handler) == ("two", False)


async def test_a_write_after_one_that_was_refused_is_kept_with_the_answer(opened: Store):
    async def action(_transaction: Transaction) -> str:
        raise errors.Conflict("no")

    async def handler() -> str:
        with pytest.raises(errors.Conflict):
            await opened.write(action)
        return await opened.write(noting("a", "1"))

    assert await witnessed(handler) == ("1", True)
    assert await notes.noted(opened, "a") == "1"


@pytest.fixture
async def another(url: str, opened: Store):
    """The same database, opened by another process where it can be."""
    if not opened.is_shared:
        yield opened
        return
    async with asyncio.TaskGroup() as group, store.opened(url, group) as another:
        yield another


async def test_what_is_done_twice_at_once_is_done_by_one(opened: Store, another: Store):
    async def attempt(by: Store, value: str) -> Any:
        try:
            return await witnessed(lambda: by.write(noting("a", value)))
        except Taken:
            return "taken"

    came = await asyncio.gather(*(attempt(by, f"{n}") for n, by in enumerate([opened, another] * 5)))
    assert came.count("taken") == 9
    ((value, is_kept),) = [result for result in came if result != "taken"]
    assert is_kept
    assert await notes.noted(opened, "a") == value == await keptanswers.find(another, "ida_1", 1000)
