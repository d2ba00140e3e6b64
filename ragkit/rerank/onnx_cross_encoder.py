"""Cross-encoders run by onnxruntime and tokenizers alone: no torch, no seconds of importing it."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import cast

import numpy as np
import numpy.typing as npt
from tokenizers import Encoding, Tokenizer

from ragkit.errors import ModelError
from ragkit.models.onnx_session import inputs_of, open_session
from ragkit.rerank import BATCH_SIZE

Floats = npt.NDArray[np.float32]
_FALLBACK_WINDOW = 512
_BATCH_TOKENS = 2048
"""Tokens of a batch, padding counted: small batches of like length need less of it, and less memory."""


def _sigmoid(logits: Floats) -> Floats:
    # The form with tanh does not overflow for large negative logits.
    return (0.5 * (1.0 + np.tanh(0.5 * logits))).astype(np.float32)


def _identity(logits: Floats) -> Floats:
    return logits


_ACTIVATIONS: dict[str, Callable[[Floats], Floats]] = {
    "torch.nn.modules.activation.Sigmoid": _sigmoid,
    "torch.nn.Sigmoid": _sigmoid,
    "torch.nn.modules.linear.Identity": _identity,
    "torch.nn.Identity": _identity,
}


class OnnxCrossEncoder:
    """A cross-encoder exported to ONNX, beside its `config.json` and `tokenizer.json`.

    Its scores agree with sentence-transformers on the same weights to 1e-4: same tokens, same truncation
    (longest first), same activation function (as saved in the folder; the sigmoid if none is).

    Raises:
        ModelError: A file is missing or unreadable, the model gives more than one score for a pair, or its
            activation function is neither sigmoid nor identity.
        MissingExtra: onnxruntime is not installed.
    """

    def __init__(self, folder: Path, onnx_file: Path, *, optimised: bool = False) -> None:
        """`optimised` as of `open_session`."""
        config = _read_json(folder / "config.json")
        self._activation = _activation(folder, config)
        self._tokenizer = _tokenizer(folder, config)
        pad_id = config.get("pad_token_id")
        self._pad_id = pad_id if isinstance(pad_id, int) else 0
        self._session = open_session(onnx_file, optimised=optimised)
        shape = self._session.get_outputs()[0].shape
        if len(shape) != 2 or shape[1] != 1:
            raise ModelError(
                f"the model at {folder} gives scores of shape {shape} for a batch of pairs",
                mend="a reranker gives one for each pair (num_labels: 1)",
            )

    def scores(self, question: str, texts: Sequence[str]) -> list[float]:
        """The model's score of each text, after its own activation function."""
        return self.pair_scores([(question, text) for text in texts])

    def pair_scores(self, pairs: Sequence[tuple[str, str]]) -> list[float]:
        """The scores of pairs of question and text; what they are does not depend on what else is scored with them."""
        encodings = self._tokenizer.encode_batch(list(pairs)) if pairs else []
        # Texts of like length together: a batch is padded to its longest pair.
        order = sorted(range(len(encodings)), key=lambda index: -len(encodings[index].ids))
        scores = [0.0] * len(encodings)
        begin = 0
        while begin < len(order):
            rows = max(1, min(BATCH_SIZE, _BATCH_TOKENS // len(encodings[order[begin]].ids)))
            batch = order[begin : begin + rows]
            for index, score in zip(batch, self._run([encodings[i] for i in batch]), strict=True):
                scores[index] = score
            begin += rows
        return scores

    def _run(self, batch: list[Encoding]) -> list[float]:
        given = inputs_of(self._session, batch, self._pad_id)
        logits = np.asarray(self._session.run(None, given)[0], dtype=np.float32)
        return [float(score) for score in self._activation(logits.reshape(len(batch)))]


def _read_json(path: Path) -> dict[str, object]:
    try:
        read: object = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise ModelError(f"cannot read {path}: {error}") from error
    return cast("dict[str, object]", read) if isinstance(read, dict) else {}


def _tokenizer(folder: Path, config: dict[str, object]) -> Tokenizer:
    path = folder / "tokenizer.json"
    try:
        tokenizer = Tokenizer.from_file(str(path))
    except Exception as error:  # tokenizers raises bare Exception
        raise ModelError(f"cannot read {path}: {error}") from error
    tokenizer.enable_truncation(_window(folder, config), strategy="longest_first")
    tokenizer.no_padding()  # the file may say a fixed length; batches are padded to their longest pair
    return tokenizer


def _window(folder: Path, config: dict[str, object]) -> int:
    """Tokens that the model reads: the smaller of what the tokenizer and the position embeddings say."""
    settings = folder / "tokenizer_config.json"
    said = [
        _read_json(settings).get("model_max_length") if settings.is_file() else None,
        config.get("max_position_embeddings"),
    ]
    return min((limit for limit in said if isinstance(limit, int) and limit > 0), default=_FALLBACK_WINDOW)


def _activation(folder: Path, config: dict[str, object]) -> Callable[[Floats], Floats]:
    """The activation function by its name in the folder: where it stands depends on who saved it."""
    newer = folder / "config_sentence_transformers.json"  # sentence-transformers 5 and later
    older = config.get("sentence_transformers")  # version 4
    name = (
        (_read_json(newer).get("activation_fn") if newer.is_file() else None)
        or (cast("dict[str, object]", older).get("activation_fn") if isinstance(older, dict) else None)
        or config.get("sbert_ce_default_activation_function")  # before version 4
        or "torch.nn.modules.activation.Sigmoid"
    )
    if name not in _ACTIVATIONS:
        raise ModelError(
            f"the model at {folder} has the activation function {name}; known: sigmoid, identity",
            mend="remove its ONNX file, so that torch runs it",
        )
    return _ACTIVATIONS[str(name)]
