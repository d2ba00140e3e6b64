"""What a batch reads, and what it keeps of answers over runs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ragkit.batch.questions import AnswersFile, BatchQuestion, read_questions
from ragkit.errors import ConfigError, ParseError

QUESTIONS = [BatchQuestion("a", "How hot?"), BatchQuestion("b", "How long?"), BatchQuestion("c", "How far?")]
HASH = "0123456789abcdef"


def test_a_text_file_has_a_question_on_each_line_named_by_its_number(tmp_path: Path) -> None:
    file = tmp_path / "questions.txt"
    file.write_text("How hot?\n\n  How long?  \n", encoding="utf-8")
    assert read_questions(file) == [BatchQuestion("1", "How hot?"), BatchQuestion("3", "How long?")]


def test_json_lines_name_their_questions(tmp_path: Path) -> None:
    file = tmp_path / "questions.jsonl"
    file.write_text('{"id": "x", "question": "How hot?"}\n{"question": "How long?"}\n', encoding="utf-8")
    assert read_questions(file) == [BatchQuestion("x", "How hot?"), BatchQuestion("2", "How long?")]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('{"question": "a"}\n{"id": "1", "question": "b"}', "questions.jsonl:2: id '1'"),
        ('{"question": " "}', "questions.jsonl:1: no question"),
        ('{"id": ["x"], "question": "a"}', "questions.jsonl:1: id"),
        ("no json", "questions.jsonl:1: not JSON"),
    ],
)
def test_a_line_that_is_no_question_is_named(tmp_path: Path, text: str, says: str) -> None:
    file = tmp_path / "questions.jsonl"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(ParseError) as error:
        read_questions(file)
    assert says in str(error.value)


def test_answers_are_taken_up_and_errors_asked_again(tmp_path: Path) -> None:
    path = tmp_path / "answers.jsonl"
    with AnswersFile(path, HASH, QUESTIONS) as answers:
        answers.add(QUESTIONS[1], {"answer": "10 hours", "config_hash": HASH})
        answers.add_error(QUESTIONS[0], "the server is down")
        assert list(answers.left) == ["a", "c"]
    with AnswersFile(path, HASH, QUESTIONS) as answers:
        assert list(answers.left) == ["a", "c"]
        assert [json.loads(line)["id"] for line in path.read_text().splitlines()] == ["b"]


@given(cut=st.integers(0, 400))
def test_a_file_that_is_cut_off_anywhere_is_taken_up_by_its_whole_lines(
    tmp_path_factory: pytest.TempPathFactory, cut: int
) -> None:
    path = tmp_path_factory.mktemp("batch") / "answers.jsonl"
    with AnswersFile(path, HASH, QUESTIONS) as answers:
        for question in QUESTIONS:
            answers.add(question, {"answer": "äöü", "config_hash": HASH})
    whole = path.read_bytes()
    path.write_bytes(whole[:cut])
    lines = whole[:cut].count(b"\n")
    with AnswersFile(path, HASH, QUESTIONS) as answers:
        assert len(answers.left) == len(QUESTIONS) - lines
        for question in list(answers.left.values()):
            answers.add(question, {"answer": "äöü", "config_hash": HASH})
    assert path.read_bytes() == whole


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ({"id": "a", "question": "How hot?", "config_hash": "another"}, "another config"),
        ({"id": "a", "question": "How cold?", "config_hash": HASH}, "another question"),
        ({"id": "z", "question": "How hot?", "config_hash": HASH}, "another question"),
        ({"text": "somebody's notes"}, "no file of answers"),
    ],
)
def test_a_file_of_something_else_is_left_as_it_is(tmp_path: Path, row: dict[str, str], says: str) -> None:
    path = tmp_path / "answers.jsonl"
    path.write_text(json.dumps(row) + "\n")
    before = path.read_bytes()
    with pytest.raises(ConfigError, match=says):
        AnswersFile(path, HASH, QUESTIONS)
    assert path.read_bytes() == before


def test_two_runs_do_not_write_to_one_file(tmp_path: Path) -> None:
    path = tmp_path / "answers.jsonl"
    with AnswersFile(path, HASH, QUESTIONS), pytest.raises(ConfigError, match="another run"):
        AnswersFile(path, HASH, QUESTIONS)
