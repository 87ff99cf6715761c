"""What poll targets do to a poller: each is done to it here, and no false change comes of it."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import format_datetime

import pytest

from tests.support.polling import Rig
from tests.support.upstream import PAGED, TYPES, Fault, Upstream, status

BROKEN = {
    "a 500": status(500, b"oops"),
    "a 502 in HTML": status(502, b"<html>Bad gateway</html>", **{"Content-Type": "text/html"}),
    "a 404": status(404, b"{}"),
    "a 401": status(401, b'{"error": "unauthorized"}'),
    "a redirect": status(302, b"", Location="/login"),
    "a 204": status(204),
    "a 206": Fault(status=206),
    "a reset": Fault(reset=True),
    "a body that breaks off": Fault(cut=20),
    "a JSON text that ends too early": Fault(body=lambda body: body[:-20]),
    "no body": Fault(body=b""),
    "null": Fault(body=b"null"),
    "an array": Fault(body=b"[]"),
    "an empty object": Fault(body=b"{}"),
    "HTML with a 200": Fault(body=b"<html>We will be right back</html>", headers={"Content-Type": "text/html"}),
    "bytes that are not UTF-8": Fault(body=lambda body: body.replace(b"Ada", b"\xff\xfe")),
    "a list that is none": Fault(body=b'{"items": {}, "data": {}, "users": {}, "statusCode": 0}'),
    "gzip that was not asked for": Fault(headers={"Content-Encoding": "gzip"}),
}
ERRORS_IN_200 = {
    "agendize.account": [{"error": {"code": 500, "message": "try later"}}, {"items": [], "error": "try later"}],
    "outreach.user": [{"errors": [{"id": "internal", "title": "Oops"}]}, {"data": [], "errors": [{"title": "Oops"}]}],
    "rinkel.user": [{"error": {"message": "try later"}}, {"data": [], "error": "try later"}, {"message": "no"}],
    "genesys.user": [
        {"statusCode": 4, "statusMessage": "internal error"},
        {"statusCode": 7, "statusMessage": "partial", "users": []},
        {"statusCode": 20, "users": []},
    ],
}


async def survives(rig: Rig, upstream: Upstream, source: str) -> None:
    """The next sweep is complete and clean, and nothing was told so far."""
    assert await rig.changes() == []
    await rig.keeper.sweep("default", source)
    sweep = await rig.next_sweep(source)
    assert (sweep["state"], sweep["lastError"], sweep["heldDeletions"]) == ("completed", None, 0), sweep
    assert sweep["seen"] == len(upstream.users)
    assert await rig.changes() == []
    assert len(await rig.documents(upstream.type)) == len(upstream.users)


# A page that fails, whole or half-way


@pytest.mark.parametrize("type_", TYPES)
async def test_a_page_that_fails_for_a_while(rig: Rig, type_: str):
    async with Upstream(type_, users=7) as upstream:
        source = await rig.baseline(upstream)
        for name, fault in BROKEN.items():
            upstream.faults, upstream.always = [None] * (type_ in PAGED), fault
            await rig.keeper.sweep("default", source)
            sweep = await rig.next_sweep(source)
            assert sweep["state"] == "failed", name
            assert sweep["lastError"], name
            upstream.always = None
            await survives(rig, upstream, source)


@pytest.mark.parametrize("type_", TYPES)
async def test_a_page_that_fails_is_asked_for_again_after_longer_and_longer_pauses(rig: Rig, type_: str):
    async with Upstream(type_, users=7) as upstream:
        source = await rig.baseline(upstream, interval=300, fullInterval=300)
        pages = 3 if type_ in PAGED else 1
        upstream.faults = [*[None] * (pages - 1), status(500), status(500)]
        rig.wait(300)
        pauses = []
        while (sweep := await rig.turn(source))["state"] == "waiting":
            assert "500" in sweep["lastError"]
            pauses.append(await rig.due_in(source))
            rig.wait(pauses[-1])
        assert pauses == [1, 5]
        assert (sweep["state"], sweep["pages"], sweep["lastError"]) == ("completed", pages, None)
        assert len(upstream.calls) == pages + 2
        await survives(rig, upstream, source)


@pytest.mark.parametrize("type_", PAGED)
async def test_a_sweep_that_failed_half_way_goes_on_where_it_was(rig: Rig, type_: str):
    async with Upstream(type_, users=9) as upstream:
        source = await rig.baseline(upstream, interval=300, fullInterval=300)
        upstream.faults = [None, None, *[status(503)] * 4]
        rig.wait(300)
        assert (await rig.next_sweep(source))["state"] == "failed"
        assert len(upstream.calls) == 6
        sweep = await rig.next_sweep(source)
        assert (sweep["state"], sweep["pages"], sweep["seen"]) == ("completed", 3, 9)
        assert len(upstream.calls) == 7
        await survives(rig, upstream, source)


@pytest.mark.parametrize("type_", PAGED)
async def test_a_place_that_the_upstream_has_forgotten_is_no_place_to_go_on_from(rig: Rig, type_: str):
    async with Upstream(type_, users=9) as upstream:
        source = await rig.baseline(upstream)
        upstream.faults = [None, *[status(500)] * 4, status(400)]
        await rig.keeper.sweep("default", source)
        assert (await rig.next_sweep(source))["state"] == "failed"
        await rig.keeper.sweep("default", source)
        sweep = await rig.next_sweep(source)
        assert (sweep["state"], sweep["pages"], sweep["seen"]) == ("completed", 3, 9)
        await survives(rig, upstream, source)


@pytest.mark.parametrize("type_", PAGED)
async def test_a_sweep_that_stood_still_for_too_long_begins_anew(rig: Rig, type_: str):
    async with Upstream(type_, users=9) as upstream:
        source = await rig.baseline(upstream)
        upstream.faults = [None, *[status(500)] * 4]
        await rig.keeper.sweep("default", source)
        assert (await rig.next_sweep(source))["state"] == "failed"
        upstream.calls.clear()
        rig.wait(2 * 3600)
        assert (await rig.turn(source))["pages"] == 3
        assert len(upstream.calls) == 3
        await survives(rig, upstream, source)


async def test_an_upstream_that_never_answers_is_given_up(rig: Rig):
    async with Upstream("agendize.account", users=3) as upstream:
        source = await rig.baseline(upstream)
        rig.means.upstream._timeout = 0.05
        upstream.gate.clear()
        await rig.keeper.sweep("default", source)
        sweep = await rig.turn(source)
        assert (sweep["state"], sweep["lastError"]) == ("waiting", "no answer within 0.05 s")
        upstream.gate.set()
        rig.means.upstream._timeout = 5
        await survives(rig, upstream, source)


# Pages that move


@pytest.mark.parametrize("type_", PAGED)
async def test_the_same_user_on_two_pages(rig: Rig, type_: str):
    async with Upstream(type_, users=7) as upstream:
        source = await rig.baseline(upstream)
        twin = dict(upstream.users[1])  # and in between an older copy of another one
        older = json.loads(json.dumps(upstream.users[2]).replace("Ada", "Someone"))
        upstream.users |= {101: twin, 102: older}
        await rig.keeper.sweep("default", source)
        sweep = await rig.next_sweep(source)
        assert (sweep["state"], sweep["seen"], sweep["pages"]) == ("completed", 7, 3)
        assert await rig.changes() == []
        del upstream.users[101], upstream.users[102]
        await survives(rig, upstream, source)


@pytest.mark.parametrize("type_", PAGED)
@pytest.mark.parametrize("number", [2, 5, 9])
@pytest.mark.parametrize("to", ["first", "last"])
async def test_a_user_who_moves_to_another_page_during_the_sweep(rig: Rig, type_: str, number: int, to: str):
    async with Upstream(type_, users=9) as upstream:

        def move() -> None:
            user = upstream.users.pop(number)
            upstream.users = {number: user, **upstream.users} if to == "first" else {**upstream.users, number: user}

        source = await rig.baseline(upstream)
        upstream.between = {1: move, 2: move}
        await rig.keeper.sweep("default", source)
        sweep = await rig.next_sweep(source)
        assert (sweep["state"], sweep["deleted"]) == ("completed", 0)
        await survives(rig, upstream, source)


@pytest.mark.parametrize("type_", PAGED)
async def test_a_user_who_is_deleted_during_the_sweep_takes_nobody_along(rig: Rig, type_: str):
    async with Upstream(type_, users=9) as upstream:
        source = await rig.baseline(upstream)
        gone = upstream.id_of(1)
        upstream.between = {1: lambda: upstream.remove(1)}  # the fourth moves to the first page
        await rig.keeper.sweep("default", source)
        await rig.next_sweep(source)
        await rig.keeper.sweep("default", source)
        await rig.next_sweep(source)
        assert await rig.changes() == [("deleted", gone)]
        assert len(await rig.documents(type_)) == 8


@pytest.mark.parametrize("type_", PAGED)
@pytest.mark.parametrize(("before", "after"), [(3, 2), (2, 5), (5, 3)])
async def test_a_page_size_that_changes_during_the_sweep(rig: Rig, type_: str, before: int, after: int):
    async with Upstream(type_, users=17, page_size=before) as upstream:
        source = await rig.baseline(upstream)
        upstream.between = {1: lambda: setattr(upstream, "page_size", after)}
        await rig.keeper.sweep("default", source)
        await rig.next_sweep(source)
        await survives(rig, upstream, source)


@pytest.mark.parametrize("type_", PAGED)
async def test_pages_that_lead_in_a_circle(rig: Rig, type_: str):
    async with Upstream(type_, users=9) as upstream:
        source = await rig.baseline(upstream)
        first = upstream.page_url(1)

        def back(body: bytes) -> bytes:
            page = json.loads(body)
            if "links" in page:
                page["links"]["next"] = first
            else:
                page["meta"]["pagination"]["currentPage"] = 1
            return json.dumps(page).encode()

        once_more = Fault(body=back) if type_ == "rinkel.user" else None
        upstream.faults = [None, *[Fault(body=back), once_more] * 6]
        await rig.keeper.sweep("default", source)
        assert (await rig.next_sweep(source))["state"] == "failed"
        upstream.faults = []
        await survives(rig, upstream, source)


async def test_a_next_page_at_another_host_gets_none_of_our_credentials(rig: Rig):
    async with Upstream("outreach.user", users=7) as upstream, Upstream("outreach.user", users=7) as other:
        source = await rig.baseline(upstream, auth={"bearer": "the-token"})
        upstream.faults = [Fault(body=lambda body: body.replace(upstream.origin.encode(), other.origin.encode()))]
        await rig.keeper.sweep("default", source)
        await rig.next_sweep(source)
        assert other.calls == []
        await survives(rig, upstream, source)


# Emptiness


@pytest.mark.parametrize("type_", TYPES)
@pytest.mark.parametrize("users", [1, 3, 9])
async def test_an_empty_200_after_an_outage(rig: Rig, type_: str, users: int):
    async with Upstream(type_, users=users) as upstream:
        source = await rig.baseline(upstream, interval=60)
        await upstream.stop()
        assert (await rig.next_sweep(source))["state"] == "failed"
        await upstream.start()
        everyone, upstream.users = upstream.users, {}
        await rig.keeper.sweep("default", source)
        sweep = await rig.next_sweep(source)
        if sweep["state"] == "completed":  # it had a page to go on with
            await rig.keeper.sweep("default", source)
            sweep = await rig.next_sweep(source)
        assert (sweep["state"], sweep["heldDeletions"], sweep["deleted"]) == ("held", users, 0)
        upstream.users = everyone
        await survives(rig, upstream, source)


async def test_many_who_are_missing_at_once_are_held_until_an_operator_confirms(rig: Rig):
    async with Upstream("agendize.account", users=20) as upstream:
        source = await rig.baseline(upstream)
        for number in range(1, 7):
            upstream.remove(number)
        await rig.keeper.sweep("default", source)
        sweep = await rig.next_sweep(source)
        assert (sweep["state"], sweep["heldDeletions"]) == ("held", 6)
        assert "6 of 20" in sweep["lastError"]
        assert await rig.changes() == []
        await rig.keeper.confirm("default", source)
        sweep = await rig.turn(source)
        assert (sweep["state"], sweep["heldDeletions"]) == ("completed", 0)
        assert sorted(await rig.changes()) == [("deleted", f"{1000 + number}") for number in range(1, 7)]


@pytest.mark.parametrize(
    ("users", "gone", "share", "held"),
    [(20, 4, 0.1, 0), (20, 5, 0, 0), (40, 8, 0.2, 0), (40, 9, 0.2, 9), (20, 20, 1, 0), (7, 6, 0.5, 6)],
)
async def test_a_few_may_always_go_and_a_share_unasked(rig: Rig, users: int, gone: int, share: float, held: int):
    async with Upstream("agendize.account", users=users) as upstream:
        source = await rig.baseline(upstream, maxDeleteShare=share)
        for number in range(1, gone + 1):
            upstream.remove(number)
        await rig.keeper.sweep("default", source)
        sweep = await rig.next_sweep(source)
        assert (sweep["heldDeletions"], sweep["deleted"]) == (held, 0 if held else gone)


async def test_who_was_held_and_shows_up_again_is_not_deleted_by_a_late_confirmation(rig: Rig):
    async with Upstream("outreach.user", users=20) as upstream:
        source = await rig.baseline(upstream, interval=60, fullInterval=6000)
        everyone = dict(upstream.users)
        for number in range(1, 11):
            upstream.remove(number)
        await rig.keeper.sweep("default", source)
        assert (await rig.next_sweep(source))["heldDeletions"] == 10
        upstream.users[1] = everyone[1]
        upstream.rename(1, "Grace")
        sweep = await rig.next_sweep(source)  # an incremental one
        assert (sweep["full"], sweep["state"], sweep["heldDeletions"]) == (False, "held", 9)
        await rig.keeper.confirm("default", source)
        assert (await rig.turn(source))["heldDeletions"] == 0
        told = await rig.changes()
        assert ("deleted", "1") not in told
        assert sum(event == "deleted" for event, _ in told) == 9


async def test_who_was_held_and_is_shown_by_half_a_sweep_is_not_deleted_by_a_late_confirmation(rig: Rig):
    async with Upstream("rinkel.user", users=20) as upstream:
        source = await rig.baseline(upstream)
        everyone = dict(upstream.users)
        upstream.users = {number: everyone[number] for number in range(11, 21)}
        await rig.keeper.sweep("default", source)
        assert (await rig.next_sweep(source))["heldDeletions"] == 10
        upstream.users = everyone
        upstream.faults = [None, *[status(500)] * 4]
        await rig.keeper.sweep("default", source)
        assert (await rig.next_sweep(source))["state"] == "failed"
        await rig.keeper.confirm("default", source)
        upstream.always = status(500)
        await rig.turn(source)
        gone = {upstream.id_of(number) for number in range(4, 11)}  # the first page has shown three
        assert set(await rig.changes()) == {("deleted", id_) for id_ in gone}


# Credentials


@pytest.mark.parametrize("type_", PAGED)
async def test_a_token_that_expires_between_two_pages(rig: Rig, type_: str, authority):
    authority.add_client("poller", "the-client-secret")
    async with Upstream(type_, users=9) as upstream:
        upstream.admits = lambda headers: headers.get("Authorization") == f"Bearer {authority.issued[-1]}"
        upstream.between = {1: lambda: authority.issued.append("another one: what was issued before has expired")}
        oauth2 = {
            "grantType": "client_credentials",
            "clientId": "poller",
            "clientSecret": "the-client-secret",
            "accessTokenUrl": authority.token_url,
        }
        source = await rig.source(upstream, auth={"oauth2": oauth2})
        sweep = await rig.turn(source)
        assert (sweep["state"], sweep["seen"]) == ("completed", 9), sweep
        assert len(authority.asked) == 2
        await survives(rig, upstream, source)


async def test_a_rotated_refresh_token_is_stored_sealed_before_it_is_used(rig: Rig, authority, tmp_path):
    first = authority.issue(authority.add_client("poller", "the-client-secret"))
    async with Upstream("agendize.account", users=2) as upstream:
        upstream.admits = lambda headers: headers.get("Authorization") == f"Bearer {authority.issued[-1]}"
        oauth2 = {
            "clientId": "poller",
            "clientSecret": "the-client-secret",
            "refreshToken": first,
            "accessTokenUrl": authority.token_url,
        }
        source = await rig.source(upstream, auth={"oauth2": oauth2})
        assert (await rig.turn(source))["seen"] == 2
        row = await rig.row(source)
        stored = rig.keeper.open(row).auth.oauth2
        assert stored is not None
        assert stored.refresh_token in authority.good_refresh_tokens()
        assert stored.refresh_token not in (row.sealed or "")
        await survives(rig, upstream, source)


@pytest.mark.parametrize(
    ("auth", "expected"),
    [
        ({"basic": {"username": "u", "password": "pässword"}}, "Basic dTpww6Rzc3dvcmQ="),
        ({"bearer": "the-token"}, "Bearer the-token"),
        ({"headers": {"apiKey": "the-key", "token": "the-token"}}, "the-key"),
    ],
)
async def test_each_kind_of_credentials_reaches_the_upstream_and_no_error(rig: Rig, auth, expected: str):
    async with Upstream("agendize.account", users=2) as upstream:
        source = await rig.baseline(upstream, auth=auth)
        await rig.keeper.sweep("default", source)
        secret = expected.rpartition(" ")[2]
        echo = json.dumps({"error": {"message": f"bad credentials {expected} pässword the-token"}}).encode()
        upstream.faults = [status(403, echo)]
        sweep = await rig.turn(source)
        sent = upstream.calls[0].headers
        assert expected in (sent.get("Authorization"), sent.get("apiKey"))
        assert "bad credentials" in sweep["lastError"]
        for text in (secret, "pässword" if "basic" in auth else secret):
            assert text not in sweep["lastError"]
        await survives(rig, upstream, source)


# Errors that do not look like errors


@pytest.mark.parametrize(
    ("type_", "body"), [(type_, body) for type_, bodies in ERRORS_IN_200.items() for body in bodies]
)
async def test_a_200_that_holds_an_error(rig: Rig, type_: str, body):
    async with Upstream(type_, users=7) as upstream:
        source = await rig.baseline(upstream)
        upstream.faults = [Fault(body=json.dumps(body).encode())]
        await rig.keeper.sweep("default", source)
        sweep = await rig.turn(source)
        assert sweep["state"] == "waiting"
        assert "with an error" in sweep["lastError"] or "has no" in sweep["lastError"]
        await survives(rig, upstream, source)


# Waiting


def http_date(seconds: float) -> str:
    return format_datetime(datetime.fromtimestamp(seconds, UTC), usegmt=True)


def iso(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat().replace("+00:00", "Z")


WAITS: dict[str, Callable[[float], dict[str, str]]] = {  # of 120 seconds from a moment
    "seconds": lambda _now: {"Retry-After": "120"},
    "an HTTP date": lambda now: {"Retry-After": http_date(now + 120)},
    "ISO 8601": lambda now: {"Retry-After": iso(now + 120)},
    "a reset in seconds": lambda _now: {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "120"},
    "a reset at a time": lambda now: {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": f"{now + 120:.0f}"},
    "a reset in milliseconds": lambda now: {"RateLimit-Remaining": "0", "RateLimit-Reset": f"{(now + 120) * 1000:.0f}"},
}


@pytest.mark.parametrize("type_", TYPES)
@pytest.mark.parametrize("skew", [0, 7200, -7200], ids=["", "its clock is ahead", "its clock is behind"])
async def test_retry_after_in_every_form_and_by_the_upstreams_own_clock(rig: Rig, type_: str, skew: float):
    async with Upstream(type_, users=7) as upstream:
        source = await rig.baseline(upstream)
        for (name, wait), code in itertools.product(WAITS.items(), (429, 503)):
            theirs = rig.now // 1000 + skew
            headers = wait(theirs) | {"Date": http_date(theirs)}
            upstream.faults = [*[None] * (type_ in PAGED), status(code, b"{}", **headers)]
            await rig.keeper.sweep("default", source)
            sweep = await rig.turn(source)
            assert sweep["state"] == "waiting", name
            assert "wait until" in sweep["lastError"]
            assert 118 <= await rig.due_in(source) <= 121, name
            await rig.keeper.sweep("default", source)  # an operator cannot make it ask before
            assert await rig.claim(source) is None
            rig.wait(await rig.due_in(source))
            assert (await rig.turn(source))["state"] == "completed"
            await survives(rig, upstream, source)


async def test_who_is_told_to_wait_never_fails_however_often(rig: Rig):
    async with Upstream("agendize.account", users=3) as upstream:
        source = await rig.baseline(upstream)
        upstream.faults = [status(503, b"{}", **{"Retry-After": "60"})] * 10
        await rig.keeper.sweep("default", source)
        assert (await rig.next_sweep(source))["state"] == "completed"
        assert len(upstream.calls) == 11
        await survives(rig, upstream, source)


async def test_a_retry_after_that_makes_no_sense_is_as_good_as_none(rig: Rig):
    async with Upstream("agendize.account", users=3) as upstream:
        source = await rig.baseline(upstream)
        for value in ("", "soon", "-5", "1e9999", "Thu, 01 Jan 1970 00:00:00 GMT", "\U0001f914"):
            upstream.faults = [status(429, b"{}", **{"Retry-After": value})]
            await rig.keeper.sweep("default", source)
            assert (await rig.turn(source))["state"] == "waiting"
            assert await rig.due_in(source) == 1, value
            await survives(rig, upstream, source)


async def test_a_rate_limit_that_is_used_up_is_waited_for_between_two_pages_without_a_429(rig: Rig):
    async with Upstream("outreach.user", users=9) as upstream:
        source = await rig.baseline(upstream)
        upstream.faults = [None, Fault(headers={"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "30"})]
        await rig.keeper.sweep("default", source)
        sweep = await rig.turn(source)
        assert (sweep["state"], sweep["pages"], sweep["lastError"]) == ("waiting", 2, None)
        assert await rig.due_in(source) == 30
        rig.wait(30)
        assert (await rig.turn(source))["state"] == "completed"
        assert len(upstream.calls) == 3
        await survives(rig, upstream, source)


# Values


async def test_numbers_that_turn_into_strings_and_back(rig: Rig):
    async with Upstream("outreach.user", users=7) as upstream:
        source = await rig.baseline(upstream)
        for turned in (str, int):
            for user in upstream.users.values():
                user["id"] = turned(user["id"])
                user["relationships"]["profile"]["data"]["id"] = turned(1)
            await survives(rig, upstream, source)


async def test_numbers_that_turn_into_strings_are_told_when_they_are_other_numbers(rig: Rig):
    async with Upstream("agendize.account", users=2) as upstream:
        source = await rig.baseline(upstream)
        upstream.users[1] |= {"credit": "12.50", "additionalUsers": "1"}
        await survives(rig, upstream, source)
        upstream.users[1] |= {"credit": "13", "additionalUsers": 2.0}
        sweep = await rig.next_sweep(source)
        assert (sweep["updated"], sweep["schemaFaults"]) == (1, 1)
        assert await rig.changes() == [("updated", "1001")]
        document = (await rig.documents("agendize.account"))["1001"]
        assert (document["credit"], document["additionalUsers"]) == ("13", 2)


@pytest.mark.parametrize("skew", [86_400_000, -86_400_000], ids=["ahead", "behind"])
async def test_clocks_that_differ(rig: Rig, skew: int):
    async with Upstream("outreach.user", users=7) as upstream:
        upstream.headers = {"Date": http_date(rig.now / 1000 + skew / 1000)}
        source = await rig.baseline(upstream, interval=60, fullInterval=6000)
        upstream.rename(4, "Grace")
        sweep = await rig.next_sweep(source)
        assert (sweep["full"], sweep["updated"]) == (False, 1)
        assert await rig.changes() == [("updated", "4")]


async def test_an_update_from_the_future_hides_nothing(rig: Rig):
    async with Upstream("outreach.user", users=7) as upstream:
        upstream.ticks = 100
        upstream.headers = {"Date": upstream.http_time(50)}
        upstream.users[1]["attributes"]["updatedAt"] = "2199-01-01T00:00:00.000Z"
        source = await rig.baseline(upstream, interval=60, fullInterval=6000)
        upstream.rename(4, "Grace")
        sweep = await rig.next_sweep(source)
        assert (sweep["full"], sweep["updated"]) == (False, 1)


async def test_a_document_that_was_asked_for_before_a_push_was_committed_is_passed_over(rig: Rig):
    async with Upstream("outreach.user", users=7) as upstream:
        source = await rig.baseline(upstream)
        old = json.loads(json.dumps(upstream.users[2]))

        async def pushed(name: str) -> None:
            document = json.loads(json.dumps(old))
            document["attributes"]["firstName"] = name
            await rig.push("outreach.user", document)

        upstream.hooks = {1: lambda: pushed("Pushed")}  # while the answer to the first page is on its way
        await rig.keeper.sweep("default", source)
        sweep = await rig.turn(source)
        assert (sweep["overtaken"], sweep["updated"], sweep["deleted"]) == (1, 0, 0), sweep
        assert await rig.changes() == [("updated", "2")]
        assert (await rig.documents("outreach.user"))["2"]["attributes"]["firstName"] == "Pushed"
        upstream.rename(2, "Pushed")
        await rig.keeper.sweep("default", source)
        assert (await rig.next_sweep(source))["overtaken"] == 0
        assert await rig.changes() == [("updated", "2")]


async def test_a_late_page_does_not_bring_back_who_was_deleted_meanwhile(rig: Rig):
    async with Upstream("outreach.user", users=7) as upstream:
        source = await rig.baseline(upstream)
        upstream.hooks = {1: lambda: rig.erase("outreach.user", "2")}
        await rig.keeper.sweep("default", source)
        sweep = await rig.turn(source)
        assert (sweep["overtaken"], sweep["created"]) == (1, 0)
        assert await rig.changes() == [("deleted", "2")]
        assert "2" not in await rig.documents("outreach.user")


# Records that are none


@pytest.mark.parametrize("type_", TYPES)
async def test_a_record_without_identity_is_counted_and_nobody_is_deleted_after_it(rig: Rig, type_: str):
    async with Upstream(type_, users=3) as upstream:
        source = await rig.baseline(upstream)
        for count, id_ in enumerate([None, "", {"no": "id"}, [], True, 1.5, "x" * 300, "a\u0000b"], 1):
            upstream.users[2]["id"] = id_
            upstream.rename(3, f"Grace {count}")
            await rig.keeper.sweep("default", source)
            sweep = await rig.next_sweep(source)
            assert (sweep["state"], sweep["withoutIdentity"], sweep["deleted"]) == ("completed", 1, 0), id_
            assert "no usable id" in sweep["lastError"]
            assert await rig.changes() == [("updated", upstream.id_of(3))] * count
            assert len(await rig.documents(type_)) == 3


@pytest.mark.parametrize("type_", TYPES)
async def test_elements_that_are_no_records_are_counted(rig: Rig, type_: str):
    async with Upstream(type_, users=3, page_size=100) as upstream:
        source = await rig.baseline(upstream)

        def spoil(body: bytes) -> bytes:
            page = json.loads(body)
            elements = next(value for value in page.values() if isinstance(value, list))
            elements += [None, 1, "text", [], ["a"]]
            return json.dumps(page).encode()

        upstream.faults = [Fault(body=spoil)]
        await rig.keeper.sweep("default", source)
        sweep = await rig.next_sweep(source)
        assert (sweep["state"], sweep["seen"], sweep["withoutIdentity"]) == ("completed", 3, 5)
        await survives(rig, upstream, source)


UNKEEPABLE = {
    "1e400": b"1e400",
    "-1e400": b"-1e400",
    "2**64": b"18446744073709551616",
    "5000 digits": b"1" * 5000,
    "NaN": b"NaN",
    "a lone surrogate": b'"\\ud800"',
    "a name twice": b'{"a":1,"a":2}',
    "too deep": b"[" * 70 + b"]" * 70,
}


@pytest.mark.parametrize("type_", TYPES)
async def test_a_record_that_cannot_be_kept_is_counted_and_stays_as_it_was_while_the_others_go_on(rig: Rig, type_: str):
    async with Upstream(type_, users=3) as upstream:
        source = await rig.baseline(upstream)
        upstream.rename(2, "<here>")
        for count, (name, value) in enumerate(UNKEEPABLE.items(), 1):
            upstream.rename(3, f"Grace {count}")
            upstream.always = Fault(body=lambda body, value=value: body.replace(b'"<here>"', value))
            await rig.keeper.sweep("default", source)
            sweep = await rig.next_sweep(source)
            assert (sweep["state"], sweep["unreadable"], sweep["seen"]) == ("completed", 1, 3), name
            assert sweep["lastFault"].startswith(upstream.id_of(2))
            assert await rig.changes() == [("updated", upstream.id_of(3))] * count


async def test_64_bits_and_doubles_are_exact(rig: Rig):
    values = [2**64 - 1, -(2**63), 2**53 + 1, 0.1, 1e-300, 1.7976931348623157e308, -0.0]
    async with Upstream("agendize.account", users=1) as upstream:
        upstream.users[1]["numbers"] = values
        await rig.baseline(upstream)
        assert (await rig.documents("agendize.account"))["1001"]["numbers"] == values


async def test_what_the_type_does_not_declare_or_breaks_its_schema_is_delivered_and_counted(rig: Rig):
    async with Upstream("agendize.account", users=3) as upstream:
        source = await rig.baseline(upstream)
        upstream.users[1] |= {"status": "asleep", "additionalUsers": "many", "new": {"member": 1}}
        await rig.keeper.sweep("default", source)
        sweep = await rig.next_sweep(source)
        assert (sweep["updated"], sweep["schemaFaults"]) == (1, 1)
        assert sweep["lastFault"].startswith("1001: /")
        document = (await rig.documents("agendize.account"))["1001"]
        assert (document["status"], document["additionalUsers"], document["new"]) == ("asleep", "many", {"member": 1})
