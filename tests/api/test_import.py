"""Importing a whole directory over HTTP: what it counts, what it deletes, and when it must not."""

from __future__ import annotations

import asyncio
import gzip
import io
import json
import zlib
from collections.abc import AsyncIterator, Iterable
from pathlib import Path
from typing import Any

import pytest

from service.api import imports
from tests.support import running
from tests.support.receiver import Receiver
from tests.support.running import ADMIN_KEY, Client

OURS = "/api/v1/resources/agendize.account"
IMPORT = f"{OURS}/import"
NDJSON = {"Content-Type": "application/x-ndjson"}
FIGURES = ("created", "updated", "unchanged", "overtaken", "deleted", "heldDeletions", "failed")


def account(number: int, **members: Any) -> dict[str, Any]:
    return {"id": f"a{number:03d}", "email": f"user{number}@example.com", "userName": f"user{number}", **members}


def accounts(*numbers: int) -> list[dict[str, Any]]:
    return [account(number) for number in numbers]


def ndjson(documents: Iterable[Any]) -> bytes:
    return b"".join(json.dumps(document).encode() + b"\n" for document in documents)


async def send(client: Client, data: Any, query: str = "", **headers: str) -> Any:
    """Import, and the job it came to."""
    body = io.BytesIO(data) if isinstance(data, bytes) else data
    answer = await client.post(f"{IMPORT}{query}", data=body, headers=NDJSON | headers)
    assert answer.status == 200, answer.text
    job = answer.body
    assert (await client.get(f"/api/v1/jobs/{job['id']}")).body == job
    return job


def figures(job: Any) -> dict[str, int]:
    return {name: job[name] for name in FIGURES if job[name]}


async def versions(client: Client) -> dict[str, int]:
    """Of all accounts that are there."""
    items = (await client.get(f"{OURS}?limit=500")).body["items"]
    return {item["id"]: item["version"] for item in items}


async def test_every_line_becomes_a_resource_and_the_job_says_so(admin: Client):
    job = await send(admin, ndjson(accounts(*range(250))))
    assert job == {
        "id": job["id"],
        "kind": "import",
        "state": "succeeded",
        "detail": None,
        "done": 250,
        "total": 250,
        "started": job["started"],
        "finished": job["finished"],
        "objectType": "agendize.account",
        "created": 250,
        "updated": 0,
        "unchanged": 0,
        "overtaken": 0,
        "deleted": 0,
        "heldDeletions": 0,
        "failed": 0,
        "errors": [],
    }
    shown = (await admin.get(f"{OURS}/a007")).body
    assert (shown["version"], shown["resource"]) == (1, account(7))


async def test_an_unchanged_second_import_makes_no_change_at_all(admin: Client):
    data = ndjson([account(number, ssoToken=f"t{number}", tools=["save", "call"]) for number in range(230)])
    await send(admin, data)
    assert figures(await send(admin, data)) == {"unchanged": 230}
    shuffled = [account(number, tools=["call", "save"]) for number in range(230)]  # a set, and no secrets
    assert figures(await send(admin, ndjson(shuffled))) == {"unchanged": 230}
    assert set((await versions(admin)).values()) == {1}


async def test_what_changed_what_is_new_and_what_is_gone_reaches_those_who_watch(admin: Client, receiver: Receiver):
    await send(admin, ndjson(accounts(*range(20))))
    await admin.watch(receiver.url)
    job = await send(admin, ndjson([account(0, credit=5), *accounts(*range(1, 18), 20)]))
    assert figures(job) == {"created": 1, "updated": 1, "unchanged": 17, "deleted": 2}
    rows = await admin.settled(4)
    assert sorted((row["objectEvent"], row["objectId"]) for row in rows) == [
        ("created", "a020"),
        ("deleted", "a018"),
        ("deleted", "a019"),
        ("updated", "a000"),
    ]
    assert (await admin.get(f"{OURS}/a018")).status == 404


async def test_only_what_was_imported_is_deleted_whoever_changed_it_since(admin: Client):
    await admin.put(f"{OURS}/pushed", {"email": "pushed@example.com"})
    await send(admin, ndjson(accounts(1, 2)))
    await admin.put(f"{OURS}/a002", account(2, credit=1))
    assert figures(await send(admin, ndjson(accounts(1)))) == {"unchanged": 1, "deleted": 1}
    assert set(await versions(admin)) == {"pushed", "a001"}


async def test_a_pushed_resource_that_an_import_shows_stays_a_pushed_one(admin: Client):
    await admin.put(f"{OURS}/a001", account(1))
    assert figures(await send(admin, ndjson([account(1, credit=2), account(2)]))) == {"created": 1, "updated": 1}
    assert figures(await send(admin, ndjson(accounts(2)))) == {"unchanged": 1}
    assert set(await versions(admin)) == {"a001", "a002"}


async def test_secrets_are_not_kept_and_nothing_is_made_up(admin: Client):
    await send(
        admin, ndjson([{"id": "a1", "password": "hunter2", "ssoToken": "t", "unknown": {"kept": [1, 2.5, None]}}])
    )
    assert (await admin.get(f"{OURS}/a1")).body["resource"] == {"id": "a1", "unknown": {"kept": [1, 2.5, None]}}


async def test_more_than_the_share_is_held_until_it_is_forced(admin: Client):
    await send(admin, ndjson(accounts(*range(30))))
    rest = ndjson(accounts(*range(20)))
    held = await send(admin, rest)
    assert held["state"] == "held"
    assert figures(held) == {"unchanged": 20, "heldDeletions": 10}
    assert held["detail"] == (
        "10 of 30 imported resources are missing, more than 20 %: none was deleted; "
        "if they are really gone, import the file again with force=true"
    )
    assert len(await versions(admin)) == 30
    assert figures(await send(admin, rest, "?force=true")) == {"unchanged": 20, "deleted": 10}
    assert len(await versions(admin)) == 20


async def test_the_share_is_of_what_was_there_before_and_can_be_chosen(admin: Client):
    await send(admin, ndjson(accounts(*range(30))))
    others = ndjson(accounts(*range(24), *range(100, 300)))  # 6 of 30 are missing; of 230 they would be few
    assert (await send(admin, others, "?maxDeleteShare=0.19"))["state"] == "held"
    assert figures(await send(admin, others, "?maxDeleteShare=0.2")) == {"unchanged": 224, "deleted": 6}


async def test_a_few_deletions_are_never_held(admin: Client):
    await send(admin, ndjson(accounts(1, 2, 3, 4, 5, 6)))
    assert figures(await send(admin, ndjson(accounts(6)), "?maxDeleteShare=0")) == {"unchanged": 1, "deleted": 5}


async def test_bad_lines_are_named_the_rest_is_taken_and_nothing_is_deleted(admin: Client):
    await send(admin, ndjson(accounts(1, 2)))
    lines = [
        json.dumps(account(1, credit=9)),
        "",
        '{"id": "a7", "email": }',
        '["a8"]',
        "{}",
        json.dumps(account(9, currency="XXX", tools="call")),
        '{"id": "a10", "id": "a10"}',
        '{"id": ""}',
        "   ",
        json.dumps(account(11)) + "\r",
        json.dumps(account(11)),
    ]
    job = await send(admin, "\n".join(lines).encode())
    assert job["state"] == "failed"
    assert job["done"] == 9
    assert figures(job) == {"created": 1, "updated": 1, "failed": 7}
    assert job["errors"] == [
        {"line": 3, "pointer": "", "detail": "not JSON: expecting value (column 23)"},
        {"line": 4, "pointer": "", "detail": "must be an object: send one resource in each line"},
        {"line": 5, "pointer": "/id", "detail": "must be the id: a string or an integer"},
        {"line": 6, "pointer": "/currency", "detail": 'must be one of "USD", "CAD", "EUR", "GBP", "JPY"'},
        {"line": 7, "pointer": "/id", "detail": "the member is given twice: send it once"},
        {"line": 8, "pointer": "/id", "detail": "must be the id: a string or an integer"},
        {"line": 11, "pointer": "/id", "detail": "'a011' stands in an earlier line, too: send it once"},
    ]
    assert job["detail"] == (
        "lines that were refused: 7 of 9, so that nothing was deleted; correct them, and import the whole file again"
    )
    assert set(await versions(admin)) == {"a001", "a002", "a011"}


async def test_of_many_bad_lines_the_first_twenty_are_shown(admin: Client):
    job = await send(admin, b"[]\n" * 1000)
    assert (job["failed"], job["done"]) == (1000, 1000)
    assert [error["line"] for error in job["errors"]] == [*range(1, 21)]


async def test_a_resource_that_a_later_batch_shows_again_is_a_fault_of_its_line(admin: Client):
    documents = [*accounts(*range(300)), account(5, credit=1), account(250)]
    job = await send(admin, ndjson(documents))
    assert (job["state"], figures(job)) == ("failed", {"created": 300, "failed": 2})
    assert [error["line"] for error in job["errors"]] == [301, 302]
    again = await send(admin, ndjson(documents))
    assert figures(again) == {"unchanged": 300, "failed": 2}
    assert (await admin.get(f"{OURS}/a005")).body["version"] == 1


async def test_a_line_that_is_too_long_is_named_and_passed_over(admin: Client):
    long = json.dumps(account(2, comment="c" * (1024 * 1024))).encode()
    job = await send(admin, ndjson(accounts(1)) + long + b"\n" + ndjson(accounts(3)))
    assert figures(job) == {"created": 2, "failed": 1}
    assert job["errors"] == [{"line": 2, "pointer": "", "detail": "the line is longer than 1048576 bytes"}]
    fits = json.dumps(account(2, comment="c" * (1024 * 1024 - 200))).encode()
    assert figures(await send(admin, ndjson(accounts(1)) + fits + b"\n" + ndjson(accounts(3)))) == {
        "created": 1,
        "unchanged": 2,
    }


async def test_who_was_made_anew_under_another_id_takes_the_user_name_over(admin: Client):
    await send(admin, ndjson(accounts(1, 2, 3)))
    documents = [account(9) | {"userName": "user1"}, account(2) | {"userName": "user3"}, account(3) | {"userName": "x"}]
    job = await send(admin, ndjson(documents))
    assert (job["state"], figures(job)) == ("succeeded", {"created": 1, "updated": 2, "deleted": 1})
    assert figures(await send(admin, ndjson(documents))) == {"unchanged": 3}


async def test_an_identity_that_belongs_to_another_resource_is_a_fault_of_its_line(admin: Client):
    await admin.put(f"{OURS}/mine", {"userName": "user1", "email": "mine@example.com"})
    await send(admin, ndjson(accounts(5)))
    job = await send(admin, ndjson(accounts(1, 2)))
    assert (job["state"], figures(job)) == ("failed", {"created": 1, "deleted": 1, "failed": 1})
    assert job["errors"] == [
        {"line": 1, "pointer": "", "detail": "userName 'user1' belongs to agendize.account mine already"}
    ]
    assert job["detail"] == "lines whose identities belong to other resources: 1 of 2"


async def test_who_writes_while_an_import_runs_knows_better(admin: Client):
    await send(admin, ndjson(accounts(1, 2, 3)))

    async def body() -> AsyncIterator[bytes]:
        yield ndjson(accounts(*range(4, 104)))  # a whole batch: the import has begun
        await started(admin, "/a103")
        assert (await admin.put(f"{OURS}/a001", account(1, credit=1))).status == 200
        assert (await admin.put(f"{OURS}/a003", account(3, credit=1))).status == 200
        yield ndjson([account(1, credit=2), account(2)])

    job = await send(admin, body())
    assert figures(job) == {"created": 100, "unchanged": 1, "overtaken": 1}
    assert (await admin.get(f"{OURS}/a001")).body["resource"]["credit"] == 1
    assert (await admin.get(f"{OURS}/a003")).status == 200, "it was written after the import began"


async def started(client: Client, path: str) -> None:
    """Wait until a resource is there."""
    async with asyncio.timeout(10):
        while True:
            if (await client.get(f"{OURS}{path}")).status == 200:
                return
            await asyncio.sleep(0.005)


async def test_a_job_is_seen_while_it_runs_and_another_import_of_the_type_waits(admin: Client):
    seen: list[Any] = []

    async def body() -> AsyncIterator[bytes]:
        yield ndjson(accounts(*range(100)))
        await started(admin, "/a099")
        seen.extend((await admin.get("/api/v1/jobs")).body["items"])
        second = await admin.post(IMPORT, data=ndjson(accounts(1)), headers=NDJSON)
        assert second.problem(409)["detail"] == (
            f"job {seen[0]['id']} imports agendize.account already: wait until it has ended"
        )
        yield ndjson(accounts(100))

    job = await send(admin, body())
    assert (seen[0]["id"], seen[0]["state"], seen[0]["total"], seen[0]["finished"]) == (
        job["id"],
        "running",
        None,
        None,
    )
    assert job["created"] == 101
    other = await send(admin, ndjson(accounts(*range(101))))
    listed = (await admin.get("/api/v1/jobs?limit=1")).body
    assert [item["id"] for item in listed["items"]] == [other["id"]]
    rest = (await admin.get("/api/v1/jobs", params={"cursor": listed["nextCursor"]})).body
    assert ([item["id"] for item in rest["items"]], rest["nextCursor"]) == ([job["id"]], None)


@pytest.mark.parametrize("framing", ["length", "chunked"])
@pytest.mark.parametrize("end", ["reset", "half-closed"])
async def test_a_stream_that_breaks_keeps_what_it_brought_and_deletes_nothing(framing: str, end: str, admin: Client):
    await send(admin, ndjson(accounts(1, 2)))
    whole = ndjson(accounts(*range(3, 203)))
    head = f"POST {IMPORT} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {ADMIN_KEY}\r\nContent-Type: application/x-ndjson\r\n"
    if framing == "length":
        data = f"{head}Content-Length: {len(whole) + 1}\r\n\r\n".encode() + whole
    else:
        data = f"{head}Transfer-Encoding: chunked\r\n\r\n{len(whole):x}\r\n".encode() + whole + b"\r\n"
    host, port = admin.url.removeprefix("http://").split(":")
    _, writer = await asyncio.open_connection(host, int(port))
    writer.write(data)
    await writer.drain()
    await started(admin, "/a102")
    if end == "reset":
        writer.transport.abort()
    else:
        writer.write_eof()
    job = await ended(admin)
    writer.close()
    assert (job["state"], job["total"], job["deleted"]) == ("failed", None, 0)
    assert job["detail"] == (
        f"the connection broke before the end of the body, after {job['done']} lines: what came before stays, "
        "and nothing was deleted; import the whole file again"
    )
    assert job["created"] >= 100
    assert {"a001", "a002", "a102"} <= set(await versions(admin))
    assert figures(await send(admin, ndjson(accounts(*range(1, 203)))))["unchanged"] == 2 + job["created"]


async def ended(client: Client) -> Any:
    """The newest job, once it has ended."""
    async with asyncio.timeout(10):
        while True:
            job = (await client.get("/api/v1/jobs?limit=1")).body["items"][0]
            if job["state"] != "running":
                return job
            await asyncio.sleep(0.005)


async def test_a_body_that_is_badly_framed_deletes_nothing(admin: Client):
    await send(admin, ndjson(accounts(1, 2)))
    host, port = admin.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    head = (
        f"POST {IMPORT} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {ADMIN_KEY}\r\nTransfer-Encoding: chunked\r\n\r\n"
    )
    line = ndjson(accounts(3))
    writer.write(f"{head}{len(line):x}\r\n".encode() + line + b"\r\nnonsense\r\n\r\n")
    await reader.read()
    writer.close()
    jobs = (await admin.get("/api/v1/jobs")).body["items"]
    assert all(job["deleted"] == 0 and job["state"] == "failed" for job in jobs[:-1])
    assert {"a001", "a002"} <= set(await versions(admin))


async def test_gzip_is_taken_as_a_media_type_of_its_own(admin: Client):
    members = gzip.compress(ndjson(accounts(*range(100)))) + gzip.compress(ndjson(accounts(*range(100, 150))))
    assert figures(await send(admin, members, **{"Content-Type": "application/gzip"})) == {"created": 150}


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (gzip.compress(ndjson(accounts(2)))[:-4], "the gzip ends in the middle"),
        (zlib.compress(ndjson(accounts(2))), "the body is no gzip, or a broken one"),
        (gzip.compress(ndjson(accounts(2))) + b"and more", "the body is no gzip, or a broken one"),
    ],
    ids=["cut", "no gzip", "more behind it"],
)
async def test_gzip_that_is_not_whole_deletes_nothing(data: bytes, says: str, admin: Client):
    await send(admin, ndjson(accounts(1)))
    job = await send(admin, data, **{"Content-Type": "application/gzip"})
    assert job["state"] == "failed"
    assert job["detail"].startswith(says)
    assert "a001" in await versions(admin)


async def test_no_line_at_all_is_a_mistake_unless_it_is_forced(admin: Client):
    await send(admin, ndjson(accounts(1, 2)))
    for nothing in (b"", b"\n\n  \r\n"):
        job = await send(admin, nothing)
        assert (job["state"], job["done"]) == ("failed", 0)
        assert job["detail"] == (
            "no line came, so that nothing was deleted; if the directory is really empty, import it with force=true"
        )
    assert figures(await send(admin, b"", "?force=true")) == {"deleted": 2}
    assert await versions(admin) == {}


async def test_what_cannot_be_an_import_is_refused_before_it_is_read(admin: Client):
    refusals = [
        (await admin.post("/api/v1/resources/nobody.knows/import", data=b"{}", headers=NDJSON), 404),
        (await admin.post(IMPORT, data=b"{}", headers={"Content-Type": "text/csv"}), 415),
        (await admin.post(IMPORT, data=b"{}"), 415),
        (await admin.post(f"{IMPORT}?force=yes", data=b"{}", headers=NDJSON), 400),
        (await admin.post(f"{IMPORT}?forced=true", data=b"{}", headers=NDJSON), 400),
        (await admin.post(f"{IMPORT}?maxDeleteShare=20", data=b"{}", headers=NDJSON), 400),
        (await admin.post(f"{IMPORT}?maxDeleteShare=nan", data=b"{}", headers=NDJSON), 400),
        (await admin.post(IMPORT, data=gzip.compress(b"{}"), headers=NDJSON | {"Content-Encoding": "gzip"}), 415),
        (await admin.post(IMPORT, data=b"{}", headers=NDJSON | {"Content-Encoding": "x-unknown"}), 415),
    ]
    for refusal, status in refusals:
        refusal.problem(status)
    assert (await admin.get("/api/v1/jobs")).body == {"items": [], "nextCursor": None}


@pytest.mark.parametrize(
    "media_type",
    ["application/x-ndjson", "application/ndjson", "application/jsonl", "application/json-lines", "application/json"],
)
async def test_lines_of_json_have_many_names(media_type: str, admin: Client):
    job = await send(admin, ndjson(accounts(1)), **{"Content-Type": f"{media_type}; charset=utf-8"})
    assert figures(job) == {"created": 1}


async def test_who_may_push_may_import_and_sees_only_the_jobs_of_the_own_tenant(admin: Client):
    agent, operator = await admin.key_of("agent"), await admin.key_of("operator")
    stranger = await admin.key_of("admin", "acme")
    job = await send(agent, ndjson(accounts(1, 2)))
    (await operator.post(IMPORT, data=ndjson(accounts(1)), headers=NDJSON)).problem(403)
    assert (await operator.get(f"/api/v1/jobs/{job['id']}")).body == job
    assert (await operator.get("/api/v1/jobs")).body["items"] == [job]
    (await stranger.get(f"/api/v1/jobs/{job['id']}")).problem(404)
    assert (await stranger.get("/api/v1/jobs")).body["items"] == []
    assert figures(await send(stranger, ndjson(accounts(1)))) == {"created": 1}
    assert figures(await send(stranger, b"", "?force=true")) == {"deleted": 1}
    assert set(await versions(admin)) == {"a001", "a002"}


async def test_an_import_that_a_stop_cuts_off_has_failed_at_the_next_start(tmp_path: Path):
    async with running.service(tmp_path) as service:
        admin, cut = service.admin, asyncio.Event()

        async def body() -> AsyncIterator[bytes]:
            yield ndjson(accounts(*range(100)))
            await cut.wait()

        sending = asyncio.create_task(admin.post(IMPORT, data=body(), headers=NDJSON))
        await started(admin, "/a099")
    cut.set()
    await asyncio.wait((sending,))
    assert sending.exception() is not None
    async with running.service(tmp_path) as service:
        (job,) = (await service.admin.get("/api/v1/jobs")).body["items"]
        assert job["state"] == "failed"
        assert job["finished"] is not None
        assert len(await versions(service.admin)) == 100
        assert figures(await send(service.admin, ndjson(accounts(*range(100))))) == {"unchanged": 100}


async def test_a_stream_that_falls_silent_is_given_up(admin: Client, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(imports, "SILENCE", 0.05)
    await send(admin, ndjson(accounts(1, 2)))

    async def body() -> AsyncIterator[bytes]:
        yield ndjson(accounts(3))
        await asyncio.Event().wait()

    job = (await admin.post(IMPORT, data=body(), headers=NDJSON)).body
    assert (job["state"], job["created"], job["deleted"]) == ("failed", 1, 0)
    assert job["detail"].startswith(
        "nothing came for 0.05 seconds, after 1 line: what came before stays, and nothing was"
    )
