"""``webhook-watch keys``: the API keys of a running service."""

from __future__ import annotations

import json

import click

from service.cli import client, complete, options, terminal
from service.model import Role

PATH = "/api/v1/apiKeys"
COLUMNS = ("id", "name", "tenant", "role", "created")

key_id = click.argument("key_id", type=options.ID, metavar="ID", shell_complete=complete.ids(PATH, "name"))


@click.group(cls=options.Listing)
def keys() -> None:
    """List, create and revoke the API keys of a running service.

    Example: webhook-watch keys create ci --role agent
    """


@keys.command("list", short_help="List the keys of your tenant.")
@client.options
@options.as_json
def list_(url: str, key: str, machine: bool) -> None:  # noqa: FBT001  click passes options by name
    """List the keys of your tenant (all tenants' with the bootstrap key), without the keys themselves.

    Example: webhook-watch keys list --json
    """
    found = client.every(url, key, PATH)
    if machine:
        for row in found:
            click.echo(json.dumps(row, ensure_ascii=False))
        return
    terminal.table(([row[name] or "" for name in COLUMNS] for row in found), COLUMNS)


@keys.command(short_help="Make a key, and print it.")
@client.options
@click.argument("name")
@click.option("--role", type=click.Choice([str(role) for role in Role]), required=True, help="What the key may do.")
@click.option("--tenant", help="Another tenant than yours, made if need be; for the bootstrap key only.")
@options.as_json
def create(url: str, key: str, name: str, role: str, tenant: str | None, machine: bool) -> None:  # noqa: FBT001
    """Make a key, and print it: it cannot be shown again.

    Stdout has the key alone, so that it can be captured. Example: WATCH_API_KEY=$(webhook-watch keys create ops --role
    operator)
    """
    made = client.ask(url, key, "POST", PATH, {"name": name, "role": role, "tenant": tenant})
    if machine:
        click.echo(json.dumps(made, ensure_ascii=False))
        return
    told = f"{made['role']} key {made['id']} of tenant {made['tenant']}; it is shown this once:"
    terminal.console(stderr=True).print(told, style="dim", soft_wrap=True)
    click.echo(made["key"])


@keys.command(short_help="Make a key worthless, at once.")
@client.options
@key_id
def revoke(url: str, key: str, key_id: str) -> None:
    """Make a key worthless, at once; ID is the one that `keys list` shows.

    Example: webhook-watch keys revoke apk_01JD3ZT4RV8Y6Q2N5K7M9X0B1C
    """
    client.ask(url, key, "DELETE", f"{PATH}/{key_id}")
    click.echo(f"revoked {key_id}")
