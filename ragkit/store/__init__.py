"""Where chunks live: one contract for dense, sparse and filtered search, kept by every backend.

In `ragkit.store.open`, `open_snapshot` gives readers what no indexer can change under them, and `open_edit` gives one
writer at a time a place to work whose result appears all at once (`qdrant_edge`, and whatever is made anew) or document
by document (`qdrant`, `pgvector`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Literal, NamedTuple, Protocol

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ragkit.config.schema import Filter
    from ragkit.types import Chunk


class Hit(NamedTuple):
    """A chunk found by one retriever. Dense: cosine, -1 to 1. Sparse: BM25, 0 upwards without a bound; so SPLADE."""

    chunk_id: str
    score: float


LEAST_DEPTH = 200
"""Approximate searches look as far as for so many chunks where fewer are asked for, so that the ten of a search for ten
are the best of a search for more."""

OVERSAMPLING: Mapping[str, float] = {"scalar": 2.0, "binary": 4.0}
"""By `ingestion.store.vectors`: how many times as many chunks as were asked for are compared by their whole vectors."""


def oversampling(vectors: str, limit: int) -> float | None:
    """How many times `limit` chunks a search compares by their whole vectors; None where it compares by no others.

    >>> oversampling("binary", 400), oversampling("binary", 10), oversampling("memory", 10)
    (4.0, 80.0, None)
    """
    times = OVERSAMPLING.get(vectors)
    return None if times is None else times * max(limit, LEAST_DEPTH) / max(limit, 1)


WeightedTerms = Mapping[int, float]
"""Terms, as `Bm25Encoder` numbers them, with the weight of each in a question; a text gives each of its terms 1."""


QuestionWeights = Callable[[str], "NDArray[np.float32]"]
"""A question to its SPLADE vector, of shape (2, n): numbers of tokens, and their weights. A store that is opened with
one has such a vector for its chunks too."""


class StoreReader(Protocol):
    """Search and look-up. Results are best first; scores of the two retrievers are not comparable."""

    def search(
        self,
        limit: int,
        vector: NDArray[np.float32] | None = None,
        text: str | WeightedTerms | None = None,
        filters: Sequence[Filter] = (),
    ) -> tuple[list[Hit], list[Hit]]:
        """The best `limit` chunks by dense (`vector`) and by sparse (`text`) search; a list is empty if not asked for.

        Every filter holds for every hit. Sparse hits share at least one term with the text.
        """
        ...

    def search_splade(self, limit: int, text: str, filters: Sequence[Filter] = ()) -> list[Hit]:
        """The best `limit` chunks by the product of SPLADE weights; none if the store was opened without SPLADE.

        Every filter holds for every hit, and every hit shares at least one token with the question's vector.
        """
        ...

    def chunks(self, chunk_ids: Sequence[str]) -> dict[str, Chunk]:
        """Chunks by id; ids that are not there are left out."""
        ...

    def vectors(self, chunk_ids: Sequence[str]) -> dict[str, NDArray[np.float32]]:
        """The dense vectors of chunks by id; ids that are not there are left out."""
        ...

    def iter_chunks(self) -> Iterator[Chunk]:
        """Every chunk, in the order of ids."""
        ...

    def chunks_of(self, document_id: str) -> list[Chunk]:
        """All chunks of a document in reading order."""
        ...

    def vectors_of(self, document_id: str) -> dict[str, NDArray[np.float32]]:
        """The dense vector of each chunk of a document."""
        ...

    def splade_of(self, document_id: str) -> dict[str, NDArray[np.float32]]:
        """The SPLADE vector of each chunk of a document that has one, of shape (2, n)."""
        ...

    def count(
        self,
        filters: Sequence[Filter] = (),
        document_id: str | None = None,
        vector: Literal["dense", "bm25", "splade"] | None = None,
    ) -> int:
        """Number of chunks that meet the filters (and belong to the document, and have that vector)."""
        ...

    def close(self) -> None:
        """Free files and connections."""
        ...


class StoreWriter(StoreReader, Protocol):
    """Changes. Each is idempotent, so that work cut off by a crash can simply be done again."""

    def upsert(
        self,
        chunks: Sequence[Chunk],
        vectors: NDArray[np.float32],
        average_length: float,
        splade: Sequence[NDArray[np.float32]] | None = None,
    ) -> None:
        """Write chunks with their vectors; `average_length` is BM25's mean number of terms in a chunk.

        A row of NaN stands for no vector yet: dense search does not find that chunk until it is written again.

        `splade` has a SPLADE vector for each chunk, of shape (2, n) or (2 * n,): numbers of tokens, then weights. A
        store that was opened with SPLADE needs it.
        """
        ...

    def delete_documents(self, document_ids: Sequence[str], keep: Mapping[str, Sequence[str]] = ...) -> None:
        """Remove all chunks of these documents but those that `keep` names (chunk ids by document id)."""
        ...

    def reweigh(self, average_length: float) -> None:
        """Rewrite every BM25 vector for a new average length."""
        ...

    def finish(self) -> None:
        """Put the index in shape for search and everything on disk."""
        ...
