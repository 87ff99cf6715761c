"""Who we are to a receiver: HTTP Basic, or an OAuth 2 access token that somebody else hands out.

A token is fetched once for everyone who waits for it and kept until shortly before it expires. Two rules make
rotation safe: a refresh token that came with an access token is stored *before* that access token is used, so
no crash can leave us with a spent one; and a token request is never repeated on its own, since the server may
have rotated at the first one. A caller whose watch was read just before a rotation still brings the spent
refresh token; it is recognised as an ancestor of the current one.
"""

from __future__ import annotations

import asyncio
import base64
import math
import re
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from typing import Any, Self
from urllib.parse import quote

import aiohttp
import orjson
from authlib.oauth2.auth import ClientAuth
from authlib.oauth2.rfc6749.parameters import prepare_token_request

from service import __version__
from service.delivery import masking, send
from service.model import BasicAuth, Json, OAuth2, Reason, Request

TIMEOUT = 10.0  # seconds for a token request
ANSWER_LIMIT = 64 * 1024  # bytes of a token endpoint's answer
HOUR = 3_600_000  # ms: how long a token is kept that does not say when it expires
MARGIN = 30_000  # ms before its expiry from which a token is not used any more...
MARGIN_SHARE = 0.1  # ...but no more than this share of its life
LONGEST = 1e9  # seconds: an expiry further away is no number we reckon with
ANCESTORS = 8  # spent refresh tokens that are still recognised
DETAIL_LENGTH = 300  # characters of a refusal that are shown

# What a Bearer token may consist of; looser than RFC 6750, section 2.1, but nothing that could end a header.
_TOKEN = re.compile(r"[\x21-\x7e]+")


def basic(auth: BasicAuth) -> str:
    """The value of ``authorization`` for HTTP Basic, in UTF-8 (RFC 7617)."""
    pair = f"{auth.username}:{auth.password}"
    return f"Basic {base64.b64encode(pair.encode()).decode()}"


class TokenError(Exception):
    """No access token could be had; the detail says what the token endpoint answered, and shows no secret."""

    def __init__(self, detail: str) -> None:
        super().__init__(detail)
        self.detail = detail


class Tokens:
    """The access tokens of all watches: an async context manager, whose end cancels what is under way.

    ``clock`` gives milliseconds. ``store_refresh_token(watch_id, refresh_token, former)`` keeps a rotated refresh
    token durably in the place of one of the ``former`` ones; a token whose store fails is not used.
    """

    def __init__(
        self,
        client: aiohttp.ClientSession,
        clock: Callable[[], int],
        store_refresh_token: Callable[[str, str, tuple[str, ...]], Awaitable[None]],
    ) -> None:
        self._client = client
        self._clock = clock
        self._store = store_refresh_token
        self._accounts: dict[str, _Account] = {}
        self._flights: set[asyncio.Task[_Grant | TokenError]] = set()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        for flight in self._flights:
            flight.cancel()
        await asyncio.gather(*self._flights, return_exceptions=True)

    async def get(self, watch_id: str, oauth2: OAuth2) -> str:
        """An access token for these credentials: the kept one, or a new one.

        Raises:
            TokenError: none could be had. Everyone who waited for this request gets it; the next call asks again.
        """
        account = self._account(watch_id, oauth2)
        if account.grant is not None and account.stored and self._clock() < account.grant.good_until:
            return account.grant.access_token
        if account.flight is None:
            account.flight = asyncio.create_task(self._fly(watch_id, account))
            self._flights.add(account.flight)
            account.flight.add_done_callback(self._flights.discard)
        result = await asyncio.shield(account.flight)  # it goes on for the others when this waiter is cancelled
        if isinstance(result, TokenError):
            raise TokenError(result.detail)
        return result.access_token

    def drop(self, watch_id: str, token: str) -> None:
        """Forget a token that the receiver answered 401 to, unless it has been replaced already."""
        account = self._accounts.get(watch_id)
        if account and account.grant and account.grant.access_token == token:
            account.grant = None

    def _account(self, watch_id: str, oauth2: OAuth2) -> _Account:
        account = self._accounts.get(watch_id)
        if account is None or not account.is_for(oauth2):
            account = self._accounts[watch_id] = _Account(oauth2)
        return account

    async def _fly(self, watch_id: str, account: _Account) -> _Grant | TokenError:
        try:
            return await self._obtain(watch_id, account)
        except TokenError as error:  # as a value: every waiter may be gone
            return error
        finally:
            account.flight = None

    async def _obtain(self, watch_id: str, account: _Account) -> _Grant:
        grant = account.grant
        if grant is None or self._clock() >= grant.good_until:
            grant = account.grant = await self._request(account.credentials)
            account.rotate(grant.refresh_token)
        if not account.stored:
            try:
                await self._store(watch_id, account.credentials.refresh_token or "", tuple(account.spent))
            except Exception as error:  # it is still known here: the next call begins with storing it
                raise TokenError(f"the new refresh token could not be stored ({type(error).__name__})") from error
            account.stored = True
        return grant

    async def _request(self, oauth2: OAuth2) -> _Grant:
        if oauth2.grant_type == "refresh_token" and not oauth2.refresh_token:
            raise TokenError("there is no refresh token yet: give the watch one, or let its owner authorize it")
        asked = self._clock()
        request = _token_request(oauth2)
        outcome = await send.exchange(self._client, request, limit=ANSWER_LIMIT, repeat=False)
        if outcome.status_code is None or outcome.reason not in {None, Reason.STATUS}:
            raise TokenError(f"token endpoint: {outcome.error_message}")
        answer = _read(outcome.body)
        if not outcome.ok or answer is None or "error" in answer:
            shown = masking.mask(_refusal(outcome.status_code, answer), _secrets(oauth2, request))
            raise TokenError(shown[:DETAIL_LENGTH])
        return _grant(answer, asked)


@dataclass(slots=True)
class _Account:
    """What is known of one watch's credentials; other credentials are another account."""

    credentials: OAuth2  # with the refresh token of the last rotation
    spent: deque[str] = field(default_factory=lambda: deque(maxlen=ANCESTORS))
    grant: _Grant | None = None
    stored: bool = True  # false while the refresh token above is known to us alone: then the grant is not used
    flight: asyncio.Task[_Grant | TokenError] | None = None

    def is_for(self, oauth2: OAuth2) -> bool:
        same = replace(oauth2, refresh_token=None) == replace(self.credentials, refresh_token=None)
        return same and oauth2.refresh_token in (self.credentials.refresh_token, *self.spent)

    def rotate(self, refresh_token: str | None) -> None:
        # the client_credentials grant has none to begin with, and keeps to that
        before = self.credentials.refresh_token
        if before and refresh_token and refresh_token != before:
            self.spent.append(before)
            self.credentials = replace(self.credentials, refresh_token=refresh_token)
            self.stored = False


@dataclass(frozen=True, slots=True)
class _Grant:
    """What a token endpoint gave."""

    access_token: str
    good_until: int  # ms; the margin is taken off
    refresh_token: str | None


def _token_request(oauth2: OAuth2) -> Request:
    refresh = {"refresh_token": oauth2.refresh_token} if oauth2.grant_type == "refresh_token" else {}
    body = prepare_token_request(oauth2.grant_type, scope=oauth2.scope, **refresh)
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


def _secrets(oauth2: OAuth2, request: Request) -> set[str]:
    _, _, credentials = request.headers.get("authorization", "").partition(" ")
    return {secret for secret in (oauth2.client_secret, oauth2.refresh_token, credentials) if secret}


def _grant(answer: dict[str, Any], asked: int) -> _Grant:
    """RFC 6749, section 5.1. A ``token_type`` that is missing is taken for Bearer."""
    token, kind, refresh = (answer.get(name) for name in ("access_token", "token_type", "refresh_token"))
    if not isinstance(token, str) or not _TOKEN.fullmatch(token):
        raise TokenError("token endpoint answered without a usable access_token")
    if kind and str(kind).lower() != "bearer":
        raise TokenError(f"token endpoint gave a token of type {str(kind)[:40]!r}, and only Bearer is understood")
    life = _milliseconds(answer.get("expires_in"))
    good_for = HOUR if life is None else life - min(MARGIN, round(life * MARGIN_SHARE))
    return _Grant(token, asked + good_for, refresh if isinstance(refresh, str) and refresh else None)


def _milliseconds(expires_in: object) -> int | None:
    try:
        seconds = float(expires_in)  # type: ignore[arg-type]  # some servers write a string
    except (TypeError, ValueError):
        return None
    return None if math.isnan(seconds) else round(max(0.0, min(seconds, LONGEST)) * 1000)
