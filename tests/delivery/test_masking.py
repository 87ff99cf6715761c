"""Secrets stay out of the log, however an answer spells them."""

from __future__ import annotations

import base64
import html
import json
import re
from urllib.parse import quote, quote_plus, urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.delivery import authenticate, masking, sign
from service.model import BasicAuth, CryptoKey, OAuth2, Watch

ODD = "p/ä\"s\\s <w>&ör+d%=🦊\t'~"


def watch(**members: object) -> Watch:
    return Watch("wch_1", "default", "agendize.account", "https://example.com/hook", 0, 0, **members)


@pytest.mark.parametrize(
    "spelled",
    [
        ODD,
        json.dumps(ODD),
        json.dumps(ODD, ensure_ascii=False),
        re.sub(r"u[0-9a-f]{4}", lambda code: "u" + code[0][1:].upper(), json.dumps(ODD)),
        json.dumps(ODD).replace("/", "\\/"),
        quote(ODD),
        quote(ODD, safe=""),
        quote(ODD, safe="!'()*"),
        quote_plus(ODD),
        urlencode({"password": ODD}).lower(),
        html.escape(ODD),
        ODD.encode("ascii", "xmlcharrefreplace").decode(),
        "".join(f"&#x{ord(character):X};" if character in "&<>\"'" else character for character in ODD),
    ],
)
def test_an_echo_is_masked_in_every_spelling(spelled: str) -> None:
    shown = masking.mask(f"You sent: {spelled}, which is wrong", [ODD])
    assert re.fullmatch(r'You sent: (")?(password=)?\*\*\*(")?, which is wrong', shown)


def test_an_echo_in_latin_1_is_masked() -> None:
    assert masking.mask(masking.printable("got pässwörd".encode("latin-1")), ["pässwörd"]) == "got ***"


@given(st.text(st.characters(exclude_characters="*"), min_size=4, max_size=20), st.text(), st.text())
def test_no_text_keeps_a_secret(secret: str, before: str, after: str) -> None:
    shown = masking.mask(f"{before}{secret}{after}", [secret])
    assert secret not in shown
    assert "***" in shown


@given(st.text(max_size=60))
def test_without_secrets_a_text_stays_as_it_is(text: str) -> None:
    assert masking.mask(text, []) == text
    assert masking.mask(text, ["", ""]) == text


def test_other_text_stays() -> None:
    assert masking.mask('{"ok": true, "token": "s3cret-7"}', ["s3cret-7", "unused"]) == '{"ok": true, "token": "***"}'


def test_a_secret_that_begins_with_another_is_masked_whole() -> None:
    assert masking.mask("abcdefgh", ["abcd", "abcdefgh"]) == "***"


def test_a_secret_with_the_syntax_of_expressions_is_only_text() -> None:
    assert masking.mask("a.*b(c|d)[e] axxb", ["a.*b(c|d)[e]"]) == "*** axxb"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("x-flag: 1", "x-flag: ***"),
        ('{"flag": "1", "count": 21, "id": "1a"}', '{"flag": "***", "count": 21, "id": "1a"}'),
        ("a1b", "a1b"),
        ("é1", "é1"),
        ("_1_", "_***_"),
    ],
)
def test_a_short_secret_is_masked_only_where_it_stands_alone(text: str, shown: str) -> None:
    assert masking.mask(text, ["1"]) == shown


def test_request_headers_hide_credentials_and_everything_custom() -> None:
    sent = {
        "content-type": "application/json",
        "Authorization": "Bearer abc",
        "x-key": "k",
        "X-Other": "1",
        "webhook-id": "dlv_1",
        "ce-subject": "token-4711",
    }
    assert masking.headers(sent, ["token-4711"], ["X-Key", "x-other"]) == {
        "content-type": "application/json",
        "Authorization": "***",
        "x-key": "***",
        "X-Other": "***",
        "webhook-id": "dlv_1",
        "ce-subject": "***",
    }


def test_answer_headers_are_searched_for_echoes() -> None:
    came = {"location": "https://example.com/?key=a%2Fb%2Fc", "server": "nginx"}
    assert masking.headers(came, ["a/b/c"]) == {"location": "https://example.com/?key=***", "server": "nginx"}


def test_every_secret_of_a_watch_is_known() -> None:
    basic = BasicAuth("user", "pass-word")
    secrets = masking.secrets_of(watch(basic_auth=basic, headers={"x-key": " Token 0123456789 ", "x-flag": "on"}))
    assert secrets == {
        "pass-word",
        authenticate.basic(basic).removeprefix("Basic "),
        "Token 0123456789",
        "0123456789",
        "on",
    }
    oauth2 = OAuth2("refresh_token", "app", "https://example.com/token", client_secret="cs", refresh_token="rt")
    assert masking.secrets_of(watch(oauth2=oauth2)) == {"cs", "rt"}
    assert masking.secrets_of(watch(oauth2=OAuth2("refresh_token", "app", "https://example.com/token"))) == frozenset()


def test_signing_keys_are_masked_with_and_without_their_prefix() -> None:
    secret = sign.generate_secret()
    secrets = masking.secrets_of_keys([CryptoKey("key_1", "default", None, "hmac-sha256", secret)])
    plain = base64.b64encode(secret).decode()
    assert masking.mask(f"{sign.encode_secret(secret)} and {plain}", secrets) == "*** and ***"


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"", ""),
        (b"plain\r\n\ttext", "plain\r\n\ttext"),
        ("Zoë 🦊".encode(), "Zoë 🦊"),
        (b"a\x00b", "a\\x00b"),
        (b"caf\xe9", "caf\\xe9"),
        (b"\xed\xa0\x80", "\\xed\\xa0\\x80"),
        ("🦊".encode()[:3], "\\xf0\\x9f\\xa6"),
    ],
)
def test_bytes_that_no_log_can_hold_are_escaped(data: bytes, text: str) -> None:
    assert masking.printable(data) == text


@given(st.binary())
def test_any_bytes_become_text_that_a_database_takes(data: bytes) -> None:
    text = masking.printable(data)
    assert "\x00" not in text
    text.encode("utf-8")
