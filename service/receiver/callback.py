"""A callback, as it arrived and as it was answered."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Callback:
    """A request that came."""

    method: str
    target: str  # path and query, as they were on the wire
    headers: Mapping[str, str]  # found by their names in any case
    body: bytes
    fault: str | None  # why it is not to be believed; None: nothing is wrong with it
    answered: int  # HTTP status

    def json(self) -> Any:
        """The body. ValueError when it is no JSON."""
        return json.loads(self.body)
