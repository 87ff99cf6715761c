"""Asking a token endpoint, once: a grant in, tokens out (RFC 6749), through the egress guard and its time limit.

authlib makes the request and authenticates the client. Nothing is ever asked twice on its own, since a refresh
token may rotate, and a code is spent, at the first request, whether its answer arrives or not.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

import orjson
from authlib.oauth2.auth import ClientAuth
from authlib.oauth2.rfc6749.parameters import prepare_token_request

from service import __version__
from service.delivery import masking, send, wire
from service.model import Json, OAuth2, Reason, Request

TIMEOUT = 10.0  # seconds for a token request
ANSWER_LIMIT = 64 * 1024  # bytes of a token endpoint's answer
HOUR = 3_600_000  # ms: how long a token is kept that does not say when it expires
MARGIN = 30_000  # ms before its expiry from which a token is not used any more...
MARGIN_SHARE = 0.1  # ...but no more than this share of its life
LONGEST = 1e9  # seconds: an expiry further away is no number we reckon with
DETAIL_LENGTH = 300  # characters of a refusal that are shown
SECRET = ("code", "code_verifier", "refresh_token")  # parameters that an answer may echo, and nobody may read

# What a Bearer token may consist of; looser than RFC 6750, section 2.1, but nothing that could end a header.
_TOKEN = re.compile(r"[\x21-\x7e]+")


class TokenError(Exception):
    """No token could be had; the detail says what the token endpoint answered, and shows no secret."""

    def __init__(self, detail: str, code: str | None = None, *, is_lost: bool = False) -> None:
        super().__init__(detail)
        self.detail = detail
        self.code = code  # the endpoint's own word, such as invalid_grant; None: it said none
        self.is_lost = is_lost  # asking again is of no use: the owner has to authorize us anew


@dataclass(frozen=True, slots=True)
class Grant:
    """What a token endpoint gave."""

    access_token: str = field(repr=False)
    good_until: int  # ms; the margin is taken off
    refresh_token: str | None = field(repr=False)


async def ask(client: wire.Lines, oauth2: OAuth2, grant_type: str, now: int, **parameters: str | None) -> Grant:
    """Exchange a grant for tokens; ``parameters`` are those of RFC 6749 besides the client's own, None: left out.

    Raises:
        TokenError: it could not be reached, refused, or answered what is no token.
    """
    request = _request(oauth2, grant_type, parameters)
    outcome = await send.exchange(client, request, limit=ANSWER_LIMIT, repeat=False)
    if outcome.status_code is None or outcome.reason not in {None, Reason.STATUS}:
        raise TokenError(f"token endpoint: {outcome.error_message}")
    answer = _read(outcome.body)
    if not outcome.ok or answer is None or "error" in answer:
        shown = masking.mask(_refusal(outcome.status_code, answer), _secrets(oauth2, request, parameters))
        code = answer.get("error") if answer is not None else None
        raise TokenError(shown[:DETAIL_LENGTH], code if isinstance(code, str) else None)
    return _grant(answer, now)


def _request(oauth2: OAuth2, grant_type: str, parameters: dict[str, str | None]) -> Request:
    body = prepare_token_request(grant_type, **parameters)
    headers = {
        "content-type": "application/x-www-form-urlencoded",
        "accept": "application/json",
        "user-agent": f"webhook-watch/{__version__}",
    }
    _, headers, body = _client_auth(oauth2).prepare("POST", oauth2.access_token_url, headers, body)
    headers = {name.lower(): value for name, value in headers.items()}
    return Request("POST", oauth2.access_token_url, headers, body.encode(), TIMEOUT)


def _client_auth(oauth2: OAuth2) -> ClientAuth:
    if not oauth2.client_secret:
        return ClientAuth(oauth2.client_id, None, "none")  # a public client names itself in the body
    if oauth2.client_auth == "post":
        return ClientAuth(oauth2.client_id, oauth2.client_secret, "client_secret_post")
    # authlib leaves out the form encoding that RFC 6749, section 2.3.1 wants inside Basic. A space becomes
    # %20, not +, which those read too who only percent-decode.
    return ClientAuth(quote(oauth2.client_id, safe=""), quote(oauth2.client_secret, safe=""), "client_secret_basic")


def _read(body: bytes) -> dict[str, Json] | None:
    try:
        answer = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    return answer if isinstance(answer, dict) else None


def _refusal(status: int, answer: dict[str, Json] | None) -> str:
    if answer is None:
        return f"token endpoint answered {status}, and no JSON object"
    said = ": ".join(str(answer[name]) for name in ("error", "error_description") if answer.get(name))
    return f"token endpoint answered {status} {masking.printable(said.encode())}".rstrip()


def _secrets(oauth2: OAuth2, request: Request, parameters: dict[str, str | None]) -> set[str]:
    _, _, credentials = request.headers.get("authorization", "").partition(" ")
    given = (parameters.get(name) for name in SECRET)
    return {secret for secret in (oauth2.client_secret, credentials, *given) if secret}


def _grant(answer: dict[str, Any], asked: int) -> Grant:
    """RFC 6749, section 5.1. A ``token_type`` that is missing is taken for Bearer."""
    token, kind, refresh = (answer.get(name) for name in ("access_token", "token_type", "refresh_token"))
    if not isinstance(token, str) or not _TOKEN.fullmatch(token):
        raise TokenError("token endpoint answered without a usable access_token")
    if kind and str(kind).lower() != "bearer":
        raise TokenError(f"token endpoint gave a token of type {str(kind)[:40]!r}, and only Bearer is understood")
    life = _milliseconds(answer.get("expires_in"))
    good_for = HOUR if life is None else life - min(MARGIN, round(life * MARGIN_SHARE))
    return Grant(token, asked + good_for, refresh if isinstance(refresh, str) and refresh else None)


def _milliseconds(expires_in: object) -> int | None:
    try:
        seconds = float(expires_in)  # type: ignore[arg-type]  # some servers write a string
    except (TypeError, ValueError):
        return None
    return None if math.isnan(seconds) else round(max(0.0, min(seconds, LONGEST)) * 1000)
