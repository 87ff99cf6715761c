"""Secrets stay out of the log, however an answer spells them."""

from __future__ import annotations

import base64
import html
import json
import re
from collections.abc import Callable
from urllib.parse import quote, quote_plus, urlencode

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from hypothesis import given
from hypothesis import strategies as st

from service.delivery import authenticate, masking, material
from service.model import Algorithm, BasicAuth, OAuth2, Watch

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


SPELLERS = [
    json.dumps,
    lambda text: json.dumps(text, ensure_ascii=False),
    lambda text: quote(text, safe=""),
    quote_plus,
    html.escape,
    lambda text: json.dumps(quote(text)).replace("/", "\\/"),
]


@pytest.mark.parametrize("spell", SPELLERS)
@given(secret=st.text('ab25u#;+%&\\"/ -~ntä🦊', min_size=4, max_size=20))
def test_a_secret_that_looks_like_escapes_is_masked_too(spell: Callable[[str], str], secret: str) -> None:
    assert re.fullmatch(r'<("?)\*+\1>', masking.mask(f"<{spell(secret)}>", [secret]))


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


@pytest.mark.timeout(20)  # each of these once took from seconds to the age of the universe
@pytest.mark.parametrize(
    ("secret", "text"),
    [
        ("-" * 30 + "y", "-" * 30 + "x"),
        ("-" * 1000 + "y", "-" * 500_000),
        ("\\" * 30 + "y", "\\" * 45 + "x"),
        ("%25" * 300 + "y", "%25" * 100_000),
        ("&amp;" * 100 + "!", "&amp;" * 50_000),
        ("ab-" * 3000 + "y", "ab%2D" * 50_000),
        ("~" * 8000 + "y", "%7E" * 100_000),
    ],
)
def test_no_text_takes_longer_than_its_length(secret: str, text: str) -> None:
    assert masking.mask(text, [secret]) == text
    assert masking.mask(f"{text}<{secret}>", [secret]).endswith("***>")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("token: s3cr", "token: ***"),
        ("token: s3cr/t w", "token: ***"),
        ("token: s3cr%2Ft+w%C3", "token: ***"),
        ("token: s3cr%2", "token: ***"),
        ("token: s3cr\\/t w\\u00", "token: ***"),
        ("token: s3cr/t w\\xc3", "token: ***"),
        ("token: s3cr&#x2F;t&#3", "token: ***"),
        ("token: s3cr/t wörd, s3cr/", "token: ***, ***"),
        ("token: s3c", "token: s3c"),  # three characters are anything
        ("token: s3cr/t x", "token: s3cr/t x"),
        ("100%", "100%"),
        ("", ""),
    ],
)
def test_the_beginning_of_a_secret_is_masked_where_a_text_was_cut(text: str, shown: str) -> None:
    assert masking.mask(text, ["s3cr/t wörd"], cut=True) == shown


def test_of_several_beginnings_the_longest_is_masked() -> None:
    assert masking.mask("x aaaabaaaa", ["aaaabaaaac", "baaaad"], cut=True) == "x ***"


def test_a_text_that_ended_by_itself_keeps_its_end() -> None:
    assert masking.mask("there is no Token", ["Token 0123456789"]) == "there is no Token"


def test_a_long_header_is_taken_for_cut() -> None:
    came = {"x-echo": "token-47".rjust(masking.HEADER_LENGTH), "server": "token-47"}
    assert masking.headers(came, ["token-4711"]) == {
        "x-echo": "***".rjust(masking.HEADER_LENGTH - 5),
        "server": "token-47",
    }


def test_echoes_that_overlap_are_masked_as_one() -> None:
    assert masking.mask("abcdefgh!", ["abcdef", "efgh"]) == "***!"


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
    made = material.generate(Algorithm.HMAC_SHA256)
    plain = base64.b64encode(made.secret).decode()
    text = f"{material.encode_secret(made.secret)} and {plain}"
    assert masking.mask(text, material.spellings(made)) == "*** and ***"


def test_private_keys_are_masked_in_every_form_in_which_they_are_imported() -> None:
    made = material.generate(Algorithm.ED25519)
    private = Ed25519PrivateKey.from_private_bytes(made.secret)
    public = private.public_key().public_bytes_raw()
    pem = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    spellings = material.spellings(made)
    for form in (
        f"whsk_{base64.b64encode(made.secret).decode()}",
        f"whsk_{base64.b64encode(made.secret + public).decode()}",
        pem,
        json.dumps({"privateKey": pem}),
    ):
        shown = masking.mask(f"before {form} after", spellings)
        assert shown.startswith("before ")
        assert shown.endswith(" after")
        assert "***" in shown
        assert base64.b64encode(made.secret).decode()[:20] not in shown
        assert pem.splitlines()[1][24:44] not in shown


def test_a_private_key_for_ecdsa_is_masked_too() -> None:
    made = material.generate(Algorithm.ECDSA_P256_SHA256)
    pem = material.private(made).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    shown = masking.mask(pem, material.spellings(made))
    assert shown.splitlines() == ["-----BEGIN PRIVATE KEY-----", "***", "***", "***", "-----END PRIVATE KEY-----"]


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
