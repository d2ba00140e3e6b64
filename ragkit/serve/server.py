"""What the routes of one app share, and how a route gets at it."""

from __future__ import annotations

import asyncio
import contextvars
import functools
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, ParamSpec, TypeVar

from fastapi import Depends, Request, Security
from fastapi.security import HTTPBearer

from ragkit.observe.observer import Observer
from ragkit.serve.answers import Answers
from ragkit.serve.case_file import CaseFile
from ragkit.serve.database import Database
from ragkit.serve.gate import Admitted
from ragkit.serve.indexer import Indexer
from ragkit.serve.keys import Keys, Role
from ragkit.serve.outcomes import Outcomes
from ragkit.serve.problems import Problem, ProblemBody
from ragkit.serve.sessions import Sessions
from ragkit.serve.sheet import Sheets
from ragkit.serve.systems import Systems
from ragkit.serve.trial_rerankers import TrialRerankers
from ragkit.serve.uploads import Uploads

P = ParamSpec("P")
T = TypeVar("T")


@dataclass(slots=True)
class Server:
    systems: Systems
    database: Database
    key_database: Database
    keys: Keys
    uploads: Uploads
    indexer: Indexer
    answers: Answers
    outcomes: Outcomes
    sessions: Sessions
    observed: Observer
    sheets: Sheets
    cases: CaseFile
    patient: ThreadPoolExecutor
    """Threads for what may wait long (a model that writes, the writer lock): searches have others, and never wait."""
    rerankers: TrialRerankers = field(default_factory=TrialRerankers)
    """Of the playground."""
    config_file: Path | None = None
    """What the playground writes settings into."""
    warming: asyncio.Task[None] | None = None

    async def patiently(self, work: Callable[P, T], *arguments: P.args, **named: P.kwargs) -> T:
        """`asyncio.to_thread`, in the patient threads."""
        call = functools.partial(contextvars.copy_context().run, work, *arguments, **named)
        return await asyncio.get_running_loop().run_in_executor(self.patient, call)


def server_of(request: Request) -> Server:
    return request.app.state.server


# The Gate has checked the key already; this puts it into the OpenAPI document.
_bearer = HTTPBearer(auto_error=False, description="An API key: ragkit keys create NAME")


def _allowed(role: Role) -> Callable[..., Admitted]:
    def check(request: Request, _: object = Security(_bearer)) -> Admitted:
        admitted: Admitted = request.scope["admitted"]
        if not admitted.caller.may(role):
            raise Problem(403, "not_allowed", f"this needs a key of role {role}")
        return admitted

    return check


Reader = Annotated[Admitted, Depends(_allowed("read"))]
Writer = Annotated[Admitted, Depends(_allowed("write"))]
Admin = Annotated[Admitted, Depends(_allowed("admin"))]
Shared = Annotated[Server, Depends(server_of)]

_WHY = {
    400: "the request cannot be done as it is",
    401: "no valid key",
    402: "a budget is used up",
    403: "the key may not do this",
    404: "there is none that the key may see",
    409: "the state of the index does not allow it now",
    413: "the body is too large",
    415: "the type of the file is not taken",
    422: "the request is malformed",
    429: "too many requests; Retry-After says when to come again",
    500: "a defect of the server",
    502: "a model service failed",
    503: "the system cannot answer now",
    504: "the time limit was reached",
}
PROBLEMS: dict[int | str, dict[str, object]] = {
    status: {"model": ProblemBody, "description": why} for status, why in _WHY.items()
}
