"""Models of the Hub: its own client against a server on this machine that speaks its protocol."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import pytest

pytest.importorskip("huggingface_hub")

COMMIT = "0123456789abcdef0123456789abcdef01234567"
FILES = {
    "config.json": b"{}",
    "tokenizer.json": b"{}",
    "model.safetensors": b"weights" * 100,
    "pytorch_model.bin": b"pickle",
    "onnx/model.onnx": b"onnx",
}


class _Hub(BaseHTTPRequestHandler):
    broken: ClassVar[set[str]] = set()

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        if path.rpartition("/")[2] in self.broken:
            self.send_error(403)
        elif path.startswith("/api/models/org/kettle/tree/"):
            rows = [{"type": "file", "path": name, "size": len(body), "oid": "0" * 40} for name, body in FILES.items()]
            self._send(json.dumps(rows).encode())
        elif path.startswith("/api/models/org/kettle"):
            siblings = [{"rfilename": name} for name in FILES]
            self._send(json.dumps({"id": "org/kettle", "sha": COMMIT, "siblings": siblings}).encode())
        elif path.startswith("/org/kettle/resolve/") and (name := path.split("/", 5)[5]) in FILES:
            self._send(FILES[name], {"ETag": f'"{hashlib.sha1(FILES[name]).hexdigest()}"', "X-Repo-Commit": COMMIT})
        else:
            self.send_error(404)

    def _send(self, body: bytes, extra: dict[str, str] | None = None) -> None:
        self.send_response(200)
        for key, value in {"Content-Length": str(len(body)), **(extra or {})}.items():
            self.send_header(key, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@pytest.fixture
def hub() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Hub)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def fetch(reference: str, url: str, folder: Path, **extra: str) -> tuple[int, dict[str, Any]]:
    """In a process of its own: the client reads its settings once, when it is imported."""
    environ = {
        **os.environ,
        "HF_ENDPOINT": url,
        "HF_HOME": str(folder / "hub"),
        "RAGKIT_MODELS": str(folder / "models"),
    }
    environ |= {"HF_HUB_OFFLINE": "0", "HF_HUB_DISABLE_XET": "1", "PYTHONPATH": str(Path(__file__).parents[2]), **extra}
    command = [sys.executable, "-m", "ragkit.cli.main", "models", "fetch", reference, "--json"]
    done = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=120, check=False)
    return done.returncode, json.loads(done.stdout)


def test_a_repository_is_fetched_into_the_cache_of_its_client_without_pickles(hub: str, tmp_path: Path) -> None:
    code, result = fetch("hf:org/kettle", hub, tmp_path)
    assert code == 0, result
    [model] = result["models"]
    assert {Path(file["file"]).name for file in model["files"]} == {
        "config.json",
        "tokenizer.json",
        "model.safetensors",
    }
    assert (model["origin"], model["pinned"]) == ("Hub cache", False)
    assert Path(model["path"], "model.safetensors").read_bytes() == FILES["model.safetensors"]
    # Out of reach of the Hub it is here.
    assert fetch("hf:org/kettle", "http://127.0.0.1:9", tmp_path)[0] == 0


def test_a_fetch_that_was_cut_off_is_no_model_and_goes_on(hub: str, tmp_path: Path) -> None:
    assert fetch("hf:org/kettle", hub, tmp_path)[0] == 0
    snapshot = tmp_path / "hub" / "hub" / "models--org--kettle" / "snapshots" / COMMIT
    blob = (snapshot / "tokenizer.json").resolve()
    (snapshot / "tokenizer.json").unlink()
    blob.unlink(missing_ok=True)
    _Hub.broken.add("tokenizer.json")
    try:
        code, result = fetch("hf:org/kettle", hub, tmp_path)
    finally:
        _Hub.broken.clear()
    assert (code, "is not on this machine" in result["error"]) == (2, True)
    assert fetch("hf:org/kettle", hub, tmp_path)[0] == 0
    assert (snapshot / "tokenizer.json").is_file()


def test_a_snapshot_whose_blob_was_cleared_away_is_fetched_again(hub: str, tmp_path: Path) -> None:
    assert fetch("hf:org/kettle", hub, tmp_path)[0] == 0
    snapshot = tmp_path / "hub" / "hub" / "models--org--kettle" / "snapshots" / COMMIT
    (snapshot / "tokenizer.json").resolve().unlink()
    assert (snapshot / "tokenizer.json").is_symlink(), "the Hub's client links to blobs where it can"
    code, result = fetch("hf:org/kettle", "http://127.0.0.1:9", tmp_path)
    assert (code, "is not on this machine" in result["error"]) == (2, True)
    assert fetch("hf:org/kettle", hub, tmp_path)[0] == 0
    assert (snapshot / "tokenizer.json").is_file()


def test_a_repository_that_is_not_there_is_one_line(hub: str, tmp_path: Path) -> None:
    code, result = fetch("hf:org/nothing", hub, tmp_path)
    assert code == 2
    assert "hf:org/nothing is not on this machine and no source is in reach" in result["error"]
    assert "\n" not in result["error"]


@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [
        ("HF_ENDPOINT", "http://me:pw0/123@host/hub", "HF_ENDPOINT is no http or https address"),
        ("HF_ENDPOINT", "http://me:pw0123@127.0.0.1:9/hub?token=pw0123", "the Hub does not give it"),
        ("HTTP_PROXY", "http://me:pw0/123@host", "the Hub does not give it"),
        ("HTTP_PROXY", "http://me:pw0123@127.0.0.1:9", "the Hub does not give it"),
    ],
)
def test_addresses_and_proxies_of_the_hub_are_not_shown(tmp_path: Path, variable: str, value: str, said: str) -> None:
    url = {"HF_ENDPOINT": value}.get(variable, "http://hub.example")
    code, result = fetch("hf:org/kettle", url, tmp_path, **({variable: value} if variable != "HF_ENDPOINT" else {}))
    assert code == 2
    assert said in result["error"]
    assert "pw0" not in result["error"]


def test_offline_says_so(hub: str, tmp_path: Path) -> None:
    code, result = fetch("hf:org/kettle", hub, tmp_path, HF_HUB_OFFLINE="1")
    assert code == 2
    assert "HF_HUB_OFFLINE is set" in result["error"]


def test_without_the_client_the_extra_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from ragkit.errors import ModelError
    from ragkit.models.resolve import resolve

    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    monkeypatch.setenv("RAGKIT_MODELS", str(tmp_path))
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    with pytest.raises(ModelError, match=r"huggingface_hub is not installed; pip install 'ragkit\[hub\]'"):
        resolve("bge-m3")
