"""The settings of a command: its directory, its options, and the environment."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from service import config
from service.config import Settings

Command = TypeVar("Command", bound=Callable[..., Any])


def option(command: Command) -> Command:
    """The option ``--config``, given to the command as ``directory``."""
    return click.option(
        "--config",
        "directory",
        type=click.Path(path_type=Path),
        metavar="DIR",
        help="The directory of service.toml and resources/.  [default: WATCH_CONFIG, ./config, or the packaged one]",
    )(command)


def load(directory: Path | None, **options: object) -> Settings:
    """The settings; ``options``, by the names of their variables, go before those. Raises ConfigError."""
    given = {name: str(value) for name, value in options.items() if value is not None}
    return config.load(directory, {**os.environ, **given})
