"""The nouns: what a change, a watch, a delivery and an attempt are.

Values only: nothing here reads a clock, a database or a network. Every time is an integer, milliseconds
since the Unix epoch in UTC; every duration is in milliseconds unless its name says otherwise.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import TypeAlias, Union

from service.values import value

Json: TypeAlias = Union[bool, int, float, str, list["Json"], dict[str, "Json"], None]  # noqa: UP007  a string cannot be joined by |
Document: TypeAlias = dict[str, Json]


class Event(StrEnum):
    """What happened to a resource, or to a watch; ``test`` is a delivery that its owner asked for."""

    CREATED = "created"
    UPDATED = "updated"
    DELETED = "deleted"
    TEST = "test"
    DISABLED = "disabled"
    FAILING = "failing"  # so many attempts in a row have failed that it is probed
    RECOVERED = "recovered"  # one has succeeded again
    AUTHORIZATION = "authorization"  # its deliveries wait for its owner's authorization
    EXHAUSTED = "exhausted"  # one of its deliveries was given up


WATCH = "watch"  # the type of what notices are about
CHANGES = (Event.CREATED, Event.UPDATED, Event.DELETED)  # what watches of resources hear
NOTICES = (Event.DISABLED, Event.FAILING, Event.RECOVERED, Event.AUTHORIZATION, Event.EXHAUSTED)  # and of watches


class Reason(StrEnum):
    """Why an attempt failed: a closed set, which clients may switch on."""

    STATUS = "status"
    TIMEOUT = "timeout"
    DNS = "dns"
    REFUSED = "refused"
    UNREACHABLE = "unreachable"
    RESET = "reset"
    TLS = "tls"
    PROTOCOL = "protocol"
    BLOCKED = "blocked"
    REDIRECT = "redirect"
    TOKEN = "token"  # noqa: S105  a reason's name, not a credential
    TEMPLATE = "template"
    TOO_LARGE = "too_large"
    CANCELED = "canceled"


class DeliveryStatus(StrEnum):
    """Where a delivery stands; all but ``pending`` are ends."""

    PENDING = "pending"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELED = "canceled"


class WatchStatus(StrEnum):
    """Whether a watch is told of changes."""

    ENABLED = "enabled"
    DISABLED = "disabled"


class StatusReason(StrEnum):
    """Why the service itself, not the owner, disabled a watch or holds its deliveries."""

    GONE = "gone"  # the receiver answered 410
    AUTHORIZATION = "authorization"  # the refresh token is missing, or the token endpoint takes it no more
    VERIFICATION = "verification"  # the receiver has not agreed to be called
    FAILING = "failing"  # nothing but failures for days


class HealthState(StrEnum):
    """How a watch's receiver does."""

    HEALTHY = "healthy"  # the last attempt succeeded, or there was none
    DEGRADED = "degraded"  # the last attempts failed
    FAILING = "failing"  # so many of them that it is probed, one delivery at a time


class Ordering(StrEnum):
    """Whether a later change of a resource waits for an earlier one that is being retried."""

    RESOURCE = "resource"
    NONE = "none"


class Algorithm(StrEnum):
    """How a crypto key signs."""

    HMAC_SHA256 = "hmac-sha256"
    ED25519 = "ed25519"
    ECDSA_P256_SHA256 = "ecdsa-p256-sha256"


class Verification(StrEnum):
    """Whether a receiver is asked for its consent before the first callback, and how."""

    NONE = "none"
    WEBHOOK_ORIGIN = "webhook-origin"  # HTTP 1.1 Web Hooks for Event Delivery 1.0, section 4


class Verified(StrEnum):
    """What a receiver has said to that."""

    PENDING = "pending"  # nothing yet: it is being asked
    YES = "verified"
    REFUSED = "refused"  # and it is not asked again by itself


class Role(StrEnum):
    """What an API key may do."""

    ADMIN = "admin"
    AGENT = "agent"
    OPERATOR = "operator"


@dataclass(frozen=True, slots=True)
class Principal:
    """Who is calling."""

    key_id: str  # the API key's id; "bootstrap" for the key of the settings
    tenant: str  # the tenant that the key acts for
    role: Role  # what it may do there

    @property
    def is_bootstrap(self) -> bool:
        """Only the bootstrap key makes tenants."""
        return self.key_id == "bootstrap"


@value
class Change:
    """One committed step in the life of a resource, with the documents on both sides of it."""

    id: str  # chg_..., sortable by time
    tenant: str  # owner
    type: str  # resource type, such as agendize.account
    object_id: str  # the resource's id
    event: Event  # created, updated or deleted (test for a test delivery)
    version: int  # the resource's new version; gapless, a deletion takes one too
    time: int  # when it was committed
    before: Document | None  # the whole version before; None when created
    after: Document | None  # the whole new version; None when deleted
    diff: list[Document]  # RFC 6902 operations with oldValue, from before to after
    source: str  # the type's collection path: the CloudEvents source
    before_text: str | None = field(default=None, repr=False, compare=False)  # ``before`` as JSON, if it is known
    after_text: str | None = field(default=None, repr=False, compare=False)  # the same of ``after``

    @property
    def resource_text(self) -> str | None:
        """``resource`` as JSON, if it is known: what is stored and sent as it is need not be written twice."""
        return self.after_text if self.after is not None else self.before_text

    @property
    def resource(self) -> Document:
        """The document that a callback is about: the new version, or the last one after a deletion."""
        document = self.after if self.after is not None else self.before
        if document is None:
            message = f"change {self.id} has neither a document before nor after"
            raise ValueError(message)
        return document


@dataclass(frozen=True, slots=True)
class BasicAuth:
    """HTTP Basic credentials for the receiver."""

    username: str
    password: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class OAuth2:
    """How to obtain an access token for the receiver."""

    grant_type: str  # refresh_token or client_credentials
    client_id: str
    access_token_url: str
    client_auth: str = "basic"  # basic or post
    client_secret: str | None = field(default=None, repr=False)
    refresh_token: str | None = field(default=None, repr=False)
    auth_url: str | None = None
    scope: str | None = None
    issuer: str | None = None  # what the provider calls itself in the iss of its answers (RFC 9207)

    @property
    def settings(self) -> OAuth2:
        """What its owner has decided: all but the refresh token, which may rotate at any time."""
        return replace(self, refresh_token=None)


@dataclass(frozen=True, slots=True)
class Signature:
    """How callbacks of a watch are signed."""

    enabled: bool = False
    crypto_key_ids: tuple[str, ...] = ()
    scheme: str = "standard-webhooks"


@dataclass(frozen=True, slots=True)
class VerificationState:
    """What is known of a receiver's consent."""

    state: Verified
    origin: str  # the DNS name that asked, and that every callback names then
    at: int | None = None  # when it was asked last
    detail: str | None = None  # why it has not consented
    next_attempt: int | None = None  # when it is asked again
    allowed_rate: int | None = None  # callbacks a minute that it permits; None: as many as there are


DEFAULT_RETRY_SCHEDULE = (5, 300, 1800, 7200, 18000, 36000, 50400, 72000, 86400)  # seconds: contract, section 7
DEFAULT_TIMEOUT = 15.0  # seconds, for the whole exchange


@dataclass(frozen=True, slots=True)
class Retry:
    """The delays between attempts and the time limit of one, in seconds."""

    schedule: tuple[float, ...] = DEFAULT_RETRY_SCHEDULE  # (5, 300): three attempts at most; (): one attempt
    timeout: float = DEFAULT_TIMEOUT


@dataclass(frozen=True, slots=True)
class Watch:
    """A registration: who is told about which changes, in what shape, with which credentials."""

    id: str  # wch_...
    tenant: str
    object_type: str
    address: str  # may hold ${jsonpath} in its path and query
    created: int
    updated: int
    name: str | None = None
    object_id: str | None = None  # one resource only
    events: tuple[Event, ...] = CHANGES
    fields: tuple[str, ...] | None = None  # JSONPaths: an update is sent only if one of them changed
    method: str = "POST"
    status: WatchStatus = WatchStatus.ENABLED
    status_reason: StatusReason | None = None
    basic_auth: BasicAuth | None = None
    oauth2: OAuth2 | None = None
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    schema: Json = None  # the template; None: the body is the resource
    add_previous_data: bool = False
    signature: Signature = Signature()
    retry: Retry = Retry()
    ordering: Ordering = Ordering.RESOURCE
    revision: int = 0  # of the write that made it so: goes up at each
    rate_limit: float | None = None  # attempts a second at most
    verification: Verification = Verification.NONE
    verification_state: VerificationState | None = None  # None without verification


@dataclass(frozen=True, slots=True)
class Health:
    """How the attempts of a watch have gone."""

    failures: int = 0  # in a row, up to the last one
    since: int | None = None  # when the first of them was made
    last_success: int | None = None  # to the minute


HEALTHY = Health()  # of a watch that was never attempted, too


@dataclass(frozen=True, slots=True)
class CryptoKey:
    """A signing key of a tenant."""

    id: str  # key_...
    tenant: str
    name: str | None
    algorithm: Algorithm
    secret: bytes = field(repr=False)  # the raw key, without prefix and base64: see delivery.material
    created: int = 0
    successor: str | None = None  # the key that it was rotated to
    expires: int | None = None  # when a key that was rotated stops signing beside its successor


@value
class Request:
    """One HTTP request, ready to be sent."""

    method: str
    url: str  # percent-encoded already; sent as it is
    headers: Mapping[str, str] = field(repr=False)
    body: bytes | None  # None: no body at all (GET and DELETE)
    timeout: float = DEFAULT_TIMEOUT  # seconds, for the whole exchange


@value
class Outcome:
    """What one attempt came to. ``reason`` is None when the receiver took it."""

    reason: Reason | None
    duration: int = 0
    status_code: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""  # at most 16 KiB of the answer
    error_message: str | None = None  # for operators: what went wrong, in words

    @property
    def ok(self) -> bool:
        """The receiver answered 2xx."""
        return self.reason is None
