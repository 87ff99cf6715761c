"""Where the service may connect to: every address is checked at the moment its socket is opened.

Whoever registers a watch chooses where we connect, from inside our network. A check of the URL is not enough
(a DNS name can mean anything, and something else a second later), and neither is one in the resolver (an
address written in the URL never gets there). So the check sits in the connector's ``socket_factory``, which
is handed the very address that is then connected to.

The table follows the IANA special-purpose registries for IPv4 and IPv6 (RFC 6890) and adds the places where
clouds serve credentials to whoever asks. The longest matching network decides. An IPv6 address that carries
an IPv4 one reaches that one, so it is judged by it:

- An **IPv4-mapped** address (``::ffff:127.0.0.1``) never leaves this machine as IPv6: the kernel connects to
  the IPv4 address. It is that address, here and in ``allow``.
- A **NAT64** or **6to4** address is carried to a translator elsewhere, where ``127.0.0.1`` is another machine.
  It is blocked when its IPv4 address is; opening that IPv4 network does not open it, naming its own does.
"""

from __future__ import annotations

import errno
import socket
from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network
AddressInfo = tuple[int, int, int, str, tuple[str, int] | tuple[str, int, int, int] | tuple[int, bytes]]

MAPPED = IPv6Network("::ffff:0:0/96")

BLOCKED: dict[str, str] = {
    # IPv4
    "0.0.0.0/8": "this host on this network",
    "10.0.0.0/8": "private",
    "100.64.0.0/10": "carrier-grade NAT",
    "100.100.100.200/32": "cloud metadata (Alibaba)",
    "127.0.0.0/8": "loopback",
    "168.63.129.16/32": "cloud metadata (Azure's platform endpoint, in public space)",
    "169.254.0.0/16": "link-local",
    "169.254.169.254/32": "cloud metadata",
    "169.254.170.2/32": "cloud metadata (container credentials)",
    "172.16.0.0/12": "private",
    "192.0.0.0/24": "IETF protocol assignments",
    "192.0.0.192/32": "cloud metadata (Oracle)",
    "192.0.2.0/24": "documentation",
    "192.31.196.0/24": "AS112 sinks of private reverse DNS",
    "192.52.193.0/24": "multicast relays (AMT)",
    "192.88.99.0/24": "6to4 relays (deprecated)",
    "192.168.0.0/16": "private",
    "192.175.48.0/24": "AS112 sinks of private reverse DNS",
    "198.18.0.0/15": "benchmarking",
    "198.51.100.0/24": "documentation",
    "203.0.113.0/24": "documentation",
    "224.0.0.0/4": "multicast",
    "240.0.0.0/4": "reserved",
    "255.255.255.255/32": "broadcast",
    # IPv6: only 2000::/3 is global unicast (and the NAT64 prefix, below)
    "::/3": "reserved",
    "4000::/2": "reserved",
    "8000::/1": "reserved",
    "::/128": "unspecified",
    "::1/128": "loopback",
    "::/96": "IPv4-compatible (deprecated)",
    "::ffff:0:0:0/96": "IPv4-translated (deprecated)",
    "64:ff9b:1::/48": "local-use NAT64, whose IPv4 addresses only the local network knows",
    "100::/64": "discard-only",
    "100:0:0:1::/64": "dummy prefix",
    "2001::/23": "IETF protocol assignments",
    "2001::/32": "Teredo",
    "2001:db8::/32": "documentation",
    "2620:4f:8000::/48": "AS112 sinks of private reverse DNS",
    "3fff::/20": "documentation",
    "5f00::/16": "segment routing",
    "fc00::/7": "private (unique local)",
    "fd00:ec2::254/128": "cloud metadata",
    "fd20:ce::254/128": "cloud metadata (Google)",
    "fe80::/10": "link-local",
    "fec0::/10": "site-local (deprecated)",
    "ff00::/8": "multicast",
}
# Prefixes with an IPv4 address inside, and how many bits lie to the right of it.
CARRIERS: dict[str, tuple[str, int]] = {
    "64:ff9b::/96": ("NAT64", 0),
    "2002::/16": ("6to4", 80),
}

_TABLE: list[tuple[Network, str]] = sorted(
    ((ip_network(cidr), why) for cidr, why in BLOCKED.items()), key=lambda row: row[0].prefixlen, reverse=True
)
_CARRIERS = [(IPv6Network(cidr), name, shift) for cidr, (name, shift) in CARRIERS.items()]


class Blocked(OSError):
    """No socket is opened to this address; says why, and which setting opens it."""

    def __init__(self, address: str, why: str) -> None:
        super().__init__(
            errno.EACCES,
            f"{address} is blocked: {why}; to allow it add its network to egress.allow (WATCH_EGRESS_ALLOW)",
        )


class Guard:
    """Decides which addresses may be connected to; ``allow`` holds the CIDRs that are opened.

    ValueError names a CIDR that is none.
    """

    def __init__(self, allow: Sequence[str] = ()) -> None:
        self._allow = [_unmapped_network(ip_network(cidr)) for cidr in allow]

    def socket_factory(self, info: AddressInfo) -> socket.socket:
        """The ``socket_factory`` of aiohttp's connector: raises ``Blocked``, or gives an unconnected socket."""
        family, kind, protocol, _, address = info
        if why := self.check(str(address[0])):
            raise Blocked(str(address[0]), why)
        return socket.socket(family, kind, protocol)

    def check(self, address: str) -> str | None:
        """Why an IP address is blocked, or None when it may be connected to."""
        try:
            ip = _unmapped(ip_address(address))
        except ValueError:
            return "not an IP address"
        if any(ip in network for network in self._allow):
            return None
        carrier, inner = _carried(ip)
        why = _why(inner or ip)
        return f"{carrier} of {inner}, {why}" if why and carrier else why


def _why(ip: Address) -> str | None:
    return next((f"{why} ({network})" for network, why in _TABLE if ip in network), None)


def _carried(ip: Address) -> tuple[str | None, IPv4Address | None]:
    """The IPv4 address that a translator would make of an IPv6 one, and the kind of translator."""
    for network, name, shift in _CARRIERS:
        if ip in network:
            return name, IPv4Address(int(ip) >> shift & 0xFFFF_FFFF)
    return None, None


def _unmapped(ip: Address) -> Address:
    return ip.ipv4_mapped or ip if isinstance(ip, IPv6Address) else ip


def _unmapped_network(network: Network) -> Network:
    if isinstance(network, IPv6Network) and network.subnet_of(MAPPED):
        return IPv4Network((int(network.network_address) & 0xFFFF_FFFF, network.prefixlen - MAPPED.prefixlen))
    return network
