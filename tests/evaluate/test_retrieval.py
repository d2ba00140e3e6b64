"""`evaluate_retrieval`: agrees with a direct computation on the same ranking, and embeds a corpus once."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
import pytrec_eval

from ragkit.config.hashing import config_hash
from ragkit.config.load import load_config
from ragkit.embed import make_embedder
from ragkit.evaluate.beir import read_dataset
from ragkit.evaluate.retrieval import evaluate_retrieval, index_of, ranked_documents
from ragkit.ingest.index import build_index
from ragkit.store.open import open_snapshot

ROOT = Path(__file__).parents[2]
CONFIG = load_config(ROOT / "configs" / "quickstart.yaml").config
FACTS = {
    "kettle": "The kettle holds two litres of water and boils in three minutes.",
    "toaster": "The toaster browns four slices of bread at once.",
    "mixer": "The mixer kneads dough with a motor of 600 watts.",
    "oven": "The oven reaches 250 degrees and has a fan.",
}


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("beir")
    (folder / "qrels").mkdir()
    corpus = [{"_id": name, "title": name, "text": text} for name, text in FACTS.items()]
    queries = {"q1": "How much water does the kettle hold?", "q2": "Which motor kneads dough?", "q3": "Is there a fan?"}
    (folder / "corpus.jsonl").write_text("".join(json.dumps(row) + "\n" for row in corpus))
    (folder / "queries.jsonl").write_text(
        "".join(json.dumps({"_id": key, "text": text}) + "\n" for key, text in queries.items())
    )
    (folder / "qrels" / "test.tsv").write_text(
        "query-id\tcorpus-id\tscore\nq1\tkettle\t2\nq1\toven\t1\nq2\tmixer\t1\nq3\toven\t1\n"
    )
    return folder


@pytest.mark.integration
@pytest.mark.parametrize("strategy", ["dense", "sparse", "hybrid"])
def test_figures_equal_a_direct_computation(dataset: Path, tmp_path: Path, strategy: Any) -> None:
    report, values = evaluate_retrieval(CONFIG, dataset, strategy=strategy, cache=tmp_path)
    data = read_dataset(dataset)
    embedder = make_embedder(CONFIG.ingestion.embedding)
    asked = CONFIG.model_copy(update={"retrieval": CONFIG.retrieval.model_copy(update={"strategy": strategy})})
    placed = index_of([data.corpus_path], asked, tmp_path / "direct")
    build_index(placed, [data.corpus_path], embedder=embedder)
    snapshot = open_snapshot(placed)
    run = ranked_documents(placed, data.queries, snapshot, embedder, None)
    snapshot.close()
    direct: Any = pytrec_eval.RelevanceEvaluator({q: dict(r) for q, r in data.qrels.items()}, {"ndcg_cut_10"})
    expected = direct.evaluate({q: {d: float(-rank) for rank, (d, _) in enumerate(hits)} for q, hits in run.items()})
    for query, measured in values["ndcg@10"].items():
        assert measured == pytest.approx(expected.get(query, {"ndcg_cut_10": 0.0})["ndcg_cut_10"], abs=1e-9)
    assert report["config_hash"] == config_hash(asked)
    assert report["queries"] == 3
    assert report["documents"] == 4


@pytest.mark.integration
def test_queries_about_one_document_count_together_and_what_cannot_be_used_is_told(
    dataset: Path, tmp_path: Path
) -> None:
    many = Path(shutil.copytree(dataset, tmp_path / "many"))
    rows = [("q1", "kettle"), *((f"k{n}", "kettle") for n in range(20)), ("q2", "mixer"), ("gone", "oven")]
    queries = [{"_id": key, "text": f"How much water does the kettle hold, asked {key}?"} for key, _ in rows[:-1]]
    (many / "queries.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in queries))
    judged = "".join(f"{query}\t{name}\t1\n" for query, name in [*rows, ("k1", "boiler")])
    (many / "qrels" / "test.tsv").write_text(f"query-id\tcorpus-id\tscore\n{judged}")
    report, _ = evaluate_retrieval(CONFIG, many, strategy="sparse", cache=tmp_path / "cache")
    # 21 queries are about the kettle, one is not: two documents show next to nothing.
    low, high = report["ci95"]["success@1"]
    assert report["queries"] == 22
    assert high - low > 0.5
    assert [note.split(": ")[1].split(" that")[0] for note in report["notes"]] == [
        "1 documents are judged",
        "1 queries are judged",
    ]


@pytest.mark.integration
def test_an_index_that_another_version_left_in_the_cache_does_no_harm(
    dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    report, _ = evaluate_retrieval(CONFIG, dataset, cache=tmp_path)
    monkeypatch.setattr("ragkit.ingest.settings.PARSER_VERSION", 10_000)
    again, _ = evaluate_retrieval(CONFIG, dataset, cache=tmp_path)
    assert again == report


@pytest.mark.integration
def test_the_same_data_set_at_another_path_is_indexed_for_itself(dataset: Path, tmp_path: Path) -> None:
    report, values = evaluate_retrieval(CONFIG, dataset, cache=tmp_path / "cache")
    moved = Path(shutil.copytree(dataset, tmp_path / "elsewhere"))
    again, values_again = evaluate_retrieval(CONFIG, moved, cache=tmp_path / "cache")
    assert values_again == values
    assert again == {**report, "dataset": str(moved)}


@pytest.mark.integration
def test_a_second_run_with_another_strategy_embeds_nothing_again(dataset: Path, tmp_path: Path) -> None:
    evaluate_retrieval(CONFIG, dataset, strategy="hybrid", cache=tmp_path)
    [generation] = tmp_path.glob("*/*/gen-*")
    evaluate_retrieval(CONFIG, dataset, strategy="dense", cache=tmp_path)
    assert list(tmp_path.glob("*/*/gen-*")) == [generation]


@pytest.mark.data
@pytest.mark.parametrize(("name", "least"), [("xquad-en", 0.975), ("cranfield", 0.384)])
def test_reference_figures_on_real_data(name: str, least: float, tmp_path: Path) -> None:
    folder = Path(os.environ.get("RAGKIT_DATA", ROOT.parent / "shared" / "data")) / name
    if not folder.is_dir():
        pytest.skip(f"NOT RUN: the data set {name} is not at {folder}; set RAGKIT_DATA to the folder that holds it")
    report, _ = evaluate_retrieval(CONFIG, folder, rerank=False, cache=tmp_path)
    assert report["metrics"]["ndcg@10"] >= least
