"""Training an embedding model: no batch holds two that answer each other, it learns, and goes on after a kill."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ragkit import Ragkit
from ragkit.store.filters import parse_filter
from ragkit.train.bi_encoder import Pace, Pairs, batch_of, may_answer, train_pairs, true_negatives
from ragkit.train.embedder import ExactStore
from ragkit.train.passages import vectors_of
from tests.train.test_cross_encoder import ANIMALS, build


def unit(rows: Any) -> Any:
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def pairs_from(seed: int, count: int) -> Pairs:
    rng = np.random.default_rng(seed)
    asked, right = unit(rng.normal(size=(count, 4))), unit(rng.normal(size=(count, 4)))
    return Pairs([f"q{n}" for n in range(count)], [f"p{n % 7}" for n in range(count)], [()] * count, asked, right)


@given(st.integers(0, 10_000), st.integers(1, 30), st.integers(1, 12))
def test_no_question_of_a_batch_may_be_answered_by_the_passage_of_another(seed: int, count: int, size: int) -> None:
    pairs = pairs_from(seed, count)
    chosen = batch_of(pairs, size, (seed, 0))
    assert 1 <= len(chosen) <= size
    assert len(set(chosen)) == len(chosen)
    assert chosen == batch_of(pairs, size, (seed, 0))
    for one in chosen:
        for other in chosen:
            if one != other:
                assert not may_answer(pairs, one, other)
                assert pairs.passages[one] != pairs.passages[other]


def test_a_passage_that_the_base_puts_before_the_right_one_is_no_wrong_one() -> None:
    question = np.array([1.0, 0.0], dtype=np.float32)
    vectors = np.array([[1.0, 0.0], [0.6, 0.8], [0.0, 1.0]], dtype=np.float32)
    assert true_negatives([0, 1, 2, -1], 0.7, question, vectors, ["nearer", "near", "far"]) == ["near", "far"]


def test_exact_search_finds_what_the_store_finds_and_keeps_filters(rag: Ragkit) -> None:
    store = rag.snapshot().store
    ids = [chunk.id for chunk in store.iter_chunks()]
    exact = ExactStore(store, ids, vectors_of(store, ids))
    vector = rag.embedder.embed_question("What is the warranty of the Heron?")
    vector = np.asarray(vector / np.linalg.norm(vector), dtype=np.float32)
    for filters in ([], [parse_filter("source_document=heron.md")]):
        found, words = exact.search(5, vector, "warranty", filters)
        wanted, known = store.search(5, vector, "warranty", filters)
        assert np.allclose([hit.score for hit in found], [hit.score for hit in wanted], atol=1e-4)
        assert [hit.chunk_id for hit in words] == [hit.chunk_id for hit in known]
    assert exact.count() == len(ids)


def small(folder: Path) -> Any:
    """A SentenceTransformer of three layers with random weights and a real tokenizer."""
    from sentence_transformers import SentenceTransformer

    return SentenceTransformer(str(folder), device="cpu", local_files_only=True)


def animals() -> Pairs:
    asked = [f"where is the {animal}" for animal in ANIMALS]
    right = [f"The {animal} is in house {n}." for n, animal in enumerate(ANIMALS)]
    same = np.eye(len(ANIMALS), dtype=np.float32)
    return Pairs(asked, right, [[right[(n + 1) % len(right)]] for n in range(len(right))], same, same)


@pytest.mark.integration
def test_it_learns_which_passage_belongs_to_which_question(tmp_path: Path) -> None:
    model = small(build(tmp_path / "base"))
    done = train_pairs(model, animals(), Pace(80, batch=8, rate=5e-3, average=0.9))
    assert done["steps"] == 80
    asked, right = (
        model.encode(list(texts), normalize_embeddings=True) for texts in (animals().questions, animals().passages)
    )
    assert ((asked @ right.T).argmax(axis=1) == np.arange(len(ANIMALS))).mean() >= 0.8


CHILD = """
import sys, time
from pathlib import Path
import numpy as np
from tests.train import test_bi_encoder as here
from ragkit.train.bi_encoder import Pace, train_pairs
model = here.small(Path(sys.argv[1]))
def progress(step, total, loss):
    print(step, flush=True)
    time.sleep(float(sys.argv[3]))
train_pairs(model, here.animals(), Pace(10, batch=4, rate=1e-3, save_every_s=0.0), checkpoint=Path(sys.argv[2]),
            progress=progress)
np.savez(sys.argv[4], **{name: one.detach().numpy() for name, one in model.named_parameters()})
"""


@pytest.mark.integration
def test_killed_it_goes_on_to_the_same_weights(tmp_path: Path) -> None:
    base = build(tmp_path / "base")

    def child(name: str, slow: float) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", CHILD, str(base), str(tmp_path / f"{name}.checkpoint"), str(slow)]
        command.append(str(tmp_path / f"{name}.npz"))
        return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2])

    assert child("whole", 0.0).communicate(timeout=300)[0].split()[-1] == "10"
    killed = child("killed", 0.3)
    assert killed.stdout is not None
    for _ in range(4):
        assert killed.stdout.readline()
    killed.send_signal(signal.SIGKILL)
    killed.communicate(timeout=60)
    steps = child("killed", 0.0).communicate(timeout=300)[0].split()
    assert int(steps[0]) > 2
    assert steps[-1] == "10"
    with np.load(tmp_path / "whole.npz") as first, np.load(tmp_path / "killed.npz") as second:
        for name in first.files:
            assert np.allclose(first[name], second[name], atol=1e-5), name
