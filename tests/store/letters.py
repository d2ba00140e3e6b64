"""SPLADE weights that are known beforehand, in place of a model's."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


def letters(text: str) -> NDArray[np.float32]:
    """Each letter as a token that weighs as often as it occurs: a vector of shape (2, n)."""
    counts = Counter(letter for letter in text if letter.isalpha())
    return np.asarray([[ord(letter) for letter in counts], [*counts.values()]], dtype=np.float32).reshape(2, -1)
