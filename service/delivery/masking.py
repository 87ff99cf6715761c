r"""Keeping secrets out of the log, and bytes that no log can hold.

The log shows exactly what was sent and what came back, but a credential never: not in our request's headers,
and not where an answer repeats it (an error page that lists the headers it got, a validator that quotes the
token). An echo is seldom verbatim, so every character of a secret is looked for in each spelling that JSON,
URLs, forms and HTML have for it; letters and digits of ASCII are always themselves.

Secrets of fewer than four characters are masked where they stand alone, between characters that are neither
letters nor digits: masking every ``1`` of an answer would destroy it, and tell the secret besides.
"""

from __future__ import annotations

import base64
import html
import json
import re
from collections.abc import Collection, Iterable, Mapping
from functools import lru_cache
from urllib.parse import quote

from service.delivery import sign
from service.model import CryptoKey, Watch

MASK = "***"
ALWAYS = frozenset({"authorization", "proxy-authorization"})  # request headers that are credentials by themselves
SHORT = 4  # characters from which a secret is masked wherever it occurs
CREDENTIAL = 8  # characters from which what follows a header value's first word is a secret too: "Token 5f1d2c..."


def secrets_of(watch: Watch) -> frozenset[str]:
    """Every secret of a registration that a request, or its answer, could show."""
    found: list[str | None] = []
    for value in map(str.strip, watch.headers.values()):  # HTTP drops the white space around a value
        scheme, _, credential = value.partition(" ")
        found += [value, credential if scheme and len(credential) >= CREDENTIAL else None]
    if watch.basic_auth:
        pair = f"{watch.basic_auth.username}:{watch.basic_auth.password}"
        found += [watch.basic_auth.password, base64.b64encode(pair.encode()).decode()]
    if watch.oauth2:
        found += [watch.oauth2.client_secret, watch.oauth2.refresh_token]
    return frozenset(secret for secret in found if secret)


def secrets_of_keys(keys: Iterable[CryptoKey]) -> frozenset[str]:
    """Signing keys, as ``whsec_...`` and as the base64 alone."""
    written = [sign.encode_secret(key.secret) for key in keys]
    return frozenset(written) | {text.removeprefix(sign.PREFIX) for text in written}


def headers(values: Mapping[str, str], secrets: Collection[str], private: Collection[str] = ()) -> dict[str, str]:
    """Headers as the log shows them: credentials and the ``private`` (custom) ones masked whole, the others searched."""
    hidden = ALWAYS | {name.lower() for name in private}
    shown = {name: MASK if name.lower() in hidden else value for name, value in values.items()}
    if secrets and _pattern(frozenset(secrets)).search("\n".join(shown.values())):  # seldom: so search all at once
        return {name: mask(value, secrets) for name, value in shown.items()}
    return shown


def mask(text: str, secrets: Collection[str]) -> str:
    """The text with ``***`` for every occurrence of a secret, in any of its spellings."""
    return _pattern(frozenset(secrets)).sub(MASK, text) if secrets else text


def printable(data: bytes) -> str:
    r"""Bytes as text that every database takes: UTF-8, with ``\x00`` for NUL and ``\xNN`` for what is not UTF-8.

    For reading, not for restoring: a text that holds a backslash, an x and two digits looks the same.
    """
    return data.decode("utf-8", "backslashreplace").replace("\x00", "\\x00")


@lru_cache(maxsize=1024)  # a watch's secrets seldom change, and its attempts are many
def _pattern(secrets: frozenset[str]) -> re.Pattern[str]:
    # the longest first: a secret may begin with another one
    wanted = sorted((secret for secret in secrets if secret), key=len, reverse=True)
    return re.compile("|".join(map(_anywhere, wanted)) or r"(?!)")


def _anywhere(secret: str) -> str:
    found = "".join(map(_spellings, secret))
    return found if len(secret) >= SHORT else rf"(?<![^\W_]){found}(?![^\W_])"


@lru_cache(maxsize=512)
def _spellings(character: str) -> str:
    r"""A pattern of every way to write a character: ``/`` is also ``\/``, ``\u002f``, ``%2F``, ``&#47;``, ``&#x2F;``."""
    if character.isascii() and character.isalnum():
        return character
    plain = re.escape(character)
    in_json = json.dumps(character)[1:-1]
    literal = {character, in_json, f"\\{character}", html.escape(character), f"&#{ord(character)};"}
    hexadecimal = {
        quote(character.encode("utf-8", "surrogatepass"), safe=""),
        "".join(f"%{byte:02x}" for byte in character.encode("utf-8", "surrogatepass")),
        "".join(f"\\u{unit:04x}" for unit in _utf16(character)),
        f"&#x{ord(character):x};",
    }
    if character == " ":
        literal.add("+")
    if 0x80 <= ord(character) <= 0xFF:
        literal.add(f"\\x{ord(character):02x}")  # sent back in Latin-1, and escaped by printable()
    forms = {re.escape(form) for form in literal} | {f"(?i:{re.escape(form)})" for form in hexadecimal}
    return f"(?:{'|'.join(sorted(forms - {plain}, key=len, reverse=True))}|{plain})"


def _utf16(character: str) -> list[int]:
    units = character.encode("utf-16-be", "surrogatepass")
    return [int.from_bytes(units[at : at + 2], "big") for at in range(0, len(units), 2)]
