r"""Keeping secrets out of the log, and bytes that no log can hold.

The log shows exactly what was sent and what came back, but a credential never: not in our request's headers,
and not where an answer repeats it (an error page that lists the headers it got, a validator that quotes the
token). An echo is seldom verbatim, so a text is searched as it stands, and again as it reads with the escapes
of JSON, of URLs and forms, of HTML, and of all of them resolved. Each of these is one pass over the text and a
search for plain strings: the receiver wrote the text, so no answer may cost more than its length. Letters and
digits of ASCII are always themselves: a text without the longest run of them in a secret is not read at all.
(What is not found: a secret with backslashes before punctuation, escaped here in one way and there in another.)

Secrets of fewer than four characters are masked where they stand alone, between characters that are neither
letters nor digits: masking every ``1`` of an answer would destroy it, and tell the secret besides.
"""

from __future__ import annotations

import base64
import re
from bisect import bisect_left
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache

from service.model import Watch

MASK = "***"
ALWAYS = frozenset({"authorization", "proxy-authorization"})  # request headers that are credentials by themselves
SHORT = 4  # characters from which a secret is masked wherever it occurs
HEADER_LENGTH = 8 * 1024  # characters of an answer's header that are kept: so long a value may end within a secret
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


@lru_cache(maxsize=4096)  # what is asked for again and again is the same object, whose hash is known
def together(some: frozenset[str], others: frozenset[str]) -> frozenset[str]:
    """The secrets of both."""
    return some | others


def headers(values: Mapping[str, str], secrets: Collection[str], private: Collection[str] = ()) -> dict[str, str]:
    """Headers as the log shows them: credentials and the ``private`` (custom) ones masked whole, the others searched."""
    hidden = ALWAYS.union(map(str.lower, private)) if private else ALWAYS
    if hidden.isdisjoint(map(str.lower, values)):
        shown = dict(values)
    else:
        shown = {name: MASK if name.lower() in hidden else value for name, value in values.items()}
    joined = "\n".join(shown.values())  # echoes are rare: so search all at once
    if secrets and (len(joined) >= HEADER_LENGTH or any(secret.run in joined for secret in _known(secrets))):
        return {name: mask(value, secrets, cut=len(value) >= HEADER_LENGTH) for name, value in shown.items()}
    return shown


def mask(text: str, secrets: Collection[str], *, cut: bool = False) -> str:
    """The text with ``***`` for every occurrence of a secret, in any of its spellings.

    ``cut`` says that the text may go on where it ends here: then the beginning of a secret at its end, of four
    characters or more, is masked as well.
    """
    if not secrets:
        return text
    known = _known(secrets)
    likely = [secret for secret in known if secret.run in text]
    if not likely and not cut:
        return text
    spans = [span for secret in likely for span in _occurrences(text, secret.text)]
    readings = list(_readings(text)) if cut or not all(secret.plain for secret in likely) else []
    for reading, places in readings:
        found = (span for secret in likely for form in secret.forms for span in _occurrences(reading, form))
        spans += [(places[start], places[end]) for start, end in found]
    if cut:
        spans += [(start, len(text)) for start in _beginnings(text, readings, known)]
    return _masked(text, sorted(spans))


def printable(data: bytes) -> str:
    r"""Bytes as text that every database takes: UTF-8, with ``\x00`` for NUL and ``\xNN`` for what is not UTF-8.

    For reading, not for restoring: a text that holds a backslash, an x and two digits looks the same.
    """
    return data.decode("utf-8", "backslashreplace").replace("\x00", "\\x00")


_Reading = tuple[str, list[int]]  # a text with its escapes resolved, and the place of each character, and of the end


@dataclass(frozen=True, slots=True)
class _Secret:
    text: str
    run: str  # its longest run of ASCII letters and digits; no spelling is without it
    plain: bool  # nothing but such a run: it has one spelling only
    forms: frozenset[str]  # what a text with resolved escapes shows for it; it may hold what looks like an escape


def _known(secrets: Collection[str]) -> tuple[_Secret, ...]:
    return _prepared(secrets if isinstance(secrets, frozenset) else frozenset(secrets))


@lru_cache(maxsize=1024)  # a watch's secrets seldom change, and its attempts are many
def _prepared(secrets: frozenset[str]) -> tuple[_Secret, ...]:
    return tuple(_prepare(secret) for secret in secrets if secret)


def _prepare(secret: str) -> _Secret:
    run: str = max(RUN.findall(secret), key=len, default="")
    return _Secret(secret, run, run == secret, frozenset({_spaced(secret), _resolve(secret, ANY)[0]}))


def _occurrences(text: str, secret: str) -> Iterator[tuple[int, int]]:
    start, length = text.find(secret), len(secret)
    while start >= 0:
        end = start + length
        alone = length >= SHORT or not (text[start - 1 : start].isalnum() or text[end : end + 1].isalnum())
        if alone:
            yield start, end
        start = text.find(secret, end if alone else start + 1)


def _beginnings(text: str, readings: Iterable[_Reading], known: Iterable[_Secret]) -> Iterator[int]:
    """Where the end of a text that was cut begins a secret, perhaps with half an escape behind it."""
    half = DANGLING.search(text, max(0, len(text) - LONGEST_ESCAPE))
    for end in {len(text), half.start() if half else len(text)}:
        starts = [_beginning(text[:end], secret.text) for secret in known]
        for reading, places in readings:
            stem = reading[: bisect_left(places, end)]
            found = [_beginning(stem, form) for secret in known for form in secret.forms]
            starts += [places[start] for start in found if start is not None]
        yield from (start for start in starts if start is not None)


def _beginning(text: str, secret: str) -> int | None:
    at = text.find(secret[:SHORT], max(0, len(text) - len(secret) + 1)) if len(secret) > SHORT else -1
    while at >= 0 and not secret.startswith(text[at:]):
        at = text.find(secret[:SHORT], at + 1)
    return at if at >= 0 else None


def _masked(text: str, spans: Iterable[tuple[int, int]]) -> str:
    parts: list[str] = []
    shown = 0  # up to here the text is written
    for start, end in spans:
        if start >= shown:
            parts += [text[shown:start], MASK]
        shown = max(shown, end)
    return "".join([*parts, text[shown:]])


def _readings(text: str) -> Iterator[_Reading]:
    """The text with its escapes resolved, in each way that it may be meant."""
    marks = [escapes for mark, escapes in ESCAPES.items() if mark in text]
    if len(marks) > 1:
        marks.append(ANY)  # JSON that holds an address, a page that quotes JSON
    for escapes in marks or ([URL] if "+" in text else []):
        yield _resolve(text, escapes)


def _resolve(text: str, escapes: re.Pattern[str]) -> _Reading:
    """The text with the one character that each escape stands for."""
    parts: list[str] = []
    places: list[int] = []
    at = 0
    for found in escapes.finditer(text):
        start, end = found.span()
        parts += [text[at:start], _character(found[0])]
        places.extend(range(at, start + 1))
        at = end
    places.extend(range(at, len(text) + 1))
    return _spaced("".join([*parts, text[at:]])), places


def _spaced(text: str) -> str:
    return text.replace(
        "+", " "
    )  # forms write a space so; elsewhere a plus is a plus, and both sides are treated alike


@lru_cache(maxsize=4096)
def _character(escape: str) -> str:
    if escape[0] == "%":
        return bytes.fromhex(escape.replace("%", "")).decode("utf-8", "surrogatepass")
    if escape[0] == "&":
        code = escape[1:-1].lower()
        return ENTITIES.get(code) or chr(int(f"0{code[1:]}", 16 if code[1] == "x" else 10))
    kind, rest = escape[1], escape[2:]
    if rest and kind in "uU":
        units = bytes.fromhex(re.sub(r"\\u", "", escape, flags=re.IGNORECASE))
        return units.decode("utf-16-be", "surrogatepass")
    return chr(int(rest, 16)) if rest else CONTROLS.get(kind, kind)


RUN = re.compile(r"[A-Za-z0-9]+")
ENTITIES = {"amp": "&", "lt": "<", "gt": ">", "quot": '"', "apos": "'"}
CONTROLS = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}
IN_JSON = (
    r"\\ud[89ab][0-9a-f]{2}\\ud[c-f][0-9a-f]{2}|\\u[0-9a-f]{4}"
    r"|\\x[89a-f][0-9a-f]"  # sent back in Latin-1, and escaped by printable()
    r"|\\(?-i:[bfnrt])|\\(?!%[0-9a-f]{2})[^a-z0-9]"
)
IN_URL = (  # UTF-8: no other bytes are a character
    r"%[0-7][0-9a-f]|%(?:c[2-9a-f]|d[0-9a-f])%[89ab][0-9a-f]"
    r"|%(?:e0%[ab]|e[1-9a-f]%[89ab])[0-9a-f]%[89ab][0-9a-f]"
    r"|%(?:f0%[9ab]|f[1-3]%[89ab]|f4%8)[0-9a-f](?:%[89ab][0-9a-f]){2}"
)
IN_HTML = r"&(?:amp|lt|gt|quot|apos|#[0-9]{1,6}|#10[0-9]{5}|#x0{0,4}(?:10)?[0-9a-f]{1,4}|#x[0-9a-f]{1,5});"
JSON, URL, HTML, ANY = (
    re.compile(escapes, re.IGNORECASE | re.ASCII)
    for escapes in (IN_JSON, IN_URL, IN_HTML, f"{IN_JSON}|{IN_URL}|{IN_HTML}")
)
ESCAPES = {"\\": JSON, "%": URL, "&": HTML}
LONGEST_ESCAPE = 16
DANGLING = re.compile(  # what is left of an escape, or of a character's bytes, at the end of a text that was cut
    r"(?:(?:%[89a-f][0-9a-f]){0,3}(?:%[0-9a-f]?)?|(?:\\x[89a-f][0-9a-f]){0,3}(?:\\x?[89a-f]?)?"
    r"|(?:\\ud[89ab][0-9a-f]{2})?(?:\\(?:u[0-9a-f]{0,3})?)?|&#?[0-9a-z]{0,7})\Z",
    re.IGNORECASE | re.ASCII,
)
