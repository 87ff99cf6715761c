"""Basic credentials and OAuth 2 tokens, against a real authorisation server."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace

import aiohttp
import pytest

from service.delivery import authenticate, grants, send
from service.delivery.authenticate import Tokens
from service.delivery.egress import Guard
from service.delivery.grants import TokenError
from service.model import BasicAuth, OAuth2
from tests.support.authserver import AuthServer
from tests.support.receiver import HANG, RESET, Answer, Receiver

NOW = 1_764_000_000_000
WATCH = "wch_1"


class Time:
    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> int:
        return self.now

    def pass_seconds(self, seconds: float) -> None:
        self.now += round(seconds * 1000)


class Vault:
    """Where rotated refresh tokens go; it can be out of order."""

    def __init__(self) -> None:
        self.stored: list[tuple[str, str]] = []
        self.used = asyncio.Event()
        self.broken = False

    async def store(self, watch_id: str, refresh_token: str, _former: tuple[str, ...]) -> None:
        if self.broken:
            raise OSError("disk full")
        self.stored.append((watch_id, refresh_token))
        self.used.set()


@pytest.fixture
def server() -> Iterator[AuthServer]:
    with AuthServer() as running:
        yield running


@pytest.fixture
async def client() -> AsyncIterator[aiohttp.ClientSession]:
    async with send.session(Guard(["127.0.0.0/8"])) as running:
        yield running


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
def vault() -> Vault:
    return Vault()


@pytest.fixture
async def tokens(client: aiohttp.ClientSession, time: Time, vault: Vault) -> AsyncIterator[Tokens]:
    async with Tokens(client, time, vault.store) as running:
        yield running


@pytest.fixture
def by_credentials(server: AuthServer) -> OAuth2:
    server.add_client("app", "s3cret")
    return OAuth2("client_credentials", "app", server.token_url, client_secret="s3cret")


@pytest.fixture
def by_refresh(server: AuthServer) -> OAuth2:
    refresh_token = server.issue(server.add_client("app", "s3cret"))
    return OAuth2("refresh_token", "app", server.token_url, client_secret="s3cret", refresh_token=refresh_token)


def by_script(receiver: Receiver) -> OAuth2:
    return OAuth2("client_credentials", "app", f"{receiver.url}/token?tenant=t1", client_secret="s3cret-of-app")


def test_basic_credentials_are_utf_8_and_the_password_may_hold_colons() -> None:
    value = authenticate.basic(BasicAuth("zoë", "p:ä:ss"))
    scheme, encoded = value.split(" ")
    assert scheme == "Basic"
    assert base64.b64decode(encoded).decode("utf-8") == "zoë:p:ä:ss"


async def test_client_credentials_give_a_token(tokens: Tokens, server: AuthServer, by_credentials: OAuth2) -> None:
    token = await tokens.get(WATCH, replace(by_credentials, scope="read"))
    assert server.issued == [token]
    assert server.asked == [{"grant_type": "client_credentials", "scope": "read"}]


async def test_a_refresh_token_gives_a_token(tokens: Tokens, server: AuthServer, by_refresh: OAuth2) -> None:
    assert await tokens.get(WATCH, by_refresh) == server.issued[0]
    assert server.asked == [{"grant_type": "refresh_token", "refresh_token": by_refresh.refresh_token}]


@pytest.mark.parametrize("auth", ["basic", "post"])
async def test_odd_characters_in_client_id_and_secret_arrive(tokens: Tokens, server: AuthServer, auth: str) -> None:
    odd_id, odd_secret = "app:1 /é+", "a b:c+d%20e/f=é~&?"
    server.add_client(odd_id, odd_secret, f"client_secret_{auth}")
    oauth2 = OAuth2("client_credentials", odd_id, server.token_url, client_auth=auth, client_secret=odd_secret)
    assert await tokens.get(WATCH, oauth2) == server.issued[0]


@pytest.mark.parametrize("auth", ["basic", "post"])
async def test_a_public_client_names_itself_in_the_body(tokens: Tokens, server: AuthServer, auth: str) -> None:
    refresh_token = server.issue(server.add_client("public", None, "none"))
    oauth2 = OAuth2("refresh_token", "public", server.token_url, client_auth=auth, refresh_token=refresh_token)
    assert await tokens.get(WATCH, oauth2) == server.issued[0]
    assert server.asked[0]["client_id"] == "public"
    assert "client_secret" not in server.asked[0]


async def test_a_token_is_kept_until_shortly_before_it_expires(
    tokens: Tokens, server: AuthServer, by_credentials: OAuth2, time: Time
) -> None:
    first = await tokens.get(WATCH, by_credentials)
    time.pass_seconds(3600 - 31)
    assert await tokens.get(WATCH, by_credentials) == first
    time.pass_seconds(1)
    assert await tokens.get(WATCH, by_credentials) != first
    assert len(server.issued) == 2


@pytest.mark.parametrize(
    ("expires_in", "kept_for"),
    [
        (b"100", 90),
        (b'"100"', 90),
        (b"99.5", 89.5),
        (b"0", 0),
        (b"-5", 0),
        (b"1e300", 999_999_970),
        (b"null", 3600),
        (b'"soon"', 3600),
        (b"[]", 3600),
    ],
)
async def test_an_expiry_is_understood_in_whatever_form(
    tokens: Tokens, time: Time, expires_in: bytes, kept_for: float
) -> None:
    async with Receiver() as receiver:
        receiver.answers = lambda call: Answer(
            body=b'{"access_token": "t%d", "token_type": "bearer", "expires_in": %s}'
            % (len(receiver.calls), expires_in)
        )
        oauth2 = by_script(receiver)
        assert await tokens.get(WATCH, oauth2) == "t0"
        if kept_for:
            time.pass_seconds(kept_for - 0.1)
            assert await tokens.get(WATCH, oauth2) == "t0"
        time.pass_seconds(0.2)
        assert await tokens.get(WATCH, oauth2) == "t1"


async def test_everyone_who_waits_shares_one_request(
    tokens: Tokens, server: AuthServer, by_credentials: OAuth2
) -> None:
    server.gate.clear()
    waiting = [asyncio.create_task(tokens.get(WATCH, by_credentials)) for _ in range(50)]
    await server.wait_for(1)
    server.gate.set()
    assert set(await asyncio.gather(*waiting)) == set(server.issued)
    assert len(server.asked) == 1


async def test_a_waiter_who_leaves_does_not_take_the_request_along(
    tokens: Tokens, server: AuthServer, by_credentials: OAuth2
) -> None:
    server.gate.clear()
    first, second = (asyncio.create_task(tokens.get(WATCH, by_credentials)) for _ in range(2))
    await server.wait_for(1)
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    server.gate.set()
    assert await second == server.issued[0]
    assert len(server.asked) == 1


async def test_a_rotated_token_is_stored_even_when_every_waiter_has_left(
    tokens: Tokens, server: AuthServer, by_refresh: OAuth2, vault: Vault
) -> None:
    server.gate.clear()
    only = asyncio.create_task(tokens.get(WATCH, by_refresh))
    await server.wait_for(1)
    only.cancel()
    with pytest.raises(asyncio.CancelledError):
        await only
    server.gate.set()
    async with asyncio.timeout(5):
        await vault.used.wait()
    assert vault.stored == [(WATCH, server.good_refresh_tokens()[0])]


async def test_the_end_cancels_what_is_under_way(client: aiohttp.ClientSession, time: Time, vault: Vault) -> None:
    async with Receiver() as receiver:
        receiver.answers = [HANG]
        async with Tokens(client, time, vault.store) as tokens:
            waiting = asyncio.create_task(tokens.get(WATCH, by_script(receiver)))
            await receiver.wait_for(1)
        with pytest.raises(asyncio.CancelledError):
            await waiting


async def test_watches_do_not_share_tokens(tokens: Tokens, server: AuthServer, by_credentials: OAuth2) -> None:
    assert await tokens.get("wch_1", by_credentials) != await tokens.get("wch_2", by_credentials)


@pytest.mark.parametrize(
    "change",
    [{"client_id": "other"}, {"client_secret": "new"}, {"scope": "write"}, {"client_auth": "post"}, {"url": "?v=2"}],
    ids=lambda change: next(iter(change)),
)
async def test_changed_credentials_do_not_get_the_token_of_the_old_ones(
    tokens: Tokens, server: AuthServer, by_credentials: OAuth2, change: dict[str, str]
) -> None:
    first = await tokens.get(WATCH, by_credentials)
    url = server.token_url + change.pop("url", "")
    changed = replace(by_credentials, access_token_url=url, **change)
    server.add_client(changed.client_id, changed.client_secret, f"client_secret_{changed.client_auth}")
    assert await tokens.get(WATCH, changed) != first


async def test_another_refresh_token_is_another_account(tokens: Tokens, server: AuthServer, by_refresh: OAuth2) -> None:
    first = await tokens.get(WATCH, by_refresh)
    other = server.issue(server.add_client("app", "s3cret"))
    assert await tokens.get(WATCH, replace(by_refresh, refresh_token=other)) != first


async def test_a_rotated_refresh_token_is_stored_before_the_access_token_is_used(
    tokens: Tokens, server: AuthServer, by_refresh: OAuth2, vault: Vault
) -> None:
    await tokens.get(WATCH, by_refresh)
    assert vault.stored == [(WATCH, server.good_refresh_tokens()[0])]


async def test_callers_with_the_spent_and_with_the_new_refresh_token_share_an_account(
    tokens: Tokens, server: AuthServer, by_refresh: OAuth2, vault: Vault, time: Time
) -> None:
    token = await tokens.get(WATCH, by_refresh)
    assert await tokens.get(WATCH, replace(by_refresh, refresh_token=vault.stored[0][1])) == token
    assert await tokens.get(WATCH, by_refresh) == token
    time.pass_seconds(3600)
    renewed = await tokens.get(WATCH, by_refresh)  # the spent one alone would be refused
    assert server.issued == [token, renewed]


async def test_without_rotation_nothing_is_stored(tokens: Tokens, vault: Vault) -> None:
    with AuthServer(rotate=False) as server:
        refresh_token = server.issue(server.add_client("app", "s3cret"))
        oauth2 = OAuth2("refresh_token", "app", server.token_url, client_secret="s3cret", refresh_token=refresh_token)
        await tokens.get(WATCH, oauth2)
        assert server.asked[0]["refresh_token"] == refresh_token
    assert vault.stored == []


async def test_a_token_whose_rotation_cannot_be_stored_is_not_used_and_not_lost(
    tokens: Tokens, server: AuthServer, by_refresh: OAuth2, vault: Vault
) -> None:
    vault.broken = True
    for _ in range(2):
        with pytest.raises(TokenError, match="could not be stored"):
            await tokens.get(WATCH, by_refresh)
    vault.broken = False
    assert await tokens.get(WATCH, by_refresh) == server.issued[0]
    assert vault.stored == [(WATCH, server.good_refresh_tokens()[0])]
    assert len(server.asked) == 1


async def test_a_dropped_token_is_fetched_anew_and_a_replaced_one_is_not_dropped(
    tokens: Tokens, server: AuthServer, by_credentials: OAuth2
) -> None:
    first = await tokens.get(WATCH, by_credentials)
    tokens.drop(WATCH, first)
    second = await tokens.get(WATCH, by_credentials)
    assert second != first
    tokens.drop(WATCH, first)  # a slower delivery had the same 401
    tokens.drop("wch_unknown", first)
    assert await tokens.get(WATCH, by_credentials) == second
    assert len(server.issued) == 2


async def test_a_wrong_secret_is_reported_without_showing_it(
    tokens: Tokens, server: AuthServer, by_credentials: OAuth2
) -> None:
    with pytest.raises(TokenError) as caught:
        await tokens.get(WATCH, replace(by_credentials, client_secret="wrong-secret"))
    assert caught.value.detail.startswith("token endpoint answered 401 invalid_client")
    assert "wrong-secret" not in caught.value.detail


async def test_a_spent_refresh_token_is_an_invalid_grant(
    tokens: Tokens, server: AuthServer, by_refresh: OAuth2
) -> None:
    with pytest.raises(TokenError, match="400 invalid_grant"):
        await tokens.get(WATCH, replace(by_refresh, refresh_token="spent-long-ago"))


async def test_a_refresh_token_that_is_not_taken_any_more_is_noted_with_those_before_it(
    client: aiohttp.ClientSession, time: Time, vault: Vault, server: AuthServer, by_refresh: OAuth2
) -> None:
    noted = []

    async def note(watch_id: str, former: tuple[str, ...]) -> None:
        noted.append((watch_id, former))

    async with Tokens(client, time, vault.store, note) as tokens:
        tokens.drop(WATCH, await tokens.get(WATCH, by_refresh))
        ((_, rotated),) = vault.stored
        server.revoke_everything()
        with pytest.raises(TokenError, match="invalid_grant") as caught:
            await tokens.get(WATCH, by_refresh)
        assert caught.value.is_lost
        assert noted == [(WATCH, (by_refresh.refresh_token, rotated))]


async def test_what_cannot_be_noted_is_not_lost_yet(
    client: aiohttp.ClientSession, time: Time, vault: Vault, server: AuthServer, by_refresh: OAuth2
) -> None:
    async def note(_watch_id: str, _former: tuple[str, ...]) -> None:
        raise OSError("disk full")

    server.revoke_everything()
    async with Tokens(client, time, vault.store, note) as tokens:
        for _ in range(2):
            with pytest.raises(TokenError, match="invalid_grant") as caught:
                await tokens.get(WATCH, by_refresh)
            assert not caught.value.is_lost
    assert len(server.asked) == 2


async def test_a_scope_that_was_not_granted_is_refused(tokens: Tokens, server: AuthServer, by_refresh: OAuth2) -> None:
    with pytest.raises(TokenError, match="invalid_scope"):
        await tokens.get(WATCH, replace(by_refresh, scope="admin"))


async def test_without_a_refresh_token_nobody_is_asked(tokens: Tokens, server: AuthServer, by_refresh: OAuth2) -> None:
    with pytest.raises(TokenError, match="no refresh token yet"):
        await tokens.get(WATCH, replace(by_refresh, refresh_token=None))
    assert server.asked == []


async def test_waiters_share_a_failure_and_the_next_call_asks_again(tokens: Tokens) -> None:
    async with Receiver() as receiver:
        gate = asyncio.Event()
        receiver.answers = [Answer(503, gate=gate), Answer(body=b'{"access_token": "t"}')]
        oauth2 = by_script(receiver)
        waiting = [asyncio.create_task(tokens.get(WATCH, oauth2)) for _ in range(5)]
        await receiver.wait_for(1)
        gate.set()
        failures = await asyncio.gather(*waiting, return_exceptions=True)
        assert [str(failure) for failure in failures] == ["token endpoint answered 503, and no JSON object"] * 5
        assert await tokens.get(WATCH, oauth2) == "t"
        assert len(receiver.calls) == 2


@pytest.mark.parametrize(
    ("answer", "detail"),
    [
        (Answer(body=b""), "no JSON object"),
        (Answer(body=b"access_token=t&token_type=bearer"), "no JSON object"),
        (Answer(body=b'["t"]'), "no JSON object"),
        (Answer(body=b'{"access_token": "t", "padding": "' + b"x" * 70_000 + b'"}'), "no JSON object"),
        (Answer(body=b"{}"), "without a usable access_token"),
        (Answer(body=b'{"access_token": 7}'), "without a usable access_token"),
        (Answer(body=b'{"access_token": ""}'), "without a usable access_token"),
        (Answer(body=b'{"access_token": "a\\r\\nx-evil: 1"}'), "without a usable access_token"),
        (Answer(body=b'{"access_token": "t", "token_type": "mac"}'), "only Bearer is understood"),
        (Answer(body=b'{"error": "bad_verification_code"}'), "answered 200 bad_verification_code"),
        (Answer(400, body=b'{"error": {"message": "no"}}'), "answered 400 {'message': 'no'}"),
        (Answer(302, {"location": "http://127.0.0.1:1/token"}), "redirects are not followed"),
        (
            Answer(400, body=b'{"error": "invalid_client", "error_description": "s3cret-of-app?"}'),
            "invalid_client: ***?",
        ),
    ],
)
async def test_an_answer_that_is_no_token_is_explained(tokens: Tokens, answer: Answer, detail: str) -> None:
    async with Receiver() as receiver:
        receiver.answers = [answer]
        with pytest.raises(TokenError) as caught:
            await tokens.get(WATCH, by_script(receiver))
        assert detail in caught.value.detail
        assert "s3cret" not in caught.value.detail
        assert "tenant=t1" not in caught.value.detail
        assert len(receiver.calls) == 1


async def test_an_error_that_quotes_the_credentials_is_masked(tokens: Tokens) -> None:
    async with Receiver() as receiver:
        receiver.answers = lambda call: Answer(
            401,
            body=b'{"error": "invalid_client", "error_description": "got %s"}' % call.headers["authorization"].encode(),
        )
        with pytest.raises(TokenError, match=r"got Basic \*\*\*$"):
            await tokens.get(WATCH, by_script(receiver))


async def test_a_token_endpoint_that_hangs_is_given_up(tokens: Tokens, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(grants, "TIMEOUT", 0.1)
    async with Receiver() as receiver:
        receiver.answers = [HANG]
        with pytest.raises(TokenError, match=r"^token endpoint: no answer within 0\.1 s$"):
            await tokens.get(WATCH, by_script(receiver))


async def test_a_token_request_is_never_repeated_by_itself(tokens: Tokens) -> None:
    async with Receiver() as receiver:
        receiver.answers = lambda call: Answer(body=b'{"access_token": "t"}') if call.turn == 1 else RESET
        oauth2 = by_script(receiver)
        token = await tokens.get(WATCH, oauth2)
        tokens.drop(WATCH, token)
        with pytest.raises(TokenError, match="reset"):
            await tokens.get(WATCH, oauth2)
        assert len(receiver.calls) == 2


async def test_the_guard_covers_the_token_endpoint(time: Time, vault: Vault) -> None:
    oauth2 = OAuth2("client_credentials", "app", "http://127.0.0.1:9/token", client_secret="s")
    async with send.session(Guard()) as client, Tokens(client, time, vault.store) as tokens:
        with pytest.raises(TokenError, match=r"127\.0\.0\.1 is blocked: loopback"):
            await tokens.get(WATCH, oauth2)
