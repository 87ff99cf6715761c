"""``webhook-watch demo``: the whole story in one process, on a temporary directory."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path

import click
from rich.console import Console

from service.changes import types
from service.cli import client, lines, logs, tail, terminal
from service.cli.terminal import Failure
from service.config import Settings
from service.demo import script, stage, story
from service.demo.caller import Unexpected
from service.demo.screen import Screen
from service.demo.script import Script
from service.demo.stage import Stage

WIDEST = 120  # columns; longer lines are hard to follow
NEXT = {
    "webhook-watch serve": "runs it for real, on a database that stays",
    "webhook-watch tail": "follows what it delivers",
    "webhook-watch --help": "has the rest",
}


@click.command(short_help="Watch it work, on a temporary database.")
@click.option("--once", is_flag=True, help="End when the story is told: 0 if all of it came true, else 1.")
@click.option("--type", "type_name", default=script.ACCOUNT, show_default=True, help="The resource type that plays.")
def demo(once: bool, type_name: str) -> int:  # noqa: FBT001  click passes options by name
    """Tell the whole story: watches are registered, resources change, callbacks arrive and are verified.

    The service that plays is the real one, on a temporary directory, and nothing else is touched. Afterwards it stays
    up and keeps changing things until Ctrl-C. Example: webhook-watch demo --once
    """
    logs.to_stderr("error")
    with tempfile.TemporaryDirectory(prefix="webhook-watch-demo-") as directory:
        return terminal.run(
            _demo(stage.settings(Path(directory)), type_name, terminal.console(widest=WIDEST), once=once)
        )


async def _demo(settings: Settings, type_name: str, console: Console, *, once: bool) -> int:
    player = _script(settings, type_name)
    screen = Screen(console)
    async with stage.opened(settings) as opened:
        await story.tell(opened, player, screen)
        if not screen.failures:
            screen.scene("How to go on")
            screen.facts(NEXT)
            if not once:
                await _stay(opened, player, screen, console)
    for sentence in screen.failures:
        terminal.complain(f"demo: {sentence}")
    return 1 if screen.failures else 0


def _script(settings: Settings, type_name: str) -> Script:
    known = types.load(settings.resources)
    if type_name not in known:
        raise Failure(f"there is no resource type {type_name!r}; there is {', '.join(known)}")
    try:
        return script.of(known[type_name])
    except Unexpected as error:
        raise Failure(str(error)) from error


async def _stay(opened: Stage, player: Script, screen: Screen, console: Console) -> None:
    """Until Ctrl-C: changes, and the log as ``webhook-watch tail`` shows it."""
    screen.scene("It stays up, and something changes every couple of seconds; Ctrl-C ends it")
    screen.facts({"url": opened.caller.url, "key": opened.key})
    console.print()
    show = lines.Printer(console)
    try:
        async with client.connected(opened.caller.url, opened.key) as service, asyncio.TaskGroup() as group:
            group.create_task(story.go_on(opened, player))
            async for entry in tail.follow(service, {}, None, lambda _note: None):
                show(entry)
    except* (Failure, Unexpected) as group_error:
        for error in group_error.exceptions:
            screen.failed(str(error))
