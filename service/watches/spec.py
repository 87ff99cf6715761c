"""A watch as a document: how clients write it, how they see it, how it is stored.

The *form* is what a client would send to get this watch: all members, secrets among them. Answers, and what is
stored in the open, are the form without its secrets.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from service import clock
from service.delivery import breaker
from service.errors import FieldError
from service.model import (
    HEALTHY,
    NOTICES,
    WATCH,
    BasicAuth,
    Document,
    Event,
    Health,
    OAuth2,
    Ordering,
    Retry,
    Signature,
    StatusReason,
    Verification,
    VerificationState,
    Verified,
    Watch,
    WatchStatus,
)
from service.watches import secrets

TRUE = (True, "true")  # the vendor's own examples send booleans as strings


def show(
    watch: Watch,
    health: Health | None = None,
    *,
    warnings: Iterable[FieldError] | None = None,
    signing_secret: str | None = None,
) -> Document:
    """The watch as an answer: without its secrets, but with ``secretsSet``, the pointers of those it has.

    ``health`` is how its receiver does, None for one that was never attempted; ``warnings`` are those of the
    registration just made; ``signing_secret`` belongs to the key made with it.
    """
    full = form(watch)
    answer: Document = {
        "id": watch.id,
        "objectType": watch.object_type,
        "objectId": None,
        "name": None,
        **secrets.without(full),
        "statusReason": watch.status_reason,
        "health": _health(health or HEALTHY),
        "verificationState": _shown(watch.verification_state),
        "created": clock.rfc3339(watch.created),
        "updated": clock.rfc3339(watch.updated),
        "selfLink": f"/api/v1/watches/{watch.id}",
        "secretsSet": list(secrets.of(full)),
    }
    if signing_secret is not None:
        answer["signature"] = {**_signature_form(watch.signature), "secret": signing_secret}
    if warnings is not None:
        answer["warnings"] = [{"pointer": warning.pointer, "detail": warning.detail} for warning in warnings]
    return answer


def _health(health: Health) -> Document:
    return {
        "state": breaker.state(health),
        "failures": health.failures,
        "since": None if health.since is None else clock.rfc3339(health.since),
        "lastSuccess": None if health.last_success is None else clock.rfc3339(health.last_success),
    }


def to_record(watch: Watch) -> tuple[Document, dict[str, str]]:
    """What is stored: the watch in the open, its times in milliseconds, and its secrets by their pointers."""
    full = form(watch)
    spec: Document = {
        **secrets.without(full),
        "statusReason": watch.status_reason,
        "verificationState": _stored(watch.verification_state),
        "created": watch.created,
        "updated": watch.updated,
    }
    return spec, secrets.of(full)


def from_record(watch_id: str, tenant: str, spec: Mapping[str, Any], opened: Mapping[str, str]) -> Watch:
    """The watch that ``to_record`` was given; ``opened`` are its secrets by their pointers."""
    reason = spec["statusReason"]
    return watch_of(
        secrets.put_back(spec, opened),
        watch_id=watch_id,
        tenant=tenant,
        created=spec["created"],
        updated=spec["updated"],
        status_reason=None if reason is None else StatusReason(reason),
        verification_state=_verification_state(spec.get("verificationState")),
    )


def form(watch: Watch) -> Document:
    """All members that a client may set, with their secrets; those that are not set are left out."""
    values = ((member, getattr(watch, member.attribute)) for member in MEMBERS)
    return {member.name: member.write(value) for member, value in values if value is not None}


def watch_of(
    form: Mapping[str, Any],
    *,
    watch_id: str,
    tenant: str,
    created: int,
    updated: int,
    status_reason: StatusReason | None = None,
    verification_state: VerificationState | None = None,
) -> Watch:
    """The watch of a valid form; what the form leaves out has its default."""
    given = {member.attribute: member.read(form[member.name]) for member in MEMBERS if member.name in form}
    if form.get("objectType") == WATCH:
        given.setdefault("events", NOTICES)
    return Watch(
        id=watch_id,
        tenant=tenant,
        created=created,
        updated=updated,
        status_reason=status_reason,
        verification_state=verification_state,
        **given,
    )


@dataclass(frozen=True, slots=True)
class Member:
    """One member of the form and the attribute of the watch behind it."""

    name: str
    attribute: str
    read: Callable[[Any], Any]
    write: Callable[[Any], Any]


def _same(value: Any) -> Any:
    return value


def _stored(state: VerificationState | None) -> Document | None:
    if state is None:
        return None
    return {
        "state": state.state,
        "origin": state.origin,
        "at": state.at,
        "detail": state.detail,
        "nextAttempt": state.next_attempt,
        "allowedRate": state.allowed_rate,
    }


def _shown(state: VerificationState | None) -> Document | None:
    stored = _stored(state)
    if state is None or stored is None:
        return None
    times = {"at": state.at, "nextAttempt": state.next_attempt}
    return {**stored, **{name: None if time is None else clock.rfc3339(time) for name, time in times.items()}}


def _verification_state(stored: Mapping[str, Any] | None) -> VerificationState | None:
    if stored is None:
        return None
    return VerificationState(
        Verified(stored["state"]),
        stored["origin"],
        stored["at"],
        stored["detail"],
        stored["nextAttempt"],
        stored["allowedRate"],
    )


def _basic_of(members: Mapping[str, Any]) -> BasicAuth:
    return BasicAuth(members["username"], members["password"])


def _basic_form(basic: BasicAuth) -> Document:
    return {"username": basic.username, "password": basic.password}


OAUTH2_MEMBERS = {
    "grantType": "grant_type",
    "clientId": "client_id",
    "clientSecret": "client_secret",
    "refreshToken": "refresh_token",
    "authUrl": "auth_url",
    "accessTokenUrl": "access_token_url",
    "scope": "scope",
    "clientAuth": "client_auth",
    "issuer": "issuer",
}


def _oauth2_of(members: Mapping[str, Any]) -> OAuth2:
    given = {attribute: members[name] for name, attribute in OAUTH2_MEMBERS.items() if name in members}
    return OAuth2(**{"grant_type": "refresh_token", **given})


def oauth2_form(oauth2: OAuth2) -> Document:
    """The member ``oauth2Auth`` of a form."""
    values = ((name, getattr(oauth2, attribute)) for name, attribute in OAUTH2_MEMBERS.items())
    return {name: value for name, value in values if value is not None}


def _signature_of(members: Mapping[str, Any]) -> Signature:
    named = {"scheme": members["scheme"]} if "scheme" in members else {}
    return Signature(members.get("enabled") in TRUE, tuple(members.get("cryptoKeyIds", ())), **named)


def _signature_form(signature: Signature) -> Document:
    keys: Any = list(signature.crypto_key_ids)
    return {"enabled": signature.enabled, "cryptoKeyIds": keys, "scheme": signature.scheme}


def _retry_of(members: Mapping[str, Any]) -> Retry:
    return Retry(**{**members, **({"schedule": tuple(members["schedule"])} if "schedule" in members else {})})


def _retry_form(retry: Retry) -> Document:
    return {"schedule": list(retry.schedule), "timeout": retry.timeout}


MEMBERS = (
    Member("objectType", "object_type", str, _same),
    Member("objectId", "object_id", _same, _same),
    Member("name", "name", _same, _same),
    Member("address", "address", str, _same),
    Member("events", "events", lambda names: tuple(map(Event, names)), lambda events: list(map(str, events))),
    Member("fields", "fields", tuple, list),
    Member("method", "method", str, _same),
    Member("status", "status", WatchStatus, str),
    Member("basicAuth", "basic_auth", _basic_of, _basic_form),
    Member("oauth2Auth", "oauth2", _oauth2_of, oauth2_form),
    Member(secrets.HEADERS, "headers", dict, dict),
    Member("schema", "schema", _same, _same),
    Member("addPreviousData", "add_previous_data", TRUE.__contains__, bool),
    Member("signature", "signature", _signature_of, _signature_form),
    Member("retry", "retry", _retry_of, _retry_form),
    Member("verification", "verification", Verification, str),
    Member("rateLimit", "rate_limit", _same, _same),
    Member("ordering", "ordering", Ordering, str),
)
