"""Text to vectors by sentence-transformers and torch: on a GPU, and for models that ONNX Runtime cannot run."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ragkit.models.torch_model import load_torch_model

if TYPE_CHECKING:
    from numpy.typing import NDArray


class TorchEncoder:
    """A model in sentence-transformers format. Safe to call from several threads; the calls follow one another."""

    def __init__(self, folder: Path, window: int, device: str | None = None) -> None:
        """Loads it, which takes seconds. A text keeps its first `window` tokens, special ones counted.

        Raises ModelError for a folder that cannot be loaded and MissingExtra without sentence-transformers.
        """
        self.model = load_torch_model("SentenceTransformer", folder, device)
        with suppress(AttributeError):  # a model that only looks words up reads any length
            self.model.max_seq_length = window
        self._lock = threading.Lock()

    def encode(self, texts: Sequence[str], batch_size: int = 32) -> NDArray[np.float32]:
        """A vector a text, shape (texts, dimensions), as the model gives them."""
        with self._lock:
            found = self.model.encode(
                list(texts), batch_size=batch_size, show_progress_bar=False, convert_to_numpy=True
            )
        return np.asarray(found, dtype=np.float32)
