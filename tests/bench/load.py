"""The writer of changes, a process of its own: prepared requests over keep-alive connections, bare of everything.

With ``rate`` it is an open loop: request k leaves at k / rate seconds, whether or not earlier ones are answered,
and its time is taken then, also if it has to wait for a free connection. Without, each connection sends its next
request as soon as the last one is answered.
"""

from __future__ import annotations

import asyncio
import re
import sys
import time
from collections import Counter, deque
from collections.abc import Iterator

import orjson
import uvloop

from tests.bench import documents, lines

LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)

Named = tuple[str, bytes]


class Load:
    """All the requests, and what became of them."""

    def __init__(self, requests: list[Named]) -> None:
        self.waiting: Iterator[Named] = iter(requests)
        self.left = len(requests)
        self.sent: dict[str, int] = {}
        self.statuses: Counter[str] = Counter()
        self.idle: deque[Connection] = deque()
        self.due: deque[bytes] = deque()  # open loop: whose time has come, without a connection
        self.closed_loop = False
        self.finished = asyncio.Event()

    def send_all(self) -> None:
        self.closed_loop = True
        while self.idle:
            self.answered(self.idle.popleft())

    async def send_at(self, rate: float) -> None:
        loop = asyncio.get_running_loop()
        started = loop.time()
        for number, (name, request) in enumerate(self.waiting):
            if (early := started + number / rate - loop.time()) > 0:
                await asyncio.sleep(early)
            self.sent[name] = time.time_ns()
            if self.idle:
                self.idle.popleft().send(request)
            else:
                self.due.append(request)

    def answered(self, connection: Connection) -> None:
        """This connection is free."""
        if self.due:
            connection.send(self.due.popleft())
        elif self.closed_loop and (following := next(self.waiting, None)):
            connection.send(following[1])
        else:
            self.idle.append(connection)

    def count(self, status: str) -> None:
        self.statuses[status] += 1
        self.left -= 1
        if not self.left:
            self.finished.set()


class Connection(asyncio.Protocol):
    """One connection, one request at a time."""

    def __init__(self, load: Load) -> None:
        self._load = load
        self._rest = b""

    def connection_made(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._load.idle.append(self)

    def connection_lost(self, _error: Exception | None) -> None:
        if self._load.left:
            sys.exit("the service closed a connection")

    def send(self, request: bytes) -> None:
        self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        self._rest = data = self._rest + data
        end = data.find(b"\r\n\r\n") + 4
        if end > 3:
            length = LENGTH.search(data, 0, end)
            if length and len(data) >= end + int(length[1]):
                self._rest = b""
                self._load.count(data[9:12].decode())
                self._load.answered(self)


async def main() -> None:
    job = orjson.loads(sys.argv[1])
    host, port = job["host"], job["port"]
    load = Load([*documents.requests(job["count"], f"{host}:{port}", job["key"])])
    loop = asyncio.get_running_loop()
    for _ in range(job["connections"]):
        await loop.create_connection(lambda: Connection(load), host, port)
    heard = lines.heard()
    lines.say({"ready": True})
    await anext(heard)
    started = time.time_ns()
    if job["rate"]:
        await load.send_at(job["rate"])
    else:
        load.send_all()
    await load.finished.wait()
    lines.say({"started": started, "ended": time.time_ns(), "statuses": load.statuses, "sent": load.sent})
    await anext(heard, None)  # what this process has cost is read before it ends


if __name__ == "__main__":
    sys.exit(uvloop.run(main()))
