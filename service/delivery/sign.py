"""The keys of a watch, ready to sign what is sent to it.

Everything that does not depend on the delivery is done once, when a watch's keys are first used: HMAC's keyed
beginning, the asymmetric keys themselves, the texts that the log masks.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from math import inf

from service import errors
from service.delivery import material, rfc9421, standard
from service.delivery.outgoing import Outgoing, Write
from service.model import Algorithm, CryptoKey

SCHEMES: Mapping[str, Callable[[Sequence[CryptoKey]], Write]] = {
    standard.NAME: standard.writer,
    rfc9421.NAME: rfc9421.writer,
}
ALGORITHMS: Mapping[str, Collection[Algorithm]] = {  # with which each scheme can sign
    standard.NAME: standard.VERSIONS.keys(),
    rfc9421.NAME: rfc9421.SIGNERS.keys(),
}


@dataclass(slots=True, eq=False)
class Signing:
    """The keys of a watch, ready to sign."""

    keys: tuple[CryptoKey, ...]
    headers: Write  # the headers of one attempt: its id, its timestamp and its signatures
    secrets: frozenset[str] = field(repr=False)  # what the log masks
    until: float = inf  # ms; from then on a key of these signs no more
    used: int = 0  # ms; when they last signed


def signing(keys: Sequence[CryptoKey], scheme: str, until: float = inf) -> Signing:
    """Make these keys ready to sign in a scheme. Without keys there is an id and a timestamp, and no signature."""
    secrets = frozenset(text for key in keys for text in material.spellings(key))
    return Signing(tuple(keys), SCHEMES[scheme](keys) if keys else unsigned, secrets, until)


def refusing(why: str) -> Signing:
    """What stands for keys that are missing: nothing is sent without the signatures that it should have."""

    def headers(_outgoing: Outgoing) -> dict[str, str]:
        raise errors.Unavailable(why)

    return Signing((), headers, frozenset())


def unsigned(outgoing: Outgoing) -> dict[str, str]:
    """What every callback has, signed or not."""
    return {"webhook-id": outgoing.message_id, "webhook-timestamp": str(outgoing.timestamp)}
