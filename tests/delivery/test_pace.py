"""The pace of a watch: turns in time, without a clock."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.delivery import pace
from service.delivery.pace import Pace

START = 1_764_000_000_000
MINUTE = 60_000


def turns(of: Pace, until: int, lateness=lambda _turn: 0.0) -> list[int]:
    """When turns are taken by somebody who always has something to send, and is late by so many milliseconds."""
    now, taken = START, []
    while now < START + until:
        if wait := of.wait(now):
            now += math.ceil(wait + lateness(len(taken)))
        else:
            taken.append(now)
    return taken


@pytest.mark.parametrize("rate", [0.2, 0.5, 1, 3, 7.5, 10, 50, 99.9, 333, 1000])
def test_a_rate_holds_within_a_twentieth_over_a_minute(rate: float):
    taken = turns(Pace(rate), 3 * MINUTE)
    for first in range(0, 2 * MINUTE, 500):
        within = [at for at in taken if START + first <= at < START + first + MINUTE]
        assert abs(len(within) - rate * 60) <= max(1, rate * 60 / 20)


@given(rate=st.floats(1, 1000), late=st.lists(st.floats(0, 90), min_size=1, max_size=50))
def test_an_event_loop_that_is_late_by_less_than_the_leeway_costs_no_turns(rate: float, late: list[float]):
    taken = turns(Pace(rate), 10_000, lambda turn: late[turn % len(late)])
    assert len(taken) >= math.floor(rate * 9.9)


@pytest.mark.parametrize("rate", [0.5, 5, 40, 500])
def test_turns_that_nobody_took_are_lost_so_that_no_burst_follows_a_silence(rate: float):
    of = Pace(rate)
    turns(of, 1000)
    now, burst = START + 10 * MINUTE, 0
    while not of.wait(now):
        burst += 1
    assert burst <= 1 + rate * pace.LEEWAY / 1000


def test_a_clock_that_was_set_back_stops_nobody():
    of = Pace(10)
    assert of.wait(START) == 0
    assert of.wait(START - 3_600_000) <= 200


def test_a_pace_is_kept_while_its_rate_stays_and_made_anew_when_it_changes():
    first = pace.changed(None, 5)
    assert pace.changed(first, 5) is first
    assert pace.changed(first, 6) == Pace(6)
    assert pace.changed(first, None) is None
