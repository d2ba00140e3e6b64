"""Train a cross-encoder: question and passage read together by a BERT, one score for the pair.

The loss is that of ListNet with one right passage (Cao et al. 2007): the cross-entropy of the right one among it and
the wrong ones. A `teacher` adds the divergence of its distribution over the same list from the student's (Hinton et
al. 2015, arXiv:1503.02531). What is kept is the moving average of the weights, which holds better outside the
training data than the last ones (Izmailov et al. 2018, arXiv:1803.05407).

Each step draws its lists from the seed and its own number, so a run that was killed goes on from its checkpoint as
if nothing had happened.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ragkit.train.batches import Material, Packed, Texts, packed, pairs_of
from ragkit.train.checkpoint import save_state
from ragkit.train.optimiser import Optimiser, trained_weights

LISTS_AT_ONCE = 4
"""Lists that a CPU takes at once; the gradients of a step are summed, so memory does not grow with the step."""


@dataclass(frozen=True, slots=True)
class Settings:
    """How to train.

    Attributes:
        layers: Which layers of the base model to keep.
        steps: Steps to train, or None to train for `seconds`, by which the learning rate then falls.
        seconds: Time to train when `steps` is None. How far that gets depends on the machine.
        lists: Questions of a step.
        wrong: Wrong passages of each question.
        window: Tokens of a pair at most.
        rate: The highest learning rate, reached after a twentieth of the run; it falls to 0 along a line.
        distil: Share of the teacher's part in the loss.
        seed: Of the head's first weights and of the draws.
    """

    layers: tuple[int, ...]
    steps: int | None = None
    seconds: float = 60.0
    lists: int = 32
    wrong: int = 15
    window: int = 256
    rate: float = 1e-4
    distil: float = 0.5
    average: float = 0.995
    seed: int = 0
    save_every_s: float = 60.0


def scores_of(network: Any, pairs: Packed) -> Any:
    """The logits of pairs as one tensor in their order."""
    import torch

    device = next(network.parameters()).device
    logits: list[Any] = []
    for ids, lengths, seconds in pairs.batches:
        places = torch.arange(ids.shape[1], device=device)[None, :]
        mask = places < _moved(lengths, device)[:, None]
        kinds = mask & (places >= _moved(seconds, device)[:, None])
        given = _moved(ids, device).long()
        out = network(input_ids=given, attention_mask=mask.long(), token_type_ids=kinds.long())
        logits.append(out.logits[:, 0].float())
    return torch.cat(logits)[_moved(pairs.back, device)]


def _moved(array: NDArray[Any], device: Any) -> Any:
    """On the device, without waiting for what it still computes."""
    import torch

    here = torch.from_numpy(array)
    return here.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else here


def base_network(folder: Path, layers: Sequence[int], seed: int, dropout: float = 0.0) -> Any:
    """The encoder of a folder with these of its layers and a new head with one score.

    The embeddings of tokens and places stay as they are: words that the training data lacks keep their meaning, and
    only the layers differ from the base.
    """
    import torch
    from transformers import BertForSequenceClassification
    from transformers.utils import logging as transformers_logging

    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    torch.manual_seed(seed)
    network: Any = BertForSequenceClassification.from_pretrained(
        folder,
        num_labels=1,
        dtype=torch.float32,
        attn_implementation="sdpa",
        hidden_dropout_prob=dropout,
        attention_probs_dropout_prob=dropout,
    )
    network.bert.embeddings.requires_grad_(False)
    keep_layers(network, layers)
    return network


def keep_layers(network: Any, layers: Sequence[int]) -> None:
    """Drop the other layers of a network."""
    import torch

    network.bert.encoder.layer = torch.nn.ModuleList([network.bert.encoder.layer[n] for n in layers])
    network.config.num_hidden_layers = len(layers)


def _built(
    material: Material, settings: Settings, allowed: NDArray[np.int64], step: int, at_once: int
) -> Iterator[Packed]:
    """The lists of a step, `at_once` of them at a time."""
    drawn, lists = material.draw(allowed, (settings.seed, step), lists=settings.lists, wrong=settings.wrong)
    for start in range(0, settings.lists, at_once):
        part = slice(start, start + at_once)
        pairs = [(int(n), int(p)) for n, row in zip(drawn[part], lists[part], strict=True) for p in row]
        built = pairs_of(material.questions, material.passages, pairs, settings.window)
        # Two batches: more would be padded less, but small ones leave a GPU waiting for its next order.
        yield packed(built, -(-len(built) // 2))


def train(
    network: Any,
    material: Material,
    allowed: NDArray[np.int64],
    settings: Settings,
    *,
    checkpoint: Path | None = None,
    teacher: Any = None,
    progress: Callable[[int, float, float], None] | None = None,
) -> dict[str, Any]:
    """Train a network in place on the examples `allowed`; it ends with the averaged weights, in float32.

    Args:
        network: Of `base_network`, on the device to train on. On a GPU it computes in bfloat16.
        material: Questions, passages and mined wrong ones.
        allowed: Numbers of the examples to train on.
        settings: How.
        checkpoint: Where the state is kept while training; if it is there, training goes on from it.
        teacher: A network whose scores of the same lists are learned too.
        progress: Called after each step with its number, the share of the run that is done and the loss, which is NaN
            but for every 25th step.

    Returns:
        `steps` done, `seconds` taken in all (over a kill too), mean `loss` of the last tenth of the steps.
    """
    import torch

    device = next(network.parameters()).device
    on_gpu = device.type == "cuda"
    if on_gpu:
        network.to(torch.bfloat16)
    optimiser = Optimiser(network, settings.average)
    step, before = 0, 0.0
    losses: list[Any] = []
    if checkpoint is not None and checkpoint.is_file():
        state = torch.load(checkpoint, map_location=device, weights_only=True)
        optimiser.load(state["optimiser"])
        step, before, losses = state["step"], state["seconds"], state["losses"]
    network.train()
    began = saved = time.monotonic()
    at_once = settings.lists if on_gpu else min(settings.lists, LISTS_AT_ONCE)
    while True:
        spent = before + time.monotonic() - began
        done = step / settings.steps if settings.steps is not None else spent / settings.seconds
        if done >= 1:
            break
        parts = _built(material, settings, allowed, step, at_once)
        losses.append(sum(_learn(network, teacher, part, settings) for part in parts))
        optimiser.step(settings.rate * min(1.0, done * 20, (1 - done) / 0.95), step)
        step += 1
        if progress is not None:
            progress(step, done, float(losses[-1]) if step % 25 == 0 else float("nan"))
        if checkpoint is not None and time.monotonic() - saved > settings.save_every_s:
            losses = [float(one) for one in losses]
            spent = before + time.monotonic() - began
            save_state(checkpoint, {"optimiser": optimiser.state(), "step": step, "seconds": spent, "losses": losses})
            saved = time.monotonic()
    network.float()
    with torch.no_grad():
        for one, mean in zip(trained_weights(network), optimiser.mean, strict=True):
            one.copy_(mean)
    network.eval()
    last = [float(one) for one in losses[-max(1, len(losses) // 10) :]]
    return {
        "steps": step,
        "seconds": round(before + time.monotonic() - began, 1),
        "loss": round(float(np.mean(last)), 4) if last else float("nan"),
    }


def _learn(network: Any, teacher: Any, pairs: Packed, settings: Settings) -> Any:
    """Add the gradients of some lists of a step; their part of its loss."""
    import torch

    width = settings.wrong + 1
    logits = scores_of(network, pairs).view(-1, width)
    loss = -torch.log_softmax(logits, dim=1)[:, 0].sum()
    if teacher is not None:
        with torch.no_grad():
            taught = torch.softmax(scores_of(teacher, pairs).view(-1, width), dim=1)
        apart = -(taught * torch.log_softmax(logits, dim=1)).sum()
        loss = (1 - settings.distil) * loss + settings.distil * apart
    loss = loss / settings.lists
    loss.backward()
    return loss.detach()


def score_pairs(
    network: Any, questions: Texts, passages: Texts, pairs: Sequence[tuple[int, int]], window: int, part: int = 256
) -> NDArray[np.float32]:
    """The score of each (question, passage) by a trained network, in their order."""
    import torch

    network.eval()
    with torch.inference_mode():
        built = packed(pairs_of(questions, passages, pairs, window), part)
        return scores_of(network, built).cpu().numpy().astype(np.float32)
