"""Which members of a watch are secrets, and keeping them where they belong.

A secret is named by the JSON Pointer of its member: that is how answers list it, how it is stored, and how an
error points at it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from service import jsontext
from service.model import Document

HEADERS = "httpRequestHeader"  # its values are secrets, all of them
MEMBERS = (("basicAuth", "password"), ("oauth2Auth", "clientSecret"), ("oauth2Auth", "refreshToken"))


def of(form: Mapping[str, Any]) -> dict[str, str]:
    """Every secret of a form, valid or not, by its pointer."""
    headers = form.get(HEADERS)
    paths = [*MEMBERS, *((HEADERS, name) for name in (headers if isinstance(headers, dict) else ()))]
    found = {}
    for section, name in paths:
        members = form.get(section)
        value = members.get(name) if isinstance(members, dict) else None
        if isinstance(value, str):
            found[jsontext.pointer(section, name)] = value
    return found


def without(form: Document) -> Document:
    """The form without them: what others see, and what is stored in the open."""
    public = {name: value for name, value in form.items() if name != HEADERS}
    for section, name in MEMBERS:
        members = public.get(section)
        if isinstance(members, dict):
            public[section] = {key: value for key, value in members.items() if key != name}
    return public


def put_back(form: Mapping[str, Any], secrets: Mapping[str, str]) -> dict[str, Any]:
    """The form with its secrets again: undoes ``of`` and ``without``."""
    full = dict(form)
    for pointer, secret in secrets.items():
        section, name = (token.replace("~1", "/").replace("~0", "~") for token in pointer.split("/")[1:])
        full[section] = {**full.get(section, {}), name: secret}
    return full
