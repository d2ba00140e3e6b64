"""The server: its own share of a request at a fixed load, and its rate at saturation beside a bare FastAPI app."""

from __future__ import annotations

import asyncio
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from eval.bench.spec import ROOT, WORK, Bench, Case, Clock, Contender, Measure, Values

ABOUT = """\
`ragkit serve` over eval/samples. Fixed load: 50 clients that together ask 20 times a second for a search by words; the
own share is what a caller waits outside the stages of the search. Saturation: 16 clients that never wait, hybrid search
with the embedding model, beside a FastAPI app of one route over the same `Ragkit`, without keys, limits, logs or
metrics. Server and clients share the cores."""
FOLDER = WORK / "serve"


def _scripts() -> Any:
    """What scripts/measure_server.py measures with."""
    sys.path.insert(0, str(ROOT))
    from scripts import measure_server

    return measure_server


def _server(name: str) -> tuple[Any, list[str], Path]:
    measuring = _scripts()
    folder = FOLDER / name
    folder.mkdir(parents=True, exist_ok=True)
    sets, config = measuring.config_in(folder)
    from ragkit import Ragkit

    with Ragkit(config) as rag:
        rag.index([ROOT / "eval" / "samples"])
    if name == "bare":
        return measuring, [sys.executable, measuring.__file__, "bare", str(folder)], folder
    return measuring, measuring.ragkit_server(folder, sets), folder


def _work(name: str):
    def work(case: Case, clock: Clock) -> Values:
        measuring, command, folder = _server(name)
        with measuring.started(command, folder / "log") as (process, address):
            if case.name == "saturation":
                asyncio.run(measuring.rate(address, 2.0))
                values = {"rate": asyncio.run(measuring.rate(address, case.settings["seconds"]))}
            else:
                values = asyncio.run(_share(measuring, address, case.settings["asks"]))
            from eval.bench.process import status_mb

            return {**values, "server_mb": status_mb(process.pid, "VmHWM")}

    return work


async def _share(measuring: Any, address: str, asks: int) -> Values:
    import httpx

    whole: list[float] = []
    own: list[float] = []
    body = {"question": measuring.QUESTION, "strategy": "sparse"}

    async def client(http: httpx.AsyncClient, number: int) -> None:
        await asyncio.sleep(number / 20)
        for _ in range(asks):
            began = time.perf_counter()
            told: Any = (await http.post("/v1/search", json=body)).raise_for_status().json()
            taken = (time.perf_counter() - began) * 1e3
            whole.append(taken)
            if "timings_ms" in told:
                own.append(taken - sum(told["timings_ms"].values()))
            await asyncio.sleep(max(0.0, 2.5 - taken / 1e3))

    limits = httpx.Limits(max_connections=50, max_keepalive_connections=50)
    async with httpx.AsyncClient(base_url=address, timeout=60, limits=limits) as http:
        await asyncio.gather(*(client(http, number) for number in range(50)))
    values = {f"p{each}": float(np.percentile(whole, each)) for each in (50, 95, 99)}
    return values | {f"own_p{each}": float(np.percentile(own, each)) for each in (50, 95) if own}


SERVE = Bench(
    "serve",
    "Serving",
    ABOUT,
    (
        Measure("rate", "requests a second", "higher"),
        Measure("p50", "p50, ms"),
        Measure("p95", "p95, ms"),
        Measure("p99", "p99, ms", None),
        Measure("own_p50", "own share p50, ms", None),
        Measure("own_p95", "own share p95, ms", None),
        Measure("server_mb", "server's peak memory, MB"),
    ),
    {
        "ragkit": Contender("ragkit serve", _work("ragkit"), "`configs/quickstart.yaml`, no rate limit, room for all"),
        "bare": Contender("bare FastAPI", _work("bare"), "`scripts/measure_server.py bare`", floor=True),
    },
    lambda quick: [
        # The bare app does not know a strategy: at the fixed load it stands beside nobody.
        Case("fixed load", {"asks": 1 if quick else 12}, ("ragkit",)),
        Case("saturation", {"seconds": 3.0 if quick else 10.0}),
    ],
    minutes=10,
    plot=("rate",),
)
