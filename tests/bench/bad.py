"""Receivers that nobody wants, a process of its own: one never answers, one sends a byte a second, one resets.

On standard output it tells their ports: ``{"silent": port, "trickling": port, "resetting": port}``. It ends with its
standard input.
"""

from __future__ import annotations

import asyncio
import socket
import struct
import sys

import uvloop

from tests.bench import lines

PACE = 1.0  # seconds between two bytes
HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 1000\r\n\r\n"
ABORT = struct.pack("ii", 1, 0)  # SO_LINGER that makes a close a reset


class Silent(asyncio.Protocol):
    """Takes the request, and never answers."""


class Trickling(asyncio.Protocol):
    """Answers a byte at a time, and would take a quarter of an hour."""

    def connection_made(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._answering = False

    def data_received(self, _data: bytes) -> None:
        if not self._answering:
            self._answering = True
            self._transport.write(HEAD)
            self._trickle()

    def _trickle(self) -> None:
        if not self._transport.is_closing():
            self._transport.write(b".")
            asyncio.get_running_loop().call_later(PACE, self._trickle)


class Resetting(asyncio.Protocol):
    """Takes the request, and breaks the connection."""

    def connection_made(self, transport: asyncio.Transport) -> None:
        self._transport = transport

    def data_received(self, _data: bytes) -> None:
        sock = self._transport.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, ABORT)
        self._transport.abort()


async def main() -> None:
    loop, ports = asyncio.get_running_loop(), {}
    for kind in (Silent, Trickling, Resetting):
        server = await loop.create_server(kind, "127.0.0.1", 0, backlog=1024)
        ports[kind.__name__.lower()] = server.sockets[0].getsockname()[1]
    lines.say(ports)
    async for _ in lines.heard():
        pass


if __name__ == "__main__":
    sys.exit(uvloop.run(main()))
