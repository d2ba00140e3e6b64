"""A reader: a small model that looks in a passage for the answer to a question, and says how sure it is of one.

It serves twice: its margins tell whether the evidence answers at all (`answerability.py`), and the place that it marks
tells the extractive generator which sentence does. Run by onnxruntime and tokenizers alone; `ragkit.train.reader` made
it.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from ragkit.errors import ModelError
from ragkit.models.onnx_session import inputs_of, open_session

LONGEST_ANSWER = 30
"""Tokens of an answer at most."""
WINDOW = 256
"""Tokens of question and passage together; a longer passage is cut."""
_QUESTION_WORDS = 60
_KEPT = 64
"""Questions whose readings are kept, for the two stages that ask for the same."""


@dataclass(frozen=True, slots=True)
class Reading:
    """The best place for an answer in a passage: its first and last but one character, and `margin`, its score less
    that of "no answer here": above 0, the reader finds an answer likelier than none."""

    margin: float
    start: int
    end: int


class Reader:
    """The reader in a folder with `model.onnx` and `tokenizer.json`. Safe to use from several threads.

    Raises:
        ModelError: A file is missing or unreadable, or the model does not give two scores for each token.
        MissingExtra: onnxruntime is not installed.
    """

    def __init__(self, folder: Path) -> None:
        model = folder / "model.onnx"
        try:
            self._tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        except Exception as error:  # tokenizers raises bare Exception
            raise ModelError(f"cannot load the reader at {folder}: {str(error).splitlines()[0]}") from error
        self._session = open_session(model)
        if [each.name for each in self._session.get_outputs()] != ["start_logits", "end_logits"]:
            raise ModelError(f"{model} does not mark answers", mend="a reader gives start_logits and end_logits")
        self._tokenizer.enable_truncation(WINDOW, strategy="only_second")
        self._tokenizer.no_padding()
        self._lock = threading.Lock()
        self._kept: OrderedDict[tuple[str, tuple[str, ...]], list[Reading]] = OrderedDict()

    def read(self, question: str, passages: Sequence[str]) -> list[Reading]:
        """A reading of each passage, in their order."""
        key = (question, tuple(passages))
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
        found = self._read(question, passages) if passages else []
        with self._lock:
            self._kept[key] = found
            while len(self._kept) > _KEPT:
                self._kept.popitem(last=False)
        return found

    def _read(self, question: str, passages: Sequence[str]) -> list[Reading]:
        tokens = self._tokenizer.encode_batch([(shortened(question), passage or " ") for passage in passages])
        sizes = [len(one.ids) for one in tokens]
        starts, ends = self._session.run(None, inputs_of(self._session, tokens))
        readings: list[Reading] = []
        for one, size, start, end in zip(tokens, sizes, starts, ends, strict=True):
            second = next((n for n, kind in enumerate(one.type_ids) if kind == 1), size - 1)
            if second >= size - 1:  # the question has filled the window, or the passage is empty
                readings.append(Reading(-np.inf, 0, 0))
                continue
            closed = np.ones(size, bool)
            closed[0], closed[second : size - 1] = False, False
            margin, first, last = best_place(
                np.where(closed, -np.inf, start[:size]), np.where(closed, -np.inf, end[:size])
            )
            readings.append(Reading(margin, one.offsets[first][0], one.offsets[last][1]))
        return readings


def shortened(question: str) -> str:
    """What is read of a question, in training and after: its first words."""
    return " ".join(question.split()[:_QUESTION_WORDS])


def best_place(starts: NDArray[Any], ends: NDArray[Any]) -> tuple[float, int, int]:
    """The best first and last token of an answer, and how far their scores lie above that of none (token 0).

    Args:
        starts, ends: A score for each token, minus infinity where no answer can begin or end.
    """
    sums = starts[1:, None] + ends[None, 1:]
    places = np.arange(len(starts) - 1)
    reach = places[None, :] - places[:, None]
    sums = np.where((reach >= 0) & (reach < LONGEST_ANSWER), sums, -np.inf)
    start, end = np.unravel_index(int(np.argmax(sums)), sums.shape)
    return float(sums[start, end] - starts[0] - ends[0]), int(start) + 1, int(end) + 1
