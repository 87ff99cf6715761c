"""What a receiver's answer to the question for its consent means."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from service.delivery import handshake
from service.model import Outcome, Retry, Watch

NOW = 1_764_000_000_000
CASES = json.loads((Path(__file__).parents[1] / "corpus" / "consents.json").read_text(encoding="utf-8"))["cases"]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["title"])
def test_consent_is_a_header_and_nothing_else(case: dict[str, Any]):
    outcome = Outcome(
        None, status_code=case["status"], headers=case["headers"], error_message="the words of the exchange"
    )
    answer = handshake.judge(outcome, "watch.example.com", NOW)
    assert answer.consent.value == case["consent"]
    assert answer.rate == case.get("rate")
    assert answer.not_before == (NOW + case["not_before"] if "not_before" in case else None)
    assert case.get("detail", "") in (answer.detail or "")
    assert (answer.detail is None) == (case["consent"] == "given")


@pytest.mark.parametrize(("rate", "asked"), [(None, None), (2.0, "120"), (0.5, "30"), (0.001, "1"), (10_000, "600000")])
def test_a_rate_is_asked_for_in_requests_a_minute(rate: float | None, asked: str | None):
    watch = Watch("wch_1", "t", "type", "https://crm.example.com/", 0, 0, rate_limit=rate, retry=Retry(timeout=3))
    request = handshake.request(watch, "https://crm.example.com/", "watch.example.com", None)
    assert request.headers.get("webhook-request-rate") == asked
    assert (request.method, request.body, request.timeout) == ("OPTIONS", None, 3)
