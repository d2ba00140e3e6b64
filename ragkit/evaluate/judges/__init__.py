"""Judges score answers where labels cannot: one protocol, each judge a module of its own.

`make_judge` gives what a suite's `judges` name; `judging.judge_all` puts records before judges and keeps every verdict.
Nothing heavy loads before the first verdict.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from ragkit.evaluate.judges.exhibit import Exhibit
from ragkit.evaluate.judges.settings import JudgeSettings
from ragkit.evaluate.record import Judgement

if TYPE_CHECKING:
    from ragkit.config.schema import Embedding
    from ragkit.embed import Embedder

__all__ = ["Exhibit", "Judge", "JudgeSettings", "Measure", "asked", "failures", "make_judge"]


@dataclass(frozen=True, slots=True)
class Measure:
    """One thing that a judge scores from 0 to 1. `yes_from` is the score from which it counts as a yes."""

    name: str
    yes_from: float = 0.5
    needs_references: bool = False
    """Given only where the case has labelled answers."""


class Judge(Protocol):
    """Scores one answer at a time. The same version must give the same verdict of the same exhibit."""

    name: str
    version: str
    """Changes with whatever may change a verdict: the prompt, the rules, the model."""
    measures: tuple[Measure, ...]

    def judge(self, exhibit: Exhibit) -> Sequence[Judgement]:
        """A judgement for each of `asked(self.measures, exhibit)`, in that order; one that failed has only a reason.

        Safe to call from several threads. Raises RagkitError only for what will fail the next exhibit too: no server,
        no such model, a refused key.
        """
        ...


def asked(measures: Sequence[Measure], exhibit: Exhibit) -> list[Measure]:
    """The measures that can be given of an exhibit: those that need labelled answers only where there are some."""
    return [measure for measure in measures if exhibit.references or not measure.needs_references]


def failures(measures: Sequence[Measure], reason: str) -> list[Judgement]:
    """Judgements that did not come about.

    >>> failures([Measure("llm.correctness")], "no JSON")
    [Judgement(judge='llm.correctness', score=None, reason='no JSON')]
    """
    return [Judgement(judge=measure.name, score=None, reason=reason) for measure in measures]


def make_judge(settings: JudgeSettings, embedding: Embedding, embedder: Embedder | None = None) -> Judge:
    """The judge of the settings. No model is loaded and no server called yet.

    Args:
        settings: One entry of a suite's `judges`.
        embedding: The embedding model that compares texts (`embedding`, and ragas's answer relevancy).
        embedder: That model if it is loaded already.

    Raises:
        ConfigError: A key is missing, or no header can carry it.
        MissingExtra: The package of the judge is not installed.
    """
    from ragkit.embed import make_embedder

    if settings.kind == "lexical":
        from ragkit.evaluate.judges.lexical import LexicalJudge

        return LexicalJudge(settings)
    if settings.kind == "embedding":
        from ragkit.evaluate.judges.embedding import EmbeddingJudge

        return EmbeddingJudge(settings, embedding, embedder or make_embedder(embedding))
    if settings.kind == "llm":
        from ragkit.evaluate.judges.llm import LlmJudge

        return LlmJudge(settings)
    from ragkit.evaluate.judges.ragas import RagasJudge

    return RagasJudge(settings, embedding, embedder or make_embedder(embedding))
