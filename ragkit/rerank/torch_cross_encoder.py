"""Cross-encoders run by sentence-transformers and torch: on a GPU, and those that onnxruntime cannot run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ragkit.errors import ModelError
from ragkit.models.torch_model import load_torch_model
from ragkit.rerank import BATCH_SIZE


class TorchCrossEncoder:
    """A cross-encoder run by sentence-transformers.

    Raises:
        ModelError: The folder cannot be loaded, or the model gives more than one score for a pair.
        MissingExtra: sentence-transformers is not installed.
    """

    def __init__(self, folder: Path, device: str | None = None) -> None:
        self.model = load_torch_model("CrossEncoder", folder, device)
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
