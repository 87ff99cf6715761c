"""Sources that files declare."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from service import errors
from tests.support import running
from tests.support.sources import swept
from tests.support.upstream import Upstream


@pytest.fixture
def config(tmp_path: Path) -> Path:
    directory = tmp_path / "config"
    shutil.copytree(running.ROOT / "config", directory)
    return directory


def declare(config: Path, text: str, name: str = "crm.toml") -> None:
    (config / "sources" / name).write_text(text)


def text(url: str = "https://api.example.com/v2", more: str = "") -> str:
    return f'type = "outreach.user"\nurl = "{url}"\ninterval = 3600\n{more}'


async def shown(directory: Path, config: Path, path: str = "/api/v1/sources") -> Any:
    async with running.service(directory, config) as service:
        answer = await service.admin.get(path)
        return answer.body["items"] if answer.status == 200 else answer.problem(404)


async def test_the_example_declares_nothing(tmp_path: Path, config: Path):
    assert await shown(tmp_path, config) == []


async def test_the_example_is_right(tmp_path: Path, config: Path, monkeypatch):
    monkeypatch.setenv("OUTREACH_CLIENT_SECRET", "a-secret")
    monkeypatch.setenv("OUTREACH_REFRESH_TOKEN", "a-token")
    example = config / "sources" / "outreach.toml.example"
    example.rename(config / "sources" / "outreach.toml")
    (source,) = await shown(tmp_path, config)
    assert (source["id"], source["type"]) == ("src_file_outreach", "outreach.user")
    assert set(source["secretsSet"]) == {"/auth/oauth2/clientSecret", "/auth/oauth2/refreshToken"}


async def test_a_declared_source_is_polled_and_changed_in_its_file_only(tmp_path: Path, config: Path):
    async with Upstream("outreach.user", users=3) as upstream:
        declare(config, text(upstream.url))
        async with running.service(tmp_path, config) as service:
            path = "/api/v1/sources/src_file_crm"
            for method in ("PATCH", "DELETE"):
                problem = (await service.admin.call(method, path, {} if method == "PATCH" else None)).problem(409)
                assert "crm.toml" in problem["detail"]
            assert (await service.admin.post(f"{path}/pause")).status == 200
        (source,) = await shown(tmp_path, config)
        assert source["status"] == "paused", "what an operator did stays so"
        declare(config, text(upstream.url, 'name = "CRM"'))
        (source,) = await shown(tmp_path, config)
        assert (source["status"], source["name"]) == ("paused", "CRM")


async def test_a_source_whose_file_is_gone_is_paused_until_it_is_back(tmp_path: Path, config: Path):
    declare(config, text())
    await shown(tmp_path, config)
    (config / "sources" / "crm.toml").unlink()
    async with running.service(tmp_path, config) as service:
        (source,) = (await service.admin.get("/api/v1/sources")).body["items"]
        assert (source["status"], source["statusReason"]) == ("paused", "undeclared")
        assert "is gone" in (await service.admin.post(f"{source['selfLink']}/resume")).problem(409)["detail"]
    declare(config, text())
    async with running.service(tmp_path, config) as service:
        (source,) = (await service.admin.get("/api/v1/sources")).body["items"]
        assert (source["status"], source["statusReason"]) == ("active", None)
    (config / "sources" / "crm.toml").unlink()
    async with running.service(tmp_path, config) as service:
        assert (await service.admin.delete("/api/v1/sources/src_file_crm")).status == 204
    assert await shown(tmp_path, config) == []


async def test_a_rotated_refresh_token_outlives_a_restart_until_its_file_changes(
    tmp_path: Path, config: Path, authority
):
    first = authority.issue(authority.add_client("poller", "s"))

    def oauth2(token: str) -> str:
        return (
            f'[auth.oauth2]\nclientId = "poller"\nclientSecret = "s"\nrefreshToken = "{token}"\n'
            f'accessTokenUrl = "{authority.token_url}"\n'
        )

    async with Upstream("outreach.user", users=3) as upstream:
        upstream.admits = lambda headers: headers.get("Authorization") == f"Bearer {authority.issued[-1]}"
        declare(config, text(upstream.url, oauth2(first)))
        for _ in range(2):
            async with running.service(tmp_path, config) as service:
                assert (await swept(service.admin, "src_file_crm"))["sweep"]["state"] == "completed"
        assert authority.asked[0]["refresh_token"] == first
        assert len({asked["refresh_token"] for asked in authority.asked}) == 2
        fresh = authority.issue(authority.find_client("poller"))
        declare(config, text(upstream.url, oauth2(fresh)))
        async with running.service(tmp_path, config) as service:
            await service.admin.post("/api/v1/sources/src_file_crm/sweep")
            await authority.wait_for(3)
        assert authority.asked[-1]["refresh_token"] == fresh


async def test_a_tenant_is_made_for_its_source(tmp_path: Path, config: Path):
    declare(config, text(more='tenant = "acme"'))
    async with running.service(tmp_path, config) as service:
        assert (await service.admin.get("/api/v1/sources")).body["items"] == []
        acme = await service.admin.key_of("operator", "acme")
        assert len((await acme.get("/api/v1/sources")).body["items"]) == 1


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("type = ", "crm.toml: cannot be read"),
        (text(more="intervall = 5"), "crm.toml: intervall: is not declared"),
        ('type = "outreach.user"', "crm.toml: url: is required"),
        (text(more='type2 = "x"\n[auth]\nbearer = 5'), "auth.bearer: must be a string"),
        (
            text(more='[auth]\nbearer = "env:NO_SUCH_VARIABLE"'),
            "auth.bearer: the environment variable NO_SUCH_VARIABLE",
        ),
        (text(more='tenant = "Not A Name"'), "crm.toml: tenant: must be"),
        (text(more="name = 2026-01-01"), "crm.toml: cannot be read"),
        (text(more="maxDeleteShare = nan"), "crm.toml: "),
        (text().replace("outreach", "no"), "crm.toml: type: is no known resource type"),
    ],
)
async def test_a_wrong_file_stops_the_start_with_its_name_and_the_reason(tmp_path: Path, config: Path, content, said):
    declare(config, content)
    declare(config, text(more="name = 5"), "second.toml")
    with pytest.raises(errors.ConfigError) as refusal:
        async with running.service(tmp_path, config):
            pass
    assert said in refusal.value.detail
    assert "second.toml: name: must be a string" in refusal.value.detail


async def test_the_type_of_a_declared_source_cannot_change(tmp_path: Path, config: Path):
    declare(config, text())
    await shown(tmp_path, config)
    declare(config, text().replace("outreach.user", "rinkel.user"))
    with pytest.raises(errors.ConfigError, match=r"crm\.toml.*another name"):
        await shown(tmp_path, config)
