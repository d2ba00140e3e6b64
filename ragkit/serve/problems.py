"""What a caller is told when something goes wrong: one shape for all routes, the one that OpenAI's clients read.

{"error": {"message": ..., "type": ..., "code": ..., "param": null, "trace_id": ...}}

What a caller can mend is said in full. What only the operator can is in the log under the trace id, since errors of
models and stores may name addresses, paths and documents.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel
from starlette.exceptions import HTTPException

from ragkit.errors import BudgetExceeded, ConfigError, IndexLocked, RagkitError, ServiceError
from ragkit.observe.trace import trace_id
from ragkit.store.open import NoIndex

_log = logging.getLogger("ragkit.serve")

_TYPES = {
    401: "authentication_error",
    402: "insufficient_quota",
    403: "permission_error",
    404: "not_found_error",
    409: "conflict_error",
    429: "rate_limit_error",
}


class Detail(BaseModel):
    message: str
    type: str
    code: str
    param: str | None = None
    trace_id: str


class ProblemBody(BaseModel):
    """What every error looks like."""

    error: Detail


class Problem(Exception):
    """An error that a route raises on purpose. `retry_after` is in seconds."""

    def __init__(self, status: int, code: str, message: str, *, retry_after: int | None = None) -> None:
        super().__init__(message)
        self.status, self.code, self.message, self.retry_after = status, code, message, retry_after

    def body(self) -> dict[str, Any]:
        fallback = "invalid_request_error" if self.status < 500 else "server_error"
        kind = _TYPES.get(self.status, fallback)
        fields = {"message": self.message, "type": kind, "code": self.code, "param": None, "trace_id": trace_id()}
        return {"error": fields}

    def headers(self) -> dict[str, str]:
        headers = {} if self.retry_after is None else {"Retry-After": str(self.retry_after)}
        return headers | ({"WWW-Authenticate": "Bearer"} if self.status == 401 else {})

    def response(self) -> Response:
        return Json(self.body(), self.status, self.headers())


class Json(JSONResponse):
    """JSON that is always UTF-8: half of a surrogate pair, which a model may write, becomes a question mark."""

    def render(self, content: Any) -> bytes:
        return json.dumps(content, ensure_ascii=False, allow_nan=False, default=str).encode("utf-8", "replace")


def problem_of(error: Exception) -> Problem:
    """What the caller is told of an error; what is not the caller's to mend is logged here."""
    if isinstance(error, Problem):
        return error
    if isinstance(error, BudgetExceeded):
        return Problem(402, "budget_exceeded", str(error))
    if isinstance(error, NoIndex):
        return Problem(409, "no_index", "nothing was indexed yet; upload a document: POST /v1/documents")
    if isinstance(error, IndexLocked):
        return Problem(409, "index_busy", "the index is being written; try again", retry_after=5)
    if isinstance(error, ConfigError):
        return Problem(400, "invalid_request", str(error))
    if isinstance(error, TimeoutError):
        return Problem(504, "timeout", "the request took longer than the server allows (serve.timeout_s)")
    _log.error("a request failed", exc_info=error)
    if isinstance(error, ServiceError):
        return Problem(502, "service_failed", "a model service failed; the log of the server has more")
    if isinstance(error, RagkitError):
        return Problem(503, "not_available", "the system cannot answer now; the log of the server has more")
    return Problem(500, "defect", "this is a defect of the server; its log has more")


def handle_problems(app: FastAPI) -> None:
    """Let the app answer every error in the one shape."""

    async def known(_: Request, error: Exception) -> Response:
        return problem_of(error).response()

    async def invalid(_: Request, error: Exception) -> Response:
        errors: Any = error.errors() if isinstance(error, RequestValidationError) else ()
        return Problem(422, "invalid_request", sentence_of(errors)).response()

    async def refused(_: Request, error: Exception) -> Response:
        if not isinstance(error, HTTPException):
            raise error
        codes = {404: "not_found", 405: "method_not_allowed", 413: "too_large"}
        problem = Problem(error.status_code, codes.get(error.status_code, "invalid_request"), str(error.detail))
        return Json(problem.body(), problem.status, {**problem.headers(), **(error.headers or {})})

    for kind in (Problem, RagkitError, TimeoutError):
        app.add_exception_handler(kind, known)
    app.add_exception_handler(RequestValidationError, invalid)
    app.add_exception_handler(HTTPException, refused)


def sentence_of(errors: Any) -> str:
    """The errors of pydantic in one sentence, without what was given: it may be a question."""
    found: list[Mapping[str, Any]] = list(errors)
    parts = [f"{'.'.join(str(step) for step in error['loc'])}: {error['msg']}" for error in found[:3]]
    more = f" (and {len(found) - 3} more)" if len(found) > 3 else ""
    return "; ".join(parts).encode("utf-8", "replace").decode()[:1000] + more
