"""Which headers a watch may add to its callbacks.

Not those that belong to one connection, that say where the message ends or who receives it, or that the
service signs and sets itself: a second value there could smuggle a request or forge an event.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from service import jsontext
from service.errors import FieldError
from service.watches import secrets

MAX_BYTES = 8192  # names, values and their separators; many servers refuse more

_HOP = "belongs to one connection, not to the request (RFC 9110, section 7.6.1)"
_OURS = "is set by the service"
REFUSED: Mapping[str, str] = {
    "connection": _HOP,
    "keep-alive": _HOP,
    "te": _HOP,
    "trailer": _HOP,
    "transfer-encoding": _HOP,
    "upgrade": _HOP,
    "content-length": _OURS,
    "host": _OURS,
    "content-digest": _OURS,
    "expect": "would make every callback wait for the receiver's leave",
}
REFUSED_PREFIXES: Mapping[str, str] = {"proxy-": _HOP, "webhook-": _OURS, "ce-": _OURS, "signature": _OURS}

_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")  # RFC 9110, section 5.6.2
_VALUE = re.compile(r"(?:[!-~](?:[ \t!-~]*[!-~])?)?")  # no line ends, nothing that servers read differently


def faults(headers: Mapping[str, str], *, authenticated: bool) -> Iterator[FieldError]:
    """What is wrong with a map of headers; ``authenticated``: the watch has ``basicAuth`` or ``oauth2Auth``."""
    seen: set[str] = set()
    for name, value in headers.items():
        for fault in (_name_fault(name, seen, authenticated=authenticated), _value_fault(value)):
            if fault:
                yield FieldError(jsontext.pointer(secrets.HEADERS, name), fault)
        seen.add(name.lower())
    if sum(len(name) + len(value) + 4 for name, value in headers.items()) > MAX_BYTES:
        yield FieldError(jsontext.pointer(secrets.HEADERS), f"must not take more than {MAX_BYTES} bytes in all")


def _name_fault(name: str, seen: set[str], *, authenticated: bool) -> str | None:
    if not _TOKEN.fullmatch(name):
        return "is no header name: letters, digits and !#$%&'*+-.^_`|~ only"
    lower = name.lower()
    if lower in seen:
        return "is given twice: header names are the same in any case"
    if lower == "authorization" and authenticated:
        return "cannot stand beside basicAuth or oauth2Auth, which set it"
    prefixed = (why for prefix, why in REFUSED_PREFIXES.items() if lower.startswith(prefix))
    why = REFUSED.get(lower) or next(prefixed, None)
    return f"cannot be set: it {why}" if why else None


def _value_fault(value: str) -> str | None:
    if _VALUE.fullmatch(value):
        return None
    return "the value must be printable ASCII without line ends or outer spaces: encode anything else"
