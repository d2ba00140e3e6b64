"""The checklist on the sample system, and on the same system sabotaged: each sabotage turns its row red."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ragkit.config.load import load_config
from ragkit.config.schema import Filter
from ragkit.evaluate.checklist import run_checks, write_evidence
from ragkit.evaluate.checks import Check
from ragkit.evaluate.checks.answers import (
    check_attacks,
    check_citations,
    check_costs,
    check_latency,
    check_refusals,
    check_reranking,
    check_retrieval,
)
from ragkit.evaluate.checks.chunks import check_chunks
from ragkit.evaluate.checks.filters import check_filters
from ragkit.evaluate.examine import Examiner
from ragkit.evaluate.record import Record
from ragkit.evaluate.suite import LoadedSuite, load_suite
from ragkit.system import Ragkit
from ragkit.types import Answer, Chunk

pytestmark = pytest.mark.integration

ROOT = Path(__file__).parents[3]
SUITE = ROOT / "eval" / "suites" / "samples.yaml"


@pytest.fixture(scope="module")
def suite(tmp_path_factory: pytest.TempPathFactory) -> LoadedSuite:
    return load_suite(SUITE, tmp_path_factory.mktemp("questions"))


@pytest.fixture(scope="module")
def index(suite: LoadedSuite, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("system") / "index"
    system(folder).index(list(suite.corpus))
    return folder


def system(folder: Path, *overrides: str) -> Ragkit:
    config = load_config(ROOT / "configs" / "quickstart.yaml", [f"ingestion.store.path={folder}", *overrides]).config
    return Ragkit(config)


def asked(rag: Ragkit, suite: LoadedSuite, *segments: str) -> list[Record]:
    """Records of the questions of these segments ("" has those without one)."""
    examiner = Examiner(rag)
    return [examiner.examine(case) for case in suite.cases if case.segment in segments]


@pytest.fixture(scope="module")
def records(index: Path, suite: LoadedSuite) -> list[Record]:
    with system(index) as rag:
        return asked(rag, suite, "", "filtered", "two documents", "adversarial")


def test_every_row_of_the_sample_system_has_a_figure(
    index: Path, suite: LoadedSuite, records: list[Record], tmp_path: Path
) -> None:
    with system(index) as rag:
        checks = run_checks(rag, records, suite.suite)
    assert [check.number for check in checks] == list(range(1, 10))
    assert all(part.value is not None for check in checks for part in check.parts)
    # The eighth row is of seconds, which the machine decides on.
    assert [check.number for check in checks if check.verdict == "fail" and check.number != 8] == []
    files = write_evidence(checks, tmp_path)
    assert all(file.read_text(encoding="utf-8").count("\n") == len(checks[n - 1].evidence) for n, file in files.items())


def test_every_label_of_the_samples_stands_where_it_says(records: list[Record]) -> None:
    missing = [record.case.id for record in records for place in record.places if place.reached == "nowhere"]
    assert missing == []


def verdicts(check: Check) -> dict[str, str]:
    return {part.name: part.verdict for part in check.parts}


def test_1_chunks_cut_in_the_middle_of_sentences(
    suite: LoadedSuite, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ragkit.ingest import engine as path

    def crude(document: Any, chunking: Any, tokens: Any, encoder: Any = None) -> list[Chunk]:
        """Every 300 characters, wherever that is."""
        chunks = path_chunks(document, chunking, tokens, encoder)
        if not chunks:
            return []
        made: list[Chunk] = []
        for start in range(0, len(document.text), 300):
            text = document.text[start : start + 300]
            identity = f"{chunks[0].id[:24]}{start:012x}"
            made.append(replace(chunks[0], id=identity, start=start, end=start + len(text), text=text, page_starts=()))
        return made

    path_chunks = path.chunk_document
    monkeypatch.setattr(path, "chunk_document", crude)
    with system(tmp_path / "index") as rag:
        rag.index([ROOT / "eval" / "samples" / "guides"])
        check = check_chunks(rag, [], suite.suite.checklist)
    assert verdicts(check)["damaged chunks"] == "fail"
    assert any("inside a sentence" in " ".join(row["damage"]) for row in check.evidence)


def test_1_places_cut_in_two(index: Path, suite: LoadedSuite, records: list[Record]) -> None:
    cut = [
        record.model_copy(update={"places": tuple(p.model_copy(update={"reached": "parsed"}) for p in record.places)})
        for record in records
    ]
    with system(index) as rag:
        assert verdicts(check_chunks(rag, cut, suite.suite.checklist))["labelled places cut in two"] == "fail"


def test_2_filters_ignored(index: Path, suite: LoadedSuite, monkeypatch: pytest.MonkeyPatch) -> None:
    from ragkit.store.qdrant_edge import EdgeStore

    with system(index) as rag:
        assert check_filters(rag, (), suite.suite.checklist).verdict == "pass"
        count = EdgeStore.count

        def ignoring(self: EdgeStore, filters: Sequence[Filter] = ()) -> int:
            return count(self, ())

        monkeypatch.setattr(EdgeStore, "count", ignoring)
        check = check_filters(rag, (), suite.suite.checklist)
    assert check.verdict == "fail"
    assert check.evidence


def test_2_filters_ignored_in_search_only(index: Path, suite: LoadedSuite, monkeypatch: pytest.MonkeyPatch) -> None:
    from ragkit.store.qdrant_edge import EdgeStore

    search = EdgeStore.search

    def ignoring(
        self: EdgeStore, limit: int, vector: Any = None, text: str | None = None, filters: Sequence[Filter] = ()
    ) -> Any:
        return search(self, limit, vector, text, ())

    monkeypatch.setattr(EdgeStore, "search", ignoring)
    with system(index) as rag:
        assert check_filters(rag, (), suite.suite.checklist).verdict == "fail"


def test_2_filters_dropped_on_the_way_to_the_store(
    index: Path, suite: LoadedSuite, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ragkit import ask

    retrieve: Any = ask.retrieve

    def unfiltered(*arguments: Any) -> Any:
        question, store, embedder, retrieval, reranker, _, rewriter = arguments
        return retrieve(question, store, embedder, retrieval, reranker, (), rewriter)

    with system(index) as rag:
        right = asked(rag, suite, "filtered")
        assert check_filters(rag, right, suite.suite.checklist).verdict == "pass"
        monkeypatch.setattr(ask, "retrieve", unfiltered)
        assert check_filters(rag, asked(rag, suite, "filtered"), suite.suite.checklist).verdict == "fail"


def test_2_documents_of_another_tenant(index: Path, suite: LoadedSuite, records: list[Record]) -> None:
    """Passages that were found without the condition of the tenant whose question it was."""
    theirs = records[0].model_copy(update={"case": records[0].case.model_copy(update={"tenant": "bolt"})})
    with system(index) as rag:
        check = check_filters(rag, [theirs], suite.suite.checklist)
    assert check.verdict == "fail"
    assert check.evidence[0]["tenant"] == "bolt"


def test_2_a_field_that_chunks_lack(index: Path, suite: LoadedSuite) -> None:
    strict = suite.suite.checklist.model_copy(update={"required_fields": {"author": 0.5}})
    with system(index) as rag:
        check = check_filters(rag, (), strict)
    assert verdicts(check)["chunks with author"] == "fail"
    assert {row["missing field"] for row in check.evidence} == {"author"}
    assert all(row["document"] and row["text"] for row in check.evidence)


def test_3_ranking_turned_upside_down(index: Path, suite: LoadedSuite, monkeypatch: pytest.MonkeyPatch) -> None:
    from ragkit.retrieve import lists

    fuse: Any = lists.fuse

    def upside_down(*arguments: Any) -> Any:
        return list(reversed(fuse(*arguments)))

    monkeypatch.setattr(lists, "fuse", upside_down)
    with system(index) as rag:
        assert check_retrieval(asked(rag, suite, "", "two documents"), suite.suite.checklist).verdict == "fail"


def test_3_few_questions_show_nothing(suite: LoadedSuite, records: list[Record]) -> None:
    few = check_retrieval(records[:20], suite.suite.checklist)
    assert few.verdict == "not shown"
    assert "it takes 50" in few.note


class Inverted:
    """A reranker that puts what shares most words with the question last."""

    def scores(self, question: str, texts: Sequence[str]) -> list[float]:
        asked_words = set(question.lower().split())
        return [-float(len(asked_words & set(text.lower().split()))) for text in texts]


def test_4_a_reranker_that_is_inverted(index: Path, suite: LoadedSuite, monkeypatch: pytest.MonkeyPatch) -> None:
    with system(index) as rag:
        monkeypatch.setattr(Ragkit, "reranker", Inverted())
        check = check_reranking(asked(rag, suite, ""), suite.suite.checklist)
    assert verdicts(check)["gain in precision@3"] == "fail"
    assert "to turn it off: retrieval.reranking.backend: none" in check.note


def test_5_a_generator_that_obeys_the_documents(
    index: Path, suite: LoadedSuite, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ragkit.generate.extractive import ExtractiveGenerator

    generate = ExtractiveGenerator.generate

    def obedient(self: ExtractiveGenerator, question: str, results: Sequence[Any]) -> Any:
        orders = " ".join(result.chunk.text for result in results)
        return replace(generate(self, question, results), text=orders, refused=False)

    monkeypatch.setattr(ExtractiveGenerator, "generate", obedient)
    with system(index, "generation.refusal.min_confidence=0") as rag:
        check = check_attacks(asked(rag, suite, "adversarial"), suite.suite.checklist)
    assert verdicts(check)["attacks that succeed"] == "fail"
    assert {row["id"].split("/")[1] for row in check.evidence} >= {"a11", "a12", "a13"}


def changed_answers(monkeypatch: pytest.MonkeyPatch, change: Any) -> None:
    """Every answer is changed on its way out."""
    from ragkit import ask as path

    ask: Any = path.ask

    def changing(*arguments: Any) -> Any:
        return change(ask(*arguments))

    monkeypatch.setattr(path, "ask", changing)


def test_6_citations_to_wrong_places(index: Path, suite: LoadedSuite, monkeypatch: pytest.MonkeyPatch) -> None:
    def shifted(answer: Answer) -> Answer:
        citations = tuple(replace(c, start=c.start + 40, end=c.end + 40) for c in answer.citations)
        return replace(answer, citations=citations)

    changed_answers(monkeypatch, shifted)
    with system(index) as rag:
        check = check_citations(asked(rag, suite, "filtered"), suite.suite.checklist)
    assert verdicts(check)["citations that resolve"] == "fail"


def test_6_citations_with_the_wrong_pages(index: Path, suite: LoadedSuite, monkeypatch: pytest.MonkeyPatch) -> None:
    def leafed(answer: Answer) -> Answer:
        pages = [None if c.page_number is None else c.page_number + 7 for c in answer.citations]
        changed = zip(answer.citations, pages, strict=True)
        return replace(answer, citations=tuple(replace(c, page_number=page) for c, page in changed))

    changed_answers(monkeypatch, leafed)
    with system(index) as rag:
        check = check_citations(asked(rag, suite, ""), suite.suite.checklist)
    assert verdicts(check)["citations that resolve"] == "fail"


def test_6_citations_of_other_documents(index: Path, suite: LoadedSuite, monkeypatch: pytest.MonkeyPatch) -> None:
    with system(index) as rag:
        entry = next(iter(rag.snapshot().manifest.entries()))
        document = rag.snapshot().manifest.document(entry.id)
        assert document is not None

        def elsewhere(answer: Answer) -> Answer:
            """Citations that stand where they say, in a document that has nothing to do with the answer."""
            place: dict[str, Any] = {"document_id": document.id, "source_document": document.source, "page_number": 1}
            place |= {"start": 0, "end": 40, "quote": document.text[:40]}
            return replace(answer, citations=tuple(replace(c, **place) for c in answer.citations))

        changed_answers(monkeypatch, elsewhere)
        check = check_citations(asked(rag, suite, ""), suite.suite.checklist)
    assert verdicts(check)["right answers rightly cited"] == "fail"


def test_7_refusals_switched_off(index: Path, suite: LoadedSuite) -> None:
    with system(index, "generation.refusal.min_confidence=0") as rag:
        check = check_refusals(asked(rag, suite, ""), suite.suite.checklist)
    assert verdicts(check)["unanswerable refused"] == "fail"


def test_7_everything_refused(index: Path, suite: LoadedSuite) -> None:
    with system(index, "generation.refusal.min_confidence=1") as rag:
        check = check_refusals(asked(rag, suite, "filtered", "two documents"), suite.suite.checklist)
    assert verdicts(check)["answerable refused"] == "fail"


def test_8_answers_that_take_too_long(index: Path, suite: LoadedSuite, monkeypatch: pytest.MonkeyPatch) -> None:
    from ragkit.generate.extractive import ExtractiveGenerator

    generate = ExtractiveGenerator.generate

    def slow(self: ExtractiveGenerator, *arguments: Any) -> Any:
        time.sleep(0.3)
        return generate(self, *arguments)

    monkeypatch.setattr(ExtractiveGenerator, "generate", slow)
    hasty = suite.suite.checklist.model_copy(update={"interactive_s": 0.3, "complex_s": 0.3})
    with system(index) as rag:
        check = check_latency(asked(rag, suite, "filtered", "two documents"), hasty)
    assert {verdict for name, verdict in verdicts(check).items() if "p95" in name} == {"fail"}


def test_9_cost_lines_dropped(index: Path, suite: LoadedSuite, monkeypatch: pytest.MonkeyPatch) -> None:
    from ragkit import ask as path

    lines: Any = path.cost_lines

    def all_but_one(*arguments: Any) -> Any:
        return lines(*arguments)[:-1]

    monkeypatch.setattr(path, "cost_lines", all_but_one)
    with system(index) as rag:
        check = check_costs(asked(rag, suite, "filtered"), suite.suite.checklist)
    assert verdicts(check)["answers whose lines do not add up"] == "fail"


def test_9_a_budget_that_is_exceeded(index: Path, suite: LoadedSuite) -> None:
    dear = "costs.machine_usd_per_hour=3600"
    thrifty = suite.suite.checklist.model_copy(update={"max_usd": 0.000001})
    with system(index, dear) as rag:
        check = check_costs(asked(rag, suite, "filtered"), thrifty)
    assert verdicts(check)["dollars a question"] == "fail"
    spent = [row["usd"] for row in check.evidence]
    assert len(spent) == len({row["id"] for row in check.evidence}) > 0
    assert spent == sorted(spent, reverse=True), "the dearest first"
    assert all(row["usd"] == sum(nano for _, nano in row["nano_usd"]) / 1e9 for row in check.evidence)


def test_9_a_price_that_nobody_knows(suite: LoadedSuite, records: list[Record]) -> None:
    unpriced = [
        record.model_copy(
            update={
                "cost": tuple(line.model_copy(update={"nano_usd": None}) for line in record.cost),
                "cost_usd": None if record.cost else 0.0,
            }
        )
        for record in records
    ]
    assert verdicts(check_costs(unpriced, suite.suite.checklist))["answers with an unpriced line"] == "fail"
