"""What is polled: an upstream API, with which credentials, and how often."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from service.delivery import authenticate
from service.model import BasicAuth, OAuth2

DEFAULT_INTERVAL = 300.0  # seconds
DEFAULT_DELETE_SHARE = 0.2
FULL_EVERY = 10  # intervals between two full sweeps of a source that can be read incrementally
FILE_PREFIX = "src_file_"  # of the ids of sources that files declare


class Status(StrEnum):
    """Whether a source is polled."""

    ACTIVE = "active"
    PAUSED = "paused"


class StatusReason(StrEnum):
    """Why the service itself, not an operator, paused a source."""

    UNDECLARED = "undeclared"  # the file that declared it is gone


@dataclass(frozen=True, slots=True)
class Auth:
    """Who we are to the upstream: at most one of the first three, and any headers beside it."""

    basic: BasicAuth | None = None
    bearer: str | None = field(default=None, repr=False)
    oauth2: OAuth2 | None = None
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)

    def authorization(self) -> str | None:
        """The value of the header, where no token has to be fetched for it."""
        if self.basic is not None:
            return authenticate.basic(self.basic)
        return None if self.bearer is None else f"Bearer {self.bearer}"

    def secrets(self) -> frozenset[str]:
        """Everything that no error may show."""
        found = [self.bearer, *self.headers.values()]
        if self.basic is not None:
            found += [self.basic.password, authenticate.basic(self.basic).partition(" ")[2]]
        if self.oauth2 is not None:
            found += [self.oauth2.client_secret, self.oauth2.refresh_token]
        return frozenset(secret for secret in found if secret)


@dataclass(frozen=True, slots=True)
class Source:
    """An upstream API that is polled."""

    id: str  # src_...
    tenant: str
    type: str  # resource type, whose dialect the upstream speaks
    url: str  # of the API or of the collection itself
    created: int
    updated: int
    name: str | None = None
    auth: Auth = Auth()
    interval: float = DEFAULT_INTERVAL  # seconds from the beginning of a sweep to that of the next
    full_interval: float | None = None  # the same between two full ones; None: FULL_EVERY intervals
    emit_initial: bool = False  # what the first sweep finds is told as created
    max_delete_share: float = DEFAULT_DELETE_SHARE  # of its resources that a sweep deletes unasked
    status: Status = Status.ACTIVE
    status_reason: StatusReason | None = None
    file: str | None = None  # the name of the file that declares it; None: made over HTTP

    @property
    def origin(self) -> str:
        """Of the resources that it has shown first, which are its to delete."""
        return f"source:{self.id}"

    @property
    def full_every(self) -> float:
        """Seconds between two full sweeps."""
        return self.full_interval if self.full_interval is not None else self.interval * FULL_EVERY
