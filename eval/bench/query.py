"""Searching: dense, sparse and hybrid, outside the embedding model, at four sizes."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

import numpy as np

from eval.bench import query_contenders as peers
from eval.bench.query_contenders import Search, data_of
from eval.bench.query_data import Made, found_share
from eval.bench.spec import Bench, Case, Clock, Contender, Measure, Values

ABOUT = """\
Made corpora (`eval/bench/query_data.py`): vectors of 384 dimensions in clusters, texts of real words with their
real frequencies, the same for everybody. Questions come one after the other; everybody is given the question's
vector, so that no model is timed. Milliseconds of one search for ten chunks, texts included where the contender
keeps them. `recall` is the share of the exact ten best (cosine; BM25 in Lucene's form with k1 1.2, b 0.75, which is
set wherever it can be) that were found; for hybrid search, where each has a fusion of its own, the share of
questions whose chunk is among the ten. A quick search that finds less is no quicker search. Sparse recall below 1
is another formula (rank_bm25 and Haystack weigh frequent words otherwise, txtai leaves some of them out), not a
shortcut."""


def timed(searches: Mapping[str, Search], data: Made, budget_s: float) -> Values:
    """Percentiles of milliseconds for each kind of search; fewer questions where they would take longer than the budget
    (p95 from 20 questions on, p99 from 100 on)."""
    values: Values = {}
    for kind, search in searches.items():
        began = time.perf_counter()
        for question, vector in list(zip(data.questions, data.vectors, strict=True))[:10]:
            search(question, vector)  # warms up
            if time.perf_counter() - began > budget_s / 3:
                break
        milliseconds: list[float] = []
        shares: list[float] = []
        began = time.perf_counter()
        for number, (question, vector) in enumerate(zip(data.questions, data.vectors, strict=True)):
            asked = time.perf_counter()
            found = search(question, vector)
            milliseconds.append((time.perf_counter() - asked) * 1e3)
            own = [data.sources[number]] if kind == "hybrid" else data.good[kind][number]
            shares.append(found_share(found, set(own)))
            if time.perf_counter() - began > budget_s:
                break
        for percentile, least in ((50, 1), (95, 20), (99, 100)):
            if len(milliseconds) >= least:
                values[f"{kind}_p{percentile}"] = float(np.percentile(milliseconds, percentile))
        values[f"{kind}_recall"] = float(np.mean(shares))
        values[f"{kind}_questions"] = len(milliseconds)
    return values


def _work(open_one: Callable[[Case], Mapping[str, Search]]) -> Callable[[Case, Clock], Values]:
    def work(case: Case, clock: Clock) -> Values:
        with clock("open_s"):
            searches = open_one(case)
        return timed(searches, data_of(case), case.settings["budget_s"])

    return work


def prepare(case: Case) -> None:
    """Make the corpus and the exact answers, where they are not there yet."""
    data_of(case)


CONTENDERS = {
    "ragkit": Contender(
        "ragkit",
        _work(peers.open_ragkit),
        "`Ragkit.index`, `Ragkit.retrieve`; its defaults (hybrid: 200 of each)",
        peers.build_ragkit,
    ),
    "edge": Contender(
        "bare Qdrant Edge",
        _work(peers.open_edge),
        "the engine that ragkit uses, with its default settings, its own BM25 and its RRF over 50 of each",
        peers.build_edge,
        floor=True,
    ),
    "llamaindex": Contender(
        "LlamaIndex",
        _work(peers.open_llamaindex),
        "`VectorStoreIndex` (simple store), `BM25Retriever`, `QueryFusionRetriever(num_queries=1, "
        'mode="reciprocal_rerank")` over 50 of each; persisted and loaded',
        peers.build_llamaindex,
    ),
    "llamaindex-qdrant": Contender(
        "LlamaIndex, Qdrant local",
        _work(peers.open_llamaindex_qdrant),
        "`QdrantVectorStore` over `QdrantClient(path=...)`; dense only, for its sparse side takes a model of its own",
        peers.build_llamaindex_qdrant,
    ),
    "haystack": Contender(
        "Haystack",
        _work(peers.open_haystack),
        "`InMemoryDocumentStore` (BM25Okapi), its two retrievers, `DocumentJoiner(reciprocal_rank_fusion)` over "
        "50 of each",
    ),
    "haystack-qdrant": Contender(
        "Haystack, Qdrant local",
        _work(peers.open_haystack_qdrant),
        "`QdrantDocumentStore(path=...)`, `QdrantEmbeddingRetriever`; dense only, as above",
        peers.build_haystack_qdrant,
    ),
    "txtai": Contender(
        "txtai", _work(peers.open_txtai), "`Embeddings` with content, Faiss as it chooses, external vectors; in memory"
    ),
    "bm25s": Contender(
        "bm25s",
        _work(peers.open_bm25s),
        "method lucene, backend numba, PyStemmer; saved and loaded; numbers only",
        peers.build_bm25s,
    ),
    "rank_bm25": Contender(
        "rank_bm25", _work(peers.open_rank_bm25), "`BM25Okapi`, words by a regular expression; in memory; numbers only"
    ),
}
KINDS = ("dense", "sparse", "hybrid")
_BY_KIND = tuple(
    measure
    for kind in KINDS
    for measure in (
        Measure(f"{kind}_p50", "p50, ms", group=kind),
        Measure(f"{kind}_p95", "p95, ms", group=kind),
        Measure(f"{kind}_p99", "p99, ms", None, kind),
        Measure(f"{kind}_recall", "chunk among ten" if kind == "hybrid" else "recall@10", None, kind),
        Measure(f"{kind}_questions", "questions", None, kind),
    )
)
_MEASURES = (
    *_BY_KIND,
    Measure("peak_mb", "peak memory, MB", "lower", "memory and opening"),
    Measure("open_s", "open, or build in memory, s", "lower", "memory and opening"),
    Measure("build_s", "build on disk, s", "lower", "memory and opening"),
    Measure("disk_mb", "on disk, MB", "lower", "memory and opening"),
)
_PLOT = tuple(f"{kind}_p50" for kind in KINDS)


def _cases(quick: bool) -> list[Case]:
    if quick:
        return [
            Case(f"{count:,} chunks", {"chunks": count, "questions": 100, "budget_s": 4}) for count in (1_000, 4_000)
        ]
    settings = {"questions": 200, "budget_s": 40}
    # Qdrant's local mode takes half an hour to be filled with as many, and advises against more than 20,000.
    most = tuple(name for name in CONTENDERS if not name.endswith("-qdrant"))
    return [
        *(Case(f"{count:,} chunks", {"chunks": count, **settings}) for count in (1_000, 10_000)),
        Case("100,000 chunks", {"chunks": 100_000, **settings}, most, rounds=3),
    ]


def _long(quick: bool) -> list[Case]:
    count, names = (20_000, ("ragkit", "edge", "bm25s")) if quick else (1_000_000, _WITHIN_MEMORY)
    return [Case(f"{count:,} chunks", {"chunks": count, "questions": 200, "budget_s": 10 if quick else 60}, names)]


_WITHIN_MEMORY = ("ragkit", "edge", "txtai", "bm25s", "rank_bm25")
QUERY = Bench(
    "query",
    "Searching",
    ABOUT,
    _MEASURES,
    CONTENDERS,
    _cases,
    prepare,
    minutes=150,
    limit_s=1_800,
    plot=_PLOT,
    curve=True,
)
QUERY_LONG = Bench(
    "query-1000000",
    "Searching a million chunks",
    f"""{ABOUT}

Left out: LlamaIndex's simple store, Haystack's in-memory store and Qdrant's local mode. They hold every vector as
Python objects or in one process's memory and read all of them for each question; LlamaIndex's and Haystack's lists
of floats alone are 12 GB here. Contenders are ended when they take more memory than is free or two hours. Three
rounds.""",
    _MEASURES,
    CONTENDERS,
    _long,
    prepare,
    rounds=3,
    quick_rounds=1,
    minutes=240,
    limit_s=7_200,
    plot=_PLOT,
)
