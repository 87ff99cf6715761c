"""Every path, in one table; and what stands around each call: who asks, may they, and what an error looks like."""

from __future__ import annotations

import base64
import contextlib
import functools
import logging
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass

from aiohttp import web

from service import access, errors
from service.api import (
    answers,
    changes,
    collections,
    cryptokeys,
    deliveries,
    health,
    idempotency,
    imports,
    jobs,
    keys,
    oauth2,
    redeliveries,
    resources,
    router,
    sources,
    watches,
)
from service.api.call import Call, Visit
from service.api.router import Found, Router
from service.api.services import Part, Services
from service.changes.dialects import DIALECTS
from service.changes.dialects.codec import Dialect
from service.changes.types import ResourceType
from service.model import Principal, Role
from service.watches import authorization

log = logging.getLogger(__name__)

Handler = Callable[[Call], Awaitable[web.StreamResponse]]
Raw = Callable[[Visit], Awaitable[web.StreamResponse]]

ADMIN = frozenset({Role.ADMIN})
OPERATORS = frozenset({Role.ADMIN, Role.OPERATOR})
EVERYONE = frozenset(Role)


@dataclass(frozen=True, slots=True)
class Route:
    """A method and a path, who may call it, and who answers."""

    method: str
    path: str
    roles: frozenset[Role]
    handler: Handler
    keyed: bool = True  # whether a POST takes an Idempotency-Key


# What a type's own permissions decide is open to every role here.
ROUTES = (
    Route("GET", "/api/v1/resources/{type}", EVERYONE, resources.list_),
    Route("GET", "/api/v1/resources/{type}/{id}", EVERYONE, resources.get),
    Route("PUT", "/api/v1/resources/{type}/{id}", EVERYONE, resources.push),
    Route("DELETE", "/api/v1/resources/{type}/{id}", EVERYONE, resources.delete),
    Route("POST", "/api/v1/resources/{type}/import", EVERYONE, imports.import_, keyed=False),
    Route("GET", "/api/v1/changes", EVERYONE, changes.list_),
    Route("GET", "/api/v1/jobs", EVERYONE, jobs.list_),
    Route("GET", "/api/v1/jobs/{id}", EVERYONE, jobs.get),
    Route("POST", "/api/v1/jobs/{id}/cancel", OPERATORS, redeliveries.cancel),
    Route("GET", "/api/v1/watches", EVERYONE, watches.list_),
    Route("POST", "/api/v1/watches", ADMIN, watches.create),
    Route("POST", "/api/v1/watches/preview", ADMIN, watches.preview),
    Route("GET", "/api/v1/watches/{id}", EVERYONE, watches.get),
    Route("PUT", "/api/v1/watches/{id}", ADMIN, watches.replace),
    Route("PATCH", "/api/v1/watches/{id}", ADMIN, watches.merge),
    Route("DELETE", "/api/v1/watches/{id}", ADMIN, watches.delete),
    Route("POST", "/api/v1/watches/{id}/test", ADMIN, watches.test),
    Route("POST", "/api/v1/watches/{id}/verify", ADMIN, watches.verify),
    Route("POST", "/api/v1/watches/{id}/redeliver", OPERATORS, redeliveries.redeliver),
    Route("GET", "/api/v1/watches/{id}/oauth2/authorize", ADMIN, oauth2.authorize),
    Route("GET", "/api/v1/sources", OPERATORS, sources.list_),
    Route("POST", "/api/v1/sources", ADMIN, sources.create),
    Route("GET", "/api/v1/sources/{id}", OPERATORS, sources.get),
    Route("PATCH", "/api/v1/sources/{id}", ADMIN, sources.merge),
    Route("DELETE", "/api/v1/sources/{id}", ADMIN, sources.delete),
    Route("POST", "/api/v1/sources/{id}/pause", OPERATORS, sources.pause),
    Route("POST", "/api/v1/sources/{id}/resume", OPERATORS, sources.resume),
    Route("POST", "/api/v1/sources/{id}/sweep", OPERATORS, sources.sweep),
    Route("POST", "/api/v1/sources/{id}/confirm", OPERATORS, sources.confirm),
    Route("GET", "/api/v1/cryptoKeys", OPERATORS, cryptokeys.list_),
    Route("POST", "/api/v1/cryptoKeys", ADMIN, cryptokeys.create),
    Route("GET", "/api/v1/cryptoKeys/{id}", OPERATORS, cryptokeys.get),
    Route("DELETE", "/api/v1/cryptoKeys/{id}", ADMIN, cryptokeys.delete),
    Route("POST", "/api/v1/cryptoKeys/{id}/rotate", ADMIN, cryptokeys.rotate),
    Route("GET", "/api/v1/apiKeys", OPERATORS, keys.list_),
    Route("POST", "/api/v1/apiKeys", ADMIN, keys.create),
    Route("GET", "/api/v1/apiKeys/{id}", OPERATORS, keys.get),
    Route("DELETE", "/api/v1/apiKeys/{id}", ADMIN, keys.delete),
    Route("GET", "/api/v1/deliveries", OPERATORS, deliveries.list_),
    Route("GET", "/api/v1/deliveries/stream", OPERATORS, deliveries.stream),
    Route("GET", "/api/v1/deliveries/{id}", OPERATORS, deliveries.get),
    Route("POST", "/api/v1/deliveries/{id}/redeliver", OPERATORS, deliveries.redeliver),
    Route("GET", "/metrics", OPERATORS, health.metrics),
)


class Face:
    """The HTTP face of a running service; of a worker, only how it is."""

    def __init__(self, services: Services, part: Part = Part.ALL) -> None:
        self._services = services
        self._router: Router[Raw] = Router()
        for method in ("GET", "HEAD"):
            self._router.add(method, "/healthz", health.alive)
            self._router.add(method, "/readyz", health.ready)
        for route in ROUTES:
            if part is not Part.WORKER or route.path == "/metrics":
                guarded = _guarded(route.handler, route.roles, BEARER, keyed=route.keyed)
                self._router.add(route.method, route.path, guarded)
        if part is Part.WORKER:
            return
        for method in ("GET", "HEAD"):
            self._router.add(method, "/.well-known/jwks.json", cryptokeys.jwks)
            self._router.add(method, "/.well-known/jwks/{file}", cryptokeys.jwks)
        self._router.add("GET", authorization.CALLBACK, oauth2.callback)  # not HEAD: a look must not use it up
        for rtype in services.types.values():
            self._add_collection(rtype)

    def _add_collection(self, rtype: ResourceType) -> None:
        """Every method, so that one which is not taken is refused in the dialect's own words."""
        faces = (
            ("", collections.collection),
            ("/watch", collections.watch),
            ("/{item}", collections.item),
            (f"/{router.REST}", collections.nothing),
        )
        credentials = Credentials(rtype.auth_headers, rtype.auth_basic)
        for suffix, handler in faces:
            dialect = None if suffix == "/watch" else DIALECTS[rtype.dialect]
            guarded = _guarded(functools.partial(handler, rtype=rtype), EVERYONE, credentials, dialect)
            self._router.add(router.ANY, rtype.collection + suffix, guarded)

    async def __call__(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer a request; whatever goes wrong outside of a handler's own words becomes a problem, never a trace."""
        try:
            answer = await self._answer(request)
        except web.HTTPException as error:
            answer = answers.problem(errors.BadRequest(error.reason))
            answer.set_status(error.status)
        except ConnectionError:  # the caller went away: nobody hears the answer, and it is no fault of ours
            answer = answers.problem(errors.BadRequest("the connection broke before the request had ended"))
        except Exception:
            log.exception("%s %s failed", request.method, request.path)
            answer = answers.problem(errors.WatchError(answers.OUR_FAULT))
        self._services.metrics.answered(request.method, answer.status)
        return answer

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        found = self._router.find(request.method, request.rel_url.raw_path)
        if isinstance(found, Found):
            return await found.handler(Visit(request, self._services, found.parts))
        if found:
            refusal = errors.MethodNotAllowed(f"{request.method} is not taken here", tuple(sorted(found)))
            return answers.problem(refusal)
        return answers.problem(errors.NotFound(f"there is nothing at {request.path}"))


@dataclass(frozen=True, slots=True)
class Credentials:
    """Where a caller's API key may stand, besides ``Authorization: Bearer``."""

    headers: tuple[str, ...] = ()
    basic: bool = False  # as the password of HTTP Basic

    def find(self, request: web.BaseRequest) -> Iterable[str]:
        """Every key that the request offers, the standard one first."""
        scheme, _, value = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() == "bearer" and value.strip():
            yield value.strip()
        if self.basic and scheme.lower() == "basic":
            with contextlib.suppress(ValueError):  # no base64, or no UTF-8 in it
                yield base64.b64decode(value).decode().partition(":")[2]
        for name in self.headers:
            if name in request.headers:
                yield request.headers[name]


BEARER = Credentials()


def _guarded(
    handler: Handler,
    roles: frozenset[Role],
    credentials: Credentials,
    dialect: Dialect | None = None,
    *,
    keyed: bool = True,
) -> Raw:
    async def guarded(visit: Visit) -> web.StreamResponse:
        request, services = visit.request, visit.services
        try:
            principal = await _principal(services, credentials.find(request))
            if principal.role not in roles:
                access.require(principal, roles, f"{request.method} {request.path}")
            call = Call(request, services, visit.parts, principal)
            if request.method == "POST" and idempotency.HEADER in request.headers:
                return await _once(call, handler, keyed=keyed)
            return await handler(call)
        except errors.WatchError as error:
            answer = _refused(request, error, dialect)
            if credentials.basic and error.status == 401:
                answer.headers.add("WWW-Authenticate", 'Basic realm="webhook-watch", charset="UTF-8"')
            return answer
        except (web.HTTPException, ConnectionError):
            raise
        except Exception:
            log.exception("%s %s failed", request.method, request.path)
            return answers.problem(errors.WatchError(answers.OUR_FAULT), dialect)

    return guarded


async def _once(call: Call, handler: Handler, *, keyed: bool) -> web.StreamResponse:
    if not keyed:
        raise errors.BadRequest(
            f"an import takes no {idempotency.HEADER}: leave it out; what is there already is not changed by another one"
        )
    return await call.services.idempotency.once(call.request, await call.body(), call.principal, lambda: handler(call))


async def _principal(services: Services, offered: Iterable[str]) -> Principal:
    refusal = errors.Unauthorized("no API key was sent: send it as Authorization: Bearer <key>")
    for key in offered:
        try:
            return await services.access.principal(key)
        except errors.Unauthorized as error:
            refusal = error
    raise refusal


def _refused(request: web.BaseRequest, error: errors.WatchError, dialect: Dialect | None = None) -> web.Response:
    if error.status >= 500:
        log.error("%s %s: %s", request.method, request.path, error.detail)
    return answers.problem(error, dialect)
