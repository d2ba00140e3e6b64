"""The embedded store: Qdrant's engine in this process (`qdrant-edge-py`), over one folder.

The shard has no write-ahead log: a folder is written by one process, published whole (`ragkit.store.folder`) and
from then on only searched, by any number of processes at once (a log would be locked by the first of them). The engine
maps the files for writing all the same, so that every one of these processes needs the right to write them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import qdrant_edge as qe

from ragkit.config.schema import Bm25, Filter, StoredVectors
from ragkit.errors import StoreError
from ragkit.store import LEAST_DEPTH, Hit, QuestionWeights, WeightedTerms, oversampling
from ragkit.store.bm25 import Bm25Encoder
from ragkit.store.filters import All, Clause, Kind, Match, Not, Range, clause_of, payload_key
from ragkit.store.payload import from_payload, has_none, is_point_id, sparse_of, splade_by_id, to_payload, vectors_by_id
from ragkit.types import Chunk

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_DENSE, _SPARSE, _SPLADE = "dense", "bm25", "splade"
_PAGE = 1000
_MOST_INDEXED_FIELDS = 64
# What is written or changed goes into a growing segment, which is held in memory, about 3 kB a chunk, and building an
# index over a segment takes memory with its size: both are bounded until all is published
# (`scripts/measure_core.py memory`).
_SETTLE_EVERY = 8192
_LARGEST_WHILE_WRITING_KB = 40_000
# A search looks into every segment as far as for all its results, into as many at a time as there are cores: few are
# quick to search. One that holds a changed document is made anew: small ones are quick to change. What is published is
# a few: at most so large, or with so much of all vectors (`scripts/measure_segments.py`).
_LARGEST_SEGMENT_KB, _LARGEST_SHARE = 80_000, 0.6
# The engine would hold BM25 and the indexes of fields in memory, as much as the corpus makes them.
_MAPPED = qe.Memory.Cached
_FieldIndex = type[qe.KeywordIndexParams] | type[qe.FloatIndexParams]


class EdgeStore:
    """Reader and writer over a shard folder, which is made when the first vectors come; with `splade`, for a SPLADE
    vector beside them. `vectors` is as in the config, and the same whenever a folder is opened."""

    def __init__(
        self, folder: Path, bm25: Bm25, splade: QuestionWeights | None = None, vectors: StoredVectors = "memory"
    ) -> None:
        self._folder = folder
        self._bm25 = Bm25Encoder(bm25)
        self._splade = splade
        self._kept: StoredVectors = vectors
        self._opened: qe.EdgeShard | None = None
        self._unsettled = 0
        self._in_small_segments = False
        if folder.exists():
            try:
                self._opened = qe.EdgeShard.load(str(folder))
            except Exception as error:
                raise _unopened(folder, error) from error
        schema = self._opened.info().payload_schema if self._opened else {}
        # The engine drops the quotes where a name does not need them.
        self._indexed = {key.replace('"', "") for key in schema}

    def search(
        self,
        limit: int,
        vector: NDArray[np.float32] | None = None,
        text: str | WeightedTerms | None = None,
        filters: Sequence[Filter] = (),
    ) -> tuple[list[Hit], list[Hit]]:
        shard = self._opened
        if shard is None:
            return [], []
        condition = _condition(filters)
        requests: list[qe.QueryRequest] = []
        if vector is not None:
            query = qe.Query.Nearest(vector.tolist(), using=_DENSE)
            rescored = oversampling(self._kept, limit)
            quantized = qe.QuantizationSearchParams(rescore=True, oversampling=rescored) if rescored else None
            params = qe.SearchParams(hnsw_ef=max(LEAST_DEPTH, limit), quantization=quantized)
            requests.append(_request(query, limit, condition, params))
        indices, values = self._bm25.question(text) if text is not None else ([], [])
        if indices:
            query = qe.Query.Nearest(qe.SparseVector(indices, values), using=_SPARSE)
            requests.append(_request(query, limit, condition, None))
        found = _hits(shard, requests)
        return found[0] if vector is not None else [], found[-1] if indices else []

    def search_splade(self, limit: int, text: str, filters: Sequence[Filter] = ()) -> list[Hit]:
        if self._opened is None or self._splade is None:
            return []
        indices, values = sparse_of(self._splade(text))
        if not indices:
            return []
        query = qe.Query.Nearest(qe.SparseVector(indices, values), using=_SPLADE)
        return _hits(self._opened, [_request(query, limit, _condition(filters), None)])[0]

    def chunks(self, chunk_ids: Sequence[str]) -> dict[str, Chunk]:
        if self._opened is None:
            return {}
        # The engine raises on an id that is no UUID; no chunk has such an id.
        known: list[Any] = [chunk_id for chunk_id in chunk_ids if is_point_id(chunk_id)]
        records = self._opened.retrieve(known, True, False)
        return {(name := str(record.id)): from_payload(name, record.payload or {}) for record in records}

    def vectors(self, chunk_ids: Sequence[str]) -> dict[str, NDArray[np.float32]]:
        if self._opened is None:
            return {}
        known: list[Any] = [chunk_id for chunk_id in chunk_ids if is_point_id(chunk_id)]
        return _dense_vectors(self._opened.retrieve(known, False, True))

    def chunks_of(self, document_id: str) -> list[Chunk]:
        chunks = [from_payload(str(r.id), r.payload or {}) for r in self._scroll(_of_document([document_id]))]
        return sorted(chunks, key=lambda chunk: (chunk.start, chunk.end))

    def vectors_of(self, document_id: str) -> dict[str, NDArray[np.float32]]:
        return _dense_vectors(self._scroll(_of_document([document_id]), with_vector=True))

    def splade_of(self, document_id: str) -> dict[str, NDArray[np.float32]]:
        records = self._scroll(_of_document([document_id]), with_vector=True)
        return splade_by_id(((record.id, record.vector) for record in records), _SPLADE)

    def count(
        self,
        filters: Sequence[Filter] = (),
        document_id: str | None = None,
        vector: Literal["dense", "bm25", "splade"] | None = None,
    ) -> int:
        parts: list[Any] = [] if document_id is None else [_of_document([document_id])]
        if vector is not None:
            parts.append(qe.HasVectorCondition(vector))
        filtered = _condition(filters)
        condition = qe.Filter(must=[*parts, *([filtered] if filtered else [])])
        return 0 if self._opened is None else self._opened.count(qe.CountRequest(exact=True, filter=condition))

    def close(self) -> None:
        if self._opened is not None:
            self._opened.close()
            self._opened = None

    def upsert(
        self,
        chunks: Sequence[Chunk],
        vectors: NDArray[np.float32],
        average_length: float,
        splade: Sequence[NDArray[np.float32]] | None = None,
    ) -> None:
        if not chunks:
            return
        rows = splade if splade is not None else [None] * len(chunks)
        shard = self._opened or self._create(vectors.shape[1])
        points: list[qe.Point] = []
        for chunk, vector, row in zip(chunks, vectors, rows, strict=True):
            payload = to_payload(chunk)
            self._index_fields(shard, payload)
            points.append(qe.Point(chunk.id, self._vectors(chunk, vector, average_length, row), payload))
        try:
            shard.update(qe.UpdateOperation.upsert_points(points))
        except Exception as error:
            raise StoreError(f"the index at {self._folder} refused chunks: {error}") from error
        self._settle(len(points))

    def delete_documents(self, document_ids: Sequence[str], keep: Mapping[str, Sequence[str]] | None = None) -> None:
        if not document_ids or self._opened is None:
            return
        kept = {chunk_id for chunk_ids in (keep or {}).values() for chunk_id in chunk_ids}
        must_not: list[Any] | None = [qe.HasIdCondition(set(kept))] if kept else None
        condition = qe.Filter(must=[_of_document(document_ids)], must_not=must_not)
        self._opened.update(qe.UpdateOperation.delete_points_by_filter(condition))

    def reweigh(self, average_length: float) -> None:
        batch: list[Any] = []
        for chunk in self.iter_chunks():
            indices, weights = self._bm25.document(chunk.indexed_text, average_length)
            if not indices:
                continue
            batch.append(qe.PointVectors(chunk.id, {_SPARSE: qe.SparseVector(indices, weights)}))
            if len(batch) == _PAGE:
                self._update_vectors(batch)
                batch = []
        self._update_vectors(batch)

    def iter_chunks(self) -> Iterator[Chunk]:
        for record in self._scroll(None):
            yield from_payload(str(record.id), record.payload or {})

    def _update_vectors(self, batch: list[Any]) -> None:
        if batch and self._opened is not None:
            self._opened.update(qe.UpdateOperation.update_vectors(batch))
            self._settle(len(batch))

    def finish(self) -> None:
        if self._opened is None:
            return
        largest_kb = max(_LARGEST_SEGMENT_KB, int(_LARGEST_SHARE * _kilobytes(self._opened)))
        self._opened = self._reopened(self._opened, largest_kb)
        self._in_small_segments = False
        self._write_down(self._opened)

    def _write_down(self, shard: qe.EdgeShard) -> None:
        shard.optimize()
        shard.flush()
        self._unsettled = 0

    def _settle(self, changed: int) -> None:
        """Let go of the growing segment when enough chunks have been changed since the last time."""
        self._unsettled += changed
        if self._unsettled < _SETTLE_EVERY or self._opened is None:
            return
        if not self._in_small_segments:
            self._opened = self._reopened(self._opened, _LARGEST_WHILE_WRITING_KB)
            self._in_small_segments = True
        self._write_down(self._opened)

    def _create(self, dimensions: int) -> qe.EdgeShard:
        self._folder.mkdir(parents=True)
        config = _shard_config(dimensions, self._kept, splade=self._splade is not None)
        self._opened = qe.EdgeShard.create(str(self._folder), config)
        self._in_small_segments = True
        _index_field(self._opened, "document_id", qe.KeywordIndexParams)
        return self._opened

    def _reopened(self, shard: qe.EdgeShard, largest_segment_kb: int) -> qe.EdgeShard:
        """The shard with another largest size of segments, which the engine takes only when it opens one."""
        shard.flush()
        shard.close()
        sparse = _sparse_params(splade=self._splade is not None)
        config = qe.EdgeConfig(sparse_vectors=sparse, optimizers=_optimizers(largest_segment_kb), wal_enabled=False)
        try:
            return qe.EdgeShard.load(str(self._folder), config)
        except Exception as error:
            raise _unopened(self._folder, error) from error

    def _vectors(
        self, chunk: Chunk, vector: NDArray[np.float32], average_length: float, splade: NDArray[np.float32] | None
    ) -> dict[str, Any]:
        indices, weights = self._bm25.document(chunk.indexed_text, average_length)
        vectors: dict[str, Any] = {} if has_none(vector) else {_DENSE: vector.tolist()}
        if indices:
            vectors[_SPARSE] = qe.SparseVector(indices, weights)
        if splade is not None and splade.size:
            vectors[_SPLADE] = qe.SparseVector(*sparse_of(splade))
        return vectors

    def _scroll(self, condition: qe.Filter | None, with_vector: bool = False) -> Iterator[qe.Record]:
        offset: Any = None
        while self._opened is not None:
            request = qe.ScrollRequest(
                offset=offset, limit=_PAGE, filter=condition, with_payload=True, with_vector=with_vector
            )
            records, offset = self._opened.scroll(request)
            yield from records
            if offset is None:
                return

    def _index_fields(self, shard: qe.EdgeShard, payload: Mapping[str, Any]) -> None:
        kinds: tuple[tuple[Kind, _FieldIndex], ...] = (
            ("s", qe.KeywordIndexParams),
            ("n", qe.FloatIndexParams),
            ("b", qe.KeywordIndexParams),
            ("t", qe.FloatIndexParams),
        )
        for kind, index in kinds:
            for name in payload.get(kind, {}):
                key = payload_key(kind, name)
                # Filters on further fields stay exact and only lose speed.
                if key.replace('"', "") not in self._indexed and len(self._indexed) < _MOST_INDEXED_FIELDS:
                    _index_field(shard, key, index)
                    self._indexed.add(key.replace('"', ""))


def _unopened(folder: Path, error: Exception) -> StoreError:
    # The engine knows only one kind of error; the system's number of "permission denied" is in its text.
    if "os error 13" in str(error) or "os error 30" in str(error):
        return StoreError(
            f"cannot open the index at {folder}: the engine needs to write its files, even to search",
            mend="give this user the right to write the folder and all in it (chmod -R), or copy the index to where it "
            "may write and set ingestion.store.path",
        )
    return StoreError(f"cannot open the index at {folder}: {error}", mend="run: ragkit index --rebuild")


def _index_field(shard: qe.EdgeShard, key: str, kind: _FieldIndex) -> None:
    shard.update(qe.UpdateOperation.create_field_index(key, kind(memory=_MAPPED)))


def _dense_params(dimensions: int, kept: StoredVectors) -> qe.EdgeVectorParams:
    quantized: Any = None
    if kept == "scalar":
        quantized = qe.ScalarQuantizationConfig(qe.ScalarType.Int8, memory=qe.Memory.Pinned)
    elif kept == "binary":
        quantized = qe.BinaryQuantizationConfig(memory=qe.Memory.Pinned)
    memory = None if kept == "memory" else qe.Memory.Cold
    return qe.EdgeVectorParams(
        size=dimensions, distance=qe.Distance.Cosine, memory=memory, quantization_config=quantized
    )


def _sparse_params(*, splade: bool) -> dict[str, qe.EdgeSparseVectorParams]:
    params = {_SPARSE: qe.EdgeSparseVectorParams(modifier=qe.Modifier.Idf, memory=_MAPPED)}
    return params | ({_SPLADE: qe.EdgeSparseVectorParams(memory=_MAPPED)} if splade else {})


def _kilobytes(shard: qe.EdgeShard) -> int:
    """Of all vectors, if every chunk has one."""
    having = qe.Filter(must=[qe.HasVectorCondition(_DENSE)])
    records, _ = shard.scroll(qe.ScrollRequest(limit=1, filter=having, with_vector=True))
    return sum(vector.nbytes for vector in _dense_vectors(records).values()) * shard.info().points_count // 1000


def _optimizers(largest_segment_kb: int) -> qe.EdgeOptimizersConfig:
    # Deleted points count in a segment's idf until they are swept out, so sweep always.
    return qe.EdgeOptimizersConfig(
        deleted_threshold=0.0, vacuum_min_vector_number=0, max_segment_size=largest_segment_kb
    )


def _shard_config(dimensions: int, kept: StoredVectors, *, splade: bool) -> qe.EdgeConfig:
    return qe.EdgeConfig(
        vectors={_DENSE: _dense_params(dimensions, kept)},
        sparse_vectors=_sparse_params(splade=splade),
        optimizers=_optimizers(_LARGEST_WHILE_WRITING_KB),
        id_tracker_memory=_MAPPED,
        wal_enabled=False,
    )


def _hits(shard: qe.EdgeShard, requests: list[qe.QueryRequest]) -> list[list[Hit]]:
    """The hits of each request; one pass over the segments does for all."""
    if not requests:
        return []
    try:
        answers = shard.query_batch(qe.QueryBatchRequest(requests))
        return [[Hit(str(point.id), point.score) for point in points] for points in answers]
    except Exception as error:
        raise StoreError(f"the index refused the search: {error}") from error


def _request(query: Any, limit: int, condition: qe.Filter | None, params: qe.SearchParams | None) -> qe.QueryRequest:
    return qe.QueryRequest(limit=limit, query=query, filter=condition, params=params, with_payload=False)


def _dense_vectors(records: Iterable[qe.Record]) -> dict[str, NDArray[np.float32]]:
    return vectors_by_id(((record.id, record.vector) for record in records), _DENSE)


def _of_document(document_ids: Sequence[str]) -> qe.Filter:
    return qe.Filter(must=[qe.FieldCondition("document_id", match=qe.MatchAny(list(document_ids)))])


def _condition(filters: Sequence[Filter]) -> qe.Filter | None:
    clause = clause_of(filters)
    return None if clause is None else qe.Filter(must=[_translate(clause)])


def _translate(clause: Clause) -> Any:
    if isinstance(clause, Match):
        return qe.FieldCondition(clause.key, match=qe.MatchAny(list(clause.values)))
    if isinstance(clause, Range):
        bounds = qe.RangeFloat(gte=clause.gte, gt=clause.gt, lte=clause.lte, lt=clause.lt)
        return qe.FieldCondition(clause.key, range=bounds)
    if isinstance(clause, Not):
        return qe.Filter(must_not=[_translate(clause.part)])
    parts = [_translate(part) for part in clause.parts]
    if isinstance(clause, All):
        return qe.Filter(must=parts)
    # An empty `should` would let everything through, where "any of nothing" lets nothing through.
    return qe.Filter(should=parts) if parts else qe.Filter(must=[qe.HasIdCondition(set())])
