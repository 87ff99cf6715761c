"""The metrics page, for Prometheus."""

from __future__ import annotations

from collections import Counter as Counted
from collections.abc import Callable, Sequence

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from service.model import Change, Outcome

BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 15)  # seconds; an attempt may take 15


class Metrics:
    """What the service counts. Names follow Prometheus' conventions."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self.changes = Counter("webhook_watch_changes", "Changes committed", ["type", "event"], registry=self._registry)
        self.attempts = Counter(
            "webhook_watch_attempts", "Delivery attempts by outcome", ["outcome"], registry=self._registry
        )
        self.attempt_seconds = Histogram(
            "webhook_watch_attempt_seconds", "How long an attempt took", buckets=BUCKETS, registry=self._registry
        )
        self.requests = Counter(
            "webhook_watch_requests", "API requests by status", ["method", "status"], registry=self._registry
        )
        self._children: dict[tuple[Counter, tuple[str, ...]], Counter] = {}

    def changed(self, changes: Sequence[Change]) -> None:
        """These were committed."""
        for (type_, event), count in Counted((change.type, change.event) for change in changes).items():
            self._child(self.changes, type_, event).inc(count)

    def attempted(self, outcome: Outcome) -> None:
        """An attempt has ended."""
        self._child(self.attempts, outcome.reason or "ok").inc()
        self.attempt_seconds.observe(outcome.duration / 1000)

    def answered(self, method: str, status: int) -> None:
        """An API request has been answered."""
        self._child(self.requests, method, str(status)).inc()

    def _child(self, counter: Counter, *labels: str) -> Counter:
        """A counter's child for these labels; looking it up by ``labels`` each time takes longer than counting."""
        key = (counter, labels)
        if key not in self._children:
            self._children[key] = counter.labels(*labels)
        return self._children[key]

    def gauge(self, name: str, doc: str, value: Callable[[], float]) -> None:
        """A figure that is asked for when the page is."""
        gauge = Gauge(name, doc, registry=self._registry)
        gauge.set_function(value)

    def page(self) -> tuple[bytes, str]:
        """The page and its content type."""
        return generate_latest(self._registry), CONTENT_TYPE_LATEST
