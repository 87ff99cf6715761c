"""One exchange, and everything that a receiver can do to it."""

from __future__ import annotations

import asyncio
import datetime as dt
import errno
import gzip
import ipaddress
import os
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import uvloop
from aiohttp.abc import AbstractResolver, ResolveResult
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from service.delivery import masking, send
from service.delivery.egress import Guard
from service.delivery.wire import Lines
from service.model import Reason, Request
from tests.support.receiver import HANG, RESET, Answer, Play, Receiver, Wire, reset

LOCAL = Guard(["127.0.0.0/8"])
HEAD = b"HTTP/1.1 200 OK\r\n"


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with Receiver() as running:
        yield running


@pytest.fixture
async def client() -> AsyncIterator[Lines]:
    async with send.session(LOCAL) as running:
        yield running


def post(url: str, body: bytes | None = b'{"id": 1}', timeout: float = 5, **changes: Any) -> Request:
    return Request(changes.pop("method", "POST"), url, changes.pop("headers", {}), body, timeout)


# What is sent


async def test_a_request_goes_out_as_it_is_with_host_and_length_only(client: Lines, receiver: Receiver) -> None:
    headers = {"content-type": "application/json", "user-agent": "webhook-watch/1", "x-name": "Zoë"}
    assert (await send.exchange(client, post(f"{receiver.url}/hooks", headers=headers))).ok
    [call] = receiver.calls
    assert call.method == "POST"
    assert call.body == b'{"id": 1}'
    sent = {name.lower(): value for name, value in call.headers.items()}
    assert sent == headers | {"host": f"127.0.0.1:{receiver.port}", "content-length": "9"}


@pytest.mark.parametrize("method", ["GET", "DELETE"])
async def test_a_request_without_body_has_none(client: Lines, receiver: Receiver, method: str) -> None:
    await send.exchange(client, post(receiver.url, None, method=method))
    [call] = receiver.calls
    assert (call.method, call.body) == (method, b"")
    assert "content-type" not in call.headers


@pytest.mark.parametrize(
    "path",
    ["/a%20b%2Fc", "/a%2fb?q=%20+%26&x=a%2Bb", "/%E2%82%AC?%", "/a//b/./../c", "/?a=1&a=2&b", "/;p=1,2:3@4!$'()*"],
)
async def test_an_address_is_sent_with_its_own_encoding(client: Lines, receiver: Receiver, path: str) -> None:
    await send.exchange(client, post(receiver.url + path))
    assert receiver.calls[0].path_qs == path


async def test_a_body_over_the_limit_is_not_sent(client: Lines, receiver: Receiver) -> None:
    assert (await send.exchange(client, post(receiver.url, bytes(send.BODY_LIMIT)))).ok
    outcome = await send.exchange(client, post(receiver.url, bytes(send.BODY_LIMIT + 1)))
    assert outcome.reason is Reason.TOO_LARGE
    assert outcome.error_message == "the body has 1048577 bytes; at most 1048576 are sent"
    assert len(receiver.calls) == 1


@pytest.mark.parametrize("value", ["a\r\nx-evil: 1", "a\x00b"])
async def test_a_header_that_cannot_be_written_is_no_crash(client: Lines, receiver: Receiver, value: str) -> None:
    outcome = await send.exchange(client, post(receiver.url, headers={"x-name": value}))
    assert outcome.reason is Reason.PROTOCOL
    assert receiver.calls == []


async def test_cookies_are_not_kept_and_proxies_not_used(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    receiver.answers = [Answer(headers={"set-cookie": "session=1; Path=/"})]
    async with send.session(LOCAL) as client:
        for _ in range(2):
            assert (await send.exchange(client, post(receiver.url))).ok
    assert "cookie" not in receiver.calls[1].headers


# What comes back


@pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
async def test_2xx_is_success(client: Lines, receiver: Receiver, status: int) -> None:
    receiver.answers = [Answer(status)]
    outcome = await send.exchange(client, post(receiver.url))
    assert outcome.ok
    assert (outcome.status_code, outcome.error_message) == (status, None)


@pytest.mark.parametrize(
    ("status", "reason", "message"),
    [
        (300, Reason.REDIRECT, "answered 300: redirects are not followed, register the address it points to"),
        (304, Reason.REDIRECT, "answered 304: redirects are not followed, register the address it points to"),
        (400, Reason.STATUS, "answered 400 Bad Request"),
        (410, Reason.STATUS, "answered 410 Gone"),
        (503, Reason.STATUS, "answered 503 Service Unavailable"),
        (599, Reason.STATUS, "answered 599"),
    ],
)
async def test_any_other_status_is_a_failure(
    client: Lines, receiver: Receiver, status: int, reason: Reason, message: str
) -> None:
    receiver.answers = [Answer(status, {"retry-after": "7"}, b"" if status == 304 else b"no")]
    outcome = await send.exchange(client, post(receiver.url))
    assert (outcome.reason, outcome.error_message) == (reason, message)
    assert outcome.headers["retry-after"] == "7"
    assert outcome.body == (b"" if status == 304 else b"no")


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("method", ["POST", "GET"])
async def test_redirects_are_not_followed(client: Lines, receiver: Receiver, status: int, method: str) -> None:
    receiver.answers = [Answer(status, {"location": f"{receiver.url}/elsewhere?token=t"})]
    outcome = await send.exchange(client, post(receiver.url, method=method))
    assert (outcome.reason, outcome.status_code) == (Reason.REDIRECT, status)
    assert "token" not in (outcome.error_message or "")
    assert len(receiver.calls) == 1


async def test_an_answer_that_ended_keeps_its_connection(client: Lines, receiver: Receiver) -> None:
    receiver.answers = [Answer(body=b"x" * send.ANSWER_LIMIT), Answer(500, body=b"no"), Answer(204)]
    outcomes = [await send.exchange(client, post(receiver.url)) for _ in range(4)]
    assert [len(outcome.body) for outcome in outcomes] == [send.ANSWER_LIMIT, 2, 0, 0]
    assert [call.connection for call in receiver.calls] == [1, 1, 1, 1]


@pytest.mark.parametrize("length", [b"content-length: 10000000000\r\n", b"", b"transfer-encoding: chunked\r\n"])
async def test_of_a_huge_answer_16_kib_are_read_and_the_connection_is_closed(client: Lines, length: bytes) -> None:
    closed = asyncio.Event()
    sent = 0

    async def pour(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        await reader.readuntil(b"\r\n\r\n")
        writer.write(HEAD + length + b"\r\n")
        part = b"x" * 8192
        try:
            while sent < 100_000_000:
                writer.write(b"2000\r\n" + part + b"\r\n" if b"chunked" in length else part)
                await writer.drain()
                sent += len(part)
        finally:
            closed.set()

    async with Wire(pour) as wire:
        outcome = await send.exchange(client, post(wire.url))
        assert outcome.ok
        assert outcome.body == b"x" * send.ANSWER_LIMIT
        await asyncio.wait_for(closed.wait(), 5)
        assert sent < 50_000_000


async def test_a_compressed_answer_is_kept_as_it_came(client: Lines, receiver: Receiver) -> None:
    bomb = gzip.compress(bytes(10_000_000))
    receiver.answers = [Answer(headers={"content-encoding": "gzip"}, body=bomb)]
    assert (await send.exchange(client, post(receiver.url))).body == bomb[: send.ANSWER_LIMIT]


async def test_headers_are_flat_lower_case_and_joined(client: Lines) -> None:
    async with Wire.saying(HEAD + b"X-One: 1\r\nx-one:  2 \r\nX-EMPTY:\r\ncontent-length: 0\r\n\r\n") as wire:
        outcome = await send.exchange(client, post(wire.url))
    assert outcome.headers == {"x-one": "1, 2", "x-empty": "", "content-length": "0"}


async def test_odd_bytes_in_a_head_are_escaped(client: Lines) -> None:
    answer = b"HTTP/1.1 200 \xff\xfe\r\nx-latin: caf\xe9\r\nx-utf: caf\xc3\xa9 \x01\r\n\r\n"
    async with Wire.saying(answer) as wire:
        outcome = await send.exchange(client, post(wire.url))
    assert outcome.headers == {"x-latin": "caf\\xe9", "x-utf": "café \x01"}


async def test_of_many_headers_64_are_kept_and_of_a_long_one_8_kib(client: Lines) -> None:
    many = b"".join(b"x-%d: v\r\n" % number for number in range(100))
    async with Wire.saying(HEAD + many + b"\r\n") as wire:
        assert len((await send.exchange(client, post(wire.url))).headers) == 64
    async with Wire.saying(HEAD + (b"x-long: " + b"v" * 5000 + b"\r\n") * 4 + b"\r\n") as wire:
        assert len((await send.exchange(client, post(wire.url))).headers["x-long"]) == 8 * 1024


async def test_a_secret_that_the_cut_of_a_header_divides_is_not_shown(client: Lines) -> None:
    filler = b"v" * (masking.HEADER_LENGTH // 2 - 6)
    async with Wire.saying(HEAD + (b"x-long: " + filler + b"\r\n") * 2 + b"x-long: token-4711\r\n\r\n") as wire:
        came = (await send.exchange(client, post(wire.url))).headers
    assert came["x-long"].endswith("v, token-47")
    assert masking.headers(came, ["token-4711"])["x-long"].endswith("v, ***")


async def test_interim_answers_are_passed_over(client: Lines) -> None:
    async with Wire.saying(b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n" + HEAD + b"\r\nok") as wire:
        outcome = await send.exchange(client, post(wire.url))
    assert (outcome.status_code, outcome.body, outcome.headers) == (200, b"ok", {})


async def test_an_answer_before_the_body_was_read_counts(client: Lines) -> None:
    async with Wire.saying(b"HTTP/1.1 413 Too Large\r\ncontent-length: 0\r\n\r\n") as wire:
        outcome = await send.exchange(client, post(wire.url, b"x" * 1_000_000))
    assert outcome.status_code == 413


# What goes wrong

BROKEN = {
    "says nothing": (b"", Reason.RESET, "the receiver closed the connection without an answer"),
    "stops in the head": (b"HTTP/1.1 20", Reason.RESET, "the receiver closed the connection without an answer"),
    "stops in the body": (
        HEAD + b"content-length: 10\r\n\r\nabc",
        Reason.RESET,
        "the connection broke in the middle of the answer",
    ),
    "stops in a chunk": (
        HEAD + b"transfer-encoding: chunked\r\n\r\n3\r\nabc\r\n",
        Reason.RESET,
        "the connection broke in the middle of the answer",
    ),
    "speaks something else": (
        b"SSH-2.0-OpenSSH_9.6\r\n",
        Reason.PROTOCOL,
        "the answer is not valid HTTP: bad status line",
    ),
    "has a bad chunk": (
        HEAD + b"transfer-encoding: chunked\r\n\r\nzz\r\n",
        Reason.PROTOCOL,
        "invalid character in chunk",
    ),
    "has two lengths": (HEAD + b"content-length: 1\r\ncontent-length: 2\r\n\r\nab", Reason.PROTOCOL, "content-length"),
    "has a long header": (HEAD + b"x: " + b"a" * 9000 + b"\r\n\r\n", Reason.PROTOCOL, "more than 8190 bytes"),
    "has too many headers": (HEAD + b"x: a\r\n" * 200 + b"\r\n", Reason.PROTOCOL, "too many headers"),
    "has NUL in a header": (HEAD + b"x: a\x00b\r\n\r\n", Reason.PROTOCOL, "invalid http header"),
}


@pytest.mark.parametrize("answer", BROKEN.values(), ids=BROKEN)
async def test_an_answer_that_is_broken_is_explained(client: Lines, answer: tuple[bytes, Reason, str]) -> None:
    async with Wire.saying(answer[0]) as wire:
        outcome = await send.exchange(client, post(wire.url))
    assert outcome.reason is answer[1]
    assert answer[2] in (outcome.error_message or "")


async def test_what_came_before_an_answer_broke_is_kept(client: Lines) -> None:
    async with Wire.saying(HEAD + b"content-length: 10\r\n\r\nabc") as wire:
        outcome = await send.exchange(client, post(wire.url))
    assert (outcome.status_code, outcome.body, outcome.headers) == (200, b"abc", {"content-length": "10"})


async def test_a_receiver_that_never_answers_is_given_up(client: Lines, receiver: Receiver) -> None:
    receiver.answers = [HANG]
    outcome = await send.exchange(client, post(receiver.url, timeout=0.1))
    assert (outcome.reason, outcome.error_message) == (Reason.TIMEOUT, "no answer within 0.1 s")
    assert 90 <= outcome.duration < 2000


async def test_a_receiver_that_trickles_is_given_up(client: Lines, receiver: Receiver) -> None:
    receiver.answers = [Answer(body=b"drip", play=Play.TRICKLE)]
    outcome = await send.exchange(client, post(receiver.url, timeout=0.2))
    assert (outcome.reason, outcome.error_message) == (Reason.TIMEOUT, "the answer did not end within 0.2 s")
    assert (outcome.status_code, outcome.body) == (200, b"drip")


async def test_the_time_limit_covers_the_tls_handshake(client: Lines) -> None:
    async def silence(_: asyncio.StreamReader, __: asyncio.StreamWriter) -> None:
        await asyncio.Event().wait()

    async with Wire(silence) as wire:
        outcome = await send.exchange(client, post(wire.url.replace("http", "https"), timeout=0.1))
    assert outcome.reason is Reason.TIMEOUT


async def test_a_cancelled_exchange_ends_and_closes_its_connection(client: Lines, receiver: Receiver) -> None:
    receiver.answers = [HANG]
    exchange = asyncio.create_task(send.exchange(client, post(receiver.url)))
    await receiver.wait_for(1)
    exchange.cancel()
    with pytest.raises(asyncio.CancelledError):
        await exchange
    await send.exchange(client, post(receiver.url))
    assert [call.connection for call in receiver.calls] == [1, 2]


async def reset_at_once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read(1)
    reset(writer.transport)


async def reset_after_request(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")
    reset(writer.transport)


async def reasons() -> dict[str, tuple[Reason | None, str | None]]:
    async with send.session(LOCAL) as client, Wire(reset_after_request) as resetting, Wire(reset_at_once) as closing:

        async def reason(url: str, **changes: Any) -> tuple[Reason | None, str | None]:
            outcome = await send.exchange(client, post(url, **changes))
            return outcome.reason, (outcome.error_message or "").replace(str(closing.port), "PORT")

        return {
            "refused": await reason("http://127.0.0.1:9/hook?key=k"),
            "dns": await reason("http://example.invalid/hook?key=k"),
            "label": await reason(f"http://{'a' * 64}.invalid/"),
            "blocked": await reason("http://10.0.0.1/hook?key=k"),
            "decimal": await reason("http://2130706433/"),
            "reset": await reason(f"{resetting.url}/?key=k"),
            "reset while writing": await reason(f"{resetting.url}/?key=k", body=bytes(1_000_000)),
            "reset put": await reason(resetting.url, method="PUT"),
            "tls reset": await reason(closing.url.replace("http", "https") + "/?key=k"),
            "scheme": await reason("ftp://127.0.0.1/"),
            "port": await reason("http://127.0.0.1:99999/"),
        }


@pytest.mark.parametrize("loop_factory", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_every_failure_has_its_reason_and_no_message_shows_a_query(
    loop_factory: Callable[[], asyncio.AbstractEventLoop],
) -> None:
    opening = "to allow it add its network to egress.allow (WATCH_EGRESS_ALLOW)"
    with asyncio.Runner(loop_factory=loop_factory) as runner:
        assert runner.run(reasons()) == {
            "refused": (Reason.REFUSED, "connection refused by 127.0.0.1:9"),
            "dns": (Reason.DNS, "DNS: no such host example.invalid"),
            "label": (Reason.DNS, "DNS: the host is no valid name"),
            "blocked": (
                Reason.BLOCKED,
                f"10.0.0.1 is blocked: private (10.0.0.0/8); {opening}",
            ),
            "decimal": (Reason.BLOCKED, "the host is neither a name nor an IP address in its usual form"),
            "reset": (Reason.RESET, "the connection was reset before an answer came"),
            "reset while writing": (Reason.RESET, "the connection was reset before an answer came"),
            "reset put": (Reason.RESET, "the connection was reset before an answer came"),
            "tls reset": (Reason.RESET, "connection reset by 127.0.0.1:PORT while it was opened"),
            "scheme": (Reason.PROTOCOL, "the exchange failed: NonHttpUrlClientError"),
            "port": (Reason.PROTOCOL, "the address or a header holds what HTTP cannot carry"),
        }


class Names(AbstractResolver):
    def __init__(self, *addresses: str) -> None:
        self._addresses = addresses

    async def resolve(self, host: str, port: int = 0, family: Any = 0) -> list[ResolveResult]:
        return [
            ResolveResult(hostname=host, host=address, port=port, family=0, proto=0, flags=0)
            for address in self._addresses
        ]

    async def close(self) -> None: ...


@pytest.mark.parametrize(
    ("addresses", "reason"),
    [
        (("127.0.0.1", "fe80::1"), Reason.REFUSED),
        (("fe80::1", "127.0.0.1"), Reason.REFUSED),
        (("10.0.0.1", "10.0.0.2"), Reason.BLOCKED),
        (("10.0.0.1", "fe80::1"), Reason.BLOCKED),
    ],
)
async def test_of_several_addresses_that_fail_the_most_telling_is_the_reason(
    addresses: tuple[str, ...], reason: Reason
) -> None:
    connector = aiohttp.TCPConnector(socket_factory=LOCAL.socket_factory, resolver=Names(*addresses))
    async with Lines(connector) as client:
        outcome = await send.exchange(client, post("http://directory.test:9/"))
    assert outcome.reason is reason
    assert "Errno" not in (outcome.error_message or "")


async def test_a_socket_that_cannot_be_opened_is_unreachable() -> None:
    def exhausted(_: object) -> socket.socket:
        raise OSError(errno.EMFILE, "Too many open files")

    async with Lines(connector=aiohttp.TCPConnector(socket_factory=exhausted)) as client:
        outcome = await send.exchange(client, post("http://[::1]:9/"))
    assert outcome.reason is Reason.UNREACHABLE
    assert outcome.error_message == "no connection to [::1]:9: Too many open files"


# Connections that died while they were idle


@pytest.mark.parametrize("method", ["POST", "PUT"])
async def test_a_reused_connection_that_breaks_before_an_answer_is_no_failed_attempt(
    client: Lines, receiver: Receiver, method: str
) -> None:
    receiver.answers = lambda call: Answer() if call.turn == 1 else RESET
    for _ in range(2):
        outcome = await send.exchange(client, post(receiver.url, method=method, headers={"webhook-id": "dlv_1"}))
        assert outcome.ok
    assert [(call.connection, call.turn) for call in receiver.calls] == [(1, 1), (1, 2), (2, 1)]
    assert receiver.calls[1].body == receiver.calls[2].body
    assert receiver.calls[1].headers == receiver.calls[2].headers


async def test_all_idle_connections_may_have_died(client: Lines, receiver: Receiver) -> None:
    gate = asyncio.Event()
    receiver.answers = lambda call: Answer(gate=gate) if call.turn == 1 else RESET
    first = [asyncio.create_task(send.exchange(client, post(receiver.url))) for _ in range(4)]
    await receiver.wait_for(4)
    gate.set()
    await asyncio.gather(*first)
    assert (await send.exchange(client, post(receiver.url))).ok
    assert receiver.calls[-1].connection == 5


@pytest.mark.parametrize("method", ["POST", "PUT", "GET"])
async def test_a_fresh_connection_that_breaks_is_a_failure_and_not_repeated(
    client: Lines, receiver: Receiver, method: str
) -> None:
    receiver.answers = [RESET]
    outcome = await send.exchange(client, post(receiver.url, method=method))
    assert outcome.reason is Reason.RESET
    assert len(receiver.calls) == 1


async def test_a_request_that_must_not_be_repeated_is_not(client: Lines, receiver: Receiver) -> None:
    receiver.answers = lambda call: Answer() if call.turn == 1 else RESET
    assert (await send.exchange(client, post(receiver.url))).ok
    outcome = await send.exchange(client, post(receiver.url), repeat=False)
    assert outcome.reason is Reason.RESET
    assert len(receiver.calls) == 2


async def test_an_answer_that_breaks_on_a_reused_connection_is_a_failure(client: Lines) -> None:
    async def play(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for answer in (b"content-length: 0\r\n\r\n", b"content-length: 9\r\n\r\nabc"):
            await reader.readuntil(b'{"id": 1}')
            writer.write(HEAD + answer)

    async with Wire(play) as wire:
        assert (await send.exchange(client, post(wire.url))).ok
        assert (await send.exchange(client, post(wire.url))).reason is Reason.RESET


async def test_a_connection_that_the_receiver_closed_in_time_is_not_used(client: Lines, receiver: Receiver) -> None:
    receiver.answers = [Answer(play=Play.CLOSE)]
    for _ in range(2):
        assert (await send.exchange(client, post(receiver.url))).ok
    assert [call.connection for call in receiver.calls] == [1, 2]


async def test_a_receiver_may_close_what_is_idle_whenever_it_likes(client: Lines, receiver: Receiver) -> None:
    for _ in range(20):
        assert (await send.exchange(client, post(receiver.url))).ok
        receiver.close_idle()


# TLS


class Authority:
    """A certificate authority of one test."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "test authority")])
        self.file = self._write("ca.pem", self._sign(self._name, self._key, 1, ca=True))

    def server(self, *, host: str = "127.0.0.1", days: int = 1) -> ssl.SSLContext:
        """The server side of a TLS connection, with a certificate for this host."""
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = self._sign(x509.Name([]), key, days, host=host)
        private = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(self._write("server.pem", certificate + private))
        return context

    def _sign(
        self, name: x509.Name, key: ec.EllipticCurvePrivateKey, days: int, *, host: str = "", ca: bool = False
    ) -> bytes:
        end = dt.datetime.now(dt.UTC) + dt.timedelta(days=days)
        builder = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(end - dt.timedelta(days=10))
            .not_valid_after(end)
            .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        )
        if host:
            name_type = x509.IPAddress(ipaddress.ip_address(host)) if host[0].isdigit() else x509.DNSName(host)
            builder = builder.add_extension(x509.SubjectAlternativeName([name_type]), critical=True)
        return builder.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)

    def _write(self, name: str, data: bytes) -> Path:
        file = self._folder / name
        file.write_bytes(data)
        return file


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


async def test_a_certificate_of_a_trusted_authority_is_taken(
    authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.file))
    async with Receiver(tls=authority.server()) as receiver, send.session(LOCAL) as client:
        assert (await send.exchange(client, post(receiver.url))).ok


@pytest.mark.parametrize(
    ("certificate", "trusted", "message"),
    [
        ({}, False, "unable to get local issuer certificate"),
        ({"host": "127.0.0.2"}, True, "IP address mismatch, certificate is not valid for '127.0.0.1'"),
        ({"host": "other.test"}, True, "IP address mismatch, certificate is not valid for '127.0.0.1'"),
        ({"days": -1}, True, "certificate has expired"),
    ],
    ids=["unknown authority", "another address", "another name", "expired"],
)
async def test_a_certificate_that_proves_nothing_is_refused(
    authority: Authority,
    monkeypatch: pytest.MonkeyPatch,
    certificate: dict[str, Any],
    trusted: bool,
    message: str,
) -> None:
    if trusted:
        monkeypatch.setenv("SSL_CERT_FILE", str(authority.file))
    async with Receiver(tls=authority.server(**certificate)) as receiver, send.session(LOCAL) as client:
        outcome = await send.exchange(client, post(f"{receiver.url}/?key=k"))
        assert outcome.reason is Reason.TLS
        assert outcome.error_message == f"certificate verify failed: {message} (127.0.0.1:{receiver.port})"
        assert receiver.calls == []


async def test_a_receiver_that_hangs_up_on_us_for_want_of_a_certificate_is_a_reset(
    authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.file))
    tls = authority.server()
    tls.verify_mode = ssl.CERT_REQUIRED
    tls.maximum_version = ssl.TLSVersion.TLSv1_2  # which says so within the handshake
    async with Receiver(tls=tls) as receiver, send.session(LOCAL) as client:
        outcome = await send.exchange(client, post(receiver.url))
        assert outcome.reason is Reason.RESET
        assert outcome.error_message == f"connection closed by 127.0.0.1:{receiver.port} while it was opened"


async def test_a_connection_that_stops_being_tls_is_a_tls_failure(
    authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def spoil(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        with socket.socket(fileno=os.dup(writer.get_extra_info("socket").fileno())) as below:
            below.send(b"HTTP/1.1 200 OK\r\n\r\n")
        await reader.read()
        writer.close()

    monkeypatch.setenv("SSL_CERT_FILE", str(authority.file))
    server = await asyncio.start_server(spoil, "127.0.0.1", 0, ssl=authority.server())
    async with server, send.session(LOCAL) as client:
        outcome = await send.exchange(client, post(f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}/"))
    assert (outcome.reason, outcome.error_message) == (Reason.TLS, "TLS: wrong version number")


async def test_a_port_that_does_not_speak_tls_is_a_tls_failure(client: Lines) -> None:
    async def plain(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await reader.read()

    async with Wire(plain) as wire:
        outcome = await send.exchange(client, post(wire.url.replace("http", "https")))
    assert outcome.reason is Reason.TLS
    assert (outcome.error_message or "").startswith("TLS: ")
