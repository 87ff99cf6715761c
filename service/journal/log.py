"""The delivery log as operators read it: rows of the store as the JSON of the API."""

from __future__ import annotations

from typing import Any

import orjson

from service import clock
from service.model import Document, Json
from service.store import journal
from service.store.driver import Reader, Row

Filters = dict[str, Any]


async def page(reader: Reader, tenant: str, filters: Filters, limit: int) -> tuple[list[Document], str | None]:
    """Deliveries that pass the filters, newest first, and the cursor of the next page, or None."""
    rows = await journal.page(reader, tenant, filters, limit + 1)
    more = len(rows) > limit
    return [summary(row) for row in rows[:limit]], rows[limit - 1]["id"] if more else None


async def row(reader: Reader, tenant: str, delivery_id: str) -> Document | None:
    """One delivery as a list shows it, or None when the tenant has no such delivery."""
    rows = await journal.history(reader, tenant, delivery_id)
    return summary(rows[-1]) if rows else None


async def detail(reader: Reader, tenant: str, delivery_id: str) -> Document | None:
    """One delivery with its bodies and attempts, or None when the tenant has no such delivery."""
    rows = await journal.history(reader, tenant, delivery_id)
    if not rows:
        return None
    body = next((row["body"] for row in rows if row["body"] is not None), None)  # of whichever attempt rendered it
    made = [_attempt(row, body) for row in rows if row["number"] is not None]
    document = {**summary(rows[-1]), "attempts": list[Json](made)}
    if made:
        document |= {"request": made[-1]["request"], "response": made[-1]["response"]}
    return document


def summary(row: Row) -> Document:
    """A delivery without bodies and attempts; ``request`` and ``response`` are those of the last attempt, or null."""
    return {
        "id": row["id"],
        "status": row["status"],
        "reason": row["reason"],
        "objectEvent": row["object_event"],
        "objectType": row["object_type"],
        "objectId": row["object_id"],
        "watch": {
            "id": row["watch_id"],
            "name": row["watch_name"],
            "address": row["watch_address"],
            "selfLink": f"/api/v1/watches/{row['watch_id']}",
        },
        "created": clock.rfc3339(row["created"]),
        "sent": _time(row["started"]),
        "duration": row["duration"],
        "nextAttempt": _time(row["due"]) if row["status"] == "pending" else None,
        **_exchange(row),
    }


def _attempt(row: Row, body: str | None) -> Document:
    """One attempt, with what was sent and what came back."""
    exchange = _exchange(row)
    request, response = exchange["request"], exchange["response"]
    if isinstance(request, dict):
        request["body"] = None if row["method"] in {"GET", "DELETE"} else body
    if isinstance(response, dict):
        response["body"] = row["response_body"]
    return {
        "number": row["number"],
        "sent": clock.rfc3339(row["started"]),
        "duration": row["duration"],
        "reason": row["attempt_reason"],
        **exchange,
    }


def _exchange(row: Row) -> Document:
    if row["method"] is None:  # no attempt yet
        return {"request": None, "response": None}
    return {
        "request": {
            "method": row["method"],
            "address": row["address"],
            "headers": orjson.loads(row["request_headers"]),
        },
        "response": {
            "statusCode": row["status_code"],
            "headers": orjson.loads(row["response_headers"]),
            "errorMessage": row["error_message"],
        },
    }


def _time(ms: int | None) -> str | None:
    return None if ms is None else clock.rfc3339(ms)
