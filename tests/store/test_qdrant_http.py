"""What `QdrantStore` sends over the wire, and what it makes of every fault of a server."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import threading
import traceback
from collections.abc import Callable, Iterator

import numpy as np
import pytest
from pydantic import SecretStr

from ragkit.config.schema import Bm25, Cluster, Filter, Store, StoredVectors
from ragkit.errors import ConfigError, StoreError
from ragkit.store import Hit
from ragkit.store.payload import to_payload
from ragkit.store.qdrant import QdrantStore
from ragkit.types import Chunk
from tests.store.qdrant_stand_in import Reply, StandIn, collection_info, ok, refusal, standing_in

pytestmark = pytest.mark.filterwarnings("ignore:Api key is used with an insecure connection:UserWarning")

KEY = "s3cr3t-key-of-the-test"
MakeChunk = Callable[..., Chunk]


@pytest.fixture
def server() -> Iterator[StandIn]:
    with standing_in() as stand_in:
        yield stand_in


@pytest.fixture
def store(server: StandIn) -> Iterator[QdrantStore]:
    opened = QdrantStore(settings_for(server.url), Bm25())
    yield opened
    opened.close()


def settings_for(url: str | None, timeout_s: float = 30.0) -> Store:
    return Store(backend="qdrant", url=url, api_key=SecretStr(KEY), timeout_s=timeout_s)


def test_the_key_goes_with_every_request(server: StandIn, store: QdrantStore) -> None:
    store.search(3, np.ones(4, dtype=np.float32), "amber")
    store.count()

    assert len(server.requests) == 4
    assert {request.headers.get("api-key") for request in server.requests} == {KEY}


def test_nothing_is_sent_before_it_is_needed(server: StandIn, store: QdrantStore) -> None:
    store.upsert([], np.zeros((0, 0), dtype=np.float32), 1.0)
    store.delete_documents([])
    store.finish()

    assert store.chunks([]) == {}
    assert server.requests == []


def test_the_first_upsert_makes_the_collection(server: StandIn, store: QdrantStore, make_chunk: MakeChunk) -> None:
    server.exists = False
    chunk = make_chunk(1, "amber", metadata={"page number": 3, "flag": True, "day": "2026-01-01"})

    store.upsert([chunk], np.ones((1, 4), dtype=np.float32), 1.0)

    created = server.sent("PUT", "")[0].body
    assert created["vectors"] == {"dense": {"size": 4, "distance": "Cosine"}}
    assert created["sparse_vectors"] == {"bm25": {"modifier": "idf"}}
    indexed = {request.body["field_name"]: request.body["field_schema"] for request in server.sent("PUT", "/index")}
    assert indexed == {
        "document_id": "keyword",
        's."source_document"': "keyword",
        's."day"': "keyword",
        'n."page number"': "float",
        'b."flag"': "keyword",
        't."day"': "float",
    }
    written = server.sent("PUT", "/points")[0]
    assert "wait=true" in written.query
    (point,) = written.body["points"]
    assert point["id"] == chunk.id
    assert point["payload"] == json.loads(json.dumps(to_payload(chunk)))
    assert point["vector"]["dense"] == [1.0] * 4
    assert len(point["vector"]["bm25"]["indices"]) == 1


class TestCluster:
    @pytest.fixture
    def spread(self, server: StandIn) -> Iterator[QdrantStore]:
        cluster = Cluster(shards=6, replicas=3, write_replicas=2, ordering="strong", consistency="majority")
        opened = QdrantStore(settings_for(server.url).model_copy(update={"cluster": cluster}), Bm25())
        yield opened
        opened.close()

    def test_a_collection_is_made_with_its_parts_and_copies(
        self, server: StandIn, spread: QdrantStore, make_chunk: MakeChunk
    ) -> None:
        server.exists = False
        spread.upsert([make_chunk(1, "amber")], np.ones((1, 4), dtype=np.float32), 1.0)
        created = server.sent("PUT", "")[0].body
        keys = ("shard_number", "replication_factor", "write_consistency_factor")
        assert [created[key] for key in keys] == [6, 3, 2]

    def test_every_read_and_write_says_what_it_waits_for(
        self, server: StandIn, spread: QdrantStore, make_chunk: MakeChunk
    ) -> None:
        chunk = make_chunk(1, "amber")
        spread.upsert([chunk], np.ones((1, 4), dtype=np.float32), 1.0)
        spread.delete_documents(["d"])
        spread.search(3, np.ones(4, dtype=np.float32), "amber")
        spread.chunks([chunk.id])
        spread.vectors([chunk.id])
        spread.chunks_of("d")
        written = [*server.sent("PUT", "/points"), *server.sent("POST", "/points/delete")]
        read = [
            *server.sent("POST", "/points/query/batch"),
            *server.sent("POST", "/points"),
            *server.sent("POST", "/points/scroll"),
        ]
        assert len(written) == 2
        assert len(read) == 4
        assert all("ordering=strong" in request.query for request in written)
        assert all("consistency=majority" in request.query for request in read)

    def test_a_write_cannot_reach_more_copies_than_there_are(self) -> None:
        with pytest.raises(ValueError, match="write_replicas is more than there are replicas"):
            Cluster(replicas=2, write_replicas=3)


@pytest.mark.parametrize(("kept", "method"), [("disk", None), ("scalar", "scalar"), ("binary", "binary")])
def test_vectors_are_kept_where_the_config_says(
    server: StandIn, make_chunk: MakeChunk, kept: StoredVectors, method: str | None
) -> None:
    server.exists = False
    opened = QdrantStore(settings_for(server.url).model_copy(update={"vectors": kept}), Bm25())
    opened.upsert([make_chunk(1, "amber")], np.ones((1, 4), dtype=np.float32), 1.0)
    opened.search(3, np.ones(4, dtype=np.float32))
    opened.close()
    dense = server.sent("PUT", "")[0].body["vectors"]["dense"]
    assert dense["on_disk"] is True
    assert [*(dense.get("quantization_config") or {})] == ([method] if method else [])
    (query,) = server.sent("POST", "/points/query/batch")[0].body["searches"]
    quantization = query["params"].get("quantization")
    assert (quantization and quantization["rescore"]) == (True if method else None)


def test_fields_are_indexed_once(server: StandIn, store: QdrantStore, make_chunk: MakeChunk) -> None:
    for n in range(3):
        store.upsert([make_chunk(n, "amber")], np.ones((1, 4), dtype=np.float32), 1.0)

    assert [request.body["field_name"] for request in server.sent("PUT", "/index")] == ['s."source_document"']
    assert len(server.sent("GET", "")) == 1


def test_many_chunks_are_written_in_batches(server: StandIn, store: QdrantStore, make_chunk: MakeChunk) -> None:
    store.upsert([make_chunk(n, "amber") for n in range(250)], np.ones((250, 4), dtype=np.float32), 1.0)

    written = [request.body["points"] for request in server.sent("PUT", "/points")]
    assert [len(points) for points in written] == [100, 100, 50]
    assert len({point["id"] for points in written for point in points}) == 250


def test_both_searches_are_one_request(server: StandIn, store: QdrantStore) -> None:
    one, other = "00000000-0000-0000-0000-000000000001", "00000000-0000-0000-0000-000000000002"
    server.replies["POST", "/points/query/batch"] = ok(
        [
            {"points": [{"id": one, "version": 1, "score": 0.5}]},
            {"points": [{"id": other, "version": 1, "score": 9.5}, {"id": one, "version": 1, "score": 1}]},
        ]
    )

    dense, sparse = store.search(
        3, np.ones(4, dtype=np.float32), "amber amber birch", [Filter.model_validate({"not": {"or": []}})]
    )

    assert (dense, sparse) == ([Hit(one, 0.5)], [Hit(other, 9.5), Hit(one, 1.0)])
    (request,) = server.sent("POST", "/points/query/batch")
    first, second = request.body["searches"]
    assert (first["using"], second["using"]) == ("dense", "bm25")
    assert first["limit"] == second["limit"] == 3
    assert first["filter"] == second["filter"] == {"must": [{"must_not": [{"must": [{"has_id": []}]}]}]}
    assert first["query"] == {"nearest": [1.0] * 4}
    assert len(second["query"]["nearest"]["indices"]) == 2
    assert second["query"]["nearest"]["values"] == [1.0, 1.0]


def test_counts_are_asked_for_exactly(server: StandIn, store: QdrantStore) -> None:
    assert store.count([Filter(field="page", gte=2)], "d1", "bm25") == 7

    (request,) = server.sent("POST", "/points/count")
    assert request.body["exact"] is True
    assert request.body["filter"]["must"] == [
        {"must": [{"key": "document_id", "match": {"any": ["d1"]}}]},
        {"has_vector": "bm25"},
        {"must": [{"key": 'n."page"', "range": {"gte": 2.0}}]},
    ]


def test_deleting_is_by_filter_and_waited_for(server: StandIn, store: QdrantStore) -> None:
    kept = "00000000-0000-0000-0000-000000000001"
    store.delete_documents(["d1", "d2"], {"d1": [kept], "d2": []})

    (request,) = server.sent("POST", "/points/delete")
    assert "wait=true" in request.query
    assert request.body["filter"] == {
        "must": [{"must": [{"key": "document_id", "match": {"any": ["d1", "d2"]}}]}],
        "must_not": [{"has_id": [kept]}],
    }


def test_scrolling_goes_on_to_the_last_page(server: StandIn, store: QdrantStore, make_chunk: MakeChunk) -> None:
    chunks = sorted((make_chunk(n, "amber") for n in range(2)), key=lambda chunk: chunk.id)
    pages = [
        {"points": [{"id": chunk.id, "payload": to_payload(chunk)}], "next_page_offset": offset}
        for chunk, offset in zip(chunks, [chunks[1].id, None], strict=True)
    ]

    found: list[Chunk] = []
    server.replies["POST", "/points/scroll"] = ok(pages[0])
    for chunk in store.iter_chunks():
        found.append(chunk)
        server.replies["POST", "/points/scroll"] = ok(pages[1])

    assert found == chunks
    assert [request.body.get("offset") for request in server.sent("POST", "/points/scroll")] == [
        None,
        chunks[1].id,
    ]


def test_reweighing_sends_sparse_vectors_alone(server: StandIn, store: QdrantStore, make_chunk: MakeChunk) -> None:
    chunks = [make_chunk(1, "amber"), make_chunk(2, "the")]
    points = [{"id": chunk.id, "payload": to_payload(chunk)} for chunk in chunks]
    server.replies["POST", "/points/scroll"] = ok({"points": points, "next_page_offset": None})

    store.reweigh(5.0)

    (request,) = server.sent("PUT", "/points/vectors")
    assert [(point["id"], list(point["vector"])) for point in request.body["points"]] == [(chunks[0].id, ["bm25"])]


def test_dropping_deletes_the_collection(server: StandIn, store: QdrantStore) -> None:
    store.drop()

    assert len(server.sent("DELETE", "")) == 1
    assert not store.exists()
    assert store.search(3, text="amber") == ([], [])
    store.drop()
    assert len(server.sent("DELETE", "")) == 1


def test_a_collection_of_someone_else_is_never_touched(
    server: StandIn, store: QdrantStore, make_chunk: MakeChunk
) -> None:
    info = collection_info()
    info["config"]["params"] |= {"vectors": {"size": 4, "distance": "Dot"}, "sparse_vectors": None}
    server.replies["GET", ""] = ok(info)

    for change in (
        store.drop,
        lambda: store.upsert([make_chunk(1, "amber")], np.ones((1, 4), dtype=np.float32), 1.0),
        lambda: store.delete_documents(["d1"]),
    ):
        with pytest.raises(StoreError, match=r"not made by ragkit; name another one in ingestion\.store\.collection"):
            change()
    assert {request.method for request in server.requests} == {"GET"}


def test_vectors_of_another_model_are_refused_before_they_are_sent(
    server: StandIn, store: QdrantStore, make_chunk: MakeChunk
) -> None:
    with pytest.raises(StoreError, match=r"4 dimensions, not 3; run: ragkit index --rebuild"):
        store.search(3, np.ones(3, dtype=np.float32))
    with pytest.raises(StoreError, match="4 dimensions, not 3"):
        store.upsert([make_chunk(1, "amber")], np.ones((1, 3), dtype=np.float32), 1.0)
    assert {request.method for request in server.requests} == {"GET"}


def test_a_collection_that_vanishes_while_in_use_is_an_error(server: StandIn, store: QdrantStore) -> None:
    assert store.count() == 7
    server.exists = False

    for read in (lambda: store.count(), lambda: store.search(3, text="amber"), lambda: store.chunks_of("d1")):
        with pytest.raises(StoreError, match=r"has no collection 'ragkit'; mend ingestion\.store\.url"):
            read()


@pytest.mark.parametrize(
    ("reply", "message"),
    [
        (
            refusal(401, f"Invalid key {KEY}"),
            r"refused the key \(HTTP 401\).*; set ingestion\.store\.api_key",
        ),
        ((403, b"Forbidden"), r"refused the key \(HTTP 403\); set ingestion\.store\.api_key"),
        ((404, b"<html>not here</html>"), r"is no Qdrant server \(HTTP 404\); mend ingestion\.store\.url"),
        (refusal(400, "Bad request: no"), r"refused the request \(HTTP 400\): Bad request: no$"),
        (refusal(429, "Rate limiting exceeded"), r"rate limit \(HTTP 429\): Rate limiting exceeded; wait"),
        (
            refusal(500, "Service internal error: disk"),
            r"failed \(HTTP 500\): Service internal error: disk; try again",
        ),
        ((503, b""), r"failed \(HTTP 503\); try again"),
        ((504, b""), r"gave no answer within 30 s; raise ingestion\.store\.timeout_s"),
        (b"{not json", r"answered something that Qdrant does not answer; mend ingestion\.store\.url"),
        (b"", r"answered something that Qdrant does not answer"),
        (b'{"result": [1, 2]}', r"answered something that Qdrant does not answer"),
        (b'{"result": null, "status": "ok"}', r"answered something that Qdrant does not answer"),
    ],
)
def test_faults_are_named_with_their_mend(
    server: StandIn, store: QdrantStore, make_chunk: MakeChunk, reply: Reply | bytes, message: str
) -> None:
    server.every = reply
    vector = np.ones(4, dtype=np.float32)
    calls: list[Callable[[], object]] = [
        lambda: store.search(3, vector, "amber"),
        lambda: store.chunks(["00000000-0000-0000-0000-000000000001"]),
        lambda: store.chunks_of("d1"),
        lambda: store.vectors_of("d1"),
        lambda: store.count(),
        lambda: store.upsert([make_chunk(1, "amber")], vector[None, :], 1.0),
        lambda: store.delete_documents(["d1"]),
        lambda: store.reweigh(2.0),
        lambda: list(store.iter_chunks()),
        lambda: store.drop(),
    ]

    for call in calls:
        with pytest.raises(StoreError, match=message) as raised:
            call()
        assert server.url in str(raised.value)
        assert KEY not in "".join(traceback.format_exception(raised.value))


def test_faults_of_single_calls_are_named_too(server: StandIn, store: QdrantStore, make_chunk: MakeChunk) -> None:
    for place in (
        ("PUT", "/points"),
        ("PUT", "/index"),
        ("POST", "/points/delete"),
        ("POST", "/points/query/batch"),
        ("POST", "/points/scroll"),
        ("POST", "/points"),
        ("DELETE", ""),
    ):
        server.replies[place] = refusal(500, "no space left on device")
    calls: list[Callable[[], object]] = [
        lambda: store.upsert([make_chunk(1, "amber")], np.ones((1, 4), dtype=np.float32), 1.0),
        lambda: store.delete_documents(["d1"]),
        lambda: store.search(3, text="amber"),
        lambda: store.chunks_of("d1"),
        lambda: store.chunks(["00000000-0000-0000-0000-000000000001"]),
        store.drop,
    ]

    for call in calls:
        with pytest.raises(StoreError, match="no space left on device"):
            call()


def test_a_rate_limit_says_how_long_to_wait() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"

        def answer() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(b"HTTP/1.1 429 Too Many\r\nRetry-After: 17\r\nContent-Length: 0\r\n\r\n")

        thread = threading.Thread(target=answer)
        thread.start()
        with pytest.raises(StoreError, match=r"HTTP 429\); wait 17 s"):
            QdrantStore(settings_for(url), Bm25()).count()
        thread.join()


def test_a_slow_server_is_given_up(server: StandIn) -> None:
    server.delay_s = 1.5
    store = QdrantStore(settings_for(server.url, timeout_s=0.7), Bm25())

    with pytest.raises(StoreError, match=r"gave no answer within 0\.7 s; raise ingestion\.store\.timeout_s"):
        store.count()
    store.close()


def test_a_server_that_is_not_there_is_named_with_how_to_start_one() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    store = QdrantStore(settings_for(f"http://user:hidden@127.0.0.1:{port}"), Bm25())

    with pytest.raises(
        StoreError, match=rf"no Qdrant server at http://127\.0\.0\.1:{port} .*docker compose up"
    ) as raised:
        store.search(3, text="amber")
    shown = "".join(traceback.format_exception(raised.value))
    assert KEY not in shown
    assert "hidden" not in str(raised.value)


def test_a_connection_that_breaks_off_is_an_error() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"

        def hang_up() -> None:
            connection, _ = listener.accept()
            connection.recv(65536)
            connection.close()

        thread = threading.Thread(target=hang_up)
        thread.start()
        with pytest.raises(StoreError, match=r"no Qdrant server at .*mend ingestion\.store\.url"):
            QdrantStore(settings_for(url), Bm25()).count()
        thread.join()


def test_a_missing_url_is_an_error_of_the_config() -> None:
    with pytest.raises(ConfigError, match=r"ingestion\.store\.url is missing .*http://localhost:6333"):
        QdrantStore(settings_for(None), Bm25())


def test_without_the_extra_the_import_says_what_to_install() -> None:
    program = "import sys; sys.modules['qdrant_client'] = None; import ragkit.store.qdrant"

    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)

    assert ended.stderr.splitlines()[-1].endswith(
        "MissingExtra: qdrant_client is not installed; pip install 'ragkit[qdrant]'"
    )
