"""What there is to sign of one attempt."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from service.values import value


@value
class Outgoing:
    """A callback before it is signed."""

    message_id: str
    timestamp: int  # seconds
    body: bytes  # empty for a method without one
    method: str
    url: str  # as it is sent
    headers: Mapping[str, str]  # lower-case names, as far as they are known


Write = Callable[[Outgoing], dict[str, str]]  # the headers that a signature, or several, make of it
