"""Train a reader: a BERT that marks where in a passage a question's answer begins and ends, or that it has none.

Two scores for each token, one for the beginning and one for the end; those of [CLS] stand for "no answer" (Devlin et
al. 2018, arXiv:1810.04805, section 4.3). The margin of the best place over [CLS] says how likely the passage answers.
The embeddings and the lower layers may stay as they are, which spares a third of the work and much of what a small
data set would spoil.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from ragkit.generate.reader import best_place, shortened
from ragkit.train.checkpoint import save_state
from ragkit.train.optimiser import Optimiser, trained_weights
from ragkit.train.reading import ReadingExample

_POOL = 16
"""Batches whose examples are sorted by length together: less padding, still mixed."""


@dataclass(frozen=True, slots=True)
class ReaderSettings:
    """How to train: passes over the examples, examples of a step, layers that stay as they are, the highest learning
    rate (reached after a tenth of the run, falling to 0 along a line) and the seed of the order."""

    epochs: float = 2.0
    batch: int = 24
    frozen: int = 3
    rate: float = 1e-4
    average: float = 0.99
    seed: int = 0
    save_every_s: float = 60.0


@dataclass(slots=True)
class Encoded:
    """A question and a passage as tokens: ids, where the passage begins, and the first and the last token of the
    answer, both 0 for none."""

    ids: NDArray[np.int32]
    second: int
    start: int
    end: int


def encoded(examples: Sequence[ReadingExample], tokenizer: Tokenizer, window: int) -> list[Encoded | None]:
    """Examples as tokens, in their order; None where the answer lies beyond the window."""
    tokenizer.enable_truncation(window, strategy="only_second")
    tokenizer.no_padding()
    pairs = [(shortened(one.question), one.passage) for one in examples]
    found: list[Encoded | None] = []
    for one, tokens in zip(examples, tokenizer.encode_batch(pairs), strict=True):
        second = tokens.type_ids.index(1)
        place = (0, 0)
        if one.span is not None:
            inside = [n for n in range(second, len(tokens.ids) - 1) if _overlap(tokens.offsets[n], one.span)]
            if not inside or tokens.offsets[inside[-1]][1] < one.span[1]:
                found.append(None)
                continue
            place = inside[0], inside[-1]
        found.append(Encoded(np.asarray(tokens.ids, np.int32), second, *place))
    return found


def _overlap(one: tuple[int, int], other: tuple[int, int]) -> bool:
    return one[0] < other[1] and other[0] < one[1]


def reader_network(base: Path, weights: Path | None, frozen: int, seed: int) -> Any:
    """A reader on the encoder of a folder, its layers those of `weights` (as a trained cross-encoder's) if given."""
    import importlib

    import torch
    from transformers import BertForQuestionAnswering
    from transformers.utils import logging as transformers_logging

    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    torch.manual_seed(seed)
    network: Any = BertForQuestionAnswering.from_pretrained(
        base, dtype=torch.float32, attn_implementation="sdpa", hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0
    )
    if weights is not None:
        safetensors: Any = importlib.import_module("safetensors.torch")
        own = {name: one for name, one in safetensors.load_file(str(weights)).items() if "encoder.layer" in name}
        network.load_state_dict(own, strict=False)
    network.bert.embeddings.requires_grad_(False)
    for layer in network.bert.encoder.layer[:frozen]:
        layer.requires_grad_(False)
    return network


def train_reader(
    network: Any,
    examples: Sequence[Encoded],
    settings: ReaderSettings,
    *,
    checkpoint: Path | None = None,
    progress: Callable[[int, float, float], None] | None = None,
) -> dict[str, Any]:
    """Train in place; the network ends with the moving average of its weights.

    `checkpoint` is where the state is kept while training; if it is there, training goes on from it. `progress` gets
    the step, the share of the run that is done and the step's loss. Returns `steps`, `seconds` (over a kill too) and
    the mean `loss` of the last tenth.
    """
    import torch

    device = next(network.parameters()).device
    optimiser = Optimiser(network, settings.average)
    total = int(settings.epochs * len(examples) / settings.batch)
    step, before, losses = 0, 0.0, list[float]()
    if checkpoint is not None and checkpoint.is_file():
        state = torch.load(checkpoint, map_location=device, weights_only=True)
        optimiser.load(state["optimiser"])
        step, before, losses = state["step"], state["seconds"], state["losses"]
    network.train()
    began = saved = time.monotonic()
    for batch in _batches(examples, settings, total, step):
        starts, ends = _logits(network, batch, device)
        targets = torch.tensor([(one.start, one.end) for one in batch], device=device)
        loss = (
            torch.nn.functional.cross_entropy(starts, targets[:, 0])
            + torch.nn.functional.cross_entropy(ends, targets[:, 1])
        ) / 2
        loss.backward()
        done = step / total
        optimiser.step(settings.rate * min(1.0, (done + 1 / total) * 10, (1 - done) / 0.9), step)
        step += 1
        losses.append(float(loss.detach()))
        if progress is not None:
            progress(step, step / total, losses[-1])
        if checkpoint is not None and time.monotonic() - saved > settings.save_every_s:
            spent = before + time.monotonic() - began
            save_state(checkpoint, {"optimiser": optimiser.state(), "step": step, "seconds": spent, "losses": losses})
            saved = time.monotonic()
    with torch.no_grad():
        for one, mean in zip(trained_weights(network), optimiser.mean, strict=True):
            one.copy_(mean)
    network.eval()
    last = losses[-max(1, len(losses) // 10) :]
    spent = before + time.monotonic() - began
    return {"steps": step, "seconds": round(spent, 1), "loss": round(float(np.mean(last)), 4)}


def _batches(examples: Sequence[Encoded], settings: ReaderSettings, total: int, first: int) -> Iterator[list[Encoded]]:
    """The batches from number `first` to `total`, the same whether training was killed between or not."""
    number = epoch = 0
    while number < total:
        rng = np.random.default_rng([settings.seed, epoch])
        order: NDArray[np.int64] = rng.permutation(len(examples))
        batches: list[NDArray[np.int64]] = []
        for at in range(0, len(order), settings.batch * _POOL):
            pool: NDArray[np.int64] = order[at : at + settings.batch * _POOL]
            lengths = [len(examples[int(n)].ids) for n in pool]
            pool = pool[np.argsort(lengths, kind="stable")]
            batches += [pool[n : n + settings.batch] for n in range(0, len(pool), settings.batch)]
        for place in rng.permutation(len(batches)):
            if first <= number < total:
                yield [examples[int(n)] for n in batches[int(place)]]
            number += 1
        epoch += 1


def _logits(network: Any, batch: Sequence[Encoded], device: Any) -> tuple[Any, Any]:
    """Scores of each token as beginning and as end; minus infinity where no answer can be."""
    import torch

    longest = max(len(one.ids) for one in batch)
    ids = np.zeros((len(batch), longest), np.int64)
    mask, kinds, open_ = (np.zeros_like(ids) for _ in range(3))
    for row, one in enumerate(batch):
        size = len(one.ids)
        ids[row, :size], mask[row, :size], kinds[row, one.second : size] = one.ids, 1, 1
        open_[row, one.second : size - 1] = 1
    open_[:, 0] = 1
    given = [torch.from_numpy(array).to(device) for array in (ids, mask, kinds, open_)]
    out = network(input_ids=given[0], attention_mask=given[1], token_type_ids=given[2])
    closed = given[3] == 0
    return tuple(one.float().masked_fill(closed, float("-inf")) for one in (out.start_logits, out.end_logits))  # type: ignore[return-value]


def margins(network: Any, examples: Sequence[Encoded], part: int = 32) -> NDArray[np.float64]:
    """For each example the score of the best place less that of none: (n, 3), margin, first and last token of it."""
    import torch

    device = next(network.parameters()).device
    order = sorted(range(len(examples)), key=lambda n: len(examples[n].ids))
    found = np.zeros((len(examples), 3))
    network.eval()
    with torch.inference_mode():
        for at in range(0, len(order), part):
            rows = order[at : at + part]
            starts, ends = _logits(network, [examples[n] for n in rows], device)
            for row, start, end in zip(rows, starts.cpu().numpy(), ends.cpu().numpy(), strict=True):
                found[row] = best_place(start, end)
    return found
