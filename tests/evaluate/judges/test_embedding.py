"""The judge that compares embeddings, by the default model."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from ragkit.config.schema import Embedding
from ragkit.errors import ServiceError
from ragkit.evaluate.judges import Exhibit, Judge, JudgeSettings, make_judge

SETTINGS = JudgeSettings(kind="embedding")
EVIDENCE = ("The battery lasts 10 hours at 20 degrees.", "It was built in Bremen by a shipyard.")


@pytest.fixture(scope="module")
def judge() -> Judge:
    return make_judge(SETTINGS, Embedding())


def support(judge: Judge, answer: str, evidence: Sequence[str] = EVIDENCE) -> float:
    [judgement] = judge.judge(Exhibit("?", answer, tuple(evidence), ("10 hours",)))
    assert judgement.judge == "embedding.support"
    assert judgement.score is not None
    return judgement.score


@pytest.mark.integration
def test_rewording_is_supported_and_something_else_is_not(judge: Judge) -> None:
    [measure] = judge.measures
    assert support(judge, "At 20 degrees you get ten hours out of the battery.") >= measure.yes_from
    assert support(judge, "A shipyard in Bremen built it. The battery lasts 10 hours.") >= measure.yes_from
    assert support(judge, "Cats sleep most of the day.") < 0.3
    assert support(judge, EVIDENCE[0]) == pytest.approx(1.0, abs=1e-5)


@pytest.mark.integration
def test_a_sentence_that_the_model_cannot_read_whole_is_read_in_parts(judge: Judge) -> None:
    row = "| " + " | ".join(f"value {number}" for number in range(400)) + " |"
    assert support(judge, row, [row]) == pytest.approx(1.0, abs=1e-5)
    # The end of the row is read too: it is nearer than what has nothing to do with it.
    assert support(judge, "value 399", [row]) > support(judge, "value 399", ["7" * 3000]) + 0.1


@pytest.mark.integration
def test_no_evidence_and_no_words(judge: Judge) -> None:
    assert support(judge, "It lasts.", []) == 0.0
    assert support(judge, "...") == 0.0


def test_the_version_is_that_of_the_model() -> None:
    versions = {make_judge(SETTINGS, Embedding(query_prefix=prefix)).version for prefix in ("", "", "query: ")}
    assert len(versions) == 2


class Vectors:
    """Stands for an embedding service: unit vectors by the letters of a text, or a fault."""

    def __init__(self, fault: bool = False) -> None:
        self.fault = fault

    def embed_passages(self, texts: Sequence[str]) -> NDArray[np.float32]:
        if self.fault:
            raise ServiceError("no server")
        rows = [[1.0] + [text.lower().count(letter) - 1.0 for letter in "etaoin"] for text in texts]
        return np.array([np.array(row) / np.linalg.norm(row) for row in rows], dtype=np.float32)

    def embed_question(self, text: str) -> NDArray[np.float32]:
        return self.embed_passages([text])[0]

    def embed_questions(self, texts: Sequence[str]) -> NDArray[np.float32]:
        return self.embed_passages(texts)


@given(st.text(), st.lists(st.text(), max_size=3))
def test_scores_lie_between_0_and_1_and_come_again(answer: str, evidence: list[str]) -> None:
    judge = make_judge(SETTINGS, Embedding(), Vectors())
    assert 0.0 <= support(judge, answer, evidence) <= 1.0
    assert support(judge, answer, evidence) == support(judge, answer, evidence)


def test_what_the_service_raises_is_the_reason() -> None:
    [judgement] = make_judge(SETTINGS, Embedding(), Vectors(fault=True)).judge(Exhibit("?", "10 hours.", EVIDENCE))
    assert (judgement.score, judgement.reason) == (None, "no server")
