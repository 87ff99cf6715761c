"""When a receiver that fails is spared, and when it is given up: a pure function of the attempts' outcomes.

Each attempt moves a watch's health by a step. So many failures in a row make it *failing*: it is probed, one delivery
at a time, until one succeeds. If nothing but failures came for days, there is no hope, and the watch is disabled. What
the receiver had no part in (a template that makes no body) counts for nothing.
"""

from __future__ import annotations

from collections.abc import Mapping

from service.delivery import retry
from service.model import Event, Health, HealthState, Reason

PROBED_AFTER = 20  # failures in a row: contract, section 7
GIVEN_UP_AFTER = 5 * 86_400_000  # ms of nothing but failures: contract, section 7
NOTED_EVERY = 60_000  # ms: how exactly the last success is known, for it must not cost a write for each delivery

# What is worth telling others: a step from one state into another.
NEWS: Mapping[tuple[HealthState, HealthState], Event] = {
    (HealthState.DEGRADED, HealthState.FAILING): Event.FAILING,
    (HealthState.FAILING, HealthState.HEALTHY): Event.RECOVERED,
}


def counts(reason: Reason | None) -> bool:
    """Whether an attempt that failed for this reason (None: it succeeded) says anything about the receiver."""
    return reason not in retry.FINAL_REASONS


def after(health: Health, reason: Reason | None, at: int) -> Health:
    """The health after one more attempt that counts, made at this time (ms)."""
    if reason is None:
        return Health(last_success=max(at, health.last_success or 0))
    return Health(health.failures + 1, at if health.since is None else health.since, health.last_success)


def state(health: Health) -> HealthState:
    """Where a watch stands."""
    if health.failures >= PROBED_AFTER:
        return HealthState.FAILING
    return HealthState.DEGRADED if health.failures else HealthState.HEALTHY


def is_failing(health: Health) -> bool:
    """Whether it is probed."""
    return state(health) is HealthState.FAILING


def news(before: Health, now: Health) -> Event | None:
    """What one step is worth telling, if it is anything."""
    return NEWS.get((state(before), state(now)))


def is_hopeless(health: Health, now: int) -> bool:
    """Whether there were nothing but failures for so long that the watch is to be disabled."""
    return is_failing(health) and health.since is not None and now - health.since >= GIVEN_UP_AFTER
