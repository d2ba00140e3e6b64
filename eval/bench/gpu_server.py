"""vLLM as a server of its own: asked by ragkit's client, and by OpenAI's, as many at once as `concurrency` says."""

from __future__ import annotations

import asyncio
import re
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Sequence
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

import httpx

from eval.bench.gpu_engine import first_token, generation
from eval.bench.gpu_prompts import Asked, prompts
from eval.bench.gpu_settings import WINDOW, Settings, settings
from eval.bench.process import reason_in
from eval.bench.spec import Clock, Skipped, Values
from ragkit.generate import Generated
from ragkit.generate.openai import OpenAIGenerator
from ragkit.generate.vllm import model_folder
from ragkit.ingest.sentences import split_sentences

NAME = "bench"
"""What the server calls the model."""
_STARTS_S = 900
_COUNTER = re.compile(r"^vllm:prefix_cache_(queries|hits)_total(?:\{[^}]*\})? (\S+)$", re.MULTILINE)

Answered = tuple[float, int]
"""Milliseconds to the first text of an answer, and its tokens."""
Ask = Callable[[Asked], Awaitable[Answered]]


def asked_by(client: str, clock: Clock) -> Values:
    """A server for this contender alone, so that what another left in its cache serves nobody."""
    given = settings()
    with tempfile.TemporaryDirectory() as folder, _server(given, Path(folder) / "log", clock) as address:
        return asyncio.run(_measured(client, given, address))


@contextmanager
def _server(given: Settings, log: Path, clock: Clock) -> Generator[str]:
    """The address of a server that is ready."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    # Not `vllm serve`, which asks for the version of a package named vllm: the CPU build's has another name.
    command = [sys.executable, "-m", "vllm.entrypoints.openai.api_server", "--host", "127.0.0.1", "--port", str(port)]
    command += ["--model", str(model_folder(given.model)), "--served-model-name", NAME, "--max-model-len", str(WINDOW)]
    command += ["--enforce-eager"] if given.device == "cpu" else []
    with log.open("wb") as stream:
        process = subprocess.Popen(command, stdout=stream, stderr=stream)
    try:
        address = f"http://127.0.0.1:{port}"
        with clock("load_s"):
            _wait_for(address, process, log)
        yield address
    finally:
        process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait_for(address: str, process: subprocess.Popen[bytes], log: Path) -> None:
    end = time.monotonic() + _STARTS_S
    while time.monotonic() < end:
        if process.poll() is not None:
            raise Skipped(f"vLLM's server ended with code {process.returncode}: {reason_in(log)}")
        try:
            if httpx.get(f"{address}/health", timeout=5).status_code == 200:
                return
        except httpx.HTTPError:
            pass
        time.sleep(0.5)
    raise Skipped(f"vLLM's server was not ready after {_STARTS_S / 60:.0f} minutes")


async def _measured(client: str, given: Settings, address: str) -> Values:
    asked = prompts(given.first, given.prompts, given.passages)
    every = (asked.warm_up, *asked.together)
    config = generation(given, backend="openai", model=NAME, base_url=f"{address}/v1")
    generator = OpenAIGenerator(config, split_sentences)
    ask = _by_ragkit(generator) if client == "ragkit" else _by_openai(generator, address, every)
    await ask(asked.warm_up)
    before = await _cache_counters(address)
    began = time.perf_counter()
    answered = await _all(ask, asked.together, given.concurrency)
    seconds = time.perf_counter() - began
    queries, hits = (now - then for now, then in zip(await _cache_counters(address), before, strict=True))
    await generator.aclose()
    return {
        **first_token([milliseconds for milliseconds, _ in answered]),
        "tokens_s": sum(tokens for _, tokens in answered) / seconds,
        "hits": hits / queries if queries else 0.0,
        "prompt_tokens": queries,
        "answer_tokens": float(sum(tokens for _, tokens in answered)),
    }


async def _all(ask: Ask, every: Sequence[Asked], concurrency: int) -> list[Answered]:
    room = asyncio.Semaphore(concurrency)

    async def one(each: Asked) -> Answered:
        async with room:
            return await ask(each)

    return list(await asyncio.gather(*(one(each) for each in every)))


def _by_ragkit(generator: OpenAIGenerator) -> Ask:
    async def ask(each: Asked) -> Answered:
        began, first = time.perf_counter(), 0.0
        tokens = 0
        async for piece in generator.astream(each.question, each.results):
            first = first or time.perf_counter()
            if isinstance(piece, Generated):  # the last, with the whole
                tokens = piece.usage.output_tokens
        return (first - began) * 1e3, tokens

    return ask


def _by_openai(generator: OpenAIGenerator, address: str, every: Sequence[Asked]) -> Ask:
    """OpenAI's own client, with bodies that were made before the clock starts: the very ones that ragkit sends."""
    openai: Any = import_module("openai")
    client = openai.AsyncOpenAI(base_url=f"{address}/v1", api_key="none", max_retries=0, timeout=900)
    bodies = {each.key: generator.request(each.question, each.results, stream=True)[0] for each in every}

    async def ask(each: Asked) -> Answered:
        began, first, tokens = time.perf_counter(), 0.0, 0
        pieces: AsyncIterator[Any] = await client.chat.completions.create(**bodies[each.key])
        async for piece in pieces:
            if piece.choices and piece.choices[0].delta.content:
                first = first or time.perf_counter()
            tokens = piece.usage.completion_tokens if piece.usage else tokens
        return (first - began) * 1e3, tokens

    return ask


async def _cache_counters(address: str) -> tuple[float, float]:
    async with httpx.AsyncClient() as http:
        return cache_counters((await http.get(f"{address}/metrics", timeout=60)).text)


def cache_counters(metrics: str) -> tuple[float, float]:
    """Prompt tokens that were looked for in the prefix cache, and those that were found, by the server's metrics.

    >>> cache_counters('vllm:prefix_cache_queries_total{engine="0"} 64.0\\nvllm:prefix_cache_hits_total 48.0')
    (64.0, 48.0)
    """
    found = {"queries": 0.0, "hits": 0.0}
    for name, value in _COUNTER.findall(metrics):
        found[name] += float(value)
    return found["queries"], found["hits"]
