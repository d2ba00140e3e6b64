"""What a question asks of a model, guessed where nobody says it: by its words and by its vector, from 500 examples.

Kernel ridge regression on the sum of two similarities: of pieces of words, single words and pairs (tf-idf, which see
that somebody asks for a summary), and of the vectors of the embedding model of the index (which see what is meant).
`scripts/measure_tasks.py` says what each does.
"""

from __future__ import annotations

import json
import math
import re
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from importlib import resources
from typing import TYPE_CHECKING, Any, get_args

from ragkit.config.routing import Task
from ragkit.errors import RagkitError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ragkit.embed import Embedder

TASKS: tuple[Task, ...] = get_args(Task)
BY_VECTOR = 0.5
"""What the similarity of vectors counts beside that of words."""
_RIDGE = 1.0
_PIECES = (2, 3, 4)
"""Letters of the pieces of words."""
_RAREST = 2
"""Examples that must have a piece; what one has alone says nothing of its task."""
_REST_S = 60.0
_WORD = re.compile(r"\w+|[^\w\s]")


class TaskGuesser:
    """Guesses the task of a question. The examples are embedded once, when the first is asked for or by `load`; who
    asks meanwhile, or within a minute after that failed, gets no guess."""

    def __init__(self, embedder: Embedder) -> None:
        self._embedder = embedder
        self._model: TaskModel | None = None
        self._loading = threading.RLock()
        self._not_before = 0.0

    def guess(self, question: str) -> Task | None:
        """The likeliest task, None if it is not known yet. Raises what the embedder raises."""
        if self._model is None and time.monotonic() >= self._not_before and self._loading.acquire(blocking=False):
            try:
                self.load()
            finally:
                self._loading.release()
        return None if self._model is None else self._model.guess(question)

    def load(self) -> None:
        """Learn from the examples. Raises what the embedder raises."""
        with self._loading:
            try:
                self._model = self._model or TaskModel(*examples(), self._embedder)
            except RagkitError:
                self._not_before = time.monotonic() + _REST_S
                raise


def examples() -> tuple[list[str], list[Task]]:
    """The questions that the guess is learned from, and their tasks."""
    text = resources.files("ragkit.gateway").joinpath("task_examples.jsonl").read_text(encoding="utf-8")
    rows = [json.loads(line) for line in text.splitlines()]
    return [row["question"] for row in rows], [row["task"] for row in rows]


class TaskModel:
    """The fitted regression: for each example how much being like it speaks for each task."""

    def __init__(
        self,
        questions: Sequence[str],
        tasks: Sequence[Task],
        embedder: Embedder,
        weights: tuple[float, float] = (1.0, BY_VECTOR),
    ) -> None:
        """`weights` are those of the two similarities, of words and of vectors."""
        import numpy as np

        self._embedder, self._of = embedder, weights
        counted = [Counter(_pieces(question)) for question in questions]
        have = Counter(piece for pieces in counted for piece in pieces)
        kept = [piece for piece, count in have.items() if count >= _RAREST]
        self._place = {piece: place for place, piece in enumerate(kept)}
        self._rarity = np.array([math.log((1 + len(questions)) / (1 + have[piece])) + 1 for piece in kept])
        self._words = self._by_words(questions)
        self._vectors = embedder.embed_questions(questions)
        wanted = np.array([[float(task == name) for name in TASKS] for task in tasks]) - 1 / len(TASKS)
        alike = self._alike(self._words, self._vectors)
        self._weights = np.linalg.solve(alike + _RIDGE * np.eye(len(questions)), wanted)

    def guess(self, question: str) -> Task:
        alike = self._alike(self._by_words([question]), self._embedder.embed_question(question)[None])
        return TASKS[int((alike @ self._weights)[0].argmax())]

    def _alike(self, words: Any, vectors: NDArray[np.float32]) -> NDArray[np.float64]:
        """How alike each question is to each example."""
        by_words: NDArray[np.float64] = (words @ self._words.T).toarray()
        for_words, for_vectors = self._of
        return for_words * by_words + for_vectors * (vectors @ self._vectors.T)

    def _by_words(self, questions: Sequence[str]) -> Any:
        """One sparse row of length 1 a question."""
        import numpy as np
        from scipy import sparse

        rows: list[int] = []
        columns: list[int] = []
        values: list[float] = []
        for row, question in enumerate(questions):
            known = {
                self._place[piece]: count for piece, count in Counter(_pieces(question)).items() if piece in self._place
            }
            weights = {place: (1 + math.log(count)) * float(self._rarity[place]) for place, count in known.items()}
            length = math.sqrt(sum(weight**2 for weight in weights.values())) or 1.0
            rows += [row] * len(weights)
            columns += weights
            values += [weight / length for weight in weights.values()]
        untyped: Any = sparse
        shape = (len(questions), len(self._place))
        return untyped.csr_matrix((np.array(values), (rows, columns)), shape=shape)


def _pieces(question: str) -> Iterator[str]:
    """Pieces of words with their ends marked, words, and pairs of words with those at either end of the question."""
    text = question.casefold()
    for word in text.split():
        ended = f" {word} "
        for length in _PIECES:
            yield from (ended[at : at + length] for at in range(len(ended) - length + 1))
    words = _WORD.findall(text)
    yield from (f"w:{word}" for word in words)
    yield from (f"p:{one} {other}" for one, other in zip(["^", *words], [*words, "$"], strict=True))
