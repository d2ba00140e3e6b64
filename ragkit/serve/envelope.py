"""The outermost layer: a trace id for each request, headers for browsers, one log line, metrics, no bare exception."""

from __future__ import annotations

import logging
import time
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ragkit.observe.trace import TRACE_ID, trace_id_of
from ragkit.serve.problems import problem_of

_log = logging.getLogger("ragkit.serve")

_HEADERS = {
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
    "cache-control": "no-store",
}
"""Unless a route sets its own: answers are data of one caller, and no page may frame or run them."""

_PROBES = frozenset(("/health", "/ready", "/metrics"))
_METHODS = frozenset(("GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"))


class Envelope:
    """The middleware around all others."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._plain: frozenset[str] | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        observed = scope["app"].state.server.observed
        given = next((value for name, value in scope["headers"] if name == b"traceparent"), b"")
        with observed.request(given.decode("latin-1")) as trace:
            token = TRACE_ID.set(trace or trace_id_of(given.decode("latin-1")))
            try:
                await self._answered(scope, receive, send, observed)
            finally:
                TRACE_ID.reset(token)

    async def _answered(self, scope: Scope, receive: Receive, send: Send, observed: Any) -> None:
        began, status, path = time.perf_counter(), 0, scope["path"]
        if self._plain is None:
            self._plain = frozenset(path for path in scope["app"].openapi()["paths"] if "{" not in path) | {"/mcp"}

        async def with_headers(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message = {**message, "headers": _with(message["headers"], TRACE_ID.get())}
            await send(message)

        try:
            await self._app(scope, receive, with_headers)
        except Exception as error:
            problem = problem_of(error)
            if status:  # the answer has begun: all that is left is to end the connection
                raise
            await problem.response()(scope, receive, with_headers)
        finally:
            # The pattern of the route, for a path may hold names of documents.
            route = getattr(scope.get("route"), "path", path if path in self._plain else "other")
            seconds = time.perf_counter() - began
            # Whoever calls may send any word as the method, and each would be a label more.
            method = scope["method"] if scope["method"] in _METHODS else "other"
            observed.answered(method, route, status or 499, seconds)
            caller = getattr(scope.get("admitted"), "caller", None)
            fields = {"method": method, "route": route, "status": status or 499, "ms": round(seconds * 1e3, 1)}
            whose = {"key": caller.name, "tenant": caller.tenant} if caller else {}
            # Probes come every few seconds; only what they find wrong is worth a line.
            level = logging.DEBUG if route in _PROBES and 0 < status < 400 else logging.INFO
            _log.log(level, "%(method)s %(route)s %(status)d in %(ms).0f ms", fields, extra=fields | whose)


def _with(headers: list[tuple[bytes, bytes]], trace: str) -> list[tuple[bytes, bytes]]:
    there = {name.lower() for name, _ in headers}
    ours = {**_HEADERS, "x-trace-id": trace}
    added = [(name.encode(), value.encode()) for name, value in ours.items() if name.encode() not in there]
    return [*((name, value) for name, value in headers if name.lower() != b"server"), *added]
