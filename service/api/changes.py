"""The changes over HTTP, for a receiver that has to catch up."""

from __future__ import annotations

import re

from aiohttp import web

from service import access, errors
from service.api import answers
from service.api.call import Call, cursor_of, page
from service.journal import feed
from service.journal.feed import Wanted
from service.store.feed import Place

_PLACE = re.compile(r"(\d{1,18})\.(\d{1,18})")


async def list_(call: Call) -> web.Response:
    """Changes, oldest first, each with the cursor that goes on behind it."""
    query = call.only({"type", "objectId", "since", "cursor", "limit"})
    wanted = Wanted(_types(call, query.get("type")), query.get("objectId"), call.time("since"))
    items, more = await feed.page(call.services.store, call.tenant, wanted, _place(call), call.limit())
    shown = [{"cursor": cursor_of(_text(item.place)), **item.document} for item in items]
    return answers.ok(page(shown, _text(items[-1].place) if more else None))


def _types(call: Call, name: str | None) -> list[str] | None:
    """The type that is asked for, or all that the caller may list; None: all there ever were."""
    known = call.services.types
    if name is not None:
        if name not in known:
            raise errors.BadRequest(f"parameter 'type' must be one of {', '.join(known)}")
        access.require(call.principal, known[name].permissions["list"], f"listing changes of {name}")
        return [name]
    open_to_caller = [name for name, rtype in known.items() if call.principal.role in rtype.permissions["list"]]
    if len(open_to_caller) == len(known) and "objectId" not in call.request.query:
        return None
    return open_to_caller  # one after the other: an object is found by its type and its id


def _place(call: Call) -> Place | None:
    text = call.cursor()
    if not text:
        return None
    match = _PLACE.fullmatch(text)
    if match is None:
        raise errors.BadRequest("parameter 'cursor' is none of this list: take the one of a change, or nextCursor")
    return Place(int(match[1]), int(match[2]))


def _text(place: Place) -> str:
    return f"{place.tx}.{place.seq}"
