"""Killed and broken under load, nothing is lost: a short run of ``python -m tests.chaos``, and whether its judge can tell."""

from __future__ import annotations

import dataclasses
import random
from pathlib import Path

import pytest

from tests.chaos import ledger, run
from tests.chaos.ledger import Arrival, Change, Cut, Ledger, Logged, Said, Watch, Write


def history(versions: int = 3) -> Ledger:
    """One resource, written so often, and told to one watch: all is well."""
    numbers = range(1, versions + 1)
    return Ledger(
        watches=[Watch("w")],
        writes=[Write("r", f"m{number}", Said.ACCEPTED, number) for number in numbers],
        arrivals=[Arrival("w", "r", number, f"c{number}", f"d{number}", f"m{number}") for number in numbers],
        feed=[Change(f"c{number}", "r", number, f"m{number}") for number in numbers],
        log=[Logged(f"d{number}", "w", f"c{number}", "succeeded", None) for number in numbers],
        cuts=[Cut(0, 9)],
        in_flight=1,
    )


def found(broken: Ledger, *words: str) -> None:
    findings = ledger.judge(broken)
    assert findings
    for word in words:
        assert any(word in finding for finding in findings), findings


def test_a_history_in_which_all_is_well_has_no_finding():
    assert ledger.judge(history()) == []


def test_a_change_that_never_came_is_found():
    broken = history()
    del broken.arrivals[1]
    found(broken, "LOST: version 2 of r never came to w", "d2 to w succeeded, and nobody took it")


def test_a_change_that_came_and_was_not_taken_has_not_arrived():
    broken = history()
    broken.arrivals[1] = dataclasses.replace(broken.arrivals[1], taken=False)
    found(broken, "LOST: version 2 of r never came to w")


def test_a_delivery_that_failed_for_a_reason_is_not_lost_and_one_without_a_reason_is():
    given_up = history()
    del given_up.arrivals[1]
    given_up.log[1] = Logged("d2", "w", "c2", "failed", "refused")
    assert ledger.judge(given_up) == []
    given_up.log[1] = Logged("d2", "w", "c2", "failed", None)
    found(given_up, "failed, and not why", "LOST")


def test_a_delivery_that_waits_for_ever_is_found():
    broken = history()
    broken.log[2] = Logged("d3", "w", "c3", "pending", None)
    found(broken, "d3 to w is pending")


def test_an_accepted_write_that_is_no_change_is_found_and_one_whose_answer_was_lost_may_be_none():
    broken = history()
    broken.writes.append(Write("r", "m4", Said.ACCEPTED, 4))
    found(broken, "LOST: the write m4 of r was accepted")
    broken.writes[-1] = Write("r", "m4", Said.LOST)
    assert ledger.judge(broken) == []


def test_a_write_whose_answer_was_lost_may_have_become_a_change_and_a_refused_one_may_not():
    broken = history()
    broken.writes[2] = Write("r", "m3", Said.LOST)
    assert ledger.judge(broken) == []
    broken.writes[2] = Write("r", "m3", Said.REFUSED)
    found(broken, "was refused, and is change c3")


def test_an_answer_with_another_version_than_the_change_has_is_found():
    broken = history()
    broken.writes[0] = Write("r", "m1", Said.ACCEPTED, 7)
    found(broken, "was answered as version 7")


def test_a_gap_in_the_versions_is_found():
    broken = history()
    broken.feed[1] = Change("c2", "r", 5, "m2")
    found(broken, "versions of r as [1, 5, 3]")


def test_a_deletion_that_was_accepted_and_is_no_change_is_found():
    broken = history()
    broken.writes.append(Write("r", None, Said.ACCEPTED, 3))
    found(broken, "LOST: r was deleted after version 3")


def test_a_deletion_tells_of_the_last_version():
    deleted = history(2)
    deleted.writes.append(Write("r", None, Said.ACCEPTED, 2))
    deleted.feed.append(Change("c3", "r", 3, None))
    deleted.arrivals.append(Arrival("w", "r", 3, "c3", "d3", "m2"))
    deleted.log.append(Logged("d3", "w", "c3", "succeeded", None))
    assert ledger.judge(deleted) == []
    deleted.arrivals[-1] = Arrival("w", "r", 3, "c3", "d3", "m1")
    found(deleted, "another content")


def test_a_deletion_that_nobody_asked_for_is_found():
    broken = history()
    broken.feed.append(Change("c4", "r", 4, None))
    found(broken, "deleted in versions [4]")


def test_an_earlier_version_after_a_later_one_is_found_but_not_where_no_order_was_asked_for():
    broken = history()
    broken.arrivals[1], broken.arrivals[2] = broken.arrivals[2], broken.arrivals[1]
    found(broken, "OUT OF ORDER: w was told version 2 of r after 3")
    broken.watches = [Watch("w", is_ordered=False)]
    assert ledger.judge(broken) == []


def test_two_ids_for_one_change_are_found():
    broken = history()
    broken.arrivals.append(dataclasses.replace(broken.arrivals[-1], webhook_id="d9"))
    found(broken, "change c3 has several ids for w: d3, d9")


def test_one_id_for_two_changes_is_found():
    broken = history()
    broken.arrivals[1] = dataclasses.replace(broken.arrivals[1], webhook_id="d1")
    found(broken, "d1 stands for several")


def test_repeats_are_allowed_as_many_as_were_in_flight_at_the_cuts_and_no_more():
    repeated = history()
    repeated.arrivals.append(repeated.arrivals[-1])
    assert ledger.judge(repeated) == []
    repeated.arrivals.append(repeated.arrivals[-1])
    found(repeated, "2 callbacks came to w again")


def test_a_repeat_for_which_nothing_was_cut_is_found():
    broken = history()
    broken.arrivals.append(broken.arrivals[-1])
    broken.cuts = [Cut(0, 2)]
    found(broken, "d3 came to w again, although it was taken and nothing was cut")
    broken.cuts = [Cut(4)]
    found(broken, "d3 came to w again, although it was taken and nothing was cut")


def test_a_callback_about_what_never_was_is_found():
    broken = history()
    broken.arrivals.append(Arrival("w", "r", 4, "c4", "d4", "m4"))
    found(broken, "told of what is no change")


async def test_killed_and_broken_again_and_again_nothing_is_lost_and_order_holds(tmp_path: Path):
    seed = random.SystemRandom().randrange(1_000_000)
    plan = run.Plan(seed, seconds=12, ends=4, pause=1.2, rate=40, resources=120, patience=60)
    report = await run.run(plan, tmp_path)
    if report.findings:
        pytest.fail(f"seed {seed}, {report.figures}:\n" + "\n".join(report.findings[:20]))
    figures = report.figures
    assert figures["writes"]["accepted"] > 50
    assert figures["taken"] > 4 * 50
    assert figures["kills"] >= 4
    assert len(figures["faults"]) >= 3
