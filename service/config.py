"""The settings: one table, read from ``service.toml`` and overridden by ``WATCH_*`` variables.

Each field of the section classes is a setting. Section and name are its TOML key; ``server.port`` is the
variable ``WATCH_PORT``, any other ``section.name`` is ``WATCH_SECTION_NAME``. An empty variable counts as
unset. An unknown key in the file or a bad value stops the start, and all faults are told at once.
"""

from __future__ import annotations

import dataclasses
import difflib
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_type_hints
from urllib.parse import urlsplit

from service import errors, kinds
from service.kinds import Kind

FILE = "service.toml"
PREFIX = "WATCH_"
DIRECTORY_VARIABLE = "WATCH_CONFIG"  # where the settings are, so it cannot be one of them
CLIENT_VARIABLES = ("WATCH_URL", "WATCH_API_KEY")  # of the commands that call a service
LISTEN_VARIABLE = "WATCH_LISTEN_SECRET"  # of the command that plays a receiver
MIN_ADMIN_KEY = 24  # characters
MIN_SECRET_KEY = 32  # characters: HKDF does not stretch a password, so the text itself must be long
MEMORY = "sqlite:///:memory:"
_SECRET, _KIND, _DOC = "secret", "kind", "doc"


def _setting(default: Any, kind: Kind, doc: str, *, secret: bool = False) -> Any:
    metadata = {_KIND: kind, _DOC: doc, _SECRET: secret}
    return dataclasses.field(default=default, metadata=metadata, repr=not secret)


@dataclass(frozen=True, slots=True)
class Server:
    """The HTTP server."""

    host: str = _setting(
        "127.0.0.1", kinds.text(), "The address to listen on; a container needs 0.0.0.0, which is every interface."
    )
    port: int = _setting(8080, kinds.whole(0, 65535), "The port to listen on; 0 takes any that is free.")
    public_url: str | None = _setting(
        None, kinds.url(), "How clients reach this service, such as https://watch.example.com; empty: host and port."
    )
    max_body_bytes: int = _setting(
        1_048_576, kinds.whole(1024, 67_108_864), "Larger request bodies are answered with 413."
    )

    @property
    def name(self) -> str | None:
        """The host of the public URL: in whose name receivers are asked for their consent."""
        return urlsplit(self.public_url or "").hostname


@dataclass(frozen=True, slots=True)
class Database:
    """Where everything is kept."""

    url: str = _setting(  # a URL may hold a password
        "sqlite:///webhook-watch.db",
        kinds.database_url(),
        "The database: sqlite:///relative.db (from the working directory), sqlite:////absolute.db or postgresql://...",
        secret=True,
    )

    @property
    def path(self) -> Path | None:
        """The SQLite file; None for a database that is none."""
        path = self.url.removeprefix("sqlite:///")
        return None if self.url in {MEMORY, path} else Path(path)

    @property
    def key_file(self) -> Path | None:
        """Where the encryption key is kept if no ``secret.key`` is set; None without a file to keep it beside."""
        return None if self.path is None else self.path.with_name(self.path.name + ".key")


@dataclass(frozen=True, slots=True)
class Admin:
    """The bootstrap key."""

    key: str | None = _setting(
        None,
        kinds.key(MIN_ADMIN_KEY),
        "The bootstrap API key, 24 characters or more; empty: one is made at the first start and shown once.",
        secret=True,
    )


@dataclass(frozen=True, slots=True)
class Secret:
    """The encryption of stored credentials."""

    key: tuple[str, ...] = _setting(
        (),
        kinds.keys(MIN_SECRET_KEY),
        "Texts of 32 characters or more: the first encrypts, all decrypt; empty: a key file beside the database.",
        secret=True,
    )


@dataclass(frozen=True, slots=True)
class Egress:
    """Where callbacks may go."""

    allow: tuple[str, ...] = _setting(
        (), kinds.networks(), "Networks (CIDR) that callbacks may reach although they are private or reserved."
    )


@dataclass(frozen=True, slots=True)
class Delivery:
    """How callbacks are sent."""

    concurrency_per_watch: int = _setting(
        32, kinds.whole(1, 1024), "Callbacks of one watch that are under way at once."
    )
    buffer_per_watch: int = _setting(
        1024, kinds.whole(1, 100_000), "Deliveries of one watch that are held in memory, claimed and ready to be sent."
    )
    shutdown_grace: float = _setting(
        10.0, kinds.seconds(0, 300), "Seconds that callbacks under way have to end when the service stops."
    )


@dataclass(frozen=True, slots=True)
class Log:
    """The delivery log."""

    retention_days: int = _setting(
        10, kinds.whole(1, 3650), "Days that finished deliveries stay in the log, and changes in their feed."
    )
    retention_interval: float = _setting(
        300.0, kinds.seconds(1, 86_400), "Seconds between two removals of what is older."
    )


@dataclass(frozen=True, slots=True)
class Tail:
    """The event stream."""

    heartbeat: float = _setting(
        15.0, kinds.seconds(1, 300), "Seconds of silence after which the event stream sends a comment to stay open."
    )


@dataclass(frozen=True, slots=True)
class Logging:
    """What the process says of itself."""

    level: str = _setting(
        "info", kinds.choice("debug", "info", "warning", "error"), "The least severe lines that are written."
    )


@dataclass(frozen=True, slots=True)
class Settings:
    """Every setting, by section, and the directory that they come from."""

    directory: Path
    server: Server = Server()
    database: Database = Database()
    admin: Admin = Admin()
    secret: Secret = Secret()
    egress: Egress = Egress()
    delivery: Delivery = Delivery()
    log: Log = Log()
    tail: Tail = Tail()
    logging: Logging = Logging()
    doubts: tuple[str, ...] = ()  # variables that look like ours and are none: told at the start, and passed over

    @property
    def resources(self) -> Path:
        """The directory of the resource types."""
        return self.directory / "resources"


@dataclass(frozen=True, slots=True)
class Setting:
    """One row of the table."""

    section: str
    name: str
    default: Any
    kind: Kind
    doc: str  # one sentence
    secret: bool  # its value is never shown

    @property
    def key(self) -> str:
        """As TOML names it."""
        return f"{self.section}.{self.name}"

    @property
    def variable(self) -> str:
        """As the environment names it."""
        return PREFIX + (self.name if self.section == "server" else f"{self.section}_{self.name}").upper()


SECTIONS: Mapping[str, Any] = {
    name: kind for name, kind in get_type_hints(Settings).items() if dataclasses.is_dataclass(kind)
}
TABLE = tuple(
    Setting(section, row.name, row.default, row.metadata[_KIND], row.metadata[_DOC], row.metadata[_SECRET])
    for section, kind in SECTIONS.items()
    for row in dataclasses.fields(kind)
)


def load(directory: Path | None, environ: Mapping[str, str]) -> Settings:
    """The settings of a directory, overridden by variables.

    The directory is the one given, or that of ``WATCH_CONFIG``, or ``./config`` if it holds a
    ``service.toml``, or the one that comes with the package.

    Raises:
        errors.ConfigError: each fault in a line of its own: file and key, or variable, and the reason.
    """
    home = _find(directory, environ.get(DIRECTORY_VARIABLE))
    faults: list[str] = []
    values: dict[str, dict[str, Any]] = {section: {} for section in SECTIONS}
    for where, row, value in (*_of_file(home / FILE, faults), *_of_variables(environ)):
        try:
            values[row.section][row.name] = row.kind.check(value)
        except ValueError as error:
            shown = "" if row.secret else f", not {str(value)[:80]!r}"
            faults.append(f"{where}: {error}{shown}")
    if faults:
        raise errors.ConfigError("\n".join(faults))
    sections = {section: kind(**values[section]) for section, kind in SECTIONS.items()}
    return Settings(home, **sections, doubts=_doubts(environ))


def _find(directory: Path | None, variable: str | None) -> Path:
    chosen = directory or (Path(variable) if variable else None)
    if chosen is None:
        beside = Path("config")
        return beside if (beside / FILE).is_file() else _packaged()
    if not (chosen / FILE).is_file():
        by = "--config" if directory else DIRECTORY_VARIABLE
        raise errors.ConfigError(f"{chosen}: {by} must name a directory that holds a {FILE}")
    return chosen


def _packaged() -> Path:
    package = Path(__file__).parent
    wheel = package / "default_config"
    return wheel if wheel.is_dir() else package.parent / "config"


def _of_file(path: Path, faults: list[str]) -> Iterator[tuple[str, Setting, object]]:
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:  # bad TOML and bad UTF-8 are ValueErrors
        faults.append(f"{path}: cannot be read: {error}")
        return
    rows = {row.key: row for row in TABLE}
    for section, members in content.items():
        if section not in SECTIONS:
            faults.append(f"{path}: {section}: no such section{_hint(section, SECTIONS)}")
        elif not isinstance(members, dict):
            faults.append(f"{path}: {section}: must be a section, written [{section}]")
        else:
            for name, value in members.items():
                key = f"{section}.{name}"
                if key in rows:
                    yield f"{path}: {key}", rows[key], value
                else:
                    faults.append(f"{path}: {key}: no such setting{_hint(key, rows)}")


def _of_variables(environ: Mapping[str, str]) -> Iterator[tuple[str, Setting, object]]:
    for row in TABLE:
        text = environ.get(row.variable, "").strip()
        if text:
            yield row.variable, row, row.kind.read(text)


def _doubts(environ: Mapping[str, str]) -> tuple[str, ...]:
    """Unknown variables do not stop the start: Kubernetes sets some for every service, whatever its name."""
    known = {row.variable for row in TABLE} | {DIRECTORY_VARIABLE, *CLIENT_VARIABLES, LISTEN_VARIABLE}
    strange = sorted(name for name in environ if name.startswith(PREFIX) and name not in known)
    return tuple(f"{name}: no such setting{_hint(name, known)}; it was passed over" for name in strange)


def _hint(name: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(name, known, n=1)
    return f"; did you mean {near[0]}?" if near else ""
