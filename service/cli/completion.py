"""``webhook-watch completion``: the script with which a shell completes commands, options, types and ids."""

from __future__ import annotations

import click
from click import shell_completion

PROGRAM = "webhook-watch"
VARIABLE = "_WEBHOOK_WATCH_COMPLETE"  # what click derives from the program's name
SHELLS = ("bash", "zsh", "fish")


@click.command(short_help="Print the completion script of a shell: bash, zsh or fish.")
@click.argument("shell", type=click.Choice(SHELLS), metavar="SHELL")
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """Print the script with which SHELL (bash, zsh or fish) completes commands, options, types, and ids of the service of WATCH_URL.

    For this session: eval "$(webhook-watch completion bash)" (or zsh), or in fish: webhook-watch completion fish |
    source. For all: save it where the shell looks. Example: webhook-watch completion bash >
    ~/.local/share/bash-completion/completions/webhook-watch
    """
    script = shell_completion.get_completion_class(shell)
    assert script is not None  # noqa: S101  SHELLS are click's own
    click.echo(script(context.find_root().command, {}, PROGRAM, VARIABLE).source())
