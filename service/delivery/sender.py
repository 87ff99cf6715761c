"""Making one attempt: render, authorize, sign, send, and write down what came of it."""

from __future__ import annotations

import logging
import random
from collections.abc import Callable
from dataclasses import dataclass, field

from service import clock
from service.delivery import attempt, authenticate, grants, masking, send, wire
from service.delivery.attempt import Verdict
from service.delivery.keyring import KeyRing
from service.delivery.recipient import Recipient, RenderError
from service.delivery.sign import Signing
from service.model import DeliveryStatus, Outcome, Reason, Request
from service.store.deliveries import Attempt, Job, Settlement

log = logging.getLogger(__name__)

Ended = Callable[[Settlement, Verdict], None]


@dataclass(slots=True)
class Exchange:
    """What one attempt was made of, for the log, as far as it came."""

    payload: bytes | None = None
    request: Request | None = None
    token: str | None = field(default=None, repr=False)
    is_unauthorized: bool = False  # the watch's owner has to authorize it anew


class Sender:
    """Everything that an attempt needs besides the delivery itself."""

    def __init__(
        self,
        client: wire.Lines,
        keyring: KeyRing,
        tokens: authenticate.Tokens,
        *,
        now: Callable[[], int] = clock.now_ms,
        jitter: Callable[[], float] = random.random,
        observe: Callable[[Outcome], None] = lambda _outcome: None,
    ) -> None:
        self._client = client
        self._keyring = keyring
        self._tokens = tokens
        self._now = now
        self._jitter = jitter
        self._observe = observe

    def begin(self, job: Job, recipient: Recipient, ended: Ended, again: Callable[[], None]) -> bool:
        """Send a delivery once, at once; False, and nothing has happened, when something must be waited for before.

        ``ended`` is called with what to settle and what follows; or ``again``, when the connection had died while it
        was idle: then ``attempt`` is to be awaited as if this had not been.
        """
        watch = recipient.watch
        if watch.oauth2 is not None:  # its token may have to be fetched, and fetched again
            return False
        started = self._now()
        signing = self._keyring.signing(watch.signature, started)
        signing.used = started
        made = Exchange()
        try:
            made.payload = attempt.body(job, recipient)
            authorization = None if watch.basic_auth is None else authenticate.basic(watch.basic_auth)
            made.request = attempt.request(job, recipient, made.payload, signing, authorization, started)
        except Exception:  # noqa: BLE001  the patient way says what is wrong
            return False

        def done(outcome: Outcome | None) -> None:
            if outcome is None:
                again()
            else:
                ended(*self._settled(job, recipient, signing, made, outcome, started))

        return send.Exchange(self._client, made.request, done).begin()

    async def attempt(self, job: Job, recipient: Recipient) -> tuple[Settlement, Verdict]:
        """Send a delivery once; what to settle and what follows. Raises nothing but CancelledError."""
        started = self._now()
        signing = self._keyring.signing(recipient.watch.signature, started)
        signing.used = started
        exchange = Exchange()
        try:
            outcome = await self._exchange(job, recipient, signing, exchange)
        except RenderError as error:
            outcome = attempt.unsent(error)
        except Exception:  # a bug of ours must not stop the deliveries of others, nor lose this one
            log.exception("delivery %s could not be attempted", job.id)
            outcome = Outcome(Reason.PROTOCOL, error_message="internal error; see the service's own log")
        return self._settled(job, recipient, signing, exchange, outcome, started)

    def _settled(
        self,
        job: Job,
        recipient: Recipient,
        signing: Signing,
        exchange: Exchange,
        outcome: Outcome,
        started: int,
    ) -> tuple[Settlement, Verdict]:
        self._observe(outcome)
        if exchange.is_unauthorized:  # it waits with its watch, however many attempts it has left
            verdict = Verdict(DeliveryStatus.PENDING, outcome.reason, self._now())
        else:
            verdict = attempt.judge(job, recipient.watch, outcome, self._now(), self._jitter())
        record = _record(recipient, signing, exchange, outcome, started)
        body = exchange.payload.decode() if job.body is None and exchange.payload is not None else None
        return Settlement(job, record, body, verdict.status, verdict.reason, verdict.due), verdict

    async def _exchange(self, job: Job, recipient: Recipient, signing: Signing, exchange: Exchange) -> Outcome:
        watch = recipient.watch
        exchange.payload = attempt.body(job, recipient)
        for _ in range(2):
            try:
                authorization = await self._authorization(recipient, exchange)
            except grants.TokenError as error:
                exchange.request = attempt.request(job, recipient, exchange.payload, signing, None, self._now())
                exchange.is_unauthorized = error.is_lost
                return Outcome(Reason.TOKEN, error_message=error.detail)
            exchange.request = attempt.request(job, recipient, exchange.payload, signing, authorization, self._now())
            outcome = await send.exchange(self._client, exchange.request)
            if outcome.status_code != 401 or exchange.token is None:
                break
            # The token may have been revoked before its time: once more, with a new one. (A new one that is
            # refused too is dropped as well, so that the next attempt does not begin with it.)
            self._tokens.drop(watch.id, exchange.token)
        return outcome

    async def _authorization(self, recipient: Recipient, exchange: Exchange) -> str | None:
        watch = recipient.watch
        if watch.basic_auth is not None:
            return authenticate.basic(watch.basic_auth)
        if watch.oauth2 is not None:
            exchange.token = await self._tokens.get(watch.id, watch.oauth2)
            return f"Bearer {exchange.token}"
        return None


def _record(recipient: Recipient, signing: Signing, exchange: Exchange, outcome: Outcome, started: int) -> Attempt:
    """What the log shows of an attempt, with everything secret masked."""
    watch, request = recipient.watch, exchange.request
    secrets = masking.together(recipient.secrets, signing.secrets)
    if exchange.token is not None:
        secrets |= {exchange.token}
    return Attempt(
        started=started,
        duration=outcome.duration,
        method=watch.method,
        address=request.url if request is not None else watch.address,
        request_headers={} if request is None else masking.headers(request.headers, secrets, watch.headers.keys()),
        status_code=outcome.status_code,
        response_headers=masking.headers(outcome.headers, secrets),
        response_body=masking.mask(masking.printable(outcome.body), secrets, cut=_is_cut(outcome)),
        reason=outcome.reason,
        error_message=None if outcome.error_message is None else masking.mask(outcome.error_message, secrets),
    )


def _is_cut(outcome: Outcome) -> bool:
    """Whether there may have been more of the answer, so that a secret could stand half in what there is."""
    return len(outcome.body) >= send.ANSWER_LIMIT or outcome.reason in {Reason.TIMEOUT, Reason.RESET}
