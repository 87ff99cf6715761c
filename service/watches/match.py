"""Which watches hear of a change."""

from __future__ import annotations

from service.model import Change, Event, Watch, WatchStatus


def hears(watch: Watch, change: Change) -> bool:
    """Whether this watch is told of this change."""
    return (
        watch.status is WatchStatus.ENABLED
        and watch.tenant == change.tenant
        and watch.object_type == change.type
        and (watch.object_id is None or watch.object_id == change.object_id)
        and (change.event in watch.events or change.event is Event.TEST)
    )
