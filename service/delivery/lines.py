"""Crypto keys in memory, and the lines that they form: a key that was rotated is followed by its successor."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping

from service.model import CryptoKey


class Lines:
    """The keys of all tenants, each as of a revision of the store."""

    def __init__(self) -> None:
        self._keys: dict[str, CryptoKey] = {}
        self._revisions: dict[str, int] = {}
        self._tenants: defaultdict[str, dict[str, CryptoKey]] = defaultdict(dict)
        self._former: defaultdict[str, set[str]] = defaultdict(set)  # ids of those that were rotated to a key

    def __len__(self) -> int:
        return len(self._keys)

    def __contains__(self, key_id: str) -> bool:
        return key_id in self._keys

    def get(self, key_id: str) -> CryptoKey | None:
        """One key, or None."""
        return self._keys.get(key_id)

    def of_tenant(self, tenant: str) -> Mapping[str, CryptoKey]:
        """A tenant's keys by their ids."""
        return self._tenants.get(tenant, {})

    def head(self, key: CryptoKey) -> CryptoKey:
        """The key that one was rotated to in the end; itself, if it never was."""
        while key.successor is not None and key.successor in self._keys:
            key = self._keys[key.successor]
        return key

    def former(self, key_id: str) -> list[CryptoKey]:
        """Those that were rotated to this key."""
        return [self._keys[id_] for id_ in self._former.get(key_id, ())]

    def signing(self, head: str, now: int) -> list[CryptoKey]:
        """A key, and those before it that sign beside it at a time, the newest first."""
        beside = [key for key in self._before(head) if (key.expires or 0) > now]
        return [*self._one(head), *sorted(beside, key=lambda key: key.id, reverse=True)]

    def put(self, key: CryptoKey, revision: int) -> None:
        """Add a key, or put it in the place of what was known of it before this revision."""
        if revision >= self._revisions.get(key.id, -1):
            self.drop(key.id)
            self._keys[key.id] = self._tenants[key.tenant][key.id] = key
            self._revisions[key.id] = revision
            if key.successor is not None:
                self._former[key.successor].add(key.id)

    def drop(self, key_id: str) -> None:
        """Forget a key, if it is there."""
        key = self._keys.pop(key_id, None)
        if key is not None:
            del self._tenants[key.tenant][key_id], self._revisions[key_id]
            if key.successor is not None:
                self._former[key.successor].discard(key_id)

    def absent(self, there: Collection[str], revision: int) -> list[str]:
        """Those that are not ``there``, among the keys that were known at a revision."""
        return [id_ for id_, known in self._revisions.items() if id_ not in there and known <= revision]

    def _one(self, key_id: str) -> Iterator[CryptoKey]:
        if key_id in self._keys:
            yield self._keys[key_id]

    def _before(self, key_id: str) -> Iterator[CryptoKey]:
        for key in self.former(key_id):
            yield key
            yield from self._before(key.id)
