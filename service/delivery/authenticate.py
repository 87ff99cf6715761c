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
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from typing import Self

from service import errors
from service.delivery import grants, wire
from service.delivery.grants import Grant, TokenError
from service.delivery.sharing import Sharing
from service.model import BasicAuth, OAuth2

INVALID_GRANT = "invalid_grant"  # RFC 6749, section 5.2: the refresh token expired, was revoked, or is another's
ANCESTORS = 8  # spent refresh tokens that are still recognised


def basic(auth: BasicAuth) -> str:
    """The value of ``authorization`` for HTTP Basic, in UTF-8 (RFC 7617)."""
    pair = f"{auth.username}:{auth.password}"
    return f"Basic {base64.b64encode(pair.encode()).decode()}"


class Tokens:
    """The access tokens of all watches: an async context manager, whose end cancels what is under way.

    ``clock`` gives milliseconds. ``store_refresh_token(watch_id, refresh_token, former)`` keeps a rotated refresh
    token durably in the place of one of the ``former`` ones; a token whose store fails is not used.
    ``note_loss(watch_id, former)`` is told when the token endpoint does not take the last of ``former`` any more.
    ``sharing`` is with other processes over the same database; None: there are none.
    """

    def __init__(
        self,
        client: wire.Lines,
        clock: Callable[[], int],
        store_refresh_token: Callable[[str, str, tuple[str, ...]], Awaitable[None]],
        note_loss: Callable[[str, tuple[str, ...]], Awaitable[None]] | None = None,
        sharing: Sharing | None = None,
    ) -> None:
        self._client = client
        self._clock = clock
        self._store = store_refresh_token
        self._note_loss = note_loss
        self._sharing = sharing
        self._accounts: dict[str, _Account] = {}
        self._flights: set[asyncio.Task[Grant | TokenError]] = set()

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
            raise TokenError(result.detail, result.code, is_lost=result.is_lost)
        return result.access_token

    def drop(self, watch_id: str, token: str) -> None:
        """Forget a token that the receiver answered 401 to, unless it has been replaced already."""
        account = self._accounts.get(watch_id)
        if account and account.grant and account.grant.access_token == token:
            account.grant = None
            account.refused = token

    def _account(self, watch_id: str, oauth2: OAuth2) -> _Account:
        account = self._accounts.get(watch_id)
        if account is None or not account.is_for(oauth2):
            account = self._accounts[watch_id] = _Account(oauth2)
        return account

    async def _fly(self, watch_id: str, account: _Account) -> Grant | TokenError:
        try:
            if self._sharing is None:
                return await self._obtain(watch_id, account)
            return await self._obtain_for_all(self._sharing, watch_id, account)
        except TokenError as error:  # as a value: every waiter may be gone
            return error
        finally:
            account.flight = None

    async def _obtain_for_all(self, sharing: Sharing, watch_id: str, account: _Account) -> Grant:
        try:
            async with sharing.alone(watch_id):
                account.learn(*await sharing.find(watch_id, account.credentials))
                known = account.grant
                grant = await self._obtain(watch_id, account)
                if grant is not known:
                    await sharing.keep(watch_id, account.credentials, grant)
                return grant
        except errors.Unavailable as error:
            raise TokenError(f"no token while the database cannot be used: {error.detail}") from error

    async def _obtain(self, watch_id: str, account: _Account) -> Grant:
        grant = account.grant
        if grant is None or self._clock() >= grant.good_until:
            grant = account.grant = await self._renew(watch_id, account)
            account.rotate(grant.refresh_token)
        if not account.stored:
            try:
                await self._store(watch_id, account.credentials.refresh_token or "", tuple(account.spent))
            except Exception as error:  # it is still known here: the next call begins with storing it
                raise TokenError(f"the new refresh token could not be stored ({type(error).__name__})") from error
            account.stored = True
        return grant

    async def _renew(self, watch_id: str, account: _Account) -> Grant:
        try:
            return await self._request(account.credentials)
        except TokenError as error:
            former, by_token = account.credentials.refresh_token, account.credentials.grant_type == "refresh_token"
            if error.code != INVALID_GRANT or former is None or not by_token or self._note_loss is None:
                raise
            try:
                await self._note_loss(watch_id, (*account.spent, former))
            except Exception as failure:  # the next call hears the same from the token endpoint, and tells again
                raise error from failure
            raise TokenError(error.detail, error.code, is_lost=True) from error

    async def _request(self, oauth2: OAuth2) -> Grant:
        now = self._clock()
        if oauth2.grant_type != "refresh_token":
            return await grants.ask(self._client, oauth2, oauth2.grant_type, now, scope=oauth2.scope)
        if not oauth2.refresh_token:
            raise TokenError("there is no refresh token yet: give the watch one, or let its owner authorize it")
        return await grants.ask(
            self._client, oauth2, "refresh_token", now, scope=oauth2.scope, refresh_token=oauth2.refresh_token
        )


@dataclass(slots=True)
class _Account:
    """What is known of one watch's credentials; other credentials are another account."""

    credentials: OAuth2  # with the refresh token of the last rotation
    spent: deque[str] = field(default_factory=lambda: deque(maxlen=ANCESTORS))
    grant: Grant | None = None
    stored: bool = True  # false while the refresh token above is known to us alone: then the grant is not used
    flight: asyncio.Task[Grant | TokenError] | None = None
    refused: str | None = None  # the access token that a receiver has refused last

    def learn(self, refresh_token: str | None, grant: Grant | None) -> None:
        """What is stored, and what another process has obtained; what is not stored yet is newer."""
        if not self.stored:
            return
        if refresh_token is not None and refresh_token != self.credentials.refresh_token:
            if self.credentials.refresh_token is not None:
                self.spent.append(self.credentials.refresh_token)
            self.credentials = replace(self.credentials, refresh_token=refresh_token)
        if grant is not None and grant.access_token != self.refused:
            self.grant = grant

    def is_for(self, oauth2: OAuth2) -> bool:
        same = oauth2.settings == self.credentials.settings
        return same and oauth2.refresh_token in (self.credentials.refresh_token, *self.spent)

    def rotate(self, refresh_token: str | None) -> None:
        # the client_credentials grant has none to begin with, and keeps to that
        before = self.credentials.refresh_token
        if before and refresh_token and refresh_token != before:
            self.spent.append(before)
            self.credentials = replace(self.credentials, refresh_token=refresh_token)
            self.stored = False
