"""Every error that a caller can be told of, as one tree.

    WatchError
    ├── BadRequest            400  the body or a parameter cannot be read at all
    ├── Unauthorized          401  no key, or one we do not know
    ├── Forbidden             403  the key's role does not allow it
    ├── NotFound              404  unknown, or another tenant's
    ├── MethodNotAllowed      405  carries what is allowed
    ├── NotAcceptable         406  none of the media types asked for can be had
    ├── Conflict              409  names what it collides with
    ├── Gone                  410  it was there, and is forgotten
    ├── PreconditionFailed    412  what is there is not what the request expects; carries the version that is
    ├── TooLarge              413  over the limit, which it names
    ├── UnsupportedMediaType  415  names the one that is taken
    ├── Invalid               422  readable but wrong; carries JSON Pointers
    ├── TooManyRequests       429
    ├── BadGateway            502  another service, which this takes, refused or did not answer
    ├── Unavailable           503  the database cannot take it now
    ├── VaultError            500  a stored secret does not open; it lives in ``vault``
    └── ConfigError           (stops the start) names the file, the key and the reason

Expected failures of a delivery are values (``model.Outcome``), not exceptions.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True, slots=True)
class FieldError:
    """One thing that is wrong with a body."""

    pointer: str  # RFC 6901, from the body's root: "" is the whole body
    detail: str  # what is wrong and what to do


class WatchError(Exception):
    """The root: an error with a stable code, an HTTP status and words for a person."""

    code: ClassVar[str] = "internalError"
    status: ClassVar[int] = 500
    title: ClassVar[str] = "Internal error"

    def __init__(self, detail: str, errors: tuple[FieldError, ...] = ()) -> None:
        super().__init__(detail)
        self.detail = detail
        self.errors = errors


class BadRequest(WatchError):
    """The request cannot be read."""

    code, status, title = "badRequest", 400, "Bad request"


class Unauthorized(WatchError):
    """No key, or an unknown one."""

    code, status, title = "unauthorized", 401, "Unauthorized"


class Forbidden(WatchError):
    """The key's role does not allow this."""

    code, status, title = "forbidden", 403, "Forbidden"


class NotFound(WatchError):
    """Unknown, or another tenant's."""

    code, status, title = "notFound", 404, "Not found"


class MethodNotAllowed(WatchError):
    """The resource exists but does not take this method."""

    code, status, title = "methodNotAllowed", 405, "Method not allowed"

    def __init__(self, detail: str, allow: tuple[str, ...]) -> None:
        super().__init__(detail)
        self.allow = allow


class NotAcceptable(WatchError):
    """None of the media types asked for can be had."""

    code, status, title = "notAcceptable", 406, "Not acceptable"


class Conflict(WatchError):
    """It collides with something that is there; the detail names it."""

    code, status, title = "conflict", 409, "Conflict"


class Gone(WatchError):
    """It was there, and will not come back."""

    code, status, title = "gone", 410, "Gone"


class PreconditionFailed(WatchError):
    """What is there is not what the request expects."""

    code, status, title = "preconditionFailed", 412, "Precondition failed"

    def __init__(self, detail: str, version: int | None) -> None:
        super().__init__(detail)
        self.version = version  # the current one; None: there is nothing


class TooLarge(WatchError):
    """Over a limit, which the detail names."""

    code, status, title = "tooLarge", 413, "Content too large"


class UnsupportedMediaType(WatchError):
    """The body's media type is not taken here."""

    code, status, title = "unsupportedMediaType", 415, "Unsupported media type"


class Invalid(WatchError):
    """Readable, but wrong: each fault with a pointer into the body."""

    code, status, title = "invalid", 422, "Invalid"

    @classmethod
    def at(cls, pointer: str, detail: str) -> Invalid:
        """One fault at one place."""
        return cls(detail, (FieldError(pointer, detail),))

    @classmethod
    def of(cls, errors: list[FieldError]) -> Invalid:
        """Several faults at once; the first one becomes the detail."""
        more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
        where = f"{errors[0].pointer}: " if errors[0].pointer else ""
        return cls(f"{where}{errors[0].detail}{more}", tuple(errors))


class TooManyRequests(WatchError):
    """Come back later."""

    code, status, title = "tooManyRequests", 429, "Too many requests"


class BadGateway(WatchError):
    """Another service that this takes refused, or did not answer."""

    code, status, title = "badGateway", 502, "Another service failed"


class Unavailable(WatchError):
    """The service cannot take it now; nothing was stored."""

    code, status, title = "unavailable", 503, "Service unavailable"


class ConfigError(WatchError):
    """A setting or a type file is wrong: the start stops with the file, the key and the reason."""

    code, status, title = "configError", 500, "Configuration error"
