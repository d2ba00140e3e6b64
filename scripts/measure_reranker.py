"""Does a reranker improve on the first stage? Candidates once, scores once for each model, then blends for nothing.

    python scripts/measure_reranker.py candidates OUT.json.gz DIR [DIR ...]
    python scripts/measure_reranker.py score CANDIDATES.json.gz MODEL OUT.npz [--half test] [--sample N]
    python scripts/measure_reranker.py report CANDIDATES.json.gz SCORES.npz [...] [--fixed FORM,DEPTH,WEIGHT]

`candidates` asks configs/quickstart.yaml every judged query of BEIR folders and keeps the first chunks with their texts
and fused scores, and the documents of the rest. Queries are halved as in scripts/choose_retrieval.py, but XQuAD-en's by
article, since the first 24 are in squad-train. A document that has the query's own id is left out, as BEIR does.
`score` runs a cross-encoder of `ragkit models list` or a folder over them; scripts/train_reranker.py writes the same
file for the models it trains. `report` chooses form, depth and weight of the blend for each model on the tuning halves
alone: of the blends that keep the rule there (the lower bound of nDCG@10's difference above 0 on one set, above -0.005
on all) the one with the highest mean gain. For this and for the reranker alone it prints the paired differences to the
first stage on both halves, with 95% bootstrap intervals over clusters.
"""

from __future__ import annotations

import argparse
import gzip
import itertools
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ragkit.config.load import load_config
from ragkit.embed import make_embedder
from ragkit.evaluate.beir import Dataset, read_dataset
from ragkit.evaluate.metrics import PerQuery, documents_from_chunks, evaluate_run
from ragkit.evaluate.retrieval import embedded_questions, index_of, question_vectors
from ragkit.evaluate.split import document_clusters, split_queries
from ragkit.evaluate.statistics import Interval, paired_difference
from ragkit.ingest.index import build_index
from ragkit.rerank import Reranker
from ragkit.rerank.cross_encoder import load_cross_encoder
from ragkit.retrieve.blend import blended
from ragkit.retrieve.retriever import retrieve
from ragkit.store.open import open_snapshot

CONFIG = Path(__file__).parent.parent / "configs" / "quickstart.yaml"
HALVES = ("tuning", "test")
MEASURES = ("ndcg@10", "recall@10", "success@1", "mrr@10")
DEPTH = 20
"""Chunks of each query whose texts are kept."""
DEPTHS = (10, 20)
WEIGHTS: dict[str, tuple[float, ...]] = {
    "standardised": (0.1, 0.2, 0.3, 0.4, 0.5),
    "logits": (0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.5),
}
"""By the form of the blend. standardised: that of `retrieval.reranking.weight` (1: the reranker alone); logits:
z(first) + own * weight, so that a model that is unsure changes little."""
TEST_FROM = {"xquad-en": 24}
"""Data sets whose articles from this number on are the test half; squad-train is of those before it."""
WORST = -0.005
"""The lower bound of a default's difference may not lie below this on any set."""

Row = dict[str, Any]
Scores = NDArray[np.float32]


class Blend(NamedTuple):
    """How the reranker's scores and those of the first stage become one, over the first `depth` candidates."""

    form: str
    depth: int
    weight: float

    def order(self, first: Sequence[float], own: Sequence[float]) -> list[int]:
        """Numbers of the candidates, best first; of equal ones the first stage's first."""
        if self.form == "logits":
            alone = blended(first, own, 0.0)
            scores = [score + self.weight * mine for score, mine in zip(alone, own, strict=True)]
        else:
            scores = blended(first, own, self.weight)
        return sorted(range(len(scores)), key=lambda n: (-scores[n], n))


def candidates_of(folder: Path) -> Row:
    """One data set: its name, the distinct texts, and for each query its candidates as numbers of texts."""
    data = read_dataset(folder)
    config = load_config(CONFIG).config
    placed = index_of([data.corpus_path], config)
    embedder = make_embedder(config.ingestion.embedding)
    build_index(placed, [data.corpus_path], embedder=embedder, wait_s=3600)
    retrieval = placed.retrieval.model_copy(update={"top_k": 1000})
    known = embedded_questions(list(data.queries.values()), embedder, question_vectors(placed))
    texts: dict[str, int] = {}
    queries: list[Row] = []
    snapshot = open_snapshot(placed)
    try:
        for query, half, cluster in _halves(data):
            found = retrieve(data.queries[query], snapshot.store, known, retrieval).results
            kept = [(result.chunk.source_document.split("#", 1)[1], result) for result in found]
            kept = [(document, result) for document, result in kept if document != query]
            queries.append(
                {
                    "id": query,
                    "half": half,
                    "cluster": cluster,
                    "question": data.queries[query],
                    "grades": data.qrels[query],
                    "documents": [document for document, _ in kept],
                    "scores": [round(result.score, 6) for _, result in kept],
                    "texts": [texts.setdefault(result.chunk.indexed_text, len(texts)) for _, result in kept[:DEPTH]],
                }
            )
    finally:
        snapshot.close()
    return {"name": folder.name, "texts": list(texts), "queries": queries}


def _halves(data: Dataset) -> Iterator[tuple[str, str, str]]:
    """(query, half, cluster) of every judged query, as scripts/choose_retrieval.py parts them."""
    clusters = document_clusters(data.qrels)
    halves = split_queries(list(data.qrels), clusters)
    if data.path.name in TEST_FROM:
        late = {query for query in data.qrels if int(clusters[query]) >= TEST_FROM[data.path.name]}
        halves = [query for query in data.qrels if query not in late], [query for query in data.qrels if query in late]
    for half, queries in zip(HALVES, halves, strict=True):
        yield from ((query, half, clusters[query]) for query in queries)


def read_candidates(path: Path) -> list[Row]:
    with gzip.open(path, "rt", encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def scored(dataset: Row, reranker: Reranker, half: str | None, sample: int | None) -> Scores:
    """The model's score of every candidate of every query, one after another; NaN for those of queries left out."""
    texts: list[str] = dataset["texts"]
    scores: list[float] = []
    asked = [number for number, query in enumerate(dataset["queries"]) if half in (None, query["half"])]
    step = max(1, len(asked) // sample) if sample else 1
    wanted = set(asked[::step])
    for number, query in enumerate(dataset["queries"]):
        numbers: list[int] = query["texts"]
        if number in wanted:
            scores += reranker.scores(query["question"], [texts[text] for text in numbers])
        else:
            scores += [math.nan] * len(numbers)
    return np.asarray(scores, dtype=np.float32)


def reranked(dataset: Row, half: str, scores: Scores | None = None, blend: Blend | None = None) -> PerQuery:
    """Every measure of every query of a half when its candidates are in the order of the blend; those below its depth
    follow as they were. Without scores: the first stage. Queries that were not scored are left out."""
    run: dict[str, list[tuple[str, float]]] = {}
    qrels: dict[str, dict[str, int]] = {}
    place = 0
    for query in dataset["queries"]:
        count = len(query["texts"])
        own = slice(place, place + count)
        place += count
        if query["half"] != half or (scores is not None and np.isnan(scores[own]).any()):
            continue
        documents: list[str] = query["documents"]
        order = list(range(len(documents)))
        if scores is not None and blend is not None:
            head = min(blend.depth, count)
            order[:head] = blend.order(query["scores"][:head], scores[own][:head].tolist())
        # Ranks as scores: what was not reranked stays behind what was.
        run[query["id"]] = documents_from_chunks([(documents[n], -float(rank)) for rank, n in enumerate(order)])
        qrels[query["id"]] = query["grades"]
    return evaluate_run(run, qrels, ignore_identical_ids=False)


def difference(dataset: Row, before: PerQuery, after: PerQuery, measure: str) -> Interval:
    clusters = {query["id"]: query["cluster"] for query in dataset["queries"]}
    ids = list(after[measure])
    first, second = ([values[measure][query] for query in ids] for values in (before, after))
    return paired_difference(first, second, clusters=[clusters[query] for query in ids])


def keeps_rule(found: Sequence[Interval]) -> bool:
    return any(one.low > 0 for one in found) and all(one.low > WORST for one in found)


def chosen(datasets: Sequence[Row], before: Sequence[PerQuery], scores: Mapping[str, Scores]) -> tuple[Blend, bool]:
    """The blend by the tuning halves alone, and whether it keeps the rule there; if none does, the best of all."""
    trials: list[tuple[bool, float, Blend]] = []
    for form, depth in itertools.product(WEIGHTS, DEPTHS):
        for weight in WEIGHTS[form]:
            blend = Blend(form, depth, weight)
            found = [
                difference(data, first, reranked(data, "tuning", scores[data["name"]], blend), "ndcg@10")
                for data, first in zip(datasets, before, strict=True)
            ]
            trials.append((keeps_rule(found), float(np.mean([one.mean for one in found])), blend))
    keeps, _, blend = max(trials, key=lambda trial: (trial[0], trial[1]))
    return blend, keeps


def report(datasets: Sequence[Row], files: Sequence[Path], fixed: Blend | None) -> None:
    before = {half: [reranked(dataset, half) for dataset in datasets] for half in HALVES}
    for half in HALVES:
        for dataset, first in zip(datasets, before[half], strict=True):
            means = ", ".join(f"{name} {np.mean(list(first[name].values())):.3f}" for name in MEASURES)
            print(f"{dataset['name']} {half}: {len(first[MEASURES[0]])} queries, {means}")
    for path in files:
        with np.load(path) as archive:
            scores: dict[str, Scores] = {name: archive[name] for name in archive.files}
        if fixed is not None:
            blends, said = [fixed], "given"
        else:
            best, keeps = chosen(datasets, before["tuning"], scores)
            blends = [best, Blend("alone", best.depth, 1.0)]
            said = "chosen, keeps the rule on the tuning halves" if keeps else "chosen, none keeps the rule"
        for blend in blends:
            print(f"\n{path.stem}: {blend.form}, first {blend.depth}, weight {blend.weight:g} ({said})", flush=True)
            said = "for comparison"
            for half in HALVES:
                found: list[Interval] = []
                for dataset, first in zip(datasets, before[half], strict=True):
                    if np.isnan(scores[dataset["name"]][_rows(dataset, half)]).all():
                        continue
                    after = reranked(dataset, half, scores[dataset["name"]], blend)
                    each = [difference(dataset, first, after, name) for name in MEASURES]
                    found.append(each[0])
                    where = f"{dataset['name']} {half}, {len(after[MEASURES[0]])}"
                    print(f"| {path.stem} | {where} | {' | '.join(map(_shown, each))} |", flush=True)
                if found:
                    print(f"{half}: the rule is {'kept' if keeps_rule(found) else 'not kept'}", flush=True)


def _rows(dataset: Row, half: str) -> NDArray[np.bool_]:
    """Which scores belong to queries of a half."""
    counts = [len(query["texts"]) for query in dataset["queries"]]
    return np.repeat([query["half"] == half for query in dataset["queries"]], counts)


def _shown(found: Interval) -> str:
    return f"{found.mean:+.3f} ({found.low:+.3f} to {found.high:+.3f}){'*' if found.excludes_zero else ''}"


def main() -> None:
    parser = argparse.ArgumentParser()
    commands = parser.add_subparsers(dest="command", required=True)
    making = commands.add_parser("candidates")
    making.add_argument("out", type=Path)
    making.add_argument("folders", type=Path, nargs="+")
    scoring = commands.add_parser("score")
    scoring.add_argument("candidates", type=Path)
    scoring.add_argument("model")
    scoring.add_argument("out", type=Path)
    scoring.add_argument("--half", choices=HALVES, help="only this one's queries")
    scoring.add_argument("--sample", type=int, help="about so many queries of each set")
    reporting = commands.add_parser("report")
    reporting.add_argument("candidates", type=Path)
    reporting.add_argument("scores", type=Path, nargs="+")
    reporting.add_argument("--fixed", metavar="FORM,DEPTH,WEIGHT", help="this blend, not the one chosen")
    given = parser.parse_args()
    if given.command == "candidates":
        with gzip.open(given.out, "wt", encoding="utf-8") as file:
            for folder in given.folders:
                dataset = candidates_of(folder)
                file.write(json.dumps(dataset, ensure_ascii=False) + "\n")
                print(
                    f"{dataset['name']}: {len(dataset['queries'])} queries, {len(dataset['texts'])} texts", flush=True
                )
    elif given.command == "score":
        reranker = load_cross_encoder(given.model)
        scores: dict[str, Any] = {}
        for dataset in read_candidates(given.candidates):
            scores[dataset["name"]] = scored(dataset, reranker, given.half, given.sample)
            print(f"{dataset['name']}: scored", flush=True)
        np.savez(given.out, **scores)
    else:
        fixed: Blend | None = None
        if given.fixed:
            form, depth, weight = given.fixed.split(",")
            fixed = Blend(form, int(depth), float(weight))
        report(read_candidates(given.candidates), given.scores, fixed)


if __name__ == "__main__":
    main()
