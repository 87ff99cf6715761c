"""``POST /api/v1/resources/{type}/import``: a whole directory as newline-delimited JSON, read as it comes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping

import aiohttp
from aiohttp import http_exceptions, web

from service import errors
from service.api import answers, jobs, resources
from service.api.call import Call
from service.changes import ndjson
from service.changes.importer import Importer
from service.changes.ndjson import BrokenOff
from service.changes.tally import Terms

LINES = frozenset(
    f"application/{name}" for name in ("x-ndjson", "ndjson", "jsonl", "x-jsonlines", "jsonlines", "json-lines", "json")
)
COMPRESSED = frozenset({"application/gzip", "application/x-gzip"})
PIECE = 64 * 1024  # bytes that are read at once
SILENCE = 60.0  # seconds without a byte after which a stream is given up

BOOLEANS: Mapping[str, bool] = {"true": True, "false": False}


async def import_(call: Call) -> web.Response:
    """The job, once the stream has ended and all of it is done: its ``state`` says what it came to."""
    rtype = resources.find_type(call, "push")
    terms = _terms(call)
    encoding = call.request.headers.get("Content-Encoding", "identity")
    if encoding.lower() != "identity":
        # Behind the server's own inflating nobody sees whether the last piece was complete.
        raise errors.UnsupportedMediaType(
            f"Content-Encoding {encoding} is not taken here: send gzip as it is, as application/gzip"
        )
    pieces = _pieces(call.request.content)
    if "Content-Type" in call.request.headers:
        content_type = call.request.content_type
        if content_type in COMPRESSED:
            pieces = ndjson.inflated(pieces)
        elif content_type not in LINES:
            raise errors.UnsupportedMediaType(
                f"{content_type} is not taken here: send application/x-ndjson, one resource in each line, "
                "or the same as application/gzip"
            )
    importer = Importer(call.services.store, call.services.intake)
    return answers.ok(jobs.shown(await importer.run(call.tenant, rtype, pieces, terms)))


def _terms(call: Call) -> Terms:
    query = call.only({"force", "maxDeleteShare"})
    longest = call.services.settings.server.max_body_bytes  # as of a document that is pushed alone
    force, share = query.get("force", "false"), query.get("maxDeleteShare")
    if force not in BOOLEANS:
        raise errors.BadRequest("parameter 'force' must be true or false")
    if share is None:
        return Terms(longest, BOOLEANS[force])
    try:
        number = float(share)
    except ValueError:
        number = -1
    if not 0 <= number <= 1:
        raise errors.BadRequest("parameter 'maxDeleteShare' must be a number from 0 to 1, such as 0.2")
    return Terms(longest, BOOLEANS[force], number)


async def _pieces(content: aiohttp.StreamReader) -> AsyncIterator[bytes]:
    while True:
        try:
            async with asyncio.timeout(SILENCE):
                piece = await content.read(PIECE)
        except TimeoutError as error:
            raise BrokenOff(f"nothing came for {SILENCE:g} seconds") from error
        except (OSError, aiohttp.ClientError, http_exceptions.HttpProcessingError, web.RequestPayloadError) as error:
            raise BrokenOff("the connection broke before the end of the body") from error
        if not piece:
            return
        yield piece
