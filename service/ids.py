"""Identifiers that sort by the time they were made.

``prefix_`` and 26 characters of Crockford's base 32 (a ULID): 48 bits of milliseconds, 80 bits that start
at random in each millisecond and count up within it, so that two ids of one process never compare equal
and always compare in the order they were made. Cursors of lists rely on that.
"""

from __future__ import annotations

import os
import time

ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
COUNTED = 1 << 20
PAIRS = [high + low for high in ALPHABET for low in ALPHABET]

_last_ms = 0
_tail = 0
_head = ""  # all characters of the last id but those of COUNTED bits: seldom made anew


def new(prefix: str, now: int | None = None) -> str:
    """A new id such as ``dlv_01JD3Z...``; ``now`` in milliseconds, the clock by default."""
    global _last_ms, _tail, _head  # noqa: PLW0603  the counter is the process's own
    ms = time.time_ns() // 1_000_000 if now is None else now
    if ms > _last_ms:
        _last_ms, _tail, _head = ms, int.from_bytes(os.urandom(10), "big") >> 1, ""
    else:  # the same millisecond, or a clock that was set back: keep the order
        _tail += 1
    counted = _tail & (COUNTED - 1)
    if not counted or not _head:
        _head = _base32((_last_ms << 80) | (_tail & ((1 << 80) - 1)))[:-4]
    return f"{prefix}_{_head}{PAIRS[counted >> 10]}{PAIRS[counted & 1023]}"


def floor(prefix: str, ms: int) -> str:
    """The smallest id of this millisecond: older ids sort before it."""
    return f"{prefix}_{_base32(ms << 80)}"


def _base32(value: int) -> str:
    """26 characters, two at a time."""
    return "".join([PAIRS[(value >> shift) & 1023] for shift in range(120, -1, -10)])
