"""Train an embedding model: question and passage read apart, near in the space if the one answers the other.

The loss is sentence-transformers' MultipleNegativesRankingLoss (Henderson et al. 2017, arXiv:1705.00652): each question
against the passages of all others of its batch, and a mined wrong one. What the base model puts nearer to a question
than its right passage may answer it too, so no batch holds the two together (Solatorio 2024, "GISTEmbed",
arXiv:2402.16829).
The loop is our own, and small: the library's trainer needs two packages more and cannot say how long it will take.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ragkit.train.checkpoint import save_state
from ragkit.train.optimiser import Optimiser, trained_weights

Floats = NDArray[np.float32]
Numbers = NDArray[np.int64]

MARGIN = 0.0
"""How much nearer than the right passage another one must be to count as right too."""
_DRAWS = 4
"""Examples looked at for each place of a batch."""


@dataclass(frozen=True, slots=True)
class Pairs:
    """What is trained on, a row for each question: its text, its right passage, its mined wrong ones, and the vectors
    that the base model gives to question and right passage. Texts have the model's prefixes already."""

    questions: Sequence[str]
    passages: Sequence[str]
    wrong: Sequence[Sequence[str]]
    question_vectors: Floats
    passage_vectors: Floats


@dataclass(frozen=True, slots=True)
class Pace:
    """How to train: steps of `batch` questions at most, at a rate that rises for a tenth of them and falls to 0."""

    steps: int
    batch: int = 16
    rate: float = 2e-5
    average: float = 0.99
    seed: int = 0
    save_every_s: float = 60.0


def batch_of(pairs: Pairs, size: int, seed: Sequence[int]) -> list[int]:
    """Numbers of at most `size` questions of which none may be answered by the passage of another.

    Equal seeds draw equally.
    """
    rng = np.random.default_rng(list(seed))
    count = len(pairs.questions)
    drawn = rng.permutation(count)[: size * _DRAWS]
    chosen: list[int] = []
    for number in map(int, drawn):
        if all(not may_answer(pairs, number, other) and not may_answer(pairs, other, number) for other in chosen):
            chosen.append(number)
        if len(chosen) == size:
            break
    return chosen


def may_answer(pairs: Pairs, question: int, other: int) -> bool:
    """Whether the passage of `other` may answer the question: it is the same, or nearer to it than its own, or `other`
    asks in the same words."""
    if pairs.passages[question] == pairs.passages[other] or pairs.questions[question] == pairs.questions[other]:
        return True
    own = float(pairs.question_vectors[question] @ pairs.passage_vectors[question])
    return float(pairs.question_vectors[question] @ pairs.passage_vectors[other]) > own + MARGIN


def true_negatives(
    wrong: Sequence[int], own: float, question: Floats, vectors: Floats, texts: Sequence[str]
) -> list[str]:
    """The texts of mined passages that the base model puts farther from a question than its right one (`own`)."""
    return [texts[n] for n in wrong if n >= 0 and float(question @ vectors[n]) <= own + MARGIN]


def train_pairs(
    model: Any,
    pairs: Pairs,
    pace: Pace,
    *,
    checkpoint: Path | None = None,
    progress: Callable[[int, int, float], None] | None = None,
) -> dict[str, Any]:
    """Train a SentenceTransformer in place; it ends with the moving average of its weights.

    With a `checkpoint` the state is kept there once a minute, and training goes on from it as if it had never ended.
    Gives back `steps`, `seconds` in all and the mean `loss` of the last tenth of the steps.
    """
    import torch
    from sentence_transformers.sentence_transformer.losses import MultipleNegativesRankingLoss

    loss_of: Any = MultipleNegativesRankingLoss(model)
    optimiser = Optimiser(model, pace.average)
    step, before = 0, 0.0
    losses: list[float] = []
    if checkpoint is not None and checkpoint.is_file():
        state = torch.load(checkpoint, map_location=model.device, weights_only=True)
        optimiser.load(state["optimiser"])
        step, before, losses = state["step"], state["seconds"], state["losses"]
    model.train()
    began = saved = time.monotonic()
    while step < pace.steps:
        chosen = batch_of(pairs, pace.batch, (pace.seed, step))
        columns = [[pairs.questions[n] for n in chosen], [pairs.passages[n] for n in chosen]]
        if all(pairs.wrong[n] for n in chosen):
            columns.append([pairs.wrong[n][step % len(pairs.wrong[n])] for n in chosen])
        torch.manual_seed(pace.seed * 1_000_003 + step)  # dropout: a run that goes on draws as one that never ended
        features = [_moved(model.preprocess(column), model.device) for column in columns]
        loss = loss_of(features, torch.empty(0))
        loss.backward()
        done = step / pace.steps
        optimiser.step(pace.rate * min(1.0, (done + 1 / pace.steps) * 10, (1 - done) / 0.9), step)
        step += 1
        losses.append(float(loss.detach()))
        if progress is not None:
            progress(step, pace.steps, losses[-1])
        if checkpoint is not None and time.monotonic() - saved > pace.save_every_s:
            spent = before + time.monotonic() - began
            save_state(checkpoint, {"optimiser": optimiser.state(), "step": step, "seconds": spent, "losses": losses})
            saved = time.monotonic()
    with torch.no_grad():
        for one, mean in zip(trained_weights(model), optimiser.mean, strict=True):
            one.copy_(mean)
    model.eval()
    last = losses[-max(1, len(losses) // 10) :]
    return {
        "steps": step,
        "seconds": round(before + time.monotonic() - began, 1),
        "loss": round(float(np.mean(last)), 4) if last else math.nan,
    }


def _moved(features: Any, device: Any) -> dict[str, Any]:
    return {name: one.to(device) if hasattr(one, "to") else one for name, one in features.items()}
