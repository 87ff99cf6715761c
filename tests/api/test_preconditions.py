"""Entity tags and preconditions on resources and watches: nobody overwrites what he has not seen."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.support.receiver import Receiver
from tests.support.running import Answer, Client

OURS = "/api/v1/resources/agendize.account"
WATCHES = "/api/v1/watches"


async def push(client: Client, id_: str, members: Any, **headers: str) -> Answer:
    return await client.put(f"{OURS}/{id_}", members, headers={k.replace("_", "-"): v for k, v in headers.items()})


async def test_a_resource_has_a_tag_that_changes_with_it(admin: Client):
    made = await push(admin, "a1", {"credit": 1})
    got = await admin.get(f"{OURS}/a1")
    assert made.headers["Etag"] == got.headers["Etag"]
    assert made.headers["Etag"].startswith('"1-')
    assert (await push(admin, "a1", {"credit": 1})).headers["Etag"] == made.headers["Etag"]
    changed = await push(admin, "a1", {"credit": 2})
    assert changed.headers["Etag"].startswith('"2-')
    assert (await admin.get(f"{OURS}/a1")).headers["Etag"] == changed.headers["Etag"]


async def test_a_write_to_a_version_that_is_not_there_any_more_is_refused_with_the_current_one(admin: Client):
    seen = (await push(admin, "a1", {"credit": 1})).headers["Etag"]
    assert (await push(admin, "a1", {"credit": 2}, If_Match=seen)).status == 200
    refused = await push(admin, "a1", {"credit": 3}, If_Match=seen)
    assert "2" in refused.problem(412)["detail"]
    assert refused.headers["Etag"] == '"2"'
    assert (await admin.delete(f"{OURS}/a1", headers={"If-Match": seen})).problem(412)
    assert (await admin.get(f"{OURS}/a1")).body["version"] == 2
    for tag in ('"2"', '"1", "2"', "*", '"9-ffffffff", "2-00000000"'):
        again = await push(admin, "a1", {"credit": 2}, If_Match=tag)
        assert again.status == 200, tag
    assert (await admin.delete(f"{OURS}/a1", headers={"If-Match": '"2"'})).status == 204


async def test_a_weak_tag_never_matches_a_write(admin: Client):
    await push(admin, "a1", {"credit": 1})
    (await push(admin, "a1", {"credit": 2}, If_Match='W/"1"')).problem(412)


async def test_only_one_of_many_that_saw_the_same_version_writes(admin: Client):
    seen = (await push(admin, "a1", {"credit": 0})).headers["Etag"]
    answers = await asyncio.gather(*(push(admin, "a1", {"credit": n + 1}, If_Match=seen) for n in range(40)))
    assert sorted(answer.status for answer in answers) == [200] + [412] * 39
    assert (await admin.get(f"{OURS}/a1")).body["version"] == 2


async def test_only_one_of_many_creates(admin: Client):
    answers = await asyncio.gather(*(push(admin, "a1", {"credit": n}, If_None_Match="*") for n in range(40)))
    assert sorted(answer.status for answer in answers) == [201] + [412] * 39
    (winner,) = [answer for answer in answers if answer.status == 201]
    assert (await admin.get(f"{OURS}/a1")).body == winner.body


async def test_a_deleted_resource_matches_nothing_and_may_be_created(admin: Client):
    await push(admin, "a1", {"credit": 1})
    await admin.delete(f"{OURS}/a1")
    for tag in ("*", '"1"', '"2"'):
        refused = await push(admin, "a1", {"credit": 2}, If_Match=tag)
        assert "none" in refused.problem(412)["detail"]
        assert "Etag" not in refused.headers
        (await admin.delete(f"{OURS}/a1", headers={"If-Match": tag})).problem(404)
        (await admin.get(f"{OURS}/a1", headers={"If-Match": tag})).problem(404)
    again = await push(admin, "a1", {"credit": 2}, If_None_Match="*")
    assert (again.status, again.body["version"]) == (201, 3)


async def test_a_client_that_has_the_answer_is_not_sent_it_again(admin: Client):
    await push(admin, "a1", {"tools": ["save", "call"]})
    tag = (await admin.get(f"{OURS}/a1")).headers["Etag"]
    for asked in (tag, f"W/{tag}", f'"x", {tag}', "*"):
        unchanged = await admin.get(f"{OURS}/a1", headers={"If-None-Match": asked})
        assert (unchanged.status, unchanged.text, unchanged.headers["Etag"]) == (304, "", tag)
    await push(admin, "a1", {"tools": ["call", "save"]})  # no version, but another answer
    refreshed = await admin.get(f"{OURS}/a1", headers={"If-None-Match": tag})
    assert (refreshed.status, refreshed.body["resource"]["tools"]) == (200, ["call", "save"])
    assert (await push(admin, "a1", {"tools": []}, If_Match=tag)).status == 200  # and nobody has written meanwhile


async def test_reading_under_if_match(admin: Client):
    await push(admin, "a1", {"credit": 1})
    assert (await admin.get(f"{OURS}/a1", headers={"If-Match": '"1"'})).status == 200
    (await admin.get(f"{OURS}/a1", headers={"If-Match": '"2"'})).problem(412)


@pytest.mark.parametrize("tag", ["1", "", "one, two", "'1'", "W/1"])
@pytest.mark.parametrize("name", ["If-Match", "If-None-Match"])
async def test_what_is_no_tag_is_refused(admin: Client, name: str, tag: str):
    await push(admin, "a1", {"credit": 1})
    for answer in (
        await admin.put(f"{OURS}/a1", {"credit": 2}, headers={name: tag}),
        await admin.get(f"{OURS}/a1", headers={name: tag}),
        await admin.delete(f"{OURS}/a1", headers={name: tag}),
    ):
        assert name in answer.problem(400)["detail"]
    assert (await admin.get(f"{OURS}/a1")).body["version"] == 1


# Watches


async def test_a_watch_has_a_tag_that_changes_with_it(admin: Client, receiver: Receiver):
    made = await admin.post(WATCHES, {"objectType": "agendize.account", "address": receiver.url})
    path, tag = made.headers["Location"], made.headers["Etag"]
    assert (await admin.get(path)).headers["Etag"] == tag
    unchanged = await admin.get(path, headers={"If-None-Match": tag})
    assert (unchanged.status, unchanged.text) == (304, "")
    patched = await admin.patch(path, {"name": "CRM"}, headers={"If-Match": tag})
    assert patched.status == 200
    assert patched.headers["Etag"] != tag
    assert (await admin.get(path)).headers["Etag"] == patched.headers["Etag"]
    put = await admin.put(path, {"address": receiver.url}, headers={"If-Match": patched.headers["Etag"]})
    assert put.status == 200
    revision = put.headers["Etag"].strip('"').partition("-")[0]
    for refused in (
        await admin.patch(path, {"name": "ERP"}, headers={"If-Match": tag}),
        await admin.put(path, {"address": receiver.url}, headers={"If-Match": tag}),
        await admin.put(path, {"address": receiver.url}, headers={"If-None-Match": "*"}),
        await admin.delete(path, headers={"If-Match": tag}),
    ):
        assert revision in refused.problem(412)["detail"]
        assert refused.headers["Etag"] == f'"{revision}"'
    assert (await admin.get(path)).headers["Etag"] == put.headers["Etag"]
    assert (await admin.delete(path, headers={"If-Match": put.headers["Etag"]})).status == 204
    (await admin.delete(path, headers={"If-Match": put.headers["Etag"]})).problem(404)


async def test_only_one_of_many_changes_a_watch(admin: Client, receiver: Receiver):
    watch = await admin.watch(receiver.url)
    path = f"{WATCHES}/{watch['id']}"
    tag = (await admin.get(path)).headers["Etag"]
    patches = (admin.patch(path, {"name": f"{n}"}, headers={"If-Match": tag}) for n in range(10))
    assert sorted(answer.status for answer in await asyncio.gather(*patches)) == [200] + [412] * 9


async def test_a_watch_whose_receiver_failed_is_another_answer_but_the_same_version(admin: Client, receiver: Receiver):
    watch = await admin.watch(receiver.url, retry={"schedule": []})
    path = f"{WATCHES}/{watch['id']}"
    tag = (await admin.get(path)).headers["Etag"]
    await push(admin, "a1", {"credit": 1})
    await admin.settled(1)
    seen = await admin.get(path, headers={"If-None-Match": tag})
    assert seen.status == 200
    assert (await admin.patch(path, {"name": "CRM"}, headers={"If-Match": tag})).status == 200


async def test_a_watch_that_the_service_disabled_is_not_enabled_by_who_has_not_seen_it(
    admin: Client, receiver: Receiver
):
    from tests.support.receiver import Answer as Says

    receiver.answers = [Says(410)]
    watch = await admin.watch(receiver.url)
    path = f"{WATCHES}/{watch['id']}"
    tag = (await admin.get(path)).headers["Etag"]
    await push(admin, "a1", {"credit": 1})
    await admin.settled(1)
    (await admin.put(path, {"address": receiver.url, "status": "enabled"}, headers={"If-Match": tag})).problem(412)
    assert (await admin.get(path)).body["statusReason"] == "gone"
