"""Which watches hear of a change."""

from __future__ import annotations

from service.model import Event, Watch, WatchStatus


def hears(watch: Watch, event: Event) -> bool:
    """Whether this watch is told of every such change of what it watches."""
    return (
        watch.status is WatchStatus.ENABLED and event in watch.events and not (event is Event.UPDATED and watch.fields)
    )


def picks(watch: Watch) -> bool:
    """Whether it is told of those updates only that touch its ``fields``."""
    return watch.status is WatchStatus.ENABLED and Event.UPDATED in watch.events and bool(watch.fields)
