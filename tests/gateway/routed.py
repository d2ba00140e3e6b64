"""A routed generator over real servers, for the tests of routing."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from functools import cache
from typing import Any

from ragkit.config.schema import Config, Embedding, Generation
from ragkit.embed import Embedder, make_embedder
from ragkit.gateway.routing import RoutedGenerator, Router
from ragkit.generate import Generator as AnswerGenerator
from ragkit.generate import make_generator
from ragkit.generate.generated import Generated
from ragkit.ingest.sentences import split_sentences
from ragkit.types import Chunk, ScoredChunk
from tests.gateway.fault_server import Fault, FaultServer

TEXT = "The battery lasts 10 hours. It charges in 2 hours."
CHUNK = Chunk("c1", "d", TEXT, 0, len(TEXT), 12, {"source_document": "a.pdf", "page_number": 3, "secret": "no"})
RESULTS = [ScoredChunk(CHUNK, 1.0, {})]
DEAD = "http://127.0.0.1:9/v1"  # nobody listens there
SHORT: dict[str, Any] = {"deadline_s": 3.0, "wait_s": 1.0}
QUESTION = "How long does the battery last?"


@cache
def embedder() -> Embedder:
    return make_embedder(Embedding())


def config_over(
    servers: Mapping[str, FaultServer | str], endpoints: Mapping[str, Mapping[str, Any]] | None = None, **routing: Any
) -> Config:
    """A config with an endpoint for each server (or address), whose model is called as the server is."""
    listed = [
        {
            "name": name,
            "model": f"model-{name}",
            "base_url": server if isinstance(server, str) else server.url,
            **(endpoints or {}).get(name, {}),
        }
        for name, server in servers.items()
    ]
    generation = {"backend": "openai", "model": "nobody", "timeout_s": 30.0}
    return Config.model_validate({"generation": generation, "routing": {"endpoints": listed, **routing}}, strict=False)


def make(generation: Generation) -> AnswerGenerator:
    return make_generator(generation, split_sentences, embedder())


@contextmanager
def routed(
    servers: Mapping[str, FaultServer | str], endpoints: Mapping[str, Mapping[str, Any]] | None = None, **routing: Any
) -> Generator[RoutedGenerator]:
    router = Router(config_over(servers, endpoints, **routing), make, embedder())
    try:
        yield RoutedGenerator(router)
    finally:
        router.close()


def serving(*plan: Fault, **settings: Any) -> FaultServer:
    return FaultServer(plan or ("ok",), **settings)


def asked(generator: RoutedGenerator, question: str = QUESTION) -> Generated:
    return generator.generate(question, RESULTS)


def outcomes(generated: Generated) -> list[tuple[str, str]]:
    return [(each.endpoint, each.outcome) for each in generated.attempts]
