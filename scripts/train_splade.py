"""Train a SPLADE model from an embedding model, on public questions, on a CPU.

    python scripts/train_reranker.py prepare TRAIN_DIR SETS.json.gz
    python scripts/train_reranker.py train SETS.json.gz BASE_DIR OUT    # OUT/mined.npz is made first; then stop it
    python scripts/train_splade.py SETS.json.gz OUT/mined.npz BASE_DIR MODEL_DIR [--seconds S | --steps N]

BASE_DIR is all-MiniLM-L6-v2 (`ragkit models where all-MiniLM-L6-v2`). Only the freely licensed sets are used, and
sentences of theirs as questions. MODEL_DIR becomes what `retrieval.splade_model` names: a folder of
sentence-transformers' `SparseEncoder`. A run that was killed goes on from MODEL_DIR/state.pt.

The model is that of Formal et al. 2021, "SPLADE v2", arXiv:2109.10086: each token of the vocabulary weighs the
logarithm of its highest logit of a masked-LM head over the places of a text. An embedding model has no such head, and
one made at random would take days to learn. So the head begins as the ridge regression of the embedding of each word
on the state above it: it names the word that is there, and words that are like it, from the first step on.
"""

from __future__ import annotations

import argparse
import importlib
import json
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from ragkit.train.batches import CLS, SEP, Material, Texts, material_of
from ragkit.train.checkpoint import save_state
from ragkit.train.data import READERS, SHARE_ALIKE, iter_sets, sentences_as_questions
from ragkit.train.optimiser import Optimiser, trained_weights

FREE = tuple(name for name in READERS if name not in SHARE_ALIKE)
SENTENCES = 25_000
"""As in scripts/train_reranker.py, whose mined passages these are."""
LINEAR = 12.0
"""Far enough up a GELU is a line, and the norm behind it takes a constant out again: so the head can begin linear."""
ACTIVE_AT_START = 120
"""Tokens of the vocabulary with a weight in a passage before training."""
OWN_AT_START = 2.0
"""The median logit, before training, of a word that is there."""
FITTED_ON = 128
"""Tokens of a passage that the head is fitted on."""


@dataclass(frozen=True, slots=True)
class Settings:
    """`frozen` layers from below stay as they are; `sparse` weighs FLOPS (Paria et al. 2020) of questions and
    passages alike, which grows with the square of the first third of the run. Scores are multiplied by `scale` before
    the softmax: they begin at about 50, where one wrong passage ahead of the right one would outweigh all else."""

    questions: int = 16
    wrong: int = 1
    passage_tokens: int = 112
    question_tokens: int = 40
    rate: float = 5e-5
    scale: float = 0.2
    average: float = 0.98
    frozen: int = 3
    sparse: float = 1e-3
    seed: int = 0
    save_every_s: float = 60.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sets", type=Path)
    parser.add_argument("mined", type=Path)
    parser.add_argument("base", type=Path)
    parser.add_argument("model", type=Path)
    parser.add_argument("--seconds", type=float, default=1800.0, help="time to train, over a kill too")
    parser.add_argument("--steps", type=int, help="steps, not seconds")
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_args()
    importlib.import_module("torch").set_num_threads(given.threads)
    given.model.mkdir(parents=True, exist_ok=True)
    tokenizer = Tokenizer.from_file(str(given.base / "tokenizer.json"))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    material = _material(given.sets, given.mined, tokenizer)
    state = given.model / "state.pt"
    network = masked_lm(given.base)
    if not state.is_file():
        fit_head(network, material.passages)
    result = train(network, material, Settings(), state, given.seconds, given.steps)
    save_model(network, given.base, given.model)
    print(json.dumps(result))


def _material(sets: Path, mined: Path, tokenizer: Tokenizer) -> Material:
    chosen = [one for one in iter_sets(sets) if one.name in FREE]
    chosen.append(sentences_as_questions(chosen, SENTENCES, seed=0))
    with np.load(mined) as archive:
        return material_of(chosen, [archive[one.name] for one in chosen], tokenizer)


def masked_lm(base: Path) -> Any:
    """The encoder of a folder, with a masked-LM head of random weights over its own word embeddings."""
    import torch
    from transformers import BertForMaskedLM
    from transformers.utils import logging as transformers_logging

    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    network: Any = BertForMaskedLM.from_pretrained(
        base, dtype=torch.float32, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0
    )
    return network.eval()


def fit_head(network: Any, texts: Texts, sample: int = 600) -> None:
    """Make the head name the words that are there, by what the encoder says of `sample` of the texts."""
    import torch

    rng = np.random.default_rng(0)
    states: list[Any] = []
    words: list[Any] = []
    with torch.no_grad():
        embeddings = network.bert.embeddings.word_embeddings.weight
        for number in rng.choice(len(texts.starts) - 1, size=min(sample, len(texts.starts) - 1), replace=False):
            ids = torch.as_tensor(np.concatenate([[CLS], texts.of(int(number), FITTED_ON), [SEP]]))[None]
            states.append(network.bert(input_ids=ids.long()).last_hidden_state[0, 1:-1])
            words.append(ids[0, 1:-1].long())
        state, word = torch.cat(states), torch.cat(words)
        # A rare word weighs as much as a frequent one: it is the rare ones that find things.
        share = 1 / torch.bincount(word, minlength=len(embeddings))[word].float()
        middle = embeddings.mean(0)
        target = torch.nn.functional.normalize(embeddings[word] - middle, dim=1)
        mean = (state * share[:, None]).sum(0) / share.sum()
        centred = state - mean
        gram = (centred * share[:, None]).T @ centred
        ridge = 0.01 * gram.diagonal().mean() * torch.eye(len(gram))
        linalg: Any = torch.linalg
        slope: Any = linalg.solve(gram + ridge, (centred * share[:, None]).T @ target)
        head = network.cls.predictions
        scale: Any = (centred @ slope).std()
        head.transform.dense.weight.copy_((slope / scale).T)
        head.transform.dense.bias.copy_(LINEAR - mean @ slope / scale)
        head.transform.LayerNorm.weight.fill_(1.0)
        head.transform.LayerNorm.bias.zero_()
        _level(network, states, words)


def _level(network: Any, states: list[Any], words: list[Any]) -> None:
    """Set the bias so that a text has few active tokens and a word that is there weighs by its rarity.

    A token's logits over all places have a mean and a spread; the bias takes both off, and then as much from all tokens
    as leaves `ACTIVE_AT_START` of a text. The scale of the norm puts the word that is there at `OWN_AT_START`.
    """
    import torch

    head = network.cls.predictions
    embeddings = network.bert.embeddings.word_embeddings.weight
    middle = torch.zeros(len(embeddings))
    square = torch.zeros(len(embeddings))
    places = 0
    own: list[Any] = []
    for state, word in zip(states, words, strict=True):
        logits = head.transform(state) @ embeddings.T
        own.append(logits[torch.arange(len(word)), word])
        middle += logits.sum(0)
        square += logits.square().sum(0)
        places += len(word)
    middle /= places
    spread = (square / places - middle.square()).clamp_min(0).sqrt()
    level = middle + spread
    tops = [(head.transform(state) @ embeddings.T - level).amax(0).topk(ACTIVE_AT_START).values[-1] for state in states]
    level += torch.stack(tops).median()
    scale = OWN_AT_START / (torch.cat(own) - level[torch.cat(words)]).median()
    head.transform.LayerNorm.weight.mul_(scale)
    head.bias.copy_(-scale * level)


def weights_of(network: Any, batch: list[NDArray[np.int32]]) -> Any:
    """The weight of every token of the vocabulary in each text, (texts, vocabulary), with gradients.

    Only the place of each token's highest logit, and only where that is above zero, takes part in the gradient. So
    these few are computed again with it, and the many, which are most of the work, without.
    """
    import torch

    lengths = torch.as_tensor([len(ids) for ids in batch])
    ids = torch.zeros((len(batch), int(lengths.max())), dtype=torch.long)
    for row, own in enumerate(batch):
        ids[row, : len(own)] = torch.from_numpy(own)
    mask = torch.arange(ids.shape[1])[None, :] < lengths[:, None]
    head = network.cls.predictions
    embeddings = network.bert.embeddings.word_embeddings.weight
    with torch.autocast("cpu", torch.bfloat16):
        states = network.bert(input_ids=ids, attention_mask=mask.long()).last_hidden_state
    states = head.transform(states.float())
    rows: list[Any] = []
    tokens: list[Any] = []
    places: list[Any] = []
    with torch.no_grad():
        narrow = embeddings.bfloat16().T
        for row, own in enumerate(batch):
            best, place = (states[row, : len(own)].bfloat16() @ narrow).max(0)
            active = torch.nonzero(best.float() + head.bias > 0)[:, 0]
            rows.append(torch.full_like(active, row))
            tokens.append(active)
            places.append(place[active])
    row, token, place = torch.cat(rows), torch.cat(tokens), torch.cat(places)
    logits = (states[row, place] * embeddings[token]).sum(1) + head.bias[token]
    found = torch.zeros((len(batch), len(embeddings)))
    return found.index_put((row, token), torch.log1p(torch.relu(logits)))


def _marked(texts: Texts, number: int, most: int) -> NDArray[np.int32]:
    return np.concatenate([[CLS], texts.of(number, most), [SEP]]).astype(np.int32)


def _flops(weights: Any) -> Any:
    """The expected number of products of two texts: the sum over tokens of the squared mean weight."""
    return weights.mean(0).square().sum()


def train(
    network: Any, material: Material, settings: Settings, checkpoint: Path, seconds: float, steps: int | None
) -> dict[str, Any]:
    """Train in place by the cross-entropy of the right passage among all of a step; ends with averaged weights."""
    import torch

    network.bert.embeddings.requires_grad_(False)
    for layer in network.bert.encoder.layer[: settings.frozen]:
        layer.requires_grad_(False)
    optimiser = Optimiser(network, settings.average)
    allowed = np.arange(len(material.positives))
    step, before = 0, 0.0
    if checkpoint.is_file():
        state = torch.load(checkpoint, weights_only=True)
        optimiser.load(state["optimiser"])
        step, before = state["step"], state["seconds"]
    began = saved = time.monotonic()
    while True:
        spent = before + time.monotonic() - began
        done = step / steps if steps is not None else spent / seconds
        if done >= 1:
            break
        drawn, lists = material.draw(allowed, (settings.seed, step), lists=settings.questions, wrong=settings.wrong)
        asked = [_marked(material.questions, int(n), settings.question_tokens) for n in drawn]
        # The right passages come first, so question n belongs to passage n.
        passages = [_marked(material.passages, int(n), settings.passage_tokens) for n in lists.T.ravel()]
        questions, documents = weights_of(network, asked), weights_of(network, passages)
        scores = settings.scale * questions @ documents.T
        target = torch.arange(len(asked))
        loss = torch.nn.functional.cross_entropy(scores, target)
        sparse = settings.sparse * min(1.0, 3 * done) ** 2
        (loss + sparse * (_flops(questions) + _flops(documents))).backward()
        optimiser.step(settings.rate * min(1.0, done * 20, (1 - done) / 0.95), step)
        step += 1
        if step % 10 == 1:
            active = [float((weights > 0).sum(1).float().mean()) for weights in (questions, documents)]
            right = float((scores.argmax(1) == target).float().mean())
            print(
                f"{step}, {done:.3f} of the run: loss {loss.item():.3f}, right {right:.2f} of {scores.shape[1]},"
                f" active {active[0]:.0f} and {active[1]:.0f}, flops {_flops(documents).item():.2f}",
                flush=True,
            )
        if time.monotonic() - saved > settings.save_every_s:
            spent = before + time.monotonic() - began
            save_state(checkpoint, {"optimiser": optimiser.state(), "step": step, "seconds": spent})
            saved = time.monotonic()
    with torch.no_grad():
        for one, mean in zip(trained_weights(network), optimiser.mean, strict=True):
            one.copy_(mean)
    return {"steps": step, "seconds": round(before + time.monotonic() - began)}


def save_model(network: Any, base: Path, to: Path) -> None:
    """As a folder that `SparseEncoder` loads, reading 256 tokens as the base does in ragkit."""
    sentence_transformers: Any = importlib.import_module("sentence_transformers")
    modules: Any = importlib.import_module("sentence_transformers.sparse_encoder.modules")
    transformers: Any = importlib.import_module("transformers")
    with tempfile.TemporaryDirectory() as bare:
        network.save_pretrained(bare)
        transformers.AutoTokenizer.from_pretrained(base).save_pretrained(bare)
        transformer = modules.Transformer(bare, transformer_task="fill-mask", max_seq_length=256)
    made = sentence_transformers.SparseEncoder(modules=[transformer, modules.SpladePooling("max")])
    made.save_pretrained(str(to))


if __name__ == "__main__":
    main()
