"""Can a learned combination of stage scores, or feedback chosen for each query, beat the fusion of the defaults?

    python scripts/learn_fusion.py collect LISTS DIR [DIR ...]
    python scripts/learn_fusion.py report LISTS

Each DIR is a BEIR folder. `collect` searches every judged query under configs/quickstart.yaml and keeps, as
LISTS/NAME.json.gz, what each list says of the chunks: dense, sparse, RM3's and Rocchio's second searches, and the
fused scores after neighbours have exchanged them. `report` compares with the fusion of the defaults, as paired
differences of nDCG@10 with 95% intervals over the documents that answer, on test halves (those of
scripts/choose_retrieval.py):

- a combiner: a sum of features of a chunk, none of which can count against it (weights of 0 or more, so a better score
  in any list never makes a chunk worse), learned from the tuning halves of the other corpora, and once from those of
  all; by the cross-entropy of the relevant chunks, with a penalty for weights;
- a predictor for each feedback: by features of a query, whether it gains from feedback; learned from the tuning halves
  of the other corpora; feedback is used where a gain is predicted.

Penalties are chosen among the corpora that are learned from, each of them held out once.
"""

from __future__ import annotations

import argparse
import gzip
import importlib
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ragkit.config.load import load_config
from ragkit.config.schema import Feedback, Fusion, Neighbours, Retrieval
from ragkit.embed import make_embedder
from ragkit.evaluate.beir import read_dataset
from ragkit.evaluate.metrics import documents_from_chunks, evaluate_run
from ragkit.evaluate.retrieval import embedded_questions, index_of, question_vectors
from ragkit.evaluate.split import document_clusters, split_queries
from ragkit.evaluate.statistics import paired_difference
from ragkit.ingest.index import build_index
from ragkit.retrieve.feedback import SecondSearch
from ragkit.retrieve.fusion import fuse
from ragkit.retrieve.lists import ranking
from ragkit.retrieve.neighbours import exchange
from ragkit.store import Hit
from ragkit.store.open import open_snapshot

CONFIG = Path(__file__).parent.parent / "configs" / "quickstart.yaml"
LISTS = ("dense", "sparse", "rm3", "rocchio", "fused", "neighbours")
RM3 = Feedback(method="rm3")
ROCCHIO = Feedback(method="rocchio")
LOOKED_AT = 200
"""Chunks of the fused list that the combiner puts in order; below it they keep that of the fusion."""
PENALTIES = (1e-4, 1e-3, 1e-2, 1e-1)
DEPTH = 10
Floats = NDArray[np.float64]


@dataclass(slots=True)
class Corpus:
    """What was collected of one data set."""

    name: str
    rows: list[dict[str, Any]]
    qrels: dict[str, dict[str, int]]
    tuning: list[int] = field(default_factory=list[int])
    test: list[int] = field(default_factory=list[int])
    clusters: dict[str, str] = field(default_factory=dict[str, str])
    features: list[Floats] = field(default_factory=list[Floats])
    relevant: list[Floats] = field(default_factory=list[Floats])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("collect", "report"))
    parser.add_argument("lists", type=Path)
    parser.add_argument("datasets", type=Path, nargs="*")
    given = parser.parse_args()
    if given.what == "collect":
        given.lists.mkdir(parents=True, exist_ok=True)
        for folder in given.datasets:
            collect(folder, given.lists / f"{folder.name}.json.gz")
    else:
        report([read(path) for path in sorted(given.lists.glob("*.json.gz"))])


def collect(folder: Path, out: Path) -> None:
    """Every list of every judged query, with the document of each chunk."""
    config = load_config(CONFIG).config
    data = read_dataset(folder)
    embedder = make_embedder(config.ingestion.embedding)
    placed = index_of([data.corpus_path], config)
    build_index(placed, [data.corpus_path], embedder=embedder, wait_s=3600)
    snapshot = open_snapshot(placed)
    known = embedded_questions(list(data.queries.values()), embedder, question_vectors(placed))
    retrieval = placed.retrieval

    def fed_by(feedback: Feedback) -> Retrieval:
        return retrieval.model_copy(update={"feedback": feedback})

    rows: list[dict[str, Any]] = []
    store = snapshot.store
    for query in data.qrels:
        text = data.queries[query]
        vector = known.embed_question(text)
        dense, sparse = store.search(retrieval.candidates, vector, text, [])
        fused = ranking(dense, sparse, retrieval)
        again = SecondSearch([text], [vector], store, [], retrieval.candidates)
        _, rm3 = again(fused, fed_by(RM3))
        rocchio, _ = again(fused, fed_by(ROCCHIO))
        vectors = store.vectors([chunk_id for chunk_id, _ in fused[:DEPTH]])
        near = exchange(fused, store, Neighbours(method="smooth"))
        lists: dict[str, list[tuple[str, float]]] = {
            **{name: pairs_of(hits) for name, hits in (("dense", dense), ("sparse", sparse))},
            **{name: pairs_of(hits) for name, hits in (("rm3", rm3 or []), ("rocchio", rocchio or []))},
            "fused": fused,
            "neighbours": near,
        }
        chunks = store.chunks(list({chunk_id for each in lists.values() for chunk_id, _ in each}))
        documents = {identity: chunk.source_document.split("#", 1)[1] for identity, chunk in chunks.items()}
        likeness = np.stack(list(vectors.values())) if vectors else np.zeros((1, 1))
        likeness = likeness / np.maximum(np.linalg.norm(likeness, axis=1, keepdims=True), 1e-9)
        told = {"query": query, "words": len(text.split()), "coherence": float((likeness @ likeness.T).mean())}
        rows.append({**told, "lists": lists, "documents": documents})
    snapshot.close()
    with gzip.open(out, "wt", encoding="utf-8") as file:
        json.dump({"qrels": {query: data.qrels[query] for query in data.qrels}, "rows": rows}, file)
    print(f"{folder.name}: {len(rows)} queries", flush=True)


def pairs_of(hits: Sequence[Hit]) -> list[tuple[str, float]]:
    return [(hit.chunk_id, hit.score) for hit in hits]


def read(path: Path) -> Corpus:
    with gzip.open(path, "rt", encoding="utf-8") as file:
        kept: dict[str, Any] = json.load(file)
    corpus = Corpus(path.name.split(".")[0], kept["rows"], kept["qrels"])
    corpus.clusters = document_clusters(corpus.qrels)
    tuning, test = split_queries(list(corpus.qrels), corpus.clusters)
    places = {row["query"]: place for place, row in enumerate(corpus.rows)}
    corpus.tuning, corpus.test = ([places[query] for query in half] for half in (tuning, test))
    for row in corpus.rows:
        chunks = chunks_of(row)
        corpus.features.append(features_of(row, chunks))
        judged = corpus.qrels[row["query"]]
        grades = [float(judged.get(row["documents"].get(chunk, ""), 0)) for chunk in chunks]
        corpus.relevant.append(np.maximum(np.asarray(grades), 0.0))
    return corpus


def chunks_of(row: Mapping[str, Any]) -> list[str]:
    """The chunks that are put in order, those of the fused list first."""
    return [chunk for chunk, _ in row["lists"]["fused"][:LOOKED_AT]]


FEATURES = (
    *(f"{name}, {form}" for name in ("dense", "sparse", "rm3", "rocchio") for form in ("z", "z above 1", "z above 2")),
    *(f"{name}, reciprocal rank" for name in ("dense", "sparse", "rm3", "rocchio")),
    "fused",
    "neighbours",
)


SUBSETS = {
    "dense and sparse": [place for place, name in enumerate(FEATURES) if name.startswith(("dense", "sparse", "fused"))],
    "these and neighbours": [
        place for place, name in enumerate(FEATURES) if name.startswith(("dense", "sparse", "fused", "neighbours"))
    ],
    "all": list(range(len(FEATURES))),
}
"""What a combiner may see."""


def features_of(row: Mapping[str, Any], chunks: Sequence[str]) -> Floats:
    """(chunks, features): each is larger for a better chunk. What a list lacks counts there as its last."""
    columns: list[Floats] = []
    ranks: list[Floats] = []
    for name in ("dense", "sparse", "rm3", "rocchio"):
        scores = dict(row["lists"][name])
        values = np.asarray(list(scores.values()) or [0.0])
        mean, spread, least = values.mean(), values.std() or 1.0, values.min()
        z = (np.asarray([scores.get(chunk, least) for chunk in chunks]) - mean) / spread
        columns += [z, np.maximum(z - 1, 0), np.maximum(z - 2, 0)]
        places = {chunk: rank for rank, chunk in enumerate(scores, start=1)}
        ranks.append(np.asarray([60 / (60 + places[chunk]) if chunk in places else 0.0 for chunk in chunks]))
    for name in ("fused", "neighbours"):
        scores = dict(row["lists"][name])
        columns.append(3 * np.asarray([scores.get(chunk, 0.0) for chunk in chunks]))
    return np.stack([*columns[:12], *ranks, *columns[12:]], axis=1)


@dataclass(frozen=True, slots=True)
class Problem:
    """Queries side by side: (queries, LOOKED_AT, features), the shares of the relevant chunks, what each counts."""

    features: Floats
    wanted: Floats
    shares: Floats

    @staticmethod
    def of(corpora: Sequence[Corpus], kept: Sequence[int]) -> Problem:
        """The tuning halves, every corpus counting alike; queries without a relevant chunk teach nothing."""
        features: list[Floats] = []
        wanted: list[Floats] = []
        shares: list[float] = []
        for corpus in corpora:
            asked = [place for place in corpus.tuning if corpus.relevant[place].any()]
            for place in asked:
                own, grades = corpus.features[place][:, kept], corpus.relevant[place]
                lacking = LOOKED_AT - len(own)
                features.append(np.pad(own, ((0, lacking), (0, 0))))
                # What is only there to fill up has no chance.
                features[-1][len(own) :] = -1e3
                wanted.append(np.pad(grades / grades.sum(), (0, lacking)))
                shares.append(1 / len(asked) / len(corpora))
        return Problem(np.stack(features), np.stack(wanted), np.asarray(shares))


def learned(problem: Problem, penalty: float) -> Floats:
    """Weights of 0 or more of the features."""
    optimize: Any = importlib.import_module("scipy.optimize")

    def loss(weights: Floats) -> tuple[float, Floats]:
        scores = problem.features @ weights
        scores -= scores.max(axis=1, keepdims=True)
        chances = np.exp(scores)
        chances /= chances.sum(axis=1, keepdims=True)
        each = -(problem.wanted * np.log(np.maximum(chances, 1e-12))).sum(axis=1)
        off = (chances - problem.wanted) * problem.shares[:, None]
        slope = np.einsum("qc,qcf->f", off, problem.features)
        return float(problem.shares @ each + penalty * weights @ weights), slope + 2 * penalty * weights

    width = problem.features.shape[2]
    bounds = [(0.0, None)] * width
    found = optimize.minimize(loss, np.full(width, 0.1), jac=True, method="L-BFGS-B", bounds=bounds)
    return np.asarray(found.x)


def ndcg(corpus: Corpus, orders: Mapping[int, Sequence[tuple[str, float]]]) -> dict[str, float]:
    """nDCG@10 of each query by chunks in order."""
    run: dict[str, list[tuple[str, float]]] = {}
    for place, order in orders.items():
        row = corpus.rows[place]
        run[row["query"]] = documents_from_chunks([(row["documents"][chunk], score) for chunk, score in order])
    qrels = {query: corpus.qrels[query] for query in run}
    return evaluate_run(run, qrels, ignore_identical_ids=corpus.name == "peps")["ndcg@10"]


def by_list(corpus: Corpus, half: Sequence[int], name: str) -> dict[str, float]:
    return ndcg(corpus, {place: corpus.rows[place]["lists"][name] for place in half})


def combined(corpus: Corpus, half: Sequence[int], weights: Floats, kept: Sequence[int]) -> dict[str, float]:
    orders: dict[int, list[tuple[str, float]]] = {}
    for place in half:
        scores = corpus.features[place][:, kept] @ weights
        chunks = chunks_of(corpus.rows[place])
        orders[place] = [(chunks[i], float(scores[i])) for i in np.argsort(-scores, kind="stable")]
    return ndcg(corpus, orders)


def told(corpus: Corpus, half: Sequence[int], before: Mapping[str, float], after: Mapping[str, float]) -> str:
    queries = [corpus.rows[place]["query"] for place in half]
    found = paired_difference(
        [before[query] for query in queries],
        [after[query] for query in queries],
        clusters=[corpus.clusters[query] for query in queries],
    )
    mark = "*" if found.excludes_zero else ""
    return f"{found.mean:+.3f} ({found.low:+.3f} to {found.high:+.3f}){mark}"


def report(corpora: Sequence[Corpus]) -> None:
    before = {corpus.name: by_list(corpus, range(len(corpus.rows)), "fused") for corpus in corpora}
    for corpus in corpora:
        halves = " / ".join(
            f"{fmean(before[corpus.name][corpus.rows[p]['query']] for p in half):.3f} ({len(half)})"
            for half in (corpus.tuning, corpus.test)
        )
        print(f"{corpus.name}: nDCG@10 of the defaults, tuning / test {halves}")
    print("\n| combiner over | learned from | corpus | tuning | test |\n|---|---|---|---|---|")
    for over, kept in SUBSETS.items():
        for held_out in (*corpora, None):
            seen = [corpus for corpus in corpora if corpus is not held_out]
            penalty = chosen_penalty(seen, before, kept)
            weights = learned(Problem.of(seen, kept), penalty)
            for corpus in corpora if held_out is None else [held_out]:
                cells = " | ".join(
                    told(corpus, half, before[corpus.name], combined(corpus, half, weights, kept))
                    for half in (corpus.tuning, corpus.test)
                )
                name = "all" if held_out is None else f"all but {held_out.name}"
                print(f"| {over} | {name} (penalty {penalty:g}) | {corpus.name} | {cells} |", flush=True)
            if held_out is None:
                named = zip((FEATURES[place] for place in kept), weights, strict=True)
                print(f"weights: {', '.join(f'{name} {weight:.2f}' for name, weight in named if weight > 0.005)}")
    choose_feedback(corpora, before)


def chosen_penalty(corpora: Sequence[Corpus], before: Mapping[str, Mapping[str, float]], kept: Sequence[int]) -> float:
    """That with the highest mean gain where each of the corpora is held out once, on tuning halves."""
    gains = dict.fromkeys(PENALTIES, 0.0)
    for held_out in corpora:
        problem = Problem.of([corpus for corpus in corpora if corpus is not held_out], kept)
        for penalty in PENALTIES:
            after = combined(held_out, held_out.tuning, learned(problem, penalty), kept)
            gains[penalty] += fmean(after[query] - before[held_out.name][query] for query in after)
    return max(PENALTIES, key=gains.__getitem__)


def refused(corpus: Corpus, place: int, name: str) -> Iterator[tuple[str, float]]:
    """The ranking with a second search in place of the first of its kind, joined as the defaults do."""
    lists = corpus.rows[place]["lists"]
    dense, sparse = ("rocchio", "sparse") if name == "rocchio" else ("dense", "rm3")
    if name == "both":
        dense, sparse = "rocchio", "rm3"
    by_meaning, by_words = ([Hit(chunk, score) for chunk, score in lists[each]] for each in (dense, sparse))
    yield from fuse(by_meaning, by_words, Fusion(method="dbsf"))


def signs_of(corpus: Corpus, place: int) -> list[float]:
    """What is known of a query before it is searched again."""
    row = corpus.rows[place]
    signs: list[float] = [1.0, math.log1p(row["words"]), row["coherence"]]
    for name in ("dense", "sparse", "fused"):
        scores = np.asarray([score for _, score in row["lists"][name][:100]] or [0.0])
        spread = scores.std() or 1.0
        tenth = scores[min(9, len(scores) - 1)]
        signs += [(scores[0] - scores[min(1, len(scores) - 1)]) / spread, (scores[0] - tenth) / spread]
    dense, sparse = ({chunk for chunk, _ in row["lists"][name][:DEPTH]} for name in ("dense", "sparse"))
    own = [row["documents"].get(chunk, "") for chunk, _ in row["lists"]["fused"][:DEPTH]]
    return [*signs, len(dense & sparse) / DEPTH, len(set(own)) / max(1, len(own))]


def choose_feedback(corpora: Sequence[Corpus], before: Mapping[str, Mapping[str, float]]) -> None:
    print(
        "\n| feedback | corpus | always, tuning | always, test | where a gain is predicted, test | share of queries |"
    )
    print("|---|---|---|---|---|---|")
    signs = {c.name: np.asarray([signs_of(c, place) for place in range(len(c.rows))]) for c in corpora}
    for name in ("rm3", "rocchio", "both"):
        after = {c.name: ndcg(c, {p: list(refused(c, p, name)) for p in range(len(c.rows))}) for c in corpora}
        for held_out in corpora:
            seen = [corpus for corpus in corpora if corpus is not held_out]
            weights = predictor(seen, signs, before, after)
            wanted = signs[held_out.name] @ weights > 0
            queries = [row["query"] for row in held_out.rows]
            mixed = {
                query: (after if wanted[place] else before)[held_out.name][query] for place, query in enumerate(queries)
            }
            cells = [
                told(held_out, half, before[held_out.name], values)
                for half, values in (
                    (held_out.tuning, after[held_out.name]),
                    (held_out.test, after[held_out.name]),
                    (held_out.test, mixed),
                )
            ]
            share = float(np.mean(wanted[held_out.test]))
            print(f"| {name} | {held_out.name} | {' | '.join(cells)} | {share:.2f} |", flush=True)


def predictor(
    corpora: Sequence[Corpus],
    signs: Mapping[str, Floats],
    before: Mapping[str, Mapping[str, float]],
    after: Mapping[str, Mapping[str, float]],
) -> Floats:
    """Weights of a ridge regression of the gain on the signs, every corpus counting alike; its sign decides."""
    rows: list[Floats] = []
    gains: list[float] = []
    shares: list[float] = []
    for corpus in corpora:
        for place in corpus.tuning:
            query = corpus.rows[place]["query"]
            rows.append(signs[corpus.name][place])
            gains.append(after[corpus.name][query] - before[corpus.name][query])
            shares.append(1 / len(corpus.tuning))
    x, y, w = np.asarray(rows), np.asarray(gains), np.asarray(shares)
    scale: Floats = np.maximum(x.std(axis=0), 1e-6)
    scale[0] = 1.0
    x = x / scale
    ridge: Floats = 0.01 * np.eye(x.shape[1])
    ridge[0, 0] = 0.0
    return np.asarray(np.linalg.solve(x.T @ (w[:, None] * x) + ridge, x.T @ (w * y))) / scale


if __name__ == "__main__":
    main()
