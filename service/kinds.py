"""Kinds of settings: how a value is read, and what it must be.

``check`` takes what TOML gave (or ``read`` made of a variable's text) and gives the value as the service
uses it, or raises a ValueError that completes the sentence "the setting ...". No text here shows a value
that may be secret.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of value."""

    check: Callable[[object], Any]
    read: Callable[[str], object] = str


def text() -> Kind:
    """One line that is not empty."""

    def check(value: object) -> str:
        line = _line(value)
        if not line:
            raise ValueError("must not be empty")
        return line

    return Kind(check)


def whole(low: int, high: int) -> Kind:
    """An integer within bounds."""

    def check(value: object) -> int:
        if type(value) is not int or not low <= value <= high:
            raise ValueError(f"must be a whole number from {low} to {high}")
        return value

    return Kind(check, _number)


def seconds(low: float, high: float) -> Kind:
    """A number of seconds within bounds, with fractions."""

    def check(value: object) -> float:
        if type(value) not in (int, float) or not low <= (number := float(str(value))) <= high:
            raise ValueError(f"must be a number of seconds from {low:g} to {high:g}")
        return number

    return Kind(check, _number)


def choice(*names: str) -> Kind:
    """One of several words, in any case."""

    def check(value: object) -> str:
        word = _line(value).lower()
        if word not in names:
            raise ValueError(f"must be one of {', '.join(names)}")
        return word

    return Kind(check)


def url() -> Kind:
    """An http(s) URL without its last slash; the empty text is None."""

    def check(value: object) -> str | None:
        line = _line(value).rstrip("/")
        if not line:
            return None
        parts = urlsplit(line)
        plain = not (parts.query or parts.fragment or parts.username or parts.password) and parts.port != 0
        if parts.scheme not in ("http", "https") or not parts.hostname or not plain or " " in line:
            raise ValueError("must be a URL such as https://watch.example.com, without user, query and fragment")
        return line

    return Kind(check)


def database_url() -> Kind:
    """``sqlite:///`` and a path, or ``postgresql://`` and what leads to a database."""

    def check(value: object) -> str:
        line = _line(value)
        if line.startswith(("postgresql://", "postgres://")):
            return _postgresql_url(line)
        path = line.removeprefix("sqlite:///")
        if path == line or not path or path.endswith("/") or "?" in path or "#" in path:
            raise ValueError("must be sqlite:///relative.db, sqlite:////absolute.db or postgresql://user@host/database")
        return line

    return Kind(check)


def _postgresql_url(line: str) -> str:
    try:
        parts = urlsplit(line)
        whole = bool(parts.path.strip("/")) and "/" not in parts.path[1:] and parts.port != 0 and not parts.fragment
    except ValueError:
        whole = False
    if not whole:
        raise ValueError("must name a database, as in postgresql://user:password@host:5432/database")
    return line


def key(least: int) -> Kind:
    """A secret text of some length; the empty text is None."""

    def check(value: object) -> str | None:
        line = _line(value)
        if line and len(line) < least:
            raise ValueError(f"must have at least {least} characters")
        return line or None

    return Kind(check)


def keys(least: int) -> Kind:
    """Secret texts of some length each."""

    def check(value: object) -> tuple[str, ...]:
        lines = _lines(value)
        if any(len(line) < least for line in lines):
            raise ValueError(f"each text must have at least {least} characters")
        return lines

    return Kind(check, _split)


def networks() -> Kind:
    """IP networks in CIDR form, as canonical texts; an address alone is a network of one."""

    def check(value: object) -> tuple[str, ...]:
        return tuple(_network(line) for line in _lines(value))

    return Kind(check, _split)


def _network(line: str) -> str:
    try:
        network = ipaddress.ip_network(line, strict=False)
    except ValueError:
        raise ValueError(f"must hold networks such as 10.1.0.0/16: {line!r} is none") from None
    if "/" in line and network.network_address != ipaddress.ip_interface(line).ip:
        raise ValueError(f"must hold networks without host bits: write {network} for {line}")
    return str(network)


def _line(value: object) -> str:
    if not isinstance(value, str) or not value.strip().isprintable():
        raise ValueError("must be text of one line")
    return value.strip()


def _lines(value: object) -> tuple[str, ...]:
    if not isinstance(value, list):
        raise ValueError("must be a list of texts")  # noqa: TRY004  one kind of fault for whoever collects them
    return tuple(_line(item) for item in value)


def _split(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def _number(text: str) -> object:
    """The number in a text; a text that is none stays as it is, for ``check`` to refuse."""
    for read in (int, float):
        try:
            return read(text)
        except ValueError:
            continue
    return text
