"""What scripts/quickstart.sh asks and tells a newcomer to type next works."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from ragkit import Ragkit

pytestmark = pytest.mark.integration

ROOT = Path(__file__).parents[1]
SCRIPT = (ROOT / "scripts" / "quickstart.sh").read_text(encoding="utf-8")
QUESTIONS = re.findall(r'^\s*(?:ask|ragkit ask) "([^"$]+)"', SCRIPT, re.MULTILINE)
UNANSWERABLE = "What is the mean time between failures (MTBF) of the Hub H4?"


@pytest.fixture(scope="module")
def rag(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ragkit]:
    index = tmp_path_factory.mktemp("quickstart") / "index"
    with Ragkit.from_config(ROOT / "configs" / "quickstart.yaml", [f"ingestion.store.path={index}"]) as rag:
        report = rag.index([ROOT / "eval" / "samples"])
        assert (report.failures, report.new > 25) == ([], True)
        yield rag


def test_the_script_asks_three_questions_and_tells_of_one() -> None:
    assert len(QUESTIONS) == 4
    assert UNANSWERABLE in QUESTIONS


@pytest.mark.parametrize("question", QUESTIONS)
def test_each_question_is_answered_but_the_one_that_has_no_answer(rag: Ragkit, question: str) -> None:
    answer = rag.ask(question)
    assert answer.refused == (question == UNANSWERABLE), answer.text
    for citation in answer.citations:
        document = rag.document(citation.source_document)
        assert document is not None
        assert document.text[citation.start : citation.end] == citation.quote


def test_the_document_that_why_is_asked_about_is_found(rag: Ragkit) -> None:
    [(question, document)] = re.findall(r'ragkit why "([^"]+)" --document (\S+)', SCRIPT)
    assert rag.search(question)[0].chunk.source_document.endswith(document)
