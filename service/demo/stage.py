"""The stage: the real service on a temporary database, a receiver beside it, and perhaps a vendor to be polled."""

from __future__ import annotations

import math
import secrets
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, fields, replace
from pathlib import Path

import aiohttp

from service import app, config
from service.config import Settings
from service.demo import receiver
from service.demo.caller import Caller
from service.demo.receiver import Hook
from service.receiver.manners import Manners

PATIENCE = aiohttp.ClientTimeout(total=15)
BASIC = ("audit", "correct horse battery staple")


@dataclass(frozen=True, slots=True)
class Stage:
    """Everything that the story needs."""

    caller: Caller  # of the service
    directory: Caller  # of where resources are changed: the service itself, or the one that plays the vendor
    receiver: str  # where the hooks are: a URL
    everything: Hook  # the whole resource, with its previous version and the diff
    shaped: Hook  # what a template makes of it
    audit: Hook  # behind HTTP Basic, and it stumbles: the first attempt of each delivery is answered 503
    billing: Hook  # is down, as long as the story wants it to be
    notices: Hook  # hears how the others do

    def forget(self) -> None:
        """Drop what has arrived, when nobody looks at it."""
        for member in fields(self):
            if isinstance(hook := getattr(self, member.name), Hook):
                hook.forget()


def settings(directory: Path) -> Settings:
    """Settings of a service that lives in this directory, whatever the environment says.

    It has the types of the usual configuration, but none of its sources: those are somebody's real ones.
    """
    database, home = directory.resolve() / "demo.db", directory.resolve() / "config"
    loaded = config.load(
        None,
        {
            "WATCH_DATABASE_URL": f"sqlite:///{database}",
            "WATCH_HOST": "127.0.0.1",
            "WATCH_PORT": "0",
            "WATCH_ADMIN_KEY": f"demo_{secrets.token_urlsafe(24)}",
            "WATCH_SECRET_KEY": secrets.token_urlsafe(32),
            "WATCH_EGRESS_ALLOW": "127.0.0.0/8",
            "WATCH_DELIVERY_SHUTDOWN_GRACE": "1",
        },
    )
    chosen = replace(loaded, directory=home)
    home.mkdir(parents=True)
    chosen.resources.symlink_to(loaded.resources.resolve(), target_is_directory=True)
    return chosen


@asynccontextmanager
async def opened(chosen: Settings, vendor: Settings | None = None) -> AsyncIterator[Stage]:
    """Start the receiver, the vendor if there is one, and the service; stop all of them at the end."""
    hooks = (
        Hook("/everything"),
        Hook("/shaped"),
        Hook("/audit", basic=BASIC, manners=Manners(fail_first=1)),
        Hook("/billing", refuses=math.inf, takes=0.03),
        Hook("/notices"),
    )
    async with AsyncExitStack() as stack:
        hooks_url = await stack.enter_async_context(receiver.opened(*hooks))
        session = await stack.enter_async_context(aiohttp.ClientSession(timeout=PATIENCE))
        directory = None if vendor is None else await _start(vendor, session, stack, "directory")
        caller = await _start(chosen, session, stack, "service" if directory else "")
        yield Stage(caller, directory or caller, hooks_url, *hooks)


async def _start(chosen: Settings, session: aiohttp.ClientSession, stack: AsyncExitStack, name: str) -> Caller:
    running = await stack.enter_async_context(app.running(chosen))
    return Caller(session, running.url, chosen.admin.key or "", name)
