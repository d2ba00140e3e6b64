"""An embedding model as ONNX, made once on each machine from the model that torch runs, and kept with the models.

~/.cache/ragkit/models/.onnx/KEY/     KEY stands for the bytes of the model's files and for how the export is made
  model.onnx                          the graph, rewritten for this kind of processor
  export.json                         its sha256, and how near it came; or why there is none

It is used only if its vectors agree with torch's: cosine 1 to within 1e-4 on texts of all kinds. A process of its own
makes it, so that torch's memory goes with it. Once it is there, those go that it takes the place of: of other bytes in
the same folder, and of the same bytes by an older version of ragkit.
"""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from ragkit.errors import ModelError
from ragkit.models.cache import cache_folder, check_sha256, fetch_lock, publish, sha256_of
from ragkit.models.onnx_trace import BATCH, write_onnx

if TYPE_CHECKING:
    from ragkit.models.resolve import Found

_FORMAT = 1
_FARTHEST = 1e-4
_CANNOT = 3
_AGAIN_S = 3600.0
# The package's folder goes last on the path: where it is site-packages, the standard library is before it.
_PROGRAM = (
    "import sys; sys.path.append(sys.argv[1]); from ragkit.embed.onnx_export import main; sys.exit(main(sys.argv[2:]))"
)
_MODEL, _NOTE = "model.onnx", "export.json"
_SUPERSEDED = ".superseded"
_PROBES = (
    "",
    " ",
    "a",
    "  Leading blanks and a line\nbreak. ",
    "How long is an RMA number valid?",
    "ÉCOLE, straße, naïve, ΣΊΣΥΦΟΣ; 100 °C, 3.5 µm",
    "电池能用多久？ バッテリー 배터리 аккумулятор بطارية 👩‍👩‍👧‍👦",
    "The battery of a node lasts 24 months at an interval of 10 minutes. " * 4,
    "word " * 2000,
)


def exported(found: Found) -> Path | None:
    """The ONNX file of an embedding model on this machine, made now if it is not there: 5 to 10 s, once.

    None where there cannot be one: the model is of a kind that cannot be exported or comes out different, or the
    packages that make it (`ragkit[local]`) or a place to keep it are missing.
    """
    folder = _folder(found)
    note = _note(folder)
    if not note and all(importlib.util.find_spec(package) for package in ("onnxruntime", "sentence_transformers")):
        with suppress(ModelError, OSError), fetch_lock(f"onnx-{folder.name}"):
            note = _note(folder)
            if not note:
                _make(found.folder, folder)
                note = _note(folder)
    return folder / _MODEL if "sha256" in note and importlib.util.find_spec("onnxruntime") else None


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


def _make(model: Path, folder: Path) -> None:
    """Put what there is to keep into `folder`: the export, or why there is none. Nothing if it was cut off."""
    for left in folder.parent.glob(f".{folder.name}.building-*"):
        shutil.rmtree(left, ignore_errors=True)  # by a killed process; its child may still write into it
    building = folder.with_name(f".{folder.name}.building-{os.getpid()}")
    building.mkdir(parents=True)
    package = str(Path(__file__).parents[2])
    done = subprocess.run(
        [sys.executable, "-P", "-c", _PROGRAM, package, str(model), str(building)],
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


def export(model: Path, to: Path) -> None:
    """Write the ONNX file of the model in this folder, and its note, into the folder `to`.

    Raises ModelError if its vectors differ from torch's, and whatever torch raises for a model that it cannot export.
    """
    from ragkit.embed.models import model_window
    from ragkit.embed.onnx_encoder import OnnxEncoder
    from ragkit.embed.torch_encoder import TorchEncoder
    from ragkit.models.onnx_session import open_session

    window = model_window(model)
    by_torch = TorchEncoder(model, window, "cpu")
    expected = by_torch.encode(_PROBES)
    plain = to / "plain.onnx"
    _trace(by_torch.model, plain)
    open_session(plain, keep_optimised=to / _MODEL)
    plain.unlink()
    farthest = _farthest(expected, OnnxEncoder(model, to / _MODEL, window).encode(_PROBES))
    if not farthest <= _FARTHEST:
        raise ModelError(f"cosine to torch's vectors is down to {1 - farthest:.6f}")
    note = {"sha256": sha256_of(to / _MODEL), "farthest": f"{farthest:.2e}", "model": str(model)}
    (to / _NOTE).write_text(json.dumps(note), "utf-8")


def _trace(network: Any, to: Path) -> None:
    import torch

    names: list[str] = list(network.tokenizer(["a"]).keys())

    class Whole(torch.nn.Module):
        """From token ids to one vector, all modules of the model in their order."""

        def __init__(self) -> None:
            super().__init__()
            self.network = network

        def forward(self, *tensors: torch.Tensor) -> Any:
            return self.network(dict(zip(names, tensors, strict=True)))["sentence_embedding"]

    network[0].auto_model.set_attn_implementation("eager")
    write_onnx(Whole().eval(), to, names, {"embedding": BATCH})


def _farthest(expected: Any, found: Any) -> float:
    """How far the cosine of two rows is from 1, at most."""
    import numpy as np

    lengths = np.linalg.norm(found, axis=1) * np.linalg.norm(expected, axis=1)
    return float(np.max(1 - np.sum(expected * found, axis=1) / np.maximum(lengths, 1e-12)))


def main(arguments: Sequence[str]) -> int:
    """What the process of its own runs, with the model's folder and the one to write; its exit code."""
    try:
        export(Path(arguments[0]), Path(arguments[1]))
    except (OSError, MemoryError, ImportError):
        raise  # which another time may bring no more
    except Exception as error:
        print(f"{type(error).__name__}: {(str(error).strip().splitlines() or [''])[0]}", file=sys.stderr)
        return _CANNOT
    return 0
