"""The metrics page, for Prometheus."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter as Counted
from collections.abc import Callable, Iterator, Sequence
from itertools import accumulate

from prometheus_client import CollectorRegistry, Counter, Gauge, Metric, generate_latest
from prometheus_client.core import HistogramMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from service.model import Change, Outcome

BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 15)  # seconds; an attempt may take 15


class Metrics:
    """What the service counts. Names follow Prometheus' conventions.

    Counting is additions to plain numbers, which the page gives to the library when somebody asks for it.
    """

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        changes = Counter("webhook_watch_changes", "Changes committed", ["type", "event"], registry=self._registry)
        attempts = Counter(
            "webhook_watch_attempts", "Delivery attempts by outcome", ["outcome"], registry=self._registry
        )
        requests = Counter(
            "webhook_watch_requests", "API requests by status", ["method", "status"], registry=self._registry
        )
        self._changes: Counted[tuple[str, ...]] = Counted()
        self._attempts: Counted[tuple[str, ...]] = Counted()
        self._requests: Counted[tuple[str, ...]] = Counted()
        self._counted = ((changes, self._changes), (attempts, self._attempts), (requests, self._requests))
        self._seconds = _Seconds("webhook_watch_attempt_seconds", "How long an attempt took")
        self._registry.register(self._seconds)

    def changed(self, changes: Sequence[Change]) -> None:
        """These were committed."""
        for change in changes:
            self._changes[change.type, change.event] += 1

    def attempted(self, outcome: Outcome) -> None:
        """An attempt has ended."""
        self._attempts[(outcome.reason or "ok",)] += 1
        self._seconds.observe(outcome.duration / 1000)

    def answered(self, method: str, status: int) -> None:
        """An API request has been answered."""
        self._requests[method, str(status)] += 1

    def gauge(self, name: str, doc: str, value: Callable[[], float]) -> None:
        """A figure that is asked for when the page is."""
        gauge = Gauge(name, doc, registry=self._registry)
        gauge.set_function(value)

    def page(self) -> tuple[bytes, str]:
        """The page and its content type."""
        for counter, counted in self._counted:
            for labels, count in counted.items():
                counter.labels(*labels).inc(count)
            counted.clear()
        return generate_latest(self._registry), CONTENT_TYPE_LATEST


class _Seconds(Collector):
    """A histogram."""

    def __init__(self, name: str, doc: str) -> None:
        self._name, self._doc = name, doc
        self._counts = [0] * (len(BUCKETS) + 1)
        self._sum = 0.0

    def observe(self, seconds: float) -> None:
        """Count one."""
        self._counts[bisect_left(BUCKETS, seconds)] += 1
        self._sum += seconds

    def collect(self) -> Iterator[Metric]:
        """See prometheus_client."""
        bounds = [*map(floatToGoString, BUCKETS), "+Inf"]
        buckets = list(zip(bounds, accumulate(self._counts), strict=True))
        yield HistogramMetricFamily(self._name, self._doc, buckets=buckets, sum_value=self._sum)
