"""A source as a document: how clients write it, how they see it, how it is stored.

The *form* is what a client would send to get this source, secrets among it. Answers, and what is stored in the
open, are the form without its secrets, which are named by JSON Pointers.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from service import clock, jsontext
from service.changes.poll.source import Auth, Source, Status, StatusReason
from service.model import BasicAuth, Document, OAuth2
from service.watches.spec import OAUTH2_MEMBERS

SECRETS = (("basic", "password"), ("oauth2", "clientSecret"), ("oauth2", "refreshToken"))  # in auth
MEMBERS = {  # that are the same in both forms of a source: by name, the attribute
    "name": "name",
    "interval": "interval",
    "fullInterval": "full_interval",
    "emitInitial": "emit_initial",
    "maxDeleteShare": "max_delete_share",
}


def show(source: Source) -> Document:
    """The source as an answer, but for its sweep: ``secretsSet`` holds the pointers of the secrets it has."""
    full = to_form(source)
    return {
        "id": source.id,
        "name": None,
        **without_secrets(full),
        "fullInterval": source.full_every,
        "status": source.status,
        "statusReason": source.status_reason,
        "file": source.file,
        "created": clock.rfc3339(source.created),
        "updated": clock.rfc3339(source.updated),
        "selfLink": f"/api/v1/sources/{source.id}",
        "secretsSet": list(secrets_of(full)),
    }


def to_record(source: Source) -> tuple[Document, dict[str, str]]:
    """What is stored: the source in the open, its times in milliseconds, and its secrets by their pointers."""
    full = to_form(source)
    spec: Document = {
        **without_secrets(full),
        "status": source.status,
        "statusReason": source.status_reason,
        "file": source.file,
        "created": source.created,
        "updated": source.updated,
    }
    return spec, secrets_of(full)


def from_record(source_id: str, tenant: str, spec: Mapping[str, Any], secrets: Mapping[str, str]) -> Source:
    """The source that ``to_record`` was given."""
    form = put_back(spec, secrets)
    source = source_of(form, tenant=tenant, source_id=source_id, now=spec["updated"])
    reason = spec["statusReason"]
    return dataclasses.replace(
        source,
        created=spec["created"],
        status=Status(spec["status"]),
        status_reason=None if reason is None else StatusReason(reason),
        file=spec["file"],
    )


def to_form(source: Source) -> Document:
    """All members that a client may set, with their secrets; those that are not set are left out."""
    values = {name: getattr(source, attribute) for name, attribute in MEMBERS.items()}
    given = {name: value for name, value in values.items() if value is not None}
    return {"type": source.type, "url": source.url, "auth": _auth_form(source.auth), **given}


def secrets_of(form: Mapping[str, Any]) -> dict[str, str]:
    """Every secret of a form, valid or not, by its pointer."""
    auth = form.get("auth")
    if not isinstance(auth, dict):
        return {}
    sent = auth.get("headers")
    paths = [*SECRETS, *(("headers", name) for name in (sent if isinstance(sent, dict) else ()))]
    found: dict[str, Any] = {"/auth/bearer": auth.get("bearer")}
    for section, name in paths:
        members = auth.get(section)
        found[jsontext.pointer("auth", section, name)] = members.get(name) if isinstance(members, dict) else None
    return {pointer: value for pointer, value in found.items() if isinstance(value, str)}


def without_secrets(form: Document) -> Document:
    """The form without them: what others see."""
    auth = form.get("auth")
    if not isinstance(auth, dict):
        return form
    hidden = {section: {name for where, name in SECRETS if where == section} for section, _ in SECRETS}
    public: Document = {
        section: {name: value for name, value in members.items() if name not in hidden.get(section, ())}
        for section, members in auth.items()
        if isinstance(members, dict) and section != "headers"
    }
    return {**form, "auth": public}


def put_back(form: Mapping[str, Any], secrets: Mapping[str, str]) -> dict[str, Any]:
    """The form with its secrets again: undoes ``secrets_of`` and ``without_secrets``."""
    auth: dict[str, Any] = dict(form.get("auth", {}))
    for pointer, secret in secrets.items():
        _, _, section, *name = (token.replace("~1", "/").replace("~0", "~") for token in pointer.split("/"))
        auth[section] = {**auth.get(section, {}), name[0]: secret} if name else secret
    return {**form, "auth": auth}


def source_of(form: Mapping[str, Any], *, tenant: str, source_id: str, now: int) -> Source:
    """The source of a valid form; what the form leaves out has its default."""
    given = {attribute: form[name] for name, attribute in MEMBERS.items() if name in form}
    url, auth = form["url"].rstrip("/"), _auth_of(form.get("auth", {}))
    return Source(source_id, tenant, form["type"], url, created=now, updated=now, auth=auth, **given)


def _auth_of(members: Mapping[str, Any]) -> Auth:
    basic, oauth2 = members.get("basic"), members.get("oauth2")
    given = {OAUTH2_MEMBERS[name]: value for name, value in (oauth2 or {}).items()}
    return Auth(
        basic=None if basic is None else BasicAuth(basic["username"], basic["password"]),
        bearer=members.get("bearer"),
        oauth2=None if oauth2 is None else OAuth2(**{"grant_type": "refresh_token", **given}),
        headers=dict(members.get("headers", {})),
    )


def _auth_form(auth: Auth) -> Document:
    form: Document = {}
    if auth.basic is not None:
        form["basic"] = {"username": auth.basic.username, "password": auth.basic.password}
    if auth.bearer is not None:
        form["bearer"] = auth.bearer
    if auth.oauth2 is not None:
        values = {name: getattr(auth.oauth2, attribute) for name, attribute in OAUTH2_MEMBERS.items()}
        form["oauth2"] = {name: value for name, value in values.items() if value is not None}
    if auth.headers:
        form["headers"] = dict(auth.headers)
    return form
