"""A real OAuth2 provider for tests: npm's oidc-provider, under node, and a browser without a screen that uses it.

Without node and npm, or a registry that npm can reach, tests that ask for it are skipped, and say so.
"""

from __future__ import annotations

import contextlib
import html
import json
import re
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qsl, urljoin, urlsplit

import aiohttp

from tests.support import foreign

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
    packages = foreign.npm_packages(f"oidc-provider@{VERSION}")
    library = packages / "node_modules" / "oidc-provider" / "lib" / "index.js"
    with subprocess.Popen(  # its input ends with us, and then so does it
        ["node", SCRIPT, library, redirect_uri],
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
