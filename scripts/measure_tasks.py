"""How often the task of a question is guessed rightly, and what words and vectors each do for it.

    python scripts/measure_tasks.py [QUERIES.jsonl ...]

On the examples of `ragkit/gateway/task_examples.jsonl` by ten-fold cross-validation, with words alone, with vectors
alone (all-MiniLM-L6-v2), and with both as ragkit does; then on `tests/gateway/task_questions.jsonl`, of which none is
among the examples, by task. For files of other questions (JSON lines with `text`) it says how many are called what.
"""

from __future__ import annotations

import argparse
import json
import random
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from ragkit.config.routing import Task
from ragkit.config.schema import Embedding
from ragkit.embed import Embedder, make_embedder
from ragkit.evaluate.statistics import share_interval
from ragkit.gateway.task import BY_VECTOR, TASKS, TaskModel, examples

UNSEEN = Path(__file__).parent.parent / "tests" / "gateway" / "task_questions.jsonl"
FOLDS = 10
WAYS = {"words": (1.0, 0.0), "vectors": (0.0, 1.0), "both": (1.0, BY_VECTOR)}


def crossed(questions: Sequence[str], tasks: Sequence[Task], embedder: Embedder, weights: tuple[float, float]) -> int:
    """How many examples are guessed rightly by models that did not see them."""
    order = random.Random(0).sample(range(len(questions)), len(questions))
    right = 0
    for fold in range(FOLDS):
        held = order[fold::FOLDS]
        others = [place for place in order if place not in set(held)]
        model = TaskModel([questions[at] for at in others], [tasks[at] for at in others], embedder, weights)
        right += sum(model.guess(questions[at]) == tasks[at] for at in held)
    return right


def in_words(right: int, of: int) -> str:
    share = share_interval(right, of)
    return f"{right} of {of}: {share.mean:.3f} ({share.low:.3f} to {share.high:.3f})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("others", type=Path, nargs="*")
    args = parser.parse_args()
    screen, embedder = Console(width=110), make_embedder(Embedding())
    questions, tasks = examples()
    table = Table(title=f"examples, {FOLDS} folds")
    for heading in ("by", "right (95%)"):
        table.add_column(heading)
    for name, weights in WAYS.items():
        table.add_row(name, in_words(crossed(questions, tasks, embedder, weights), len(questions)))
    screen.print(table)
    model = TaskModel(questions, tasks, embedder)
    rows = [json.loads(line) for line in UNSEEN.read_text(encoding="utf-8").splitlines()]
    right = Counter(row["task"] for row in rows if model.guess(row["question"]) == row["task"])
    asked = Counter(row["task"] for row in rows)
    screen.print(f"unseen: {in_words(right.total(), len(rows))}")
    screen.print(", ".join(f"{task} {right[task]} of {asked[task]}" for task in TASKS))
    for path in args.others:
        texts = [json.loads(line)["text"] for line in path.read_text(encoding="utf-8").splitlines()]
        called = Counter(model.guess(text) for text in texts)
        shares = ", ".join(f"{task} {count / len(texts):.3f}" for task, count in called.most_common())
        screen.print(f"{path}, {len(texts)} questions: {shares}")


if __name__ == "__main__":
    main()
