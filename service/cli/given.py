"""Values of options that may stand in a file: ``@FILE``, or ``@-`` for stdin."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

MOST = 4 * 1024 * 1024  # characters


class Text(click.ParamType[str]):
    """Text as it stands, or with @ before it, the file that has it: what is secret does not belong into a command."""

    name = "text"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """The text; UsageError when the file cannot be read."""
        if not value.startswith("@"):
            return str(value)
        name = value[1:]
        try:
            return read(name)
        except OSError as error:
            self.fail(f"{name}: {error.strerror}", param, ctx)
        except ValueError as error:
            self.fail(f"{name}: {error}", param, ctx)


TEXT = Text()


def read(name: str) -> str:
    """What a file holds, ``-`` is stdin. OSError, or ValueError in words."""
    try:
        if name != "-":
            with Path(name).open(encoding="utf-8") as file:
                text = file.read(MOST + 1)
        elif sys.stdin.isatty():
            raise ValueError("nothing is piped into it")
        else:
            text = sys.stdin.read(MOST + 1)
    except UnicodeDecodeError as error:
        raise ValueError("is no UTF-8") from error
    if len(text) > MOST:
        raise ValueError(f"has more than {MOST:,} characters")
    return text
