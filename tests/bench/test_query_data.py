"""The exact answers of the query benchmark, against the plainest way to compute them."""

from __future__ import annotations

import math

import numpy as np
import pytest

from eval.bench import query_data
from eval.bench.query_data import exact_dense, exact_sparse, found_share


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(query_data, "BLOCK", 7)  # so that 50 chunks take several


def test_the_best_by_cosine_are_found_over_all_blocks() -> None:
    rng = np.random.default_rng(0)
    vectors, asked = rng.standard_normal((50, 8)).astype(np.float32), rng.standard_normal((3, 8)).astype(np.float32)
    for question, good in zip(asked, exact_dense(vectors, asked), strict=True):
        assert set(good) == set(np.argsort(-(vectors @ question))[:10].tolist())


def test_the_best_by_bm25_are_those_of_the_formula() -> None:
    rng = np.random.default_rng(1)
    texts = [rng.integers(0, 30, rng.integers(5, 20)).tolist() for _ in range(50)]
    tokens = np.array([word for text in texts for word in text], dtype=np.int32)
    starts = np.concatenate([[0], np.cumsum([len(text) for text in texts])])
    average = len(tokens) / len(texts)
    asked = np.array([3, 7, 29])

    def score(text: list[int]) -> float:
        total = 0.0
        for word in asked.tolist():
            with_it = sum(word in other for other in texts)
            idf = math.log(1 + (len(texts) - with_it + 0.5) / (with_it + 0.5))
            times = text.count(word)
            total += idf * times * 2.2 / (times + 1.2 * (0.25 + 0.75 * len(text) / average))
        return total

    scores = [score(text) for text in texts]
    tenth = sorted(scores)[-10]
    wanted = {number for number, each in enumerate(scores) if each > 0 and each >= tenth * 0.999}
    assert set(exact_sparse(tokens, starts, [asked])[0]) == wanted


def test_recall_counts_ties_once_and_misses_as_misses() -> None:
    assert found_share(list(range(10)), set(range(12))) == 1.0
    assert found_share(list(range(10)), {0, 1, *range(50, 58)}) == 0.2
    assert found_share([1], {1}) == 1.0
    assert found_share([], {1}) == 0.0
