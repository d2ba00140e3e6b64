"""`ragkit ask`: answers, refusals, and what is printed of either."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ragkit.cli.ask import answer_text, as_dict
from ragkit.system import Ragkit
from ragkit.types import Answer, Citation, Span

pytestmark = pytest.mark.integration  # the system fixture runs the engine and the model

Run = Callable[..., str]
QUESTION = "How long is the RMA number valid?"


def test_json_has_the_promised_fields_and_a_quote_to_the_character(ragkit: Run) -> None:
    answer = json.loads(ragkit("ask", QUESTION, "--json"))
    assert answer["refused"] is False
    assert answer["model"] == "extractive"
    assert answer["cost_usd"] is None, "nobody knows what the embedding service costs"
    assert answer["cache"] == "off"
    assert answer["timings_ms"]["total"] >= answer["timings_ms"]["generate"]
    citation = answer["citations"][0]
    assert list(citation)[:5] == ["source_document", "page_number", "start", "end", "quote"]
    assert citation["source_document"] == "guides/returns.md"
    text = json.loads(ragkit("inspect", "guides/returns.md", "--json"))["text"]
    assert text[citation["start"] : citation["end"]] == citation["quote"] == "The RMA number is valid for 30 days."


def test_people_read_the_answer_and_its_numbered_source(ragkit: Run) -> None:
    lines = ragkit("ask", QUESTION, "--set", "generation.max_sentences=1").splitlines()
    assert lines[0] == "The RMA number is valid for 30 days. [1]"
    assert "[1] guides/returns.md, Returns" in lines[2]
    assert "“The RMA number is valid for 30 days.”" in lines[3]
    assert "support 100%" in lines[4]
    assert lines[-2].startswith("extractive · confidence ")


def test_a_refusal_gives_its_reason_and_the_nearest_documents(ragkit: Run) -> None:
    strict = ("--set", "generation.refusal.min_confidence=1")
    out = ragkit("ask", "Which hub port?", *strict)
    assert out.startswith("I don't have enough information.\n")
    assert "below the 1.00 of generation.refusal." in out
    assert "guides/network.md" in out
    assert "ragkit search 'Which hub port?' --set generation.refusal.min_confidence=1" in out
    answer = json.loads(ragkit("ask", "Which hub port?", *strict, "--json"))
    assert (answer["refused"], answer["reason"], answer["citations"]) == (True, "evidence_too_weak", [])


def test_a_filter_that_leaves_nothing_is_a_refusal(ragkit: Run) -> None:
    answer = json.loads(ragkit("ask", QUESTION, "--filter", "folder=nowhere", "--json"))
    assert answer["reason"] == "nothing_retrieved"
    assert "No passage of the index matches the question." in ragkit("ask", QUESTION, "--filter", "folder=nowhere")


def test_a_stream_prints_the_answer_once_and_then_its_sources(ragkit: Run) -> None:
    out = ragkit("ask", QUESTION, "--stream", "--set", "generation.max_sentences=1")
    assert out.startswith("The RMA number is valid for 30 days. [Source: guides/returns.md")
    assert out.count("[Source:") == 1
    assert "\n[1] guides/returns.md" in out


@pytest.mark.parametrize(("said", "again"), [("It lasts 8 hours. [1]", False), ("It lasts 8 hours. [9]", True)])
def test_a_stream_is_printed_again_only_if_checking_changed_it(
    ragkit: Run, monkeypatch: pytest.MonkeyPatch, said: str, again: bool
) -> None:
    citation = Citation("c", "d", "a.md", None, None, 0, 17, "It lasts 8 hours.", 1.0, 0, 17)
    checked = Answer("It lasts 8 hours. [Source: a.md]", False, (citation,), (), "m", "hash", "trace", {"total": 1.0})

    def stream(*_: object, **__: object) -> Iterator[str | Answer]:
        yield from (said[:9], said[9:], checked)

    monkeypatch.setattr(Ragkit, "stream", stream)
    out = ragkit("ask", QUESTION, "--stream")
    assert ("after checking its citations" in out) is again
    assert "[1] a.md" in out


def test_what_no_source_supports_is_marked_and_each_citation_has_its_number() -> None:
    mark = "[Source: a.md, section One]"
    text = f"First. {mark} Invented. Last. {mark}"
    citations = tuple(
        Citation("c", "d", "a.md", None, "One", start, start + 5, quote, 1.0, 0, 0)
        for start, quote in ((0, "First"), (9, "Lasts"))
    )
    begin = text.index("Invented")
    answer = Answer(
        text, False, citations, (), "m", "hash", "trace", {"total": 1.0}, unsupported=(Span(begin, begin + 9),)
    )
    assert answer_text(answer).plain == "First. [1] Invented. [not supported by any source] Last. [2]"
    assert as_dict(answer)["unsupported"] == [{"start": begin, "end": begin + 9, "text": "Invented."}]


def test_citations_have_letters_where_a_document_s_own_numbers_are_quoted() -> None:
    text = "It folds quickly [2]. [Source: a.md] It is cold. [Source: b.md]"
    citations = tuple(Citation("c", "d", name, None, None, 0, 5, "It", 1.0, 0, 0) for name in ("a.md", "b.md"))
    answer = Answer(text, False, citations, (), "m", "hash", "trace", {"total": 1.0})
    assert answer_text(answer).plain == "It folds quickly [2]. [a] It is cold. [b]"


def test_the_pauses_of_a_reader_are_no_seconds_of_the_generator(system: Path) -> None:
    with Ragkit.from_config() as rag:
        for piece in rag.stream(QUESTION):
            if isinstance(piece, Answer):
                assert piece.timings_ms["generate"] < 250
            else:
                time.sleep(0.3)
