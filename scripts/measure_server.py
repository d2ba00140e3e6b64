"""What the server adds to the models behind it, and how quickly it stops.

    python scripts/measure_server.py share       50 clients, 20 requests a second: time outside the stages
    python scripts/measure_server.py saturated   requests a second against a bare FastAPI app over the same Ragkit
    python scripts/measure_server.py concurrency requests a second of 50 clients against those of one, in turns
    python scripts/measure_server.py stop        seconds from SIGTERM to the end of the process, under load

Documents: eval/samples. The embedding model is the default one, so that `saturated` compares the same work; `share`
searches by words, which no model takes part in.
"""

from __future__ import annotations

import asyncio
import os
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import httpx
import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel

from ragkit import Config, Ragkit
from ragkit.config.load import load_config

ROOT = Path(__file__).parents[1]
QUESTION = "How long is an RMA number valid?"
PAIRS = 3
ROUNDS = 5


def config_in(folder: Path) -> tuple[list[str], Config]:
    sets = [f"ingestion.store.path={folder}/index", f"serve.folder={folder}/serve", "serve.concurrency=64"]
    sets += ["serve.requests_per_minute=1000000", "serve.waiting=1000"]
    return sets, load_config(ROOT / "configs" / "quickstart.yaml", sets).config


@contextmanager
def started(command: list[str], log: Path) -> Generator[tuple[subprocess.Popen[bytes], str]]:
    """A server as a process, when it is ready, and its address."""
    with log.open("wb") as output:
        server = subprocess.Popen(command, cwd=ROOT, stderr=output, stdout=output, env={**os.environ})
    try:
        while not (found := re.search(rb"(http://127[.\d]+:\d+)", log.read_bytes())):
            if server.poll() is not None:
                raise SystemExit(log.read_text())
            time.sleep(0.1)
        address = found[1].decode()
        while httpx.get(f"{address}/ready", timeout=120).status_code != 200:
            time.sleep(0.1)
        yield server, address
    finally:
        server.kill()
        server.wait()


def ragkit_server(folder: Path, sets: list[str]) -> list[str]:
    options = [part for each in sets for part in ("--set", each)]
    config = ["-c", str(ROOT / "configs" / "quickstart.yaml")]
    return [sys.executable, "-m", "ragkit.cli.main", "serve", "--port", "0", *config, *options]


async def share(address: str) -> None:
    """Time outside the stages of 50 clients that ask 20 times a second together, for half a minute."""
    own: list[float] = []

    async def client(http: httpx.AsyncClient, number: int) -> None:
        await asyncio.sleep(number / 20)
        for _ in range(12):
            began = time.perf_counter()
            response = await http.post("/v1/search", json={"question": QUESTION, "strategy": "sparse"})
            whole = (time.perf_counter() - began) * 1e3
            own.append(whole - sum(response.raise_for_status().json()["timings_ms"].values()))
            await asyncio.sleep(max(0.0, 2.5 - whole / 1e3))

    limits = httpx.Limits(max_connections=50, max_keepalive_connections=50)
    async with httpx.AsyncClient(base_url=address, timeout=60, limits=limits) as http:
        await asyncio.gather(*(client(http, number) for number in range(50)))
    own.sort()
    middle, late = own[len(own) // 2], own[len(own) * 95 // 100]
    print(f"{len(own)} requests; outside the stages p50 {middle:.1f} ms, p95 {late:.1f} ms")


async def rate(address: str, seconds: float = 10.0) -> float:
    """Requests a second of 16 clients that never wait."""
    return len(await busy(address, 16, seconds)) / seconds


async def busy(address: str, clients: int, seconds: float) -> list[float]:
    """Milliseconds of each request of so many clients that never wait, and each time ask for something else."""
    milliseconds: list[float] = []
    end = time.perf_counter() + seconds

    async def client(http: httpx.AsyncClient) -> None:
        while (began := time.perf_counter()) < end:
            question = f"{QUESTION} {len(milliseconds)}"
            (await http.post("/v1/search", json={"question": question})).raise_for_status()
            milliseconds.append((time.perf_counter() - began) * 1e3)

    limits = httpx.Limits(max_connections=clients, max_keepalive_connections=clients)
    async with httpx.AsyncClient(base_url=address, timeout=60, limits=limits) as http:
        await asyncio.gather(*(client(http) for _ in range(clients)))
    return milliseconds


async def concurrency(address: str) -> None:
    """Hybrid searches of one client and of 50, in turns."""
    ratios: list[float] = []
    late: dict[int, list[float]] = {1: [], 50: []}
    await busy(address, 50, 2.0)
    for number in range(ROUNDS):
        rates: dict[int, float] = {}
        for clients in (1, 50) if number % 2 else (50, 1):
            milliseconds = await busy(address, clients, 8.0)
            rates[clients] = len(milliseconds) / 8.0
            late[clients].append(statistics.quantiles(milliseconds, n=100)[98])
        ratios.append(rates[50] / rates[1])
        print(f"one client {rates[1]:.1f}/s, 50 clients {rates[50]:.1f}/s, ratio {ratios[-1]:.2f}")
    p99 = ", ".join(f"{clients}: {statistics.median(each):.0f} ms" for clients, each in late.items())
    print(f"median ratio {statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f}), {ROUNDS} rounds")
    print(f"p99 by clients: {p99}")


class Asked(BaseModel):
    question: str


def bare(config: Config) -> FastAPI:
    """What a bare app over the same system is: one route, no keys, limits, logs or metrics."""
    app, rag = FastAPI(), Ragkit(config)

    @app.post("/v1/search")
    async def search(asked: Asked) -> list[dict[str, object]]:  # pyright: ignore[reportUnusedFunction]
        found = await asyncio.to_thread(rag.retrieve, asked.question)
        return [
            {"text": one.chunk.text, "source": one.chunk.source_document, "score": one.score} for one in found.results
        ]

    @app.get("/ready")
    async def ready() -> None:  # pyright: ignore[reportUnusedFunction]
        await asyncio.to_thread(rag.search, QUESTION)

    return app


def saturated(folder: Path, sets: list[str]) -> None:
    ratios: list[float] = []
    bare_server = [sys.executable, __file__, "bare", str(folder)]
    for number in range(PAIRS):
        rates: dict[str, float] = {}
        commands = [("bare", bare_server), ("ragkit", ragkit_server(folder, sets))]
        for name, command in commands if number % 2 else commands[::-1]:
            with started(command, folder / "log") as (_, address):
                asyncio.run(rate(address, 2.0))
                rates[name] = asyncio.run(rate(address))
        ratios.append(rates["ragkit"] / rates["bare"])
        print(f"bare {rates['bare']:.1f}/s, ragkit {rates['ragkit']:.1f}/s, ratio {ratios[-1]:.2f}")
    print(f"median ratio {statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f}), {PAIRS} pairs")


def stop(folder: Path, sets: list[str]) -> None:
    with started(ragkit_server(folder, sets), folder / "log") as (server, address):

        async def load() -> tuple[int, int, float]:
            answered, failed, stopping = 0, 0, 0.0

            async def client(http: httpx.AsyncClient) -> None:
                nonlocal answered, failed
                while True:
                    try:
                        (await http.post("/v1/search", json={"question": QUESTION})).raise_for_status()
                        answered += 1
                    except httpx.ConnectError:
                        return  # it listens no more
                    except httpx.HTTPError:
                        failed += 1
                        return

            async with httpx.AsyncClient(base_url=address, timeout=60) as http:
                tasks = [asyncio.create_task(client(http)) for _ in range(16)]
                await asyncio.sleep(3)
                stopping = time.perf_counter()
                server.send_signal(signal.SIGTERM)
                await asyncio.gather(*tasks)
            return answered, failed, stopping

        answered, failed, stopping = asyncio.run(load())
        code = server.wait(30)
        print(f"{answered} answered, {failed} cut off; ended after {time.perf_counter() - stopping:.1f} s with {code}")


def main() -> None:
    what = sys.argv[1]
    if what == "bare":
        app = bare(config_in(Path(sys.argv[2]))[1])
        uvicorn.run(app, port=0, access_log=False)
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        sets, config = config_in(folder)
        with Ragkit(config) as rag:
            rag.index([ROOT / "eval" / "samples"])
        if what == "share":
            with started(ragkit_server(folder, sets), folder / "log") as (_, address):
                asyncio.run(share(address))
        elif what == "concurrency":
            with started(ragkit_server(folder, sets), folder / "log") as (_, address):
                asyncio.run(concurrency(address))
        elif what == "saturated":
            saturated(folder, sets)
        else:
            stop(folder, sets)


if __name__ == "__main__":
    main()
