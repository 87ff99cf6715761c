"""Answers: JSON, problems after RFC 9457, and a vendor's own shapes."""

from __future__ import annotations

from aiohttp import web

from service import errors, jsontext
from service.changes.dialects.codec import Dialect
from service.model import Document, Json

PROBLEM = "application/problem+json"
OUR_FAULT = "something went wrong on our side; the service's log says what"


def ok(value: Json, status: int = 200, media_type: str = "application/json") -> web.Response:
    """A JSON answer."""
    return web.Response(body=jsontext.dumps(value), status=status, content_type=media_type)


def nothing(status: int = 204) -> web.Response:
    """An answer without a body."""
    return web.Response(status=status)


def problem(error: errors.WatchError, dialect: Dialect | None = None) -> web.Response:
    """An error, as ``application/problem+json``, or as the dialect of a vendor's collection says it."""
    if dialect is not None:
        answer = ok(dialect.error(error), error.status, dialect.media_type)
    else:
        answer = ok(_problem(error), error.status, PROBLEM)
    if isinstance(error, errors.MethodNotAllowed):
        answer.headers["Allow"] = ", ".join(error.allow)
    if isinstance(error, errors.Unauthorized):
        answer.headers["WWW-Authenticate"] = "Bearer"
    if isinstance(error, errors.PreconditionFailed) and error.version is not None:
        answer.headers["ETag"] = f'"{error.version}"'
    if isinstance(error, errors.Unavailable):
        answer.headers["Retry-After"] = "1"
    return answer


def _problem(error: errors.WatchError) -> Document:
    return {
        "type": f"urn:webhook-watch:error:{error.code}",
        "title": error.title,
        "status": error.status,
        "detail": error.detail,
        "errors": [{"pointer": fault.pointer, "detail": fault.detail} for fault in error.errors],
    }
