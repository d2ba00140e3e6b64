"""Evaluating: what 10,000 questions cost beside searching for them."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from eval.bench.spec import WORK, Bench, Case, Clock, Contender, Measure, Values

ABOUT = """\
`evaluate_retrieval` of a BEIR folder of random words (2,000 documents) whose vectors are kept from a run before: the
whole, the searching in it, and the rest (reading, eight measures for each question, intervals). Beside it pytrec_eval,
which computes the same measures from ranked lists that lie ready, without intervals."""


def _folder(case: Case) -> Path:
    return WORK / "evaluation" / str(case.settings["questions"])


def _prepare(case: Case) -> None:
    folder = _folder(case)
    if (folder / "ready").exists():
        return
    from scripts.measure_evaluation import write_dataset

    shutil.rmtree(folder, ignore_errors=True)
    (folder / "set").mkdir(parents=True)
    write_dataset(folder / "set", case.settings["questions"])
    _evaluated(folder)  # keeps the vectors
    (folder / "ready").touch()


def _evaluated(folder: Path) -> Any:
    from ragkit.config.schema import Config
    from ragkit.evaluate.retrieval import evaluate_retrieval

    report, _ = evaluate_retrieval(Config(), folder / "set", cache=folder / "cache")
    return report


def ragkit(case: Case, clock: Clock) -> Values:
    from ragkit.evaluate import retrieval

    ranked: Any = retrieval.ranked_documents
    lists: dict[str, Any] = {}

    def timed(*arguments: Any) -> Any:
        with clock("search"):
            return ranked(*arguments)

    retrieval.ranked_documents = timed
    with clock("seconds"):
        report = _evaluated(_folder(case))
    del lists
    return {
        "rest": clock.seconds["seconds"] - clock.seconds["search"],
        "ndcg": report["metrics"]["ndcg@10"],
        "questions": report["queries"],
    }


def bare(case: Case, clock: Clock) -> Values:
    import pytrec_eval  # pyright: ignore

    rows = (_folder(case) / "set" / "qrels" / "test.tsv").read_text(encoding="utf-8").splitlines()[1:]
    wanted: dict[str, dict[str, int]] = {}
    for row in rows:
        question, document, score = row.split("\t")
        wanted.setdefault(question, {})[document] = int(score)
    # A hundred documents for each question, the right one somewhere among them.
    found = {
        question: {f"d{(number * 31 + place) % 2000}": 1.0 / (1 + place) for place in range(100)}
        for number, question in enumerate(wanted)
    }
    measures = {"ndcg_cut.1,3,5,10", "recall.5,10,20,100", "map", "recip_rank", "P.10"}
    with clock("rest"):
        evaluator: Any = pytrec_eval.RelevanceEvaluator(wanted, measures)  # pyright: ignore
        scores: Any = evaluator.evaluate(found)
        sum(each["ndcg_cut_10"] for each in scores.values())
    return {"questions": len(wanted)}


EVALUATION = Bench(
    "evaluation",
    "Evaluating",
    ABOUT,
    (
        Measure("seconds", "seconds"),
        Measure("search", "searching, s"),
        Measure("rest", "the rest, s"),
        Measure("peak_mb", "peak memory, MB"),
        Measure("questions", "questions", None),
    ),
    {
        "ragkit": Contender("ragkit", ragkit, "`evaluate_retrieval`, hybrid, no reranker"),
        "bare": Contender("pytrec_eval alone", bare, "`RelevanceEvaluator.evaluate`", floor=True),
    },
    lambda quick: [Case(f"{count:,} questions", {"questions": count}) for count in ((500,) if quick else (10_000,))],
    _prepare,
    minutes=20,
    plot=("rest",),
)
