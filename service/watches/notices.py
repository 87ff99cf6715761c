"""Telling watches of other watches: what a watch with ``objectType: watch`` hears.

A notice is a change like any other, of the type ``watch``: it is written with the fact that it tells of, in one
transaction, and becomes signed deliveries, retried and logged. Its resource is the watch as its answer shows it.

Nobody hears of itself, and nobody hears that a notice was given up: two watches of notices whose receivers are both
gone would tell each other so for ever. That such a watch fails, or was disabled, others hear once, like of any watch.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson

from service import ids
from service.delivery.fanout import FanOut
from service.journal import log
from service.model import NOTICES, WATCH, Change, DeliveryStatus, Document, Event, StatusReason, Watch, WatchStatus
from service.store import changes, health
from service.store.driver import Reader, Transaction
from service.watches import form as forms
from service.watches import spec
from service.watches.registry import Prepared, Registry


@dataclass(frozen=True, slots=True)
class Subject:
    """What is told of, in the place of a resource type."""

    name: str = WATCH
    collection: str = "/api/v1/watches"
    identity: tuple[str, ...] = ("id",)
    events: tuple[Event, ...] = NOTICES
    schema: Mapping[str, Any] = field(
        default_factory=lambda: {**forms.SCHEMA, "properties": {**forms.SCHEMA["properties"], "delivery": {}}}
    )


SUBJECT = Subject()


def facts(former: Watch | None, watch: Watch) -> Iterator[Event]:
    """What is worth telling when a watch takes the place of its former self (None: it is new)."""
    if former is not None and former.status is WatchStatus.ENABLED and watch.status is WatchStatus.DISABLED:
        yield Event.DISABLED
    waits = StatusReason.AUTHORIZATION
    if watch.status_reason is waits and (former is None or former.status_reason is not waits):
        yield Event.AUTHORIZATION


async def document(reader: Reader, watch: Watch, delivery_id: str | None = None) -> Document | None:
    """The resource of a notice, with the row of the delivery that was given up, if it tells of one.

    None: it was not, for somebody else holds it by now.
    """
    healths = await health.of(reader, [watch.id])
    shown = spec.show(watch, healths.get(watch.id))
    if delivery_id is not None:
        row = await log.row(reader, watch.tenant, delivery_id)
        if row is None or row["status"] != DeliveryStatus.FAILED:
            return None
        shown["delivery"] = row
    told: Document = orjson.loads(orjson.dumps(shown))  # as it will be read back
    return told


class Notices:
    """Who hears what of which watch. Give it a fan-out before the first is told."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._fan_out: FanOut | None = None

    def send_by(self, fan_out: FanOut) -> None:
        """Let this one make the deliveries."""
        self._fan_out = fan_out

    def audience(self, watch: Watch, event: Event) -> tuple[Prepared, ...]:
        """The other watches that hear of this."""
        hearing = self._registry.hearing(watch.tenant, WATCH, watch.id, event)
        return tuple(prepared for prepared in hearing if prepared.watch.id != watch.id)

    async def tell(self, transaction: Transaction, watch: Watch, event: Event, delivery_id: str | None = None) -> None:
        """Tell the others, if any of them wants to hear of it, in the transaction that makes it so."""
        hearing = self.audience(watch, event)
        if not hearing or self._fan_out is None:
            return
        told = await document(transaction, watch, delivery_id)
        if told is None:
            return
        now = self._fan_out.now()
        change = Change(
            id=ids.new("chg", now),
            tenant=watch.tenant,
            type=WATCH,
            object_id=watch.id,
            event=event,
            version=await health.next_notice(transaction, watch.id),
            time=now,
            before=None,
            after=told,
            diff=[],
            source=SUBJECT.collection,
        )
        await changes.insert(transaction, [change])
        await self._fan_out.tell(transaction, [(change, hearing)], now)
