"""scripts/measure_judges.py on a made-up set."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.evaluate.judges.conftest import ChatServer

ROOT = Path(__file__).parents[3]
SCRIPT = ROOT / "scripts" / "measure_judges.py"


@pytest.fixture
def data(tmp_path: Path) -> Path:
    begin = [
        {
            "part": part,
            "evidence": f"Engine {number} runs for {number} hours.",
            "message": "How long?",
            "response": f"Engine {number} runs for {number} hours." if number % 2 else "I love it, my dad has one.",
            "label": "Fully attributable" if number % 2 else "Not fully attributable",
        }
        for number in range(10, 20)
        for part in ("dev", "test")
    ]
    generic = {**begin[0], "part": "test", "label": "Generic"}
    squad = [
        {
            "id": str(number),
            "title": "Engines",
            "passage": f"Engine {number} runs for {number} hours in Bremen.",
            "question": question,
            "answers": answers,
            "answerable": True,
        }
        for number in range(10, 20)
        for question, answers in (("How long?", [f"{number} hours", f"for {number} hours"]), ("Where?", ["Bremen"]))
    ]
    files: dict[str, list[dict[str, Any]]] = {
        "begin-groundedness": [*begin, generic],
        "squad-train": squad,
        "squad-test": squad,
    }
    for name, rows in files.items():
        with gzip.open(tmp_path / f"{name}.jsonl.gz", "wt") as file:
            file.writelines(json.dumps(row) + "\n" for row in rows)
    return tmp_path


def measure(*arguments: str | Path) -> str:
    done = subprocess.run(
        [sys.executable, str(SCRIPT), *map(str, arguments)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


def cells(printed: str, measure: str, of_set: str) -> list[str]:
    rows = [[cell.strip() for cell in line.strip("│").split("│")] for line in printed.splitlines()]
    return next(row for row in rows if row[:2] == [measure, of_set])


@pytest.mark.integration
def test_agreement_of_the_lexical_judge(data: Path) -> None:
    printed = measure(data, "--judge", "lexical")
    # Of the test part, without what people called generic.
    expected = ["10", "0", "0.50", "0.50", "1.000 (1.000 to 1.000)", "1.000 (1.000 to 1.000)"]
    assert cells(printed, "lexical.support", "BEGIN")[2:8] == expected
    assert cells(printed, "lexical.correctness", "SQuAD answers")[2:8] == expected
    # Both answers stand in the passage.
    assert cells(printed, "lexical.support", "SQuAD answers")[6].startswith("0.000")


@pytest.mark.integration
def test_thresholds_are_looked_for_on_the_tuning_parts(data: Path) -> None:
    assert cells(measure(data, "--judge", "lexical", "--tune"), "lexical.support", "BEGIN")[2:4] == ["10", "0.50"]


@pytest.mark.integration
def test_failures_of_a_model_are_counted_and_a_second_run_asks_nothing(data: Path, chat_server: ChatServer) -> None:
    def reply(request: dict[str, Any]) -> str:
        said = request["messages"][1]["content"]
        return "no JSON" if "Engine 13" in said else json.dumps({"reason": "", "grounded": "love" not in said})

    chat_server.reply = reply
    arguments = ["--judge", "llm", "--model", "m", "--base-url", chat_server.url, "--set", "BEGIN"]
    first = measure(data, *arguments, "--cache", data / "judgements.sqlite", "--concurrency", "2")
    assert cells(first, "llm.groundedness", "BEGIN")[2:6] == ["9", "1", "0.44", "0.44"]
    assert "llm.groundedness, BEGIN: 1 x the reply is no JSON: no JSON" in first
    asked = len(chat_server.requests)
    again = measure(data, *arguments, "--cache", data / "judgements.sqlite")
    assert asked == len(chat_server.requests) == 10
    assert cells(again, "llm.groundedness", "BEGIN")[:8] == cells(first, "llm.groundedness", "BEGIN")[:8]
