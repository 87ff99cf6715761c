"""A real OAuth2 provider for tests: npm's oidc-provider, under node, and a browser without a screen that uses it.

It is installed once, outside of this tree, into the user's cache. Without node and npm, or a registry that npm can
reach, tests that ask for it are skipped, and say so.
"""

from __future__ import annotations

import contextlib
import html
import json
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qsl, urljoin, urlsplit

import aiohttp
import pytest

VERSION = "9.13.3"
SCRIPT = Path(__file__).with_name("provider.mjs")
CLIENT = {"clientId": "crm", "clientSecret": "the-client-secret"}


@dataclass(frozen=True, slots=True)
class Provider:
    """One that runs."""

    url: str

    @property
    def oauth2(self) -> dict[str, str]:
        """The ``oauth2Auth`` of a watch whose owner has not consented yet."""
        return {
            **CLIENT,
            "authUrl": f"{self.url}/auth?prompt=consent",
            "accessTokenUrl": f"{self.url}/token",
            "scope": "openid offline_access",
        }


@contextlib.contextmanager
def running(redirect_uri: str) -> Iterator[Provider]:
    """Start one that sends browsers to this URI."""
    node, library = shutil.which("node"), _installed()
    assert node is not None
    with subprocess.Popen(  # its input ends with us, and then so does it
        [node, SCRIPT, library, redirect_uri],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        try:
            said = process.stdout.readline()
            assert said, "the provider ended before it was ready"
            yield Provider(f"http://127.0.0.1:{json.loads(said)['port']}")
        finally:
            process.stdin.close()
            process.wait(10)


def _installed() -> Path:
    """The library's file, installed if need be; skips the test where it cannot be."""
    npm = shutil.which("npm")
    if npm is None or shutil.which("node") is None:
        pytest.skip("node and npm are not here: no test against a real OAuth2 provider (npm's oidc-provider)")
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "webhook-watch-tests"
    home = cache / f"oidc-provider-{VERSION}"
    if not home.is_dir():
        cache.mkdir(parents=True, exist_ok=True)
        draft = Path(tempfile.mkdtemp(dir=cache))
        command = [npm, "install", "--prefix", draft, "--no-audit", "--no-fund", "--ignore-scripts"]
        done = subprocess.run([*command, f"oidc-provider@{VERSION}"], check=False, capture_output=True, timeout=100)
        if done.returncode:
            shutil.rmtree(draft)
            pytest.skip(f"npm cannot install oidc-provider {VERSION}, so no test against it: {done.stderr.decode()}")
        try:
            draft.rename(home)
        except OSError:  # another run was quicker
            shutil.rmtree(draft)
    return home / "node_modules" / "oidc-provider" / "lib" / "index.js"


class Browser:
    """Follows the provider's redirects and posts its forms, and stops where it is sent somewhere else."""

    def __init__(self) -> None:
        self._session = aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._session.close()

    async def consent(self, url: str) -> dict[str, str]:
        """Log in and say yes; the parameters that the provider sends the browser back with."""
        return await self._browse(url, aborts=False)

    async def decline(self, url: str) -> dict[str, str]:
        """Log in and say no."""
        return await self._browse(url, aborts=True)

    async def _browse(self, url: str, *, aborts: bool) -> dict[str, str]:
        home, here = urlsplit(url).netloc, url
        form: Mapping[str, str] | None = None
        for _ in range(20):
            method = "GET" if form is None else "POST"
            async with self._session.request(method, here, data=form, allow_redirects=False) as answer:
                text = await answer.text()
                location = answer.headers.get("Location")
            form = None
            if location is not None:
                here = urljoin(here, location)
                if urlsplit(here).netloc != home:
                    return {"to": here.partition("?")[0], **dict(parse_qsl(urlsplit(here).query))}
                continue
            assert answer.status == 200, text
            prompt = _found(r'name="prompt" value="(\w+)"', text)
            if prompt == "consent" and aborts:
                here = urljoin(here, _found(r'href="([^"]*/abort)"', text))
                continue
            here = urljoin(here, _found(r'<form[^>]*action="([^"]+)"', text))
            form = {"prompt": prompt, "login": "ann", "password": "any"}
        raise AssertionError(f"the provider does not come to an end, last at {here}")


async def userinfo(provider: Provider, authorization: str) -> Any:
    """Whom the provider takes the bearer of this header's token for; None: it does not take it."""
    headers = {"Authorization": authorization}
    async with aiohttp.ClientSession() as session, session.get(f"{provider.url}/me", headers=headers) as answer:
        return await answer.json() if answer.status == 200 else None


def _found(pattern: str, text: str) -> str:
    match = re.search(pattern, text)
    assert match is not None, f"no {pattern} in {text}"
    return html.unescape(match[1])
