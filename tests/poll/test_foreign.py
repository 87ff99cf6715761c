"""The poller against upstreams that nobody here wrote."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.support import foreign, polling, running
from tests.support.polling import TENANT, Rig
from tests.support.running import ADMIN_KEY

pytestmark = pytest.mark.timeout(400)  # the first run installs them

SCIM_USER = {
    "name": "scim.user",
    "collection": "/scim/v2/Users",
    "dialect": "scim",
    "identity": ["id", "userName"],
    "ignore": ["meta.lastModified", "meta.version"],
    "schema": {
        "type": "object",
        "properties": {"id": {"type": "string", "readOnly": True}, "userName": {"type": "string"}},
    },
}
CORE = "urn:ietf:params:scim:schemas:core:2.0:User"


def configured(directory: Path, *types: dict[str, Any]) -> Path:
    """The configuration with more types: a file for each, and no code."""
    config = directory / "config"
    shutil.copytree(running.ROOT / "config", config)
    for each in types:
        (config / "resources" / f"{each['name']}.json").write_text(json.dumps(each))
    return config


async def sweep(rig: Rig, source: str) -> Any:
    await rig.keeper.sweep(TENANT, source)
    swept = await rig.next_sweep(source)
    assert (swept["state"], swept["lastError"], swept["lastFault"]) == ("completed", None, None), swept
    return swept


async def test_a_scim_server(tmp_path: Path, unused_tcp_port: int):
    package = foreign.python_package("scim2-server", "0.8.3")
    base = f"http://127.0.0.1:{unused_tcp_port}/v2"
    script = str(package / "bin" / "scim2-server")
    command = (sys.executable, script, "--port", str(unused_tcp_port), "--bearer-token", "the-token")
    async with (
        foreign.served(f"{base}/ServiceProviderConfig", *command, directory=tmp_path, PYTHONPATH=str(package)),
        polling.rig(tmp_path, configured(tmp_path, SCIM_USER)) as rig,
        aiohttp.ClientSession(
            headers={"Authorization": "Bearer the-token", "Content-Type": "application/scim+json"}
        ) as session,
    ):

        async def call(method: str, path: str, body: Any = None) -> Any:
            data = None if body is None else json.dumps(body)
            async with session.request(method, base + path, data=data) as answer:
                assert answer.ok, await answer.text()
                return await answer.json(content_type=None) if answer.status != 204 else None

        users = [
            await call("POST", "/Users", {"schemas": [CORE], "userName": f"user{number}", "name": {"givenName": "Ada"}})
            for number in range(12)
        ]
        # three pages: the server gives no more than it is asked for
        source = (
            await rig.keeper.create(
                TENANT, {"type": "scim.user", "url": base, "auth": {"bearer": "the-token"}, "maxDeleteShare": 1}
            )
        ).source.id
        assert (await rig.next_sweep(source))["seen"] == 12
        assert await rig.changes() == []
        assert "127.0.0.1" not in json.dumps(await rig.documents("scim.user"))

        one, two = users[3]["id"], users[5]["id"]
        await call(
            "PATCH",
            f"/Users/{one}",
            {
                "schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"],
                "Operations": [{"op": "replace", "path": "name.givenName", "value": "Grace"}],
            },
        )
        await call("DELETE", f"/Users/{two}")
        new = await call("POST", "/Users", {"schemas": [CORE], "userName": "newcomer"})
        await sweep(rig, source)
        assert sorted(await rig.changes()) == [("created", new["id"]), ("deleted", two), ("updated", one)]
        await sweep(rig, source)
        assert len(await rig.changes()) == 3


async def test_prism_finds_that_our_requests_and_answers_keep_the_vendors_contract(
    tmp_path: Path, unused_tcp_port: int
):
    package = foreign.npm_packages("@stoplight/prism-cli@5.14.2", "@opensdks/sdk-outreach@0.0.16")
    document = package / "node_modules" / "@opensdks" / "sdk-outreach" / "outreach.oas.json"
    prism = package / "node_modules" / ".bin" / "prism"
    proxy = f"http://127.0.0.1:{unused_tcp_port}"
    for name in "ab":
        (tmp_path / name).mkdir()
    async with running.service(tmp_path / "a") as hosting:
        behind = f"{hosting.running.url}/outreach/api/v2"
        options = ("--host", "127.0.0.1", "--port", str(unused_tcp_port), "--errors")
        async with (
            foreign.served(proxy, str(prism), "proxy", str(document), behind, *options, directory=tmp_path) as log,
            polling.rig(tmp_path / "b") as rig,
        ):

            async def post(number: int) -> Any:
                attributes = {
                    "email": f"user{number}@example.com",
                    "firstName": "Ada",
                    "lastName": "Lovelace",
                    "username": f"user{number}",
                }
                made = await hosting.admin.post(
                    "/outreach/api/v2/users",
                    {"data": {"type": "user", "attributes": attributes}},
                    headers={"Content-Type": "application/vnd.api+json"},
                )
                assert made.status == 201, made.text
                return made.body["data"]["id"]

            ids = [await post(number) for number in range(4)]
            body = {"type": "outreach.user", "url": proxy, "auth": {"bearer": ADMIN_KEY}, "interval": 60}
            source = (await rig.keeper.create(TENANT, body)).source.id
            swept = await rig.next_sweep(source)
            assert (swept["state"], swept["seen"], swept["lastError"]) == ("completed", 4, None), swept
            changed = await hosting.admin.patch(
                f"/outreach/api/v2/users/{ids[1]}",
                {"data": {"type": "user", "id": ids[1], "attributes": {"firstName": "Grace"}}},
                headers={"Content-Type": "application/vnd.api+json"},
            )
            assert changed.status == 200, changed.text
            incremental = await rig.next_sweep(source)
            assert (incremental["full"], incremental["updated"]) == (False, 1), incremental
            new = await post(5)
            await rig.next_sweep(source)
            assert await rig.changes() == [("updated", str(ids[1])), ("created", str(new))]
            said = log.read_text()
            assert said.count("The upstream call to /users has returned 200") == 3
            assert "iolation" not in said, said
