"""Confidence: falls with weaker evidence, and is 0 without any."""

from __future__ import annotations

import pytest

from ragkit.config.schema import Generation, Refusal
from ragkit.generate.answerability import confidence, features, least_confidence, scaled
from ragkit.types import Chunk, ScoredChunk, Stage, StageScore


def result(text: str, cosine: float | None, number: int = 0) -> ScoredChunk:
    chunk = Chunk(f"chunk-{number}", "d", text, 0, len(text), 10, {"source_document": "a.md"})
    stages: dict[Stage, StageScore] = {"sparse": StageScore(1, 3.0)}
    if cosine is not None:
        stages["dense"] = StageScore(1, cosine)
    return ScoredChunk(chunk, 1.0, stages)


def test_nothing_retrieved_is_no_confidence() -> None:
    assert confidence("What is the mass of the hub?", []) == 0.0


def test_evidence_that_matches_passes_and_other_matter_does_not() -> None:
    question = "What is the mass of the Kelvane hub?"
    near = [
        result("The Kelvane hub has a mass of 620 g.", 0.75),
        *(result("Ports and cables.", 0.2, n) for n in (1, 2)),
    ]
    far = [result("Invoices are due after thirty days.", 0.08), result("Ports and cables.", 0.07, 1)]
    assert confidence(question, near) > least_confidence(Generation(reader=None)) > confidence(question, far)


@pytest.mark.parametrize("cosine", [0.2, 0.4, 0.6])
def test_confidence_grows_with_the_cosine(cosine: float) -> None:
    question = "How long is the warranty?"
    assert confidence(question, [result("The warranty is two years.", cosine)]) < confidence(
        question, [result("The warranty is two years.", cosine + 0.2)]
    )


def test_a_missing_name_or_number_lowers_the_coverage() -> None:
    text = "Release 3.2 of Kelvane serves 64 nodes."
    assert features("How many nodes does Kelvane 3.2 serve?", [result(text, 0.5)])[3] == 1.0
    assert features("How many nodes does Kelvane 4.7 serve?", [result(text, 0.5)])[3] == 0.5


def test_sparse_only_retrieval_still_has_a_confidence() -> None:
    assert 0.0 < confidence("How long is the warranty?", [result("The warranty is two years.", None)]) < 1.0


def test_a_scale_of_the_config_moves_the_chance_that_decides() -> None:
    assert scaled(0.4, Refusal()) == 0.4
    assert scaled(0.4, Refusal(intercept=1.0)) > 0.4 > scaled(0.4, Refusal(intercept=-1.0))
    assert scaled(0.0, Refusal(intercept=5.0)) == 0.0
    assert 0 < scaled(1.0, Refusal(slope=3.0)) <= 1
