"""What does each switch of retrieval gain or lose against the defaults? Paired, with intervals, on BEIR folders.

    python scripts/choose_retrieval.py DIR [DIR ...] [--only LABEL ...] [--set KEY=VALUE ...] [--sample N]
        [--halves tuning,test] [--ignore-identical-ids] [--splade MODEL]

Each DIR is a BEIR folder (scripts/build_retrieval_sets.py makes some). Queries are halved by the document that answers
them, or by its article where documents are named ARTICLE-PARAGRAPH; clusters of the intervals are the same. Every
setting below, and those of `--set` together as one more, is compared with configs/quickstart.yaml: the difference of
nDCG@10 and of recall@10 with its 95% interval on each half, and over the queries of all folders. Choose by the tuning
half; the test half is for the report. `ms` is the median time of one query without embedding the question itself (but
with SPLADE's part of that), on a machine that may be busy.
Indexes and the vectors of questions come from the evaluation cache of `ragkit eval retrieval`.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean, median

from ragkit.ask import sentence_splitter
from ragkit.config.load import load_config
from ragkit.config.schema import Config
from ragkit.embed import Embedder, make_embedder
from ragkit.evaluate.beir import Dataset, read_dataset
from ragkit.evaluate.metrics import PerQuery, evaluate_run
from ragkit.evaluate.retrieval import embedded_questions, index_of, question_vectors, ranked_documents
from ragkit.evaluate.split import document_clusters, split_queries
from ragkit.evaluate.statistics import paired_difference
from ragkit.generate import make_generator
from ragkit.ingest.index import build_index
from ragkit.retrieve.query_transforms import make_rewriter
from ragkit.store.open import open_snapshot

CONFIG = Path(__file__).parent.parent / "configs" / "quickstart.yaml"
MEASURES = ("ndcg@10", "recall@10")
LLM = ["generation.backend=llama_cpp", "generation.model=qwen2.5-coder-0.5b-instruct", "generation.context_tokens=512"]
SETTINGS: dict[str, list[str]] = {
    "spelling": ["retrieval.transforms=[spelling]"],
    "acronyms": ["retrieval.transforms=[acronyms]"],
    "multi_query, rules": ["retrieval.transforms=[multi_query]"],
    "decompose, rules": ["retrieval.transforms=[decompose]"],
    "rm3": ["retrieval.feedback.method=rm3"],
    "rm3, weight .7": ["retrieval.feedback.method=rm3", "retrieval.feedback.weight=0.7"],
    "neighbours": ["retrieval.neighbours.method=smooth"],
    "neighbours, weight .2": ["retrieval.neighbours.method=smooth", "retrieval.neighbours.weight=0.2"],
    "mmr .7": ["retrieval.diversity.method=mmr"],
    "mmr .9": ["retrieval.diversity.method=mmr", "retrieval.diversity.weight=0.9"],
    "fusion rrf": ["retrieval.fusion.method=rrf"],
    "fusion weighted": ["retrieval.fusion.method=weighted"],
    "sparse splade": ["retrieval.sparse=splade"],
    "sparse both": ["retrieval.sparse=both"],
    "sparse both, rrf": ["retrieval.sparse=both", "retrieval.fusion.method=rrf"],
    "sparse both, weighted": ["retrieval.sparse=both", "retrieval.fusion.method=weighted"],
    "splade alone": ["retrieval.sparse=splade", "retrieval.strategy=sparse"],
    "sparse alone": ["retrieval.strategy=sparse"],
    "dense alone": ["retrieval.strategy=dense"],
    "multi_query, llm": ["retrieval.transforms=[multi_query]", *LLM],
    "decompose, llm": ["retrieval.transforms=[decompose]", *LLM],
    "hyde": ["retrieval.transforms=[hyde]", *LLM],
    "no header": ["ingestion.chunking.contextual_header=false"],
    "chunks of 128": ["ingestion.chunking.chunk_size=128", "ingestion.chunking.overlap=20"],
    "chunks recursive": ["ingestion.chunking.strategy=recursive"],
    "chunks fixed": ["ingestion.chunking.strategy=fixed_size"],
}
"""What is measured: a label, and what is set as `--set` does."""


@dataclass(frozen=True, slots=True)
class Half:
    """Some queries of a data set, with the cluster of each."""

    name: str
    queries: list[str]
    clusters: list[str]

    def difference(self, before: PerQuery, after: PerQuery, measure: str) -> str:
        """The mean of the paired differences and its interval, in words."""
        first, second = ([values[measure][query] for query in self.queries] for values in (before, after))
        return in_words(first, second, self.clusters)


@dataclass(slots=True)
class Pool:
    """All queries of one setting and one half, over the data sets, by measure."""

    before: dict[str, list[float]] = field(default_factory=lambda: {measure: [] for measure in MEASURES})
    after: dict[str, list[float]] = field(default_factory=lambda: {measure: [] for measure in MEASURES})
    clusters: list[str] = field(default_factory=list[str])

    def add(self, dataset: str, half: Half, before: PerQuery, after: PerQuery) -> None:
        self.clusters += [f"{dataset} {cluster}" for cluster in half.clusters]
        for measure in MEASURES:
            self.before[measure] += [before[measure][query] for query in half.queries]
            self.after[measure] += [after[measure][query] for query in half.queries]


def in_words(first: Sequence[float], second: Sequence[float], clusters: Sequence[str]) -> str:
    """A paired difference with its interval; a star where that excludes zero."""
    found = paired_difference(first, second, clusters=clusters)
    mark = "*" if found.excludes_zero else " "
    return f"{found.mean:+.3f} ({found.low:+.3f} to {found.high:+.3f}){mark}"


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("datasets", type=Path, nargs="+")
    parser.add_argument("--only", nargs="+", default=[], metavar="LABEL", help="these of the settings")
    parser.add_argument("--set", nargs="+", default=[], metavar="KEY=VALUE", dest="given", help="one setting more")
    parser.add_argument("--sample", type=int, help="so many queries of each half")
    parser.add_argument("--halves", default="tuning,test")
    parser.add_argument("--ignore-identical-ids", action="store_true")
    parser.add_argument("--splade", metavar="MODEL", help="the sparse model of the settings that have one")
    given = parser.parse_args()
    labels: list[str] = given.only or ([] if given.given else list(SETTINGS))
    settings = {label: SETTINGS[label] for label in labels}
    if given.given:
        settings[", ".join(given.given)] = given.given
    if given.splade:
        model = f"retrieval.splade_model={given.splade}"
        settings = {label: [*keys, model] if _has_splade(keys) else keys for label, keys in settings.items()}
    embedder = make_embedder(load_config(CONFIG).config.ingestion.embedding)
    pools: dict[tuple[str, str], Pool] = {}
    for folder in given.datasets:
        data = read_dataset(folder)
        halves = list(_halves(data, given.halves.split(","), given.sample))
        asked = {query: data.queries[query] for half in halves for query in half.queries}
        before, milliseconds = measured([], data, asked, embedder, given.ignore_identical_ids)
        for half in halves:
            means = ", ".join(f"{m} {fmean(before[m][query] for query in half.queries):.3f}" for m in MEASURES)
            print(f"{folder.name} {half.name}: {len(half.queries)} queries, {means}, {milliseconds:.0f} ms", flush=True)
        for label, overrides in settings.items():
            after, milliseconds = measured(overrides, data, asked, embedder, given.ignore_identical_ids)
            for half in halves:
                cells = " | ".join(half.difference(before, after, measure) for measure in MEASURES)
                print(f"| {label} | {folder.name} {half.name} | {cells} | {milliseconds:.0f} |", flush=True)
                pools.setdefault((label, half.name), Pool()).add(folder.name, half, before, after)
    for (label, name), pool in pools.items() if len(given.datasets) > 1 else ():
        cells = " | ".join(in_words(pool.before[m], pool.after[m], pool.clusters) for m in MEASURES)
        print(f"| {label} | all {name}, {len(pool.clusters)} queries | {cells} | |", flush=True)


def _has_splade(keys: Sequence[str]) -> bool:
    return any(key in ("retrieval.sparse=splade", "retrieval.sparse=both") for key in keys)


def _halves(data: Dataset, wanted: Sequence[str], sample: int | None) -> Iterator[Half]:
    clusters = document_clusters(data.qrels)
    for name, queries in zip(("tuning", "test"), split_queries(list(data.qrels), clusters), strict=True):
        if name in wanted:
            # Every n-th, for neighbours ask about the same document.
            step = max(1, len(queries) // sample) if sample else 1
            chosen = queries[::step][:sample]
            yield Half(name, chosen, [clusters[query] for query in chosen])


def measured(
    overrides: Sequence[str], data: Dataset, asked: dict[str, str], embedder: Embedder, ignore_identical_ids: bool
) -> tuple[PerQuery, float]:
    """Every measure for every query that is asked, and the median milliseconds of one."""
    config = load_config(CONFIG, overrides).config
    placed = index_of([data.corpus_path], config)
    build_index(placed, [data.corpus_path], embedder=embedder, wait_s=3600)
    snapshot = open_snapshot(placed)
    known = embedded_questions(list(data.queries.values()), embedder, question_vectors(placed))
    rewriter = make_rewriter(placed, snapshot.store, lambda: _generator(placed, embedder))
    run: dict[str, list[tuple[str, float]]] = {}
    milliseconds: list[float] = []
    for query, text in asked.items():
        began = time.perf_counter()
        run |= ranked_documents(placed, {query: text}, snapshot, known, None, rewriter)
        milliseconds.append((time.perf_counter() - began) * 1e3)
    snapshot.close()
    qrels = {query: data.qrels[query] for query in asked}
    return evaluate_run(run, qrels, ignore_identical_ids=ignore_identical_ids), median(milliseconds)


def _generator(config: Config, embedder: Embedder):
    return make_generator(config.generation, sentence_splitter(config), embedder)


if __name__ == "__main__":
    main()
