"""The README's receivers, as they stand there, against a callback of ours."""

from __future__ import annotations

import contextlib
import re
import shutil
import sys
import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support import foreign
from tests.support.receiver import Call, Receiver
from tests.support.running import ACCOUNTS, Client

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
SECTION = "### Verify a callback\n"
NPM_LIBRARY = "standardwebhooks@1.1.1"
GO_LIBRARY = "github.com/standard-webhooks/standard-webhooks/libraries@v0.0.1"
BUILT_WITHIN = 400  # seconds; the first time, Go compiles its own library too
OTHER_SECRET = "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"


def snippet(language: str) -> str:
    """The one block of this language in the section."""
    section = README.partition(SECTION)[2].partition("\n### ")[0]
    (found,) = re.findall(rf"^```{language}\n(.*?)^```$", section, re.DOTALL | re.MULTILINE)
    return str(found)


def python(directory: Path) -> list[str]:
    (directory / "receiver.py").write_text(snippet("python"), encoding="utf-8")
    return [sys.executable, "receiver.py"]


def node(directory: Path) -> list[str]:
    library = foreign.npm_packages(NPM_LIBRARY)
    (directory / "node_modules").symlink_to(library / "node_modules", target_is_directory=True)
    (directory / "receiver.mjs").write_text(snippet("js"), encoding="utf-8")
    return [str(shutil.which("node")), "receiver.mjs"]


def go(directory: Path) -> list[str]:
    if shutil.which("go") is None:
        pytest.skip("go is not installed: the README's receiver in Go is not tried")
    (directory / "main.go").write_text(snippet("go"), encoding="utf-8")
    for command in (("mod", "init", "receiver"), ("get", GO_LIBRARY), ("build", "-o", "receiver", ".")):
        foreign.run("go", *command, within=BUILT_WITHIN, cwd=directory)
    return [str(directory / "receiver")]


@dataclass(frozen=True)
class Heard:
    """A callback as it was on the wire, and the secret of its watch."""

    call: Call
    secret: str


@dataclass(frozen=True)
class Tried:
    """A receiver of the README, running."""

    url: str
    log: Path
    client: Client

    async def answers(self, body: bytes, headers: Mapping[str, str]) -> int:
        """The status with which it answers a callback."""
        async with self.client.session.post(self.url, data=body, headers=headers) as answer:
            return answer.status


@pytest.fixture
async def heard(admin: Client, receiver: Receiver) -> Heard:
    """A callback of a real change."""
    watch = await admin.watch(receiver.url, signature={"enabled": True}, addPreviousData=True)
    account = {"email": "bjørk@example.com", "profile": {"id": "1"}, "firstName": "Björk 🦄"}
    assert (await admin.post(ACCOUNTS, account)).status == 200
    (came,) = await receiver.wait_for(1)
    return Heard(came, watch["signature"]["secret"])


@contextlib.asynccontextmanager
async def tried(language: str, secret: str, client: Client, port: int, directory: Path) -> AsyncIterator[Tried]:
    command = {"python": python, "node": node, "go": go}[language](directory)
    url = f"http://127.0.0.1:{port}/"
    async with foreign.served(url, *command, directory=directory, WEBHOOK_SECRET=secret, PORT=str(port)) as log:
        yield Tried(url, log, client)


@pytest.mark.timeout(BUILT_WITHIN + 60)
@pytest.mark.parametrize("language", ["python", "node", "go"])
async def test_each_receiver_of_the_readme_believes_us_and_nobody_else(
    language: str, heard: Heard, admin: Client, unused_tcp_port: int, tmp_path: Path
):
    call = heard.call
    headers = {name: value for name, value in call.headers.items() if name.lower() != "content-length"}
    old = str(int(time.time()) - 1000)
    async with tried(language, heard.secret, admin, unused_tcp_port, tmp_path) as receiver:
        assert await receiver.answers(call.body, headers) == 204
        for wrong in (
            await receiver.answers(call.body.replace(b"example.com", b"example.org"), headers),
            await receiver.answers(call.body + b" ", headers),
            await receiver.answers(b"", headers),
            await receiver.answers(call.body, {**headers, "webhook-id": "dlv_0"}),
            await receiver.answers(call.body, {**headers, "webhook-timestamp": old}),
            await receiver.answers(call.body, {**headers, "webhook-signature": "v1,bm9uc2Vuc2U= nonsense"}),
            await receiver.answers(call.body, {"content-type": "application/json"}),
        ):
            assert wrong == 401
        assert await receiver.answers(call.body, headers) == 204
        said = [line for line in receiver.log.read_text(encoding="utf-8").splitlines() if line.startswith("agendize")]

    assert said == [f"agendize.account.created {call.json()['id']}"] * 2
