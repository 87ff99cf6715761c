"""One access token for all processes over a database.

A refresh token that rotates must not be used twice: many servers take the second use for theft and revoke the whole
grant. So who asks a token endpoint does it under a lock in the database, which ends by itself should its holder die,
and looks first whether another process has asked meanwhile.
"""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress

import orjson

from service import errors
from service.delivery.grants import Grant, TokenError
from service.model import OAuth2
from service.store import replicas, tokens
from service.store.driver import Transaction
from service.store.store import Store
from service.vault import Vault, VaultError

LOCK = 30_000  # ms: longer than a token request and the storing of what came of it may take
PATIENCE = 40.0  # seconds that one waits for another's
LOOK = 0.05  # seconds between two looks


class Sharing:
    """What processes know of each other's tokens. ``current`` gives the credentials of an owner as they are stored."""

    def __init__(self, store: Store, vault: Vault, current: Callable[[str], Awaitable[OAuth2 | None]]) -> None:
        self._store = store
        self._vault = vault
        self._current = current

    @asynccontextmanager
    async def alone(self, owner: str) -> AsyncIterator[None]:
        """In the block no other process asks for a token of this owner. Raises TokenError, Unavailable."""
        name, worker_id = f"token {owner}", self._store.lease.worker_id
        try:
            async with asyncio.timeout(PATIENCE):
                while not await replicas.lock(self._store, name, worker_id, LOCK):  # noqa: ASYNC110  others' to say
                    await asyncio.sleep(LOOK)
        except TimeoutError:
            raise TokenError("another process has been asking for the token for too long") from None
        try:
            yield
        finally:
            with suppress(errors.Unavailable):  # then it ends by itself
                await replicas.unlock(self._store, name, worker_id)

    async def find(self, owner: str, credentials: OAuth2) -> tuple[str | None, Grant | None]:
        """The refresh token as it is stored now, and what another process has obtained with these credentials."""
        stored = await self._current(owner)
        refresh_token = stored.refresh_token if stored is not None and stored.settings == credentials.settings else None
        kept = await tokens.find(self._store, owner)
        if kept is None:
            return refresh_token, None
        try:
            opened = orjson.loads(self._vault.open(kept[0]))
        except VaultError:  # sealed before the encryption key was replaced: it was for some minutes anyway
            return refresh_token, None
        if opened["settings"] != _named(credentials):
            return refresh_token, None
        return refresh_token, Grant(opened["token"], kept[1], None)

    async def keep(self, owner: str, credentials: OAuth2, grant: Grant) -> None:
        """Let other processes have this. Raises Unavailable."""
        opened = {"settings": _named(credentials), "token": grant.access_token}
        sealed = self._vault.seal(orjson.dumps(opened))
        await self._store.submit(_keep, (owner, sealed, grant.good_until))


def _named(credentials: OAuth2) -> dict[str, object]:
    return dataclasses.asdict(credentials.settings)


async def _keep(transaction: Transaction, items: Sequence[tuple[str, str, int]]) -> list[None]:
    for owner, sealed, good_until in items:
        await tokens.keep(transaction, owner, sealed, good_until)
    return [None] * len(items)
