"""Times: milliseconds since the epoch inside, RFC 3339 in UTC outside."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from functools import lru_cache


def now_ms() -> int:
    """The time now."""
    return time.time_ns() // 1_000_000


def rfc3339(ms: int) -> str:
    """``1764000000123`` as ``2025-11-24T16:00:00.123Z``."""
    return f"{_second(ms // 1000)}.{ms % 1000:03d}Z"


@lru_cache(maxsize=256)  # what happens now shares its second with much else
def _second(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")


def parse_rfc3339(text: str) -> int:
    """Milliseconds of an RFC 3339 timestamp; ValueError without a zone or when it is none."""
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        message = f"{text!r} has no time zone: write it like 2026-01-31T12:00:00Z"
        raise ValueError(message)
    return int(moment.timestamp() * 1000)
