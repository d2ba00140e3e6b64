"""Reports are plain JSON, tables show the same figures."""

from __future__ import annotations

import io
import json
import random

import pytest
from rich.console import Console
from rich.table import Table

from ragkit.evaluate.metrics import PerQuery
from ragkit.evaluate.report import compare, comparison_table, report_table, retrieval_report

QUERIES = [f"q{number}" for number in range(40)]
DICE = random.Random(1)
DENSE: PerQuery = {
    "ndcg@10": {query: 0.5 * DICE.random() for query in QUERIES},
    "mrr@10": {query: DICE.choice([0.0, 0.5]) for query in QUERIES},
}
HYBRID: PerQuery = {
    "ndcg@10": {query: value + 0.25 for query, value in reversed(DENSE["ndcg@10"].items())},
    "mrr@10": dict(DENSE["mrr@10"]),
}


def shown(table: Table) -> str:
    text = io.StringIO()
    Console(file=text, width=160).print(table)
    return text.getvalue()


def test_report_is_the_json_of_the_command() -> None:
    report = retrieval_report(DENSE, documents=1400)
    assert json.loads(json.dumps(report)) == report
    assert list(report) == ["metrics", "ci95", "queries", "documents"]
    assert report["metrics"]["ndcg@10"] == pytest.approx(sum(DENSE["ndcg@10"].values()) / 40)
    low, high = report["ci95"]["ndcg@10"]
    assert low < report["metrics"]["ndcg@10"] < high
    assert (report["queries"], report["documents"]) == (40, 1400)


def test_clusters_widen_the_interval_of_queries_that_move_together() -> None:
    values: PerQuery = {"ndcg@10": {query: float(number < 20) for number, query in enumerate(QUERIES)}}
    cluster_of = {query: str(number // 5) for number, query in enumerate(QUERIES)}
    single = retrieval_report(values, documents=1)["ci95"]["ndcg@10"]
    clustered = retrieval_report(values, documents=1, cluster_of=cluster_of)["ci95"]["ndcg@10"]
    assert clustered[0] < single[0] < single[1] < clustered[1]


def test_a_share_of_all_has_an_interval() -> None:
    """12 hits of 12 do not make a 13th certain; 12 about three documents say less."""
    values: PerQuery = {"success@1": dict.fromkeys(QUERIES[:12], 1.0)}
    low, high = retrieval_report(values, documents=1)["ci95"]["success@1"]
    assert (round(low, 3), high) == (0.758, 1.0)
    cluster_of = {query: str(number // 4) for number, query in enumerate(QUERIES)}
    assert retrieval_report(values, documents=1, cluster_of=cluster_of)["ci95"]["success@1"][0] < 0.5


def test_the_same_difference_of_a_few_queries_is_not_clear() -> None:
    few = [{"mrr@10": dict.fromkeys(QUERIES[:3], value)} for value in (0.25, 0.5)]
    assert not compare({"dense": few[0], "hybrid": few[1]}, documents=1)["differences"]["hybrid"]["mrr@10"]["clear"]


def test_comparison_is_paired_with_the_first() -> None:
    comparison = compare({"dense": DENSE, "hybrid": HYBRID}, documents=1400)
    assert json.loads(json.dumps(comparison)) == comparison
    assert comparison["baseline"] == "dense"
    assert comparison["strategies"]["dense"] == retrieval_report(DENSE, documents=1400)
    assert comparison["differences"].keys() == {"hybrid"}
    gain = comparison["differences"]["hybrid"]["ndcg@10"]
    # Every query gains 0.25: only a difference taken query by query (by name, not by place) has no width.
    assert [gain["difference"], *gain["ci95"]] == pytest.approx([0.25, 0.25, 0.25])
    assert gain["clear"]
    assert comparison["differences"]["hybrid"]["mrr@10"] == {
        "difference": 0.0,
        "ci95": [0.0, 0.0],
        "clear": False,
    }


def test_tables_show_the_figures() -> None:
    report = retrieval_report(DENSE, documents=1400)
    low, high = report["ci95"]["ndcg@10"]
    text = shown(report_table(report))
    assert "40 queries, 1,400 documents" in text
    assert f"{report['metrics']['ndcg@10']:.3f}" in text
    assert f"{low:.3f} to {high:.3f}" in text

    text = shown(comparison_table(compare({"dense": DENSE, "hybrid": HYBRID}, documents=1400)))
    assert "difference to dense" in text
    assert "+0.250 (+0.250 to +0.250) *" in text
    assert "+0.000 (+0.000 to +0.000) *" not in text
    assert text.count("hybrid") == 2, "one row for each measure"


@pytest.mark.parametrize(
    "other",
    [
        {"ndcg@10": HYBRID["ndcg@10"]},
        {"ndcg@10": {"q0": 1.0}, "mrr@10": {"q0": 1.0}},
        {"ndcg@10": {"q0": 1.0}, "mrr@10": HYBRID["mrr@10"]},
    ],
)
def test_refuses_to_compare_different_queries_or_measures(other: PerQuery) -> None:
    with pytest.raises(ValueError, match="the same queries"):
        compare({"dense": DENSE, "other": other}, documents=1)


def test_refuses_nothing() -> None:
    with pytest.raises(ValueError, match="nothing to compare"):
        compare({}, documents=1)
    with pytest.raises(ValueError, match="at least one"):
        retrieval_report({"ndcg@10": {}}, documents=1)
