"""The address of a watch: a URL, with ``${jsonpath}`` in its path and query.

Where a callback goes must not depend on what a document says: scheme, host and port are fixed at
registration, and no value can step out of the segment or the query that it was put into. The host is written
so that everyone reads the same one: a DNS name in ASCII, or an IP address in its one canonical form.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import quote, unquote

from service.errors import Invalid
from service.model import Change, Json
from service.watches import rendering, template
from service.watches.interpolate import Reading
from service.watches.jsonpath import Expression, Missing, TooMuch
from service.watches.rendering import Hole, Rendering, Rope, TemplateError, TemplateTooLarge

MAX_LENGTH = 2048  # characters, as it is registered
MAX_EXPANDED = 8192  # characters, filled: what servers commonly take of a request line
PORTS = {"http": 80, "https": 443}

_START = re.compile(r"(https?)://([^/?#]*)", re.IGNORECASE)
_PORT = re.compile(r":([0-9]{1,5})\Z")
_LABEL = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?", re.IGNORECASE | re.ASCII)
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*", re.IGNORECASE | re.ASCII)  # a last label that some read as an IPv4 address
_FORBIDDEN = re.compile(r"[^A-Za-z0-9\-._~!$&'()*+,;=:@/?%\[\]|]|%(?![0-9A-Fa-f]{2})")  # RFC 3986; `[]|` are common


@dataclass(frozen=True, slots=True)
class AddressTemplate:
    """An address, ready to be filled any number of times."""

    origin: str  # https://example.com:443: lower case, with its port
    fixed: str | None  # without the parameters of its query that hold placeholders; None: its path holds some
    expressions: tuple[tuple[str, Expression], ...]  # every path; the pointer is always ""
    _rope: Rope
    _segments: tuple[tuple[int, str], ...]  # those of the path that hold placeholders: position, and as written

    def expand(self, change: Change) -> str:
        """The URL, values percent-encoded; without placeholders exactly as it was registered.

        Raises:
            TemplateError: a value makes a path segment empty, ``.`` or ``..``, or its path looks at too much.
            TemplateTooLarge: the URL would be longer than servers take.
        """
        if not self._rope.rest:
            return self._rope.head.decode("ascii")
        try:
            url = self._rope.render(Rendering(template.context(change))).decode("ascii")
        except TooMuch:
            raise TemplateError("the address's paths look at too many values of this change") from None
        if len(url) > MAX_EXPANDED:
            raise TemplateTooLarge(f"the address has more than {MAX_EXPANDED:,} characters")
        segments = url.partition("?")[0].split("/")
        for position, written in self._segments:
            segment = unquote(segments[position])
            if segment in {"", ".", ".."}:
                what = f"`{segment}`" if segment else "empty"
                raise TemplateError(f"the segment `{written}` of the path would be {what}")
        return url


def compile(address: str) -> AddressTemplate:  # noqa: A001  called as address.compile
    """The address as it will be used.

    Raises:
        Invalid: it is no address that a callback can be sent to; the pointer is "", the address itself.
    """
    if len(address) > MAX_LENGTH:
        raise _invalid(f"has at most {MAX_LENGTH:,} characters")
    start = _START.match(address)
    if not start:
        raise _invalid("begins with http:// or https:// and a host; `${...}` may stand only behind these")
    scheme, authority = start[1].lower(), start[2]
    if "${" in authority:
        raise _invalid("holds `${...}` only in its path and query: the host and the port are fixed")
    host, port = _host_and_port(authority, PORTS[scheme])
    reading = Reading()
    parts = list(reading.parts(address[start.end() :], ""))
    expressions = reading.finish()
    for part in parts:
        if isinstance(part, str):
            _check_literal(part)
    pieces = (Hole(part, _encoded) if isinstance(part, Expression) else part.encode("ascii") for part in parts)
    fixed = _fixed(start[0] + "".join("\0" if isinstance(part, Expression) else part for part in parts))
    rope = Rope.of([start[0].encode("ascii"), *pieces])
    return AddressTemplate(f"{scheme}://{host}:{port}", fixed, expressions, rope, tuple(_filled_segments(parts)))


def _host_and_port(authority: str, default: int) -> tuple[str, int]:
    if "@" in authority:
        raise _invalid("holds no user name or password: send them as basicAuth")
    port = _PORT.search(authority)
    host = authority[: port.start()] if port else authority
    number = int(port[1]) if port else default
    if not 1 <= number <= 65535:
        raise _invalid("has a port between 1 and 65535")
    if host.startswith("["):
        _check_ipv6(host)
    else:
        _check_name(host)
    return host.lower(), number


def _check_ipv6(host: str) -> None:
    text = host[1:-1] if host.endswith("]") and "%" not in host else ""
    try:
        address = ipaddress.IPv6Address(text)
    except ValueError:
        raise _invalid("has no IPv6 address between its brackets, or one with a zone") from None
    if address.ipv4_mapped:
        raise _invalid(f"has an IPv4 address inside an IPv6 one: write {address.ipv4_mapped}")
    if str(address) != text:
        raise _invalid(f"has an IPv6 address that is written [{address}]")


def _check_name(host: str) -> None:
    labels = host.split(".")
    if _NUMBER.fullmatch(labels[-1]) or (len(labels) > 1 and labels[-1][:1].isdigit()):  # no top-level domain is
        try:
            ipaddress.IPv4Address(host)
        except ValueError:
            raise _invalid("has a host that looks like a number: write an IPv4 address like 192.0.2.1") from None
        return
    if not host.isascii():
        raise _invalid("has a host in ASCII: write an international name in its xn-- form")
    if host.endswith(".") and len(labels) > 1:
        raise _invalid("has a host without a final dot")
    if len(host) > 253 or not all(_LABEL.fullmatch(label) for label in labels):
        raise _invalid("has a DNS name or an IP address for a host, then at most a port like :8443")


def _check_literal(text: str) -> None:
    if "#" in text:
        raise _invalid("has no fragment (`#`): it would never be sent")
    if fault := _FORBIDDEN.search(text):
        character = fault[0]
        shown = f"`{character}`" if character.isprintable() else f"U+{ord(character):04X}"
        encoded = quote(character, safe="", errors="replace")
        raise _invalid(f"holds {shown} outside `${{...}}`: write {encoded}")


def _fixed(url: str) -> str | None:
    """What of a URL is the same for every change; a NUL stands for each placeholder."""
    path, _, query = url.partition("?")
    kept = "&".join(parameter for parameter in query.split("&") if "\0" not in parameter)
    return None if "\0" in path else f"{path}?{kept}" if kept else path


def _filled_segments(parts: list[str | Expression]) -> Iterator[tuple[int, str]]:
    """The segments of the path that hold placeholders, counted as ``url.split("/")`` counts them."""
    position, written, is_filled = 2, "", False
    for part in parts:
        if isinstance(part, Expression):
            written, is_filled = f"{written}${{{part.text}}}", True
            continue
        path, query, _ = part.partition("?")
        for index, piece in enumerate(path.split("/")):
            if index:
                if is_filled:
                    yield position, written
                position, written, is_filled = position + 1, "", False
            written += piece
        if query:
            break
    if is_filled:
        yield position, written


def _encoded(value: Json | Missing) -> bytes:
    """Percent-encoded but for the unreserved characters (RFC 3986, section 2.3)."""
    return quote(rendering.plain(value), safe="").encode("ascii")


def _invalid(detail: str) -> Invalid:
    return Invalid.at("", f"an address {detail}")
