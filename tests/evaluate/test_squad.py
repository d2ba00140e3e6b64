from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ragkit.errors import ParseError, RagkitError
from ragkit.evaluate.cases import Evidence
from ragkit.evaluate.squad import read_squad


def written(tmp_path: Path, *questions: dict[str, Any]) -> Path:
    path = tmp_path / "set.json"
    paragraph = {"context": "It lasts 8 hours.", "qas": list(questions)}
    path.write_text(json.dumps({"version": "v2.0", "data": [{"title": "Battery", "paragraphs": [paragraph]}]}))
    return path


def test_paragraphs_become_documents_and_answers_places(tmp_path: Path) -> None:
    answers = [{"text": "8 hours", "answer_start": 9}, {"text": "8", "answer_start": 9}]
    path = written(tmp_path, {"id": "q", "question": " How long? ", "answers": answers})
    found = read_squad(path, tmp_path / "out" / "set.jsonl")
    (case,), documents = found.cases, found.documents
    assert documents is not None
    assert found.notes == ()
    assert (case.question, case.answers, case.answerable) == ("How long?", ("8 hours", "8"), True)
    assert case.evidence == (
        Evidence(document="set.jsonl#0-0", start=9, end=10),
        Evidence(document="set.jsonl#0-0", start=9, end=16),
    )
    assert documents.stat().st_mode & 0o777 == 0o600
    row = json.loads(documents.read_text(encoding="utf-8"))
    assert row == {"id": "0-0", "text": "It lasts 8 hours.", "metadata": {"title": "Battery"}}


def test_an_impossible_question_is_unanswerable(tmp_path: Path) -> None:
    answers = [{"text": "8 hours", "answer_start": 9}]
    impossible = {"id": 1, "question": "How hot?", "answers": answers, "is_impossible": True}
    (case,) = read_squad(written(tmp_path, impossible), tmp_path / "set.jsonl").cases
    assert (case.id, case.answerable, case.answers, case.evidence) == ("1", False, (), ())


@pytest.mark.parametrize("start", [2, 4000])
def test_an_answer_that_stands_elsewhere_keeps_its_text_and_is_told(tmp_path: Path, start: int) -> None:
    question = {"id": "q", "question": "How long?", "answers": [{"text": "8 hours", "answer_start": start}]}
    found = read_squad(written(tmp_path, question), tmp_path / "set.jsonl")
    (case,) = found.cases
    assert "1 answers do not stand at their characters" in found.notes[0]
    assert (case.answers, case.evidence) == (("8 hours",), (Evidence(document="set.jsonl#0-0"),))


def test_an_id_that_is_used_again_gets_a_number(tmp_path: Path) -> None:
    question = {"id": "q", "question": "How long?"}
    cases = read_squad(written(tmp_path, question, question), tmp_path / "set.jsonl").cases
    assert [case.id for case in cases] == ["q", "q-2"]


def test_numbers_of_ids_make_none_of_the_others(tmp_path: Path) -> None:
    questions = [{"id": identity, "question": "How long?"} for identity in ("q", "q", "q-2", "q", "q-2")]
    ids = [case.id for case in read_squad(written(tmp_path, *questions), tmp_path / "set.jsonl").cases]
    assert ids == ["q", "q-3", "q-2", "q-4", "q-2-2"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{}", "data: field required"),
        ("[", "invalid JSON"),
        ('{"data": [{"paragraphs": [{"context": "x", "qas": [{"id": "", "question": "y"}]}]}]}', "at least 1"),
        ('{"data": [{"paragraphs": [{"context": "x", "qas": [{"id": "q", "question": " "}]}]}]}', "pattern"),
        ('{"data": [{"paragraphs": [{}]}]}', "context: field required"),
    ],
)
def test_a_file_of_another_form_is_refused(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "set.json"
    path.write_text(text)
    with pytest.raises(ParseError, match="not in SQuAD's form") as error:
        read_squad(path, tmp_path / "set.jsonl")
    assert said.lower() in str(error.value).lower()


def test_a_file_without_questions_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(RagkitError, match="holds no question"):
        read_squad(written(tmp_path), tmp_path / "set.jsonl")
