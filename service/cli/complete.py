"""What the shell offers after Tab, where the answer is cheap: names of types, and ids."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import click
from click.shell_completion import CompletionItem

from service import errors
from service.cli import client, settings

PATIENCE = 1.0  # seconds; whoever pressed Tab waits


def types(context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Names of the resource types of the settings on this machine."""
    try:
        loaded = settings.load(context.params.get("directory"))
        names = sorted(_names(loaded.resources))
    except (errors.WatchError, OSError):
        return []
    return [CompletionItem(name) for name in names if name.startswith(incomplete)]


def _names(directory: Path) -> Iterator[str]:
    for file in directory.glob("*.json"):
        try:
            yield str(json.loads(file.read_bytes())["name"])
        except (ValueError, TypeError, KeyError):  # `check` says what is wrong with it
            continue


def ids(path: str, *said: str) -> Callable[[click.Context, click.Parameter, str], list[CompletionItem]]:
    """Ids of the items of a list of the service, with the first of these members that they have beside each."""

    def complete(context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
        return [
            CompletionItem(item["id"], help=next((str(item[name]) for name in said if item.get(name)), ""))
            for item in _items(context.params.get("url"), context.params.get("key"), path)
            if item["id"].startswith(incomplete)
        ]

    return complete


def _items(url: str | None, key: str | None, path: str) -> list[Mapping[str, Any]]:
    """The first items of a list; none where the service cannot be asked at once."""
    if not url or not key:
        return []

    async def ask() -> list[Mapping[str, Any]]:
        async with asyncio.timeout(PATIENCE), client.connected(url, key) as service:
            page = await service.call("GET", path, None, limit="500")
            return list(page["items"])

    try:
        return asyncio.run(ask())
    except (click.ClickException, TimeoutError, KeyError, TypeError):
        return []
