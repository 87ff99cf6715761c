"""Which watches hear of a change."""

from __future__ import annotations

from service.model import Event, Watch, WatchStatus


def hears(watch: Watch, event: Event) -> bool:
    """Whether this watch is told of such changes of what it watches."""
    return watch.status is WatchStatus.ENABLED and event in watch.events
