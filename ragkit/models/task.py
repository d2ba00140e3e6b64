"""What a model is for, by the catalogue or by its own files; one of another task is refused before it gives nonsense.

A cross-encoder made of an embedding model has a head of random weights: its scores look like any others.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, cast

from ragkit.errors import ModelError
from ragkit.models.catalogue import Task, catalogue, listed

if TYPE_CHECKING:
    from ragkit.models.resolve import Found

# The modules of sentence-transformers that make of token vectors what a task wants.
_MODULES: dict[str, Task] = {"Pooling": "embedding", "SpladePooling": "sparse", "LogitScore": "reranking"}
_SCORING = ("ForSequenceClassification", "ForCausalLM")


def check_listed(reference: str, task: Task) -> None:
    """Raise ModelError if the catalogue lists the model for another task; whether it is here does not matter."""
    model = listed(reference)
    if model and model.task != task:
        raise _other_task(reference, model.task, task)


def check_files(reference: str, lying: Found, task: Task) -> None:
    """Raise ModelError if the files of a model that is a folder say that it is for another task, or it is no folder.

    Those that say nothing may be for this one.
    """
    if lying.origin == "path" and Path(lying.name).is_file():
        found = "generation" if lying.name.endswith(".gguf") else None
        if found is None:
            raise ModelError(f"{reference} is a file", mend=f"give the folder of a model for {task}")
    else:
        found = task_of(lying.folder)
    if found and found != task:
        raise _other_task(reference, found, task)


def task_of(folder: Path) -> Task | None:
    """The task that the files in a folder tell of; None where they leave it open."""
    for kind in _module_kinds(folder):
        if kind in _MODULES:
            return _MODULES[kind]
    architectures = architectures_of(folder)
    if any(name.endswith("ForSequenceClassification") for name in architectures):
        return "reranking"
    if architectures and all("For" not in name for name in architectures):
        return "embedding"  # an encoder without a head
    if not (folder / "config.json").exists() and next(folder.glob("*.gguf"), None):
        return "generation"
    return None


def has_scoring_head(folder: Path) -> bool:
    """Whether the weights hold what turns a pair into a score, so that nobody fills it in at random."""
    return any(name.endswith(_SCORING) for name in architectures_of(folder))


def architectures_of(folder: Path) -> list[str]:
    """The classes of transformers that the weights were saved from; none where config.json does not say."""
    settings = _read(folder / "config.json")
    names = cast("dict[str, object]", settings).get("architectures") if isinstance(settings, dict) else None
    return [str(name) for name in cast("list[object]", names)] if isinstance(names, list) else []


def _module_kinds(folder: Path) -> Iterator[str]:
    modules = _read(folder / "modules.json")
    for module in cast("list[object]", modules) if isinstance(modules, list) else []:
        if isinstance(module, dict):
            yield str(cast("dict[str, object]", module).get("type")).rpartition(".")[2]


def _read(file: Path) -> object:
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None


def _other_task(reference: str, found: Task, wanted: Task) -> ModelError:
    fitting = ", ".join(model.name for model in catalogue().values() if model.task == wanted)
    search = " search" if found == "sparse" else ""
    return ModelError(f"{reference} is a model for {found}{search}, not for {wanted}", mend=f"name one of: {fitting}")
