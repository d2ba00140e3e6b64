from __future__ import annotations

from typing import cast

import pytest
import pytrec_eval

from ragkit.evaluate.gold import Gold
from ragkit.evaluate.stage_metrics import Places, ranks_of, stage_metrics
from ragkit.store import StoreReader
from ragkit.types import Chunk, Stage


class Shelf:
    """Chunks "a1" to "d9": the letter is the document, the number the page."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def chunks(self, chunk_ids: list[str]) -> dict[str, Chunk]:
        self.asked += chunk_ids
        return {each: self._chunk(each) for each in chunk_ids}

    def _chunk(self, name: str) -> Chunk:
        return Chunk(name, name[0], "", 0, 1, 1, {"source_document": name[0], "page_number": int(name[1])})


def measured(ranked: dict[Stage, list[str]], *gold: Gold) -> dict[str, float]:
    return stage_metrics(ranked, gold, Places(cast(StoreReader, Shelf())))


def place(document: str, *chunks: str, grade: int = 1) -> Gold:
    pages = tuple(int(chunk[1]) for chunk in chunks)
    return Gold(document, document, ranges=((0, 1),), pages=pages, chunks=frozenset(chunks), whole=True, grade=grade)


def test_each_stage_is_measured_by_chunk_page_and_document() -> None:
    values = measured({"dense": ["b1", "a2", "a1"], "fused": ["a1", "b1", "a2"]}, place("a", "a1"))
    assert values["dense.chunk.mrr@10"] == pytest.approx(1 / 3)
    assert values["dense.page.mrr@10"] == pytest.approx(1 / 3)
    assert values["dense.document.mrr@10"] == pytest.approx(1 / 2)
    assert values["fused.chunk.mrr@10"] == 1.0


def test_a_place_in_the_overlap_of_two_chunks_is_found_once() -> None:
    values = measured({"fused": ["a1", "a2", "b1"]}, place("a", "a1", "a2"), place("b", "b1"))
    assert values["fused.chunk.recall@10"] == 1.0
    assert values["fused.chunk.ndcg@10"] == pytest.approx(1.0)  # b is the second item, not the third


def test_a_place_that_the_index_lacks_is_a_miss() -> None:
    missing = Gold("z", None, pages=(4,))
    values = measured({"fused": ["a1"]}, place("a", "a1"), missing)
    assert values["fused.chunk.recall@10"] == 0.5
    assert values["fused.page.recall@10"] == 0.5
    assert values["fused.document.recall@10"] == 0.5


def test_the_best_grade_of_a_page_counts_in_whatever_order() -> None:
    best, other = place("a", "a1", grade=3), place("a", "a2", grade=1)
    ranked = ["a1", "a2", "b1"]
    first, second = measured({"fused": ranked}, best, other), measured({"fused": ranked}, other, best)
    for level in ("page", "document"):
        assert first[f"fused.{level}.ndcg@10"] == second[f"fused.{level}.ndcg@10"]


def test_agrees_with_trec_eval_on_graded_places() -> None:
    ranked = ["b1", "a1", "c1", "d1"]
    values = measured({"fused": ranked}, place("a", "a1", grade=2), place("c", "c1", grade=1))
    qrels = {"q": {"a": 2, "c": 1}}
    run = {"q": {name[0]: float(-rank) for rank, name in enumerate(ranked)}}
    expected = pytrec_eval.RelevanceEvaluator(
        qrels, {"ndcg_cut.10", "recip_rank", "recall.10", "map_cut.100"}
    ).evaluate(run)["q"]
    assert values["fused.document.ndcg@10"] == pytest.approx(expected["ndcg_cut_10"], abs=1e-9)
    assert values["fused.document.mrr@10"] == pytest.approx(expected["recip_rank"], abs=1e-9)
    assert values["fused.document.recall@10"] == pytest.approx(expected["recall_10"], abs=1e-9)
    assert values["fused.document.map@100"] == pytest.approx(expected["map_cut_100"], abs=1e-9)


def test_without_labels_there_is_nothing_to_measure() -> None:
    assert measured({"fused": ["a1"]}) == {}


def test_ranks_are_those_of_the_first_chunk_with_the_place() -> None:
    ranked: dict[Stage, list[str]] = {"dense": ["b1", "a2", "a1"], "sparse": ["b1"], "fused": ["a1"]}
    assert ranks_of(ranked, place("a", "a1", "a2")) == {"dense": 2, "fused": 1}


def test_a_chunk_is_looked_up_once() -> None:
    shelf = Shelf()
    places = Places(cast(StoreReader, shelf))
    places.of(["a1", "b1"])
    places.of(["a1", "c1"])
    assert shelf.asked == ["a1", "b1", "c1"]
