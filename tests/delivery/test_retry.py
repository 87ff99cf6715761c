"""When to try again."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.delivery import retry
from service.model import DEFAULT_RETRY_SCHEDULE, Outcome, Reason

NOW = 1_764_000_000_000  # 2025-11-24T16:00:00Z
DAY = 86_400_000
CASES = json.loads((Path(__file__).parent.parent / "corpus" / "retry_after.json").read_text())


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["why"])
def test_a_retry_after_header_is_understood_in_all_its_forms(case: dict[str, object]) -> None:
    wait = case["wait"]
    expected = None if wait is None else NOW + round(wait * 1000)
    assert retry.retry_after(case["value"], NOW) == expected


@given(st.text() | st.from_regex(r"[A-Z][a-z]{2}, \d{1,3} [A-Z][a-z]{2} \d{1,6} \d\d:\d\d:\d\d( [+-]?[A-Z0-9]{1,8})?"))
def test_any_text_is_a_moment_within_a_day_or_none(text: str) -> None:
    moment = retry.retry_after(text, NOW)
    assert moment is None or NOW < moment <= NOW + DAY


def test_no_header_is_no_wait() -> None:
    assert retry.retry_after(None, NOW) is None


def test_the_schedule_is_walked_and_then_given_up() -> None:
    waits = [retry.next_attempt(DEFAULT_RETRY_SCHEDULE, failures, NOW, 0.0) for failures in range(1, 11)]
    seconds = [None if wait is None else (wait - NOW) / 1000 for wait in waits]
    assert seconds == [5, 300, 1800, 7200, 18000, 36000, 50400, 72000, 86400, None]


def test_an_empty_schedule_is_one_attempt() -> None:
    assert retry.next_attempt((), 1, NOW, 0.5) is None


def test_fractions_of_a_second_count() -> None:
    assert retry.next_attempt((0.25,), 1, NOW, 0.0) == NOW + 250


@given(st.floats(0, 1), st.integers(1, 9))
def test_jitter_adds_up_to_a_fifth_and_never_takes_away(jitter: float, failures: int) -> None:
    delay = DEFAULT_RETRY_SCHEDULE[failures - 1] * 1000
    moment = retry.next_attempt(DEFAULT_RETRY_SCHEDULE, failures, NOW, jitter)
    assert moment is not None
    assert delay <= moment - NOW <= delay * 1.2


def test_what_the_receiver_asked_for_is_a_floor() -> None:
    assert retry.next_attempt((5,), 1, NOW, 0.0, NOW + 60_000) == NOW + 60_000
    assert retry.next_attempt((300,), 1, NOW, 0.0, NOW + 60_000) == NOW + 300_000


def test_what_the_receiver_asked_for_adds_no_attempt() -> None:
    assert retry.next_attempt((5,), 2, NOW, 0.0, NOW + 60_000) is None


@pytest.mark.parametrize(("status", "pauses"), [(429, True), (503, True), (500, False), (200, False), (301, False)])
def test_only_429_and_503_pause_a_watch(status: int, pauses: bool) -> None:
    outcome = Outcome(Reason.STATUS, status_code=status, headers={"retry-after": "60"})
    assert retry.pause(outcome, NOW) == (NOW + 60_000 if pauses else None)


def test_a_429_without_retry_after_does_not_pause() -> None:
    assert retry.pause(Outcome(Reason.STATUS, status_code=429), NOW) is None


@pytest.mark.parametrize(
    ("outcome", "final"),
    [
        (Outcome(None, status_code=200), True),
        (Outcome(Reason.STATUS, status_code=410), True),
        (Outcome(Reason.TEMPLATE), True),
        (Outcome(Reason.TOO_LARGE), True),
        (Outcome(Reason.CANCELED), True),
        (Outcome(Reason.STATUS, status_code=400), False),
        (Outcome(Reason.STATUS, status_code=404), False),
        (Outcome(Reason.STATUS, status_code=500), False),
        (Outcome(Reason.REDIRECT, status_code=302), False),
        (Outcome(Reason.BLOCKED), False),
        (Outcome(Reason.TOKEN), False),
        (Outcome(Reason.TIMEOUT), False),
    ],
    ids=lambda value: f"{value.reason}-{value.status_code}" if isinstance(value, Outcome) else "",
)
def test_only_what_would_fail_the_same_way_again_is_final(outcome: Outcome, final: bool) -> None:
    assert retry.is_final(outcome) is final
