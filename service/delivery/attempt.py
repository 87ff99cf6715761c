"""One attempt, as values: the request that is sent, and what its outcome means for the delivery."""

from __future__ import annotations

from functools import lru_cache
from urllib.parse import quote

from service import __version__, clock
from service.delivery import retry
from service.delivery.outgoing import Outgoing
from service.delivery.recipient import Recipient, RenderError
from service.delivery.sign import Signing
from service.model import Change, DeliveryStatus, Outcome, Reason, Request, Watch
from service.store.deliveries import Job
from service.values import value

USER_AGENT = f"webhook-watch/{__version__}"
BODILESS = ("GET", "DELETE")  # contract, section 5: these carry no body
CE_SAFE = "".join(chr(code) for code in range(0x21, 0x7F) if chr(code) not in '"%')  # printable ASCII without these


@value
class Verdict:
    """What follows from an outcome."""

    status: DeliveryStatus
    reason: Reason | None
    due: int | None = None  # the next attempt, while pending
    gone: bool = False  # the receiver wants no more: the watch is disabled
    hold_until: int | None = None  # the receiver asks the whole watch to wait


def body(job: Job, recipient: Recipient) -> bytes:
    """The body of every attempt of this delivery; RenderError when the template cannot make it."""
    return job.body if job.body is not None else recipient.body(job.change)


def request(
    job: Job,
    recipient: Recipient,
    payload: bytes,
    signing: Signing,
    authorization: str | None,
    now: int,
) -> Request:
    """The request of one attempt at ``now``; RenderError when the address cannot be made.

    The signature covers exactly what is sent: for a method without a body, the empty one.
    """
    watch = recipient.watch
    bodiless = watch.method in BODILESS
    sent = b"" if bodiless else payload
    headers = {} if bodiless else {"content-type": "application/json"}
    headers["user-agent"] = USER_AGENT
    headers.update({name.lower(): value for name, value in watch.headers.items()})  # they take the place of ours
    if authorization is not None:
        headers["authorization"] = authorization
    url = recipient.address(job.change)
    headers.update(signing.headers(Outgoing(job.id, now // 1000, sent, watch.method, url, headers)))
    headers.update(_cloud_event(job.change))
    if recipient.origin is not None:
        headers["webhook-request-origin"] = recipient.origin
    return Request(watch.method, url, headers, None if bodiless else sent, watch.retry.timeout)


def unsent(error: RenderError) -> Outcome:
    """The outcome of a delivery whose request could not be made."""
    return Outcome(Reason.TOO_LARGE if error.too_large else Reason.TEMPLATE, error_message=error.detail)


def judge(job: Job, watch: Watch, outcome: Outcome, now: int, jitter: float) -> Verdict:
    """What an outcome means: taken, to be tried again at a time, or given up.

    ``now`` is the end of the attempt; ``jitter`` a sample between 0 and 1.
    """
    if outcome.ok:
        return Verdict(DeliveryStatus.SUCCEEDED, None)
    if retry.is_final(outcome):
        return Verdict(DeliveryStatus.FAILED, outcome.reason, gone=outcome.status_code == retry.GONE)
    hold_until = retry.pause(outcome, now)
    due = None if job.single else retry.next_attempt(watch.retry.schedule, job.attempts + 1, now, jitter, hold_until)
    status = DeliveryStatus.FAILED if due is None else DeliveryStatus.PENDING
    return Verdict(status, outcome.reason, due, hold_until=hold_until)


def _cloud_event(change: Change) -> dict[str, str]:
    return {
        "ce-specversion": "1.0",
        "ce-id": change.id,
        "ce-type": _encoded(f"{change.type}.{change.event}"),
        "ce-source": _encoded(change.source),
        "ce-subject": _encoded(change.object_id),
        "ce-time": clock.rfc3339(change.time),
        "ce-sequence": str(change.version),
    }


@lru_cache(maxsize=4096)
def _encoded(text: str) -> str:
    """A header's value after the CloudEvents HTTP binding, 3.1.3.2: UTF-8, percent-encoded where it must be."""
    return quote(text, safe=CE_SAFE)
