"""The next form of a watch: what a PUT or a PATCH makes of the one that is stored.

Clients never see secrets again, so they cannot send them back: what they leave out is kept. That must not let
anyone who may change a watch read its credentials by turning it to a server of their own, so a secret that is
kept must go where it went before.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from service import errors
from service.errors import FieldError
from service.model import Document, Json, Watch
from service.watches import address, secrets, spec


def replaced(stored: Document, given: Document) -> Document:
    """The form that was given, with the stored secrets that it leaves out.

    So are the keys of a signature that stays enabled: otherwise each PUT without them would make another key.
    """
    form = {secrets.HEADERS: stored[secrets.HEADERS], **given}
    for section, name in secrets.MEMBERS:
        old, new = stored.get(section), form.get(section)
        if isinstance(new, dict) and isinstance(old, dict) and name in old:
            form[section] = {name: old[name], **new}
    old, new = stored["signature"], form.get("signature")
    if isinstance(new, dict) and isinstance(old, dict) and new.get("enabled") in spec.TRUE:
        form["signature"] = {"cryptoKeyIds": old["cryptoKeyIds"], **new}
    return form


def merged(stored: Document, patch: Document) -> Document:
    """The stored form after a JSON Merge Patch; header names are matched in any case."""
    form: Document = merge_patch(stored, {name: value for name, value in patch.items() if name != secrets.HEADERS})
    if secrets.HEADERS in patch:
        form[secrets.HEADERS] = _merged_headers(stored[secrets.HEADERS], patch[secrets.HEADERS])
    return form


def redirected(current: Watch, form: Document, given: Document) -> Iterator[FieldError]:
    """Secrets that ``given`` leaves out and that the next ``form`` would send to another origin than before.

    To the address go the password, the headers, and the token that the OAuth2 secrets obtain.
    """
    oauth2 = form.get("oauth2Auth")
    token_url = oauth2.get("accessTokenUrl") if isinstance(oauth2, dict) else None
    elsewhere = {}
    if moved(current.address, form.get("address")):
        elsewhere[""] = "address"
    if current.oauth2 is not None and moved(current.oauth2.access_token_url, token_url):
        elsewhere["/oauth2Auth/"] = "accessTokenUrl"
    yield from astray(secrets.of(form).keys() - secrets.of(given).keys(), elsewhere)


def astray(kept: Iterable[str], elsewhere: Mapping[str, str]) -> Iterator[FieldError]:
    """Stored secrets, by pointer, that would go to a new origin: nobody redirects a credential.

    ``elsewhere`` has the pointers' beginnings and the member that is new for them, the widest first.
    """
    for pointer in sorted(kept):
        member = next((member for beginning, member in elsewhere.items() if pointer.startswith(beginning)), None)
        if member is not None:
            yield FieldError(pointer, f"{member} has another origin now: send this secret again, or remove it")


def merge_patch(target: Json, patch: Json) -> Any:
    """A JSON Merge Patch, applied (RFC 7396, section 2)."""
    if not isinstance(patch, dict):
        return patch
    result = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        if value is None:
            result.pop(name, None)
        else:
            result[name] = merge_patch(result.get(name), value)
    return result


def _merged_headers(stored: Json, patch: Json) -> Json:
    if not isinstance(patch, dict) or not isinstance(stored, dict):
        return patch
    named = {name.lower() for name in patch}
    kept = {name: value for name, value in stored.items() if name.lower() not in named}
    return {**kept, **{name: value for name, value in patch.items() if value is not None}}


def moved(before: str, after: Json) -> bool:
    """Whether the URL ``after`` has another origin."""
    origin = _origin(after) if isinstance(after, str) else None  # without one the new URL is at fault itself
    return origin is not None and origin != _origin(before)


def _origin(url: str) -> str | None:
    try:
        return address.compile(url).origin
    except errors.Invalid:
        return None
