"""Does another index find what this one finds? The questions of a suite, asked of both, before one takes the other's
place.

Only retrieval is compared, with one config but for what the indexes were built with: answers follow from it, and cost
more. A question counts where one of the two has a labelled place; one that neither has says nothing of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ragkit.embed import Embedder
from ragkit.errors import ConfigError, RagkitError
from ragkit.evaluate.cases import Case
from ragkit.evaluate.examine import conditions_of
from ragkit.evaluate.gold import Gold, GoldFinder
from ragkit.evaluate.stage_metrics import Places, stage_metrics
from ragkit.evaluate.statistics import Interval, paired_difference
from ragkit.evaluate.summary import ENOUGH_ALIKE
from ragkit.ingest.blue_green import Side
from ragkit.rerank import Reranker
from ragkit.retrieve.retriever import retrieve

MEASURES = ("ndcg@10", "recall@10")
"""Of labelled places, each counted once, at the first chunk that holds it: that compares chunks of any size."""
MARGIN = 0.05
"""The difference that `ragkit eval compare` takes for relevant too."""
_DEPTH = 10


@dataclass(frozen=True, slots=True)
class Gain:
    """A measure in the old index and in the new one, and the mean of new - old over the questions with its interval."""

    measure: str
    old: float
    new: float
    interval: Interval


@dataclass(frozen=True, slots=True)
class Comparison:
    """Both indexes on the same questions; each gain's lower bound must not lie below -`margin`."""

    gains: tuple[Gain, ...]
    questions: int
    documents: int
    margin: float

    @property
    def holds(self) -> bool:
        return all(gain.interval.low >= -self.margin for gain in self.gains)


class NotShown(RagkitError):
    """The new index is not shown to find as much as the old one."""

    def __init__(self, comparison: Comparison) -> None:
        worst = min(comparison.gains, key=lambda gain: gain.interval.low)
        super().__init__(
            f"the new index is not shown to find as much as the old one: {worst.measure} {worst.old:.3f} → "
            f"{worst.new:.3f}, a difference of {worst.interval.mean:+.3f} ({worst.interval.low:+.3f} to "
            f"{worst.interval.high:+.3f}), and {-comparison.margin:+.3f} is the least allowed; the old one stays",
            mend="more questions make the interval narrower; --margin allows more",
        )
        self.comparison = comparison


class IndexComparison:
    """Compares by these questions; `old` and `new` are the models that the questions are embedded with.

    Raises ConfigError where no question has labels.
    """

    def __init__(
        self,
        cases: Sequence[Case],
        old: Embedder,
        new: Embedder,
        reranker: Reranker | None = None,
        *,
        margin: float = MARGIN,
        seed: int = 0,
    ) -> None:
        self._cases = [case for case in cases if case.evidence]
        if not self._cases:
            raise ConfigError("no question of the suite says where its answer stands", mend="label some: evidence")
        self._embedders = old, new
        self._reranker = reranker
        self._margin, self._seed = margin, seed
        self.comparison: Comparison | None = None

    def verify(self, old: Side, new: Side) -> None:
        """Compare, and keep it as `comparison`. Raises NotShown, and RagkitError for questions that show nothing."""
        golds = [self._gold(side) for side in (old, new)]
        held = [{number for number, places in enumerate(gold) if any(each.chunks for each in places)} for gold in golds]
        usable = sorted(held[0] | held[1])
        clusters = [self._cases[number].cluster for number in usable]
        if len(set(clusters)) < ENOUGH_ALIKE:
            raise RagkitError(
                f"the suite shows too little of this index: it holds labelled places of {len(usable)} questions about "
                f"{len(set(clusters))} documents",
                mend=f"use a suite with questions about {ENOUGH_ALIKE} documents of this index or more",
            )
        values = [
            self._values(side, embedder, gold, usable)
            for side, embedder, gold in zip((old, new), self._embedders, golds, strict=True)
        ]
        gains: list[Gain] = []
        for measure in MEASURES:
            first, second = ([each[measure] for each in found] for found in values)
            interval = paired_difference(first, second, clusters=clusters, seed=self._seed)
            gains.append(Gain(measure, sum(first) / len(first), sum(second) / len(second), interval))
        self.comparison = Comparison(tuple(gains), len(usable), len(set(clusters)), self._margin)
        if not self.comparison.holds:
            raise NotShown(self.comparison)

    def _gold(self, side: Side) -> list[tuple[Gold, ...]]:
        finder = GoldFinder(side.manifest, side.store)
        return [finder.find(case) for case in self._cases]

    def _values(
        self, side: Side, embedder: Embedder, gold: Sequence[tuple[Gold, ...]], usable: Sequence[int]
    ) -> list[dict[str, float]]:
        places = Places(side.store)
        depth = max(_DEPTH, side.config.retrieval.top_k)
        # Transforms would need a language model; they do to one index what they do to the other.
        retrieval = side.config.retrieval.model_copy(
            update={"top_k": depth, "candidates": max(depth, side.config.retrieval.candidates), "transforms": []}
        )
        values: list[dict[str, float]] = []
        for number in usable:
            case = self._cases[number]
            found = retrieve(case.question, side.store, embedder, retrieval, self._reranker, conditions_of(case))
            ranked = [result.chunk.id for result in found.results]
            measured = stage_metrics({"fused": ranked}, gold[number], places)
            values.append({measure: measured[f"fused.chunk.{measure}"] for measure in MEASURES})
        return values
