"""Rows of the sources become questions over a corpus of pieces."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from ragkit.errors import ParseError
from ragkit.train.data import PIECE_WORDS, iter_sets, read_set, sentences_as_questions, write_sets

LONG = " ".join(f"Sentence {number} says nothing of any use to anybody at all." for number in range(30))


def written(path: Path, *rows: dict[str, Any]) -> Path:
    with gzip.open(path, "wt", encoding="utf-8") as file:
        file.writelines(json.dumps(row) + "\n" for row in rows)
    return path


def test_the_piece_that_holds_the_answer_is_right_and_the_others_are_wrong(tmp_path: Path) -> None:
    row = {"title": "Salt", "passage": f"{LONG} Salt boils at 1465 degrees. {LONG}", "answers": ["1465 degrees"]}
    rows = [
        {**row, "question": "When does salt boil?", "answerable": True},
        {**row, "question": "Who eats salt?", "answerable": False},
        {**row, "question": "How hot is that?", "answerable": True},
    ]
    found = read_set(written(tmp_path / "squad.jsonl.gz", *rows), "squad-train")
    assert [example.question for example in found.examples] == ["When does salt boil?", "How hot is that?"]
    first, second = found.examples
    assert first.positive == second.positive  # one corpus, each piece once
    assert first.barred == ()
    assert "1465 degrees" in found.passages[first.positive]
    assert all(passage.startswith("Salt\n") for passage in found.passages)
    assert all(len(passage.split()) <= PIECE_WORDS + 1 for passage in found.passages)


def test_other_pieces_of_an_unlabelled_passage_are_barred(tmp_path: Path) -> None:
    row = {"title": "Gout", "passage": f"{LONG} {LONG}", "question": "What is gout ?"}
    found = read_set(written(tmp_path / "medquad.jsonl.gz", row), "medquad")
    (example,) = found.examples
    assert example.positive == 0
    assert example.barred == tuple(range(1, len(found.passages)))


def test_labelled_sentences_say_which_pieces_answer(tmp_path: Path) -> None:
    sentences = [f"Sentence {number} is {'long ' * 60}." for number in range(5)]
    row = {"title": "T", "sentences": sentences, "question": "q", "answers": [4]}
    found = read_set(written(tmp_path / "selqa.jsonl.gz", row), "selqa")
    assert "Sentence 4" in found.passages[found.examples[0].positive]
    assert found.examples[0].barred == ()


def test_a_question_that_names_no_title_stays_within_it(tmp_path: Path) -> None:
    row = {"title": "Inn", "passage": "Yes, pets are welcome.", "question": "Are pets welcome?"}
    found = read_set(written(tmp_path / "dstc9.jsonl.gz", row), "dstc9-faq")
    assert found.examples[0].within == "Inn"


def test_a_row_that_is_no_row_says_where(tmp_path: Path) -> None:
    path = written(tmp_path / "medquad.jsonl.gz", {"title": "Gout", "question": "What?"})
    with pytest.raises(ParseError, match=r"medquad\.jsonl\.gz:1"):
        read_set(path, "medquad")


def test_sets_are_read_as_they_were_written(tmp_path: Path) -> None:
    rows = [{"title": f"T{n}", "passage": f"{LONG} Number {n}.", "question": f"What of {n}?"} for n in range(3)]
    one = read_set(written(tmp_path / "medquad.jsonl.gz", *rows), "medquad")
    asked = sentences_as_questions([one], 100, seed=0)
    write_sets([one, asked], tmp_path / "sets.json.gz")
    assert list(iter_sets(tmp_path / "sets.json.gz")) == [one, asked]


def test_a_sentence_asks_for_the_rest_of_its_passage(tmp_path: Path) -> None:
    rows = [{"title": f"T{n}", "passage": LONG.replace("use", f"use {n}"), "question": "What?"} for n in range(3)]
    one = read_set(written(tmp_path / "medquad.jsonl.gz", *rows), "medquad")
    asked = sentences_as_questions([one], 4, seed=0)
    assert len(asked.examples) == 4
    for example in asked.examples:
        assert example.question not in asked.passages[example.positive]
        assert asked.passages[example.positive].startswith(example.group)
    assert sentences_as_questions([one], 4, seed=0) == asked
