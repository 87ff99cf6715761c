"""Registering a watch: from a client's body to a watch that can work, or every reason why it cannot.

Values in, values out. A new watch is parsed, a PUT replaces one, a PATCH (RFC 7396) merges into one; all three
make a form and judge it the same way. What is stored of a secret is kept when a form leaves it out, but only
while it goes where it went before.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from service import errors
from service.delivery.recipient import HOLDING
from service.errors import FieldError
from service.model import (
    CHANGES,
    NOTICES,
    WATCH,
    CryptoKey,
    Document,
    Json,
    StatusReason,
    Verification,
    Watch,
    WatchStatus,
)
from service.watches import address, doubts, fields, headers, keys, revision, secrets, spec, template, verification
from service.watches import form as forms

T = TypeVar("T")


class TypeInfo(Protocol):
    """What registration needs to know of a resource type."""

    @property
    def schema(self) -> Mapping[str, Any]:
        """The JSON Schema of its documents."""
        ...


@dataclass(frozen=True, slots=True)
class World:
    """What a form is judged against."""

    now: int  # ms
    types: Mapping[str, TypeInfo]  # by name
    keys: Mapping[str, CryptoKey]  # the tenant's crypto keys by their ids
    blocked: Callable[[str], str | None]  # why no callback may go to an IP address; None: it may
    origin: str | None = None  # the DNS name in which receivers are asked for their consent; None: it is not known


@dataclass(frozen=True, slots=True)
class Registration:
    """A watch that can work."""

    watch: Watch
    warnings: tuple[FieldError, ...]  # what looks wrong in it but may work
    make_key: bool  # it is signed, and names no key: make one and put its id into the watch
    verify: bool  # its receiver is to be asked for consent, as if it never had been


def parse(body: Json, world: World, *, tenant: str, watch_id: str, object_type: str | None = None) -> Registration:
    """A new watch. ``object_type`` is that of the collection through which it is asked for, if it is.

    Raises:
        errors.Invalid: with every fault that was found, each with a pointer into the body.
    """
    given = _object(body)
    faults = Faults(forms.read_only_faults(given))
    form = forms.without_nulls(forms.without_read_only(given))
    if object_type is not None and form.setdefault("objectType", object_type) != object_type:
        faults.add("/objectType", f"must be {object_type} on this path, or left out")
    return _judge(form, faults, world, tenant=tenant, watch_id=watch_id, created=world.now)


def replace(current: Watch, body: Json, world: World) -> Registration:
    """A PUT: the body is the whole watch, but for the secrets that it leaves out.

    ``httpRequestHeader`` is left out as a whole, since answers never show it; ``{}`` clears it. An answer can be
    put as it came. Raises errors.Invalid, as ``parse`` does.
    """
    given = forms.without_read_only(_object(body))
    return _judge_again(current, revision.replaced(spec.form(current), given), given, world)


def merge(current: Watch, body: Json, world: World) -> Registration:
    """A PATCH: the body is a JSON Merge Patch (RFC 7396) of the form; null removes. Raises errors.Invalid.

    Header names are matched in any case.
    """
    given = forms.without_read_only(_object(body))
    return _judge_again(current, revision.merged(spec.form(current), given), given, world)


def _object(body: Json) -> Document:
    if not isinstance(body, dict):
        raise errors.Invalid.at("", "must be a JSON object")
    return body


def _judge_again(current: Watch, form: Document, given: Document, world: World) -> Registration:
    """Judge the next form of a watch; ``given`` is what the client wrote of it."""
    form = forms.without_nulls(form)
    faults = Faults(revision.redirected(current, form, given))
    if form.setdefault("objectType", current.object_type) != current.object_type:
        faults.add("/objectType", f"cannot change from {current.object_type}: register another watch")
    # Who writes oauth2Auth wants it tried again, even if the token endpoint takes the refresh token no more.
    stays = current.status is WatchStatus.DISABLED or "oauth2Auth" not in given
    held = current.status_reason if stays else None
    return _judge(
        form,
        faults,
        world,
        tenant=current.tenant,
        watch_id=current.id,
        created=current.created,
        former=current,
        held=held,
    )


class Faults(list[FieldError]):
    """What is wrong so far."""

    def add(self, pointer: str, detail: str) -> None:
        """One more."""
        self.append(FieldError(pointer, detail))

    def about(self, member: str) -> bool:
        """Whether something is wrong with a member or inside it."""
        return any(fault.pointer.split("/")[1:2] == [member] for fault in self)

    def attempt(self, pointer: str, make: Callable[[], T]) -> T | None:
        """What ``make`` gives, or None and the faults that it raised, put under the pointer."""
        try:
            return make()
        except errors.Invalid as invalid:
            self.extend(FieldError(pointer + fault.pointer, fault.detail) for fault in invalid.errors)
            return None


def _judge(
    form: Document,
    faults: Faults,
    world: World,
    *,
    tenant: str,
    watch_id: str,
    created: int,
    former: Watch | None = None,
    held: StatusReason | None = None,
) -> Registration:
    """The watch of a form, if nothing is wrong with it.

    ``former`` is what it was; ``held``: why the service has disabled it, or lets it wait.
    """
    faults.extend(forms.faults(form))
    if "objectType" not in form:
        faults.add("/objectType", f"is required: one of {', '.join(sorted(world.types))}")
    for member, check in CHECKS.items():
        if member in form and not faults.about(member):
            faults.extend(check(form, world))
    target = made = None
    if "address" in form and not faults.about("address"):
        target = faults.attempt("/address", lambda: address.compile(str(form["address"])))
    if "schema" in form and not faults.about("schema"):
        previous = form.get("addPreviousData") in spec.TRUE
        made = faults.attempt("/schema", lambda: template.compile(form["schema"], add_previous_data=previous))
    picked = None
    if isinstance(form.get("fields"), list) and not any(fault.pointer == "/fields" for fault in faults):
        picked = faults.attempt("/fields", lambda: fields.compile(form["fields"]))
    if form.get("verification") == Verification.WEBHOOK_ORIGIN:
        faults.extend(verification.faults(target, former, world.origin))
    if faults or target is None:
        raise errors.Invalid.of(faults)
    watch = spec.watch_of(form, watch_id=watch_id, tenant=tenant, created=created, updated=world.now)
    signature, rotated = keys.successors(watch.signature, world.keys)
    state = verification.state(watch, former, world.origin)
    watch = dataclasses.replace(watch, signature=signature, verification_state=state)
    watch = dataclasses.replace(watch, status_reason=_status_reason(watch, held))
    expressions = [("/address", expression) for _, expression in target.expressions]
    expressions += [(f"/schema{pointer}", expression) for pointer, expression in (made.expressions if made else ())]
    warnings = doubts.of(
        form,
        expressions=expressions,
        fields=picked or (),
        type_name=watch.object_type,
        type_schema=world.types[watch.object_type].schema,
        blocked=world.blocked,
    )
    known = former.verification_state if former is not None else None
    return Registration(
        watch,
        (*rotated, *warnings),
        make_key=watch.signature.enabled and not watch.signature.crypto_key_ids,
        verify=watch.verification_state is not None and watch.verification_state is not known,
    )


def _status_reason(watch: Watch, held: StatusReason | None) -> StatusReason | None:
    """A watch that stays disabled stays so for its reason; an enabled one waits only for somebody's consent."""
    if watch.status is WatchStatus.DISABLED:
        return None if held in HOLDING else held
    oauth2, waited = watch.oauth2, held is StatusReason.AUTHORIZATION
    waits = oauth2 is not None and oauth2.grant_type == "refresh_token" and (waited or oauth2.refresh_token is None)
    return verification.reason(watch, unauthorized=waits)


# What the JSON Schema cannot say. Each check is asked only when its member keeps the schema.


def _type(form: Mapping[str, Any], world: World) -> Iterator[FieldError]:
    name = form["objectType"]
    if name not in world.types:
        near = forms.hint(name, world.types) or f": one of {', '.join(sorted(world.types))}"
        yield FieldError("/objectType", f"is no known resource type{near}")


def _events(form: Mapping[str, Any], _world: World) -> Iterator[FieldError]:
    known = NOTICES if form.get("objectType") == WATCH else CHANGES
    for index, name in enumerate(form["events"][: len(NOTICES)]):
        if name not in known:
            kind = "watches" if known is NOTICES else "resources"
            yield FieldError(f"/events/{index}", f"must be one of {', '.join(known)}: those are what {kind} tell")


def _fields(form: Mapping[str, Any], _world: World) -> Iterator[FieldError]:
    if form.get("objectType") == WATCH:
        yield FieldError("/fields", "chooses among updates of resources, and of watches none is told: leave it out")


def _oauth2(form: Mapping[str, Any], _world: World) -> Iterator[FieldError]:
    if "basicAuth" in form:
        yield FieldError("/oauth2Auth", "cannot stand beside basicAuth: a request has one authorization; remove one")
    for name in ("accessTokenUrl", "authUrl"):
        url = form["oauth2Auth"].get(name)
        if url is None:
            continue
        if "${" in url:
            yield FieldError(f"/oauth2Auth/{name}", "takes no ${...}: write the whole URL")
            continue
        faults = Faults()
        faults.attempt(f"/oauth2Auth/{name}", functools.partial(address.compile, url))
        yield from faults


def _headers(form: Mapping[str, Any], _world: World) -> Iterator[FieldError]:
    return headers.faults(form[secrets.HEADERS], authenticated="basicAuth" in form or "oauth2Auth" in form)


def _keys(form: Mapping[str, Any], world: World) -> Iterator[FieldError]:
    return keys.faults(form["signature"], world.keys)


CHECKS: Mapping[str, Callable[[Mapping[str, Any], World], Iterator[FieldError]]] = {
    "objectType": _type,
    "events": _events,
    "fields": _fields,
    "oauth2Auth": _oauth2,
    secrets.HEADERS: _headers,
    "signature": _keys,
}
