"""A small HTTP server that replays what a Qdrant server answers, as documented, and any fault it is told to."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Reply = tuple[int, Any]


@dataclass
class Request:
    """One request as it came in, without the server's host."""

    method: str
    path: str
    query: str
    headers: dict[str, str]
    body: Any


def ok(result: Any) -> Reply:
    return 200, {"result": result, "status": "ok", "time": 0.0001}


def refusal(status: int, message: str) -> Reply:
    return status, {"status": {"error": message}, "time": 0.0}


def collection_info(dimensions: int = 4) -> dict[str, Any]:
    """As the server describes a collection that ragkit made."""
    return {
        "status": "green",
        "optimizer_status": "ok",
        "indexed_vectors_count": 0,
        "points_count": 1,
        "segments_count": 2,
        "config": {
            "params": {
                "vectors": {"dense": {"size": dimensions, "distance": "Cosine"}},
                "sparse_vectors": {"bm25": {"modifier": "idf"}},
                "shard_number": 1,
                "replication_factor": 1,
                "write_consistency_factor": 1,
                "on_disk_payload": True,
            },
            "hnsw_config": {"m": 16, "ef_construct": 100, "full_scan_threshold": 10000},
            "optimizer_config": {
                "deleted_threshold": 0.2,
                "vacuum_min_vector_number": 1000,
                "default_segment_number": 0,
                "flush_interval_sec": 5,
            },
            "wal_config": {"wal_capacity_mb": 32, "wal_segments_ahead": 0},
        },
        "payload_schema": {"document_id": {"data_type": "keyword", "points": 1}},
    }


UPDATED = ok({"operation_id": 1, "status": "completed"})


@dataclass
class StandIn:
    """A server that knows one collection, "ragkit". `replies` overrides the answer by method and path."""

    url: str = ""
    exists: bool = True
    requests: list[Request] = field(default_factory=list[Request])
    replies: dict[tuple[str, str], Reply | bytes] = field(default_factory=dict[tuple[str, str], Reply | bytes])
    every: Reply | bytes | None = None
    delay_s: float = 0.0

    def reply(self, request: Request) -> Reply | bytes:
        self.requests.append(request)
        time.sleep(self.delay_s)
        if self.every is not None:
            return self.every
        place = (request.method, request.path.removeprefix("/collections/ragkit"))
        if place in self.replies:
            return self.replies[place]
        if place == ("PUT", ""):
            self.exists = True
            return ok(True)
        if place == ("DELETE", ""):
            self.exists = False
            return ok(True)
        if place == ("GET", "/exists"):
            return ok({"exists": self.exists})
        if not self.exists:
            return refusal(404, "Not found: Collection `ragkit` doesn't exist!")
        searches: list[Any] = request.body["searches"] if place == ("POST", "/points/query/batch") else []
        known: dict[tuple[str, str], Reply] = {
            ("GET", ""): ok(collection_info()),
            ("PUT", "/index"): UPDATED,
            ("PUT", "/points"): UPDATED,
            ("PUT", "/points/vectors"): UPDATED,
            ("POST", "/points/delete"): UPDATED,
            ("POST", "/points/count"): ok({"count": 7}),
            ("POST", "/points/scroll"): ok({"points": [], "next_page_offset": None}),
            ("POST", "/points"): ok([]),
            ("POST", "/points/query/batch"): ok([{"points": []}] * len(searches)),
        }
        return known.get(place, (404, {"status": {"error": "Not found"}}))

    def sent(self, method: str, path: str) -> list[Request]:
        """The requests to a place of the collection."""
        return [one for one in self.requests if (one.method, one.path) == (method, f"/collections/ragkit{path}")]


@contextmanager
def standing_in() -> Generator[StandIn]:
    """The stand-in, listening."""
    stand_in = StandIn()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            length = int(self.headers.get("content-length") or 0)
            body = json.loads(self.rfile.read(length)) if length else None
            path, _, query = self.path.partition("?")
            headers = {name.lower(): value for name, value in self.headers.items()}
            reply = stand_in.reply(Request(self.command, path, query, headers, body))
            status, content = reply if isinstance(reply, tuple) else (200, reply)
            raw = content if isinstance(content, bytes) else json.dumps(content).encode()
            try:
                self.send_response(status)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(raw)))
                self.end_headers()
                self.wfile.write(raw)
            except OSError:
                self.close_connection = True  # The client gave up waiting.

        do_GET = do_PUT = do_POST = do_DELETE = do_PATCH = answer  # noqa: N815

        def log_message(self, format: str, *args: Any) -> None:
            pass

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    stand_in.url = f"http://127.0.0.1:{http.server_address[1]}"
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    yield stand_in
    http.shutdown()
    http.server_close()
    thread.join()
