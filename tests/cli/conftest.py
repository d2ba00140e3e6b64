"""A small corpus indexed once, through a real HTTP embedding service that runs in this process: no model loads."""

from __future__ import annotations

import json
import re
import shutil
import threading
import zlib
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from ragkit.cli.main import main

RETURNS = """# Returns

## RMA numbers

Support sends an RMA number by mail. The RMA number is valid for 30 days.

## Batteries

Remove the batteries before you send a node. Batteries travel in a parcel of their own.
"""
NETWORK = """# Network

The hub needs port 8443 to the outside. It keeps values for 90 days when the network fails.
"""
TICKETS = [
    {"id": "t1", "text": "The door of the freezer did not close.", "metadata": {"priority": 2}},
    {"id": "t2", "text": "An alarm was closed by mistake.", "metadata": {"priority": 1}},
]


class _Embeddings(BaseHTTPRequestHandler):
    """`/v1/embeddings` by words: each word has its own dimension, so that texts with common words are near."""

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        rows = [{"index": index, "embedding": _vector(text)} for index, text in enumerate(body["input"])]
        payload = json.dumps({"data": rows}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(payload)))
        self.end_headers()
        self.wfile.write(payload)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


def _vector(text: str) -> list[float]:
    vector = [0.01] * 256
    for word in re.findall(r"\w+", text.casefold()):
        vector[zlib.crc32(word.encode()) % 256] += 1.0
    return vector


@pytest.fixture(scope="session")
def embedding_url() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Embeddings)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/v1"
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory, embedding_url: str) -> Path:
    """A folder with `docs/`, `ragkit.yaml` and the index of the documents in `index/`."""
    folder = tmp_path_factory.mktemp("corpus") / "system"
    guides = folder / "docs" / "guides"
    guides.mkdir(parents=True)
    (guides / "returns.md").write_text(RETURNS, encoding="utf-8")
    (guides / "network.md").write_text(NETWORK, encoding="utf-8")
    rows = "".join(json.dumps(row) + "\n" for row in TICKETS)
    (folder / "docs" / "tickets.jsonl").write_text(rows, encoding="utf-8")
    (folder / "ragkit.yaml").write_text(
        f"""
ingestion:
  sources: [docs]
  parsing: {{workers: 1}}
  chunking: {{strategy: recursive, chunk_size: 32, overlap: 10}}
  embedding: {{backend: openai, model: words, base_url: "{embedding_url}"}}
  store: {{path: index}}
generation:
  refusal: {{min_confidence: 0.2}}
""",
        encoding="utf-8",
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert main(["index", "--json"]) == 0
    return folder.rename(folder.with_name("built"))


@pytest.fixture
def system(built: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Path]:
    """The same, fresh for each test, as the working directory, in a terminal of 100 columns."""
    # In the place where it was built, for an index knows its sources by their absolute paths.
    place = built.with_name("system")
    shutil.copytree(built, place)
    monkeypatch.chdir(place)
    monkeypatch.setenv("COLUMNS", "100")
    capsys.readouterr()
    yield place
    monkeypatch.chdir(built)
    shutil.rmtree(place)


Run = Callable[..., str]


@pytest.fixture
def ragkit(system: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run a command and return what it prints; `code` is the exit code that it must have."""
    del system

    def run(*args: str, code: int = 0) -> str:
        assert main(args) == code
        printed = capsys.readouterr()
        return printed.err if code == 2 else printed.out

    return run
