"""The changes that are still being told to many watches, and to whom."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import orjson

from service.model import Change
from service.store import changes, resources, sql
from service.store.driver import Reader, Transaction

Q = sql.beside(__file__)

Resource = tuple[str, str, str]  # tenant, type and id


@dataclass(frozen=True, slots=True)
class Audience:
    """Who hears of a change, in portions; ``id`` is made of who they are."""

    id: str
    portions: tuple[str, ...]  # each a JSON array of watch ids

    @classmethod
    def of(cls, watch_ids: Sequence[str], size: int) -> Audience:
        """These watches, so many in a portion; the same ones in another order are the same audience."""
        ordered = sorted(watch_ids)
        portions = tuple(orjson.dumps(ordered[start : start + size]).decode() for start in range(0, len(ordered), size))
        return cls("aud_" + hashlib.sha256("".join(portions).encode()).hexdigest(), portions)


@dataclass(frozen=True, slots=True)
class Portion:
    """The next watches that a change is to be told to."""

    change_id: str
    resource: Resource
    audience_id: str
    number: int
    is_last: bool
    watch_ids: Sequence[str]


async def insert(transaction: Transaction, told: Sequence[tuple[Change, Audience]]) -> None:
    """Note that these changes are to be told to these audiences."""
    for _, audience in told:
        uses = await transaction.fetch(Q.use, {"id": audience.id, "portions": len(audience.portions)})
        if uses[0]["uses"] == 1:
            await transaction.many(
                Q.add_portion,
                [
                    {"audience_id": audience.id, "number": number, "watch_ids": watch_ids}
                    for number, watch_ids in enumerate(audience.portions)
                ],
            )
    await transaction.many(
        Q.insert,
        [
            {
                "change_id": change.id,
                "tenant": change.tenant,
                "object_type": change.type,
                "object_id": change.object_id,
                "version": change.version,
                "audience_id": audience.id,
            }
            for change, audience in told
        ],
    )


async def take(transaction: Transaction, tenant: str) -> Portion | None:
    """The next portion of a tenant's oldest change, the cursor moved past it; None when there is nothing to tell.

    Whoever moves the cursor in a transaction that is committed has told the portion, and nobody else has.
    """
    while rows := await transaction.fetch(Q.head, {"tenant": tenant}):
        row = rows[0]
        resource = (row["tenant"], row["object_type"], row["object_id"])
        await resources.hold(transaction, [resource])
        is_last = row["portion"] + 1 == row["portions"]
        moved = await transaction.fetch(
            Q.end if is_last else Q.move_on, {"change_id": row["change_id"], "portion": row["portion"]}
        )
        if not moved:  # another process had it first
            continue
        if is_last:
            await _use_less(transaction, row["audience_id"])
        return Portion(
            row["change_id"],
            resource,
            row["audience_id"],
            row["portion"],
            is_last,
            orjson.loads(row["watch_ids"]),
        )
    return None


async def change(reader: Reader, change_id: str) -> Change:
    """A change that is still being told."""
    return changes.from_row((await reader.fetch(Q.change, {"id": change_id}))[0])


async def open_(reader: Reader) -> Mapping[Resource, int]:
    """The resources with changes that are not told to everyone yet, and how many changes."""
    return {(row["tenant"], row["object_type"], row["object_id"]): row["changes"] for row in await reader.fetch(Q.open)}


async def among(reader: Reader, keys: Iterable[Resource]) -> set[Resource]:
    """Those of these resources that have such changes."""
    rows = await reader.fetch(Q.among, {"keys": orjson.dumps(list(keys)).decode()})
    return {(row["tenant"], row["object_type"], row["object_id"]) for row in rows}


async def _use_less(transaction: Transaction, audience_id: str) -> None:
    left = await transaction.fetch(Q.use_less, {"id": audience_id})
    if left[0]["uses"] == 0:
        await transaction.fetch(Q.drop_portions, {"id": audience_id})
        await transaction.fetch(Q.drop, {"id": audience_id})
