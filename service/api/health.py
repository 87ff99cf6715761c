"""How the service is: alive, ready, and in figures."""

from __future__ import annotations

from collections.abc import Sequence

from aiohttp import web

from service import __version__, access, errors
from service.api import answers
from service.api.call import Call, Visit
from service.store.driver import Transaction


async def alive(_visit: Visit) -> web.Response:
    """The process answers."""
    return answers.ok({"status": "ok", "version": __version__})


async def ready(visit: Visit) -> web.Response:
    """The database takes writes; 503 while it does not, or while the service stops."""
    try:
        await visit.services.store.submit(_nothing, None)
    except errors.WatchError as error:
        return answers.problem(errors.Unavailable(error.detail))
    return answers.ok({"status": "ready", "version": __version__})


async def metrics(call: Call) -> web.Response:
    """Figures for Prometheus. They are the whole instance's, so they are for the tenant whose people run it."""
    if call.tenant != access.DEFAULT_TENANT:
        raise errors.Forbidden(
            f"the figures are those of all tenants: they take a key of tenant {access.DEFAULT_TENANT}"
        )
    body, content_type = call.services.metrics.page()
    return web.Response(body=body, headers={"Content-Type": content_type})


async def _nothing(_transaction: Transaction, items: Sequence[None]) -> list[None]:
    """A transaction that was opened and committed is answer enough."""
    return list(items)
