"""What the retrievers found for the queries of one question, and how it becomes one ranking."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ragkit.config.schema import Filter, Retrieval
from ragkit.embed import Embedder
from ragkit.retrieve.fusion import Fused, fuse, join
from ragkit.retrieve.query_transforms import Query
from ragkit.store import Hit, StoreReader

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Lists:
    """For each query what each retriever found, best first; empty lists for a retriever that was not asked.

    `sparse` are those of BM25; `splade` is empty where `retrieval.sparse` leaves SPLADE out.
    """

    dense: tuple[list[Hit], ...]
    sparse: tuple[list[Hit], ...]
    splade: tuple[list[Hit], ...] = ()

    def joined(self, retrieval: Retrieval) -> tuple[list[Hit], list[Hit], list[Hit]]:
        """One list by meaning, one of BM25 and one of SPLADE: of each query the first `candidates`, joined by the
        configured fusion."""
        dense, sparse, splade = (
            join([hits[: retrieval.candidates] for hits in lists], retrieval.fusion) if lists else []
            for lists in (self.dense, self.sparse, self.splade)
        )
        return dense, sparse, splade


def embed_query(query: Query, embedder: Embedder) -> NDArray[np.float32]:
    """The vector to search with: of the text, or the mean of it and that of the imagined passage, as in HyDE."""
    import numpy as np

    vector = embedder.embed_question(query.text)
    if not query.imagined:
        return vector
    both = np.stack([vector, embedder.embed_passages([query.imagined])[0]])
    return np.asarray((both / np.linalg.norm(both, axis=1, keepdims=True)).mean(axis=0), dtype=np.float32)


def search(
    queries: Sequence[Query],
    vectors: Sequence[NDArray[np.float32] | None],
    store: StoreReader,
    limit: int,
    conditions: Sequence[Filter],
    *,
    by_words: bool,
) -> Lists:
    """The best `limit` chunks for each query, by meaning where it has a vector and by words if asked for."""
    found = [
        store.search(limit, vector, query.text if by_words else None, conditions)
        for query, vector in zip(queries, vectors, strict=True)
    ]
    return Lists(tuple(dense for dense, _ in found), tuple(sparse for _, sparse in found))


def search_splade(
    queries: Sequence[Query], store: StoreReader, limit: int, conditions: Sequence[Filter]
) -> tuple[list[Hit], ...]:
    """The best `limit` chunks for each query by SPLADE."""
    return tuple(store.search_splade(limit, query.text, conditions) for query in queries)


def by_bm25(retrieval: Retrieval) -> bool:
    """Whether the strategy has a list of BM25."""
    return retrieval.strategy != "dense" and retrieval.sparse != "splade"


def by_splade(retrieval: Retrieval) -> bool:
    """Whether the strategy has a list of SPLADE."""
    return retrieval.strategy != "dense" and retrieval.sparse != "bm25"


def ranking(dense: Sequence[Hit], sparse: Sequence[Hit], retrieval: Retrieval, splade: Sequence[Hit] = ()) -> Fused:
    """The chunks of the lists that the strategy uses, best first."""
    if retrieval.strategy == "dense":
        return [(hit.chunk_id, hit.score) for hit in dense]
    used = [hits for hits, asked in ((sparse, by_bm25(retrieval)), (splade, by_splade(retrieval))) if asked]
    if retrieval.strategy == "hybrid":
        return fuse(dense, used[0], retrieval.fusion, *used[1:])
    return [(hit.chunk_id, hit.score) for hit in join([[*hits] for hits in used], retrieval.fusion)]


def enough(retrieval: Retrieval, *, reranks: bool) -> int:
    """How many chunks a retriever has to give for the results: `candidates`, or, of a list that is alone and is ranked
    by itself, only those that go on.

    >>> enough(Retrieval(), reranks=False), enough(Retrieval(strategy="dense"), reranks=False)
    (200, 10)
    """
    alone = retrieval.strategy == "dense" or (retrieval.strategy == "sparse" and retrieval.sparse != "both")
    ranked_again = retrieval.feedback.method != "none" or retrieval.neighbours.method != "none"
    if not alone or ranked_again or retrieval.transforms:
        return retrieval.candidates
    return min(retrieval.candidates, kept_by_fusion(retrieval, reranks=reranks))


def kept_by_fusion(retrieval: Retrieval, *, reranks: bool) -> int:
    """How many chunks of the fused list go on: to the reranker, to be diversified, or as results."""
    return retrieval.reranking.candidates if reranks else _results(retrieval)


def kept_by_rerank(retrieval: Retrieval) -> int:
    """How many chunks a reranker leaves."""
    return min(retrieval.reranking.top_n or _results(retrieval), _results(retrieval))


def _results(retrieval: Retrieval) -> int:
    """How many chunks the last stage but the diversifying one hands on."""
    mmr = retrieval.diversity.method == "mmr"
    return max(retrieval.top_k, retrieval.diversity.candidates) if mmr else retrieval.top_k
