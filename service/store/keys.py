"""Tenants, and the API keys that act for them."""

from __future__ import annotations

from dataclasses import dataclass

from service.model import Role
from service.store import sql
from service.store.driver import Reader, Row, Transaction

Q = sql.beside(__file__)


@dataclass(frozen=True, slots=True)
class ApiKeyRow:
    """An API key, without the key: only its hash is stored."""

    id: str
    tenant: str
    name: str | None
    role: Role
    created: int


async def add_tenant(transaction: Transaction, tenant: str, now: int) -> None:
    """Make a tenant, unless it is there."""
    await transaction.fetch(Q.add_tenant, {"id": tenant, "now": now})


async def is_tenant(reader: Reader, tenant: str) -> bool:
    """Whether there is such a tenant."""
    return bool(await reader.fetch(Q.tenant, {"id": tenant}))


async def save_api_key(transaction: Transaction, row: ApiKeyRow, hashed: str) -> None:
    """Store a key; one with the same id is replaced."""
    await transaction.fetch(
        Q.save_api_key,
        {
            "id": row.id,
            "tenant": row.tenant,
            "name": row.name,
            "role": row.role,
            "hash": hashed,
            "created": row.created,
        },
    )
    await transaction.fetch(Q.next_revision)


async def api_key_by_hash(reader: Reader, hashed: str) -> ApiKeyRow | None:
    """Whose key has this hash."""
    rows = await reader.fetch(Q.api_key_by_hash, {"hash": hashed})
    return _api_key(rows[0]) if rows else None


async def api_key(reader: Reader, tenant: str | None, id_: str) -> ApiKeyRow | None:
    """One key of a tenant; of any tenant for None."""
    rows = await reader.fetch(Q.api_key, {"tenant": tenant, "id": id_})
    return _api_key(rows[0]) if rows else None


async def api_keys(reader: Reader, tenant: str | None, after: str, limit: int) -> list[ApiKeyRow]:
    """The next ``limit`` keys of a tenant in the order of ids; of all tenants for None."""
    rows = await reader.fetch(Q.api_keys, {"tenant": tenant, "after": after, "limit": limit})
    return [_api_key(row) for row in rows]


async def delete_api_key(transaction: Transaction, id_: str) -> None:
    """Revoke a key."""
    await transaction.fetch(Q.delete_api_key, {"id": id_})
    await transaction.fetch(Q.next_revision)


def _api_key(row: Row) -> ApiKeyRow:
    return ApiKeyRow(row["id"], row["tenant"], row["name"], Role(row["role"]), row["created"])
