"""Crypto keys over HTTP: generate, import, rotate; and the public halves, for whoever verifies.

A shared secret is shown once, when its key is made; a private key never.
"""

from __future__ import annotations

import hashlib
from typing import Any

from aiohttp import ETag, web

from service import clock, errors, jsontext
from service.access import DEFAULT_TENANT
from service.api import answers, forms
from service.api.call import Call, Visit, page
from service.delivery import keyring, material
from service.delivery.keyring import Shown
from service.delivery.material import Material
from service.errors import FieldError, Invalid
from service.model import Algorithm, Document
from service.store import keys
from service.watches import rotation

JWKS = "application/jwk-set+json"  # RFC 7517, section 8.5
JWKS_FRESH = 300  # seconds that a key set may be cached


async def create(call: Call) -> web.Response:
    """Generate a key, ``{name, algorithm}``, or import one: ``secret`` or ``privateKey`` besides."""
    body = forms.members(await call.json(), {"name", "algorithm", "secret", "privateKey"})
    faults = forms.name_faults(body)
    made = _material(body, faults)
    if faults or made is None:
        raise Invalid.of(faults)
    name = body.get("name")
    key = await call.services.keyring.make(call.tenant, name if isinstance(name, str) else None, made)
    return await _made(call, key.id)


async def list_(call: Call) -> web.Response:
    """The tenant's keys, without their secrets."""
    call.only({"cursor", "limit"})
    limit = call.limit()
    found = await call.services.keyring.page(call.tenant, call.cursor(), limit + 1)
    last = found[limit - 1].key.id if len(found) > limit else None
    return answers.ok(page([_shown(shown) for shown in found[:limit]], last))


async def get(call: Call) -> web.Response:
    """One key, without its secret."""
    return answers.ok(_shown(await call.services.keyring.show(call.tenant, call.part("id"))))


async def rotate(call: Call) -> web.Response:
    """Make a successor, ``{overlap}``: seconds in which the old key signs too. 0 for a rotated key ends its overlap."""
    body = forms.members(await call.optional_json(), {"overlap"})
    overlap = body.get("overlap", keyring.DEFAULT_OVERLAP)
    if type(overlap) is not int or not 0 <= overlap <= keyring.LONGEST_OVERLAP:
        raise Invalid.at("/overlap", f"must be a whole number of seconds from 0 to {keyring.LONGEST_OVERLAP}")
    services, key_id = call.services, call.part("id")
    rotated = await rotation.rotate(services.store, services.keyring, services.registry, call.tenant, key_id, overlap)
    if rotated.successor is None:
        return await get(call)
    ends = clock.rfc3339(rotated.former.expires or 0)
    return await _made(call, rotated.successor.id, predecessor={"id": key_id, "expires": ends})


async def delete(call: Call) -> web.Response:
    """Delete a key; 409 while a watch is signed with it."""
    await call.services.keyring.delete(call.tenant, call.part("id"))
    return answers.nothing()


async def jwks(visit: Visit) -> web.StreamResponse:
    """The public keys of a tenant, for anyone (RFC 7517)."""
    services, file = visit.services, visit.parts.get("file", f"{DEFAULT_TENANT}.json")
    tenant = file.removesuffix(".json")
    try:
        if tenant == file or not await keys.is_tenant(services.store, tenant):
            raise errors.NotFound(f"there is no tenant {tenant}")
        await services.keyring.refresh()
    except errors.WatchError as error:
        return answers.problem(error)
    found = services.keyring.published(tenant)
    body = jsontext.dumps({"keys": [{**public.jwk, "kid": key.id} for key, public in found]})
    tag = hashlib.sha256(body).hexdigest()[:32]
    headers = {"Cache-Control": f"public, max-age={JWKS_FRESH}"}
    known = visit.request.if_none_match or ()
    if any(one.value in {tag, "*"} for one in known):
        answer = web.Response(status=304, headers=headers)
    else:
        answer = web.Response(body=body, content_type=JWKS, headers=headers)
    answer.etag = ETag(tag)
    return answer


def _material(body: Document, faults: list[FieldError]) -> Material | None:
    """What the key is made of; None, and a fault more, when it cannot be."""
    algorithm, secret, private_key = body.get("algorithm"), body.get("secret"), body.get("privateKey")
    if "algorithm" in body and algorithm not in tuple(Algorithm):
        faults.append(FieldError("/algorithm", f"must be one of {', '.join(Algorithm)}"))
        return None
    if secret is not None and private_key is not None:
        faults.append(FieldError("/privateKey", "cannot stand beside secret: a key has one or the other"))
        return None
    if secret is None and private_key is None:
        return material.generate(Algorithm(str(algorithm or Algorithm.HMAC_SHA256)))
    pointer, text = ("/secret", secret) if private_key is None else ("/privateKey", private_key)
    if not isinstance(text, str):
        faults.append(FieldError(pointer, "must be a string"))
        return None
    try:
        made = READERS[pointer](text)
    except ValueError as error:
        faults.append(FieldError(pointer, str(error)))
        return None
    if algorithm is not None and algorithm != made.algorithm:
        faults.append(FieldError(pointer, f"is a key for {made.algorithm}, not for {algorithm}"))
        return None
    return made


READERS = {
    "/secret": lambda text: Material(Algorithm.HMAC_SHA256, material.decode_secret(text)),
    "/privateKey": material.decode_private,
}


async def _made(call: Call, key_id: str, **more: Any) -> web.Response:
    shown = await call.services.keyring.show(call.tenant, key_id)
    answer = {**_shown(shown), **more}
    if shown.key.algorithm is Algorithm.HMAC_SHA256:
        answer["secret"] = material.encode_secret(shown.key.secret)
    response = answers.ok(answer, 201)
    response.headers["Location"] = f"/api/v1/cryptoKeys/{key_id}"
    return response


def _shown(shown: Shown) -> Document:
    key, public = shown.key, shown.public
    halves: Document = {} if public is None else {"publicKey": public.written, "publicKeyPem": public.pem}
    return {
        "id": key.id,
        "name": key.name,
        "algorithm": key.algorithm,
        **halves,
        "created": clock.rfc3339(key.created),
        "watches": shown.watches,
        "lastUsed": None if shown.last_used is None else clock.rfc3339(shown.last_used),
        "successor": key.successor,
        "expires": None if key.expires is None else clock.rfc3339(key.expires),
    }
