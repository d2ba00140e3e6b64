"""The measures are those of trec_eval over exactly the order that was shown."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ragkit.evaluate.metrics import MEASURES, documents_from_chunks, evaluate_run

THEIRS = {
    "ndcg@10": "ndcg_cut_10",
    "recall@10": "recall_10",
    "recall@100": "recall_100",
    "success@1": "success_1",
}


def direct(run: dict[str, dict[str, float]], qrels: dict[str, dict[str, int]]) -> dict[str, dict[str, float]]:
    import pytrec_eval  # pyright: ignore[reportMissingTypeStubs]

    trec: Any = pytrec_eval
    measures = {"ndcg_cut.10", "recall.10,100", "recip_rank", "success.1"}
    return trec.RelevanceEvaluator(qrels, measures).evaluate(run)


def random_run(seed: int) -> tuple[dict[str, list[tuple[str, float]]], dict[str, dict[str, int]]]:
    dice = random.Random(seed)
    documents = [f"d{number}" for number in range(300)]
    run: dict[str, list[tuple[str, float]]] = {}
    qrels: dict[str, dict[str, int]] = {}
    for query in (f"q{number}" for number in range(40)):
        shown = dice.sample(documents, 150)
        # Scores that fall strictly and far enough apart for single precision, so trec_eval keeps the order.
        run[query] = [(document, 1000.0 - rank) for rank, document in enumerate(shown)]
        qrels[query] = {document: dice.choice([0, 1, 1, 2, 4]) for document in dice.sample(documents, 30)}
    return run, qrels


@pytest.mark.parametrize("seed", range(5))
def test_agrees_with_trec_eval(seed: int) -> None:
    run, qrels = random_run(seed)
    ours = evaluate_run(run, qrels)
    theirs = direct({query: dict(ranking) for query, ranking in run.items()}, qrels)
    cut = direct({query: dict(ranking[:10]) for query, ranking in run.items()}, qrels)
    for query in qrels:
        for name, their_name in THEIRS.items():
            assert ours[name][query] == pytest.approx(theirs[query][their_name], abs=1e-9)
        assert ours["mrr@10"][query] == pytest.approx(cut[query]["recip_rank"], abs=1e-9)
    assert any(0 < value < 1 for value in ours["ndcg@10"].values())


def test_all_measures_on_a_small_case() -> None:
    run = {"q": [("a", 9.0), ("b", 8.0), ("c", 7.0)]}
    values = {name: by_query["q"] for name, by_query in evaluate_run(run, {"q": {"c": 1, "z": 1}}).items()}
    assert values.pop("ndcg@10") == pytest.approx(0.5 / (1 + 0.6309297535714575))
    assert values == {
        "recall@10": 0.5,
        "recall@100": 0.5,
        "mrr@10": pytest.approx(1 / 3),
        "map@100": pytest.approx(1 / 3 / 2),
        "precision@3": pytest.approx(1 / 3),
        "success@1": 0.0,
        "success@3": 1.0,
    }


@pytest.mark.parametrize("scores", [(1.0, 1.0), (1.0 + 1e-12, 1.0), (0.0, 5.0), (float("nan"), 1.0)])
@pytest.mark.parametrize("order", ["ab", "ba"])
def test_the_shown_order_is_measured_whatever_the_scores(order: str, scores: tuple[float, float]) -> None:
    # trec_eval alone would sort by score, and equal ones by id from z to a.
    run = {"q": list(zip(order, scores, strict=True))}
    assert evaluate_run(run, {"q": {"a": 1}})["success@1"]["q"] == (1.0 if order[0] == "a" else 0.0)


def test_only_ten_documents_count_for_mrr() -> None:
    ranking = [(f"d{rank}", 0.0) for rank in range(1, 12)]
    values = evaluate_run({"q10": ranking, "q11": ranking}, {"q10": {"d10": 1}, "q11": {"d11": 1}})
    assert values["mrr@10"] == {"q10": 0.1, "q11": 0.0}


def test_queries_without_results_count_as_zero() -> None:
    values = evaluate_run({"q1": [("a", 1.0)], "q2": []}, {"q1": {"a": 1}, "q2": {"a": 1}, "q3": {"a": 1}})
    assert values.keys() == MEASURES.keys()
    assert values.pop("precision@3") == {"q1": pytest.approx(1 / 3), "q2": 0.0, "q3": 0.0}
    assert all(by_query == {"q1": 1.0, "q2": 0.0, "q3": 0.0} for by_query in values.values())


def test_queries_without_judgments_are_left_out() -> None:
    assert evaluate_run({"q": [("a", 1.0)], "x": [("a", 1.0)]}, {"q": {"a": 1}})["mrr@10"] == {"q": 1.0}


def test_grades_below_zero_are_not_relevant() -> None:
    values = evaluate_run({"q": [("spam", 2.0), ("a", 1.0)]}, {"q": {"spam": -1, "a": 1}})
    assert values["mrr@10"]["q"] == 0.5
    assert values["recall@10"]["q"] == 1.0
    # pytrec_eval alone ends the process here (0.5.11: segmentation fault if no grade is 0 or more).
    assert evaluate_run({"q": [("spam", 1.0)]}, {"q": {"spam": -2}})["ndcg@10"] == {"q": 0.0}


def test_a_document_with_the_id_of_the_query_is_ignored() -> None:
    run, qrels = {"x": [("x", 2.0), ("a", 1.0)]}, {"x": {"a": 1}}
    assert evaluate_run(run, qrels)["success@1"]["x"] == 1.0
    assert evaluate_run(run, qrels, ignore_identical_ids=False)["success@1"]["x"] == 0.0


def test_a_document_twice_in_a_result_is_refused() -> None:
    with pytest.raises(ValueError, match="twice in the result of query 'q'"):
        evaluate_run({"q": [("a", 2.0), ("a", 1.0)]}, {"q": {"a": 1}})


CHUNKS = st.lists(st.tuples(st.sampled_from("abcde"), st.sampled_from([0.0, 0.25, 0.5, 1.0])), max_size=12)


@given(CHUNKS)
def test_a_document_stands_where_its_best_chunk_stood(chunks: list[tuple[str, float]]) -> None:
    ranked = documents_from_chunks(sorted(chunks, key=lambda pair: -pair[1]))
    best = {document: max(score for other, score in chunks if other == document) for document, _ in chunks}
    assert ranked == sorted(best.items(), key=lambda pair: (-pair[1], pair[0]))


def test_ties_do_not_depend_on_the_order_given() -> None:
    ahead = [("b", 1.0), ("a", 1.0), ("c", 0.5)]
    assert documents_from_chunks(ahead) == documents_from_chunks([ahead[1], ahead[0], ahead[2]])


def test_the_order_of_a_reranked_list_is_kept() -> None:
    # The first two were scored by a reranker in another scale than the rest.
    chunks = [("b", 0.2), ("a", 0.1), ("c", 9.0), ("b", 8.0)]
    assert documents_from_chunks(chunks) == [("b", 0.2), ("a", 0.1), ("c", 9.0)]
