"""The crypto keys of all tenants: unsealed once, looked up at each attempt, so that a change holds at once."""

from __future__ import annotations

from service import clock, errors, ids
from service.delivery import sign
from service.model import CryptoKey
from service.store import keys, watches
from service.store.driver import Transaction
from service.store.store import Store
from service.vault import Vault

ALGORITHMS = ("hmac-sha256",)


class KeyRing:
    """Making, finding and deleting crypto keys. Load it before use."""

    def __init__(self, store: Store, vault: Vault) -> None:
        self._store = store
        self._vault = vault
        self._keys: dict[str, CryptoKey] = {}

    async def load(self) -> None:
        """Unseal what is stored."""
        self._keys = {row.id: self._open(row) for row in await keys.all_crypto_keys(self._store)}

    def get(self, tenant: str, key_id: str) -> CryptoKey | None:
        """A tenant's key, or None."""
        key = self._keys.get(key_id)
        return key if key is not None and key.tenant == tenant else None

    def signing(self, key_ids: tuple[str, ...]) -> list[CryptoKey]:
        """The keys that a watch names, in its order."""
        return [self._keys[key_id] for key_id in key_ids if key_id in self._keys]

    def of_tenant(self, tenant: str) -> set[str]:
        """The ids of a tenant's keys."""
        return {key.id for key in self._keys.values() if key.tenant == tenant}

    async def page(self, tenant: str, after: str, limit: int) -> list[CryptoKey]:
        """The next ``limit`` keys of a tenant in the order of ids."""
        return [self._open(row) for row in await keys.crypto_keys(self._store, tenant, after, limit)]

    async def generate(self, tenant: str, name: str | None, algorithm: str = "hmac-sha256") -> CryptoKey:
        """A new random key."""
        return await self._store.write(lambda transaction: self.add(transaction, tenant, name, algorithm))

    async def add(
        self, transaction: Transaction, tenant: str, name: str | None, algorithm: str = "hmac-sha256"
    ) -> CryptoKey:
        """A new random key, as a part of a larger transaction."""
        now = clock.now_ms()
        key = CryptoKey(ids.new("key", now), tenant, name, algorithm, sign.generate_secret(), now)
        sealed = self._vault.seal(key.secret)
        await keys.save_crypto_key(transaction, keys.CryptoKeyRow(key.id, tenant, name, algorithm, sealed, now))
        transaction.after_commit(lambda: self._keys.__setitem__(key.id, key))
        return key

    async def delete(self, tenant: str, key_id: str) -> None:
        """Delete a key that no watch names.

        Raises:
            NotFound: the tenant has no such key.
            Conflict: a watch names it.
        """

        async def action(transaction: Transaction) -> None:
            if self.get(tenant, key_id) is None:
                raise errors.NotFound(f"there is no crypto key {key_id}")
            users = await watches.users_of_key(transaction, key_id)
            if users:
                raise errors.Conflict(
                    f"crypto key {key_id} is named by watch {', '.join(users)}: "
                    "take it out of signature.cryptoKeyIds first"
                )
            await keys.delete_crypto_key(transaction, key_id)
            transaction.after_commit(lambda: self._keys.__delitem__(key_id))

        await self._store.write(action)

    def _open(self, row: keys.CryptoKeyRow) -> CryptoKey:
        return CryptoKey(row.id, row.tenant, row.name, row.algorithm, self._vault.open(row.sealed), row.created)
