"""Times: milliseconds since the epoch inside, RFC 3339 in UTC outside."""

from __future__ import annotations

import time
from datetime import UTC, datetime


def now_ms() -> int:
    """The time now."""
    return time.time_ns() // 1_000_000


def rfc3339(ms: int) -> str:
    """``1764000000123`` as ``2025-11-24T16:00:00.123Z``."""
    return datetime.fromtimestamp(ms // 1000, UTC).strftime("%Y-%m-%dT%H:%M:%S.") + f"{ms % 1000:03d}Z"


def parse_rfc3339(text: str) -> int:
    """Milliseconds of an RFC 3339 timestamp; ValueError without a zone or when it is none."""
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        message = f"{text!r} has no time zone: write it like 2026-01-31T12:00:00Z"
        raise ValueError(message)
    return int(moment.timestamp() * 1000)
