"""Models as ONNX, made once on each machine from what torch runs, and kept with the models.

~/.cache/ragkit/models/.onnx/KEY/     KEY stands for the bytes of the model's files and for how the export is made
  model.onnx                          the graph, rewritten for this kind of processor
  export.json                         its sha256, and how near it came; or why there is none

How a model of a kind is exported, and how its results are compared with torch's, its `Exporter` knows. A process of its
own makes it, so that torch's memory goes with it. Once it is there, those go that it takes the place of: of other bytes
in the same folder, and of the same bytes by an older version of ragkit.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol, TypeVar, cast

from ragkit.errors import ModelError
from ragkit.models.cache import cache_folder, check_sha256, fetch_lock, publish, sha256_of

if TYPE_CHECKING:
    from ragkit.models.resolve import Found

T = TypeVar("T")
Exporter = Literal["ragkit.embed.onnx_export", "ragkit.rerank.onnx_export"]
"""The module whose `export` writes the file; a name, for it is imported where torch may be."""


class Export(Protocol):
    """The function `export` of such a module."""

    def __call__(self, model: Path, to: Path) -> float:
        """Write the ONNX file of the model in a folder to the path `to`, ready to be opened as optimised.

        Returns how far its results are from torch's at most, in the exporter's own measure. Raises ModelError if that
        is too far, and whatever torch raises for a model that it cannot export.
        """
        ...


_FORMAT = 1
_CANNOT = 3
_AGAIN_S = 3600.0
# The package's folder goes last on the path: where it is site-packages, the standard library is before it.
_PROGRAM = (
    "import sys; sys.path.append(sys.argv[1]); from ragkit.models.onnx_export import main; sys.exit(main(sys.argv[2:]))"
)
_MODEL, _NOTE = "model.onnx", "export.json"
_SUPERSEDED = ".superseded"


def exported(found: Found, exporter: Exporter) -> Path | None:
    """The ONNX file of a model on this machine, made now if it is not there: 5 to 10 s, once.

    None where there cannot be one: the model is of a kind that cannot be exported or comes out different, or the
    packages that make it (`ragkit[local]`) or a place to keep it are missing.
    """
    folder = _folder(found)
    note = _note(folder)
    if not note and all(importlib.util.find_spec(package) for package in ("onnxruntime", "sentence_transformers")):
        with suppress(ModelError, OSError), fetch_lock(f"onnx-{folder.name}"):
            note = _note(folder)
            if not note:
                _make(found.folder, folder, exporter)
                note = _note(folder)
    return folder / _MODEL if "sha256" in note and importlib.util.find_spec("onnxruntime") else None


def opened_export(found: Found, exporter: Exporter, opener: Callable[[Path], T]) -> T | None:
    """What `opener` makes of the ONNX file; None where `exported` is. Raises what `opener` does."""
    for again in (True, False):
        model = exported(found, exporter)
        if model is None:
            return None
        try:
            return opener(model)
        except ModelError:
            if model.exists() or not again:
                raise
            # A process that made the next export of what is in this folder has just removed it.
    return None


def why_not(found: Found) -> str | None:
    """Why a model has no ONNX file; None if it has one, or nothing was tried and nothing stands in its way."""
    note = _note(_folder(found))
    if reason := note.get("refused") or note.get("failed"):
        return reason
    there = next(folder for folder in (cache_folder(), *cache_folder().parents) if folder.exists())
    return None if note or os.access(there, os.W_OK) else f"cannot write {there}, where it would be kept"


def _note(folder: Path) -> dict[str, str]:
    """What is known of an export: `sha256` if it is there and whole, `refused` if there cannot be one with the packages
    that are installed, `failed` if it failed within the last hour for a reason that may pass, else nothing."""
    note = _read_note(folder)
    try:
        if "sha256" in note:
            check_sha256(folder / _MODEL, note["sha256"])
        elif note and (note.get("with") != _versions() or ("failed" in note and _long_ago(note))):
            return {}
    except (OSError, ValueError, ModelError):
        return {}
    return note


def _read_note(folder: Path) -> dict[str, str]:
    """The note as it stands there; nothing if there is none that can be read."""
    try:
        read: object = json.loads((folder / _NOTE).read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return cast("dict[str, str]", read) if isinstance(read, dict) else {}


def _long_ago(note: dict[str, str]) -> bool:
    return not 0 <= time.time() - float(note["at"]) < _AGAIN_S


def _versions() -> str:
    """What a failure depends on, beside the model."""
    found: list[str] = []
    for package in ("torch", "transformers", "sentence-transformers", "onnxruntime"):
        with suppress(metadata.PackageNotFoundError):
            found.append(f"{package} {metadata.version(package)}")
    return ", ".join(found)


def _folder(found: Found) -> Path:
    return cache_folder() / ".onnx" / f"{found.digest()}-{_FORMAT}"


def _make(model: Path, folder: Path, exporter: Exporter) -> None:
    """Put what there is to keep into `folder`: the export, or why there is none. Nothing if it was cut off."""
    model = model.resolve()  # another folder of the same relative path is another model's
    for left in folder.parent.glob(f".{folder.name}.building-*"):
        shutil.rmtree(left, ignore_errors=True)  # by a killed process; its child may still write into it
    building = folder.with_name(f".{folder.name}.building-{os.getpid()}")
    building.mkdir(parents=True)
    package = str(Path(__file__).parents[2])
    done = subprocess.run(
        [sys.executable, "-P", "-c", _PROGRAM, package, exporter, str(model), str(building)],
        env={**os.environ, "TRANSFORMERS_VERBOSITY": "error", "HF_HUB_OFFLINE": "1"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode < 0:  # by a signal, which says nothing of the model
        shutil.rmtree(building)
        return
    if done.returncode:
        for path in building.iterdir():
            path.unlink()
        reason = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        final = done.returncode == _CANNOT
        note = {"refused" if final else "failed": reason[:300], "with": _versions(), "at": str(time.time())}
        (building / _NOTE).write_text(json.dumps(note | {"model": str(model)}), "utf-8")
    publish(building, folder)
    _remove_superseded(model, folder)


def _remove_superseded(model: Path, folder: Path) -> None:
    """Remove the exports that the one in `folder`, of the model at `model`, takes the place of.

    Those of the same bytes by a newer version of ragkit stay: it may be installed beside this one. Who has read a file
    that goes keeps what was read; who is about to finds that it is gone, and makes it again.
    """
    digest = folder.name.rpartition("-")[0]
    for other in folder.parent.glob("[!.]*"):
        of, _, made_by = other.name.rpartition("-")
        older = of == digest and made_by.isdecimal() and int(made_by) < _FORMAT
        if older or (of != digest and _read_note(other).get("model") == str(model)):
            with suppress(OSError):  # another process removes it too
                other.rename(other.with_name(f".{other.name}{_SUPERSEDED}"))
    for left in folder.parent.glob(f".*{_SUPERSEDED}"):  # by a killed process too
        shutil.rmtree(left, ignore_errors=True)


def main(arguments: Sequence[str]) -> int:
    """What the process of its own runs, with the exporter, the model's folder and the one to write; its exit code."""
    exporter, model, to = arguments
    try:
        export: Export = importlib.import_module(exporter).export
        farthest = export(Path(model), Path(to) / _MODEL)
        note = {"sha256": sha256_of(Path(to) / _MODEL), "farthest": f"{farthest:.2e}", "model": model}
        (Path(to) / _NOTE).write_text(json.dumps(note), "utf-8")
    except (OSError, MemoryError, ImportError):
        raise  # which another time may bring no more
    except Exception as error:
        print(f"{type(error).__name__}: {(str(error).strip().splitlines() or [''])[0]}", file=sys.stderr)
        return _CANNOT
    return 0
