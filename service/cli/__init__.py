"""The command line: a group, a module for each command, and one place where failures become words."""

from __future__ import annotations

import asyncio
import importlib
import sys
from typing import Any, NoReturn

import click

from service import __version__, errors
from service.cli import terminal

FAILED, MISUSED, INTERRUPTED, TERMINATED = 1, 2, 130, 143  # exit codes; the last two are 128 + the signal's number
COMMANDS = {  # where each is; a module is loaded when its command is run, so that a Tab is answered at once
    "serve": "serve:serve",
    "demo": "demo:demo",
    "tail": "tail:tail",
    "listen": "listen:listen",
    "watch": "watch:watch",
    "redeliver": "redeliver:redeliver",
    "sources": "sources:sources",
    "import": "imports:import_",
    "keys": "keys:keys",
    "migrate": "migrate:migrate",
    "check": "check:check",
    "completion": "completion:completion",
}


class Commands(click.Group):
    """A group whose failures are one line each, on stderr, with an exit code, and never a trace."""

    def list_commands(self, _ctx: click.Context) -> list[str]:
        """Their names, in the order in which people need them."""
        return list(COMMANDS)

    def get_command(self, _ctx: click.Context, cmd_name: str) -> click.Command | None:
        """One of them, or None."""
        if cmd_name not in COMMANDS:
            return None
        module, _, name = COMMANDS[cmd_name].partition(":")
        command: click.Command = getattr(importlib.import_module(f"service.cli.{module}"), name)
        return command

    def main(self, *args: Any, **extra: Any) -> NoReturn:
        """Run the command that was asked for, and exit."""
        terminal.prepare()
        extra["standalone_mode"] = False
        try:
            code = super().main(*args, **extra)
        except click.exceptions.NoArgsIsHelpError as error:
            error.show()
            code = MISUSED
        except click.UsageError as error:
            hint = f" (see {error.ctx.command_path} --help)" if error.ctx else ""
            terminal.complain(error.format_message() + hint)
            code = MISUSED
        except click.Abort:  # Ctrl-C: whoever pressed it knows
            code = INTERRUPTED
        except asyncio.CancelledError:
            code = TERMINATED
        except click.ClickException as error:
            terminal.complain(error.format_message())
            code = FAILED
        except errors.WatchError as error:
            terminal.complain(error.detail)
            code = FAILED
        except BrokenPipeError:  # as in "tail | head"
            terminal.silence()
            code = FAILED
        except OSError as error:
            terminal.complain(f"{error.filename}: {error.strerror}" if error.filename else str(error))
            code = FAILED
        sys.exit(code)


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="webhook-watch")
def main() -> None:
    """Tells other systems when an account or a user changes: signed, shaped, ordered webhooks that are never lost.

    \b
    See it work:          webhook-watch demo
    Run it:               webhook-watch serve
    Follow what it does:  webhook-watch tail
    """  # noqa: D301  \b is click's mark of a paragraph that keeps its lines
