"""The delivery log over HTTP: list, read, redeliver, and the stream that a tail follows."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from aiohttp import web

from service import clock, errors, jsontext
from service.api import answers
from service.api.call import Call, page
from service.api.services import Services
from service.journal import log, tail
from service.model import DeliveryStatus, Event, Reason
from service.store import deliveries, journal
from service.store.driver import Transaction

CHOICES: Mapping[str, frozenset[str]] = {
    "status": frozenset(DeliveryStatus),
    "reason": frozenset(Reason),
    "objectEvent": frozenset(Event),
}
TIMES = frozenset({"since", "until"})
STREAM_FILTERS = frozenset(journal.EVENT_FILTERS)
LIST_FILTERS = frozenset(journal.FILTERS)


async def list_(call: Call) -> web.Response:
    """Deliveries, newest first, without bodies and attempts."""
    query = call.only(LIST_FILTERS | {"limit"})
    filters = _filters(query, LIST_FILTERS - {"cursor"})
    if query.get("cursor"):
        filters["cursor"] = call.cursor()
    items, last = await log.page(call.services.store, call.tenant, filters, call.limit())
    return answers.ok(page(items, last))


async def get(call: Call) -> web.Response:
    """One delivery with its bodies and attempts."""
    return answers.ok(await _found(call))


async def redeliver(call: Call) -> web.Response:
    """One more attempt of a delivery, outside its ordering; of one that is pending, now instead of later."""
    delivery_id = call.part("id")

    async def action(transaction: Transaction) -> str:
        history = await journal.history(transaction, call.tenant, delivery_id)
        if not history:
            raise _missing(delivery_id)
        row = history[-1]
        watch_id: str = row["watch_id"]
        recipient = call.services.registry.get(watch_id)
        if recipient is None:
            raise errors.Conflict(f"watch {watch_id} was deleted: nothing can be sent to it any more")
        if recipient.watch.status == "disabled":
            raise errors.Conflict(f"watch {watch_id} is disabled: enable it first")
        now = clock.now_ms()
        status = DeliveryStatus(row["status"])
        await deliveries.again(transaction, delivery_id, status, now)
        if status is not DeliveryStatus.PENDING:
            await deliveries.journal_status(transaction, delivery_id, row["fence"], now)
        transaction.after_commit(lambda: call.services.handoff.wake(watch_id, now))
        return watch_id

    await call.services.store.write(action)
    return answers.ok(await _found(call), 202)


async def stream(call: Call) -> web.StreamResponse:
    """Server-sent events named ``delivery``: each new delivery, attempt and change of status as it is committed."""
    filters = _filters(call.only(STREAM_FILTERS), STREAM_FILTERS)
    after = call.request.headers.get("Last-Event-ID")
    if after is not None and not (after.isascii() and after.isdigit() and len(after) < 19):
        raise errors.BadRequest("Last-Event-ID is not one of ours: send the id of the last event you have")
    heartbeat = call.services.settings.tail.heartbeat
    lines = tail.follow(call.services.store, call.tenant, None if after is None else int(after), filters, heartbeat)
    place = await anext(lines)  # before the answer begins: whatever is done after it is in the stream
    answer = web.StreamResponse(
        headers={"Content-Type": "text/event-stream", "Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    )
    await answer.prepare(call.request)
    _follow_until_shutdown(call.services)
    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(_end_with_the_key(call))
            await answer.write(b"retry: 1000\n\n" + _event(place))
            async for line in lines:
                await answer.write(_event(line))
    except* (ConnectionResetError, asyncio.CancelledError, errors.Unauthorized):
        pass  # the reader went away, we are stopping, or the key was revoked; who may resumes by Last-Event-ID
    return answer


async def _end_with_the_key(call: Call) -> None:
    await call.services.access.until_revoked(call.principal)
    raise errors.Unauthorized("this API key was revoked")


def _event(line: tail.Line | int) -> bytes:
    if isinstance(line, int):  # an id without data moves the place to resume at, and is no event
        return f"id: {line}\n: still here\n\n".encode()
    data = jsontext.dumps({**line.delivery, "kind": line.kind, "at": clock.rfc3339(line.at), "attempt": line.attempt})
    return b"id: %d\nevent: delivery\ndata: %s\n\n" % (line.seq, data)


def close_streams(services: Services) -> None:
    """End every stream, whose readers resume with the next process; they would hold up the stop."""
    for task in tuple(services.streams):
        task.cancel()


def _follow_until_shutdown(services: Services) -> None:
    task = asyncio.current_task()
    if task is not None:
        services.streams.add(task)
        task.add_done_callback(services.streams.discard)


def _filters(query: Mapping[str, str], names: frozenset[str]) -> dict[str, Any]:
    """The filters of a query as the store takes them; BadRequest for a value that cannot be."""
    found: dict[str, Any] = {}
    for name in names & query.keys():
        text = query[name]
        if name in TIMES:
            try:
                found[name] = clock.parse_rfc3339(text.replace(" ", "+"))
            except ValueError as error:
                raise errors.BadRequest(
                    f"parameter {name!r} must be an RFC 3339 time such as 2026-01-31T12:00:00Z"
                ) from error
        elif name == "statusCode":
            if not (text.isascii() and text.isdigit() and len(text) == 3):
                raise errors.BadRequest(f"parameter 'statusCode' must be a three-digit number, not {text[:40]!r}")
            found[name] = int(text)
        elif name in CHOICES and text not in CHOICES[name]:
            raise errors.BadRequest(f"parameter {name!r} must be one of {', '.join(sorted(CHOICES[name]))}")
        else:
            found[name] = text
    return found


async def _found(call: Call) -> dict[str, Any]:
    document = await log.detail(call.services.store, call.tenant, call.part("id"))
    if document is None:
        raise _missing(call.part("id"))
    return document


def _missing(delivery_id: str) -> errors.NotFound:
    return errors.NotFound(f"there is no delivery {delivery_id}; the log forgets what is old")
