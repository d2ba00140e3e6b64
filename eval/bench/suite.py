"""The benchmarks by name, in the order in which they run and are shown."""

from __future__ import annotations

from eval.bench.cache import CACHE
from eval.bench.chunk import CHUNK
from eval.bench.cold import COLD
from eval.bench.evaluation import EVALUATION
from eval.bench.gpu import GPU
from eval.bench.index import INDEX, INDEX_BATCH, INDEX_LONG
from eval.bench.parse import PARSE
from eval.bench.query import QUERY, QUERY_LONG
from eval.bench.rerank import RERANK
from eval.bench.serve import SERVE
from eval.bench.spec import Bench
from eval.bench.vectors import VECTORS, VECTORS_LONG

SUITE: dict[str, Bench] = {
    bench.name: bench
    for bench in (
        COLD,
        PARSE,
        CHUNK,
        INDEX_BATCH,
        INDEX,
        INDEX_LONG,
        QUERY,
        QUERY_LONG,
        VECTORS,
        VECTORS_LONG,
        RERANK,
        CACHE,
        SERVE,
        EVALUATION,
        GPU,
    )
}
LONG = (INDEX_LONG.name, QUERY_LONG.name, VECTORS_LONG.name)
"""Hours each: only when they are named."""
ELSEWHERE = {GPU.name: "bash scripts/bench_gpu.sh"}
"""Those that another command runs, in another environment; this one only shows what they left."""
