"""Things as they are put into a store, and the shortest way to put them there."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from service import jsontext
from service.model import Change, DeliveryStatus, Event, Reason
from service.store import changes, deliveries, keys, watches
from service.store.deliveries import Attempt, Job, NewDelivery, Settlement
from service.store.driver import Transaction
from service.store.resources import Stored
from service.store.store import Store
from service.store.watches import WatchRow

TENANT, TYPE, NOW = "default", "agendize.account", 1_764_000_000_000


async def do(store: Store, action: Callable[..., Awaitable[Any]], *values: Any, **named: Any) -> Any:
    """One write in a transaction of its own."""
    return await store.write(lambda transaction: action(transaction, *values, **named))


def resource(id_: str, version: int = 1, document: Any = ..., **members: Any) -> Stored:
    document = {"id": id_, "version": version} if document is ... else document
    text = None if document is None else jsontext.text(document)
    origin, updated = members.get("origin", "pushed"), members.get("updated", NOW)
    return Stored(TENANT, TYPE, id_, version, origin, updated, document, text)


def change(object_id: str, version: int = 1, *, id_: str | None = None) -> Change:
    before = None if version == 1 else {"id": object_id, "version": version - 1}
    event = Event.CREATED if version == 1 else Event.UPDATED
    after = {"id": object_id, "version": version, "name": "Zoë \U0001f600"}
    return Change(
        id_ or f"chg_{object_id}{version:04}", TENANT, TYPE, object_id, event, version, NOW, before, after, [], "/"
    )


async def watch(store: Store, id_: str, *key_ids: str, **members: Any) -> int:
    """A watch in the table; its revision."""

    async def action(transaction: Transaction) -> int:
        await keys.add_tenant(transaction, TENANT, NOW)
        spec = {
            "objectType": TYPE,
            "status": "enabled",
            "address": "https://example.com/",
            "created": NOW,
            "updated": NOW,
            "signature": {"enabled": bool(key_ids), "cryptoKeyIds": list(key_ids)},
            **members,
        }
        return await watches.save(transaction, WatchRow(id_, TENANT, spec, "sealed"), key_ids)

    return await store.write(action)


def delivery(told: Change, watch_id: str = "w1", **members: Any) -> NewDelivery:
    named = {"lane": told.object_id, "due": NOW, "worker": None, **members}
    return NewDelivery(id=f"dlv_{watch_id}_{told.object_id}{told.version:04}", watch_id=watch_id, change=told, **named)


async def deliver(store: Store, *new: NewDelivery) -> dict[str, int | None]:
    """Deliveries with their changes, in one transaction; by id, when each is due."""

    async def action(transaction: Transaction) -> Any:
        told = {item.change.id: item.change for item in new}
        await changes.insert(transaction, list(told.values()))
        return await deliveries.insert(transaction, new, NOW)

    return {row["id"]: row["due"] for row in (await store.write(action)).rows}


def settlement(
    job: Job, status: DeliveryStatus = DeliveryStatus.SUCCEEDED, reason: Reason | None = None, due: int | None = None
) -> Settlement:
    attempt = Attempt(NOW, 12, "POST", "https://example.com/", {"a": "b"}, 200, {"c": "d"}, "thanks", reason, None)
    body = "a body" if job.body is None else None
    return Settlement(job=job, attempt=attempt, body=body, status=status, reason=reason, due=due)
