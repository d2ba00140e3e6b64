"""Measure `pgvector` beside `qdrant_edge` on the same chunks, and the two ways to keep BM25 in PostgreSQL.

    python scripts/measure_pgvector.py stores ADDRESS [CHUNKS]     writing and searching, both stores in turns
    python scripts/measure_pgvector.py layouts ADDRESS [CHUNKS]    an inverted index as rows against GIN and sparsevec

ADDRESS is postgresql://... of a database with pgvector that these tables may be made in (and dropped); its password is
POSTGRES_PASSWORD. Chunks are of random words, as often as words of texts are (Zipf), and random vectors.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import psycopg
from numpy.typing import NDArray
from pydantic import SecretStr

from ragkit.config.schema import Bm25, Filter, Store
from ragkit.store import StoreWriter
from ragkit.store.bm25 import Bm25Encoder
from ragkit.store.pgvector import PgvectorStore
from ragkit.store.qdrant_edge import EdgeStore
from ragkit.types import Chunk

BATCH, DIMENSIONS, WORDS, LIMIT, QUESTIONS = 500, 384, 120, 50, 200
PASSWORD = SecretStr(os.environ.get("POSTGRES_PASSWORD", ""))


class Corpus:
    """Chunks, vectors and questions that are the same for the same number of chunks."""

    def __init__(self, count: int) -> None:
        generator = np.random.default_rng(0)
        words = np.array([f"word{number}" for number in range(20_000)])
        weights = 1 / np.arange(1, len(words) + 1)
        weights /= weights.sum()
        # Vectors of texts lie in heaps; of those that point anywhere, none is near and every index does badly.
        topics = generator.standard_normal((200, DIMENSIONS))

        def vectors(rows: int) -> NDArray[np.float32]:
            near = topics[generator.integers(0, len(topics), rows)]
            return (near + generator.standard_normal((rows, DIMENSIONS))).astype(np.float32)

        self.texts = [" ".join(generator.choice(words, WORDS, p=weights)) for _ in range(count)]
        self.vectors = vectors(count)
        self.questions = [" ".join(generator.choice(words, 8, p=weights)) for _ in range(QUESTIONS)]
        self.asked = vectors(QUESTIONS)

    def chunks(self, begin: int) -> list[Chunk]:
        return [
            Chunk(
                id=f"00000000-0000-0000-0000-{number:012d}",
                document_id=f"document {number // 10}",
                text=text,
                start=0,
                end=1,
                token_count=WORDS,
                metadata={"source_document": f"{number // 10}.md", "page_number": number % 100, "half": number % 2},
            )
            for number, text in enumerate(self.texts[begin : begin + BATCH], start=begin)
        ]


def write(store: StoreWriter, corpus: Corpus) -> None:
    for begin in range(0, len(corpus.texts), BATCH):
        store.upsert(corpus.chunks(begin), corpus.vectors[begin : begin + BATCH], float(WORDS))


def stores(address: str, count: int) -> None:
    corpus = Corpus(count)
    with tempfile.TemporaryDirectory() as folder:
        served = Store(backend="pgvector", url=address, password=PASSWORD, collection="ragkit_measured")
        pgvector = PgvectorStore(served, Bm25())
        pgvector.drop()
        both: dict[str, StoreWriter] = {"qdrant_edge": EdgeStore(Path(folder) / "shard", Bm25()), "pgvector": pgvector}
        print(f"{count} chunks of {WORDS} words, {DIMENSIONS} dimensions; {pgvector.version()}")
        for name, store in both.items():
            began = time.perf_counter()
            write(store, corpus)
            written = time.perf_counter()
            store.finish()
            ended = time.perf_counter()
            print(f"{name}: written at {count / (written - began):.0f} chunks/s, finished in {ended - written:.1f} s")
            began = time.perf_counter()
            store.upsert(corpus.chunks(0), corpus.vectors[:BATCH], float(WORDS))
            store.finish()
            print(f"{name}: {BATCH} chunks written again and finished in {time.perf_counter() - began:.1f} s")
        filters = {
            "": [],
            ", 1 of 2 chunks": [Filter(field="half", eq=0)],
            ", 1 of 100 chunks": [Filter(field="page_number", eq=7)],
            ", 3 pages of 100": [Filter(field="page_number", gte=97)],
        }
        for condition, given in filters.items():
            for kind in ("dense", "sparse", "hybrid"):
                _searched(both, corpus, kind, condition, given)
        recall = np.mean([_recall(pgvector, corpus, each) for each in range(50)])
        print(f"pgvector: {recall:.3f} of the {LIMIT} nearest found, of 50 questions")
        with psycopg.connect(address, password=PASSWORD.get_secret_value()) as db:
            sizes = db.execute(
                "SELECT relname, pg_total_relation_size(oid), pg_relation_size(oid) FROM pg_class"
                " WHERE relkind = 'r' AND starts_with(relname, 'ragkit_measured')"
            ).fetchall()
        for name, whole, heap in sizes:
            print(f"{name}: {whole / 1e6:.0f} MB, of which rows {heap / 1e6:.0f}")
        pgvector.drop()
        for store in both.values():
            store.close()


def _searched(
    both: dict[str, StoreWriter], corpus: Corpus, kind: str, condition: str, filters: Sequence[Filter]
) -> None:
    """The same questions to both, one after the other."""
    taken: dict[str, list[float]] = {name: [] for name in both}
    for number, (text, vector) in enumerate(zip(corpus.questions, corpus.asked, strict=True)):
        for name, store in both.items():
            began = time.perf_counter()
            store.search(LIMIT, vector if kind != "sparse" else None, text if kind != "dense" else None, filters)
            if number >= QUESTIONS // 10:  # what was loaded by then stays
                taken[name].append((time.perf_counter() - began) * 1e3)
    shown = [
        f"{name} p50 {np.percentile(ms, 50):.1f} ms, p95 {np.percentile(ms, 95):.1f}" for name, ms in taken.items()
    ]
    print(f"{kind}{condition}: {'; '.join(shown)}")


def _recall(store: StoreWriter, corpus: Corpus, number: int) -> float:
    rows = corpus.vectors / np.linalg.norm(corpus.vectors, axis=1, keepdims=True)
    nearest = {f"00000000-0000-0000-0000-{row:012d}" for row in np.argsort(-(rows @ corpus.asked[number]))[:LIMIT]}
    return len(nearest & {hit.chunk_id for hit in store.search(LIMIT, corpus.asked[number])[0]}) / LIMIT


def layouts(address: str, count: int) -> None:
    """The store's own table of words, and a tsvector under GIN with a sparsevec for the score.

    The second is given how many chunks have a term, which it would have to count or keep, and folds the numbers of
    terms into the billion that a sparsevec has: two terms may fall together.
    """
    corpus, encoder = Corpus(count), Bm25Encoder(Bm25())
    vectors = [encoder.document(text, float(WORDS)) for text in corpus.texts]
    holding: dict[int, int] = {}
    for terms, _ in vectors:
        for term in terms:
            holding[term] = holding.get(term, 0) + 1

    def sparse(terms: Sequence[int], weights: Sequence[float]) -> str:
        folded: dict[int, float] = {}
        for term, weight in zip(terms, weights, strict=True):
            folded[term % 10**9 + 1] = folded.get(term % 10**9 + 1, 0.0) + weight
        return f"{{{','.join(f'{term}:{weight:.9g}' for term, weight in sorted(folded.items()))}}}/1000000000"

    def idf(term: int) -> float:
        return float(np.log(1 + (count - holding.get(term, 0) + 0.5) / (holding.get(term, 0) + 0.5)))

    settings = Store(backend="pgvector", url=address, password=PASSWORD, collection="ragkit_measured")
    rows = PgvectorStore(settings, Bm25())
    rows.drop()
    write(rows, corpus)
    rows.finish()
    with psycopg.connect(address, password=PASSWORD.get_secret_value(), autocommit=True) as db:
        db.execute("DROP TABLE IF EXISTS ragkit_gin")
        db.execute("CREATE TABLE ragkit_gin (chunk INTEGER PRIMARY KEY, words TSVECTOR, weights SPARSEVEC)")
        with db.cursor() as cursor, cursor.copy("COPY ragkit_gin FROM STDIN") as copy:
            for number, (terms, weights) in enumerate(vectors):
                copy.write_row((number, " ".join(f"'{term}'" for term in terms), sparse(terms, weights)))
        db.execute("CREATE INDEX ON ragkit_gin USING gin (words)")
        db.execute("VACUUM ANALYZE ragkit_gin")

        def by_gin(text: str) -> list[float]:
            terms = encoder.question(text)[0]
            asked = sparse(terms, [idf(term) for term in terms])
            found = db.execute(
                "SELECT chunk, -(weights <#> %(asked)s::sparsevec) AS score FROM ragkit_gin"
                " WHERE words @@ %(terms)s::tsquery ORDER BY score DESC LIMIT %(limit)s",
                {"asked": asked, "terms": "|".join(f"'{term}'" for term in terms), "limit": LIMIT},
            )
            return [row[1] for row in found]

        def counted(text: str) -> None:
            terms = [str(term) for term in encoder.question(text)[0]]
            db.execute(
                "SELECT (SELECT count(*) FROM ragkit_gin WHERE words @@ term::tsquery) FROM unnest(%s::text[]) AS term",
                (terms,),
            ).fetchall()

        def by_rows(text: str) -> list[float]:
            return [hit.score for hit in rows.search(LIMIT, text=text)[1]]

        for text in corpus.questions[:20]:
            assert np.allclose(by_gin(text), by_rows(text), rtol=1e-3)
        ways: dict[str, Callable[[str], object]] = {
            "rows": by_rows,
            "GIN and sparsevec": by_gin,
            "counting by GIN": counted,
        }
        for name, way in ways.items():
            taken: list[float] = []
            for text in corpus.questions:
                began = time.perf_counter()
                way(text)
                taken.append((time.perf_counter() - began) * 1e3)
            print(f"{name}: p50 {np.percentile(taken, 50):.1f} ms, p95 {np.percentile(taken, 95):.1f}")
        for table in ("ragkit_measured_words", "ragkit_gin"):
            size = db.execute("SELECT pg_total_relation_size(%s::regclass)", (table,)).fetchall()[0][0]
            print(f"{table}: {size / 1e6:.0f} MB")
        db.execute("DROP TABLE ragkit_gin")
    rows.drop()
    rows.close()


def main() -> None:
    command, *rest = sys.argv[1:] or ["help"]
    if command not in ("stores", "layouts") or not rest:
        sys.exit(__doc__)
    count = int(rest[1]) if len(rest) > 1 else 20_000
    (stores if command == "stores" else layouts)(rest[0], count)


if __name__ == "__main__":
    main()
