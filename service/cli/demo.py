"""``webhook-watch demo``: the whole story in one process, on a temporary directory."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path

import click
from rich.console import Console

from service.changes import types
from service.cli import client, complete, lines, logs, tail, terminal
from service.cli.terminal import Failure
from service.config import Settings
from service.demo import script, stage
from service.demo.caller import Unexpected
from service.demo.polled import Polled
from service.demo.screen import Screen
from service.demo.script import Script
from service.demo.story import Story

WIDEST = 120  # columns; longer lines are hard to follow
NEXT = {
    "webhook-watch serve": "runs it for real, on a database that stays",
    "webhook-watch tail": "follows what it delivers",
    "webhook-watch --help": "has the rest",
}


@click.command(short_help="Watch it work, on a temporary database.")
@click.option("--once", is_flag=True, help="End when the story is told: 0 if all of it came true, else 1.")
@click.option(
    "--type",
    "type_name",
    metavar="TYPE",
    shell_complete=complete.types,
    help="Tell it of a directory of this type that is polled.",
)
def demo(once: bool, type_name: str | None) -> int:  # noqa: FBT001  click passes options by name
    """Tell the whole story: resources change, callbacks arrive and are verified, a receiver fails and catches up.

    The service that plays is the real one, on a temporary directory, and nothing else is touched. Without --type it
    hosts reseller accounts, which are changed through it. With it another service plays the vendor, hosts a collection
    of that type in the vendor's own dialect, and is polled. Afterwards it stays up and keeps changing things until
    Ctrl-C. Example: webhook-watch demo --once --type outreach.user
    """
    logs.to_stderr("error")
    with tempfile.TemporaryDirectory(prefix="webhook-watch-demo-") as name:
        directory = Path(name)
        chosen = stage.settings(directory / "service")
        vendor = None if type_name is None else stage.settings(directory / "vendor")
        player = _script(chosen, type_name or script.ACCOUNT)
        return terminal.run(_demo(chosen, vendor, player, terminal.console(widest=WIDEST), once=once))


async def _demo(chosen: Settings, vendor: Settings | None, player: Script, console: Console, *, once: bool) -> int:
    screen = Screen(console)
    async with stage.opened(chosen, vendor) as opened:
        told = (Story if vendor is None else Polled)(opened, player, screen)
        await told.tell()
        if not screen.failures:
            screen.scene("How to go on")
            screen.facts(NEXT)
            if not once:
                await _stay(told, console)
    for sentence in screen.failures:
        terminal.complain(f"demo: {sentence}")
    return 1 if screen.failures else 0


def _script(settings: Settings, type_name: str) -> Script:
    known = types.load(settings.resources)
    if type_name not in known:
        raise Failure(f"there is no resource type {type_name!r}; there is {', '.join(known)}")
    try:
        return Script(known[type_name])
    except Unexpected as error:
        raise Failure(str(error)) from error


async def _stay(told: Story, console: Console) -> None:
    """Until Ctrl-C: changes, and the log as ``webhook-watch tail`` shows it."""
    caller, screen = told.stage.caller, told.screen
    screen.scene("It stays up, and something changes every couple of seconds; Ctrl-C ends it")
    screen.facts({"url": caller.url, "key": caller.key})
    console.print()
    show = lines.Printer(console)
    try:
        async with client.connected(caller.url, caller.key) as service, asyncio.TaskGroup() as group:
            group.create_task(told.go_on())
            async for entry in tail.follow(service, {}, None, lambda _note: None):
                show(entry)
    except* (Failure, Unexpected) as group_error:
        for error in group_error.exceptions:
            screen.failed(str(error))
