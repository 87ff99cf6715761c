"""What options and arguments of several commands have in common."""

from __future__ import annotations

import re
from typing import Any

import click

MOST_CHARACTERS = 200
_ID = re.compile(r"[A-Za-z0-9_-]+")

as_json = click.option("--json", "machine", is_flag=True, help="Machine-readable: JSON, one object per line.")


class Id(click.ParamType[str]):
    """An id of ours, which can stand in a path as it is."""

    name = "id"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """The id; UsageError when nothing can have it."""
        if not _ID.fullmatch(value) or len(value) > MOST_CHARACTERS:
            self.fail(f"{value[:MOST_CHARACTERS]!r} is no id: copy one as it is listed", param, ctx)
        return str(value)


ID = Id()


class Listing(click.Group):
    """A group that lists where no command is named."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """``sources --json`` is ``sources list --json``."""
        helps = set(self.get_help_option_names(ctx))
        if ctx.resilient_parsing:  # the shell asks what may come next
            pass
        elif not args or (args[0].startswith("-") and args[0] not in helps):
            args = ["list", *args]
        return super().parse_args(ctx, args)
