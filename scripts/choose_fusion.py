"""Choose the default fusion on the tuning half of each data set and report it on the other half.

    python scripts/choose_fusion.py DIR [DIR ...] [--ignore-identical-ids]

Each DIR is a BEIR folder. Queries are halved by the document (XQuAD: the article) that answers them, so that no
document is in both halves. Prints nDCG@10 of every setting on both halves; the mean over the tuning halves ranks
them. The indexes come from the evaluation cache of `ragkit eval retrieval` (config: configs/quickstart.yaml).
"""

from __future__ import annotations

import argparse
from pathlib import Path
from statistics import fmean

from ragkit.config.load import load_config
from ragkit.embed import make_embedder
from ragkit.evaluate.beir import dataset_hash, read_dataset
from ragkit.evaluate.metrics import evaluate_run
from ragkit.evaluate.retrieval import EmbeddedQuestions, default_cache, index_in, question_vectors, ranked_documents
from ragkit.evaluate.split import split_queries
from ragkit.evaluate.statistics import mean_interval
from ragkit.ingest.index import build_index
from ragkit.store.open import open_snapshot

SETTINGS: list[tuple[str, dict[str, object]]] = [
    ("rrf k=60", {"method": "rrf", "k": 60}),
    ("weighted 0.4", {"method": "weighted", "alpha": 0.4}),
    ("weighted 0.5", {"method": "weighted", "alpha": 0.5}),
    ("weighted 0.6", {"method": "weighted", "alpha": 0.6}),
    ("dbsf", {"method": "dbsf"}),
]
CANDIDATES = (50, 100, 200)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("datasets", type=Path, nargs="+")
    parser.add_argument("--config", type=Path, default=Path("configs/quickstart.yaml"))
    parser.add_argument("--ignore-identical-ids", action="store_true")
    given = parser.parse_args()
    config = load_config(given.config).config
    embedder = make_embedder(config.ingestion.embedding)
    table: dict[tuple[str, int], dict[str, tuple[list[float], list[float]]]] = {}
    for folder in given.datasets:
        data = read_dataset(folder)
        placed = index_in(config, default_cache() / dataset_hash(folder).split("-")[0])
        build_index(placed, [data.corpus_path], embedder=embedder, wait_s=3600)
        # XQuAD's documents are named ARTICLE-PARAGRAPH; elsewhere a document is its own cluster.
        clusters = {
            query: min(relevant).split("-")[0] if "xquad" in folder.name else min(relevant)
            for query, relevant in data.qrels.items()
        }
        tuning, test = split_queries(list(data.qrels), clusters)
        snapshot = open_snapshot(placed)
        known = EmbeddedQuestions(list(data.queries.values()), embedder, question_vectors(config))
        for label, fusion in SETTINGS:
            for candidates in CANDIDATES:
                retrieval = placed.retrieval.model_copy(
                    update={
                        "strategy": "hybrid",
                        "fusion": placed.retrieval.fusion.model_copy(update=fusion),
                        "candidates": candidates,
                    }
                )
                run = ranked_documents(
                    placed.model_copy(update={"retrieval": retrieval}), data.queries, snapshot, known, None
                )
                values = evaluate_run(run, data.qrels, ignore_identical_ids=given.ignore_identical_ids)["ndcg@10"]
                table.setdefault((label, candidates), {})[folder.name] = (
                    [values[query] for query in tuning],
                    [values[query] for query in test],
                )
        snapshot.close()
    names = [folder.name for folder in given.datasets]
    ranked = sorted(table, key=lambda key: -fmean(fmean(table[key][name][0]) for name in names))
    print(
        f"{'fusion':<14}{'candidates':>10}  {'mean(tuning)':>12}"
        + "".join(f"  {name + ' tuning':>18} {'test':>6}" for name in names)
    )
    for key in ranked:
        cells = "".join(f"  {fmean(table[key][name][0]):>18.4f} {fmean(table[key][name][1]):6.4f}" for name in names)
        print(f"{key[0]:<14}{key[1]:>10}  {fmean(fmean(table[key][name][0]) for name in names):12.4f}{cells}")
    print(f"\nchosen on the tuning halves: {ranked[0][0]}, candidates {ranked[0][1]}; on the test halves:")
    for name in names:
        interval = mean_interval(table[ranked[0]][name][1])
        print(
            f"  {name}: nDCG@10 {interval.mean:.4f} ({interval.low:.4f} to {interval.high:.4f}),"
            f" {len(table[ranked[0]][name][1])} queries"
        )


if __name__ == "__main__":
    main()
