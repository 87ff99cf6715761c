"""Whether a receiver has agreed to be called: what its watch knows of that, and when it has to be asked anew.

Pure: the asking is the ``verifier``'s.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from service.delivery import retry
from service.delivery.handshake import Answer, Consent
from service.errors import FieldError
from service.model import StatusReason, VerificationState, Verified, Watch, WatchStatus
from service.watches import address
from service.watches.address import AddressTemplate


def faults(target: AddressTemplate | None, former: Watch | None, origin: str | None) -> Iterator[FieldError]:
    """Why the receiver at this address, so far as it is one, cannot be asked in the name of ``origin``."""
    if target is not None and target.fixed is None:
        yield FieldError(
            "/verification", "needs an address without ${...} in its path: it is what is asked for consent"
        )
    if origin is None and (former is None or former.verification_state is None):
        yield FieldError(
            "/verification",
            "needs the service's public name, in which receivers are asked for consent: an operator sets "
            "server.public_url (WATCH_PUBLIC_URL)",
        )


def state(watch: Watch, former: Watch | None, origin: str | None) -> VerificationState | None:
    """What is known of a watch that was just written: all that was, unless it is another place, or another asks."""
    if watch.verification != "webhook-origin":
        return None
    known = former.verification_state if former is not None else None
    same = known is not None and former is not None and _place(former) == _place(watch)
    if known is not None and same and origin in {known.origin, None}:
        return known
    return VerificationState(Verified.PENDING, origin or (known.origin if known is not None else ""))


def anew(watch: Watch, origin: str | None) -> Watch:
    """The watch, whose receiver is to be asked as if it never had been."""
    known = watch.verification_state
    asking = VerificationState(Verified.PENDING, origin or (known.origin if known is not None else ""))
    return settled(watch, asking)


def heard(watch: Watch, answer: Answer, times: int, now: int, jitter: float) -> VerificationState:
    """What is known after the receiver was asked so many ``times`` (1 or more) and gave this answer, or none."""
    known = watch.verification_state
    asked = VerificationState(Verified.REFUSED, known.origin if known is not None else "", now, answer.detail)
    if answer.consent is Consent.GIVEN:
        return replace(asked, state=Verified.YES, allowed_rate=answer.rate)
    if answer.consent is Consent.WITHHELD:
        return asked
    due = retry.next_attempt(watch.retry.schedule, times, now, jitter, answer.not_before)
    if due is None:
        return replace(asked, detail=f"{answer.detail}; given up after {times} attempt{'s' * (times != 1)}")
    return replace(asked, state=Verified.PENDING, next_attempt=due)


def settled(watch: Watch, state: VerificationState) -> Watch:
    """The watch with what is known now, and what follows from it."""
    known = replace(watch, verification_state=state)
    if watch.status is WatchStatus.DISABLED:
        return known
    return replace(known, status_reason=reason(known, unauthorized=watch.status_reason is StatusReason.AUTHORIZATION))


def reason(watch: Watch, *, unauthorized: bool) -> StatusReason | None:
    """Why the deliveries of an enabled watch wait, if they do: an owner's consent comes before a receiver's."""
    if unauthorized:
        return StatusReason.AUTHORIZATION
    state = watch.verification_state
    return None if state is None or state.state is Verified.YES else StatusReason.VERIFICATION


def rate(watch: Watch) -> float | None:
    """Callbacks a second at most: what its owner wants, and what its receiver permits."""
    allowed = watch.verification_state.allowed_rate if watch.verification_state is not None else None
    return min((each for each in (watch.rate_limit, allowed and allowed / 60) if each is not None), default=None)


def origin(watch: Watch) -> str | None:
    """The name that every callback bears once its receiver has consented to it (section 4.1.2); None: it asks none."""
    state = watch.verification_state
    return state.origin if state is not None and state.state is Verified.YES else None


def is_due(watch: Watch) -> bool:
    """Whether its receiver is to be asked now."""
    state = watch.verification_state
    waits = watch.status is WatchStatus.ENABLED and watch.status_reason is StatusReason.VERIFICATION
    return waits and state is not None and state.state is Verified.PENDING


def _place(watch: Watch) -> str:
    """Origin and path of its address: the query may differ without a new consent."""
    target = address.compile(watch.address)
    _, _, path = (target.fixed or watch.address).partition("?")[0].partition("://")[2].partition("/")
    return f"{target.origin}/{path}"
