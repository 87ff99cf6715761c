"""Which addresses may be connected to, at the moment the socket opens."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp.abc import AbstractResolver, ResolveResult
from hypothesis import given
from hypothesis import strategies as st

from service.delivery.egress import Blocked, Guard
from tests.support.receiver import Receiver

CASES = json.loads((Path(__file__).parent.parent / "corpus" / "egress.json").read_text())
IPV6 = socket.has_dualstack_ipv6()


class Names(AbstractResolver):
    """A DNS in which every name has these addresses."""

    def __init__(self, *addresses: str) -> None:
        self._addresses = addresses

    async def resolve(self, host: str, port: int = 0, family: Any = socket.AF_UNSPEC) -> list[ResolveResult]:
        return [
            ResolveResult(
                hostname=host,
                host=address,
                port=port,
                family=socket.AF_INET6 if ":" in address else socket.AF_INET,
                proto=0,
                flags=0,
            )
            for address in self._addresses
        ]

    async def close(self) -> None: ...


async def get(guard: Guard, url: str, names: AbstractResolver | None = None) -> int:
    connector = aiohttp.TCPConnector(socket_factory=guard.socket_factory, resolver=names)
    async with aiohttp.ClientSession(connector=connector) as session, session.get(url) as response:
        return response.status


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["address"])
def test_the_corpus(case: dict[str, str | None]) -> None:
    why = Guard().check(case["address"])
    if case["blocked"] is None:
        assert why is None
    else:
        assert why is not None
        assert why.startswith(case["blocked"])


@given(st.ip_addresses(v=4))
def test_an_ipv4_address_is_never_reached_by_a_detour_when_it_is_blocked(address: Any) -> None:
    guard = Guard()
    plain = guard.check(str(address))
    value = int(address)
    assert guard.check(f"::ffff:{value >> 16:x}:{value & 0xFFFF:x}") == plain
    assert (guard.check(f"64:ff9b::{value >> 16:x}:{value & 0xFFFF:x}") is None) == (plain is None)
    assert (guard.check(f"2002:{value >> 16:x}:{value & 0xFFFF:x}::1") is None) == (plain is None)


@given(st.ip_addresses())
def test_what_the_standard_library_calls_special_is_blocked(address: Any) -> None:
    if (
        address.is_private
        or address.is_loopback
        or address.is_link_local
        or address.is_multicast
        or address.is_reserved
    ):
        if address.version == 6 and (address.ipv4_mapped or str(address).startswith("64:ff9b::")):
            return  # judged by the address inside
        assert Guard().check(str(address))


@pytest.mark.parametrize(
    ("allow", "opened", "still_blocked"),
    [
        ("127.0.0.0/8", ["127.0.0.1", "127.9.9.9", "::ffff:127.0.0.1"], ["10.0.0.1", "::1", "64:ff9b::127.0.0.1"]),
        ("127.0.0.1", ["127.0.0.1"], ["127.0.0.2"]),
        ("::ffff:127.0.0.0/104", ["127.0.0.1", "::ffff:127.0.0.1"], ["::1"]),
        ("10.1.0.0/16", ["10.1.2.3"], ["10.2.0.1", "2002:a01:203::1"]),
        ("2002:a01::/32", ["2002:a01:203::1"], ["10.1.2.3"]),
        ("64:ff9b::10.0.0.0/104", ["64:ff9b::10.1.2.3"], ["10.1.2.3"]),
        ("fd00::/8", ["fd12::1", "fd00:ec2::254"], ["fc00::1"]),
        ("::/0", ["::1", "fe80::1%eth0"], ["127.0.0.1", "::ffff:127.0.0.1"]),
        ("0.0.0.0/0", ["127.0.0.1", "169.254.169.254", "::ffff:10.0.0.1"], ["::1"]),
    ],
)
def test_an_allowed_network_opens_itself_and_nothing_else(
    allow: str, opened: list[str], still_blocked: list[str]
) -> None:
    guard = Guard([allow])
    assert [guard.check(address) for address in opened] == [None] * len(opened)
    assert all(guard.check(address) for address in still_blocked)


@pytest.mark.parametrize("cidr", ["10.0.0.0/33", "10.0.0.1/8", "localhost"])
def test_what_is_no_network_is_refused(cidr: str) -> None:
    with pytest.raises(ValueError, match=cidr):
        Guard([cidr])


def test_a_refusal_names_the_network_and_the_setting() -> None:
    with pytest.raises(Blocked) as caught:
        Guard().socket_factory((socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", ("10.1.2.3", 80)))
    assert caught.value.strerror == (
        "10.1.2.3 is blocked: private (10.0.0.0/8); to allow it add its network to egress.allow (WATCH_EGRESS_ALLOW)"
    )


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "localhost",
        "localhost.",
        "0.0.0.0",
        "[::1]",
        "[::]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "2130706433",
        "127.1",
        "0177.0.0.1",
        "0x7f.0.0.1",
        "0x7f000001",
        "%31%32%37.0.0.1",
        "①②⑦.0.0.1",
    ],
)
async def test_no_way_to_write_loopback_gets_through(host: str) -> None:
    async with Receiver() as receiver:
        with pytest.raises((aiohttp.ClientConnectorError, aiohttp.InvalidURL)) as caught:
            await get(Guard(), f"http://{host}:{receiver.port}/")
        if not isinstance(caught.value, (aiohttp.InvalidURL, aiohttp.ClientConnectorDNSError)):
            assert "is blocked" in str(caught.value.os_error)
        assert receiver.calls == []


async def test_an_allowed_address_is_connected_to() -> None:
    async with Receiver() as receiver:
        guard = Guard(["127.0.0.0/8", "::1"])
        assert await get(guard, receiver.url) == 200
        assert await get(guard, f"http://localhost:{receiver.port}/") == 200


@pytest.mark.skipif(not IPV6, reason="this machine has no IPv6")
async def test_a_mapped_address_is_connected_to_where_its_ipv4_network_is_allowed() -> None:
    async with Receiver() as receiver:
        assert await get(Guard(["127.0.0.0/8"]), f"http://[::ffff:127.0.0.1]:{receiver.port}/") == 200


@pytest.mark.parametrize("addresses", [("10.0.0.1", "127.0.0.1"), ("127.0.0.1", "10.0.0.1"), ("fe80::1", "127.0.0.1")])
async def test_of_several_addresses_only_the_allowed_one_is_connected_to(addresses: tuple[str, ...]) -> None:
    async with Receiver() as receiver:
        assert await get(Guard(["127.0.0.0/8"]), f"http://directory.test:{receiver.port}/", Names(*addresses)) == 200


@pytest.mark.parametrize("addresses", [("10.0.0.1",), ("10.0.0.1", "10.0.0.2"), ("127.0.0.1", "::1", "fe80::1")])
async def test_a_name_with_blocked_addresses_only_is_blocked(addresses: tuple[str, ...]) -> None:
    async with Receiver() as receiver:
        with pytest.raises(aiohttp.ClientConnectorError) as caught:
            await get(Guard(), f"http://directory.test:{receiver.port}/", Names(*addresses))
        assert "is blocked" in str(caught.value.os_error)
        assert receiver.calls == []
