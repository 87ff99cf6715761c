"""API keys over HTTP. A key is shown once, when it is made."""

from __future__ import annotations

from aiohttp import web

from service import clock, errors
from service.api import answers, forms
from service.api.call import Call, page
from service.errors import FieldError, Invalid
from service.model import Document, Role
from service.store import keys
from service.store.keys import ApiKeyRow


async def create(call: Call) -> web.Response:
    """Make a key: ``{name, tenant, role}``."""
    body = forms.members(await call.json(), {"name", "tenant", "role"})
    role, tenant = body.get("role"), body.get("tenant")
    faults = forms.name_faults(body)
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


async def list_(call: Call) -> web.Response:
    """The tenant's keys, without the keys themselves; all tenants' for the bootstrap key."""
    call.only({"cursor", "limit"})
    limit, tenant = call.limit(), None if call.principal.is_bootstrap else call.tenant
    found = await keys.api_keys(call.services.store, tenant, call.cursor(), limit + 1)
    last = found[limit - 1].id if len(found) > limit else None
    return answers.ok(page([_api_key(row) for row in found[:limit]], last))


async def get(call: Call) -> web.Response:
    """One key, without the key itself."""
    tenant = None if call.principal.is_bootstrap else call.tenant
    row = await keys.api_key(call.services.store, tenant, call.part("id"))
    if row is None:
        raise errors.NotFound(f"there is no API key {call.part('id')}")
    return answers.ok(_api_key(row))


async def delete(call: Call) -> web.Response:
    """Revoke a key, at once."""
    await call.services.access.revoke(call.principal, call.part("id"))
    return answers.nothing()


def _api_key(row: ApiKeyRow) -> Document:
    return {
        "id": row.id,
        "name": row.name,
        "tenant": row.tenant,
        "role": row.role,
        "created": clock.rfc3339(row.created),
    }
