"""Who may call: API keys, the tenants that they act for, and what their roles allow.

A key is random text that only its owner has; the database holds its SHA-256. (A slow hash is for passwords
that people choose: 256 random bits cannot be guessed, and a key is checked at every call.)
"""

from __future__ import annotations

import asyncio
import hashlib
import re
import secrets
from dataclasses import dataclass, field

from service import clock, errors, ids
from service.model import Principal, Role
from service.store import keys
from service.store.driver import Transaction
from service.store.keys import ApiKeyRow
from service.store.store import Store

BOOTSTRAP = "bootstrap"
DEFAULT_TENANT = "default"
TENANT = re.compile(r"[a-z0-9](?:[a-z0-9_-]{0,61}[a-z0-9])?")


@dataclass(frozen=True, slots=True)
class NewKey:
    """A key that was just made; ``key`` is not stored and cannot be shown again."""

    row: ApiKeyRow
    key: str = field(repr=False)


class Access:
    """Making, checking and revoking API keys."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._known: dict[str, Principal] = {}  # by hash; forgotten whenever a key is revoked
        self._generation = 0  # how often that was
        self._forgotten = asyncio.Event()  # set the next time

    async def bootstrap(self, configured: str | None) -> str | None:
        """See to it that there is a bootstrap key; the key itself if one had to be made, to be shown once."""
        key, now = configured or new_key(), clock.now_ms()
        row = ApiKeyRow(BOOTSTRAP, DEFAULT_TENANT, "bootstrap key", Role.ADMIN, now)
        hashed = _hash(key)

        async def action(transaction: Transaction) -> str | None:
            if configured is None and await keys.api_key(transaction, None, BOOTSTRAP) is not None:
                return None
            await keys.add_tenant(transaction, DEFAULT_TENANT, now)
            other = await keys.api_key_by_hash(transaction, hashed)
            if other is not None and other.id != BOOTSTRAP:
                raise errors.ConfigError("admin.key: this text is an API key already; choose another")
            if other is None:
                await keys.save_api_key(transaction, row, hashed)
            return key if configured is None else None

        return await self._store.write(action)

    async def principal(self, key: str) -> Principal:
        """Whose key this is; Unauthorized when nobody's."""
        hashed = _hash(key)
        principal = self._known.get(hashed)
        if principal is None:
            generation = self._generation
            row = await keys.api_key_by_hash(self._store, hashed)
            if row is None:
                raise errors.Unauthorized("this API key is unknown or was revoked")
            principal = Principal(row.id, row.tenant, row.role)
            if generation == self._generation:  # else a key was revoked while we looked, perhaps this one
                self._known[hashed] = principal
        return principal

    async def create(self, caller: Principal, name: str | None, tenant: str | None, role: Role) -> NewKey:
        """A new key of the caller's tenant, or of any tenant, made if need be, for the bootstrap key.

        Raises:
            Forbidden: another tenant, and not the bootstrap key.
            Invalid: not a name that a tenant can have.
        """
        tenant = tenant if tenant is not None else caller.tenant
        if tenant != caller.tenant and not caller.is_bootstrap:
            raise errors.Forbidden("only the bootstrap key makes keys of other tenants")
        if not TENANT.fullmatch(tenant):
            raise errors.Invalid.at("/tenant", "a tenant is 1 to 63 lower-case letters, digits, - and _")
        now, key = clock.now_ms(), new_key()
        row = ApiKeyRow(ids.new("apk", now), tenant, name, role, now)

        async def action(transaction: Transaction) -> None:
            await keys.add_tenant(transaction, tenant, now)
            await keys.save_api_key(transaction, row, _hash(key))

        await self._store.write(action)
        return NewKey(row, key)

    async def revoke(self, caller: Principal, key_id: str) -> None:
        """Make a key worthless, at once.

        Raises:
            NotFound: the caller's tenant has no such key.
            Conflict: the bootstrap key, which is changed in the settings only.
        """
        row = await keys.api_key(self._store, None if caller.is_bootstrap else caller.tenant, key_id)
        if row is None:
            raise errors.NotFound(f"there is no API key {key_id}")
        if row.id == BOOTSTRAP:
            raise errors.Conflict("the bootstrap key is replaced by another WATCH_ADMIN_KEY, not deleted")

        async def action(transaction: Transaction) -> None:
            await keys.delete_api_key(transaction, key_id)
            transaction.after_commit(self.forget)

        await self._store.write(action)

    def forget(self) -> None:
        """A key was revoked, here or elsewhere: whose it is has to be asked again."""
        self._known.clear()
        self._generation += 1
        self._forgotten.set()
        self._forgotten = asyncio.Event()

    async def until_revoked(self, principal: Principal) -> None:
        """Returns once the caller's key is worthless: what a long answer has to end with."""
        while True:
            forgotten = self._forgotten
            if await keys.api_key(self._store, None, principal.key_id) is None:
                return
            await forgotten.wait()


def new_key() -> str:
    """256 random bits, recognisable as one of ours."""
    return f"wwk_{secrets.token_urlsafe(32)}"


def require(principal: Principal, roles: frozenset[Role], what: str) -> None:
    """Forbidden, unless the caller has one of the roles."""
    if principal.role not in roles:
        allowed = " or ".join(sorted(roles)) or "nobody's"
        raise errors.Forbidden(f"{what} takes the role {allowed}; this key has the role {principal.role}")


def _hash(key: str) -> str:
    return hashlib.sha256(key.encode(errors="backslashreplace")).hexdigest()  # a header may hold any bytes
