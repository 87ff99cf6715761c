"""One page over HTTP: what is asked, and where our credentials go."""

from __future__ import annotations

import pytest

from service import __version__
from service.changes.dialects.codec import Page
from service.changes.dialects.items import Items
from service.changes.poll.upstream import Reading, Refusal
from service.model import Json
from tests.support.polling import Rig
from tests.support.upstream import Fault, Upstream


class Wandering(Items):
    """A dialect whose pages lead where the answer says."""

    def __init__(self, next_url: str) -> None:
        self.next_url = next_url

    def read_page(self, _url: str, _body: Json) -> Page:
        return Page([], self.next_url)


async def fetch(rig: Rig, upstream: Upstream, dialect: Items) -> Reading | Refusal:
    kept = await rig.keeper.create("default", {"type": upstream.type, "url": upstream.url, "auth": {"bearer": "x"}})
    return await rig.means.upstream.fetch(kept.source, dialect, f"{upstream.url}/resellers/accounts")


@pytest.mark.parametrize(
    "next_url",
    [
        "http://127.0.0.2:{port}/api",
        "http://127.0.0.1:1/api",
        "https://127.0.0.1:{port}/api",
        "http://user@127.0.0.1:{port}/api",
        "http://127.0.0.1:{port}@evil.example.com/",
        "http://127.0.0.1:{port}\\@evil.example.com/",
        "//evil.example.com/",
        "/api",
        "javascript:alert(1)",
        "",
    ],
)
async def test_a_next_page_at_another_origin_is_refused_for_good(rig: Rig, next_url: str):
    async with Upstream("agendize.account", users=1) as upstream:
        result = await fetch(rig, upstream, Wandering(next_url.format(port=upstream.port)))
        assert isinstance(result, Refusal)
        assert result.final
        assert "another origin" in result.detail


@pytest.mark.parametrize("next_url", ["http://127.0.0.1:{port}/elsewhere?a=b", "HTTP://127.0.0.1:{port}?cursor=%2F%40"])
async def test_a_next_page_at_the_same_origin_is_taken(rig: Rig, next_url: str):
    async with Upstream("agendize.account", users=1) as upstream:
        result = await fetch(rig, upstream, Wandering(next_url.format(port=upstream.port)))
        assert isinstance(result, Reading)


async def test_what_is_sent(rig: Rig):
    async with Upstream("agendize.account", users=1) as upstream:
        assert isinstance(await fetch(rig, upstream, Items()), Reading)
        (call,) = upstream.calls
        assert {name.lower(): value for name, value in call.headers.items()} == {
            "host": f"127.0.0.1:{upstream.port}",
            "accept": "application/json",
            "accept-encoding": "identity",
            "user-agent": f"webhook-watch/{__version__}",
            "authorization": "Bearer x",
        }


async def test_a_page_has_an_end(rig: Rig, monkeypatch):
    monkeypatch.setattr("service.changes.poll.upstream.PAGE_LIMIT", 1000)
    async with Upstream("agendize.account", users=9) as upstream:
        result = await fetch(rig, upstream, Items())
        assert isinstance(result, Refusal)
        assert "more than 1000 bytes" in result.detail


async def test_an_error_shows_no_query_and_no_control_characters(rig: Rig):
    async with Upstream("agendize.account", users=1) as upstream:
        upstream.always = Fault(status=500, body=b'{"error": {"message": "a\\u0000b\\u0007 \\ud800"}}')
        result = await fetch(rig, upstream, Items())
        assert isinstance(result, Refusal)
        assert "\x00" not in result.detail
        result.detail.encode()
