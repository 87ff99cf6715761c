"""The receiver, a process of its own: takes every callback, answers at once, and knows when each one came.

It is the same for the ceiling and for the service, and so bare that it does not bound either. On standard input
it takes JSON lines, and answers each with one on standard output, the first of which tells its port:

``{"do": "answer"}``   forget what came, and answer from now on
``{"do": "hold"}``     read requests, but answer none
``{"do": "wait", "count": n}``  answers when n have come: the times (ns) of the first and the n-th
``{"do": "arrivals"}`` what came: ``{"id/version": time of its first arrival}``
``{"do": "departures"}`` the same with the times of the last arrivals
``{"do": "each"}``     every arrival: ``[["id/version", time], ...]``
"""

from __future__ import annotations

import asyncio
import re
import sys
import time

import orjson
import uvloop

from tests.bench import lines

ANSWER = b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 2\r\n\r\nok"
LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
SUBJECT = re.compile(rb"\r\nce-subject: *([^\r]*)", re.IGNORECASE)
SEQUENCE = re.compile(rb"\r\nce-sequence: *([^\r]*)", re.IGNORECASE)


class Receiver:
    """What has come."""

    def __init__(self) -> None:
        self.answering = True
        self.times: list[int] = []
        self.heads: list[bytes] = []
        self._waited = 0
        self._reached = asyncio.Event()

    def take(self, head: bytes) -> None:
        self.times.append(time.time_ns())
        self.heads.append(head)
        if len(self.times) == self._waited:
            self._reached.set()

    async def do(self, command: dict[str, object]) -> object:
        match command:
            case {"do": "answer" | "hold" as mode}:
                self.answering = mode == "answer"
                self.times.clear()
                self.heads.clear()
            case {"do": "wait", "count": int(count)}:
                self._waited = count
                self._reached.clear()
                if len(self.times) < count:
                    await self._reached.wait()
                return {"first": self.times[0], "last": self.times[count - 1], "count": len(self.times)}
            case {"do": "each"}:
                return [[_name(head), at] for at, head in zip(self.times, self.heads, strict=True)]
            case {"do": "departures"}:
                return {_name(head): at for at, head in zip(self.times, self.heads, strict=True)}
            case {"do": "arrivals"}:
                found: dict[str, object] = {}
                for at, head in zip(self.times, self.heads, strict=True):
                    found.setdefault(_name(head), at)
                return found
        return {}


class Connection(asyncio.Protocol):
    """One keep-alive connection."""

    def __init__(self, receiver: Receiver) -> None:
        self._receiver = receiver
        self._rest = b""

    def connection_made(self, transport: asyncio.Transport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._rest = data = self._rest + data if self._rest else data
        while (end := data.find(b"\r\n\r\n") + 4) > 3:
            length = LENGTH.search(data, 0, end)
            whole = end + (int(length[1]) if length else 0)
            if len(data) < whole:
                return
            if self._receiver.answering:
                self._receiver.take(data[:end])
                self._transport.write(ANSWER)
            self._rest = data = data[whole:]


def _name(head: bytes) -> str:
    subject, sequence = SUBJECT.search(head), SEQUENCE.search(head)
    return f"{subject[1].decode()}/{sequence[1].decode()}" if subject and sequence else ""


async def main() -> None:
    receiver = Receiver()
    server = await asyncio.get_running_loop().create_server(lambda: Connection(receiver), "127.0.0.1", 0, backlog=1024)
    lines.say({"port": server.sockets[0].getsockname()[1]})
    async for line in lines.heard():
        lines.say(await receiver.do(orjson.loads(line)))


if __name__ == "__main__":
    sys.exit(uvloop.run(main()))
