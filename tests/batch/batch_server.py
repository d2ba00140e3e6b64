"""A server with OpenAI's batch interface, over real HTTP: files, batches, and what comes of them."""

from __future__ import annotations

import json
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self


class BatchServer:
    """Answers every request of a batch with `says`, but those whose prompt has a word of `fails`."""

    def __init__(self, says: str, *, looks: int = 1, fails: tuple[str, ...] = (), ends: str = "completed") -> None:
        self.says, self.looks, self.fails, self.ends = says, looks, fails, ends
        self.files: dict[str, bytes] = {}
        self.batches: dict[str, dict[str, Any]] = {}
        self.breaks_after: str | None = None
        """A path of a POST whose answer is lost on the way: the server did it and nobody hears of it."""
        handler = type("Handler", (_Handler,), {"server_of": self})
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._thread = threading.Thread(target=self._http.serve_forever)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._http.server_port}/v1"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._http.shutdown()
        self._thread.join()
        self._http.server_close()

    def requests(self) -> list[dict[str, Any]]:
        """Every request of every batch."""
        return [
            json.loads(line)
            for batch in self.batches.values()
            for line in self.files[batch["input_file_id"]].splitlines()
        ]

    def upload(self, body: bytes) -> dict[str, Any]:
        found = re.search(rb'name="file"; filename="[^"]*".*?\r\n\r\n(.*?)\r\n--', body, re.DOTALL)
        assert found is not None
        assert b'name="purpose"\r\n\r\nbatch\r\n' in body
        name = f"file-{len(self.files)}"
        self.files[name] = found[1]
        return {"id": name, "object": "file", "purpose": "batch"}

    def begin(self, asked: dict[str, Any]) -> dict[str, Any]:
        assert asked["endpoint"] == "/v1/chat/completions"
        assert asked["completion_window"] == "24h"
        name = f"batch_{len(self.batches)}"
        self.batches[name] = {"id": name, "status": "validating", "input_file_id": asked["input_file_id"], "looks": 0}
        return self.batches[name]

    def look(self, name: str) -> dict[str, Any]:
        batch = self.batches[name]
        batch["looks"] += 1
        lines = [json.loads(line) for line in self.files[batch["input_file_id"]].splitlines()]
        if batch["looks"] <= self.looks:
            return {
                **batch,
                "status": "in_progress",
                "request_counts": {"completed": 0, "failed": 0, "total": len(lines)},
            }
        if "output_file_id" not in batch:
            rows = [self._outcome(line) for line in lines]
            good = [row for row in rows if row["response"]["status_code"] == 200]
            bad = [row for row in rows if row["response"]["status_code"] != 200]
            for key, kept in (("output_file_id", good if self.ends == "completed" else []), ("error_file_id", bad)):
                batch[key] = None
                if kept:
                    batch[key] = f"{name}-{key}"
                    # The interface promises no order.
                    self.files[batch[key]] = b"\n".join(json.dumps(row).encode() for row in reversed(kept))
            batch["request_counts"] = {"completed": len(good), "failed": len(bad), "total": len(rows)}
            batch["status"] = self.ends
        return batch

    def _outcome(self, line: dict[str, Any]) -> dict[str, Any]:
        assert line["method"] == "POST"
        assert line["url"] == "/v1/chat/completions"
        prompt = json.dumps(line["body"]["messages"])
        if any(word in prompt for word in self.fails):
            status, body = 400, {"error": {"message": "content filter", "code": "content_filter"}}
        else:
            choice = {"message": {"role": "assistant", "content": self.says}, "finish_reason": "stop"}
            usage = {"prompt_tokens": 100, "completion_tokens": 10}
            status, body = 200, {"model": line["body"]["model"], "choices": [choice], "usage": usage}
        return {"custom_id": line["custom_id"], "response": {"status_code": status, "body": body}, "error": None}


class _Handler(BaseHTTPRequestHandler):
    server_of: BatchServer

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        server = self.server_of
        answer = server.upload(body) if self.path == "/v1/files" else server.begin(json.loads(body))
        if server.breaks_after == self.path:
            server.breaks_after = None
            self.close_connection = True
            return
        self._send(json.dumps(answer).encode())

    def do_GET(self) -> None:
        path = self.path.split("?", 1)[0].split("/")[2:]
        server = self.server_of
        match path:
            case ["files", name, "content"]:
                self._send(server.files[name])
            case ["batches"]:
                self._send(json.dumps({"data": list(server.batches.values())}).encode())
            case ["batches", name]:
                self._send(json.dumps(server.look(name)).encode())
            case _:
                self.send_error(404)

    def _send(self, body: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass
