"""The store in PostgreSQL: tables of a database with pgvector, through psycopg (extra `postgres`).

The same contract, vectors and filters as the other stores. Every change is one transaction, and a search is one
statement: it sees each change whole or not at all. As with `qdrant`, changes are visible at once, so whoever replaces a
document writes its new chunks first and deletes the stale ones after.

    <collection>           a row a chunk: payload, fields for filters, dense vector (HNSW from 10,000 chunks on)
    <collection>_words     BM25's inverted index: a row for each distinct term of a chunk, with its weight
    <collection>_splade    SPLADE vectors, compared one by one
    <collection>_totals    how many chunks have a term: N of the idf
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from ragkit.config.schema import Bm25, Filter, Store
from ragkit.errors import MissingExtra, StoreError
from ragkit.store import LEAST_DEPTH, Hit, QuestionWeights, WeightedTerms
from ragkit.store import pgvector_sql as statements
from ragkit.store.bm25 import Bm25Encoder
from ragkit.store.payload import from_payload, has_none, is_point_id, sparse_of, to_payload
from ragkit.store.pgvector_filters import KINDS, condition_of, fields_json
from ragkit.store.pgvector_sql import FEW, Tables
from ragkit.store.served_faults import foreign, missing, wrong_dimensions
from ragkit.types import Chunk

try:
    from ragkit.store.pgvector_connection import Connection, Connections
except ImportError:  # also where psycopg finds no libpq
    raise MissingExtra("psycopg", "postgres") from None

from ragkit.store.pgvector_faults import OLDEST, no_extension

if TYPE_CHECKING:
    from numpy.typing import NDArray

_INSERTED_AT_ONCE = 200
_PAGE = 1000
_MOST_HNSW_EF = 1000
_MOST_TOKENS = 1_000_000_000


class PgvectorStore:
    """Reader and writer over the tables of a collection, which are made with the first vectors and empty until then.

    Threads may share one. Methods raise StoreError if the server is out of reach, refuses, has no pgvector, or holds
    another kind of table.
    """

    def __init__(self, config: Store, bm25: Bm25, splade: QuestionWeights | None = None) -> None:
        """Raises ConfigError without a usable `url`."""
        self._config = config
        self._bm25 = Bm25Encoder(bm25)
        self._splade = splade
        self._db = Connections(config)
        self._tables = Tables(config.collection)
        self._dimensions: int | None = None

    def search(
        self,
        limit: int,
        vector: NDArray[np.float32] | None = None,
        text: str | WeightedTerms | None = None,
        filters: Sequence[Filter] = (),
    ) -> tuple[list[Hit], list[Hit]]:
        terms, shares = self._bm25.question(text) if text is not None else ([], [])
        dimensions = self._known()
        if dimensions is None or limit < 1 or (vector is None and not terms):
            return [], []
        condition, values = condition_of(filters, "fields")
        values |= {"limit": limit, "terms": terms, "shares": shares}
        if vector is not None:
            self._check_dimensions(len(vector))
            values["vector"] = _vector_text(_unit(vector))
        query = self._tables.search(
            dimensions, condition if filters else None, dense=vector is not None, sparse=bool(terms)
        )
        settings = {
            "hnsw.ef_search": min(_MOST_HNSW_EF, max(LEAST_DEPTH, limit)),
            # A condition is no reason to find fewer: the index is searched until there are enough.
            "hnsw.iterative_scan": "strict_order",
            "hnsw.max_scan_tuples": 2**31 - 1,
            "hnsw.scan_mem_multiplier": 4,
            "work_mem": "64MB",
            "jit": "off",  # compiling would take longer than the statement
        }
        lists: dict[str, list[Hit]] = {"dense": [], "sparse": []}
        for name, identity, score in self._db.rows(query, values, settings):
            lists[name].append(Hit(str(identity), score))
        return lists["dense"], lists["sparse"]

    def search_splade(self, limit: int, text: str, filters: Sequence[Filter] = ()) -> list[Hit]:
        if self._splade is None or self._known() is None or limit < 1:
            return []
        tokens, weights = sparse_of(self._splade(text))
        if not tokens:
            return []
        condition, values = condition_of(filters, "fields")
        values |= {"asked": _sparse_text(tokens, weights), "limit": limit}
        rows = self._db.rows(self._tables.sql(statements.SPLADE, condition=condition), values)
        return [Hit(str(identity), score) for identity, score in rows]

    def chunks(self, chunk_ids: Sequence[str]) -> dict[str, Chunk]:
        return {chunk.id: chunk for chunk in _chunks(self._of_ids("payload", chunk_ids))}

    def vectors(self, chunk_ids: Sequence[str]) -> dict[str, NDArray[np.float32]]:
        return _vectors(self._of_ids("embedding::real[]", chunk_ids))

    def iter_chunks(self) -> Iterator[Chunk]:
        query = "SELECT id, payload FROM {chunks} WHERE id > %(last)s::uuid ORDER BY id LIMIT %(page)s"
        first = query.replace(" WHERE id > %(last)s::uuid", "")
        last: object = None
        while self._known() is not None:
            rows = self._rows(first if last is None else query, last=last, page=_PAGE)
            yield from _chunks(rows)
            if len(rows) < _PAGE:
                return
            last = rows[-1][0]

    def chunks_of(self, document_id: str) -> list[Chunk]:
        chunks = _chunks(self._of_document("payload", document_id))
        return sorted(chunks, key=lambda chunk: (chunk.start, chunk.end))

    def vectors_of(self, document_id: str) -> dict[str, NDArray[np.float32]]:
        return _vectors(self._of_document("embedding::real[]", document_id))

    def splade_of(self, document_id: str) -> dict[str, NDArray[np.float32]]:
        if self._splade is None:
            return {}
        rows = self._of_document("(SELECT weights::text FROM {splade} WHERE chunk = number)", document_id)
        return {str(identity): _of_sparse_text(text) for identity, text in rows if text is not None}

    def count(
        self,
        filters: Sequence[Filter] = (),
        document_id: str | None = None,
        vector: Literal["dense", "bm25", "splade"] | None = None,
    ) -> int:
        if self._known() is None:
            return 0
        condition, values = condition_of(filters, "fields")
        parts = [condition]
        if document_id is not None:
            parts.append("document_id = %(document)s")
            values["document"] = document_id
        if vector == "dense":
            parts.append("embedding IS NOT NULL")
        if vector == "bm25":
            parts.append("terms <> '{{}}'")
        if vector == "splade":
            parts.append("number IN (SELECT chunk FROM {splade})")
        return self._rows(f"SELECT count(*) FROM {{chunks}} WHERE {' AND '.join(parts)}", **values)[0][0]

    def close(self) -> None:
        self._db.close()

    def upsert(
        self,
        chunks: Sequence[Chunk],
        vectors: NDArray[np.float32],
        average_length: float,
        splade: Sequence[NDArray[np.float32]] | None = None,
    ) -> None:
        if not chunks:
            return
        if self._known() is None:
            self._create(vectors.shape[1])
        self._check_dimensions(vectors.shape[1])
        sparse = [self._bm25.document(chunk.indexed_text, average_length) for chunk in chunks]
        rows = [
            _row(chunk, terms, vector) for chunk, (terms, _), vector in zip(chunks, sparse, _unit(vectors), strict=True)
        ]
        ids = [chunk.id for chunk in chunks]

        def write(db: Connection) -> None:
            db.execute(self._tables.sql(statements.DELETE, condition=statements.OF_IDS), {"ids": ids})
            numbers: dict[str, int] = {}
            for begin in range(0, len(rows), _INSERTED_AT_ONCE):
                columns = [list(column) for column in zip(*rows[begin : begin + _INSERTED_AT_ONCE], strict=True)]
                inserted = db.execute(self._tables.sql(statements.INSERT), columns)
                numbers |= {str(identity): number for identity, number in inserted}
            with db.cursor() as cursor, cursor.copy(self._tables.sql(statements.INSERT_WORDS)) as copy:
                for identity, (terms, weights) in zip(ids, sparse, strict=True):
                    for term, weight in zip(terms, weights, strict=True):
                        copy.write_row((term, numbers[identity], weight))
            if splade is not None:
                with db.cursor() as cursor, cursor.copy(self._tables.sql(statements.INSERT_SPLADE)) as copy:
                    for identity, row in zip(ids, splade, strict=True):
                        if row.size:
                            copy.write_row((numbers[identity], _sparse_text(*sparse_of(row))))
            worded = sum(1 for terms, _ in sparse if terms)
            db.execute(self._tables.sql(statements.ADD_WORDED), (worded,))

        self._db.change(write)

    def delete_documents(self, document_ids: Sequence[str], keep: Mapping[str, Sequence[str]] | None = None) -> None:
        if not document_ids or self._known() is None:
            return
        kept = [chunk_id for chunk_ids in (keep or {}).values() for chunk_id in chunk_ids]
        values = {"documents": list(document_ids), "kept": kept}
        delete = self._tables.sql(statements.DELETE, condition=statements.OF_DOCUMENTS)
        self._db.change(lambda db: db.execute(delete, values))

    def reweigh(self, average_length: float) -> None:
        page: list[Chunk] = []
        for chunk in self.iter_chunks():
            page.append(chunk)
            if len(page) == _INSERTED_AT_ONCE:
                self._reweigh(page, average_length)
                page = []
        if page:
            self._reweigh(page, average_length)

    def finish(self) -> None:
        """Make the index of vectors once there are enough of them, and tell the planner what changed."""
        dimensions = self._known()
        if dimensions is None:
            return
        index = self._tables.index(dimensions)
        if index is not None and self.count() > FEW:
            self._db.outside(index)
        self._db.outside(self._tables.sql("ANALYZE {chunks}"))
        # Words are read from their index alone where it is known that all rows of a page are valid.
        self._db.outside(self._tables.sql("VACUUM (ANALYZE) {words}"))

    def drop(self) -> None:
        """Delete the tables, if they are there and ragkit made them."""
        if self._known() is not None:
            self._db.change(lambda db: db.execute(self._tables.sql(statements.DROP)))
            self._dimensions = None

    def exists(self) -> bool:
        """Whether the tables are there."""
        return self._known() is not None

    def missing(self) -> StoreError:
        """The error of tables that are not there."""
        return missing(self._config)

    def version(self) -> str:
        """The versions of PostgreSQL and of pgvector. Raises StoreError where pgvector is missing or too old."""
        version, server = self._db.rows(statements.VERSION.encode())[0]
        if version is None or tuple(int(part) for part in re.findall(r"\d+", version)[:2]) < OLDEST:
            raise no_extension(self._config, version)
        return f"PostgreSQL {server}, pgvector {version}"

    def _known(self) -> int | None:
        """The dimensions of the table, or None as long as there is none. Once seen, its disappearance is an error."""
        if self._dimensions is None:
            rows = self._db.rows(statements.DESCRIBE.encode(), self._tables.names)
            if not rows:
                return None
            types = {name: kind for name, kind, _ in rows}
            held = re.fullmatch(r"(?:.*\.)?vector\((\d+)\)", types.get("embedding", ""))
            if held is None or not rows[0][2]:
                raise foreign(self._config)
            self.version()
            self._dimensions = int(held[1])
        return self._dimensions

    def _create(self, dimensions: int) -> None:
        self.version()
        parts = self._tables.sql(statements.CREATE, dimensions=dimensions).split(b";\n")
        self._db.change(lambda db: [db.execute(part) for part in parts])
        self._dimensions = dimensions

    def _check_dimensions(self, given: int) -> None:
        if self._dimensions is not None and self._dimensions != given:
            raise wrong_dimensions(self._config, self._dimensions, given)

    def _rows(self, query: str, **values: Any) -> list[tuple[Any, ...]]:
        return self._db.rows(self._tables.sql(query), values)

    def _of_ids(self, what: str, chunk_ids: Sequence[str]) -> list[tuple[Any, ...]]:
        known = [chunk_id for chunk_id in chunk_ids if is_point_id(chunk_id)]
        if not known or self._known() is None:
            return []
        return self._rows(f"SELECT id, {what} FROM {{chunks}} WHERE {statements.OF_IDS}", ids=known)

    def _of_document(self, what: str, document_id: str) -> list[tuple[Any, ...]]:
        if self._known() is None:
            return []
        return self._rows(f"SELECT id, {what} FROM {{chunks}} WHERE document_id = %(document)s", document=document_id)

    def _reweigh(self, chunks: Sequence[Chunk], average_length: float) -> None:
        ids: list[str] = []
        terms: list[int] = []
        weights: list[float] = []
        for chunk in chunks:
            own_terms, own_weights = self._bm25.document(chunk.indexed_text, average_length)
            ids += [chunk.id] * len(own_terms)
            terms += own_terms
            weights += own_weights
        self._db.change(lambda db: db.execute(self._tables.sql(statements.REWEIGH), (ids, terms, weights)))


def _row(chunk: Chunk, terms: Sequence[int], vector: NDArray[np.float32]) -> tuple[str | None, ...]:
    """The values of `pgvector_sql.INSERT`; a row of NaN stands for no vector yet."""
    payload = to_payload(chunk)
    fields = {kind: payload.pop(kind) for kind in KINDS if kind in payload}
    array = "{" + ",".join(map(str, terms)) + "}"
    held = None if has_none(vector) else _vector_text(vector)
    return chunk.id, chunk.document_id, json.dumps(payload), fields_json(fields), array, held


def _chunks(rows: Sequence[tuple[Any, ...]]) -> list[Chunk]:
    return [from_payload(str(identity), payload) for identity, payload in rows]


def _vectors(rows: Sequence[tuple[Any, ...]]) -> dict[str, NDArray[np.float32]]:
    return {str(identity): np.asarray(vector, dtype=np.float32) for identity, vector in rows if vector is not None}


def _unit(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """The vectors with length 1; one of zeros stays as it is."""
    lengths = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return (vectors / np.where(lengths > 0, lengths, 1)).astype(np.float32)


def _vector_text(vector: NDArray[np.float32]) -> str:
    """A vector as pgvector reads it; nine digits tell every float32 from its neighbours.

    >>> _vector_text(np.array([1, 0.1], dtype=np.float32))
    '[1,0.100000001]'
    """
    return "[" + ",".join([f"{number:.9g}" for number in vector.tolist()]) + "]"


def _sparse_text(tokens: Sequence[int], weights: Sequence[float]) -> str:
    """A sparse vector as pgvector reads it, which counts from 1.

    >>> _sparse_text([7, 9], [0.5, 2.0])
    '{8:0.5,10:2}/1000000000'
    """
    pairs = ",".join(f"{token + 1}:{weight:.9g}" for token, weight in zip(tokens, weights, strict=True))
    return f"{{{pairs}}}/{_MOST_TOKENS}"


def _of_sparse_text(text: str) -> NDArray[np.float32]:
    """Tokens and weights, of shape (2, n).

    >>> _of_sparse_text("{8:0.5,10:2}/1000000000").tolist()
    [[7.0, 9.0], [0.5, 2.0]]
    """
    pairs = [pair.split(":") for pair in text.partition("}")[0][1:].split(",") if pair]
    tokens, weights = [int(token) - 1 for token, _ in pairs], [float(weight) for _, weight in pairs]
    return np.asarray([tokens, weights], dtype=np.float32)
