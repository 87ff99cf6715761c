"""Whether a callback is to be believed that is signed after RFC 9421 (HTTP Message Signatures).

What is checked is as much of the RFC as a receiver of webhooks needs: components without parameters, the body by its
SHA-256 (``content-digest``, RFC 9530), the three algorithms of ``verify.Key``. A signature that leaves out the method,
the URL or the body is none.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from service.receiver import verify
from service.receiver.verify import Key

REQUIRED = frozenset({"@method", "@target-uri", "content-digest"})
SCHEMES = ("http", "https")  # a tunnel may have ended TLS before us: the sender signed what it called

# One member of Signature-Input, a dictionary of inner lists (RFC 8941): label=("a" "b");created=1;keyid="k"
_INPUT = re.compile(r'\s*([a-z*][a-z0-9_.*-]*)=(\(((?:"[^"\\]*" ?)*)\)((?:;[a-z]+=(?:"[^"\\]*"|\d{1,15}))*))\s*(?:,|$)')
_SIGNATURE = re.compile(r"\s*([a-z*][a-z0-9_.*-]*)=:([A-Za-z0-9+/=]*):\s*(?:,|$)")
_DIGEST = re.compile(r"(?:^|,)\s*sha-256=:([A-Za-z0-9+/=]*):")


@dataclass(frozen=True, slots=True)
class Signature:
    """One of the signatures that came."""

    covered: tuple[str, ...]  # names of components
    parameters: Mapping[str, str]
    signed: str  # the component list with its parameters, as it was signed
    value: bytes


def distrust(
    keys: Sequence[Key], method: str, target: str, headers: Mapping[str, str], body: bytes, now: float
) -> str | None:
    """Why a callback is not to be believed, in words; None when a signature fits. ``now`` in seconds."""
    digest = _DIGEST.search(headers.get("content-digest", ""))
    if digest is None or not hmac.compare_digest(verify.decoded(digest[1]), hashlib.sha256(body).digest()):
        return "the body is not the one of content-digest"
    faults = [_distrust(keys, one, method, target, headers, now) for one in _signatures(headers)]
    return None if None in faults else next(iter(faults), "no signature that can be read")


def _distrust(
    keys: Sequence[Key], one: Signature, method: str, target: str, headers: Mapping[str, str], now: float
) -> str | None:
    missing = sorted(REQUIRED.difference(one.covered))
    if missing:
        return f"the signature does not cover {' and '.join(missing)}"
    created = one.parameters.get("created", "")
    if not created.isdecimal():
        return "the signature does not say when it was created"
    if fault := verify.untimely(int(created), now):
        return fault
    algorithm = one.parameters.get("alg")
    candidates = [key for key in keys if algorithm in (None, key.algorithm)]
    if not candidates:
        return f"no key for {algorithm} signatures"
    for scheme in SCHEMES:
        base = _base(one, method, f"{scheme}://{headers.get('host', '')}{target}", headers)
        if base is not None and any(key.fits(one.value, base) for key in candidates):
            return None
    return "wrong signature: made with another key, or what it covers was changed"


def _base(one: Signature, method: str, url: str, headers: Mapping[str, str]) -> bytes | None:
    """The signature base (section 2.5); None when a component is not there."""
    values = {"@method": method, "@target-uri": url, **{name.lower(): text.strip() for name, text in headers.items()}}
    if not values.keys() >= set(one.covered):
        return None
    lines = [f'"{name}": {values[name]}' for name in one.covered]
    return "\n".join([*lines, f'"@signature-params": {one.signed}']).encode("utf-8", "surrogateescape")


def _signatures(headers: Mapping[str, str]) -> Iterator[Signature]:
    found = dict(_SIGNATURE.findall(headers.get("signature", "")))
    for label, signed, covered, parameters in _INPUT.findall(headers.get("signature-input", "")):
        if label in found:
            names = tuple(name.strip('"') for name in covered.split())
            named = dict(part.split("=", 1) for part in parameters.split(";")[1:])
            unquoted = {name: text.strip('"') for name, text in named.items()}
            yield Signature(names, unquoted, signed, verify.decoded(found[label]))
