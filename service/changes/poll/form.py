"""From a client's body to a source that can be polled, or every reason why it cannot.

What is stored of a secret is kept when a change leaves it out, but only while it goes where it went before.
"""

from __future__ import annotations

import dataclasses
import functools
import ipaddress
import json
from collections.abc import Callable, Container, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from service import jsontext
from service.changes.gate import Gate
from service.changes.poll import spec
from service.changes.poll.source import Source
from service.errors import FieldError, Invalid
from service.model import Document, Json
from service.watches import address, headers, revision
from service.watches import form as watch_forms

SCHEMA: Mapping[str, Any] = json.loads(
    (Path(__file__).parents[2] / "schemas" / "source.json").read_text(encoding="utf-8")
)
AUTHORIZATIONS = ("basic", "bearer", "oauth2")  # of which a request has one
READ_ONLY = frozenset(name for name, schema in SCHEMA["properties"].items() if schema.get("readOnly"))


@dataclass(frozen=True, slots=True)
class World:
    """What a form is judged against."""

    now: int  # ms
    types: Container[str]  # names of the resource types
    blocked: Callable[[str], str | None]  # why an IP address may not be connected to; None: it may


@dataclass(frozen=True, slots=True)
class Judged:
    """A source that can be polled."""

    source: Source
    warnings: tuple[FieldError, ...]  # what looks wrong in it but may work


def parse(body: Json, world: World, *, tenant: str, source_id: str, file: str | None = None) -> Judged:
    """A new source. Raises Invalid with every fault that was found, each with a pointer into the body."""
    given = _object(body)
    refused = [FieldError(jsontext.pointer(name), "is set by the service: leave it out") for name in given]
    faults = [fault for fault in refused if fault.pointer[1:] in READ_ONLY]
    form = _without_nulls({name: value for name, value in given.items() if name not in READ_ONLY})
    made = _judge(form, faults, world, tenant=tenant, source_id=source_id)
    return dataclasses.replace(made, source=dataclasses.replace(made.source, file=file))


def merge(current: Source, body: Json, world: World) -> Judged:
    """A PATCH: the body is a JSON Merge Patch (RFC 7396) of the form; null removes. Raises Invalid."""
    given = {name: value for name, value in _object(body).items() if name not in READ_ONLY}
    form = _without_nulls(revision.merge_patch(spec.to_form(current), given))
    faults = list(_redirected(current, form, given))
    if form.setdefault("type", current.type) != current.type:
        faults.append(FieldError("/type", f"cannot change from {current.type}: make another source"))
    judged = _judge(form, faults, world, tenant=current.tenant, source_id=current.id)
    kept = dataclasses.replace(
        judged.source,
        created=current.created,
        status=current.status,
        status_reason=current.status_reason,
        file=current.file,
    )
    return dataclasses.replace(judged, source=kept)


def _judge(form: Document, faults: list[FieldError], world: World, *, tenant: str, source_id: str) -> Judged:
    """The source of a form, if nothing is wrong with it."""
    faults += _gate().explain(form)
    wrong = {fault.pointer.split("/")[1] for fault in faults if fault.pointer}
    for member, check in CHECKS.items():
        if member in form and member not in wrong:
            faults += check(form, world)
    if faults:
        raise Invalid.of(faults)
    source = spec.source_of(form, tenant=tenant, source_id=source_id, now=world.now)
    return Judged(source, tuple(_doubts(form, world)))


# What the JSON Schema cannot say. Each check is asked only when its member keeps the schema.


def _type(form: Mapping[str, Any], world: World) -> Iterator[FieldError]:
    if form["type"] not in world.types:
        yield FieldError("/type", f"is no known resource type{watch_forms.hint(form['type'], _names(world.types))}")


def _url(form: Mapping[str, Any], _world: World) -> Iterator[FieldError]:
    yield from _url_faults("/url", form["url"])
    if "?" in form["url"]:
        yield FieldError("/url", "has a query: leave it out, and put credentials into auth")


def _auth(form: Mapping[str, Any], _world: World) -> Iterator[FieldError]:
    auth = form["auth"]
    chosen = [name for name in AUTHORIZATIONS if name in auth]
    for name in chosen[1:]:
        yield FieldError(f"/auth/{name}", f"cannot stand beside {chosen[0]}: a request has one authorization")
    for fault in headers.faults(auth.get("headers", {}), authenticated=bool(chosen)):
        where = "/".join(["", "auth", "headers", *fault.pointer.split("/")[2:]])
        yield FieldError(where, fault.detail.replace("basicAuth or oauth2Auth", "basic, bearer or oauth2"))
    oauth2 = auth.get("oauth2", {})
    for name in ("accessTokenUrl", "authUrl"):
        if name in oauth2:
            yield from _url_faults(f"/auth/oauth2/{name}", oauth2[name])
    if oauth2 and oauth2.get("grantType", "refresh_token") == "refresh_token" and "refreshToken" not in oauth2:
        yield FieldError("/auth/oauth2/refreshToken", "is required with this grantType; or use client_credentials")


CHECKS: Mapping[str, Callable[[Mapping[str, Any], World], Iterator[FieldError]]] = {
    "type": _type,
    "url": _url,
    "auth": _auth,
}


def _url_faults(pointer: str, url: str) -> Iterator[FieldError]:
    if "${" in url:
        yield FieldError(pointer, "takes no ${...}: write the whole URL")
        return
    try:
        address.compile(url)
    except Invalid as invalid:
        yield from (FieldError(pointer, fault.detail) for fault in invalid.errors)


def _doubts(form: Mapping[str, Any], world: World) -> Iterator[FieldError]:
    oauth2 = form.get("auth", {}).get("oauth2", {})
    for pointer, url in (("/url", form["url"]), ("/auth/oauth2/accessTokenUrl", oauth2.get("accessTokenUrl"))):
        host = urlsplit(url or "").hostname or ""
        try:
            ipaddress.ip_address(host)
        except ValueError:
            continue  # a name is resolved, and checked, when the socket opens
        if why := world.blocked(host):
            detail = f"{host} is blocked: {why}; an operator can open its network in egress.allow"
            yield FieldError(pointer, detail)


def _redirected(current: Source, form: Document, given: Document) -> Iterator[FieldError]:
    """Stored secrets that the next form would send to another origin than before: nobody redirects a credential."""
    auth: Any = form.get("auth")
    oauth2 = auth.get("oauth2") if isinstance(auth, dict) else None
    token_url = oauth2.get("accessTokenUrl") if isinstance(oauth2, dict) else None
    elsewhere = {}
    if revision.moved(current.url, form.get("url")):
        elsewhere[""] = "url"
    if current.auth.oauth2 is not None and revision.moved(current.auth.oauth2.access_token_url, token_url):
        elsewhere["/auth/oauth2/"] = "accessTokenUrl"
    yield from revision.astray(spec.secrets_of(form).keys() - spec.secrets_of(given).keys(), elsewhere)


def _object(body: Json) -> Document:
    if not isinstance(body, dict):
        raise Invalid.at("", "must be a JSON object")
    return body


def _without_nulls(form: Document) -> Document:
    """To say null is to leave a member at its default."""
    kept: Document = {name: value for name, value in form.items() if value is not None}
    auth = kept.get("auth")
    if isinstance(auth, dict):
        kept["auth"] = {name: value for name, value in auth.items() if value is not None}
    return kept


def _names(types: Container[str]) -> list[str]:
    return list(types) if isinstance(types, Mapping) else []


@functools.cache
def _gate() -> Gate:
    return Gate(dict(SCHEMA))
