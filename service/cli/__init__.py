"""The command line: a group, a module for each command, and one place where failures become words."""

from __future__ import annotations

import asyncio
import sys
from typing import Any, NoReturn

import click

from service import __version__, errors
from service.cli import terminal
from service.cli.check import check
from service.cli.demo import demo
from service.cli.imports import import_
from service.cli.keys import keys
from service.cli.listen import listen
from service.cli.migrate import migrate
from service.cli.serve import serve
from service.cli.sources import sources
from service.cli.tail import tail

FAILED, MISUSED, INTERRUPTED, TERMINATED = 1, 2, 130, 143  # exit codes; the last two are 128 + the signal's number


class Commands(click.Group):
    """A group whose failures are one line each, on stderr, with an exit code, and never a trace."""

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


for command in (serve, demo, tail, listen, import_, keys, sources, migrate, check):
    main.add_command(command)
