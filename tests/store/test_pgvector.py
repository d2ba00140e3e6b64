"""What `PgvectorStore` promises beyond the contract: its transactions, its index, and what it makes of every fault."""

from __future__ import annotations

import subprocess
import sys
import threading
import traceback
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import psycopg
import pytest
from numpy.typing import NDArray
from pydantic import SecretStr, ValidationError

from ragkit.config.schema import Bm25, Filter, Store
from ragkit.errors import ConfigError, StoreError
from ragkit.store import pgvector
from ragkit.store.pgvector import PgvectorStore
from ragkit.types import Chunk
from tests.postgres_server import PASSWORD, PostgresServer

MakeChunk = Callable[..., Chunk]


@pytest.fixture
def store(pgvector_settings: Store) -> Iterator[PgvectorStore]:
    opened = PgvectorStore(pgvector_settings, Bm25())
    yield opened
    opened.close()


def vectors(count: int, dimensions: int = 16) -> NDArray[np.float32]:
    return np.random.default_rng(0).normal(size=(count, dimensions)).astype(np.float32)


def connected(settings: Store) -> psycopg.Connection:
    return psycopg.connect(settings.url or "", password=PASSWORD, autocommit=True)


def message_of(settings: Store) -> str:
    """The error of a store with these settings; nothing of it may hold the password."""
    opened = PgvectorStore(settings, Bm25())
    with pytest.raises(StoreError) as raised:
        opened.upsert([Chunk("00000000-0000-0000-0000-000000000000", "d", "a", 0, 1, 1, {})], vectors(1), 1.0)
    opened.close()
    assert "secret" not in "".join(traceback.format_exception(raised.value))
    return str(raised.value)


class TestTransactions:
    def test_a_change_is_there_whole_or_not_at_all(self, store: PgvectorStore, make_chunk: MakeChunk) -> None:
        kept = make_chunk(1, "amber")
        store.upsert([kept], vectors(1), 1.0)

        with pytest.raises(StoreError, match="refused"):  # the second row of the same id
            store.upsert([make_chunk(1, "birch"), make_chunk(2, "cedar"), make_chunk(2, "delta")], vectors(3), 1.0)

        assert list(store.iter_chunks()) == [kept]
        assert [hit.chunk_id for hit in store.search(5, text="amber")[1]] == [kept.id]
        assert store.search(5, text="birch cedar delta")[1] == []

    def test_a_writer_that_vanishes_leaves_nothing(
        self, store: PgvectorStore, pgvector_settings: Store, pgvector_server: PostgresServer, make_chunk: MakeChunk
    ) -> None:
        kept = make_chunk(1, "amber")
        store.upsert([kept], vectors(1), 1.0)
        with connected(pgvector_settings) as other:
            other.execute("BEGIN; LOCK TABLE ragkit_totals")  # the last table that a change writes
            writer = threading.Thread(target=_ignoring, args=(store.upsert, [make_chunk(1, "birch")], vectors(1), 1.0))
            writer.start()
            with pgvector_server.connection() as watching:
                query = "SELECT pid FROM pg_stat_activity WHERE datname = %s AND wait_event_type = 'Lock'"
                name = (pgvector_settings.url or "").rpartition("/")[2]
                while (waiting := watching.execute(query, (name,)).fetchone()) is None:
                    pass
                # Twice: a change that lost its connection is done again.
                watching.execute("SELECT pg_terminate_backend(%s)", waiting)
                while (again := watching.execute(query, (name,)).fetchone()) in (None, waiting):
                    pass
                assert list(PgvectorStore(pgvector_settings, Bm25()).iter_chunks()) == [kept]
                watching.execute("SELECT pg_terminate_backend(%s)", again)
            writer.join()

        assert list(store.iter_chunks()) == [kept]
        assert [hit.chunk_id for hit in store.search(5, text="amber birch")[1]] == [kept.id]

    def test_a_server_that_started_again_is_not_noticed(
        self, store: PgvectorStore, pgvector_server: PostgresServer, make_chunk: MakeChunk
    ) -> None:
        store.upsert([make_chunk(1, "amber")], vectors(1), 1.0)
        pgvector_server.kill()
        pgvector_server.start()

        assert store.count() == 1

    def test_threads_share_a_store(self, store: PgvectorStore, make_chunk: MakeChunk) -> None:
        store.upsert([make_chunk(number, f"amber word{number}") for number in range(50)], vectors(50), 2.0)

        def best(number: int) -> str:
            return store.search(1, text=f"word{number % 50}")[1][0].chunk_id

        with ThreadPoolExecutor(16) as threads:
            found = list(threads.map(best, range(200)))

        assert found == [make_chunk(each % 50, "").id for each in range(200)]

    def test_a_store_leaves_no_connection_open(self, pgvector_settings: Store, pgvector_server: PostgresServer) -> None:
        opened = PgvectorStore(pgvector_settings, Bm25())
        assert opened.count() == 0
        opened.close()

        name = (pgvector_settings.url or "").rpartition("/")[2]
        with pgvector_server.connection() as watching:
            query = "SELECT count(*) FROM pg_stat_activity WHERE datname = %s"
            while watching.execute(query, (name,)).fetchone() != (0,):  # the server takes a moment
                pass


def _ignoring(step: Callable[..., object], *given: object) -> None:
    try:
        step(*given)
    except StoreError:
        return


class TestTheIndexOfVectors:
    @pytest.fixture
    def indexed(self, store: PgvectorStore, make_chunk: MakeChunk, monkeypatch: pytest.MonkeyPatch) -> PgvectorStore:
        """5,000 chunks under an index, in heaps as texts are."""
        monkeypatch.setattr(pgvector, "FEW", 1000)
        chunks = [
            make_chunk(n, f"amber word{n % 50}", metadata={"number": n, "half": n % 5 > 0, "rare": n % 250})
            for n in range(5000)
        ]
        for begin in range(0, 5000, 1000):
            store.upsert(chunks[begin : begin + 1000], self.rows()[begin : begin + 1000], 2.0)
        store.finish()
        return store

    def rows(self) -> NDArray[np.float32]:
        return vectors(5000) + np.repeat(3 * vectors(100), 50, axis=0)

    @pytest.mark.integration
    @pytest.mark.parametrize(
        ("condition", "wanted_numbers"),
        [
            (None, range(5000)),
            (Filter(field="half", eq=True), [n for n in range(5000) if n % 5 > 0]),
            (Filter(field="rare", eq=7), range(7, 5000, 250)),
            (Filter(field="number", gte=1500), range(1500, 5000)),
            (Filter(field="number", lt=2), range(2)),
        ],
    )
    def test_a_condition_never_costs_hits(
        self,
        indexed: PgvectorStore,
        pgvector_settings: Store,
        make_chunk: MakeChunk,
        condition: Filter | None,
        wanted_numbers: Sequence[int],
    ) -> None:
        wanted = {make_chunk(n, "").id: n for n in wanted_numbers}
        rows = self.rows() / np.linalg.norm(self.rows(), axis=1, keepdims=True)
        asked = self.rows()[1234] + 0.1

        dense, sparse = indexed.search(100, asked, "amber word7", [condition] if condition else [])

        with connected(pgvector_settings) as db:
            assert db.execute("SELECT to_regclass('ragkit_hnsw')").fetchone() != (None,)
        for hits in (dense, sparse):
            assert len(hits) == min(100, len(wanted))
            assert {hit.chunk_id for hit in hits} <= wanted.keys()
            assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)
        nearest = sorted(wanted, key=lambda each: -float(rows[wanted[each]] @ asked))[:100]
        found = len({hit.chunk_id for hit in dense} & set(nearest)) / len(nearest)
        assert found >= (0.95 if len(wanted) > 3000 else 1)

    def test_vectors_of_many_dimensions_have_one_too(
        self,
        store: PgvectorStore,
        pgvector_settings: Store,
        make_chunk: MakeChunk,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setattr(pgvector, "FEW", 10)
        rows = vectors(30, 3072)
        store.upsert([make_chunk(number, "amber") for number in range(30)], rows, 1.0)
        store.finish()

        with connected(pgvector_settings) as db:
            assert db.execute("SELECT to_regclass('ragkit_hnsw')").fetchone() != (None,)
        best = store.search(1, rows[7])[0][0]
        assert best.chunk_id == make_chunk(7, "").id
        assert best.score == pytest.approx(1, abs=1e-5)

    def test_a_chunk_may_wait_for_its_vector(self, store: PgvectorStore, make_chunk: MakeChunk) -> None:
        waiting, there = make_chunk(1, "amber"), make_chunk(2, "amber")
        rows = np.array([[np.nan, np.nan], [3, 4]], dtype=np.float32)
        store.upsert([waiting, there], rows, 1.0)

        for filters in ([], [Filter(field="source_document", eq="document.md")]):
            dense, sparse = store.search(5, rows[1], "amber", filters)
            assert [hit.chunk_id for hit in dense] == [there.id]
            assert {hit.chunk_id for hit in sparse} == {waiting.id, there.id}
        assert (store.count(), store.count(vector="dense")) == (2, 1)
        assert store.vectors([waiting.id, there.id]).keys() == {there.id}
        store.upsert([waiting], rows[1:], 1.0)
        assert store.count(vector="dense") == 2

    def test_vectors_of_zeros_are_no_trouble(self, store: PgvectorStore, make_chunk: MakeChunk) -> None:
        rows = np.array([[0, 0], [3, 4]], dtype=np.float32)
        store.upsert([make_chunk(1, "amber"), make_chunk(2, "birch")], rows, 1.0)

        assert [hit.score for hit in store.search(5, rows[1])[0]] == pytest.approx([1, 0])
        assert [hit.score for hit in store.search(5, rows[0])[0]] == [0, 0]


class TestFaults:
    def test_no_server(self) -> None:
        said = message_of(
            Store(backend="pgvector", url="postgresql://ann@127.0.0.1:9/docs", password=SecretStr("secret"))
        )

        assert said.startswith("postgresql://127.0.0.1:9/docs cannot be used (")
        assert "mend ingestion.store.url" in said

    def test_a_wrong_password(self, pgvector_settings: Store) -> None:
        said = message_of(pgvector_settings.changed({"password": SecretStr("a secret word")}))

        assert "password authentication failed" in said
        assert said.endswith("mend ingestion.store.url and ingestion.store.password")

    def test_no_extension(self, pgvector_server: PostgresServer) -> None:
        address = pgvector_server.new_database()
        said = message_of(Store(backend="pgvector", url=address, password=SecretStr(PASSWORD)))
        pgvector_server.drop(address)

        assert "has no pgvector; " in said
        assert said.endswith("run in this database: CREATE EXTENSION vector")

    def test_an_old_extension(self, pgvector_settings: Store) -> None:
        with connected(pgvector_settings) as db:
            db.execute("UPDATE pg_extension SET extversion = '0.7.4' WHERE extname = 'vector'")

        said = message_of(pgvector_settings)

        assert "has pgvector 0.7.4, and ragkit needs 0.8" in said
        assert said.endswith("ALTER EXTENSION vector UPDATE")

    @pytest.mark.parametrize("columns", ["id INT", "id UUID, embedding VECTOR(16)", "id UUID, embedding TEXT"])
    def test_a_table_of_something_else_is_left_alone(self, pgvector_settings: Store, columns: str) -> None:
        with connected(pgvector_settings) as db:
            db.execute(f"CREATE TABLE ragkit ({columns})".encode())
            said = message_of(pgvector_settings)
            with pytest.raises(StoreError, match="not made by ragkit"):
                PgvectorStore(pgvector_settings, Bm25()).drop()
            assert db.execute("SELECT count(*) FROM ragkit").fetchone() == (0,)

        assert "the table 'ragkit' at postgresql://127.0.0.1" in said
        assert "was not made by ragkit; name another one in ingestion.store.collection" in said

    def test_no_right_to_make_tables(self, pgvector_settings: Store) -> None:
        with connected(pgvector_settings) as db:
            db.execute("CREATE ROLE reader LOGIN PASSWORD 'secret'")
            try:
                url = (pgvector_settings.url or "").replace("ragkit@", "reader@")
                said = message_of(pgvector_settings.changed({"url": url, "password": SecretStr("secret")}))
            finally:
                db.execute("DROP ROLE reader")

        assert "does not allow it (permission denied for schema public" in said
        assert said.endswith("give the user of ingestion.store.url the right to do so")

    def test_a_server_that_takes_too_long(
        self, store: PgvectorStore, pgvector_settings: Store, make_chunk: MakeChunk
    ) -> None:
        store.upsert([make_chunk(1, "amber")], vectors(1), 1.0)
        hasty = PgvectorStore(pgvector_settings.changed({"timeout_s": 0.2}), Bm25())
        with connected(pgvector_settings) as other:
            other.execute("BEGIN; LOCK TABLE ragkit")
            with pytest.raises(StoreError, match=r"gave no answer within 0\.2 s; raise ingestion\.store\.timeout_s"):
                hasty.count()
        hasty.close()

    def test_a_table_that_vanishes(self, store: PgvectorStore, pgvector_settings: Store, make_chunk: MakeChunk) -> None:
        store.upsert([make_chunk(1, "amber")], vectors(1), 1.0)
        PgvectorStore(pgvector_settings, Bm25()).drop()

        with pytest.raises(StoreError, match=r"has no table 'ragkit'; mend .*ragkit index --rebuild"):
            store.count()

    @pytest.mark.parametrize("url", [None, "http://localhost:6333"])
    def test_an_address_of_something_else(self, url: str | None) -> None:
        with pytest.raises(ConfigError, match=r"no address of PostgreSQL.*postgresql://ragkit@localhost:5432/ragkit"):
            PgvectorStore(Store(backend="pgvector", url=url), Bm25())

    def test_without_the_extra_the_import_says_what_to_install(self) -> None:
        program = "import sys; sys.modules['psycopg'] = None; import ragkit.store.pgvector"

        ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)

        assert ended.stderr.splitlines()[-1].endswith(
            "MissingExtra: psycopg is not installed; pip install 'ragkit[postgres]'"
        )


class TestTheConfig:
    @pytest.mark.parametrize("url", ["postgresql://ann:secret@db/docs", "postgresql://db/docs?password=secret"])
    def test_a_password_has_a_key_of_its_own(self, url: str) -> None:
        with pytest.raises(ValidationError, match=r"set ingestion\.store\.password") as raised:
            Store(backend="pgvector", url=url)

        assert "secret" not in str(raised.value)

    @pytest.mark.parametrize("name", ["a b", 'a"b', "a;b", "7a", "a" * 49, "a%s", "a{b}"])
    def test_a_collection_is_the_name_of_a_table(self, name: str) -> None:
        with pytest.raises(ValidationError, match="a table is named by up to 47 letters"):
            Store(backend="pgvector", collection=name)

    def test_any_name_of_that_kind_will_do(self, pgvector_settings: Store, make_chunk: MakeChunk) -> None:
        for name in ("Select", "_", "x" * 47):
            opened = PgvectorStore(pgvector_settings.changed({"collection": name}), Bm25())
            opened.upsert([make_chunk(1, "amber")], vectors(1), 1.0)
            opened.finish()
            assert len(opened.search(5, text="amber")[1]) == 1
            opened.drop()
            assert not opened.exists()
            opened.close()
