"""A judge that compares meanings by the embedding model of the config: sees rewording, is blind to details."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ragkit.config.schema import Embedding
from ragkit.embed import Embedder, make_token_counter
from ragkit.errors import RagkitError
from ragkit.evaluate.judges import Measure, asked, failures
from ragkit.evaluate.judges.exhibit import RULES, Exhibit, sentences, source_of, version_of
from ragkit.evaluate.judges.settings import JudgeSettings
from ragkit.evaluate.record import Judgement

if TYPE_CHECKING:
    from ragkit.embed.tokens import TokenCounter

# For all-MiniLM-L6-v2, from BEGIN's dev part: scripts/measure_judges.py --tune. Other models spread their cosines
# otherwise, so that only the order of scores means the same for them.
SUPPORT_FROM = 0.69


class EmbeddingJudge:
    """`support`: how near the evidence comes to what the answer says.

    Formula::

        support = mean over the answer's sentences s of max(0, max over the evidence's sentences e of cos(s, e))

    A sentence that the model cannot read whole is compared in parts. Without evidence, support is 0. Limits: a wrong
    figure or name, or a "not", hardly moves a cosine.
    """

    name = "embedding"

    def __init__(self, settings: JudgeSettings, embedding: Embedding, embedder: Embedder) -> None:
        every = {"support": Measure("embedding.support", SUPPORT_FROM)}
        self.measures = tuple(every[name] for name in settings.wanted)
        self.version = version_of(source_of(*RULES, __name__), embedding_version(embedding))
        self._config = embedding
        self._embedder = embedder
        self._counter: TokenCounter | None = None

    def judge(self, exhibit: Exhibit) -> Sequence[Judgement]:
        try:
            score, reason = self._support(exhibit)
        except RagkitError as error:
            return failures(asked(self.measures, exhibit), str(error))
        return [Judgement(judge=measure.name, score=score, reason=reason) for measure in asked(self.measures, exhibit)]

    def _support(self, exhibit: Exhibit) -> tuple[float, str]:
        said = self._readable(exhibit.answer)
        evidence = [sentence for text in exhibit.evidence for sentence in self._readable(text)]
        if not said or not evidence:
            return 0.0, "there is no evidence" if said else "the answer has no words"
        cosines = self._embedder.embed_passages(said) @ self._embedder.embed_passages(evidence).T
        nearest = cosines.max(axis=1).clip(0.0, 1.0)
        worst = int(nearest.argmin())
        reason = f"least backed: {' '.join(said[worst].split())}" if nearest[worst] < SUPPORT_FROM else ""
        return float(nearest.astype("float64").mean()), reason

    def _readable(self, text: str) -> list[str]:
        """The sentences, those that are longer than the model's window in parts."""
        counter = self._counter = self._counter or make_token_counter(self._config)
        room = counter.window - counter.special_tokens - counter.count(self._config.passage_prefix)
        return [part for sentence in sentences(text) for part in _fitting(sentence, counter, room)]


def _fitting(text: str, counter: TokenCounter, room: int) -> list[str]:
    """The text, halved at white space near its middle until each part has at most so many tokens."""
    if counter.count(text) <= room or len(text) < 2:
        return [text]
    middle = len(text) // 2
    space = text.rfind(" ", middle // 2, middle) + 1
    cut = space or middle
    return [*_fitting(text[:cut], counter, room), *_fitting(text[cut:], counter, room)]


def embedding_version(embedding: Embedding) -> str:
    """What decides on the vectors, as text."""
    fields = {"backend", "model", "dimensions", "query_prefix", "passage_prefix", "base_url"}
    return embedding.model_dump_json(include=fields)
