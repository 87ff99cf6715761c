"""A real OAuth 2 authorisation server for tests: authlib's, under Flask, in a thread, on 127.0.0.1.

    with AuthServer() as server:
        client = server.add_client("app", "s3cret")
        refresh_token = server.issue(client)
        ... server.token_url ...

It knows the grants ``client_credentials`` and ``refresh_token`` (which rotates: a refresh token is good once),
and the client authentications ``client_secret_basic``, ``client_secret_post`` and ``none``. While its ``gate`` is
shut it takes requests and does not answer them; while it is ``broken`` it answers with that status.
"""

from __future__ import annotations

import asyncio
import secrets
import threading
from dataclasses import dataclass
from typing import Self

from authlib.integrations.flask_oauth2 import AuthorizationServer
from authlib.oauth2.rfc6749 import ClientMixin, TokenMixin, grants
from flask import Flask, Response, request
from werkzeug.serving import WSGIRequestHandler, make_server

AUTH_METHODS = ("client_secret_basic", "client_secret_post", "none")


@dataclass
class Client(ClientMixin):
    client_id: str
    client_secret: str | None
    auth_method: str = "client_secret_basic"
    scope: str = "read write"

    def get_client_id(self) -> str:
        return self.client_id

    def get_allowed_scope(self, scope: str | None) -> str:
        return " ".join(word for word in (scope or "").split() if word in self.scope.split())

    def check_client_secret(self, client_secret: str) -> bool:
        return secrets.compare_digest((self.client_secret or "").encode(), client_secret.encode())

    def check_endpoint_auth_method(self, method: str, endpoint: str) -> bool:
        return endpoint != "token" or method == self.auth_method

    def check_grant_type(self, grant_type: str) -> bool:
        return grant_type in {"client_credentials", "refresh_token"}


@dataclass
class Token(TokenMixin):
    client_id: str
    access_token: str
    refresh_token: str | None
    scope: str
    revoked: bool = False

    def check_client(self, client: Client) -> bool:
        return self.client_id == client.client_id

    def get_scope(self) -> str:
        return self.scope


class AuthServer:
    """``asked`` holds the parsed form of every token request, ``issued`` the access tokens given out, both in order."""

    def __init__(self, *, expires_in: int = 3600, rotate: bool = True) -> None:
        self.asked: list[dict[str, str]] = []
        self.issued: list[str] = []
        self.gate = threading.Event()
        self.gate.set()
        self.broken: int | None = None
        self._arrived = threading.Condition()
        self._clients: dict[str, Client] = {}
        self._tokens: list[Token] = []
        app = _app(self, expires_in=expires_in, rotate=rotate)
        self._http = make_server("127.0.0.1", 0, app, threaded=True, request_handler=_Quiet)
        self._thread = threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)

    @property
    def token_url(self) -> str:
        return f"http://127.0.0.1:{self._http.server_port}/token"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.gate.set()
        self._http.shutdown()
        self._thread.join()
        self._http.server_close()

    def add_client(self, client_id: str, client_secret: str | None, auth_method: str = "client_secret_basic") -> Client:
        """Register a client."""
        client = self._clients[client_id] = Client(client_id, client_secret, auth_method)
        return client

    def issue(self, client: Client, scope: str = "read write") -> str:
        """A refresh token, as an owner's consent in a browser would have given it."""
        refresh_token = secrets.token_urlsafe()
        self._tokens.append(Token(client.client_id, "", refresh_token, scope))
        return refresh_token

    async def wait_for(self, count: int) -> None:
        """Until so many token requests have come."""
        await asyncio.to_thread(self._wait_for, count)

    def _wait_for(self, count: int) -> None:
        with self._arrived:
            if not self._arrived.wait_for(lambda: len(self.asked) >= count, timeout=5):
                raise TimeoutError(f"{len(self.asked)} token requests of {count} came")

    def record(self, form: dict[str, str]) -> None:
        with self._arrived:
            self.asked.append(form)
            self._arrived.notify_all()

    def good_refresh_tokens(self) -> list[str]:
        """Those that have not been used up."""
        return [token.refresh_token for token in self._tokens if token.refresh_token and not token.revoked]

    def revoke_everything(self) -> None:
        """As if the owner had withdrawn consent: no refresh token is good any more."""
        for token in self._tokens:
            token.revoked = True

    def find_client(self, client_id: str) -> Client | None:
        return self._clients.get(client_id)

    def find_refresh_token(self, refresh_token: str) -> Token | None:
        good = (token for token in self._tokens if token.refresh_token == refresh_token and not token.revoked)
        return next(good, None)

    def save(self, client: Client, token: dict[str, str]) -> None:
        self.issued.append(token["access_token"])
        self._tokens.append(
            Token(client.client_id, token["access_token"], token.get("refresh_token"), token.get("scope", ""))
        )


def _app(state: AuthServer, *, expires_in: int, rotate: bool) -> Flask:
    class ClientCredentials(grants.ClientCredentialsGrant):
        TOKEN_ENDPOINT_AUTH_METHODS = AUTH_METHODS

    class RefreshToken(grants.RefreshTokenGrant):
        TOKEN_ENDPOINT_AUTH_METHODS = AUTH_METHODS
        INCLUDE_NEW_REFRESH_TOKEN = rotate

        def authenticate_refresh_token(self, refresh_token: str) -> Token | None:
            return state.find_refresh_token(refresh_token)

        def authenticate_user(self, refresh_token: Token) -> str:
            return "the owner"

        def revoke_old_credential(self, refresh_token: Token) -> None:
            refresh_token.revoked = rotate

    app = Flask("authserver")
    app.config["OAUTH2_REFRESH_TOKEN_GENERATOR"] = True
    app.config["OAUTH2_TOKEN_EXPIRES_IN"] = dict.fromkeys(("client_credentials", "refresh_token"), expires_in)
    server = AuthorizationServer(
        app, query_client=state.find_client, save_token=lambda token, asked: state.save(asked.client, token)
    )
    server.register_grant(ClientCredentials)
    server.register_grant(RefreshToken)

    @app.post("/token")
    def token() -> Response:
        state.record(request.form.to_dict())
        state.gate.wait(10)
        if state.broken is not None:
            return Response("out of order", status=state.broken)
        return server.create_token_response()

    return app


class _Quiet(WSGIRequestHandler):
    def log_request(self, *_: object) -> None:
        pass
