"""Reranking: one cross-encoder, read by everybody's own code."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any

import numpy as np

from eval.bench.corpus import chunk_rows, chunk_texts, model
from eval.bench.spec import WORK, Bench, Case, Clock, Contender, Measure, Values

Scores = Callable[[str, Sequence[str]], Any]
QUESTION = "what similarity laws must be obeyed when constructing aeroelastic models of heated high speed aircraft"
ABOUT = """\
Milliseconds to score the candidates of one question with a cross-encoder of MiniLM-L6's six layers (its head is not
trained, which costs the same as one that is). The candidates are chunks of XQuAD-en; each question has others."""
FOLDER = WORK / "cross-encoder"


def prepare(case: Case) -> None:
    """Make the chunks, and the cross-encoder in `FOLDER` if it is not there."""
    del case
    chunk_rows(240)
    if (FOLDER / "config.json").exists():
        return
    from ragkit.train.cross_encoder import base_network
    from ragkit.train.export import copy_tokenizer

    base_network(model(), range(6), seed=0).save_pretrained(FOLDER)
    copy_tokenizer(model(), FOLDER, window=512)


def ragkit() -> Scores:
    from ragkit.rerank.cross_encoder import load_cross_encoder

    return load_cross_encoder(str(FOLDER)).scores  # pyright: ignore[reportReturnType]


def bare() -> Scores:
    encoder: Any = import_module("sentence_transformers").CrossEncoder(str(FOLDER), device="cpu", max_length=512)
    return lambda question, texts: encoder.predict([(question, text) for text in texts], show_progress_bar=False)


def haystack() -> Scores:
    document: Any = import_module("haystack").Document
    ranker: Any = import_module("haystack_integrations.components.rankers.sentence_transformers")
    device = import_module("haystack.utils").ComponentDevice.from_str("cpu")
    similarity = ranker.SentenceTransformersSimilarityRanker(model=str(FOLDER), device=device, top_k=100, batch_size=32)
    similarity.warm_up()
    return lambda question, texts: similarity.run(query=question, documents=[document(content=text) for text in texts])


def llamaindex() -> Scores:
    schema: Any = import_module("llama_index.core.schema")
    rerank: Any = import_module("llama_index.core.postprocessor").SentenceTransformerRerank(
        model=str(FOLDER), top_n=100, device="cpu"
    )

    def scores(question: str, texts: Sequence[str]) -> Any:
        nodes = [schema.NodeWithScore(node=schema.TextNode(text=text), score=0.0) for text in texts]
        return rerank.postprocess_nodes(nodes, query_bundle=schema.QueryBundle(question))

    return scores


def _work(make: Callable[[], Scores]) -> Callable[[Case, Clock], Values]:
    def work(case: Case, clock: Clock) -> Values:
        count, questions = case.settings["candidates"], case.settings["questions"]
        texts = chunk_texts(chunk_rows(240))
        with clock("load_s"):
            scores = make()
            scores(QUESTION, texts[:count])
        milliseconds: list[float] = []
        for number in range(questions):
            candidates = [texts[(number * 7 + place) % len(texts)] for place in range(count)]
            began = time.perf_counter()
            scores(QUESTION, candidates)
            milliseconds.append((time.perf_counter() - began) * 1e3)
        p50, p95 = np.percentile(milliseconds, [50, 95])
        return {"p50": float(p50), "p95": float(p95)}

    return work


def _cases(quick: bool) -> list[Case]:
    questions, sizes = (3, (10,)) if quick else (30, (10, 50))
    return [Case(f"{count} candidates", {"candidates": count, "questions": questions}) for count in sizes]


RERANK = Bench(
    "rerank",
    "Reranking",
    ABOUT,
    (
        Measure("p50", "p50, ms"),
        Measure("p95", "p95, ms"),
        Measure("peak_mb", "peak memory, MB"),
        Measure("load_s", "import and load, s"),
    ),
    {
        "ragkit": Contender("ragkit", _work(ragkit), "`load_cross_encoder(...)`: ONNX Runtime, by its export"),
        "bare": Contender("bare CrossEncoder", _work(bare), "`CrossEncoder.predict`", floor=True),
        "llamaindex": Contender("LlamaIndex", _work(llamaindex), "`SentenceTransformerRerank`"),
        "haystack": Contender("Haystack", _work(haystack), "`SentenceTransformersSimilarityRanker(batch_size=32)`"),
    },
    _cases,
    prepare,
    minutes=25,
    plot=("p50",),
)
