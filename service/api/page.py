"""A page for a person: a heading and some sentences, and nothing that could be turned against its reader.

It runs no script, loads nothing, goes into no frame, is kept by no cache, and tells nobody the address it was
opened at, which holds a code.
"""

from __future__ import annotations

import base64
import hashlib
import html
from collections.abc import Iterable

from aiohttp import web

STYLE = (
    "body{font:1.1rem/1.5 system-ui,sans-serif;max-width:38rem;margin:15vh auto;padding:0 1rem;"
    "color-scheme:light dark;overflow-wrap:anywhere}h1{font-size:1.5rem}footer{opacity:.6;font-size:.9rem}"
)
_STYLE_HASH = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": (
        f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'none'"
    ),
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


def of(heading: str, sentences: Iterable[str], status: int) -> web.Response:
    """The page; every text is text, whatever is in it."""
    title = html.escape(heading)
    body = "".join(f"<p>{html.escape(sentence)}</p>" for sentence in sentences)
    text = (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title} - Webhook Watch</title>'
        f'<meta name="viewport" content="width=device-width"><style>{STYLE}</style></head>'
        f"<body><h1>{title}</h1>{body}<footer>Webhook Watch</footer></body></html>"
    )
    return web.Response(text=text, status=status, content_type="text/html", headers=HEADERS)
