"""More than a hundred seeded faults, each at a known stage: the outcome names the stage that has it."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from ragkit.config.load import load_config
from ragkit.evaluate.cases import Case
from ragkit.evaluate.examine import Examiner
from ragkit.evaluate.gold import GoldFinder
from ragkit.evaluate.record import Outcome
from ragkit.evaluate.suite import load_suite
from ragkit.store import Hit
from ragkit.system import Ragkit

pytestmark = pytest.mark.integration

ROOT = Path(__file__).parents[2]
EACH = 12
NEEDED = 0.95


@dataclass
class Target:
    """What the fault of the moment is aimed at: the chunks that hold the labelled places of one question."""

    chunks: frozenset[str] = frozenset()
    documents: frozenset[str] = frozenset()
    ranges: tuple[tuple[int, int], ...] = ()


@dataclass
class Bench:
    """The sample system with its baseline, and the faults that were found and named."""

    rag: Ragkit
    cases: list[Case]
    target: Target = field(default_factory=Target)
    named: list[tuple[str, str, Outcome]] = field(default_factory=list[tuple[str, str, Outcome]])

    def inject(self, expected: Outcome) -> None:
        """Ask questions in a seeded order until the fault has lost `EACH` answers, and note what each was called."""
        snapshot = self.rag.snapshot()
        finder = GoldFinder(snapshot.manifest, snapshot.store)
        examiner = Examiner(self.rag)
        lost = 0
        for case in random.Random(expected).sample(self.cases, len(self.cases)):
            gold = finder.find(case)
            self.target.chunks = frozenset(chunk for place in gold for chunk in place.chunks)
            self.target.documents = frozenset(place.document_id or "" for place in gold)
            record = examiner.examine(case)
            # An answer that is right all the same, from another document, was not lost.
            if record.outcome != "right":
                self.named.append((case.id, expected, record.outcome))
                lost += 1
            if lost == EACH:
                return


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    folder = tmp_path_factory.mktemp("faults")
    # Few chunks in the prompt and many candidates, so that each stage has something to lose.
    overrides = [f"ingestion.store.path={folder}/index", "generation.context_chunks=5"]
    rag = Ragkit(load_config(ROOT / "configs" / "quickstart.yaml", overrides).config)
    suite = load_suite(ROOT / "eval" / "suites" / "samples.yaml", folder)
    rag.index(list(suite.corpus))
    examiner = Examiner(rag)
    answerable = [case for case in suite.cases if case.answerable and case.segment == ""]
    right = [case for case in answerable if examiner.examine(case).outcome == "right"]
    assert len(right) >= 30
    return Bench(rag, right)


def without(hits: Sequence[Hit], target: Target) -> list[Hit]:
    return [hit for hit in hits if hit.chunk_id not in target.chunks]


def test_not_retrieved(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    from ragkit.store.qdrant_edge import EdgeStore

    search: Any = EdgeStore.search

    def blind(*arguments: Any) -> Any:
        return tuple(without(hits, bench.target) for hits in search(*arguments))

    monkeypatch.setattr(EdgeStore, "search", blind)
    bench.inject("not retrieved")


def test_lost_in_fusion(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    from ragkit.retrieve import lists

    fuse: Any = lists.fuse

    def careless(*arguments: Any) -> Any:
        fused = fuse(*arguments)
        return sorted(fused, key=lambda pair: pair[0] in bench.target.chunks)

    monkeypatch.setattr(lists, "fuse", careless)
    bench.inject("lost in fusion")


class Spiteful:
    """A reranker that gives the labelled chunks the least score."""

    def __init__(self, bench: Bench) -> None:
        self._bench = bench

    def scores(self, question: str, texts: Sequence[str]) -> list[float]:
        store = self._bench.rag.snapshot().store
        labelled = {chunk.indexed_text for chunk in store.chunks(sorted(self._bench.target.chunks)).values()}
        return [-1.0 if text in labelled else 1.0 - place / 100 for place, text in enumerate(texts)]


def test_lost_in_reranking(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Ragkit, "reranker", Spiteful(bench))
    bench.inject("lost in reranking")


def test_lost_in_diversifying(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    from ragkit.retrieve import retriever

    def spiteful(scored: Sequence[tuple[str, float]], *_: Any) -> list[tuple[str, float]]:
        return sorted(scored, key=lambda pair: pair[0] in bench.target.chunks)

    monkeypatch.setattr(retriever, "diversified", spiteful)
    retrieval = bench.rag.config.retrieval
    diversity = retrieval.diversity.model_copy(update={"method": "mmr"})
    changed = bench.rag.config.model_copy(update={"retrieval": retrieval.model_copy(update={"diversity": diversity})})
    monkeypatch.setattr(bench.rag, "config", changed)
    bench.inject("lost in diversifying")


def changed_generator(monkeypatch: pytest.MonkeyPatch, change: Callable[[Any, str, Sequence[Any]], Any]) -> None:
    from ragkit.generate.extractive import ExtractiveGenerator

    generate: Any = ExtractiveGenerator.generate

    def changing(self: ExtractiveGenerator, question: str, results: Sequence[Any]) -> Any:
        def with_these(kept: Sequence[Any]) -> Any:
            return generate(self, question, kept)

        return change(with_these, question, results)

    monkeypatch.setattr(ExtractiveGenerator, "generate", changing)


def test_dropped_by_packing(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    def packing(generate: Any, question: str, results: Sequence[Any]) -> Any:
        return generate([result for result in results if result.chunk.id not in bench.target.chunks])

    changed_generator(monkeypatch, packing)
    bench.inject("dropped by packing")


def with_all(generate: Any, bench: Bench, results: Sequence[Any], **changes: Any) -> Any:
    """What the generator says, changed; the labelled chunks stand in its prompt."""
    first = sorted(results, key=lambda result: result.chunk.id not in bench.target.chunks)
    return replace(generate(first), **changes)


def test_in_the_prompt_yet_wrong(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    changed_generator(
        monkeypatch, lambda generate, question, results: with_all(generate, bench, results, text="Nobody knows it.")
    )
    bench.inject("in the prompt yet wrong")


def test_refused_though_there(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    changed_generator(monkeypatch, lambda generate, question, results: with_all(generate, bench, results, refused=True))
    bench.inject("refused though there")


def test_right_but_wrongly_cited(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    from ragkit import ask as path

    ask: Any = path.ask
    snapshot = bench.rag.snapshot()
    documents = [snapshot.manifest.document(entry.id) for entry in snapshot.manifest.entries()]

    def misleading(*arguments: Any) -> Any:
        answer = ask(*arguments)
        other = next(d for d in documents if d is not None and d.id not in bench.target.documents)
        place: dict[str, Any] = {"document_id": other.id, "source_document": other.source, "page_number": None}
        place |= {"start": 0, "end": 30, "quote": other.text[:30]}
        return replace(answer, citations=tuple(replace(citation, **place) for citation in answer.citations))

    monkeypatch.setattr(path, "ask", misleading)
    bench.inject("right but wrongly cited")


@pytest.mark.parametrize("kind", ["not parsed", "cut by chunking"])
def test_lost_before_the_index(bench: Bench, kind: Outcome, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Documents whose labelled sentence the parser lost, or that were cut in the middle of the labelled answer."""
    from ragkit.ingest import engine as path

    snapshot = bench.rag.snapshot()
    finder = GoldFinder(snapshot.manifest, snapshot.store)
    places: dict[str, list[tuple[int, int]]] = {}
    for case in bench.cases:
        for place in finder.find(case):
            places.setdefault(place.document, []).extend(place.ranges)
    chunk_document: Any = path.chunk_document
    make_document: Any = path.make_document

    def losing(*arguments: Any, **rest: Any) -> Any:
        document = make_document(*arguments, **rest)
        text = document.text
        for start, end in places.get(document.source, ()):
            text = f"{text[:start]}{'~' * (end - start)}{text[end:]}"
        return replace(document, text=text)

    def cutting(document: Any, *rest: Any) -> Any:
        """One character a chunk within labelled places: no chunk can hold an answer."""
        made: list[Any] = []
        for chunk in chunk_document(document, *rest):
            inside = range(chunk.start + 1, chunk.end)
            cuts = {n for start, end in places.get(document.source, ()) for n in range(start, end + 1) if n in inside}
            for begin, stop in pairwise(sorted({chunk.start, chunk.end, *cuts})):
                identity = f"{chunk.id[:24]}{begin:012x}"
                text = document.text[begin:stop]
                made.append(replace(chunk, id=identity, start=begin, end=stop, text=text, header="", page_starts=()))
        return made

    if kind == "not parsed":
        monkeypatch.setattr(path, "make_document", losing)
    else:
        monkeypatch.setattr(path, "chunk_document", cutting)
    config = bench.rag.config
    store = config.ingestion.store.model_copy(update={"path": tmp_path / "index"})
    ingestion = config.ingestion.model_copy(update={"store": store})
    rag = Ragkit(config.model_copy(update={"ingestion": ingestion}))
    rag.index([ROOT / "eval" / "samples", ROOT / "eval" / "samples_attacks"])
    broken = Bench(rag, bench.cases)
    broken.inject(kind)
    bench.named += broken.named


def test_the_stage_is_named_rightly(bench: Bench) -> None:
    """Last of this file: counts what the tests before it have injected."""
    assert len(bench.named) >= 100, "run the whole file"
    wrong = [fault for fault in bench.named if fault[1] != fault[2]]
    assert len(wrong) <= (1 - NEEDED) * len(bench.named), wrong
