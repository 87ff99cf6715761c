"""Content negotiation as JSON:API 1.1 has it ("Content Negotiation", "Server Responsibilities").

Of the media type's parameters only ``ext`` and ``profile`` are known: no extension is supported, and a profile
may be ignored. ``q`` in Accept is a weight, no parameter (RFC 9110, section 12.4.2).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from service.errors import NotAcceptable, UnsupportedMediaType

JSON_API = "application/vnd.api+json"
KNOWN = ("ext", "profile")
PRECEDENCE = ("*/*", "application/*", JSON_API)  # what matches, the less specific first

_ELEMENT = re.compile(r'(?:[^,"]|"(?:[^"\\]|\\.)*"?)+')  # of a comma list, with quoted strings
_PARAMETER = re.compile(r';[ \t]*([^=;\s]+)[ \t]*(?:=[ \t]*("(?:[^"\\]|\\.)*"|[^;]*))?')


@dataclass(frozen=True, slots=True)
class MediaType:
    """One media type, or range of them, with its parameters."""

    name: str
    parameters: Mapping[str, str]  # ``q`` is not among them
    weight: float = 1.0

    @property
    def modified(self) -> bool:
        """It has parameters that JSON:API does not know."""
        return not self.parameters.keys() <= set(KNOWN)

    @property
    def extended(self) -> bool:
        """It asks for an extension."""
        return bool(self.parameters.get("ext", "").strip())


def check_content(header: str | None) -> None:
    """Raises UnsupportedMediaType unless a body of this type is taken."""
    sent = next(_parse(header or ""), None)
    if sent is None or sent.name != JSON_API:
        raise UnsupportedMediaType(f"expected Content-Type to be {JSON_API}")
    if sent.modified:
        raise UnsupportedMediaType(f"send {JSON_API} without parameters other than {' and '.join(KNOWN)}")
    if sent.extended:
        raise UnsupportedMediaType(f"no extension is supported: send {JSON_API} without ext")


def check_accept(header: str | None) -> None:
    """Raises NotAcceptable if the caller would not take an answer of ours."""
    ranges = [*_parse(header or "*/*")]
    ours = [one for one in ranges if one.name == JSON_API]
    if ours and all(one.modified or one.extended for one in ours):
        raise NotAcceptable(f"accept {JSON_API} without parameters, no extension is supported")
    fit = [one for one in ranges if one.name in PRECEDENCE and not (one.modified or one.extended)]
    best = max((PRECEDENCE.index(one.name) for one in fit), default=None)
    if best is None or all(one.weight == 0 for one in fit if one.name == PRECEDENCE[best]):
        raise NotAcceptable(f"there is {JSON_API} only: accept it")


def _parse(header: str) -> Iterator[MediaType]:
    for element in _ELEMENT.findall(header):
        name, _, rest = element.partition(";")
        parameters = {key.lower(): value.strip().strip('"') for key, value in _PARAMETER.findall(";" + rest)}
        weight = parameters.pop("q", "1")
        if name.strip():
            yield MediaType(name.strip().lower(), parameters, _weight(weight))


def _weight(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return 1.0
