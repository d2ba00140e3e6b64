"""The tables of a pgvector collection, and the statements that write and search them.

The statements are for `Tables.sql`, which puts in the names, and for psycopg, which puts in the values.
"""

from __future__ import annotations

from dataclasses import dataclass

FEW = 10_000
"""So many vectors need no index: comparing them one by one takes some milliseconds and misses none."""
_FEW_MATCHING = 3_000
"""So many that meet a condition are compared one by one; to find them among the others an index would take longer."""
# pgvector indexes vectors of 4 bytes a number up to the one, of 2 bytes up to the other.
_MOST_INDEXED, _MOST_INDEXED_HALF = 2_000, 4_000

# What a search walks through stays in the row; the text of a chunk, which it does not need, goes out of it. The payload
# is kept as it was written: `jsonb` has no place for every character.
CREATE = """
CREATE TABLE {chunks} (
    number INTEGER GENERATED ALWAYS AS IDENTITY PRIMARY KEY, id UUID NOT NULL UNIQUE,
    document_id TEXT COLLATE "C" NOT NULL, payload JSON NOT NULL, fields JSONB NOT NULL, terms INTEGER[] NOT NULL,
    embedding VECTOR(<dimensions>)
);
ALTER TABLE {chunks} ALTER COLUMN embedding SET STORAGE MAIN, ALTER COLUMN fields SET STORAGE MAIN;
CREATE INDEX ON {chunks} (document_id);
CREATE INDEX ON {chunks} USING gin (fields jsonb_path_ops);
CREATE TABLE {words} (
    term INTEGER NOT NULL, chunk INTEGER NOT NULL, weight REAL NOT NULL, PRIMARY KEY (term, chunk) INCLUDE (weight)
);
CREATE TABLE {splade} (chunk INTEGER PRIMARY KEY, weights SPARSEVEC NOT NULL);
CREATE TABLE {totals} (worded BIGINT NOT NULL);
INSERT INTO {totals} VALUES (0)
"""
DROP = "DROP TABLE IF EXISTS {chunks}, {words}, {splade}, {totals}"
DESCRIBE = """
SELECT attname, format_type(atttypid, atttypmod), to_regclass(%(words)s) IS NOT NULL FROM pg_attribute
WHERE attrelid = to_regclass(%(chunks)s) AND attnum > 0 AND NOT attisdropped
"""
VERSION = """
SELECT (SELECT extversion FROM pg_extension WHERE extname = 'vector'),
       split_part(current_setting('server_version'), ' ', 1)
"""

# A chunk knows its terms, so that its rows are found by the one index that the words have.
DELETE = """
WITH gone AS (DELETE FROM {chunks} WHERE <condition> RETURNING number, terms),
unworded AS (
    DELETE FROM {words} AS word USING (SELECT number, unnest(terms) AS term FROM gone) AS old
    WHERE word.term = old.term AND word.chunk = old.number
),
unsplade AS (DELETE FROM {splade} USING gone WHERE chunk = number)
UPDATE {totals} SET worded = worded - (SELECT count(*) FROM gone WHERE terms <> '{{}}')
"""
OF_IDS = "id = ANY(%(ids)s::uuid[])"
OF_DOCUMENTS = "document_id = ANY(%(documents)s::text[]) AND id <> ALL(%(kept)s::uuid[])"
INSERT = """
INSERT INTO {chunks} (id, document_id, payload, fields, terms, embedding)
SELECT id, document_id, payload::json, fields::jsonb, terms::integer[], embedding::vector
FROM unnest(%s::uuid[], %s::text[], %s::text[], %s::text[], %s::text[], %s::text[])
AS given (id, document_id, payload, fields, terms, embedding)
RETURNING id, number
"""
INSERT_WORDS = "COPY {words} FROM STDIN"
INSERT_SPLADE = "COPY {splade} FROM STDIN"
ADD_WORDED = "UPDATE {totals} SET worded = worded + %s"
REWEIGH = """
UPDATE {words} AS word SET weight = given.weight
FROM unnest(%s::uuid[], %s::integer[], %s::real[]) AS given (id, term, weight)
JOIN {chunks} AS held ON held.id = given.id
WHERE word.term = given.term AND word.chunk = held.number
"""

# As with Qdrant, N and the number of chunks that have a term are those of the whole collection, whatever the condition.
_WEIGHTED = """
weighted AS MATERIALIZED (
    SELECT term, share * ln(1 + (worded - holding + 0.5) / (holding + 0.5)) AS idf
    FROM {totals}, unnest(%(terms)s::integer[], %(shares)s::float8[]) AS asked (term, share), LATERAL (
        SELECT count(*)::float8 AS holding FROM {words} AS word WHERE word.term = asked.term
    ) AS counted
)
"""
_SCORED = """
SELECT chunk, sum(idf * weight) AS score FROM weighted CROSS JOIN LATERAL (
    SELECT chunk, weight FROM {words} AS word WHERE word.term = weighted.term
) AS found
"""
_SPARSE = f"""
{_WEIGHTED.strip()},
sparse AS (
    SELECT id, score
    FROM ({_SCORED.strip()} GROUP BY chunk ORDER BY score DESC, chunk LIMIT %(limit)s) AS best
    JOIN {{chunks}} ON number = chunk
)
"""
_DENSE = """
dense AS (
    SELECT id, -(embedding <#> %(vector)s::vector) AS score
    FROM (SELECT id, embedding FROM {chunks} WHERE embedding IS NOT NULL ORDER BY <distance> LIMIT %(limit)s) AS near
)
"""
# With a condition each list has two parts, of which one runs. Where few chunks meet it, only these are compared: what
# the part orders by is not what the index of vectors orders by. Where many do, the best are taken until enough meet it.
_MATCHING = f"""
matching AS MATERIALIZED (SELECT number FROM {{chunks}} WHERE <condition> LIMIT {_FEW_MATCHING + 1}),
few AS MATERIALIZED (SELECT count(*) <= {_FEW_MATCHING} AS so FROM matching)
"""
_SPARSE_OF = f"""
{_WEIGHTED.strip()},
sparse AS (
    (
        SELECT id, score FROM (
            {_SCORED.strip()} WHERE (SELECT so FROM few) AND chunk IN (SELECT number FROM matching) GROUP BY chunk
        ) AS scored JOIN {{chunks}} ON number = chunk ORDER BY score DESC, chunk LIMIT %(limit)s
    )
    UNION ALL
    (
        SELECT held.id, score FROM (
            {_SCORED.strip()} WHERE NOT (SELECT so FROM few) GROUP BY chunk ORDER BY score DESC, chunk
        ) AS scored CROSS JOIN LATERAL (
            SELECT id FROM {{chunks}} WHERE number = chunk AND <condition> OFFSET 0
        ) AS held ORDER BY score DESC, chunk LIMIT %(limit)s
    )
)
"""
_DENSE_OF = """
dense AS (
    (
        SELECT id, -(embedding <#> %(vector)s::vector) AS score FROM {chunks}
        WHERE (SELECT so FROM few) AND number IN (SELECT number FROM matching) AND embedding IS NOT NULL
        ORDER BY score DESC LIMIT %(limit)s
    )
    UNION ALL
    SELECT id, -(embedding <#> %(vector)s::vector) AS score
    FROM (
        SELECT id, embedding FROM {chunks} WHERE NOT (SELECT so FROM few) AND <condition> AND embedding IS NOT NULL
        ORDER BY <distance> LIMIT %(limit)s
    ) AS near
)
"""
SPLADE = """
SELECT id, score FROM (SELECT chunk, -(weights <#> %(asked)s::sparsevec) AS score FROM {splade}) AS scored
JOIN {chunks} ON number = chunk WHERE score > 0 AND <condition> ORDER BY score DESC, id LIMIT %(limit)s
"""


@dataclass(frozen=True, slots=True)
class Tables:
    """The tables of a collection, whose name needs no escaping: the config takes no other."""

    collection: str

    @property
    def names(self) -> dict[str, str]:
        """What the statements call the tables, and their names in SQL.

        >>> Tables("docs").names["chunks"], Tables("docs").names["words"]
        ('"docs"', '"docs_words"')
        """
        parts = {part: f'"{self.collection}_{part}"' for part in ("words", "splade", "totals", "hnsw")}
        return {"chunks": f'"{self.collection}"', **parts}

    def sql(self, text: str, **parts: str | int) -> bytes:
        """A statement with the names in their places, and `parts` in those that are marked `<so>`.

        >>> Tables("docs").sql("SELECT id FROM {chunks} WHERE <condition>", condition="TRUE")
        b'SELECT id FROM "docs" WHERE TRUE'
        """
        for name, part in parts.items():
            text = text.replace(f"<{name}>", str(part))
        return text.format(**self.names).encode()

    def search(self, dimensions: int, condition: str | None, *, dense: bool, sparse: bool) -> bytes:
        """One statement that finds both lists: rows of list, id and score, the best first."""
        free = condition is None
        parts = [] if free else [_MATCHING]
        parts += [_DENSE if free else _DENSE_OF] if dense else []
        parts += [_SPARSE if free else _SPARSE_OF] if sparse else []
        lists = [name for name, wanted in (("dense", dense), ("sparse", sparse)) if wanted]
        found = " UNION ALL ".join(f"SELECT '{name}' AS list, id, score FROM {name}" for name in lists)
        return self.sql(
            f"WITH {', '.join(part.strip() for part in parts)} {found} ORDER BY list, score DESC, id",
            condition=condition or "TRUE",
            distance=_distance(dimensions),
        )

    def index(self, dimensions: int) -> bytes | None:
        """The statement that makes the index of vectors, None for more dimensions than one can have."""
        if dimensions > _MOST_INDEXED_HALF:
            return None
        indexed = "embedding vector_ip_ops"
        if dimensions > _MOST_INDEXED:
            indexed = f"(embedding::halfvec({dimensions})) halfvec_ip_ops"
        return self.sql(f"CREATE INDEX IF NOT EXISTS {{hnsw}} ON {{chunks}} USING hnsw ({indexed})")


def _distance(dimensions: int) -> str:
    """What the index of vectors orders by. Of unit vectors the inner product is the cosine; one of zeros has it too."""
    if _MOST_INDEXED < dimensions <= _MOST_INDEXED_HALF:
        return f"embedding::halfvec({dimensions}) <#> %(vector)s::halfvec({dimensions})"
    return "embedding <#> %(vector)s::vector"
