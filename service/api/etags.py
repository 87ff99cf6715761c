"""Entity tags, and the preconditions that clients make of them (RFC 9110, sections 8.8.3 and 13.1).

A tag is ``"7-1a2b3c4d"``: the version, and a digest of the whole answer. Not everything that an answer shows is a
version's: a write that counts for nothing refreshes a resource, and a watch shows how its receiver does. So
If-None-Match, which asks whether one has seen this answer, compares whole tags; If-Match, which asks whether somebody
else has written, looks at the version alone, and takes ``"7"`` as well. A write is judged inside its transaction.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass

from aiohttp import ETag, web

from service import errors

Check = Callable[[int | None], None]  # takes the version that is there, or None; raises PreconditionFailed


@dataclass(frozen=True, slots=True)
class Conditions:
    """What a request demands of what is there."""

    match: tuple[ETag, ...] | None
    none_match: tuple[ETag, ...] | None

    def check(self, version: int | None) -> None:
        """Let a write go on, or raise PreconditionFailed."""
        if self.match is not None and not any(_names(tag, version) and not tag.is_weak for tag in self.match):
            there = "there is none" if version is None else f"the current one is {version}: read it again"
            raise errors.PreconditionFailed(f"If-Match names another version; {there}", version)
        if self.none_match is not None and any(_names(tag, version) for tag in self.none_match):
            raise errors.PreconditionFailed(f"If-None-Match names what is there: it has version {version}", version)

    def check_existing(self, version: int | None) -> None:
        """The same of a write that means nothing where nothing is: then it is not found, whatever it demands."""
        if version is not None:
            self.check(version)


def conditions(request: web.BaseRequest) -> Conditions | None:
    """The preconditions of a request; BadRequest for tags that are none. None: it has no precondition."""
    headers = request.headers
    if "If-Match" not in headers and "If-None-Match" not in headers:
        return None
    found = Conditions(request.if_match, request.if_none_match)
    for name, tags in (("If-Match", found.match), ("If-None-Match", found.none_match)):
        if name in headers and not tags:
            raise errors.BadRequest(f'{name} takes entity tags in double quotes, such as "7", or *')
    return found


def check(request: web.BaseRequest) -> Check:
    """The check of a write to what is there already."""
    asked = conditions(request)
    return _anything if asked is None else asked.check


def of(version: int, representation: bytes) -> str:
    """The tag of an answer with this body."""
    return f'"{version}-{zlib.crc32(representation):08x}"'


def tagged(answer: web.Response, version: int) -> web.Response:
    """An answer that shows all there is, with its tag."""
    assert isinstance(answer.body, bytes)  # noqa: S101  what answers.ok gives
    answer.headers["ETag"] = of(version, answer.body)
    return answer


def answered(request: web.BaseRequest, answer: web.Response, version: int) -> web.Response:
    """The answer to a GET with its tag; without its body if the client has it: 304. Raises PreconditionFailed."""
    tag = tagged(answer, version).headers["ETag"]
    asked = conditions(request)
    if asked is None:
        return answer
    Conditions(asked.match, None).check(version)
    if asked.none_match is not None and any(known.value in {"*", tag.strip('"')} for known in asked.none_match):
        return web.Response(status=304, headers={"ETag": tag})
    return answer


def _anything(_version: int | None) -> None:
    """Whatever is there is to be written."""


def _names(tag: ETag, version: int | None) -> bool:
    return version is not None and (tag.value == "*" or tag.value.partition("-")[0] == str(version))
