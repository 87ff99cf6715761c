"""One polled change, end to end; and a service that is killed while it polls."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

import aiohttp
import jsonpatch
import pytest
from standardwebhooks import Webhook

from tests.support.receiver import Receiver
from tests.support.running import ADMIN_KEY, Client
from tests.support.sources import made, swept, until
from tests.support.upstream import TYPES, Upstream
from tests.test_kill import drained, process


@pytest.mark.parametrize("type_", TYPES)
async def test_a_user_changes_upstream_and_whoever_watches_is_told(admin: Client, receiver: Receiver, type_: str):
    registered = await admin.post(
        "/api/v1/watches",
        {"objectType": type_, "address": receiver.url, "addPreviousData": True, "signature": {"enabled": True}},
    )
    secret = registered.body["signature"]["secret"]
    async with Upstream(type_, users=7) as upstream:
        source = await made(admin, type=type_, url=upstream.url, interval=3600)
        await until(admin, source["id"], "completed")
        assert receiver.calls == []
        updated, gone = upstream.id_of(2), upstream.id_of(3)
        upstream.rename(2, "Grace")
        upstream.remove(3)
        upstream.add(8)
        sweep = (await swept(admin, source["id"]))["sweep"]
        assert [sweep[name] for name in ("created", "updated", "deleted")] == [1, 1, 1]
        calls = {call.headers["ce-type"].rpartition(".")[2]: call for call in await receiver.wait_for(3)}
        for call in calls.values():
            Webhook(secret).verify(call.body, dict(call.headers))
        subjects = {event: call.headers["ce-subject"] for event, call in calls.items()}
        assert subjects == {"created": upstream.id_of(8), "updated": updated, "deleted": gone}
        body = calls["updated"].json()
        changes, previous = body.pop("changes"), body.pop("previousData")
        assert jsonpatch.apply_patch(previous, changes) == body
        assert [change["value"] for change in changes if change["path"].endswith("/firstName")] == ["Grace"]
        rows = await admin.settled(3)
        assert {row["status"] for row in rows} == {"succeeded"}


@pytest.mark.parametrize("page", [2, 5, 11])
async def test_killed_in_the_middle_of_a_sweep_it_goes_on_after_a_restart(
    page: int, tmp_path: Path, unused_tcp_port: int
):
    url = f"http://127.0.0.1:{unused_tcp_port}"
    async with (
        Upstream("outreach.user", users=30) as upstream,
        Receiver() as receiver,
        aiohttp.ClientSession() as session,
    ):
        admin = Client(session, url, ADMIN_KEY)
        async with process(tmp_path, unused_tcp_port) as doomed:
            await admin.watch(receiver.url, objectType="outreach.user")
            source = await made(admin, url=upstream.url, interval=3600)
            await until(admin, source["id"], "completed")
            for number in range(1, 31):
                if number % 10 == 0:
                    upstream.remove(number)
                else:
                    upstream.rename(number, "Grace")
            upstream.calls.clear()

            async def kill() -> None:
                os.kill(doomed.pid, signal.SIGKILL)

            upstream.hooks = {page: kill}
            await admin.post(f"{source['selfLink']}/sweep")
            async with asyncio.timeout(20):
                await doomed.wait()
        async with process(tmp_path, unused_tcp_port):
            shown = await until(admin, source["id"], "completed")
            assert shown["sweep"]["seen"] == 27
            await drained(admin)
    told = sorted(
        (call.headers["ce-type"].rpartition(".")[2], int(call.headers["ce-subject"])) for call in receiver.calls
    )
    once = sorted(set(told))
    assert once == sorted(
        [("deleted", number) for number in (10, 20, 30)]
        + [("updated", number) for number in range(1, 31) if number % 10]
    )
    assert len({call.headers["webhook-id"] for call in receiver.calls}) == len(once)
    assert upstream.calls[page].query.get("page[after]") == upstream.calls[page - 1].query.get("page[after]")
