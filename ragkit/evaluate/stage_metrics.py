"""How well each stage of retrieval ranked the labelled places of one question, by chunk, by page and by document."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

from ragkit.evaluate.gold import Gold
from ragkit.evaluate.metrics import evaluate_run
from ragkit.store import StoreReader
from ragkit.types import Stage

Level = Literal["chunk", "page", "document"]
Ranked = Mapping[Stage, Sequence[str]]
"""For each stage the ids of the chunks that it ranked, best first."""


class Place(NamedTuple):
    """Where a chunk stands: its document and the pages from the first to the last (0 without pages)."""

    document: str
    first_page: int
    last_page: int


class Places:
    """Looks up where chunks stand, each once."""

    def __init__(self, store: StoreReader) -> None:
        self._store = store
        self._known: dict[str, Place] = {}

    def of(self, chunk_ids: Sequence[str]) -> dict[str, Place]:
        missing = [chunk_id for chunk_id in chunk_ids if chunk_id not in self._known]
        for chunk in self._store.chunks(missing).values() if missing else ():
            first = chunk.page_number or 0
            self._known[chunk.id] = Place(chunk.source_document, first, first + len(chunk.page_starts))
        return {chunk_id: self._known[chunk_id] for chunk_id in chunk_ids if chunk_id in self._known}


def stage_metrics(ranked: Ranked, gold: Sequence[Gold], places: Places) -> dict[str, float]:
    """Every measure at every stage and level, as "dense.page.ndcg@10"; empty without labels.

    The items of a ranking are labelled places, which count once, at their first chunk, and all other chunks (pages,
    documents). So a place in the overlap of two chunks is not found twice, and one that the index lacks is a miss.
    """
    if not gold:
        return {}
    run: dict[str, list[tuple[str, float]]] = {}
    qrels: dict[str, dict[str, int]] = {}
    for stage, chunk_ids in ranked.items():
        place_of = places.of(chunk_ids)
        for level, (items, grades) in _by_level(chunk_ids, gold, place_of).items():
            run[f"{stage}.{level}"] = [(item, float(-rank)) for rank, item in enumerate(items)]
            qrels[f"{stage}.{level}"] = grades
    values = evaluate_run(run, qrels, ignore_identical_ids=False)
    return {f"{where}.{measure}": value for measure, by_place in values.items() for where, value in by_place.items()}


def ranks_of(ranked: Ranked, gold: Gold) -> dict[Stage, int]:
    """The rank (from 1) of the first chunk that holds a labelled place, at each stage that ranked one."""
    ranks: dict[Stage, int] = {}
    for stage, chunk_ids in ranked.items():
        rank = next((rank for rank, each in enumerate(chunk_ids, start=1) if each in gold.chunks), None)
        if rank is not None:
            ranks[stage] = rank
    return ranks


def _by_level(
    chunk_ids: Sequence[str], gold: Sequence[Gold], place_of: Mapping[str, Place]
) -> dict[Level, tuple[list[str], dict[str, int]]]:
    """For each level the ranking as distinct items, best first, and the grades of the labelled ones."""
    chunks: dict[str, None] = {}
    pages: dict[str, None] = {}
    documents: dict[str, None] = {}
    for chunk_id in chunk_ids:
        held = [_name("gold", number) for number, place in enumerate(gold) if chunk_id in place.chunks]
        chunks.update(dict.fromkeys(held or [chunk_id]))
        if (place := place_of.get(chunk_id)) is not None:
            documents[place.document] = None
            pages.update({_name(place.document, page): None for page in range(place.first_page, place.last_page + 1)})
    grades = {_name("gold", number): place.grade for number, place in enumerate(gold)}
    by_page: dict[str, int] = {}
    by_document: dict[str, int] = {}
    for place in gold:
        by_document[place.document] = max(place.grade, by_document.get(place.document, 0))
        for page in place.pages or (0,):
            name = _name(place.document, page)
            by_page[name] = max(place.grade, by_page.get(name, 0))
    return {
        "chunk": (list(chunks), grades),
        "page": (list(pages), by_page),
        "document": (list(documents), by_document),
    }


def _name(thing: str, number: int) -> str:
    return f"{thing}\x1f{number}"
