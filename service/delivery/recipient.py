"""What delivery needs to know of the watches, which lie above it."""

from __future__ import annotations

from typing import Protocol

from service.model import Change, Event, StatusReason, Watch
from service.store.driver import Transaction

# Why an enabled watch's deliveries wait.
HOLDING = frozenset({StatusReason.AUTHORIZATION, StatusReason.VERIFICATION})


class RenderError(Exception):
    """A template cannot make a request of this change; the same again would fail again."""

    def __init__(self, detail: str, *, too_large: bool = False) -> None:
        super().__init__(detail)
        self.detail = detail
        self.too_large = too_large


class Recipient(Protocol):
    """A watch that is ready to be told: its template compiled, its secrets open."""

    @property
    def watch(self) -> Watch:
        """The registration as it is now."""
        ...

    @property
    def secrets(self) -> frozenset[str]:
        """Everything that no log line may show."""
        ...

    @property
    def rate(self) -> float | None:
        """Attempts a second at most; None: as many as it takes."""
        ...

    @property
    def origin(self) -> str | None:
        """The name in which its receiver was asked for consent; None: it was not asked."""
        ...

    def body(self, change: Change) -> bytes:
        """The request body; RenderError when the template cannot make one."""
        ...

    def address(self, change: Change) -> str:
        """The URL, its placeholders filled; RenderError when they cannot be."""
        ...


class Recipients(Protocol):
    """All watches."""

    def recipient(self, watch_id: str) -> Recipient | None:
        """One watch, or None once it is deleted."""
        ...

    async def disable(self, transaction: Transaction, watch_id: str, reason: StatusReason) -> None:
        """Stop telling it, and say why; holds once the transaction is committed."""
        ...

    async def tell(self, transaction: Transaction, watch_id: str, event: Event, delivery_id: str | None = None) -> None:
        """Let others hear what has become of it, or of one of its deliveries."""
        ...


def is_active(recipient: Recipient | None) -> bool:
    """Whether deliveries may be sent to it now: enabled, and not waiting for its owner's or its receiver's consent."""
    if recipient is None:
        return False
    watch = recipient.watch
    return watch.status == "enabled" and (watch.status_reason is None or watch.status_reason not in HOLDING)
