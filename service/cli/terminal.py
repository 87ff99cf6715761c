"""What the commands share of the terminal: where words go, how they look, and how a coroutine is run."""

from __future__ import annotations

import asyncio
import importlib
import importlib.util
import io
import os
import signal
import sys
from collections.abc import Coroutine, Iterable
from typing import Any, TypeVar

import click
from rich.console import Console
from rich.text import Text

from service.receiver.look import Aligned

Result = TypeVar("Result")

PIPED_WIDTH = 160  # columns where there is no terminal, so that tables are not cut


class Failure(click.ClickException):
    """The command cannot do what it was asked to; the message says why, and what to do."""


def console(*, stderr: bool = False, widest: int = PIPED_WIDTH) -> Console:
    """Coloured on a terminal, plain elsewhere. Text is text: nothing in it is taken for markup."""
    made = Console(stderr=stderr, markup=False, highlight=False, emoji=False)
    made.width = min(made.width, widest) if made.is_terminal else widest
    return made


def table(rows: Iterable[Iterable[str | Text]], columns: Iterable[str] = ()) -> None:
    """Print rows in columns that line up; cells are whole, whatever the screen's width, so that they can be copied."""
    head = [tuple(Text(name, "bold") for name in columns)]
    cells = [tuple(cell if isinstance(cell, Text) else Text(printable(cell)) for cell in row) for row in rows]
    console().print(Aligned([row for row in (*head, *cells) if row]), soft_wrap=True)


def complain(message: str, severity: str = "error") -> None:
    """Say what went wrong, each line of it as one of ours."""
    for line in message.splitlines():
        click.echo(f"webhook-watch: {severity}: {line}", err=True)


def printable(text: str) -> str:
    """The text with its control characters escaped: whoever wrote it writes no line of ours, nor steers the terminal."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def reason(error: OSError) -> str:
    """In the system's words: asyncio's own name the address instead of the reason."""
    return os.strerror(error.errno) if error.errno and error.errno > 0 else error.strerror or str(error)


def prepare() -> None:
    """Names come in every script: on a terminal that lacks a letter a question mark is shown instead."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")


def silence() -> None:
    """Nobody reads stdout any more: keep the interpreter from flushing into it at its end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def run(work: Coroutine[Any, Any, Result]) -> Result:
    """Run a coroutine; Ctrl-C and SIGTERM cancel it, so that what it opened is closed and removed."""

    async def until_terminated() -> Result:
        task = asyncio.current_task()
        assert task is not None  # noqa: S101  this is a coroutine that a task runs
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
        return await work

    # There is no uvloop for some systems: it is faster, not different.
    loops: Any = importlib.import_module("uvloop") if importlib.util.find_spec("uvloop") else asyncio
    result: Result = loops.run(until_terminated())
    return result
