from __future__ import annotations

from pathlib import Path

import pytest

from ragkit.errors import ParseError, RagkitError
from ragkit.evaluate.cases import Case, Evidence, read_csv, read_jsonl


def jsonl(tmp_path: Path, *rows: str) -> Path:
    path = tmp_path / "questions.jsonl"
    path.write_text("\n".join(rows), encoding="utf-8")
    return path


def test_a_row_holds_question_answers_and_places(tmp_path: Path) -> None:
    row = (
        '{"id": 7, "question": "How hot?", "answers": ["40 °C", "forty degrees"], "segment": "limits",'
        ' "evidence": [{"document": "a.pdf", "page": 2, "quote": "at 40 °C"},'
        ' {"document": "b.md", "start": 3, "end": 9}]}'
    )
    assert read_jsonl(jsonl(tmp_path, row)) == [
        Case(
            id="7",
            question="How hot?",
            answers=("40 °C", "forty degrees"),
            segment="limits",
            evidence=(
                Evidence(document="a.pdf", pages=(2,), quote="at 40 °C"),
                Evidence(document="b.md", start=3, end=9),
            ),
        )
    ]


def test_a_row_without_an_id_is_named_by_its_line(tmp_path: Path) -> None:
    cases = read_jsonl(jsonl(tmp_path, "", '{"question": "One?"}', '{"question": "Two?"}'))
    assert [case.id for case in cases] == ["line-2", "line-3"]


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ("{", "not JSON"),
        ("[1]", "not a JSON object"),
        ('{"answers": ["x"]}', "question: field required"),
        ('{"question": " "}', "the question is empty"),
        ('{"question": "x", "answer": ["y"]}', "unknown key answer; did you mean answers?"),
        ('{"question": "x", "answers": "y"}', "answers: input should be a valid array"),
        ('{"question": "x", "answerable": "no"}', "answerable: input should be a valid boolean"),
        ('{"question": "x", "answerable": false, "answers": ["y"]}', "neither answers nor evidence"),
        (
            '{"question": "x", "evidence": [{"document": "a", "qoute": "y"}]}',
            "unknown key evidence.0.qoute; did you mean quote?",
        ),
        ('{"question": "x", "evidence": [{"document": "a", "page": 0}]}', "greater than or equal to 1"),
        ('{"question": "x", "evidence": [{"document": "a", "start": 5}]}', "start and end belong together"),
        ('{"question": "x", "evidence": [{"document": "a", "start": 5, "end": 2}]}', "end comes behind start"),
        ('{"question": "x", "attack": "rude"}', "attack: input should be"),
    ],
)
def test_a_wrong_row_is_named_by_file_line_and_key(tmp_path: Path, row: str, said: str) -> None:
    path = jsonl(tmp_path, '{"id": "first", "question": "fine?"}', row)
    with pytest.raises(ParseError) as error:
        read_jsonl(path)
    assert f"{path}:2: " in str(error.value)
    assert said in str(error.value)


def test_an_id_is_used_once(tmp_path: Path) -> None:
    row = '{"id": "a", "question": "x"}'
    with pytest.raises(ParseError, match=r"questions.jsonl:2: id 'a' was already used in line 1"):
        read_jsonl(jsonl(tmp_path, row, row))


def test_a_file_without_questions_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(RagkitError, match="holds no question"):
        read_jsonl(jsonl(tmp_path, ""))
    with pytest.raises(RagkitError, match="cannot read"):
        read_jsonl(tmp_path / "none.jsonl")


def test_a_table_gives_the_same_cases(tmp_path: Path) -> None:
    path = tmp_path / "questions.csv"
    path.write_text(
        "id,question,answers,document,page,quote,answerable\n"
        'a,"How hot,\nat most?",40 °C | forty degrees,a.pdf,2,at 40 °C,yes\n'
        "b,Who?,,,,,no\n",
        encoding="utf-8-sig",
    )
    assert read_csv(path) == [
        Case(
            id="a",
            question="How hot,\nat most?",
            answers=("40 °C", "forty degrees"),
            evidence=(Evidence(document="a.pdf", pages=(2,), quote="at 40 °C"),),
        ),
        Case(id="b", question="Who?", answerable=False),
    ]


def test_a_table_may_name_characters_and_several_places(tmp_path: Path) -> None:
    path = tmp_path / "questions.csv"
    path.write_text(
        "question,document_2,quote_2,document,start,end,document_10\n"
        "How hot?,b.md,so hot,a.md,3,8,c.md\n"
        "Who?,,,d.md,,,\n"
    )
    first, second = read_csv(path)
    assert first.evidence == (
        Evidence(document="a.md", start=3, end=8),
        Evidence(document="b.md", quote="so hot"),
        Evidence(document="c.md"),
    )
    assert second.evidence == (Evidence(document="d.md"),)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("question,page\nx,two\n", "valid integer"),
        ("question\nx,y\n", "more cells than the first line names columns"),
        ("question,answerable\nx,perhaps\n", "answerable: input should be a valid boolean"),
        ("question,segmnet\nx,y\n", "did you mean segment?"),
        ("question,page\nx,3\n", "document: field required"),
    ],
)
def test_a_wrong_table_is_named_by_line(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "questions.csv"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ParseError) as error:
        read_csv(path)
    assert f"{path}:2: " in str(error.value)
    assert said in str(error.value)
