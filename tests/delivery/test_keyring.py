"""The key ring as time passes, and as other processes change what it holds."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from service import errors
from service.delivery import material
from service.delivery.keyring import KeyRing
from service.delivery.outgoing import Outgoing
from service.model import Algorithm, CryptoKey, Signature
from service.store import cryptokeys, keys, store
from service.store.store import Store
from service.vault import Vault
from service.watches import rotation
from service.watches.registry import Registry

HOUR, DAY = 3_600_000, 86_400_000
TENANT = "default"


class Time:
    """A clock that stands until it is moved; milliseconds."""

    def __init__(self) -> None:
        self.ms = 1_764_000_000_000

    def __call__(self) -> int:
        return self.ms


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
def vault() -> Vault:
    return Vault(["an-encryption-key-for-the-tests-only"])


@pytest.fixture
async def opened(tmp_path: Path):
    async with asyncio.TaskGroup() as group, store.opened(f"sqlite:///{tmp_path}/a.db", group) as opened:
        await opened.write(lambda transaction: keys.add_tenant(transaction, TENANT, 1))
        yield opened


@pytest.fixture
def ring(opened: Store, vault: Vault, time: Time) -> KeyRing:
    return KeyRing(opened, vault, now=time)


async def made(ring: KeyRing, algorithm: Algorithm = Algorithm.HMAC_SHA256) -> CryptoKey:
    return await ring.make(TENANT, "key", material.generate(algorithm))


async def rotated(opened: Store, ring: KeyRing, key: CryptoKey, overlap: int) -> CryptoKey:
    done = await rotation.rotate(opened, ring, Registry(), TENANT, key.id, overlap)
    assert done.successor is not None
    return done.successor


def signing(ring: KeyRing, time: Time, *named: CryptoKey) -> list[str]:
    signature = Signature(enabled=True, crypto_key_ids=tuple(key.id for key in named))
    return [key.id for key in ring.signing(signature, time()).keys]


async def last_used(opened: Store, key: CryptoKey) -> int | None:
    row = await cryptokeys.one(opened, TENANT, key.id)
    assert row is not None
    return row.last_used


async def test_a_rotated_key_stops_signing_when_its_overlap_ends_without_anything_happening(opened, ring, time):
    old = await made(ring, Algorithm.ED25519)
    new = await rotated(opened, ring, old, 3600)
    for moment, expected in ((0, [new.id, old.id]), (HOUR - 1, [new.id, old.id]), (HOUR, [new.id]), (DAY, [new.id])):
        time.ms = 1_764_000_000_000 + moment
        assert signing(ring, time, new) == expected, moment
        assert [key.id for key, _ in ring.published(TENANT)] == expected


async def test_the_overlaps_of_a_line_end_each_at_its_own_time(opened, ring, time):
    first = await made(ring)
    second = await rotated(opened, ring, first, 2 * 3600)
    third = await rotated(opened, ring, second, 3600)
    assert signing(ring, time, third) == [third.id, second.id, first.id]
    time.ms += HOUR
    assert signing(ring, time, third) == [third.id, first.id]
    time.ms += HOUR
    assert signing(ring, time, third) == [third.id]


async def test_a_key_can_be_deleted_when_its_overlap_has_ended(opened, ring, time):
    old = await made(ring)
    new = await rotated(opened, ring, old, 3600)
    time.ms += HOUR
    await ring.delete(TENANT, old.id)
    assert signing(ring, time, new) == [new.id]
    with pytest.raises(errors.NotFound):
        await ring.show(TENANT, old.id)


async def test_another_process_signs_with_what_this_one_made_rotated_and_deleted(opened, ring, vault, time):
    other = KeyRing(opened, vault, now=time)
    old, bystander = await made(ring), await made(ring)
    await other.refresh()
    assert signing(other, time, old) == [old.id]

    new = await rotated(opened, ring, old, 3600)
    await other.refresh()
    assert signing(other, time, new, bystander) == [new.id, old.id, bystander.id]

    await rotation.rotate(opened, ring, Registry(), TENANT, old.id, 0)
    await other.refresh()
    assert signing(other, time, new) == [new.id]

    await ring.delete(TENANT, bystander.id)
    await ring.delete(TENANT, old.id)
    await other.refresh()
    assert set(other.of_tenant(TENANT)) == set(ring.of_tenant(TENANT)) == {new.id}


async def test_two_processes_cannot_rotate_the_same_key(opened, ring, vault, time):
    other = KeyRing(opened, vault, now=time)
    key = await made(ring)
    await other.refresh()
    await rotated(opened, ring, key, 60)
    with pytest.raises(errors.Conflict, match="was rotated already"):
        await rotated(opened, other, key, 60)


async def test_nothing_is_sent_unsigned_while_a_key_is_not_known_yet(opened, ring, vault, time):
    other = KeyRing(opened, vault, now=time)
    await other.refresh()
    key = await made(ring)
    missing = other.signing(Signature(enabled=True, crypto_key_ids=(key.id,)), time())
    with pytest.raises(errors.Unavailable, match=key.id):  # and nothing goes out without a signature
        missing.headers(Outgoing("dlv_1", 1, b"{}", "POST", "https://example.com/", {}))
    await other.refresh()
    assert signing(other, time, key) == [key.id]


async def test_uses_are_noted_once_an_hour_however_often_a_key_signs(opened, ring, time):
    key, unused = await made(ring), await made(ring)
    signature = Signature(enabled=True, crypto_key_ids=(key.id,))
    before = opened.commits()
    for minute in range(180):
        ring.signing(signature, time()).used = time()
        time.ms += 60_000
        await ring.note_uses()
        assert 0 <= time() - (await last_used(opened, key) or 0) <= HOUR + 60_000, minute
    assert opened.commits() - before == 3
    assert await last_used(opened, unused) is None


async def test_a_use_is_noted_although_the_key_was_rotated_meanwhile(opened, ring, time):
    old = await made(ring)
    ring.signing(Signature(enabled=True, crypto_key_ids=(old.id,)), time()).used = time()
    new = await rotated(opened, ring, old, 60)
    ring.signing(Signature(enabled=True, crypto_key_ids=(new.id,)), time()).used = time() + 5
    await ring.note_uses()
    assert (await last_used(opened, old), await last_used(opened, new)) == (time() + 5, time() + 5)


async def test_of_two_processes_the_later_use_stays(opened, ring, vault, time):
    other = KeyRing(opened, vault, now=time)
    key = await made(ring)
    await other.refresh()
    signature = Signature(enabled=True, crypto_key_ids=(key.id,))
    other.signing(signature, time()).used = time()
    time.ms += 2 * HOUR
    ring.signing(signature, time()).used = time()
    await ring.note_uses()
    await other.note_uses()
    assert await last_used(opened, key) == time()
