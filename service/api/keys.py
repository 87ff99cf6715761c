"""API keys and crypto keys over HTTP. What is secret in them is shown once, when they are made."""

from __future__ import annotations

from aiohttp import web

from service import clock, errors, jsontext
from service.api import answers
from service.api.call import Call, page
from service.delivery import keyring, sign
from service.errors import FieldError, Invalid
from service.model import CryptoKey, Document, Json, Role
from service.store import keys
from service.store.keys import ApiKeyRow

LONGEST_NAME = 255  # characters


async def create_api_key(call: Call) -> web.Response:
    """Make a key: ``{name, tenant, role}``."""
    body = _members(await call.json(), {"name", "tenant", "role"})
    role, tenant = body.get("role"), body.get("tenant")
    faults = _name_faults(body)
    if not isinstance(role, str) or role not in set(Role):
        faults.append(FieldError("/role", f"must be one of {', '.join(Role)}"))
    if not isinstance(tenant, (str, type(None))):
        faults.append(FieldError("/tenant", "must be a string"))
    if faults:
        raise Invalid.of(faults)
    name = body.get("name")
    made = await call.services.access.create(
        call.principal,
        name if isinstance(name, str) else None,
        tenant if isinstance(tenant, str) else None,
        Role(str(role)),
    )
    return answers.ok({**_api_key(made.row), "key": made.key}, 201)


async def list_api_keys(call: Call) -> web.Response:
    """The tenant's keys, without the keys themselves; all tenants' for the bootstrap key."""
    call.only({"cursor", "limit"})
    limit, tenant = call.limit(), None if call.principal.is_bootstrap else call.tenant
    found = await keys.api_keys(call.services.store, tenant, call.cursor(), limit + 1)
    last = found[limit - 1].id if len(found) > limit else None
    return answers.ok(page([_api_key(row) for row in found[:limit]], last))


async def get_api_key(call: Call) -> web.Response:
    """One key, without the key itself."""
    tenant = None if call.principal.is_bootstrap else call.tenant
    row = await keys.api_key(call.services.store, tenant, call.part("id"))
    if row is None:
        raise errors.NotFound(f"there is no API key {call.part('id')}")
    return answers.ok(_api_key(row))


async def delete_api_key(call: Call) -> web.Response:
    """Revoke a key, at once."""
    await call.services.access.revoke(call.principal, call.part("id"))
    return answers.nothing()


async def create_crypto_key(call: Call) -> web.Response:
    """Generate a signing key: ``{name, algorithm}``; its ``secret`` is shown this once."""
    body = _members(await call.json(), {"name", "algorithm"})
    faults = _name_faults(body)
    algorithm = body.get("algorithm", keyring.ALGORITHMS[0])
    if not isinstance(algorithm, str) or algorithm not in keyring.ALGORITHMS:
        faults.append(FieldError("/algorithm", f"must be one of {', '.join(keyring.ALGORITHMS)}"))
    if faults:
        raise Invalid.of(faults)
    name = body.get("name")
    key = await call.services.keyring.generate(call.tenant, name if isinstance(name, str) else None, str(algorithm))
    return answers.ok({**_crypto_key(key), "secret": sign.encode_secret(key.secret)}, 201)


async def list_crypto_keys(call: Call) -> web.Response:
    """The tenant's signing keys, without their secrets."""
    call.only({"cursor", "limit"})
    limit = call.limit()
    found = await call.services.keyring.page(call.tenant, call.cursor(), limit + 1)
    last = found[limit - 1].id if len(found) > limit else None
    return answers.ok(page([_crypto_key(key) for key in found[:limit]], last))


async def get_crypto_key(call: Call) -> web.Response:
    """One signing key, without its secret."""
    key = call.services.keyring.get(call.tenant, call.part("id"))
    if key is None:
        raise errors.NotFound(f"there is no crypto key {call.part('id')}")
    return answers.ok(_crypto_key(key))


async def delete_crypto_key(call: Call) -> web.Response:
    """Delete a signing key; 409 while a watch names it."""
    await call.services.keyring.delete(call.tenant, call.part("id"))
    return answers.nothing()


def _members(body: Json, known: set[str]) -> Document:
    if not isinstance(body, dict):
        raise Invalid.at("", "must be a JSON object")
    unknown = [
        FieldError(jsontext.pointer(name), f"is not a known member: {', '.join(sorted(known))} are")
        for name in body
        if name not in known
    ]
    if unknown:
        raise Invalid.of(unknown)
    return body


def _name_faults(body: Document) -> list[FieldError]:
    name = body.get("name")
    if isinstance(name, (str, type(None))) and len(name or "") <= LONGEST_NAME:
        return []
    return [FieldError("/name", f"must be a string of at most {LONGEST_NAME} characters")]


def _api_key(row: ApiKeyRow) -> Document:
    return {
        "id": row.id,
        "name": row.name,
        "tenant": row.tenant,
        "role": row.role,
        "created": clock.rfc3339(row.created),
    }


def _crypto_key(key: CryptoKey) -> Document:
    return {"id": key.id, "name": key.name, "algorithm": key.algorithm, "created": clock.rfc3339(key.created)}
