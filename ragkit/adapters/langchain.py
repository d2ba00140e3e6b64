"""LangChain over ragkit: a retriever over a whole system, and a vector store over an index of its own.

    from ragkit.adapters.langchain import RagkitRetriever, RagkitVectorStore

    RagkitRetriever(rag=Ragkit.from_config("ragkit.yaml"), k=5).invoke("How hot does the oven get?")
    RagkitVectorStore.from_texts(["salt", "oven"], embeddings, path=".ragkit/langchain").similarity_search("oven", k=1)

Needs `pip install 'ragkit[langchain]'`.
"""

from __future__ import annotations

import json
import threading
import uuid
from collections.abc import Generator, Iterable, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import numpy as np
from langchain_core.callbacks import AsyncCallbackManagerForRetrieverRun, CallbackManagerForRetrieverRun
from langchain_core.documents import Document
from langchain_core.embeddings import Embeddings
from langchain_core.retrievers import BaseRetriever
from langchain_core.vectorstores import VectorStore
from pydantic import ConfigDict

from ragkit.config.schema import Bm25, Config, Filter, Ingestion, Retrieval, Store
from ragkit.errors import ConfigError
from ragkit.gateway.ledger import NOBODY, Payer
from ragkit.retrieve.lists import ranking
from ragkit.store.bm25 import Bm25Encoder, rounded_average_length
from ragkit.store.folder import writer_lock
from ragkit.store.open import Edit, NoIndex, Snapshot, editing, open_snapshot
from ragkit.system import Ragkit
from ragkit.types import Chunk, ScoredChunk

_WAIT_S = 60.0
_OWN = "langchain"  # the metadata as they were given, beside the fields that filters read
_SPACE = uuid.UUID("9d6b1f0e-6d0a-4a52-8a0a-1b6f1f3c7d11")


class RagkitRetriever(BaseRetriever):
    """The passages that `rag.search` finds, as LangChain's documents.

    `k` is the number of them, None for the config's `retrieval.top_k`; `filters` must hold for each; `payer` is whom
    the ledger charges. A document's metadata are those of its chunk with `score`, `start` and `end`; its id is the
    chunk's.
    """

    model_config = ConfigDict(arbitrary_types_allowed=True)

    rag: Ragkit
    k: int | None = None
    filters: Sequence[Filter] = ()
    payer: Payer = NOBODY

    def _get_relevant_documents(
        self, query: str, *, run_manager: CallbackManagerForRetrieverRun, k: int | None = None
    ) -> list[Document]:
        results = self.rag.search(query, top_k=k or self.k, filters=self.filters, payer=self.payer)
        return [_found(result) for result in results]

    async def _aget_relevant_documents(
        self, query: str, *, run_manager: AsyncCallbackManagerForRetrieverRun, k: int | None = None
    ) -> list[Document]:
        results = await self.rag.asearch(query, top_k=k or self.k, filters=self.filters, payer=self.payer)
        return [_found(result) for result in results]


def _found(result: ScoredChunk) -> Document:
    chunk = result.chunk
    metadata = {**chunk.metadata, "score": result.score, "start": chunk.start, "end": chunk.end}
    return Document(page_content=chunk.text, metadata=metadata, id=chunk.id)


class RagkitVectorStore(VectorStore):
    """Documents in ragkit's embedded store, found by meaning and by words.

    The folder is written as every index of ragkit: a change is a new generation, switched by one rename, so that a kill
    leaves the old one; it costs a copy of the index, so add many documents at once. Readers, of this and of other
    processes, follow. `filter` of the searches is a `ragkit.Filter` or several, over metadata that are text, numbers or
    booleans; all metadata must be such as JSON has.

    Args:
        path: Folder of the index; made when the first documents come.
        embedding: Makes the vectors; all of one length, and not all zero.
        strategy: `hybrid`, or `dense` for meaning alone.
    """

    def __init__(self, path: str | Path, embedding: Embeddings, *, strategy: str = "hybrid") -> None:
        self._embedding = embedding
        self._retrieval = Retrieval.model_validate({"strategy": strategy})
        self._config = Config(ingestion=Ingestion(store=Store(path=Path(path))), retrieval=self._retrieval)
        self._bm25 = Bm25Encoder(Bm25())
        self._snapshot: Snapshot | None = None
        self._lock = threading.Lock()

    @property
    def embeddings(self) -> Embeddings:
        return self._embedding

    @classmethod
    def from_texts(
        cls,
        texts: list[str],
        embedding: Embeddings,
        metadatas: list[dict[str, Any]] | None = None,
        *,
        ids: list[str] | None = None,
        **kwargs: Any,
    ) -> Self:
        """A store over `path`, with these texts added. Raises ConfigError without a `path`."""
        if "path" not in kwargs:
            raise ConfigError("a store needs a folder", mend='give path=".ragkit/langchain"')
        store = cls(embedding=embedding, **kwargs)
        store.add_texts(texts, metadatas, ids=ids)
        return store

    def add_texts(
        self,
        texts: Iterable[str],
        metadatas: list[dict[str, Any]] | None = None,
        *,
        ids: list[str] | None = None,
        **kwargs: Any,
    ) -> list[str]:
        """Add texts, or replace those of the same ids, and return the ids. Raises ConfigError for metadata that JSON
        does not have, and IndexLocked when another process writes for longer than a minute."""
        contents = list(texts)
        names = [name or str(uuid.uuid4()) for name in ids or [None] * len(contents)]
        rows = zip(names, contents, metadatas or [{} for _ in contents], strict=True)
        chunks = list({chunk.id: chunk for chunk in (_chunk(*row) for row in rows)}.values())
        if not chunks:
            return names
        vectors = np.asarray(self._embedding.embed_documents([chunk.text for chunk in chunks]), dtype=np.float32)
        with self._edited() as edit:
            replaced = edit.store.chunks([chunk.id for chunk in chunks])
            average = self._weigh(edit, chunks, list(replaced.values()))
            edit.store.upsert(chunks, vectors, average)
            edit.publish()
        return names

    def delete(self, ids: list[str] | None = None, **kwargs: Any) -> bool:
        """Take out the documents of these ids, all without any; ids that are not there do no harm."""
        if self._current() is None:
            return True
        with self._edited(fresh=ids is None) as edit:
            if ids is not None:
                gone = edit.store.chunks([_point(name) for name in ids])
                self._weigh(edit, [], list(gone.values()))
                edit.store.delete_documents(ids)
            edit.publish()
        return True

    def get_by_ids(self, ids: Sequence[str], /) -> list[Document]:
        snapshot = self._current()
        if snapshot is None:
            return []
        found = snapshot.store.chunks([_point(name) for name in ids])
        return [_document(found[point]) for name in ids if (point := _point(name)) in found]

    def similarity_search(
        self, query: str, k: int = 4, *, filter: Filter | Sequence[Filter] = (), **kwargs: Any
    ) -> list[Document]:
        return [document for document, _ in self.similarity_search_with_score(query, k, filter=filter)]

    def similarity_search_with_score(
        self, query: str, k: int = 4, *, filter: Filter | Sequence[Filter] = (), **kwargs: Any
    ) -> list[tuple[Document, float]]:
        """The best `k` documents with their scores: of the fusion, 0 to 2, or cosines with `strategy="dense"`."""
        vector = np.asarray(self._embedding.embed_query(query), dtype=np.float32)
        return self._search(vector, query if self._retrieval.strategy == "hybrid" else None, k, filter)

    def similarity_search_by_vector(
        self, embedding: list[float], k: int = 4, *, filter: Filter | Sequence[Filter] = (), **kwargs: Any
    ) -> list[Document]:
        found = self._search(np.asarray(embedding, dtype=np.float32), None, k, filter)
        return [document for document, _ in found]

    def _search(
        self, vector: Any, text: str | None, k: int, conditions: Filter | Sequence[Filter]
    ) -> list[tuple[Document, float]]:
        snapshot = self._current()
        if snapshot is None:
            return []
        held = [conditions] if isinstance(conditions, Filter) else list(conditions)
        limit = max(k, self._retrieval.candidates)
        dense, sparse = snapshot.store.search(limit, vector, text, held)
        alone = self._retrieval.model_copy(update={"strategy": "dense"})
        ranked = ranking(dense, sparse, self._retrieval if text is not None else alone)[:k]
        chunks = snapshot.store.chunks([chunk_id for chunk_id, _ in ranked])
        return [(_document(chunks[chunk_id]), score) for chunk_id, score in ranked if chunk_id in chunks]

    def _current(self) -> Snapshot | None:
        """The index as it is now; None while nothing was added."""
        with self._lock:
            if self._snapshot is None or not self._snapshot.is_current():
                try:
                    self._snapshot = open_snapshot(self._config)
                except NoIndex:
                    return None
            return self._snapshot

    @contextmanager
    def _edited(self, *, fresh: bool = False) -> Generator[Edit]:
        with writer_lock(self._config.ingestion.store.path, _WAIT_S), editing(self._config, fresh=fresh) as edit:
            yield edit

    def _weigh(self, edit: Edit, new: Sequence[Chunk], gone: Sequence[Chunk]) -> float:
        """BM25's mean length of a document once these have come and gone; what stays is weighed anew where it moved."""
        terms, count = edit.manifest.meta("langchain_terms") or [0, 0]
        terms, count = terms + self._length(new) - self._length(gone), count + len(new) - len(gone)
        edit.manifest.set_meta("langchain_terms", [terms, count])
        average = rounded_average_length(terms, count)
        if edit.manifest.meta("average_length") not in (None, average):
            edit.store.reweigh(average)
        edit.manifest.set_meta("average_length", average)
        return average

    def _length(self, chunks: Sequence[Chunk]) -> int:
        return sum(sum(self._bm25.terms(chunk.text).values()) for chunk in chunks)


def _point(name: str) -> str:
    """The engine takes UUIDs only."""
    return str(uuid.uuid5(_SPACE, name))


def _chunk(name: str, text: str, metadata: dict[str, Any]) -> Chunk:
    try:
        given = json.dumps(metadata, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise ConfigError(
            f"the metadata of {name!r:.60} are not such as JSON has ({error})", mend="convert them before"
        ) from error
    plain = {key: value for key, value in metadata.items() if isinstance(value, str | int | float | bool)}
    return Chunk(_point(name), name, text, 0, len(text), 0, {**plain, "source_document": name, _OWN: given})


def _document(chunk: Chunk) -> Document:
    return Document(id=chunk.document_id, page_content=chunk.text, metadata=json.loads(str(chunk.metadata[_OWN])))
