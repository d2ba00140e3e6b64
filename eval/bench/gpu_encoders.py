"""Embedding and reranking on a device: through ragkit, and by sentence-transformers alone."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from eval.bench import rerank
from eval.bench.corpus import chunk_rows, chunk_texts
from eval.bench.gpu_settings import settings
from eval.bench.spec import Case, Clock, Skipped, Values

BATCH = 256
"""Texts that an embedding model reads at once; a GPU is not busy with the 32 that suit a processor."""
_WARM_UP = "load the model before the clock starts"


def prepare(case: Case) -> None:
    """Make the texts and the cross-encoder that both read. Raises Skipped without what makes them."""
    if find_spec("sentence_transformers") is None:
        raise Skipped("sentence-transformers is not installed (ragkit[local])")
    chunk_rows(settings().texts)
    if case.name == "reranking":
        rerank.prepare(case)


def embedding(name: str, clock: Clock) -> Values:
    given = settings()
    texts = chunk_texts(chunk_rows(given.texts))
    with clock("load_s"):
        encode = _ragkit_embedder(given.device) if name == "ragkit" else _bare_embedder(given.device)
        encode([_WARM_UP])
    began = time.perf_counter()
    encode(texts)
    return {"texts_s": len(texts) / (time.perf_counter() - began)}


def _ragkit_embedder(device: str) -> Callable[[Sequence[str]], object]:
    from ragkit.config.schema import Embedding
    from ragkit.embed import make_embedder

    embedding = Embedding(model=settings().embedder, device=device, batch_size=BATCH)
    return make_embedder(embedding).embed_passages


def _bare_embedder(device: str) -> Callable[[Sequence[str]], object]:
    from ragkit.embed.models import model_folder

    transformers: Any = import_module("sentence_transformers")
    model = transformers.SentenceTransformer(str(model_folder(settings().embedder)), device=device)
    return lambda texts: model.encode(list(texts), batch_size=BATCH, show_progress_bar=False)


def reranking(name: str, clock: Clock) -> Values:
    given = settings()
    texts = chunk_texts(chunk_rows(given.texts))
    with clock("load_s"):
        scores = _ragkit_reranker(given.device) if name == "ragkit" else _bare_reranker(given.device)
        scores(rerank.QUESTION, texts[: given.candidates])
    began = time.perf_counter()
    for number in range(given.questions):
        scores(rerank.QUESTION, [texts[(number * 7 + at) % len(texts)] for at in range(given.candidates)])
    return {"pairs_s": given.questions * given.candidates / (time.perf_counter() - began)}


def _ragkit_reranker(device: str) -> rerank.Scores:
    from ragkit.config.schema import Reranking
    from ragkit.rerank import make_reranker

    reranker = make_reranker(Reranking(backend="cross_encoder", model=str(rerank.FOLDER), device=device))
    assert reranker is not None
    return reranker.scores


def _bare_reranker(device: str) -> rerank.Scores:
    transformers: Any = import_module("sentence_transformers")
    model = transformers.CrossEncoder(str(rerank.FOLDER), device=device, max_length=512)
    return lambda question, texts: model.predict(
        [(question, text) for text in texts], batch_size=32, show_progress_bar=False
    )
