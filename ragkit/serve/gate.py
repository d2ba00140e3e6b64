"""What a request must pass before its route: where it comes from, its key, its limits, room, time and size.

Order: another origin's page (403), no key (401), too often (429), too many at once of one key (429), no room (429);
then a time limit (504) and a limit on what is read of the body (413).
"""

from __future__ import annotations

import asyncio
import ipaddress
import time
from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil
from typing import Any
from urllib.parse import urlsplit

from fastapi import Request
from limits import RateLimitItemPerMinute
from limits.storage import MemoryStorage
from limits.strategies import SlidingWindowCounterRateLimiter
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ragkit.config.serving import Serve
from ragkit.serve.access import ANYBODY, Caller
from ragkit.serve.keys import Keys
from ragkit.serve.problems import Problem
from ragkit.serve.room import Full, Room, Shares
from ragkit.serve.systems import Systems
from ragkit.system import Ragkit

GUARDED = ("/v1/", "/mcp", "/metrics")
"""Beginnings of the paths that need a caller; the others tell nothing of documents."""
UPLOAD = "/v1/documents"
_MULTIPART = 64 * 1024  # what the form of an upload may take beside its file
_LAST_WORD_S = 1.0  # for a stream to say that its time is over


@dataclass(frozen=True, slots=True)
class Admitted:
    """A request that has passed: its caller, the system that it uses, and by when it must end (time of the loop)."""

    caller: Caller
    rag: Ragkit
    deadline: float


def admitted(request: Request) -> Admitted:
    return request.scope["admitted"]


class Gate:
    """The middleware. `open_to_this_machine` lets requests of this machine in without a key while none was made."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._limiter = SlidingWindowCounterRateLimiter(MemoryStorage())
        self._room, self._shares = Room(), Shares()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path: str = scope.get("path", "")
        if scope["type"] != "http" or not f"{path}/".startswith(GUARDED):
            await self._app(scope, receive, send)
            return
        server: Any = scope["app"].state.server
        systems: Systems = server.systems
        serve = systems.current.config.serve
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        began = _Begun(send)
        try:
            _check_origin(headers, scope["scheme"], serve)
            caller = _caller(headers, scope, server.keys)
            if caller is not ANYBODY:
                self._check_rate(caller, serve)
            share = (
                serve.concurrency + serve.waiting
                if caller is ANYBODY
                else caller.concurrency or serve.concurrency_per_key
            )
            deadline = asyncio.get_running_loop().time() + serve.timeout_s
            async with asyncio.timeout_at(deadline + _LAST_WORD_S):
                with self._shares.taken(caller.name, share):
                    async with self._room.taken(serve.concurrency, serve.waiting):
                        with systems.used() as rag:
                            scope["admitted"] = Admitted(caller, rag, deadline)
                            scope["ragkit"] = server
                            await self._app(scope, _bounded(receive, headers, _most_bytes(scope, serve)), began)
        except Full:
            await _refuse(
                Problem(429, "busy", "the server is busy; try again after the time in Retry-After", retry_after=2),
                scope, receive, began,
            )  # fmt: skip
        except Problem as problem:
            await _refuse(problem, scope, receive, began)
        except HTTPException as error:  # a body that says that it is too large
            await _refuse(Problem(error.status_code, "too_large", str(error.detail)), scope, receive, began)
        except TimeoutError:
            if not began.started:
                await _refuse(
                    Problem(504, "timeout", "the request took longer than the server allows (serve.timeout_s)"),
                    scope, receive, began,
                )  # fmt: skip

    def _check_rate(self, caller: Caller, serve: Serve) -> None:
        item = RateLimitItemPerMinute(caller.requests_per_minute or serve.requests_per_minute)
        if not self._limiter.hit(item, caller.name):
            left = self._limiter.get_window_stats(item, caller.name).reset_time - time.time()
            wait = min(60, max(1, ceil(left)))
            raise Problem(429, "rate_limited", f"more than {item.amount} requests in a minute", retry_after=wait)


class _Begun:
    """Passes messages on, and knows whether an answer has begun."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self.started = False

    async def __call__(self, message: Message) -> None:
        self.started = self.started or message["type"] == "http.response.start"
        await self._send(message)


async def _refuse(problem: Problem, scope: Scope, receive: Receive, began: _Begun) -> None:
    if not began.started:
        await problem.response()(scope, receive, began)


def _check_origin(headers: Mapping[str, str], scheme: str, serve: Serve) -> None:
    """A page of another site can make a browser send requests; its Origin gives it away."""
    origin = headers.get("origin")
    if origin is None or origin == f"{scheme}://{headers.get('host', '')}" or origin in serve.cors_origins:
        return
    raise Problem(403, "origin_not_allowed", "pages of other origins may not call this server (serve.cors_origins)")


def _caller(headers: Mapping[str, str], scope: Scope, keys: Keys) -> Caller:
    kind, _, text = headers.get("authorization", "").partition(" ")
    if kind.lower() == "bearer" and (key := keys.find(text.strip())) is not None:
        return Caller.of(key)
    if not keys.any_made():
        if _is_of_this_machine(headers, scope):
            return ANYBODY
        raise Problem(401, "no_key", "no API key was made yet; on the server's machine: ragkit keys create NAME")
    raise Problem(401, "invalid_api_key", "send a valid key: Authorization: Bearer KEY")


def _is_of_this_machine(headers: Mapping[str, str], scope: Scope) -> bool:
    """Whether a request comes from this machine itself and was meant for it.

    A proxy on this machine passes on those of others and says so; a page that renames this machine (DNS rebinding) is
    given away by the Host.
    """
    client = scope.get("client")
    host = urlsplit(f"//{headers.get('host', '')}").hostname or ""
    forwarded = any(name in headers for name in ("forwarded", "x-forwarded-for", "x-real-ip", "via"))
    return bool(client) and is_loopback(client[0]) and is_loopback(host) and not forwarded


def is_loopback(host: str) -> bool:
    """Whether a name or address means this machine alone.

    >>> is_loopback("127.0.0.1"), is_loopback("::1"), is_loopback("localhost"), is_loopback("0.0.0.0")
    (True, True, True, False)
    """
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _most_bytes(scope: Scope, serve: Serve) -> int:
    if scope["method"] == "POST" and scope["path"].rstrip("/") == UPLOAD:
        return int(serve.max_upload_mb * 1e6) + _MULTIPART
    return serve.max_request_kb * 1024


def _bounded(receive: Receive, headers: Mapping[str, str], most: int) -> Receive:
    """What reads the body and stops at `most` bytes; at once where the length is told."""
    too_large = HTTPException(413, f"the body is larger than the {most:,} bytes that the server takes")
    told = headers.get("content-length", "")
    if told.isdigit() and (len(told) > 18 or int(told) > most):
        raise too_large
    read = 0

    async def bounded() -> Message:
        nonlocal read
        message = await receive()
        read += len(message.get("body", b""))
        if read > most:
            raise too_large
        return message

    return bounded
