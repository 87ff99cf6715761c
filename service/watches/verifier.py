"""Asking receivers for their consent: each that is due, by one process at a time, until it has answered.

A question is claimed from the database with a lease and a fence, put without holding anything, and its answer is
written only if the question is still ours and the watch still the same: whoever moves a watch, or wants it verified
anew, raises the fence. A receiver that cannot be reached is asked again after the delays of its watch's
``retry.schedule``; one that does not consent is not asked again by itself.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import random
from collections.abc import Callable, Sequence

from service import clock, errors
from service.delivery import authenticate, grants, handshake, send, wire
from service.delivery.handshake import Answer, Consent
from service.model import Outcome, Reason, Watch, WatchStatus
from service.store import verifications
from service.store.driver import Transaction
from service.store.store import Store
from service.store.verifications import Claim
from service.watches import address, verification
from service.watches.registrar import Registrar

log = logging.getLogger(__name__)

MOST = 32  # questions at once
LEASE = 30_000  # ms
LONGEST = 25.0  # seconds for one question with all that it takes, within its lease
LOOK = 5.0  # seconds after which the table is looked at whatever happens: another process may have let go of one
PAUSE = 1.0  # seconds between two looks while the database cannot write


class Verifier:
    """The one who asks. ``run`` it in a task group."""

    def __init__(
        self,
        store: Store,
        registrar: Registrar,
        client: wire.Lines,
        tokens: authenticate.Tokens,
        origin: str | None,
        *,
        now: Callable[[], int] = clock.now_ms,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._store = store
        self._registrar = registrar
        self._client = client
        self._tokens = tokens
        self._origin = origin
        self._now = now
        self._jitter = jitter
        self._asking = 0
        self._nudge = asyncio.Event()

    async def run(self) -> None:
        """Take over what an earlier process left, then ask until it is cancelled."""
        if not self._store.is_shared:
            await self._store.write(verifications.take_over)
        for watch in self._registrar.verified_for_others(self._origin):
            await self._store.write(functools.partial(self._anew, watch_id=watch.id, wanted=_is_asked))
        try:
            async with asyncio.TaskGroup() as group:
                await self._go_on(group)
        finally:
            with contextlib.suppress(errors.Unavailable):  # else the leases run out
                await self._store.write(
                    lambda transaction: verifications.release(transaction, self._store.lease.worker_id)
                )

    def watch_held(self, watch_id: str, until: int) -> None:
        """A question is put all the same."""

    def watch_changed(self, watch_id: str, *, moved: bool = False, forgiven: bool = False) -> None:  # noqa: ARG002  all the same
        """A watch may have to be verified."""
        self._nudge.set()

    async def anew(self, tenant: str, watch_id: str) -> Watch:
        """Ask a watch's receiver as if it never had been; its deliveries wait until it has answered.

        Raises:
            NotFound: the tenant has no such watch.
            Conflict: it asks for no verification, or is disabled.
        """

        def checked(watch: Watch) -> bool:
            if watch.tenant != tenant:
                return False
            if watch.verification_state is None:
                raise errors.Conflict(
                    f"watch {watch_id} asks for no verification: to have its receiver asked for consent, "
                    'PATCH {"verification": "webhook-origin"}'
                )
            if watch.status is WatchStatus.DISABLED:
                raise errors.Conflict(
                    f'watch {watch_id} is disabled: enable it first, with PATCH {{"status": "enabled"}}'
                )
            return True

        stored = await self._store.write(functools.partial(self._anew, watch_id=watch_id, wanted=checked))
        if stored is None:
            raise errors.NotFound(f"there is no watch {watch_id}")
        return stored

    async def _anew(self, transaction: Transaction, watch_id: str, wanted: Callable[[Watch], bool]) -> Watch | None:
        def asked(watch: Watch) -> Watch | None:
            return verification.anew(watch, self._origin) if wanted(watch) else None

        watch = await self._registrar.alter(transaction, watch_id, asked)
        if watch is not None:
            await verifications.ask(transaction, watch_id, self._now(), anew=True)
        return watch

    # One question

    async def _go_on(self, group: asyncio.TaskGroup) -> None:
        while True:
            self._nudge.clear()
            try:
                rest = await self._look(group)
            except errors.Unavailable as error:
                log.warning("verifying waits: %s", error.detail)
                rest = PAUSE
            try:
                async with asyncio.timeout(rest):
                    await self._nudge.wait()
            except TimeoutError:
                pass

    async def _look(self, group: asyncio.TaskGroup) -> float:
        """Put the questions that are due, as many as may be under way; seconds until there may be more."""
        due = await verifications.next_due(self._store)
        if due is not None and due <= self._now() and self._asking < MOST:
            for claim in await self._store.submit(self._claim, MOST - self._asking):
                self._asking += 1
                group.create_task(self._turn(claim), name=f"verify {claim.watch_id}")
            due = await verifications.next_due(self._store)
        if due is None or self._asking >= MOST:
            return LOOK
        return min(LOOK, max(0.0, (due - self._now()) / 1000))

    async def _claim(self, transaction: Transaction, limits: Sequence[int]) -> list[Sequence[Claim]]:
        now = self._now()
        return [
            await verifications.claim(transaction, self._store.lease.worker_id, now, now + LEASE, limit)
            for limit in limits
        ]

    async def _turn(self, claim: Claim) -> None:
        try:
            watch = await self._registrar.stored(self._store, claim.watch_id)
            answer = await self._ask(watch) if watch is not None and verification.is_due(watch) else None
            await self._store.write(lambda transaction: self._settle(transaction, claim, watch, answer))
        except errors.Unavailable as error:  # the lease runs out, and it is asked again
            log.warning("watch %s: its verification waits: %s", claim.watch_id, error.detail)
        except Exception:  # a bug of ours must not stop the others
            log.exception("watch %s could not be verified", claim.watch_id)
        finally:
            self._asking -= 1
            self._nudge.set()

    async def _ask(self, watch: Watch) -> Answer:
        state, url = watch.verification_state, address.compile(watch.address).fixed
        if state is None or url is None:  # no watch is registered so
            return Answer(Consent.WITHHELD, "its address has no fixed path that could be asked")
        try:
            async with asyncio.timeout(LONGEST):
                outcome = await self._exchange(watch, url, state.origin)
        except TimeoutError:
            outcome = Outcome(Reason.TIMEOUT, error_message=f"no answer within {LONGEST:g} s")
        return handshake.judge(outcome, state.origin, self._now())

    async def _exchange(self, watch: Watch, url: str, origin: str) -> Outcome:
        for last in (False, True):
            authorization = token = None
            try:
                if watch.basic_auth is not None:
                    authorization = authenticate.basic(watch.basic_auth)
                elif watch.oauth2 is not None:
                    token = await self._tokens.get(watch.id, watch.oauth2)
                    authorization = f"Bearer {token}"
            except grants.TokenError as error:
                return Outcome(Reason.TOKEN, error_message=error.detail)
            outcome = await send.exchange(self._client, handshake.request(watch, url, origin, authorization))
            if outcome.status_code != 401 or token is None or last:
                break
            self._tokens.drop(watch.id, token)  # as for a delivery: it may have been revoked before its time
        return outcome

    async def _settle(self, transaction: Transaction, claim: Claim, asked: Watch | None, answer: Answer | None) -> None:
        """Write down what came of a claim, if it is still ours to say and about the watch as it is now."""
        watch = await self._registrar.stored(transaction, claim.watch_id)
        state, due = None, None
        if watch is not None and asked is not None and answer is not None and _same(watch, asked):
            if verification.is_due(watch) or answer.consent is not Consent.UNKNOWN:
                state = verification.heard(watch, answer, claim.attempts + 1, self._now(), self._jitter())
                due = state.next_attempt
        elif watch is not None and verification.is_due(watch):  # it became so while we looked
            due = self._now()
        if await verifications.settle(transaction, claim, due) and state is not None:
            heard = state
            await self._registrar.alter(transaction, claim.watch_id, lambda watch: verification.settled(watch, heard))
            said = f": {state.detail}" if state.detail else ""
            transaction.after_commit(lambda: log.info("watch %s is %s%s", claim.watch_id, heard.state, said))


def _is_asked(watch: Watch) -> bool:
    return watch.verification_state is not None


def _same(watch: Watch, asked: Watch) -> bool:
    return watch.verification_state is not None and watch.verification_state == asked.verification_state
