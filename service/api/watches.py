"""Watches over HTTP: register, read, change, remove, preview and test."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import replace as replaced
from typing import Any

from aiohttp import web

from service import clock, errors, ids, jsontext
from service.api import answers, etags
from service.api.call import Call, page
from service.changes import detect
from service.delivery import material, outbox, sign
from service.journal import log
from service.model import WATCH, Algorithm, Change, CryptoKey, Document, Event, Health, Json, Role, Watch, WatchStatus
from service.store import changes, resources
from service.store.driver import Transaction
from service.watches import notices, spec
from service.watches import preview as previews
from service.watches.registrar import Registered

ADMIN = frozenset({Role.ADMIN})


async def create(call: Call) -> web.Response:
    """Register a watch of the type that its ``objectType`` names."""
    return await register(call, None)


async def register(call: Call, object_type: str | None) -> web.Response:
    """Register a watch, of this type if it came through the type's collection."""
    registered = await call.services.registrar.register(call.tenant, await call.json(), object_type)
    answer = _answer(registered, None, 201)
    answer.headers["Location"] = f"/api/v1/watches/{registered.watch.id}"
    return answer


async def list_(call: Call) -> web.Response:
    """The tenant's watches, in the order of their registration."""
    call.only({"cursor", "limit"})
    limit = call.limit()
    found = await call.services.registrar.page(call.tenant, call.cursor(), limit + 1)
    last = found[limit - 1].id if len(found) > limit else None
    healths = await call.services.registrar.health([watch.id for watch in found[:limit]])
    return answers.ok(page([spec.show(watch, healths.get(watch.id)) for watch in found[:limit]], last))


async def get(call: Call) -> web.Response:
    """One watch, without its secrets."""
    watch = await call.services.registrar.get(call.tenant, call.part("id"))
    return etags.answered(call.request, answers.ok(spec.show(watch, await _health(call, watch))), watch.revision)


async def replace(call: Call) -> web.Response:
    """A PUT: the body is the whole watch, but for the secrets that it leaves out."""
    return await _change(call, call.services.registrar.replace)


async def merge(call: Call) -> web.Response:
    """A PATCH: a JSON Merge Patch."""
    return await _change(call, call.services.registrar.merge)


async def delete(call: Call) -> web.Response:
    """Remove a watch; what it has pending is canceled."""
    await call.services.registrar.remove(call.tenant, call.part("id"), etags.check(call.request))
    return answers.nothing()


async def preview(call: Call) -> web.Response:
    """The exact request that a watch would send of a change, secrets masked; nothing is stored or sent."""
    asked = previews.parse(await call.json())
    if isinstance(asked.watch, str):
        watch = await call.services.registrar.get(call.tenant, asked.watch)
        warnings: tuple[errors.FieldError, ...] = ()
    else:
        try:
            judged = await call.services.registrar.check(call.tenant, asked.watch)
        except errors.Invalid as error:
            inside = [errors.FieldError(f"/watch{fault.pointer}", fault.detail) for fault in error.errors]
            raise errors.Invalid.of(inside) from error
        watch, warnings = judged.watch, judged.warnings
    subject, withheld = _subject(call, watch)
    previous = None if asked.previous is None else detect.strip(asked.previous, withheld)
    if asked.resource is not None:
        resource = detect.strip(asked.resource, withheld)
    else:
        found = await _document(call, watch.object_type, asked.object_id or "")
        if found is None:
            raise errors.Invalid.at("/objectId", f"there is no {watch.object_type} {asked.object_id}")
        resource = found
    asked = replaced(asked, resource=resource, previous=previous)
    change = previews.change(watch, subject, asked, detect.diff, clock.now_ms())
    now = clock.now_ms()
    signing = call.services.keyring.signing(watch.signature, now)
    if watch.signature.enabled and not signing.keys:  # one would be made: show what its signature looks like
        made = material.generate(Algorithm.HMAC_SHA256)
        key = CryptoKey("key_preview", call.tenant, None, made.algorithm, made.secret)
        signing = sign.signing([key], watch.signature.scheme)
    request = previews.request(watch, change, signing, now)
    doubts = _warnings(warnings, "/watch") + _warnings(previews.unheard(watch, change, call.services.registry.in_order))
    return answers.ok({"request": request, "warnings": doubts})


async def test(call: Call) -> web.Response:
    """Send a watch one delivery that says ``test``, made of a resource that is there, or of an example."""
    watch = await call.services.registrar.get(call.tenant, call.part("id"))
    if watch.status is WatchStatus.DISABLED:
        raise errors.Conflict(f'watch {watch.id} is disabled: enable it first, with PATCH {{"status": "enabled"}}')
    subject, withheld = _subject(call, watch)
    now = clock.now_ms()
    latest = await _latest(call, watch)
    if latest is not None:
        object_id, version, document = latest
    else:
        document = detect.strip(previews.example(subject, watch.object_id), withheld)
        object_id, version = watch.object_id or "example", 0
    change = Change(
        ids.new("chg", now),
        call.tenant,
        subject.name,
        object_id,
        Event.TEST,
        version,
        now,
        document,
        document,
        [],
        subject.collection,
    )

    async def action(transaction: Transaction) -> str:
        recipient = call.services.registry.get(watch.id)  # in here, where nobody else can delete it
        if recipient is None:
            raise errors.NotFound(f"there is no watch {watch.id}")
        await changes.insert(transaction, [change])
        return (await outbox.enqueue(transaction, [(change, [recipient])], call.services.handoff, now))[0]

    delivery_id = await call.services.store.write(action)
    return answers.ok(await log.detail(call.services.store, call.tenant, delivery_id), 202)


async def verify(call: Call) -> web.Response:
    """Ask a watch's receiver for its consent again, now."""
    watch = await call.services.verifier.anew(call.tenant, call.part("id"))
    return answers.ok(spec.show(watch, await _health(call, watch)), 202)


def _subject(call: Call, watch: Watch) -> tuple[previews.TypeInfo, tuple[detect.Path, ...]]:
    """What the watch watches, and the members of it that nobody is shown."""
    if watch.object_type == WATCH:
        return notices.SUBJECT, ()
    rtype = call.services.types[watch.object_type]
    return rtype, rtype.withheld


async def _document(call: Call, type_: str, object_id: str) -> Document | None:
    """A resource of the tenant, or one of its watches as others are told of it."""
    if type_ != WATCH:
        stored = await resources.one(call.services.store, call.tenant, type_, object_id)
        return None if stored is None else stored.document
    try:
        watch = await call.services.registrar.get(call.tenant, object_id)
    except errors.NotFound:
        return None
    return await notices.document(call.services.store, watch)


async def _latest(call: Call, watch: Watch) -> tuple[str, int, Document] | None:
    """The newest resource that a watch could hear of: id, version and document. Of watches, rather another one."""
    if watch.object_type != WATCH:
        stored = await resources.latest(call.services.store, call.tenant, watch.object_type, watch.object_id)
        return None if stored is None or stored.document is None else (stored.id, stored.version, stored.document)
    others = [watch.object_id] if watch.object_id else await _others(call, watch)
    for other in (*others, watch.id):
        document = await _document(call, WATCH, other)
        if document is not None:
            return other, 0, document
    return None


async def _others(call: Call, watch: Watch) -> list[str]:
    return [other.id for other in await call.services.registrar.page(call.tenant, "", 2) if other.id != watch.id]


async def _change(call: Call, change: Callable[..., Awaitable[Registered]]) -> web.Response:
    registered = await change(call.tenant, call.part("id"), await call.json(), etags.check(call.request))
    return _answer(registered, await _health(call, registered.watch))


async def _health(call: Call, watch: Watch) -> Health | None:
    return (await call.services.registrar.health([watch.id])).get(watch.id)


def _answer(registered: Registered, health: Health | None, status: int = 200) -> web.Response:
    watch, secret = registered.watch, registered.signing_secret
    answer = answers.ok(spec.show(watch, health, warnings=registered.warnings, signing_secret=secret), status)
    answer.headers["ETag"] = etags.of(watch.revision, jsontext.dumps(spec.show(watch, health)))  # as of a GET
    return answer


def _warnings(found: Iterable[errors.FieldError], prefix: str = "") -> list[Json]:
    listed: list[Any] = [{"pointer": prefix + warning.pointer, "detail": warning.detail} for warning in found]
    return listed
