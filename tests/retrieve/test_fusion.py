"""Fusion: by formula, order-free where it must be, and the same for equal input."""

from __future__ import annotations

from statistics import fmean, pstdev

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ragkit.config.schema import Fusion
from ragkit.retrieve.fusion import distribution_based_fusion, fuse, reciprocal_rank_fusion, weighted_fusion
from ragkit.store import Hit

names = st.lists(st.sampled_from([f"chunk-{n}" for n in range(30)]), unique=True, max_size=20)
METHODS = [Fusion(method="rrf"), Fusion(method="weighted"), Fusion(method="dbsf")]


def ranked(chunk_ids: list[str], top: float = 1.0) -> list[Hit]:
    return [Hit(chunk_id, top - 0.01 * rank) for rank, chunk_id in enumerate(chunk_ids)]


def test_reciprocal_ranks_are_summed() -> None:
    fused = dict(reciprocal_rank_fusion(ranked(["a", "b"]), ranked(["b", "c"]), k=60))
    assert fused["b"] == pytest.approx(1 / 62 + 1 / 61)
    assert fused["a"] == pytest.approx(1 / 61)


def test_weighted_scores_run_from_zero_to_one_in_each_list() -> None:
    dense = [Hit("a", 0.9), Hit("b", 0.5), Hit("c", 0.1)]
    sparse = [Hit("b", 12.0), Hit("c", 2.0)]
    fused = dict(weighted_fusion(dense, sparse, alpha=0.25))
    assert fused["a"] == pytest.approx(0.25)
    assert fused["b"] == pytest.approx(0.25 * 0.5 + 0.75)
    assert fused["c"] == pytest.approx(0.0)


def test_several_sparse_lists_share_what_dense_leaves() -> None:
    dense, words, learned = (
        [Hit("a", 0.9), Hit("b", 0.1)],
        [Hit("b", 9.0), Hit("c", 1.0)],
        [Hit("c", 5.0), Hit("a", 1.0)],
    )
    fused = dict(fuse(dense, words, Fusion(method="weighted", alpha=0.4), learned))
    assert fused == pytest.approx({"a": 0.4, "b": 0.3, "c": 0.3})


@pytest.mark.parametrize("fusion", METHODS, ids=lambda fusion: fusion.method)
@given(dense=names, sparse=names, learned=names)
def test_a_third_list_may_come_in_any_place_behind_dense(
    fusion: Fusion, dense: list[str], sparse: list[str], learned: list[str]
) -> None:
    one, other, third = ranked(dense), ranked(sparse, top=20.0), ranked(learned, top=5.0)
    assert dict(fuse(one, other, fusion, third)) == pytest.approx(dict(fuse(one, third, fusion, other)))


def test_distribution_based_scores_put_the_mean_at_one_half() -> None:
    fused = dict(distribution_based_fusion([Hit("a", 3.0), Hit("b", 2.0), Hit("c", 1.0)], []))
    assert fused["b"] == pytest.approx(0.5)
    assert fused["a"] + fused["c"] == pytest.approx(1.0)


def test_equal_scores_are_ordered_by_id() -> None:
    assert [name for name, _ in fuse([Hit("b", 1.0), Hit("a", 1.0)], [], Fusion(method="weighted"))] == ["a", "b"]


@pytest.mark.parametrize("fusion", METHODS, ids=lambda fusion: fusion.method)
@given(dense=names, sparse=names)
def test_every_hit_appears_once_best_first(fusion: Fusion, dense: list[str], sparse: list[str]) -> None:
    fused = fuse(ranked(dense), ranked(sparse, top=20.0), fusion)
    assert sorted(name for name, _ in fused) == sorted({*dense, *sparse})
    assert [score for _, score in fused] == sorted((score for _, score in fused), reverse=True)


@pytest.mark.parametrize("fusion", METHODS, ids=lambda fusion: fusion.method)
@given(dense=names, scale=st.floats(0.5, 100), shift=st.floats(-5, 5))
def test_the_scale_of_a_retriever_does_not_matter(fusion: Fusion, dense: list[str], scale: float, shift: float) -> None:
    hits = ranked(dense)
    moved = [Hit(hit.chunk_id, hit.score * scale + shift) for hit in hits]
    sparse = ranked(list(reversed(dense)), top=9.0)
    before, after = dict(fuse(hits, sparse, fusion)), dict(fuse(moved, sparse, fusion))
    assert before.keys() == after.keys()
    for name, score in before.items():
        assert after[name] == pytest.approx(score, abs=1e-6)


@given(scores=st.lists(st.floats(-1, 1), min_size=1, max_size=50), same=st.booleans())
def test_distribution_based_scores_are_those_of_the_exact_deviation(scores: list[float], same: bool) -> None:
    scores = [scores[0]] * len(scores) if same else [round(score, 3) for score in scores]
    fused = dict(distribution_based_fusion([Hit(str(n), score) for n, score in enumerate(scores)]))
    mean, deviation = fmean(scores), pstdev(scores)
    wanted = [(score - mean + 3 * deviation) / (6 * deviation) if deviation else 0.5 for score in scores]
    assert [fused[str(n)] for n in range(len(scores))] == pytest.approx(wanted)


def test_scores_are_told_apart_however_little_they_differ_but_for_less_than_can_be_counted_with() -> None:
    little = distribution_based_fusion([Hit("a", 1e-200), Hit("b", 0.0)])
    assert dict(little) == pytest.approx({"a": 2 / 3, "b": 1 / 3})
    none = distribution_based_fusion([Hit("a", 5e-324), *(Hit(f"b{number}", 0.0) for number in range(9))])
    assert {score for _, score in none} == {0.5}
