"""Interactive OAuth2: a watch's owner consents in a browser, and the watch gets its refresh token.

``begin`` gives the URL at which the provider asks the owner (RFC 6749, section 4.1, with PKCE, RFC 7636); ``finish``
takes what the provider sends the browser back with. Between the two lies a row of the database, found by the hash
of the state, so that any replica can finish what another began and a copy of the database lets nobody in. It is
good once, for ten minutes, for one watch of one tenant, and for the ``oauth2Auth`` that the watch had then: what an
owner consented to must not become a token for another client or of another server.
"""

from __future__ import annotations

import hashlib
import logging
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from authlib.oauth2.rfc6749.parameters import prepare_grant_uri
from authlib.oauth2.rfc7636 import create_s256_code_challenge

from service import clock, errors, jsontext
from service.delivery import grants, masking, wire
from service.delivery.grants import TokenError
from service.model import OAuth2, Watch
from service.store import authorizations
from service.store.authorizations import AuthorizationRow
from service.store.driver import Transaction
from service.store.store import Store
from service.vault import Vault
from service.watches import spec
from service.watches.registrar import Registrar

log = logging.getLogger(__name__)

CALLBACK = "/oauth2/callback"
LIFETIME = 600_000  # ms between begin and finish
REMEMBERED = 86_400_000  # ms for which one that has expired is told from one that never was
DENIED = frozenset({"access_denied", "consent_required", "interaction_required", "login_required"})
SAID_LENGTH = 300  # characters of what a provider says that are shown

BEGIN_ANEW = "begin again with GET /api/v1/watches/{id}/oauth2/authorize"


@dataclass(frozen=True, slots=True)
class Flow:
    """What one authorization knows of itself, sealed until it comes back."""

    verifier: str = field(repr=False)
    redirect_uri: str  # as it was sent: the token endpoint compares
    settings: str  # a digest of the watch's oauth2Auth

    def seal(self, vault: Vault) -> str:
        """As it is stored."""
        return vault.seal(jsontext.dumps([self.verifier, self.redirect_uri, self.settings]))

    @classmethod
    def open(cls, vault: Vault, sealed: str) -> Flow:
        """What ``seal`` was given."""
        opened: Any = jsontext.loads(vault.open(sealed))
        return cls(*opened)


class Authorizations:
    """Beginning and finishing them. ``now`` gives milliseconds; ``lifetime`` is theirs, in ms."""

    def __init__(
        self,
        store: Store,
        registrar: Registrar,
        vault: Vault,
        client: wire.Lines,
        public_url: str | None,
        *,
        now: Callable[[], int] = clock.now_ms,
        lifetime: int = LIFETIME,
    ) -> None:
        self._store = store
        self._registrar = registrar
        self._vault = vault
        self._client = client
        self._public_url = public_url
        self._now = now
        self._lifetime = lifetime

    async def begin(self, tenant: str, watch_id: str) -> str:
        """The URL to open in a browser, good once.

        Raises:
            NotFound: the tenant has no such watch.
            Conflict: the watch, or the service, lacks what this takes; the detail names it.
        """
        oauth2, auth_url = _interactive(await self._registrar.get(tenant, watch_id))
        if self._public_url is None:
            raise errors.Conflict(
                "server.public_url (WATCH_PUBLIC_URL) is not set: without it no provider can send the browser back to "
                f"this service; set it, start the service again, and register <public url>{CALLBACK} at the provider"
            )
        state, verifier, now = secrets.token_urlsafe(32), secrets.token_urlsafe(48), self._now()
        flow = Flow(verifier, self._public_url + CALLBACK, _digest(oauth2))
        row = AuthorizationRow(_hash(state), tenant, watch_id, flow.seal(self._vault), now + self._lifetime)

        async def action(transaction: Transaction) -> None:
            await authorizations.purge(transaction, now - REMEMBERED)
            await authorizations.insert(transaction, row)

        await self._store.write(action)
        return _grant_url(auth_url, oauth2, flow, state)

    async def finish(self, answer: Mapping[str, str]) -> Watch:
        """Take the parameters that the browser came back with; the watch, which has its refresh token now.

        Raises:
            BadRequest: no state of ours, an expired one, or a code that the token endpoint does not take.
            Conflict: the state came back before, or the watch is not what it was.
            Forbidden: the owner, or the provider in the owner's name, said no.
            BadGateway: the provider failed, or gave no refresh token.
        """
        state = answer.get("state")
        row = await authorizations.one(self._store, _hash(state)) if state else None
        if row is None:  # anybody may come here, with anything: it costs a look, and no transaction
            raise errors.BadRequest(f"the state is not one that this service gave out: {BEGIN_ANEW}")
        try:
            watch = await self._redeem(row, await self._use(row), answer)
        except errors.WatchError as error:
            log.warning("watch %s: the authorization failed: %s", row.watch_id, error.detail)
            raise
        log.info("watch %s: its owner has authorized it", row.watch_id)
        return watch

    async def _use(self, row: AuthorizationRow) -> Flow:
        """Use a state up, whatever comes of it."""
        now = self._now()
        used = row.used is None and await self._store.submit(_use, (row.id, now))
        if row.sealed is None or not used:
            raise errors.Conflict(
                f"this answer has come before, and each is taken once: if the watch is not authorized now, {BEGIN_ANEW}"
            )
        if row.expires <= now:
            minutes = self._lifetime / 60_000
            raise errors.BadRequest(f"this link has expired, it was good for {minutes:g} minutes: {BEGIN_ANEW}")
        return Flow.open(self._vault, row.sealed)

    async def _redeem(self, row: AuthorizationRow, flow: Flow, answer: Mapping[str, str]) -> Watch:
        try:
            watch = await self._registrar.get(row.tenant, row.watch_id)
        except errors.NotFound as error:
            raise errors.Conflict(f"watch {row.watch_id} was deleted meanwhile") from error
        oauth2 = watch.oauth2
        if oauth2 is None or _digest(oauth2) != flow.settings:
            raise errors.Conflict(f"the oauth2Auth of watch {watch.id} was changed meanwhile: {BEGIN_ANEW}")
        _check_issuer(oauth2, answer.get("iss"))
        if "error" in answer:
            raise _declined(oauth2, answer)
        if not answer.get("code"):
            raise errors.BadRequest("the provider sent neither a code nor an error: tell its operator")
        token = await self._exchange(oauth2, flow, answer["code"])
        return await self._registrar.authorize(row.tenant, row.watch_id, oauth2.settings, token)

    async def _exchange(self, oauth2: OAuth2, flow: Flow, code: str) -> str:
        try:
            grant = await grants.ask(
                self._client,
                oauth2,
                "authorization_code",
                self._now(),
                code=code,
                redirect_uri=flow.redirect_uri,
                code_verifier=flow.verifier,
            )
        except TokenError as error:
            if error.code == "invalid_grant":
                raise errors.BadRequest(
                    f"the provider does not take the code, which is good once and for a short time: {BEGIN_ANEW} "
                    f"({error.detail})"
                ) from error
            raise errors.BadGateway(f"no token could be had for the code: {error.detail}") from error
        if grant.refresh_token is None:
            raise errors.BadGateway(
                "the provider gave no refresh token, without which deliveries could not go on: ask for one in "
                "oauth2Auth.scope (offline_access with most providers) or in the query of oauth2Auth.authUrl "
                "(access_type=offline&prompt=consent with Google), and allow it for this client"
            )
        return grant.refresh_token


async def _use(transaction: Transaction, items: Sequence[tuple[str, int]]) -> list[bool]:
    return [await authorizations.use(transaction, id_, now) for id_, now in items]


def _interactive(watch: Watch) -> tuple[OAuth2, str]:
    """The watch's OAuth2 and where its owner is asked; Conflict when nobody can be."""
    oauth2 = watch.oauth2
    if oauth2 is None:
        raise errors.Conflict(f"watch {watch.id} has no oauth2Auth, so there is nothing to authorize")
    if oauth2.grant_type != "refresh_token":
        raise errors.Conflict(f"watch {watch.id} uses the grant {oauth2.grant_type}, which takes no one's consent")
    if oauth2.auth_url is None:
        raise errors.Conflict(f"watch {watch.id} has no oauth2Auth.authUrl, where its owner would be asked: set it")
    return oauth2, oauth2.auth_url


def _grant_url(auth_url: str, oauth2: OAuth2, flow: Flow, state: str) -> str:
    """Where the owner is asked. What the URL holds of our own parameters, ours replace (RFC 6749, section 3.1)."""
    ours = {
        "redirect_uri": flow.redirect_uri,
        "state": state,
        "code_challenge": create_s256_code_challenge(flow.verifier),
        "code_challenge_method": "S256",
        **({} if oauth2.scope is None else {"scope": oauth2.scope}),
    }
    parts, named = urlsplit(auth_url), {"response_type", "client_id", *ours}
    kept = [(name, value) for name, value in parse_qsl(parts.query, keep_blank_values=True) if name not in named]
    begun = urlunsplit(parts._replace(query=urlencode(kept)))
    return str(prepare_grant_uri(begun, oauth2.client_id, "code", **ours))


def _check_issuer(oauth2: OAuth2, issuer: str | None) -> None:
    """RFC 9207: an answer of another server than the one that was asked must not get at our code and secret."""
    if oauth2.issuer is not None and issuer != oauth2.issuer:
        came = "without iss" if issuer is None else "from another issuer"
        raise errors.BadRequest(
            f"the answer came {came}, and oauth2Auth.issuer says who must have sent it: nothing was exchanged; "
            "correct it, or find out who answered"
        )


def _declined(oauth2: OAuth2, answer: Mapping[str, str]) -> errors.WatchError:
    said = ": ".join(answer[name] for name in ("error", "error_description") if answer.get(name))
    shown = masking.printable(said.encode(errors="replace"))[:SAID_LENGTH]
    if answer["error"] in DENIED:
        return errors.Forbidden(f"consent was not given ({shown}): nothing was stored")
    return errors.BadGateway(
        f"the provider refused ({shown}): it looks at client {oauth2.client_id}, its redirect URI and its scope"
    )


def _hash(state: str) -> str:
    return hashlib.sha256(state.encode(errors="replace")).hexdigest()


def _digest(oauth2: OAuth2) -> str:
    """It is stored sealed: the client secret is in it."""
    return hashlib.sha256(jsontext.dumps(spec.oauth2_form(oauth2.settings))).hexdigest()
