"""Interactive OAuth2 over HTTP: the URL that begins it, and the page that its browser comes back to."""

from __future__ import annotations

import logging

from aiohttp import web

from service import errors
from service.api import answers, page
from service.api.call import Call, Visit
from service.model import StatusReason, Watch, WatchStatus

log = logging.getLogger(__name__)


async def authorize(call: Call) -> web.Response:
    """Where a watch's owner consents, good once and for a short time."""
    url = await call.services.authorizations.begin(call.tenant, call.part("id"))
    answer = answers.ok({"url": url})
    answer.headers["Cache-Control"] = "no-store"
    return answer


async def callback(visit: Visit) -> web.Response:
    """What became of it, for the person in front of the browser; whoever brings the state may be anybody."""
    try:
        watch = await visit.services.authorizations.finish(_parameters(visit.request))
    except errors.WatchError as error:
        return page.of("Not authorized", [_sentence(error.detail)], error.status)
    except Exception:
        log.exception("GET %s failed", visit.request.path)
        return page.of("Not authorized", [_sentence(answers.OUR_FAULT)], 500)
    return page.of("Authorized", [*_said_of(watch), "You can close this page."], 200)


def _parameters(request: web.BaseRequest) -> dict[str, str]:
    """RFC 6749, section 3.1: none may be there twice."""
    query = request.query
    if len(set(query)) < len(query):
        raise errors.BadRequest("a parameter of the answer is there twice, so nothing was taken from it")
    return dict(query)


def _said_of(watch: Watch) -> list[str]:
    name = f"{watch.name} ({watch.id})" if watch.name else watch.id
    said = [f"The watch {name} has its refresh token now."]
    if watch.status is WatchStatus.DISABLED:
        return [*said, "It is disabled: what waits is sent once it is enabled."]
    if watch.status_reason is StatusReason.VERIFICATION:
        return [*said, "Its receiver is asked for consent next; deliveries wait for that."]
    return [*said, "Deliveries that waited for it are on their way."]


def _sentence(detail: str) -> str:
    return f"{detail[:1].upper()}{detail[1:]}."
