"""Bad input of every kind: a clear refusal in the face's own words, no trace, and nothing left behind."""

from __future__ import annotations

import asyncio
import base64
import gzip
import io
import json
import logging
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.support.receiver import Receiver
from tests.support.running import ACCOUNTS, ADMIN_KEY, Answer, Client, Service

CORPUS = Path(__file__).parents[1] / "corpus"
BAD_JSON = json.loads((CORPUS / "bad_json.json").read_text(encoding="utf-8"))["cases"]
BAD_WATCHES = json.loads((CORPUS / "bad_watches.json").read_text(encoding="utf-8"))
OURS = "/api/v1/resources/agendize.account"
JSON = {"Content-Type": "application/json"}
LIMIT = 1 << 20  # bytes of a body
LISTS = (OURS, "/api/v1/watches", "/api/v1/cryptoKeys", "/api/v1/apiKeys", "/api/v1/deliveries")


@dataclass(frozen=True)
class Target:
    """A route that takes a body; ``{watch}`` in its path is the id of the watch that is there."""

    method: str
    path: str

    def __str__(self) -> str:
        return f"{self.method} {self.path}"

    @property
    def is_vendors(self) -> bool:
        """Whether errors come in the vendor's shape."""
        return self.path.startswith(ACCOUNTS) and not self.path.endswith("/watch")

    def refusal(self, answer: Answer, status: int) -> str:
        """The sentence of a refusal in the right shape."""
        if self.is_vendors:
            return answer.vendor_error(status)["message"]
        return answer.problem(status)["detail"]


TARGETS = (
    Target("POST", ACCOUNTS),
    Target("PUT", f"{ACCOUNTS}/a1"),
    Target("POST", f"{ACCOUNTS}/a1"),
    Target("PATCH", f"{ACCOUNTS}/a1"),
    Target("POST", f"{ACCOUNTS}/watch"),
    Target("PUT", f"{OURS}/a1"),
    Target("PUT", f"{OURS}/new"),
    Target("POST", "/api/v1/watches"),
    Target("PUT", "/api/v1/watches/{watch}"),
    Target("PATCH", "/api/v1/watches/{watch}"),
    Target("POST", "/api/v1/watches/preview"),
    Target("POST", "/api/v1/cryptoKeys"),
    Target("POST", "/api/v1/apiKeys"),
)
every_target = pytest.mark.parametrize("target", TARGETS, ids=str)


def body_of(case: dict[str, Any]) -> bytes:
    """A case's body: its text, its base64, or its parts."""
    if "base64" in case:
        return base64.b64decode(case["base64"])
    if "parts" in case:
        return "".join(text * times for text, times in case["parts"]).encode()
    return case["text"].encode()


async def everything(admin: Client) -> list[Any]:
    """All there is."""
    return [(await admin.get(path)).body for path in LISTS]


@pytest.fixture
async def settled(service: Service, receiver: Receiver) -> Settled:
    """A service with an account, a watch and a delivery."""
    admin = service.admin
    watch = await admin.watch(receiver.url)
    await admin.put(f"{OURS}/a1", {"email": "ada@example.com", "tags": [{"id": "t1", "tag": "vip"}]})
    await admin.settled(1)
    return Settled(service, admin, watch["id"])


@dataclass(frozen=True)
class Settled:
    """A service in which something is, and its administrator."""

    service: Service
    admin: Client
    watch: str

    async def send(self, target: Target, body: bytes | str, headers: dict[str, str] | None = None) -> Answer:
        """Send a body as it is."""
        data = io.BytesIO(body.encode() if isinstance(body, str) else body)
        path = target.path.replace("{watch}", self.watch)
        return await self.admin.call(target.method, path, data=data, headers=JSON if headers is None else headers)

    async def raw(self, head: str, body: bytes = b"", *, cut_off: bool = False) -> bytes:
        """Send bytes over a socket of our own; what comes back until the service closes it."""
        port = int(self.service.running.url.rpartition(":")[2])
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            lines = head.replace("\n", "\r\n").encode("latin-1")
            writer.write(lines + b"\r\nConnection: close\r\n\r\n" + body)
            if cut_off:
                writer.write_eof()
            async with asyncio.timeout(5):
                return await reader.read()
        finally:
            writer.close()

    def head(self, target: Target, *lines: str) -> str:
        """The beginning of a request with a good key."""
        path = target.path.replace("{watch}", self.watch)
        first = [f"{target.method} {path} HTTP/1.1", "Host: localhost", f"Authorization: Bearer {ADMIN_KEY}"]
        return "\n".join([*first, "Content-Type: application/json", *lines])


def answer_of(raw: bytes) -> Answer:
    """An answer as it came over a socket."""
    head, _, body = raw.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    headers = dict(line.split(": ", 1) for line in lines)
    text = body.decode()
    return Answer(int(first.split()[1]), headers, text, json.loads(text) if "json" in headers["Content-Type"] else None)


# Bodies that cannot be read


@every_target
async def test_every_bad_body_is_400_and_leaves_nothing(settled: Settled, target: Target):
    before = await everything(settled.admin)
    for case in BAD_JSON:
        answer = await settled.send(target, body_of(case))
        assert case["says"] in target.refusal(answer, 400), case["name"]
        assert answer.pointers() == ([case["pointer"]] if "pointer" in case else []), case["name"]
        assert len(answer.text) < 4000, case["name"]
    assert await everything(settled.admin) == before


@every_target
async def test_json_of_a_wrong_type_is_422_at_its_root(settled: Settled, target: Target):
    before = await everything(settled.admin)
    for body in ("null", "true", "1", "1.5", '"text"', "[]", '[{"email": "x@example.com"}]'):
        answer = await settled.send(target, body)
        target.refusal(answer, 422)
        assert answer.pointers() == [""], body
    assert await everything(settled.admin) == before


@every_target
async def test_every_member_of_a_wrong_type_is_422(settled: Settled, target: Target):
    before = await everything(settled.admin)
    names = ["role", "name", "tenant", "algorithm", "watch", "event", "resource", "objectId", "previous"]
    names += ["address", "events", "schema", "signature", "retry", "basicAuth", "oauth2Auth", "httpRequestHeader"]
    names += ["email", "profile", "tags", "tools", "status", "preferences"]
    wrong = (7, 1.5, [], {}, [[]], [{}], {"a": []}, True)
    body: dict[str, Any] = {}
    for name in names:
        for value in wrong:
            body = {"address": 7, "tags": 7, "role": 7, "algorithm": 7, "watch": 7, "email": 7, name: value}
            answer = await settled.send(target, json.dumps(body))
            target.refusal(answer, 422)
    assert await everything(settled.admin) == before


@every_target
async def test_a_body_over_the_limit_is_413(settled: Settled, target: Target):
    before = await everything(settled.admin)
    for body in (b" " * LIMIT + b"{", b'{"firstName": "' + b"x" * LIMIT + b'"}', b"[" * (LIMIT + 1)):
        answer = await settled.send(target, body)
        assert str(LIMIT) in target.refusal(answer, 413)
    assert await everything(settled.admin) == before


@every_target
async def test_a_body_at_the_limit_is_read(settled: Settled, target: Target):
    answer = await settled.send(target, b" " * (LIMIT - 2) + b"[]")
    target.refusal(answer, 422)


@every_target
async def test_another_content_type_is_415(settled: Settled, target: Target):
    before = await everything(settled.admin)
    for content_type in (
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "text/json",
    ):
        answer = await settled.send(target, '{"name": "x"}', {"Content-Type": content_type})
        assert "application/json" in target.refusal(answer, 415)
    assert await everything(settled.admin) == before


async def test_json_may_say_its_charset_and_be_of_a_kind(settled: Settled):
    for content_type in ("application/json; charset=utf-8", "application/merge-patch+json", "APPLICATION/JSON"):
        answer = await settled.send(
            Target("PUT", f"{OURS}/new"), '{"firstName": "Zoë"}', {"Content-Type": content_type}
        )
        assert answer.status in {200, 201}, content_type


# Bodies that do not arrive as they should


@every_target
async def test_a_truncated_body_is_no_body(settled: Settled, target: Target, caplog: pytest.LogCaptureFixture):
    before = await everything(settled.admin)
    whole = b'{"email": "zoe@example.com", "profile": {"id": "p1"}, "name": "x", "role": "admin"}'
    for body in (whole, whole[:30], b""):
        for head in (f"Content-Length: {len(whole) + 100}", "Transfer-Encoding: chunked"):
            sent = body if "Length" in head else f"{len(whole) + 100:x}\r\n".encode() + body
            came = await settled.raw(settled.head(target, head), sent, cut_off=True)
            if came:
                assert 400 <= answer_of(came).status < 500, came
    assert await everything(settled.admin) == before
    assert [record for record in caplog.records if record.levelno >= logging.ERROR] == []  # it is no fault of ours


async def test_a_body_that_is_not_compressed_as_it_says_is_400(settled: Settled):
    before = await everything(settled.admin)
    packed = gzip.compress(b'{"name": "x", "role": "admin", "email": "zoe@example.com", "profile": {"id": "p1"}}')
    broken = packed[:15] + b"\xff" + packed[16:]
    for target in (Target("POST", ACCOUNTS), Target("POST", "/api/v1/apiKeys")):
        for body in (b"{}", b'{"name": "x"}' * 10, packed[: len(packed) // 2], broken):
            head = settled.head(target, f"Content-Length: {len(body)}", "Content-Encoding: gzip")
            target.refusal(answer_of(await settled.raw(head, body)), 400)
    assert await everything(settled.admin) == before


async def test_a_small_body_that_unpacks_to_a_large_one_is_413(settled: Settled):
    bomb = gzip.compress(b" " * 50_000_000)
    for target in TARGETS[:2] + TARGETS[-2:]:
        head = settled.head(target, f"Content-Length: {len(bomb)}", "Content-Encoding: gzip")
        target.refusal(answer_of(await settled.raw(head, bomb)), 413)


async def test_a_body_in_chunks_is_limited_too(settled: Settled):
    async def endless():
        for _ in range(64):
            yield b" " * 65_536

    for target in (Target("POST", ACCOUNTS), Target("POST", "/api/v1/watches")):
        answer = await settled.admin.call(target.method, target.path, data=endless(), headers=JSON)
        target.refusal(answer, 413)


@pytest.mark.parametrize(
    "request_line",
    [
        "NONSENSE",
        "GET",
        "GET  HTTP/1.1",
        "GET / HTTP/9",
        "G@T / HTTP/1.1",
        "GET http://[ HTTP/1.1",
        "GET /\xff HTTP/1.1",
        f"GET /{'a' * 20_000} HTTP/1.1",
        "GET / HTTP/1.1\nNo header",
        "POST / HTTP/1.1\nContent-Length: many",
        "\x16\x03\x01\x02",
    ],
)
async def test_what_is_no_http_is_a_problem_that_does_not_quote_it(
    settled: Settled, request_line: str, caplog: pytest.LogCaptureFixture
):
    came = await settled.raw(f"{request_line}\nHost: localhost\nAuthorization: Bearer {ADMIN_KEY}")

    problem = answer_of(came).problem(400)
    assert problem["detail"].startswith("this is no HTTP request: ")
    assert request_line not in came.decode("latin-1")
    assert ADMIN_KEY not in came.decode("latin-1")
    assert (await settled.admin.get("/healthz")).status == 200


@pytest.mark.parametrize(
    "value", ["\xff\xfe", "Bearer \xff\xfe", "Bearer \xed\xa0\x80", f"Bearer {'x' * 5000}", "Bearer a b"]
)
async def test_a_key_of_strange_bytes_is_nobodys(settled: Settled, value: str):
    for path in ("/api/v1/watches", f"{ACCOUNTS}/watch"):
        method = "POST" if path.startswith(ACCOUNTS) else "GET"
        came = await settled.raw(f"{method} {path} HTTP/1.1\nHost: localhost\nAuthorization: {value}")
        answer_of(came).problem(401)
    came = await settled.raw(f"GET {ACCOUNTS} HTTP/1.1\nHost: localhost\napiKey: {value.removeprefix('Bearer ')}")
    answer_of(came).vendor_error(401)


# Bodies that can be read and are wrong


async def test_every_bad_watch_is_422_where_it_is_wrong(settled: Settled):
    before = await everything(settled.admin)
    for case in BAD_WATCHES:
        sent = []
        typed = isinstance(case["body"], dict) and "objectType" not in case["body"]
        if case.get("objectType", "") is None:  # it is the type that is wrong or missing
            sent = [("/api/v1/watches", case["body"])]
        elif typed:
            sent = [("/api/v1/watches", {"objectType": "agendize.account", **case["body"]})]
        if "objectType" not in case:
            sent.append((f"{ACCOUNTS}/watch", case["body"]))
        assert sent, case["name"]
        for path, body in sent:
            answer = await settled.send(Target("POST", path), json.dumps(body))
            answer.problem(422)
            assert case["pointer"] in answer.pointers(), (case["name"], path)
    assert await everything(settled.admin) == before


async def test_a_deep_document_is_taken_to_the_limit_and_delivered(settled: Settled, receiver: Receiver):
    def nested(depth: int) -> Any:
        value: Any = 1
        for level in range(depth):
            value = [value] if level % 2 else {"a": value}
        return value

    await settled.admin.patch(f"/api/v1/watches/{settled.watch}", {"addPreviousData": True})
    for document in ({"deep": nested(63)}, {"deep": nested(62)}):
        assert (await settled.admin.put(f"{OURS}/deep", document)).status in {200, 201}
    (await settled.admin.put(f"{OURS}/deep", {"deep": nested(64)})).problem(400)
    rows = await settled.admin.settled(3)
    assert [row["status"] for row in rows] == ["succeeded"] * 3
    assert receiver.calls[2].json()["previousData"]["deep"] == nested(63)


# Parameters and paths


@pytest.mark.parametrize("path", LISTS)
async def test_a_bad_parameter_of_a_list_is_400(settled: Settled, path: str):
    taken = {}
    for query in (
        "limit=0",
        "limit=501",
        "limit=-1",
        "limit=1.5",
        "limit=ten",
        "limit=",
        "limit=%D9%A1",
        "limit=0000501",
        "limit=00005099",
        "limit=00005" + "9" * 40,
        "limit=" + "9" * 5000,
        "limit=1&limit=2",
        "cursor=a",
        "cursor=!!!!",
        "cursor=%C3%A9",
        "cursor=%00",
        "cursor=" + base64.urlsafe_b64encode(b"\xff\xfe\xfd").decode(),
        "unknown=1",
        "Limit=1",
        "cursor=&cursor=",
    ):
        answer = await settled.admin.get(f"{path}?{query}")
        if answer.status != 400:
            taken[query] = answer.status
        else:
            assert query.partition("=")[0] in answer.problem(400)["detail"], query
    assert taken == {}


async def test_good_parameters_of_a_list_are_taken(settled: Settled):
    for path in LISTS:
        for query in ("limit=1", "limit=500", "limit=010", "cursor=", "limit=1&cursor="):
            assert (await settled.admin.get(f"{path}?{query}")).status == 200, (path, query)


async def test_a_bad_filter_of_the_log_is_400(admin: Client):
    for query in (
        "status=done",
        "status=",
        "reason=bad",
        "objectEvent=merged",
        "statusCode=20",
        "statusCode=abc",
        "statusCode=-20",
        "statusCode=%D9%A1%D9%A1%D9%A1",
        "since=yesterday",
        "since=2026-01-31",
        "since=2026-01-31T12:00:00",
        "until=1764000000",
        "until=2026-13-01T00:00:00Z",
        "until=",
        "watch=x",
    ):
        for path in ("/api/v1/deliveries", "/api/v1/deliveries/stream"):
            assert query.partition("=")[0] in (await admin.get(f"{path}?{query}")).problem(400)["detail"]


async def test_a_bad_place_in_the_stream_is_400(admin: Client):
    for last in ("x", "-1", "1.5", "9" * 19, "\u0661"):
        (await admin.get("/api/v1/deliveries/stream", headers={"Last-Event-ID": last})).problem(400)


async def test_an_unknown_path_is_404(admin: Client):
    unknown = (
        "/",
        "/nothing",
        "/api",
        "/api/v1",
        "/api/v1/",
        "/api/v2/watches",
        "/api/v1/watches/",
        "/api/v1/watches/x/y",
    )
    for path in unknown:
        for method in ("GET", "POST", "DELETE"):
            (await admin.call(method, path, {} if method == "POST" else None)).problem(404)


async def test_an_unknown_path_below_a_collection_is_404_in_the_words_of_its_vendor(admin: Client):
    for rest in ("a/b", "", "a/", "a/b/c/d", "watch/x"):
        for method in ("GET", "POST", "DELETE", "OPTIONS"):
            answer = await admin.call(method, f"{ACCOUNTS}/{rest}", {} if method == "POST" else None)
            answer.vendor_error(404)
            (await admin.with_key(None).call(method, f"{ACCOUNTS}/{rest}")).vendor_error(401)
    jsonapi = await admin.get("/outreach/api/v2/users/1/mailbox")
    assert (jsonapi.status, jsonapi.headers["Content-Type"]) == (404, "application/vnd.api+json")
    assert jsonapi.body["errors"][0]["status"] == "404"


ALLOWED = {
    "/api/v1/watches": {"GET", "POST"},
    "/api/v1/watches/x": {"GET", "PUT", "PATCH", "DELETE"},
    "/api/v1/watches/x/test": {"POST"},
    "/api/v1/cryptoKeys": {"GET", "POST"},
    "/api/v1/cryptoKeys/x": {"GET", "DELETE"},
    "/api/v1/apiKeys": {"GET", "POST"},
    "/api/v1/apiKeys/x": {"GET", "DELETE"},
    "/api/v1/deliveries": {"GET"},
    "/api/v1/deliveries/x": {"GET"},
    "/api/v1/deliveries/x/redeliver": {"POST"},
    OURS: {"GET"},
    f"{OURS}/x": {"GET", "PUT", "DELETE"},
    "/healthz": {"GET"},
    "/readyz": {"GET"},
    "/metrics": {"GET"},
}


async def test_a_method_that_is_not_taken_is_405_with_those_that_are(admin: Client):
    for path, allowed in ALLOWED.items():
        for method in sorted({"GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"} - allowed):
            answer = await admin.call(method, path)
            answer.problem(405)
            assert set(answer.headers["Allow"].split(", ")) - {"HEAD"} == allowed, path


async def test_strange_ids_are_merely_unknown(admin: Client):
    for id_ in ("%00", "%FF", "%ED%A0%80", "..%2F..", "%2e%2e", "'%20OR%201=1--", "a" * 3000, "%F0%9F%A6%84"):
        for path in ("/api/v1/watches", "/api/v1/cryptoKeys", "/api/v1/apiKeys", "/api/v1/deliveries", OURS):
            (await admin.get(f"{path}/{id_}")).problem(404)


def lose_half_of(database: Path, id_: str) -> None:
    """As if a disk had lost half of a resource's document."""
    with closing(sqlite3.connect(database, timeout=10)) as connection, connection:
        connection.execute('UPDATE resources SET document = \'{"email": "ada@exam\' WHERE id = ?', (id_,))


async def test_a_failure_of_our_own_shows_no_trace(settled: Settled, tmp_path: Path):
    await asyncio.to_thread(lose_half_of, tmp_path / "watch.db", "a1")
    answer = await settled.admin.get(f"{OURS}/a1")
    assert "ada@exam" not in answer.text
    answer.problem(500)
    answer = await settled.admin.get(f"{ACCOUNTS}/a1")
    assert "ada@exam" not in answer.text
    answer.vendor_error(500)


async def test_a_failure_in_the_middle_of_a_list_is_no_end_of_it(settled: Settled, tmp_path: Path):
    await asyncio.gather(*(settled.admin.put(f"{OURS}/b{number:03d}", {}) for number in range(400)))
    await asyncio.to_thread(lose_half_of, tmp_path / "watch.db", "b399")
    came = await settled.raw(f"GET {ACCOUNTS} HTTP/1.1\nHost: localhost\nAuthorization: Bearer {ADMIN_KEY}")
    assert came.count(b"HTTP/1.1") == 1  # no second answer inside of the first
    assert came.startswith(b"HTTP/1.1 500 ") or not came.endswith((b"]}", b"0\r\n\r\n"))
    assert (await settled.admin.get("/healthz")).status == 200
