"""BM25 in memory by the `rank_bm25` package: the reference that the stores' sparse search is checked against.

`BM25Okapi` has the term weights of `ragkit.store.bm25` and another idf, ln((N - n + 0.5) / (n + 0.5)). That
is negative for a term in more than half of the chunks; the package then puts a quarter of the mean idf in its
place. Here the idf is Lucene's ln(1 + (N - n + 0.5) / (n + 0.5)), never negative and without a floor, as in
the stores. N counts the chunks with at least one term, as the stores do. Terms are those of `Bm25Encoder`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from rank_bm25 import BM25Okapi  # pyright: ignore[reportUnknownVariableType]

from ragkit.config.schema import Bm25
from ragkit.store import Hit
from ragkit.store.bm25 import Bm25Encoder, rounded_average_length
from ragkit.types import Chunk


class RankBm25:
    """All chunks in memory, scored one by one against each question: exact, and only for small corpora."""

    def __init__(self, chunks: Sequence[Chunk], config: Bm25, average_length: float | None = None) -> None:
        """`average_length` is the mean number of terms in a chunk; None takes an index's own, rounded one."""
        self._encoder = Bm25Encoder(config)
        counted = [(chunk.id, self._encoder.terms(chunk.indexed_text)) for chunk in chunks]
        total = sum(sum(terms.values()) for _, terms in counted)
        average = rounded_average_length(total, len(chunks)) if average_length is None else average_length
        filled = [(chunk_id, terms) for chunk_id, terms in counted if terms]
        self._ids = [chunk_id for chunk_id, _ in filled]
        words = [[term for term, count in terms.items() for _ in range(count)] for _, terms in filled]
        self._scorer: Any = _LuceneIdf(words, k1=config.k1, b=config.b) if words else None
        if words:
            self._scorer.avgdl = max(average, 1.0)

    def search(self, text: str, limit: int) -> list[Hit]:
        """The best `limit` chunks that share a term with the text; equal scores in the order of ids."""
        if self._scorer is None:
            return []
        scores: list[float] = self._scorer.get_scores(sorted(self._encoder.terms(text))).tolist()
        hits = [Hit(chunk_id, score) for chunk_id, score in zip(self._ids, scores, strict=True) if score > 0]
        return sorted(hits, key=lambda hit: (-hit.score, hit.chunk_id))[:limit]


class _LuceneIdf(BM25Okapi):  # pyright: ignore[reportUntypedBaseClass]
    def _calc_idf(self, nd: Mapping[int, int]) -> None:
        chunks: int = self.corpus_size
        self.idf: dict[int, float] = {
            term: math.log(1 + (chunks - holding + 0.5) / (holding + 0.5)) for term, holding in nd.items()
        }
