"""What looks wrong in a registration but may work: said in its answer, and never a reason to refuse it."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from service.errors import FieldError
from service.watches import form as forms
from service.watches.jsonpath import Expression

EVENT_SCHEMA: Mapping[str, Any] = {
    "properties": {name: {} for name in ("id", "type", "time", "objectType", "objectId", "version")}
}


def of(
    form: Mapping[str, Any],
    *,
    expressions: Iterable[tuple[str, Expression]],
    fields: Sequence[Expression],
    type_name: str,
    type_schema: Mapping[str, Any],
    blocked: Callable[[str], str | None],
) -> Iterator[FieldError]:
    """The doubts about a valid form. ``expressions``: its paths, each with its pointer from the form's root.

    ``fields`` are those that an update must touch; they lead into the resource and nowhere else.
    """
    for pointer, expression in expressions:
        if doubt := _undeclared(expression.names(), type_name, type_schema):
            yield FieldError(pointer, f"{expression.text}: {doubt}")
    for index, expression in enumerate(fields):
        if doubt := _walk(expression.names(), type_name, type_schema):
            yield FieldError(f"/fields/{index}", f"{expression.text}: {doubt}")
    if fields and "updated" not in form.get("events", ("updated",)):
        yield FieldError("/fields", "says of which updates to tell, but events leaves all of them out")
    template = form.get("schema")
    if isinstance(template, dict) and {"type", "properties"} <= template.keys() and "$schema" not in template:
        yield FieldError("/schema", "looks like a JSON Schema but has no $schema, so it is sent as a template")
    yield from _of_authentication(form)
    for pointer, url in _urls(form):
        if doubt := _unreachable(url, blocked):
            yield FieldError(pointer, doubt)


def _of_authentication(form: Mapping[str, Any]) -> Iterator[FieldError]:
    signature, oauth2 = form.get("signature", {}), form.get("oauth2Auth", {})
    if signature.get("cryptoKeyIds") and "enabled" not in signature:
        yield FieldError("/signature", "names keys, but callbacks are signed only with enabled: true")
    if oauth2.get("grantType") == "client_credentials":
        if "clientSecret" not in oauth2:
            yield FieldError("/oauth2Auth", "has no clientSecret, which servers ask for with client_credentials")
    elif oauth2 and "refreshToken" not in oauth2 and "authUrl" not in oauth2:
        yield FieldError(
            "/oauth2Auth", "has no refreshToken, and no authUrl at which its owner could give one: deliveries wait"
        )


def _undeclared(names: Sequence[str], type_name: str, schema: Mapping[str, Any]) -> str | None:
    """Which of a path's leading names the schema does not declare, and the nearest one that it does."""
    match names:
        case ("changes", *_):
            return None
        case ("event", *rest):
            return _walk(rest, "event", EVENT_SCHEMA)
        case ("previousData", *rest):
            return _walk(rest, type_name, schema)
        case _:
            return _walk(names, type_name, schema)


def _walk(names: Sequence[str], owner: str, schema: Any) -> str | None:
    for name in names:
        declared = schema.get("properties") if isinstance(schema, Mapping) else None
        if not declared or "patternProperties" in schema or isinstance(schema.get("additionalProperties"), Mapping):
            return None  # nothing is known of its members, or any name may be one
        if name not in declared:
            return f"{owner} declares no {name}{forms.hint(name, declared)}"
        owner, schema = f"{owner}'s {name}", declared[name]
    return None


def _urls(form: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    yield "/address", form["address"]
    if "oauth2Auth" in form:
        yield "/oauth2Auth/accessTokenUrl", form["oauth2Auth"]["accessTokenUrl"]


def _unreachable(url: str, blocked: Callable[[str], str | None]) -> str | None:
    host = urlsplit(url).hostname or ""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return None  # a name is resolved, and checked, when the socket opens
    why = blocked(host)
    return f"{host} is blocked: {why}; an operator can open its network in egress.allow" if why else None
