"""The stage: the real service on a temporary database, and a receiver beside it."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp

from service import app, config
from service.config import Settings
from service.demo.caller import Caller
from service.demo.receiver import Hook, Receiver

PATIENCE = aiohttp.ClientTimeout(total=15)
BASIC = ("audit", "correct horse battery staple")


@dataclass(frozen=True, slots=True)
class Stage:
    """Everything that the story needs."""

    caller: Caller
    receiver: Receiver
    everything: Hook  # the whole resource, with its previous version and the diff
    shaped: Hook  # what a template makes of it
    audit: Hook  # behind HTTP Basic, and it stumbles: the first attempt of each delivery is answered 503
    key: str  # the service's bootstrap API key

    def forget(self) -> None:
        """Drop what has arrived, when nobody looks at it."""
        for hook in (self.everything, self.shaped, self.audit):
            hook.forget()


def settings(directory: Path) -> Settings:
    """Settings of a service that lives in this directory, whatever the environment says."""
    return config.load(
        None,
        {
            "WATCH_DATABASE_URL": f"sqlite:///{directory.resolve()}/demo.db",
            "WATCH_HOST": "127.0.0.1",
            "WATCH_PORT": "0",
            "WATCH_ADMIN_KEY": f"demo_{secrets.token_urlsafe(24)}",
            "WATCH_SECRET_KEY": secrets.token_urlsafe(32),
            "WATCH_EGRESS_ALLOW": "127.0.0.0/8",
            "WATCH_DELIVERY_SHUTDOWN_GRACE": "1",
        },
    )


@asynccontextmanager
async def opened(chosen: Settings) -> AsyncIterator[Stage]:
    """Start the service and the receiver; stop both at the end."""
    hooks = Hook("/everything"), Hook("/shaped"), Hook("/audit", basic=BASIC, stumbles=True)
    key = chosen.admin.key or ""
    headers = {"Authorization": f"Bearer {key}"}
    async with (
        Receiver(*hooks) as receiver,
        app.running(chosen) as running,
        aiohttp.ClientSession(headers=headers, timeout=PATIENCE) as session,
    ):
        yield Stage(Caller(session, running.url), receiver, *hooks, key)
