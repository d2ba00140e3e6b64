"""The served store: a collection of a Qdrant server, through `qdrant-client` (extra `qdrant`).

The same contract, vectors and filters as the embedded store, with two differences. Changes are visible at
once, so whoever replaces a document writes its new chunks first and deletes the stale ones after. And deleted
points count in the idf until the server's optimizer sweeps them out, in its own time.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import numpy as np

from ragkit.config.schema import Bm25, Cluster, Filter, Store, StoredVectors
from ragkit.errors import ConfigError, MissingExtra, StoreError
from ragkit.store import LEAST_DEPTH, Hit, QuestionWeights, WeightedTerms, oversampling
from ragkit.store.bm25 import Bm25Encoder
from ragkit.store.filters import All, Clause, Kind, Match, Not, Range, clause_of, payload_key
from ragkit.store.payload import from_payload, has_none, is_point_id, sparse_of, splade_by_id, to_payload, vectors_by_id
from ragkit.store.served_faults import foreign, missing, wrong_dimensions
from ragkit.types import Chunk

try:
    from qdrant_client import QdrantClient, models

    from ragkit.store.qdrant_faults import explained
except ModuleNotFoundError as error:
    raise MissingExtra("qdrant_client", "qdrant") from error

if TYPE_CHECKING:
    from numpy.typing import NDArray

_T = TypeVar("_T")

_DENSE, _SPARSE, _SPLADE = "dense", "bm25", "splade"
# A point is some 10 kB of JSON, and 100 kB at the worst; the server takes 32 MB in a request.
_UPSERT_BATCH = 100
_PAGE = 256
_MOST_INDEXED_FIELDS = 64
_INDEXES: tuple[tuple[Kind, models.PayloadSchemaType], ...] = (
    ("s", models.PayloadSchemaType.KEYWORD),
    ("n", models.PayloadSchemaType.FLOAT),
    ("b", models.PayloadSchemaType.KEYWORD),
    ("t", models.PayloadSchemaType.FLOAT),
)


@dataclass(slots=True)
class _Collection:
    """What was read of the collection at its first use: dimensions and indexed payload fields."""

    dimensions: int
    indexed: set[str]


class QdrantStore:
    """Reader and writer over one collection, which is made with the first vectors and empty until then.

    Methods raise StoreError if the server is out of reach, refuses, or holds another kind of collection.
    """

    def __init__(
        self, config: Store, bm25: Bm25, client: QdrantClient | None = None, splade: QuestionWeights | None = None
    ) -> None:
        """`client` stands in for the connection of `config`. Raises ConfigError without a usable `url`."""
        self._config = config
        self._name = config.collection
        self._bm25 = Bm25Encoder(bm25)
        self._splade = splade
        self._client = client or _connect(config)
        cluster = config.cluster
        # As keywords only where they are set: a client without a server takes none of them.
        self._reading: dict[str, Any] = {} if cluster.consistency is None else {"consistency": _consistency(cluster)}
        self._writing: dict[str, Any] = (
            {} if cluster.ordering is None else {"ordering": models.WriteOrdering(cluster.ordering)}
        )
        self._collection: _Collection | None = None

    def search(
        self,
        limit: int,
        vector: NDArray[np.float32] | None = None,
        text: str | WeightedTerms | None = None,
        filters: Sequence[Filter] = (),
    ) -> tuple[list[Hit], list[Hit]]:
        indices, values = self._bm25.question(text) if text is not None else ([], [])
        if self._known() is None or limit < 1:
            return [], []
        condition = _condition(filters)
        requests: list[models.QueryRequest] = []
        if vector is not None:
            self._check_dimensions(len(vector))
            rescored = oversampling(self._config.vectors, limit)
            quantized = models.QuantizationSearchParams(rescore=True, oversampling=rescored) if rescored else None
            params = models.SearchParams(hnsw_ef=max(LEAST_DEPTH, limit), quantization=quantized)
            requests.append(
                models.QueryRequest(query=vector.tolist(), using=_DENSE, limit=limit, filter=condition, params=params)
            )
        if indices:
            query = models.SparseVector(indices=indices, values=values)
            requests.append(models.QueryRequest(query=query, using=_SPARSE, limit=limit, filter=condition))
        if not requests:
            return [], []
        with explained(self._config):
            answers = self._client.query_batch_points(self._name, requests, **self._reading)
        found = [[Hit(str(point.id), point.score) for point in answer.points] for answer in answers]
        return found[0] if vector is not None else [], found[-1] if indices else []

    def search_splade(self, limit: int, text: str, filters: Sequence[Filter] = ()) -> list[Hit]:
        if self._splade is None or self._known() is None or limit < 1:
            return []
        indices, values = sparse_of(self._splade(text))
        if not indices:
            return []
        query = models.SparseVector(indices=indices, values=values)
        with explained(self._config):
            found = self._client.query_points(
                self._name,
                query=query,
                using=_SPLADE,
                limit=limit,
                query_filter=_condition(filters),
                with_payload=False,
                **self._reading,
            )
        return [Hit(str(point.id), point.score) for point in found.points]

    def chunks(self, chunk_ids: Sequence[str]) -> dict[str, Chunk]:
        known = [chunk_id for chunk_id in chunk_ids if is_point_id(chunk_id)]
        if not known or self._known() is None:
            return {}
        with explained(self._config):
            records = self._client.retrieve(self._name, known, with_payload=True, **self._reading)
        return {str(record.id): _chunk(record) for record in records}

    def vectors(self, chunk_ids: Sequence[str]) -> dict[str, NDArray[np.float32]]:
        known = [chunk_id for chunk_id in chunk_ids if is_point_id(chunk_id)]
        if not known or self._known() is None:
            return {}
        with explained(self._config):
            records = self._client.retrieve(
                self._name, known, with_payload=False, with_vectors=[_DENSE], **self._reading
            )
        return _dense_vectors(records)

    def chunks_of(self, document_id: str) -> list[Chunk]:
        chunks = [_chunk(record) for record in self._scroll(_of_documents([document_id]))]
        return sorted(chunks, key=lambda chunk: (chunk.start, chunk.end))

    def vectors_of(self, document_id: str) -> dict[str, NDArray[np.float32]]:
        return _dense_vectors(self._scroll(_of_documents([document_id]), vector=_DENSE))

    def splade_of(self, document_id: str) -> dict[str, NDArray[np.float32]]:
        if self._splade is None:
            return {}
        records = self._scroll(_of_documents([document_id]), vector=_SPLADE)
        return splade_by_id(((record.id, record.vector) for record in records), _SPLADE)

    def count(
        self,
        filters: Sequence[Filter] = (),
        document_id: str | None = None,
        vector: Literal["dense", "bm25", "splade"] | None = None,
    ) -> int:
        parts: list[Any] = [] if document_id is None else [_of_documents([document_id])]
        if vector is not None:
            parts.append(models.HasVectorCondition(has_vector=vector))
        filtered = _condition(filters)
        condition = models.Filter(must=[*parts, *([filtered] if filtered else [])])
        if self._known() is None:
            return 0
        with explained(self._config):
            return self._client.count(self._name, condition, exact=True).count

    def close(self) -> None:
        self._client.close()

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
        collection = self._known() or self._create(vectors.shape[1])
        self._check_dimensions(vectors.shape[1])
        for batch in _batches(list(zip(chunks, vectors, rows, strict=True)), _UPSERT_BATCH):
            points: list[models.PointStruct] = []
            for chunk, vector, row in batch:
                payload = to_payload(chunk)
                self._index_fields(collection, payload)
                given: dict[str, Any] = {} if has_none(vector) else {_DENSE: vector.tolist()}
                given |= self._sparse(chunk, average_length)
                if row is not None and row.size:
                    tokens, weights = sparse_of(row)
                    given[_SPLADE] = models.SparseVector(indices=tokens, values=weights)
                points.append(models.PointStruct(id=chunk.id, vector=given, payload=payload))
            with explained(self._config):
                self._client.upsert(self._name, points, wait=True, **self._writing)

    def delete_documents(self, document_ids: Sequence[str], keep: Mapping[str, Sequence[str]] | None = None) -> None:
        if not document_ids or self._known() is None:
            return
        kept: list[Any] = [chunk_id for chunk_ids in (keep or {}).values() for chunk_id in chunk_ids]
        must_not: list[Any] | None = [models.HasIdCondition(has_id=kept)] if kept else None
        condition = models.Filter(must=[_of_documents(document_ids)], must_not=must_not)
        with explained(self._config):
            self._client.delete(self._name, models.FilterSelector(filter=condition), wait=True, **self._writing)

    def reweigh(self, average_length: float) -> None:
        for chunks in _batches(self.iter_chunks(), _PAGE):
            sparse = [(chunk.id, self._sparse(chunk, average_length)) for chunk in chunks]
            points = [models.PointVectors(id=chunk_id, vector=given) for chunk_id, given in sparse if given]
            if points:
                with explained(self._config):
                    self._client.update_vectors(self._name, points, wait=True, **self._writing)

    def iter_chunks(self) -> Iterator[Chunk]:
        for record in self._scroll(None):
            yield _chunk(record)

    def finish(self) -> None:
        """Nothing to do: every write was waited for, and the server optimizes by itself."""

    def drop(self) -> None:
        """Delete the collection, if there is one and ragkit made it."""
        if self._known() is not None:
            with explained(self._config):
                self._client.delete_collection(self._name)
            self._collection = None

    def exists(self) -> bool:
        """Whether the collection is there."""
        return self._known() is not None

    def missing(self) -> StoreError:
        """The error of a collection that is not there."""
        return missing(self._config)

    def _known(self) -> _Collection | None:
        """The collection, or None as long as there is none. Once seen, its disappearance is an error."""
        if self._collection is None:
            with explained(self._config):
                if not self._client.collection_exists(self._name):
                    return None
                info = self._client.get_collection(self._name)
            dense, sparse = info.config.params.vectors, info.config.params.sparse_vectors
            held = dense.get(_DENSE) if isinstance(dense, dict) else None
            if held is None or _SPARSE not in (sparse or {}):
                raise foreign(self._config)
            self._collection = _Collection(held.size, {_bare(key) for key in info.payload_schema})
        return self._collection

    def _create(self, dimensions: int) -> _Collection:
        dense = _dense_params(dimensions, self._config.vectors)
        sparse = {_SPARSE: models.SparseVectorParams(modifier=models.Modifier.IDF)}
        if self._splade is not None:
            sparse[_SPLADE] = models.SparseVectorParams()
        with explained(self._config):
            self._client.create_collection(
                self._name,
                vectors_config={_DENSE: dense},
                sparse_vectors_config=sparse,
                shard_number=self._config.cluster.shards,
                replication_factor=self._config.cluster.replicas,
                write_consistency_factor=self._config.cluster.write_replicas,
            )
        self._collection = _Collection(dimensions, set())
        self._index_field(self._collection, "document_id", models.PayloadSchemaType.KEYWORD)
        return self._collection

    def _check_dimensions(self, given: int) -> None:
        if self._collection is not None and self._collection.dimensions != given:
            raise wrong_dimensions(self._config, self._collection.dimensions, given)

    def _sparse(self, chunk: Chunk, average_length: float) -> dict[str, Any]:
        """No vector at all for a chunk without terms, so that the idf does not count it."""
        indices, weights = self._bm25.document(chunk.indexed_text, average_length)
        return {_SPARSE: models.SparseVector(indices=indices, values=weights)} if indices else {}

    def _index_fields(self, collection: _Collection, payload: Mapping[str, Any]) -> None:
        for kind, schema in _INDEXES:
            for name in payload.get(kind, {}):
                # Filters on further fields stay exact and only lose speed.
                key = payload_key(kind, name)
                if _bare(key) not in collection.indexed and len(collection.indexed) < _MOST_INDEXED_FIELDS:
                    self._index_field(collection, key, schema)

    def _index_field(self, collection: _Collection, key: str, schema: models.PayloadSchemaType) -> None:
        with explained(self._config):
            self._client.create_payload_index(self._name, key, schema, wait=True)
        collection.indexed.add(_bare(key))

    def _scroll(self, condition: models.Filter | None, vector: str | None = None) -> Iterator[models.Record]:
        offset: Any = None
        vectors = [vector] if vector else False
        while self._known() is not None:
            with explained(self._config):
                records, offset = self._client.scroll(
                    self._name,
                    condition,
                    limit=_PAGE,
                    offset=offset,
                    with_payload=True,
                    with_vectors=vectors,
                    **self._reading,
                )
            yield from records
            if offset is None:
                return


def _consistency(cluster: Cluster) -> Any:
    asked = cluster.consistency
    return asked if isinstance(asked, int) or asked is None else models.ReadConsistencyType(asked)


def _dense_vectors(records: Iterable[models.Record]) -> dict[str, NDArray[np.float32]]:
    return vectors_by_id(((record.id, record.vector) for record in records), _DENSE)


def _chunk(record: models.Record) -> Chunk:
    return from_payload(str(record.id), record.payload or {})


def _connect(config: Store) -> QdrantClient:
    if not config.url:
        raise ConfigError(
            "ingestion.store.url is missing for backend qdrant", mend="set it, e.g. to http://localhost:6333"
        )
    key = config.api_key.get_secret_value() if config.api_key else None
    # The client's own check of the server's version prints where ragkit would raise.
    return QdrantClient(url=config.url, api_key=key, timeout=math.ceil(config.timeout_s), check_compatibility=False)


def _dense_params(dimensions: int, kept: StoredVectors) -> models.VectorParams:
    quantized: models.ScalarQuantization | models.BinaryQuantization | None = None
    if kept == "scalar":
        scalar = models.ScalarQuantizationConfig(type=models.ScalarType.INT8, always_ram=True)
        quantized = models.ScalarQuantization(scalar=scalar)
    elif kept == "binary":
        quantized = models.BinaryQuantization(binary=models.BinaryQuantizationConfig(always_ram=True))
    on_disk = None if kept == "memory" else True
    return models.VectorParams(
        size=dimensions, distance=models.Distance.COSINE, on_disk=on_disk, quantization_config=quantized
    )


def _batches(items: Iterable[_T], size: int) -> Iterator[list[_T]]:
    rest = iter(items)
    while batch := list(islice(rest, size)):
        yield batch


def _bare(key: str) -> str:
    # The server gives the quotes back only where a name needs them.
    return key.replace('"', "")


def _of_documents(document_ids: Sequence[str]) -> models.Filter:
    wanted = models.MatchAny(any=list(document_ids))
    return models.Filter(must=[models.FieldCondition(key="document_id", match=wanted)])


def _condition(filters: Sequence[Filter]) -> models.Filter | None:
    clause = clause_of(filters)
    return None if clause is None else models.Filter(must=[_translate(clause)])


def _translate(clause: Clause) -> models.Filter | models.FieldCondition | models.HasIdCondition:
    if isinstance(clause, Match):
        return models.FieldCondition(key=clause.key, match=models.MatchAny(any=list(clause.values)))
    if isinstance(clause, Range):
        bounds = models.Range(gt=clause.gt, gte=clause.gte, lt=clause.lt, lte=clause.lte)
        return models.FieldCondition(key=clause.key, range=bounds)
    if isinstance(clause, Not):
        return models.Filter(must_not=[_translate(clause.part)])
    parts: list[Any] = [_translate(part) for part in clause.parts]
    if isinstance(clause, All):
        return models.Filter(must=parts)
    # An empty `should` would let everything through, where "any of nothing" lets nothing through.
    return models.Filter(should=parts) if parts else models.Filter(must=[models.HasIdCondition(has_id=[])])
