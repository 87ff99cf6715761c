"""``POST /api/v1/watches/{id}/redeliver``: a job that sends a watch again what failed, or what it never heard of."""

from __future__ import annotations

from collections.abc import Iterator

from aiohttp import web

from service import clock, errors, jsontext
from service.api import answers, jobs
from service.api.call import Call
from service.errors import FieldError
from service.model import DeliveryStatus, Document, Json
from service.watches.replay import Terms

MEMBERS = ("since", "until", "status", "missing")
ENDED = tuple(status for status in DeliveryStatus if status is not DeliveryStatus.PENDING)
DAY = 86_400_000  # ms


async def redeliver(call: Call) -> web.Response:
    """Begin a replay; the job, which goes on by itself."""
    terms = _terms(await call.optional_json())
    kept = int(call.services.settings.log.retention_days * DAY)
    job = await call.services.replayer.begin(call.tenant, call.part("id"), terms, kept)
    answer = answers.ok(jobs.shown(job), 202)
    answer.headers["Location"] = f"/api/v1/jobs/{job.id}"
    return answer


async def cancel(call: Call) -> web.Response:
    """Stop a replay; what it has given to be sent is sent."""
    return answers.ok(jobs.shown(await call.services.replayer.cancel(call.tenant, call.part("id"))))


def _terms(body: Json) -> Terms:
    """What a body asks for; Invalid with every fault."""
    if not isinstance(body, dict):
        raise errors.Invalid.at("", "must be a JSON object")
    faults = [
        FieldError(jsontext.pointer(name), f"is not known here: there are {', '.join(MEMBERS)}")
        for name in body
        if name not in MEMBERS
    ]
    since, until = _time(body, "since", faults), _time(body, "until", faults)
    if since is not None and until is not None and since >= until:
        faults.append(FieldError("/until", "must be later than since"))
    statuses = frozenset(_statuses(body.get("status", DeliveryStatus.FAILED), faults))
    missing = body.get("missing", False)
    if not isinstance(missing, bool):
        faults.append(FieldError("/missing", "must be true or false"))
    elif not statuses and not missing and not faults:
        faults.append(FieldError("/status", 'is empty, and "missing" is not true: nothing would be sent'))
    if faults:
        raise errors.Invalid.of(faults)
    return Terms(since, until, statuses, missing=missing is True)


def _time(body: Document, name: str, faults: list[FieldError]) -> int | None:
    value = body.get(name)
    if value is None:
        return None
    try:
        if isinstance(value, str):
            return max(0, clock.parse_rfc3339(value))
    except ValueError:
        pass
    faults.append(FieldError(f"/{name}", "must be an RFC 3339 time such as 2026-01-31T12:00:00Z"))
    return None


def _statuses(value: Json, faults: list[FieldError]) -> Iterator[DeliveryStatus]:
    given = value if isinstance(value, list) else [value]
    for index, status in enumerate(given):
        if status in ENDED:
            yield DeliveryStatus(str(status))
        else:
            pointer = jsontext.pointer("status", index) if isinstance(value, list) else "/status"
            faults.append(FieldError(pointer, f"must be one of {', '.join(ENDED)}"))
