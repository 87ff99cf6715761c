"""One page of an upstream, over HTTP: as its elements, or as the reason why not.

What an upstream may do to us is bounded: the time of one exchange, the bytes of a page, where the next page may
be (at the same origin, because our credentials go there), and every address that a socket is opened to. How long
it wants to be left alone is read relative to its own clock, where it says what that is.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime

from service import __version__
from service.changes.dialects.codec import Dialect, Page, UpstreamError
from service.changes.poll import lenient
from service.changes.poll.source import Source
from service.delivery import authenticate, grants, masking, retry, send, wire
from service.errors import BadRequest, Invalid
from service.model import Json, Outcome, Reason, Request
from service.watches import address

TIMEOUT = 60.0  # seconds for a page
PAGE_LIMIT = 32 * 1024 * 1024  # bytes of a page
LARGE = 64 * 1024  # bytes from which a page is parsed beside the event loop
SAID_LIMIT = 64 * 1024  # bytes of a refusal in which the upstream's own words are looked for
LONGEST_DETAIL = 500  # characters of an error that are kept

FINAL = frozenset({Reason.BLOCKED, Reason.REDIRECT, Reason.TLS})  # another try would end the same way
RATE_LIMITS = (("x-ratelimit-remaining", "x-ratelimit-reset"), ("ratelimit-remaining", "ratelimit-reset"))
EPOCH_FROM = 1e8  # a larger number of seconds is a time, not a delay...
EPOCH_MS_FROM = 1e11  # ...and one that is larger still counts milliseconds

_ORIGIN = re.compile(r"https?://[^/?#]*", re.IGNORECASE)
_NUMBER = re.compile(r"\d{1,15}(\.\d{1,9})?", re.ASCII)


@dataclass(frozen=True, slots=True)
class Reading:
    """A page that was read."""

    elements: list[Json]
    next: str | None  # URL of the next page; None: this was the last
    asked_at: int  # ms: when it was asked for
    clock: int | None  # ms: what the upstream's own clock said; None: it did not say
    not_before: int | None = None  # ms: the rate limit is used up until then


@dataclass(frozen=True, slots=True)
class Refusal:
    """A page that was not."""

    detail: str  # why, in words; no secret is in it
    status: int | None = None  # HTTP status, if there was an answer
    not_before: int | None = None  # ms: when the upstream wants to be asked again
    final: bool = False  # another try would end the same way


class Upstream:
    """Asks upstreams for pages."""

    def __init__(
        self,
        client: wire.Lines,
        tokens: authenticate.Tokens,
        now: Callable[[], int],
        *,
        timeout: float = TIMEOUT,
    ) -> None:
        self._client = client
        self._tokens = tokens
        self._now = now
        self._timeout = timeout

    async def fetch(self, source: Source, dialect: Dialect, url: str) -> Reading | Refusal:
        """The page at this URL. Raises nothing but CancelledError."""
        token: str | None = None
        secrets = source.auth.secrets()
        for _ in range(2):
            try:
                token = await self._token(source)
            except grants.TokenError as error:
                return Refusal(masking.mask(error.detail, secrets)[:LONGEST_DETAIL])
            asked_at = self._now()
            request = Request("GET", url, _headers(source, dialect, token), None, self._timeout)
            outcome = await send.exchange(self._client, request, limit=PAGE_LIMIT + 1)
            if outcome.status_code != 401 or token is None:
                break
            self._tokens.drop(source.id, token)  # it has expired between two pages: once more, with a new one
        result = await self._read(source, dialect, url, outcome, asked_at)
        if isinstance(result, Refusal):
            known = secrets | {token} if token else secrets
            shown = masking.mask(masking.printable(result.detail.encode(errors="replace")), known)
            return Refusal(shown[:LONGEST_DETAIL], result.status, result.not_before, result.final)
        return result

    async def _token(self, source: Source) -> str | None:
        oauth2 = source.auth.oauth2
        return None if oauth2 is None else await self._tokens.get(source.id, oauth2)

    async def _read(
        self, source: Source, dialect: Dialect, url: str, outcome: Outcome, asked_at: int
    ) -> Reading | Refusal:
        now, status = self._now(), outcome.status_code
        clock = _clock(outcome.headers)
        not_before = _not_before(outcome, now, clock if clock is not None else now)
        if outcome.reason is not None or status is None:
            said = "" if outcome.ok else _said(dialect, url, outcome.body)
            detail = f"{outcome.error_message}{said}"
            return Refusal(detail, status, not_before, final=outcome.reason in FINAL)
        try:
            _check(outcome)
            large = len(outcome.body) > LARGE
            value = await asyncio.to_thread(lenient.loads, outcome.body) if large else lenient.loads(outcome.body)
            page: Page = dialect.read_page(url, value)
        except BadRequest as error:
            return Refusal(f"the answer is no page: {error.detail}", status)
        except UpstreamError as error:
            code = "" if error.code is None else f" (code {error.code})"
            return Refusal(f"the upstream answered {status} with an error: {error.detail}{code}", status, not_before)
        if page.next is not None and _leads_away(page.next, source):
            return Refusal(f"the next page is at another origin: {page.next.partition('?')[0]}", status, final=True)
        return Reading(page.elements, page.next, asked_at, clock, not_before)


def _headers(source: Source, dialect: Dialect, token: str | None) -> dict[str, str]:
    headers = {
        "accept": dialect.media_type,
        "accept-encoding": "identity",  # so that no small answer becomes a large one
        "user-agent": f"webhook-watch/{__version__}",
    }
    headers |= {name.lower(): value for name, value in source.auth.headers.items()}
    authorization = source.auth.authorization() if token is None else f"Bearer {token}"
    return headers if authorization is None else {**headers, "authorization": authorization}


def _check(outcome: Outcome) -> None:
    """Whether it is a whole page, as far as HTTP can tell. Raises UpstreamError."""
    if outcome.status_code != 200:
        raise UpstreamError("a page is answered with 200")
    if len(outcome.body) > PAGE_LIMIT:
        raise UpstreamError(f"the page has more than {PAGE_LIMIT} bytes")
    encoding = outcome.headers.get("content-encoding", "identity").lower()
    if encoding != "identity":
        raise UpstreamError(f"the page is encoded as {encoding[:40]}, which was not asked for")


def _said(dialect: Dialect, url: str, body: bytes) -> str:
    """What the upstream says in its own error envelope, if it does."""
    try:
        dialect.read_page(url, lenient.loads(body[:SAID_LIMIT]))
    except UpstreamError as error:
        return f": {error.detail}"
    except BadRequest:
        return ""
    return ""


def _leads_away(url: str, source: Source) -> bool:
    """Whether our credentials would go elsewhere than to where they belong."""
    start = _ORIGIN.match(url)
    try:
        return start is None or address.compile(start[0]).origin != address.compile(source.url).origin
    except Invalid:
        return True


def _clock(headers: Mapping[str, str]) -> int | None:
    """What the upstream says the time is."""
    try:
        return round(parsedate_to_datetime(headers["date"]).timestamp() * 1000)
    except (KeyError, ValueError, TypeError, IndexError, OverflowError):
        return None


def _not_before(outcome: Outcome, now: int, clock: int) -> int | None:
    """When the upstream wants to be asked again, on our clock; ``clock`` is its own time now."""
    moment = None
    if outcome.status_code in retry.PAUSING:
        moment = retry.retry_after(outcome.headers.get("retry-after"), clock)
    for remaining, reset in RATE_LIMITS:
        left = outcome.headers.get(remaining, "")
        used_up = _NUMBER.fullmatch(left) is not None and float(left) <= 0
        if moment is None and (used_up or outcome.status_code == 429):
            moment = _reset(outcome.headers.get(reset), clock)
    return None if moment is None else now + (moment - clock)


def _reset(value: str | None, clock: int) -> int | None:
    text = (value or "").strip()
    if not _NUMBER.fullmatch(text) or float(text) < EPOCH_FROM:
        return retry.retry_after(text, clock)
    at = round(float(text) if float(text) >= EPOCH_MS_FROM else float(text) * 1000)
    return min(at, clock + retry.LONGEST_PAUSE) if at > clock else None
