"""Where an embedding model lies on disk, what it reads, and whether its bytes are the publisher's.

A known name stands for a model of the catalogue (`ragkit/models`): fetched, carried by an installed package, or in
the local Hub cache. Any other name is a folder in sentence-transformers format, or a model already in the Hub cache.
Nothing is fetched here: `ragkit models fetch` does that.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import cast

from ragkit.config.schema import Embedding
from ragkit.errors import ConfigError, ModelError
from ragkit.models.catalogue import HubSource, Model, catalogue
from ragkit.models.reference import Package, UnknownModel, parse_reference
from ragkit.models.resolve import Found, find, out_of_reach
from ragkit.models.task import check_files, check_listed


def model_folder(name: str) -> Path:
    """The folder of the embedding model `name`: a model reference, or `org/name` in the local Hub cache.

    Raises MissingExtra when the package that carries it is not installed and ModelError when nothing is found, or a
    model of another task.
    The weights of a known name are compared with the hash of the catalogue by `verify_weights`, which whoever loads
    them calls.
    """
    check_listed(name, "embedding")
    found = found_model(name)
    check_files(name, found, "embedding")
    folder = found.folder
    if not (folder / "tokenizer.json").is_file():
        raise ModelError(f"{folder} is no embedding model: it has no tokenizer.json")
    return folder


def embedded_by(embedding: Embedding) -> str:
    """What decides the vector of a passage: the model, down to the bytes of its files where they lie here, and the
    settings that it is run with. Vectors of equal texts are equal where this is."""
    settings = repr(embedding.model_dump(include={"backend", "model", "dimensions", "passage_prefix"}))
    return settings if embedding.backend == "openai" else f"{settings} {found_model(embedding.model).digest()}"


def verify_weights(name: str) -> bool:
    """Compare the files of a known model with their sha256; False for a model that has none to compare with.

    Raises ModelError with both hashes when they differ. Reads 90 MB, 0.1 s, when the files are new or changed.
    """
    found = found_model(name)
    found.check()
    return found.pinned


def found_model(name: str) -> Found:
    """The embedding model of this name on this machine, its bytes not compared yet; raises as `model_folder` does."""
    wanted = _meant(name)
    found = find(wanted, check=False)
    if found:
        return found
    raise out_of_reach(wanted)


def _meant(name: str) -> Model | HubSource | Package | Path:
    try:
        return parse_reference(name)
    except UnknownModel as error:
        hub = HubSource(name)
        if name.count("/") == 1 and not name.startswith((".", "/", "~")) and find(hub, check=False):
            return hub
        known = ", ".join(sorted(model.name for model in catalogue().values() if model.task == "embedding"))
        raise ModelError(
            f"embedding model {name!r} is neither a known name ({known}) nor a folder nor in the local Hub cache",
            mend=error.mend,
        ) from error


def model_window(folder: Path) -> int:
    """Longest input of the model in tokens, special tokens included."""
    for file, key in (
        ("sentence_bert_config.json", "max_seq_length"),
        ("tokenizer_config.json", "model_max_length"),
        ("config.json", "max_position_embeddings"),
    ):
        value = _settings(folder / file).get(key)
        # Tokenizers without a limit write 10**30 here.
        if isinstance(value, int) and 0 < value < 1_000_000:
            return value
    raise ModelError(f"{folder} does not say how many tokens the model reads")


def model_dimensions(folder: Path) -> int | None:
    """Length of the model's vectors, as the last of its modules that changes it says; None if none says it.

    >>> model_dimensions(model_folder("all-MiniLM-L6-v2"))
    384
    """
    length: int | None = None
    modules = _read_json(folder / "modules.json")
    for module in cast("list[object]", modules) if isinstance(modules, list) else []:
        path = cast("dict[str, object]", module).get("path", "") if isinstance(module, dict) else ""
        part = _settings(folder / str(path) / "config.json")
        said = part.get("out_features") or part.get("word_embedding_dimension")
        length = said if isinstance(said, int) else length
    return length


def model_positions(folder: Path) -> int | None:
    """The longest input that the model's weights have positions for, special tokens included; None if it has no limit
    or does not say.

    >>> model_positions(model_folder("all-MiniLM-L6-v2"))
    512
    """
    settings = _settings(folder / "config.json")
    positions = settings.get("max_position_embeddings")
    if not isinstance(positions, int) or positions < 1 or settings.get("position_biased_input") is False:
        return None
    # Models of RoBERTa's kind count positions from behind the padding token.
    behind_padding = settings.get("model_type") in ("roberta", "xlm-roberta", "camembert", "mpnet")
    return positions - (padding_token(folder) or 1) - 1 if behind_padding else positions


def padding_token(folder: Path) -> int | None:
    """The id of the token that fills up the shorter texts of a batch; None if the model does not say.

    >>> padding_token(model_folder("all-MiniLM-L6-v2"))
    0
    """
    token = _settings(folder / "config.json").get("pad_token_id")
    return token if isinstance(token, int) else None


def check_window(embedding: Embedding, positions: int | None) -> None:
    """Raise ConfigError if the config says that the model reads more than it has positions for."""
    if positions and embedding.max_tokens and embedding.max_tokens > positions:
        raise ConfigError(
            f"ingestion.embedding.max_tokens is {embedding.max_tokens}, but {embedding.model} has positions for "
            f"{positions}",
            mend="lower it, or leave it out to take what the model was trained with",
        )


def check_dimensions(embedding: Embedding, length: int | None) -> None:
    """Raise ConfigError if the config wants longer vectors than a model of this vector length gives."""
    if length and embedding.dimensions and embedding.dimensions > length:
        raise ConfigError(
            f"ingestion.embedding.dimensions is {embedding.dimensions}, but {embedding.model} has {length}",
            mend="leave it out to keep them all",
        )


def _settings(file: Path) -> dict[str, object]:
    """The settings in a file; none where there is no file, or something else stands in it."""
    read = _read_json(file)
    return cast("dict[str, object]", read) if isinstance(read, dict) else {}


def _read_json(file: Path) -> object:
    try:
        return json.loads(file.read_text(encoding="utf-8")) if file.is_file() else None
    except (OSError, ValueError, RecursionError) as error:
        raise ModelError(f"cannot read {file}: {error}", mend="get the model anew") from error
