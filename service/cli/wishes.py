"""The options of ``watch create``, and the body that they come to."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import click

from service import errors, jsontext
from service.cli import complete, given
from service.model import Document, Json, Ordering

Command = TypeVar("Command", bound=Callable[..., Any])

METHODS = ["POST", "PUT", "PATCH", "GET", "DELETE"]
AT = "@FILE reads it from a file"


@dataclass(frozen=True, slots=True)
class Wish:
    """An option, and what it says in the body."""

    option: Callable[[Command], Command]
    name: str  # of the option, as click passes it
    put: Callable[[Document, Any], None]


def body(file: str | None, chosen: Mapping[str, Any]) -> Document:
    """The watch of a file, which may be None, and of the options besides, which go before it. UsageError."""
    form = _of_file(file)
    for wish in WISHES:
        value = chosen[wish.name]
        if value is not None and value != () and value is not False:
            wish.put(form, value)
    return form


def options(command: Command) -> Command:
    """All of them, in the order of the table."""
    for wish in reversed(WISHES):
        command = wish.option(command)
    return command


def _of_file(file: str | None) -> Document:
    if file is None:
        return {}
    try:
        form = jsontext.loads(given.read(file))
    except OSError as error:
        raise click.UsageError(f"--file {file}: {error.strerror}") from error
    except ValueError as error:
        raise click.UsageError(f"--file {file}: {error}") from error
    except errors.BadRequest as error:
        raise click.UsageError(f"--file {file}: {error.detail}") from error
    if not isinstance(form, dict):
        raise click.UsageError(f"--file {file}: holds no JSON object")
    return form


def _member(name: str) -> Callable[[Document, Any], None]:
    return lambda form, value: form.__setitem__(name, value)


def _inside(section: str, name: str) -> Callable[[Document, Any], None]:
    """A member of a member, beside what the file says of it."""

    def put(form: Document, value: Any) -> None:
        members = form.get(section)
        form[section] = {**(members if isinstance(members, dict) else {}), name: value}

    return put


def _events(form: Document, texts: Sequence[str]) -> None:
    names: list[Json] = [name.strip() for text in texts for name in text.split(",")]
    form["events"] = names


def _schema(form: Document, text: str) -> None:
    """A JSON object is one template, any other text is the other: JSON with ``${jsonpath}`` outside of quotes."""
    try:
        value = jsontext.loads(text)
    except errors.BadRequest:
        value = text
    form["schema"] = value if isinstance(value, dict | str) else text


def _sign(form: Document, _value: bool) -> None:  # noqa: FBT001  a flag's value
    _inside("signature", "enabled")(form, True)


def keys(form: Document, ids: Sequence[str]) -> None:
    """Sign with these keys."""
    _sign(form, True)
    _inside("signature", "cryptoKeyIds")(form, list(ids))


def _basic(form: Document, text: str) -> None:
    username, colon, password = text.rstrip("\n").partition(":")
    if not colon:
        raise click.BadParameter("it is USERNAME:PASSWORD.", param_hint="'--basic'")
    form["basicAuth"] = {"username": username, "password": password}


def _headers(form: Document, texts: Sequence[str]) -> None:
    for text in texts:
        name, colon, value = text.rstrip("\n").partition(":")
        if not colon:
            raise click.BadParameter("it is 'Name: value'.", param_hint="'--header'")
        _inside("httpRequestHeader", name.strip())(form, value.strip())


def _retry(form: Document, text: str) -> None:
    try:
        schedule: list[Json] = [] if text == "none" else [_seconds(part) for part in text.split(",")]
    except ValueError as error:
        raise click.BadParameter("it is seconds with commas, or none.", param_hint="'--retry'") from error
    _inside("retry", "schedule")(form, schedule)


def _seconds(text: str) -> int | float:
    return int(text) if text.strip().isdecimal() else float(text)


def _disabled(form: Document, _value: bool) -> None:  # noqa: FBT001  a flag's value
    form["status"] = "disabled"


WISHES = (
    Wish(
        click.option("--type", metavar="TYPE", shell_complete=complete.types, help="Of which resource type."),
        "type",
        _member("objectType"),
    ),
    Wish(
        click.option("--address", metavar="URL", help="Where callbacks go; ${jsonpath} is filled in path and query."),
        "address",
        _member("address"),
    ),
    Wish(click.option("--name", help="What people call it."), "name", _member("name")),
    Wish(click.option("--object", metavar="ID", help="One resource only."), "object", _member("objectId")),
    Wish(
        click.option(
            "--events", multiple=True, metavar="EVENT,...", help="Any of created, updated, deleted.  [default: all]"
        ),
        "events",
        _events,
    ),
    Wish(
        click.option("--field", multiple=True, metavar="PATH", help="Only updates that change this JSONPath; several."),
        "field",
        lambda form, paths: form.__setitem__("fields", list(paths)),
    ),
    Wish(
        click.option("--method", type=click.Choice(METHODS), help="The HTTP method.  [default: POST]"),
        "method",
        _member("method"),
    ),
    Wish(click.option("--schema", type=given.TEXT, metavar="TEMPLATE", help=f"The template; {AT}."), "schema", _schema),
    Wish(
        click.option("--previous-data", is_flag=True, help="Send the version before, and the diff."),
        "previous_data",
        _member("addPreviousData"),
    ),
    Wish(
        click.option("--sign", is_flag=True, help="Sign with a new key, whose secret is shown this once."),
        "sign",
        _sign,
    ),
    Wish(
        click.option("--crypto-key", multiple=True, metavar="ID", help="Sign with a key that is there; several."),
        "crypto_key",
        keys,
    ),
    Wish(
        click.option(
            "--scheme",
            type=click.Choice(["standard-webhooks", "http-message-signatures"]),
            help="How signatures are written.  [default: standard-webhooks]",
        ),
        "scheme",
        _inside("signature", "scheme"),
    ),
    Wish(click.option("--basic", type=given.TEXT, metavar="USER:PASSWORD", help=f"HTTP Basic; {AT}."), "basic", _basic),
    Wish(
        click.option(
            "--header",
            type=given.TEXT,
            multiple=True,
            metavar="'NAME: VALUE'",
            help=f"A further header; several; {AT}.",
        ),
        "header",
        _headers,
    ),
    Wish(
        click.option("--retry", metavar="S,...", help="Seconds between attempts; none is one attempt."),
        "retry",
        _retry,
    ),
    Wish(
        click.option("--timeout", type=float, metavar="S", help="Seconds that one attempt may take.  [default: 15]"),
        "timeout",
        _inside("retry", "timeout"),
    ),
    Wish(
        click.option("--rate-limit", type=float, metavar="N", help="Attempts a second, at most."),
        "rate_limit",
        _member("rateLimit"),
    ),
    Wish(
        click.option(
            "--ordering",
            type=click.Choice([str(word) for word in Ordering]),
            help="Whether a change that fails holds back later ones of its resource.  [default: resource]",
        ),
        "ordering",
        _member("ordering"),
    ),
    Wish(
        click.option(
            "--verification",
            type=click.Choice(["none", "webhook-origin"]),
            help="Whether the receiver is asked for its consent first.  [default: none]",
        ),
        "verification",
        _member("verification"),
    ),
    Wish(click.option("--disabled", is_flag=True, help="Register it, but send nothing yet."), "disabled", _disabled),
)
