"""When to try again: a pure function of the schedule, the failures so far, and what the receiver asked for.

Nothing here reads a clock or rolls dice; ``now`` and the jitter are parameters. Times are milliseconds since
the epoch, a schedule's delays are seconds.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from service.model import Outcome, Reason

JITTER = 0.2  # the most that is added to a delay, so that what failed together does not come back together
DAY_SECONDS = 86_400
LONGEST_PAUSE = DAY_SECONDS * 1000  # ms: how far ahead a receiver's Retry-After is believed

GONE = 410  # the receiver asks never to be called again: the delivery fails, and its watch is disabled
PAUSING = frozenset({429, 503})  # statuses whose Retry-After holds the whole watch (contract, section 7)
# Another attempt would fail the same way: body and id are fixed when a delivery is first rendered.
FINAL_REASONS = frozenset({Reason.TEMPLATE, Reason.TOO_LARGE, Reason.CANCELED})

_SECONDS = re.compile(r"\d+(\.\d+)?", re.ASCII)


def is_final(outcome: Outcome) -> bool:
    """Whether an attempt ends its delivery, whatever the schedule says."""
    return outcome.ok or outcome.status_code == GONE or outcome.reason in FINAL_REASONS


def next_attempt(
    schedule: Sequence[float], failures: int, now: int, jitter: float, not_before: int | None = None
) -> int | None:
    """When to try again after so many ``failures`` (1 or more), or None: the schedule is used up, give up.

    ``jitter`` is a uniform sample of 0..1. ``not_before``, what the receiver asked for, is a floor: it can
    only delay, and it does not add attempts.
    """
    if failures > len(schedule):
        return None
    delay = schedule[failures - 1] * (1 + JITTER * jitter)
    return max(now + round(delay * 1000), not_before or 0)


def pause(outcome: Outcome, now: int) -> int | None:
    """Until when a watch's receiver asked to be left alone: Retry-After of a 429 or a 503, else None."""
    return retry_after(outcome.headers.get("retry-after"), now) if outcome.status_code in PAUSING else None


def retry_after(value: str | None, now: int) -> int | None:
    """The moment that a Retry-After header means, at most a day ahead; None for nonsense and for the past.

    Seconds and the three HTTP dates are RFC 9110, section 10.2.3; ISO 8601 is what some services write instead.
    A date without a zone is taken as UTC.
    """
    moment = _moment((value or "").strip(), now)
    if moment is None or moment <= now:
        return None
    return min(moment, now + LONGEST_PAUSE)


def _moment(text: str, now: int) -> int | None:
    if _SECONDS.fullmatch(text):
        return now + round(min(float(text), DAY_SECONDS) * 1000)
    for read in (datetime.fromisoformat, parsedate_to_datetime):
        try:
            date = read(text)
            return round((date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp() * 1000)
        except (ValueError, TypeError, IndexError, OverflowError):  # the parsers' ways to say no
            continue
    return None
