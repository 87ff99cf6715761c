"""The service's own log: one line for each event, on stderr."""

from __future__ import annotations

import logging
import time

from aiohttp import http_exceptions

from service.cli import terminal


class Line(logging.Formatter):
    """Time, level, logger, message.

    What a message quotes may have come from anyone, so control characters are escaped: no request can write a
    line of its own. Only a trace, which is there when we have a bug, takes more lines, all of them indented.
    """

    converter = staticmethod(time.gmtime)
    default_time_format = "%Y-%m-%dT%H:%M:%S"
    default_msec_format = "%s.%03dZ"

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)-8s %(name)s  %(message)s")

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802  logging's own name
        """The line itself."""
        record.message = terminal.printable(record.message)
        return super().formatMessage(record)

    def formatException(self, ei: object) -> str:  # noqa: N802
        """The trace below it."""
        return "\n".join(f"    {line}" for line in super().formatException(ei).splitlines())  # type: ignore[arg-type]


def to_stderr(level: str) -> None:
    """Write everything from this level on to stderr."""
    handler = logging.StreamHandler()
    handler.setFormatter(Line())
    severity = logging.getLevelNamesMapping()[level.upper()]
    # Debugging is for our own modules: libraries would log statements with their values, which are secret.
    logging.basicConfig(handlers=[handler], level=max(severity, logging.INFO), force=True)
    logging.getLogger("service").setLevel(severity)
    logging.getLogger("aiohttp.server").addFilter(_is_no_bad_request)


def _is_no_bad_request(record: logging.LogRecord) -> bool:
    """A request that is no HTTP is answered 400; aiohttp's trace would quote it, and the key that it holds."""
    error = record.exc_info[1] if record.exc_info else None
    return not isinstance(error, http_exceptions.HttpProcessingError)
