"""How far do judges agree with people? On BEGIN's responses, and on right and wrong answers to SQuAD's questions.

    python scripts/measure_judges.py DATA_DIR                     the judges that need no language model
    python scripts/measure_judges.py DATA_DIR --tune              thresholds, on the tuning parts only
    python scripts/measure_judges.py DATA_DIR --judge llm --model qwen2.5-coder-1.5b-instruct --backend llama_cpp \\
        --questions 30
    python scripts/measure_judges.py DATA_DIR --judge llm --judge ragas --model NAME \\
        --base-url http://localhost:8000/v1 --questions 30 --concurrency 8

DATA_DIR holds begin-groundedness.jsonl.gz, squad-train.jsonl.gz and squad-test.jsonl.gz. What is judged:
    BEGIN            a response and its one sentence of evidence; people said whether it is fully attributable (the few
                     that they called generic are left out). Tuning: part dev; reported: part test.
    SQuAD answers    a question, its paragraph, and in turn the right answer in another annotator's words, or the answer
                     to another question of the same paragraph that shares no whole spelling with it; the label that a
                     judge sees is one annotator's. Both answers stand in the paragraph, so a judge of support that does
                     not see the question can tell nothing here. Tuning: squad-train; reported: squad-test.
    SQuAD passages   a question with its paragraph, or with another of its article that has none of the answers: for the
                     measures that judge passages.
Each question is used once, chosen with a fixed seed. A score counts as a yes from the judge's own threshold on. Prints
Cohen's kappa and balanced accuracy with 95% bootstrap intervals over the items that got a score, and how many got none.
"""

from __future__ import annotations

import argparse
import gzip
import json
import random
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import SecretStr
from rich.console import Console
from rich.progress import track
from rich.table import Table

from ragkit.config.schema import Embedding
from ragkit.evaluate.agreement import balanced_accuracy, cohen_kappa
from ragkit.evaluate.judges import Exhibit, Judge, JudgeSettings, Measure, make_judge
from ragkit.evaluate.judges.cache import JudgementCache
from ragkit.evaluate.judges.judging import verdict
from ragkit.evaluate.record import Judgement
from ragkit.evaluate.statistics import Interval
from ragkit.evaluate.words import contains, tokens

SETS: dict[str, tuple[str, ...]] = {
    "BEGIN": ("support", "groundedness", "faithfulness"),
    "SQuAD answers": ("support", "groundedness", "faithfulness", "correctness", "answer_relevancy"),
    "SQuAD passages": ("context_precision", "context_recall"),
}
"""The measures that each set has labels for."""
LOCAL = ("lexical", "embedding")
WIDTH = 150


@dataclass(frozen=True, slots=True)
class Item:
    """An answer with what people said of it: yes or no."""

    exhibit: Exhibit
    label: bool


@dataclass(frozen=True, slots=True)
class Result:
    """What a judge said of the items of a set, measure by measure. `seconds` is for one item, 0 from the cache."""

    judge: Judge
    name: str
    items: Sequence[Item]
    judgements: dict[str, list[Judgement]]
    seconds: float

    def scored(self, measure: Measure) -> tuple[list[bool], list[float]]:
        """Labels and scores of the items that have a score."""
        pairs = zip(self.items, self.judgements[measure.name], strict=True)
        found = [(item.label, judgement.score) for item, judgement in pairs if judgement.score is not None]
        return [label for label, _ in found], [score for _, score in found]


def rows_of(path: Path) -> Iterator[dict[str, Any]]:
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        yield from map(json.loads, lines)


def begin(data: Path, tuning: bool) -> list[Item]:
    wanted = "dev" if tuning else "test"
    rows = [row for row in rows_of(data / "begin-groundedness.jsonl.gz") if row["part"] == wanted]
    return [
        Item(Exhibit(row["message"], row["response"], (row["evidence"],)), row["label"] == "Fully attributable")
        for row in rows
        if row["label"] != "Generic"
    ]


def squad(data: Path, tuning: bool) -> list[dict[str, Any]]:
    rows = rows_of(data / f"squad-{'train' if tuning else 'test'}.jsonl.gz")
    return [row for row in rows if row["answerable"]]


def squad_answers(rows: Sequence[dict[str, Any]], chance: random.Random) -> list[Item]:
    by_passage: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in rows:
        by_passage[row["passage"]].append(row)
    items: list[Item] = []
    for row in chance.sample(rows, len(rows)):
        spellings = list({tuple(tokens(answer)): answer for answer in row["answers"]}.values())
        wrong = [
            answer
            for sibling in by_passage[row["passage"]]
            for answer in sibling["answers"]
            if not contains(answer, row["answers"]) and not any(contains(right, [answer]) for right in row["answers"])
        ]
        if len(spellings) > 1 and wrong:
            label = len(items) % 2 == 0
            answer = chance.choice(spellings[1:] if label else wrong)
            items.append(Item(Exhibit(row["question"], answer, (row["passage"],), (spellings[0],)), label))
    return items


def squad_passages(rows: Sequence[dict[str, Any]], chance: random.Random) -> list[Item]:
    of_article: dict[str, dict[str, None]] = defaultdict(dict)
    for row in rows:
        of_article[row["title"]][row["passage"]] = None
    items: list[Item] = []
    for row in chance.sample(rows, len(rows)):
        others = [text for text in of_article[row["title"]] if not contains(text, row["answers"])]
        if others:
            label = len(items) % 2 == 0
            passage = row["passage"] if label else chance.choice(others)
            answer = row["answers"][0]
            items.append(Item(Exhibit(row["question"], answer, (passage,), (answer,)), label))
    return items


def items_of(data: Path, name: str, tuning: bool, count: int | None, seed: int) -> list[Item]:
    chance = random.Random(seed)
    if name == "BEGIN":
        items = begin(data, tuning)
        return chance.sample(items, min(count or len(items), len(items)))
    made = squad_answers if name == "SQuAD answers" else squad_passages
    return made(squad(data, tuning), chance)[:count]


def settings_of(given: argparse.Namespace, kind: str, measures: list[str]) -> JudgeSettings:
    fields: dict[str, Any] = {"kind": kind, "measures": measures}
    if kind not in LOCAL:
        key = SecretStr(given.api_key) if given.api_key else None
        fields |= {"model": given.model, "base_url": given.base_url, "api_key": key, "timeout_s": given.timeout}
        fields |= {"max_tokens": given.max_tokens, "backend": given.backend if kind == "llm" else "openai"}
        fields |= {"context_tokens": given.context_tokens}
    return JudgeSettings(**fields)


def measured(judge: Judge, name: str, items: Sequence[Item], cache: JudgementCache | None, given: Any) -> Result:
    began = time.perf_counter()

    def judged(item: Item) -> Sequence[Judgement]:
        return verdict(judge, item.exhibit, cache, retry_failed=given.retry_failed)

    with ThreadPoolExecutor(given.concurrency) as pool:
        done = list(track(pool.map(judged, items), f"{judge.name}, {name}", total=len(items), transient=True))
    seconds = (time.perf_counter() - began) / max(1, len(items))
    by_measure = {
        measure.name: [judgements[place] for judgements in done] for place, measure in enumerate(judge.measures)
    }
    return Result(judge, name, items, by_measure, seconds)


def shown(interval: Interval) -> str:
    return f"{interval.mean:.3f} ({interval.low:.3f} to {interval.high:.3f})"


def report(results: Sequence[Result]) -> Table:
    table = Table(title="Agreement with people, 95% intervals")
    for heading in (
        "measure",
        "set",
        "n",
        "failed",
        "people: yes",
        "judge: yes",
        "kappa",
        "balanced accuracy",
        "s each",
    ):
        table.add_column(heading, justify="left" if heading in ("measure", "set") else "right")
    for result in results:
        for measure in result.judge.measures:
            labels, scores = result.scored(measure)
            said = [score >= measure.yes_from for score in scores]
            figures = ["-"] * 4
            if labels:
                shares = [f"{sum(each) / len(labels):.2f}" for each in (labels, said)]
                figures = [*shares, shown(cohen_kappa(labels, said)), shown(balanced_accuracy(labels, said))]
            failed = len(result.items) - len(labels)
            row = (measure.name, result.name, str(len(labels)), str(failed), *figures, f"{result.seconds:.2f}")
            table.add_row(*row)
    return table


def thresholds(results: Sequence[Result]) -> Table:
    """For each measure the threshold with the best balanced accuracy on the tuning part, of steps of 0.01."""
    table = Table(title="Thresholds, tuning parts")
    for heading in ("measure", "set", "n", "now", "best", "balanced accuracy now", "and at the best"):
        table.add_column(heading, justify="left" if heading in ("measure", "set") else "right")
    for result in results:
        for measure in result.judge.measures:
            labels, scores = result.scored(measure)
            best = max((step / 100 for step in range(1, 101)), key=lambda at: accuracy(labels, scores, at))
            reached = [
                shown(balanced_accuracy(labels, [score >= at for score in scores])) for at in (measure.yes_from, best)
            ]
            steps = (str(len(labels)), f"{measure.yes_from:.2f}", f"{best:.2f}")
            table.add_row(measure.name, result.name, *steps, *reached)
    return table


def accuracy(labels: Sequence[bool], scores: Sequence[float], at: float) -> float:
    """Balanced accuracy without its interval, which takes too long for a hundred thresholds."""
    sides = (
        [score >= at for label, score in zip(labels, scores, strict=True) if label is side] for side in (True, False)
    )
    yes, no = (sum(side) / len(side) for side in sides)
    return (yes + 1 - no) / 2


def failures_of(results: Sequence[Result]) -> Iterator[str]:
    """What failed, the commonest reasons first."""
    for result in results:
        for name, judgements in result.judgements.items():
            reasons = Counter(each.reason for each in judgements if each.score is None)
            for reason, count in reasons.most_common(5):
                yield f"{name}, {result.name}: {count} x {reason}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--judge", action="append", choices=(*LOCAL, "llm", "ragas"))
    parser.add_argument("--set", action="append", choices=tuple(SETS), help="all if left out")
    parser.add_argument("--questions", type=int, help="of each set; all if left out")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--tune", action="store_true", help="look for thresholds, on the tuning parts")
    parser.add_argument("--model")
    parser.add_argument("--backend", choices=("openai", "llama_cpp"), default="openai", help="of the judge llm")
    parser.add_argument("--base-url")
    parser.add_argument("--api-key")
    parser.add_argument("--max-tokens", type=int)
    parser.add_argument("--context-tokens", type=int, default=4096, help="llama_cpp")
    parser.add_argument("--timeout", type=float, default=600.0, help="seconds for one score")
    parser.add_argument("--concurrency", type=int, default=1, help="items judged at once, by a server")
    parser.add_argument("--cache", type=Path, help="SQLite file that keeps the judgements")
    parser.add_argument("--retry-failed", action="store_true", help="ask again for cached judgements that failed")
    given = parser.parse_args()
    console, results = Console(width=WIDTH), list[Result]()
    with ExitStack() as stack:
        cache = stack.enter_context(JudgementCache(given.cache)) if given.cache else None
        for kind in given.judge or LOCAL:
            known = JudgeSettings(kind=kind, model="any").wanted
            for name in given.set or SETS:
                measures = [measure for measure in SETS[name] if measure in known]
                if measures:
                    judge = make_judge(settings_of(given, kind, measures), Embedding())
                    items = items_of(given.data, name, given.tune, given.questions, given.seed)
                    results.append(measured(judge, name, items, cache, given))
    console.print(thresholds(results) if given.tune else report(results))
    for line in failures_of(results):
        console.print(line, markup=False, highlight=False)


if __name__ == "__main__":
    main()
