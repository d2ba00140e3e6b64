"""The app: routes, what they share, and what happens at its start and end.

    import uvicorn
    from ragkit.serve.app import make_app

    uvicorn.run(make_app("ragkit.yaml"))

`ragkit serve` does that, and beside it checks the address, stops in time and reloads the config.
"""

from __future__ import annotations

import asyncio
import importlib.util
from collections.abc import AsyncGenerator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

from fastapi import FastAPI
from starlette.middleware.cors import CORSMiddleware
from starlette.routing import Route

from ragkit.config.schema import Config
from ragkit.observe.observer import Observer
from ragkit.observe.spans import Spans
from ragkit.serve.answers import Answers
from ragkit.serve.case_file import CaseFile
from ragkit.serve.database import Database
from ragkit.serve.envelope import Envelope
from ragkit.serve.gate import Gate
from ragkit.serve.indexer import Indexer
from ragkit.serve.keys import Keys
from ragkit.serve.outcomes import Outcomes
from ragkit.serve.problems import handle_problems
from ragkit.serve.routes import (
    ask,
    cases,
    dashboard,
    documents,
    feedback,
    fields,
    health,
    me,
    openai,
    pages,
    playground,
    sheets,
    why,
)
from ragkit.serve.server import Server
from ragkit.serve.sessions import Sessions
from ragkit.serve.sheet import Sheets
from ragkit.serve.systems import Source, Systems
from ragkit.serve.uploads import Uploads
from ragkit.system import Ragkit

if TYPE_CHECKING:
    from ragkit.serve.tools import OverHttp

_INDEXER_STOPS_S = 1.0
_PATIENT_THREADS = 32


def make_app(
    system: Config | Ragkit | str | Path | None = None, *, source: Source | None = None, file: Path | None = None
) -> FastAPI:
    """The app over a system: a `Ragkit`, a `Config`, or a YAML file.

    `source` reads the config anew for a reload; without it there is none. `file` is the one that it reads, which the
    playground may write settings into. A `Ragkit` that is given stays open when the
    app ends. Keys, uploads and feedback lie in `serve.folder`. Raises ConfigError.
    """
    rag = system if isinstance(system, Ragkit) else Ragkit.from_config(system)

    tools = _tools()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncGenerator[None]:
        server = _opened(rag, source, owned=rag is not system)
        server.config_file = file if source is not None else None
        app.state.server = server
        server.indexer.start()
        # In the background: the server lives while its models load, and /ready says when they are.
        server.warming = asyncio.create_task(server.systems.warm())
        try:
            async with nullcontext() if tools is None else tools.running():
                yield
        finally:
            server.warming.cancel()
            await asyncio.to_thread(server.indexer.stop, _INDEXER_STOPS_S)
            server.patient.shutdown(wait=False, cancel_futures=True)
            await asyncio.to_thread(server.sheets.close)
            server.systems.close()
            server.database.close()
            server.key_database.close()
            server.observed.close()

    # The pages of FastAPI's documentation load scripts from elsewhere; the document itself is at /openapi.json.
    app = FastAPI(title="ragkit", lifespan=lifespan, docs_url=None, redoc_url=None)
    answering = (ask, fields, openai, why)
    others = (cases, dashboard, documents, feedback, health, me, pages, playground, sheets)
    for routes in (*answering, *others):
        app.include_router(routes.router)
    if tools is not None:
        app.router.routes.append(Route("/mcp", tools))
    handle_problems(app)
    app.add_middleware(Gate)
    if rag.config.serve.cors_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=rag.config.serve.cors_origins,
            allow_methods=["GET", "POST", "DELETE"],
            allow_headers=["Authorization", "Content-Type"],
            expose_headers=["X-Trace-Id", "Retry-After", "Location"],
        )
    app.add_middleware(Envelope)
    return app


def _tools() -> OverHttp | None:
    """The tools at /mcp, if the package for them is there."""
    if importlib.util.find_spec("mcp") is None:
        return None
    from ragkit.serve.tools import OverHttp

    return OverHttp()


def _opened(rag: Ragkit, source: Source | None, *, owned: bool) -> Server:
    serve = rag.config.serve
    observed = Observer(Spans(serve.traces_url) if serve.traces_url else None)
    database = Database(serve.folder)
    # Keys are looked up on the event loop, by a connection of their own that waits for nobody's write.
    keys = Database(serve.folder)
    systems, uploads = Systems(rag, source, owned=owned), Uploads(database, serve.folder)
    return Server(
        systems,
        database,
        keys,
        Keys(keys),
        uploads,
        Indexer(systems, uploads),
        Answers(database),
        Outcomes(database),
        Sessions(database),
        observed,
        Sheets(),
        CaseFile(serve.folder),
        ThreadPoolExecutor(_PATIENT_THREADS, "patient"),
    )
