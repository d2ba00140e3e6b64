"""Cross-encoders run by sentence-transformers and torch: on a GPU, and those that onnxruntime cannot run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ragkit.errors import MissingExtra, ModelError
from ragkit.rerank import BATCH_SIZE


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
            self.model: CrossEncoder = CrossEncoder(str(folder), device=device, local_files_only=True)
        except Exception as error:  # of five libraries: whatever a file of a model can be
            reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
            raise ModelError(f"cannot load the cross-encoder at {folder}: {reason}") from error
        if self.model.num_labels != 1:
            raise ModelError(
                f"the model at {folder} gives {self.model.num_labels} scores for a pair",
                mend="a reranker gives one (num_labels: 1)",
            )

    def scores(self, question: str, texts: Sequence[str]) -> list[float]:
        """The model's score of each text, after its own activation function (mostly the sigmoid: 0 to 1)."""
        pairs = [(question, text) for text in texts]
        if not pairs:
            return []
        predicted = self.model.predict(pairs, batch_size=BATCH_SIZE, show_progress_bar=False)
        return [float(score) for score in predicted]
