"""Which handler answers a method and a path."""

from __future__ import annotations

import pytest

from service.api.router import ANY, REST, Found, Router

PATHS = (
    ("GET", "/watches"),
    ("POST", "/watches"),
    ("POST", "/watches/preview"),
    ("GET", "/watches/{id}"),
    ("DELETE", "/watches/{id}"),
    ("POST", "/watches/{id}/test"),
    (ANY, "/users"),
    (ANY, "/users/watch"),
    (ANY, "/users/{item}"),
    (ANY, f"/users/{REST}"),
)


@pytest.fixture(scope="module")
def router() -> Router[str]:
    made: Router[str] = Router()
    for method, path in PATHS:
        made.add(method, path, f"{method} {path}")
    return made


@pytest.mark.parametrize(
    ("method", "path", "handler", "parts"),
    [
        ("GET", "/watches", "GET /watches", {}),
        ("POST", "/watches/preview", "POST /watches/preview", {}),
        ("GET", "/watches/preview", "GET /watches/{id}", {"id": "preview"}),
        ("POST", "/watches/preview/test", "POST /watches/{id}/test", {"id": "preview"}),
        ("GET", "/w%61tches/a%2Fb%20c", "GET /watches/{id}", {"id": "a/b c"}),
        ("GET", "/watches/%ff", "GET /watches/{id}", {"id": "%ff"}),
        ("GET", "/watches/%E2%82%AC", "GET /watches/{id}", {"id": "€"}),
        ("TRACE", "/users/watch", "* /users/watch", {}),
        ("GET", "/users/7", "* /users/{item}", {"item": "7"}),
        ("GET", "/users/7/roles/1", "* /users/{rest}", {}),
        ("GET", "/users/", "* /users/{rest}", {}),
    ],
)
def test_the_path_that_says_most_answers(router: Router[str], method: str, path: str, handler: str, parts: object):
    assert router.find(method, path) == Found(handler, parts)


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("PATCH", "/watches", {"GET", "POST"}),
        ("PATCH", "/watches/preview", {"GET", "POST", "DELETE"}),
        ("GET", "/watches/1/test", {"POST"}),
        ("GET", "/watches/", set()),
        ("GET", "/watch", set()),
        ("GET", "//watches", set()),
        ("OPTIONS", "*", set()),
        ("GET", "/", set()),
    ],
)
def test_elsewhere_it_says_what_is_taken(router: Router[str], method: str, path: str, allowed: set[str]):
    assert router.find(method, path) == allowed
