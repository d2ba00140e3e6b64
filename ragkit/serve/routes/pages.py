"""The pages: files of `ragkit/serve/pages/` as they are. They hold nothing of anybody, and ask the API for it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from fastapi import APIRouter, Request
from fastapi.responses import Response

from ragkit.serve.problems import Problem

router = APIRouter(include_in_schema=False)

_FOLDER = Path(__file__).parent.parent / "pages"
_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
_HEADERS = {
    # No form is ever sent by the browser itself, which would put what is typed into an address.
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' blob:;"
        " base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script';"
        " trusted-types 'none'"
    ),
    "cross-origin-opener-policy": "same-origin",
    "permissions-policy": "camera=(), microphone=(), geolocation=()",
    "cache-control": "no-cache",
}
"""Trusted types forbid the page to make HTML or scripts from text, by a slip too."""


@dataclass(frozen=True, slots=True)
class _File:
    content: bytes
    media_type: str
    etag: str


@cache
def _files() -> dict[str, _File]:
    found: dict[str, _File] = {}
    for path in sorted(_FOLDER.iterdir()):
        if path.suffix in _TYPES:
            content = path.read_bytes()
            found[path.name] = _File(content, _TYPES[path.suffix], f'"{hashlib.sha256(content).hexdigest()[:32]}"')
    return found


@router.get("/")
async def first(request: Request) -> Response:
    """The page; which part of it is shown stands behind the # and is not sent."""
    return _sent(request, "index.html")


@router.get("/pages/{name}")
async def file(request: Request, name: str) -> Response:
    """A script, a style sheet or a picture of the page."""
    return _sent(request, name)


def _sent(request: Request, name: str) -> Response:
    found = _files().get(name)
    if found is None:
        raise Problem(404, "not_found", "there is no such page")
    headers = {**_HEADERS, "etag": found.etag}
    if request.headers.get("if-none-match") == found.etag:
        return Response(status_code=304, headers=headers)
    return Response(found.content, media_type=found.media_type, headers=headers)
