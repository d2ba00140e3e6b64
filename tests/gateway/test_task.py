"""The task of a question, on questions of which none is among the examples; another person wrote them."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest

from ragkit.config.schema import Embedding
from ragkit.embed import make_embedder
from ragkit.errors import ServiceError
from ragkit.gateway.task import TASKS, TaskGuesser, examples
from tests.gateway.routed import embedder

UNSEEN = Path(__file__).parent / "task_questions.jsonl"


@pytest.fixture(scope="module")
def guesser() -> TaskGuesser:
    return TaskGuesser(embedder())


@pytest.mark.parametrize(
    ("question", "task"),
    [
        ("Summarise the service manual in five sentences.", "summarisation"),
        ("Write a Python script that logs the pressure of the pump.", "code"),
        ("Is this complaint an electrical or a mechanical fault?", "classification"),
        ("Why does the pump lose pressure when it is cold?", "reasoning"),
        ("What is the maximum pressure of the pump?", "extraction"),
    ],
)
def test_the_same_pump_is_asked_about_in_five_ways(guesser: TaskGuesser, question: str, task: str) -> None:
    assert guesser.guess(question) == task


def test_nine_in_ten_unseen_questions_are_guessed_rightly(guesser: TaskGuesser) -> None:
    rows = [json.loads(line) for line in UNSEEN.read_text(encoding="utf-8").splitlines()]
    right = Counter(row["task"] for row in rows if guesser.guess(row["question"]) == row["task"])
    assert right.total() >= 0.88 * len(rows)
    assert min(right[task] for task in TASKS) >= 0.65 * len(rows) / len(TASKS)
    assert {row["question"] for row in rows}.isdisjoint(examples()[0])


def test_after_a_failure_nothing_is_guessed_for_a_while() -> None:
    away = Embedding.model_validate({"backend": "openai", "model": "m", "base_url": "http://127.0.0.1:9/v1"})
    guesser = TaskGuesser(make_embedder(away))
    with pytest.raises(ServiceError):
        guesser.guess("How hot?")
    assert guesser.guess("How hot?") is None


@pytest.mark.parametrize("question", ["", "?", "🙂", "word " * 5000])
def test_any_text_has_some_task(guesser: TaskGuesser, question: str) -> None:
    assert guesser.guess(question) in TASKS
