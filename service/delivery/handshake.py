"""Asking a receiver whether it wants callbacks at all, before the first one: CloudEvents' webhook handshake.

HTTP 1.1 Web Hooks for Event Delivery 1.0, section 4: an OPTIONS request to the very address, with the credentials
that a callback would have, says who wants to send. Consent is a header of the answer, whatever its status; nothing
else is. Values in, values out.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum

from service import __version__
from service.delivery import retry
from service.model import Outcome, Request, Watch

TIMEOUT = 10.0  # seconds for one question, or less if the watch says so
LATER = frozenset({408, 425, 429})  # with 5xx: statuses of a receiver that cannot answer now

_RATE = re.compile(r"[1-9][0-9]{0,8}", re.ASCII)


class Consent(Enum):
    """What an answer means."""

    GIVEN = "given"
    WITHHELD = "withheld"
    UNKNOWN = "unknown"  # there was none; another question may get one


@dataclass(frozen=True, slots=True)
class Answer:
    """What a receiver said."""

    consent: Consent
    detail: str | None = None  # why not, for operators
    rate: int | None = None  # callbacks a minute that it permits; None: as many as there are
    not_before: int | None = None  # ms: it wants to be asked again later


def request(watch: Watch, url: str, origin: str, authorization: str | None) -> Request:
    """The question, on behalf of ``origin``, a DNS name."""
    headers = {"user-agent": f"webhook-watch/{__version__}"}
    headers.update({name.lower(): value for name, value in watch.headers.items()})
    if authorization is not None:
        headers["authorization"] = authorization
    headers["webhook-request-origin"] = origin
    if watch.rate_limit is not None:
        headers["webhook-request-rate"] = str(max(1, int(watch.rate_limit * 60)))
    return Request("OPTIONS", url, headers, None, min(TIMEOUT, watch.retry.timeout))


def judge(outcome: Outcome, origin: str, now: int) -> Answer:
    """Sections 4.2.1 and 4.2.2. A rate that is no number limits nothing. ``now`` is the end of the exchange."""
    allowed, status = outcome.headers.get("webhook-allowed-origin"), outcome.status_code
    if allowed is not None and allowed.strip().lower() in {"*", origin.lower()}:
        rate = outcome.headers.get("webhook-allowed-rate", "").strip()
        return Answer(Consent.GIVEN, rate=int(rate) if _RATE.fullmatch(rate) else None)
    if status is None:
        return Answer(Consent.UNKNOWN, outcome.error_message)
    if status >= 500 or status in LATER:
        return Answer(Consent.UNKNOWN, f"OPTIONS was answered {status}", not_before=retry.pause(outcome, now))
    if allowed is not None:
        return Answer(Consent.WITHHELD, f"WebHook-Allowed-Origin of the answer ({status}) names neither {origin} nor *")
    return Answer(Consent.WITHHELD, f"OPTIONS was answered {status} without WebHook-Allowed-Origin")
