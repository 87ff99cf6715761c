"""Sources that files declare: ``config/sources/*.toml``, each one source, in the members of the API's body.

``tenant`` may stand besides them, ``default`` without it. A secret can be left out of the file: ``env:NAME`` is the
value of that environment variable. The file's name is the source's: ``outreach.toml`` is ``src_file_outreach``.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from service import access, jsontext
from service.changes.poll import form as forms
from service.changes.poll import spec
from service.changes.poll.form import World
from service.changes.poll.source import FILE_PREFIX, Source
from service.errors import BadRequest, ConfigError, FieldError, Invalid
from service.model import Document

FROM_ENVIRONMENT = "env:"
_STEM = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,62}")


def load(directory: Path, environ: Mapping[str, str], world: World) -> list[Source]:
    """Every source of a directory, in the order of the file names; none where there is no directory.

    Raises:
        ConfigError: a fault in a line of its own: the file, the member and the reason.
    """
    sources: list[Source] = []
    faults: list[str] = []
    for file in sorted(directory.glob("*.toml")):
        try:
            sources.append(_read(file, environ, world))
        except Invalid as invalid:
            faults += [f"{file}: {_dotted(fault)}: {fault.detail}" for fault in invalid.errors]
        except BadRequest as error:
            faults.append(f"{file}: {error.detail}")
        except (OSError, ValueError, TypeError) as error:  # bad TOML, bad UTF-8; dates and times, which JSON has not
            faults.append(f"{file}: cannot be read: {error}")
    if faults:
        raise ConfigError("\n".join(faults))
    return sources


def _read(file: Path, environ: Mapping[str, str], world: World) -> Source:
    if not _STEM.fullmatch(file.stem):
        raise ValueError("its name must be 1 to 63 letters, digits, - and _, as in outreach.toml")
    body: Any = jsontext.loads(json.dumps(tomllib.loads(file.read_text(encoding="utf-8"))))
    tenant = body.pop("tenant", access.DEFAULT_TENANT)
    if not isinstance(tenant, str) or not access.TENANT.fullmatch(tenant):
        raise Invalid.at("/tenant", "must be 1 to 63 lower-case letters, digits, - and _")
    filled = _filled(body, environ)
    return forms.parse(filled, world, tenant=tenant, source_id=f"{FILE_PREFIX}{file.stem}", file=file.name).source


def _filled(body: Document, environ: Mapping[str, str]) -> Document:
    """The body with the environment's values in the place of ``env:NAME``."""
    secrets = spec.secrets_of(body)
    faults = []
    for pointer, text in secrets.items():
        if text.startswith(FROM_ENVIRONMENT):
            name = text.removeprefix(FROM_ENVIRONMENT)
            secrets[pointer] = environ.get(name, "")
            if not secrets[pointer]:
                faults.append(FieldError(pointer, f"the environment variable {name} is not set"))
    if faults:
        raise Invalid.of(faults)
    return spec.put_back(body, secrets)


def _dotted(fault: FieldError) -> str:
    return fault.pointer[1:].replace("/", ".").replace("~1", "/").replace("~0", "~") or "the file"
