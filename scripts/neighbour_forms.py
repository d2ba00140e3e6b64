"""What do other forms of neighbour evidence gain or lose against the fused ranking? Paired, with intervals.

    python scripts/neighbour_forms.py DIR [DIR ...] [--sample N]

Each DIR is a BEIR folder (scripts/build_retrieval_sets.py makes some). Its judged queries, or N of each half, spread
evenly, are searched under configs/quickstart.yaml; every form below moves the scores of the first 50 chunks. A form has
one number of neighbours and one weight for all folders: of `GRID`, those with the highest mean difference of nDCG@10
over the tuning halves, every folder counting alike; the first two are as they are. Printed are differences to the
fused ranking with 95% intervals over the documents or articles that answer (halves of scripts/choose_retrieval.py).
A form passes that wins on a tuning half and loses on none. `ms` is the median over all queries of what a form adds,
reading chunks and vectors included, looking for neighbours in the index not. The graph of the index is made by one
`store.search` for each chunk. Set OPENBLAS_NUM_THREADS=1: threads that wait for each other are no cost of a form.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from statistics import fmean, median
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ragkit.config.load import load_config
from ragkit.config.schema import Neighbours
from ragkit.embed import Embedder, make_embedder
from ragkit.evaluate.beir import read_dataset
from ragkit.evaluate.metrics import documents_from_chunks, evaluate_run
from ragkit.evaluate.retrieval import embedded_questions, index_of, question_vectors
from ragkit.evaluate.split import document_clusters, split_queries
from ragkit.evaluate.statistics import paired_difference
from ragkit.ingest.index import build_index
from ragkit.retrieve.lists import ranking
from ragkit.retrieve.neighbours import smoothed
from ragkit.store import StoreReader
from ragkit.store.open import open_snapshot

CONFIG = Path(__file__).parent.parent / "configs" / "quickstart.yaml"
AMONG, WARMTH = 50, 0.1  # as in ragkit.retrieve.neighbours
SEEDS = 10  # candidates whose neighbours in the index become candidates
SEARCHED = 128  # for the graph: enough that MOST of other documents are left
MOST = 8
TIMED = 32
HALVES = ("tuning", "test")
Floats = NDArray[np.float64]
Places = NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class Form:
    """How neighbours are chosen and what they count; as it is, the form that ragkit has.

    `apart` is what a neighbour may not share; an article has several documents if they are named ARTICLE-PARAGRAPH.
    `mutual` neighbours are among the nearest of each other; `floor` is their least likeness. `by_gap` multiplies the
    weight by 1 - (first score - second) / (first score - tenth): a clear winner needs no smoothing. With the `graph`
    "smooth" neighbours are the nearest of the whole index, and those that no retriever found have the lowest fused
    score; with "pull" those of the first SEEDS become candidates, with that score where they have none, and all move.
    """

    apart: Literal["chunk", "document", "article"] = "document"
    mutual: bool = False
    floor: float = -1.0
    steps: int = 1
    by_gap: bool = False
    graph: Literal["none", "smooth", "pull"] = "none"


FUSED = (Form(), (1, 0.0))  # nothing is moved
GRID = tuple(product((3, MOST), (0.1, 0.2, 0.3)))
FORMS: dict[str, tuple[Form, Sequence[tuple[int, float]]]] = {
    "as shipped": (Form(), [(8, 0.3)]),
    "as shipped, fewer": (Form(), [(3, 0.2)]),
    "as shipped, chosen": (Form(), GRID),
    "same document too": (Form(apart="chunk"), GRID),
    "not of the same article": (Form(apart="article"), GRID),
    "mutual": (Form(mutual=True), GRID),
    "likeness of .5 at least": (Form(floor=0.5), GRID),
    "two steps": (Form(steps=2), GRID),
    "weight by gap": (Form(by_gap=True), GRID),
    "corpus graph, smoothing": (Form(graph="smooth"), GRID),
    "corpus graph, new candidates": (Form(graph="pull"), GRID),
}


@dataclass(frozen=True, slots=True)
class Index:
    """All chunks by place. Equal numbers in `groups` are the same chunk, document or article. `nearest` and `likeness`
    (-inf where there are fewer), both (chunks, MOST), are of chunks of other documents."""

    place_of: dict[str, int]
    names: list[str]
    groups: dict[str, Places]
    unit: Floats
    nearest: Places
    likeness: Floats


@dataclass(frozen=True, slots=True)
class Question:
    """Places and scores of the fused chunks, best first; seconds to read the first AMONG."""

    id: str
    places: Places
    scores: Floats
    fetch_s: float


@dataclass(frozen=True, slots=True)
class Corpus:
    name: str
    index: Index
    halves: dict[str, list[Question]]
    clusters: dict[str, str]
    qrels: dict[str, dict[str, int]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("datasets", type=Path, nargs="+")
    parser.add_argument("--sample", type=int, help="so many queries of each half")
    given = parser.parse_args()
    embedder = make_embedder(load_config(CONFIG).config.ingestion.embedding)
    report([collected(folder, embedder, given.sample) for folder in given.datasets])


def collected(folder: Path, embedder: Embedder, sample: int | None) -> Corpus:
    """Every query, searched and halved, with its index."""
    data = read_dataset(folder)
    placed = index_of([data.corpus_path], load_config(CONFIG).config)
    build_index(placed, [data.corpus_path], embedder=embedder, wait_s=3600)
    known = embedded_questions(list(data.queries.values()), embedder, question_vectors(placed))
    snapshot = open_snapshot(placed)
    try:
        store, retrieval = snapshot.store, placed.retrieval
        index = indexed(folder.name, store, embedder)

        def asked(query: str) -> Question:
            text = data.queries[query]
            dense, sparse = store.search(retrieval.candidates, known.embed_question(text), text, [])
            fused = ranking(dense, sparse, retrieval)
            first = [chunk_id for chunk_id, _ in fused[:AMONG]]
            began = time.perf_counter()
            _ = store.chunks(first), store.vectors(first)
            fetch_s = time.perf_counter() - began
            places = np.asarray([index.place_of[chunk_id] for chunk_id, _ in fused], dtype=np.intp)
            return Question(query, places, np.asarray([score for _, score in fused]), fetch_s)

        clusters = document_clusters(data.qrels)
        halves: dict[str, list[Question]] = {}
        for name, queries in zip(HALVES, split_queries(list(data.qrels), clusters), strict=True):
            count = min(sample or len(queries), len(queries))
            # Spread evenly, for queries side by side ask about the same document.
            halves[name] = [asked(queries[place * len(queries) // count]) for place in range(count)]
    finally:
        snapshot.close()
    return Corpus(folder.name, index, halves, clusters, data.qrels)


def indexed(name: str, store: StoreReader, embedder: Embedder) -> Index:
    """Everything of an index, with the graph of nearest chunks and what it costs beside embedding."""
    chunks = list(store.iter_chunks())
    ids = [chunk.id for chunk in chunks]
    vectors = store.vectors(ids)
    rows = np.stack([vectors[chunk_id] for chunk_id in ids]).astype(np.float64)
    unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    names = [chunk.source_document.split("#", 1)[1] for chunk in chunks]
    articles = document_clusters({str(place): {name: 1} for place, name in enumerate(names)}).values()
    shared = {"chunk": ids, "document": [chunk.document_id for chunk in chunks], "article": list(articles)}
    groups = {what: np.unique(owners, return_inverse=True)[1] for what, owners in shared.items()}
    place_of = {chunk_id: place for place, chunk_id in enumerate(ids)}
    nearest = np.zeros((len(ids), MOST), dtype=np.intp)
    likeness = np.full((len(ids), MOST), -np.inf)
    searches, embeddings = list[float](), list[float]()  # seconds for TIMED chunks, one after the other
    for start in range(0, len(ids), TIMED):
        part = range(start, min(start + TIMED, len(ids)))
        began = time.perf_counter()
        found = [store.search(SEARCHED, vectors[ids[place]])[0] for place in part]
        searches.append(time.perf_counter() - began)
        if len(embeddings) < 6:
            began = time.perf_counter()
            embedder.embed_passages([chunks[place].indexed_text for place in part])
            embeddings.append(time.perf_counter() - began)
        for place, hits in zip(part, found, strict=True):
            theirs = [place_of[hit.chunk_id] for hit in hits]
            theirs = [other for other in theirs if groups["document"][other] != groups["document"][place]][:MOST]
            nearest[place, : len(theirs)] = theirs
            likeness[place, : len(theirs)] = unit[theirs] @ unit[place]
    shares = [first / second for first, second in zip(searches, embeddings, strict=False)]
    search_ms, embed_ms = (median(seconds) / TIMED * 1e3 for seconds in (searches, embeddings))
    spread = f"{median(shares):.1%} ({min(shares):.1%} to {max(shares):.1%})"
    lacking = f"{np.isinf(likeness).any(axis=1).mean():.1%} have fewer than {MOST} neighbours among {SEARCHED} found"
    print(f"{name}: {len(ids)} chunks; search {search_ms:.2f} ms, embedding {embed_ms:.0f} ms, {spread}; {lacking}")
    return Index(place_of, names, groups, unit, nearest, likeness)


def moved(form: Form, k: int, weight: float, asked: Question, index: Index) -> tuple[Places, Floats]:
    """The chunks in their new order with their scores."""
    places, scores = asked.places[:AMONG], asked.scores[:AMONG]
    if form.by_gap:
        weight *= 1 - (scores[0] - scores[1]) / max(scores[0] - scores[9], 1e-9)
    by_place = np.full(len(index.names), asked.scores.min())
    by_place[asked.places] = asked.scores
    if form.graph == "smooth":
        weights = np.exp(index.likeness[places, :k] / WARMTH)
        after = mixed(scores, weight, (weights * by_place[index.nearest[places, :k]]).sum(axis=1), weights.sum(axis=1))
    else:
        if form.graph == "pull":
            near = index.nearest[places[:SEEDS], :k][np.isfinite(index.likeness[places[:SEEDS], :k])]
            places = np.concatenate([places, np.setdiff1d(near, places)])
            scores = by_place[places]
        weights, after = exchanged(form, k, places, index), scores
        for _ in range(form.steps):
            after = mixed(after, weight, weights @ after, weights.sum(axis=1))
    left = asked.places[~np.isin(asked.places, places)]
    if form.graph == "pull":  # all by score; otherwise what follows stays below
        places, after, left = np.concatenate([places, left]), np.concatenate([after, by_place[left]]), left[:0]
    order = np.argsort(-after, kind="stable")
    return np.concatenate([places[order], left]), np.concatenate([after[order], by_place[left]])


def exchanged(form: Form, k: int, places: Places, index: Index) -> Floats:
    """(chunks, chunks): what the second counts for the first."""
    unit, groups = index.unit[places], index.groups[form.apart][places]
    likeness = np.where(groups[:, None] != groups[None, :], unit @ unit.T, -np.inf)
    nearest = np.argsort(-likeness, axis=1, kind="stable")[:, : min(k, len(places) - 1)]
    near = np.zeros(likeness.shape, dtype=bool)
    np.put_along_axis(near, nearest, True, axis=1)
    if form.mutual:
        near &= near.T
    return np.where(near & (likeness >= form.floor), np.exp(likeness / WARMTH), 0.0)


def mixed(scores: Floats, weight: float, sums: Floats, totals: Floats) -> Floats:
    """The share of the neighbours added; a chunk without any keeps its score."""
    theirs = np.divide(sums, totals, out=scores.copy(), where=totals > 0)
    return (1.0 - weight) * scores + weight * theirs


def agrees(asked: Question, index: Index) -> bool:
    """Whether the form called shipped gives the scores of ragkit's own; two that are alike to 7 digits may differ."""
    first: list[int] = asked.places[:AMONG].tolist()
    ranked = [(str(place), float(score)) for place, score in zip(first, asked.scores, strict=False)]
    vectors = {str(place): index.unit[place].astype(np.float32) for place in first}
    documents = {str(place): str(index.groups["document"][place]) for place in first}
    theirs = dict(smoothed(ranked, vectors, documents, Neighbours(method="smooth", k=8, weight=0.3)))
    places, scores = moved(Form(), 8, 0.3, asked, index)
    ordered: list[int] = places[:AMONG].tolist()
    return np.allclose(scores[:AMONG], [theirs[str(place)] for place in ordered], atol=1e-5)


def ndcg(corpus: Corpus, half: str, form: Form, setting: tuple[int, float], spent: list[float]) -> list[float]:
    """Of each query; adds to `spent` the seconds that the form takes beyond the search."""
    run: dict[str, list[tuple[str, float]]] = {}
    for asked in corpus.halves[half]:
        began = time.perf_counter()
        places, scores = moved(form, *setting, asked, corpus.index)
        spent.append(time.perf_counter() - began + asked.fetch_s)
        ordered: list[int] = places.tolist()
        found = [(corpus.index.names[place], float(score)) for place, score in zip(ordered, scores, strict=True)]
        run[asked.id] = documents_from_chunks(found)[:20]
    qrels = {query: corpus.qrels[query] for query in run}
    values = evaluate_run(run, qrels, ignore_identical_ids=corpus.name == "peps")["ndcg@10"]
    return [values[query] for query in run]


def report(corpora: Sequence[Corpus]) -> None:
    before = {(c.name, half): ndcg(c, half, *FUSED, []) for c, half in product(corpora, HALVES)}
    for corpus in corpora:
        means = " / ".join(f"{fmean(before[corpus.name, h]):.3f} ({len(before[corpus.name, h])})" for h in HALVES)
        alike = fmean(agrees(asked, corpus.index) for asked in corpus.halves["tuning"])
        print(f"{corpus.name}: nDCG@10 of the fused ranking, tuning / test {means}; shipped as in ragkit: {alike:.1%}")
    print(f"a graph of {MOST}, ids of 16 bytes and float16: {MOST * (16 + 2)} bytes a chunk (computed)")
    rows: dict[str, list[str]] = {half: [] for half in HALVES}
    for label, (form, grid) in FORMS.items():
        gains = [
            fmean(fmean(ndcg(c, "tuning", form, setting, [])) - fmean(before[c.name, "tuning"]) for c in corpora)
            for setting in grid
        ]
        best, spent, ends = grid[int(np.argmax(gains))], list[float](), dict[str, list[str]]()
        for half in HALVES:
            cells: list[str] = []
            for corpus in corpora:
                after = ndcg(corpus, half, form, best, spent)
                clusters = [corpus.clusters[asked.id] for asked in corpus.halves[half]]
                found = paired_difference(before[corpus.name, half], after, clusters=clusters)
                mark = "*" if found.excludes_zero else ""
                cells.append(f"{found.mean:+.3f} ({found.low:+.3f} to {found.high:+.3f}){mark}")
                if mark:
                    ends.setdefault(f"{half} {'wins' if found.low > 0 else 'loses'}", []).append(corpus.name)
            rows[half].append(f"| {label}: {best[0]}, {best[1]:g} | {' | '.join(cells)} |")
        verdict = "passes" if "tuning wins" in ends and "tuning loses" not in ends else "does not pass"
        words = "; ".join(f"{end}: {', '.join(names)}" for end, names in ends.items()) or "no interval without zero"
        print(f"{label}: {verdict}; {words}; {median(spent) * 1e3:.1f} ms", flush=True)
    for half in HALVES:
        print(f"\n| {half} | {' | '.join(corpus.name for corpus in corpora)} |\n|---|{'---|' * len(corpora)}")
        print("\n".join(rows[half]))


if __name__ == "__main__":
    main()
