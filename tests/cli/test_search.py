"""`ragkit search`: the JSON it promises, and what people read."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from ragkit.cli.main import main
from ragkit.cli.printing import MATCH, clean, passage

pytestmark = pytest.mark.integration  # the system fixture runs the engine and the model

Run = Callable[..., str]
QUESTION = "How long is an RMA number valid?"


def test_json_has_the_promised_fields(ragkit: Run) -> None:
    found = json.loads(ragkit("search", QUESTION, "--json"))
    first = found["results"][0]
    assert list(first) == ["chunk_id", "source_document", "page_number", "section_heading", "text", "score"]
    assert first["source_document"] == "guides/returns.md"
    assert first["section_heading"] == "Returns"
    assert {"embed", "search", "total"} <= found["timings_ms"].keys()


def test_people_read_a_numbered_list_with_place_and_passage(ragkit: Run) -> None:
    lines = ragkit("search", QUESTION, "--top-k", "1").splitlines()
    assert lines[0].startswith(" 1. guides/returns.md, Returns  ")
    assert "The RMA number is valid for 30 days." in " ".join(" ".join(lines).split())
    assert not any(line.startswith(" 2.") for line in lines)
    assert "total" in lines[-1]


def test_explain_shows_what_was_really_searched(ragkit: Run) -> None:
    switched = ("search", QUESTION, "--explain", "--set", "retrieval.transforms=[multi_query]")
    queries = [query["text"] for query in json.loads(ragkit(*switched, "--json"))["queries"]]
    assert queries[0] == QUESTION
    assert len(queries) > 1
    out = ragkit(*switched, "--top-k", "1")
    assert [f"searched: {query}" for query in queries] == out.splitlines()[: len(queries)]
    assert "searched:" not in ragkit("search", QUESTION)


def test_explain_shows_every_stage_and_the_chunk_id(ragkit: Run) -> None:
    first = json.loads(ragkit("search", QUESTION, "--explain", "--json"))["results"][0]
    assert {stage: score["rank"] for stage, score in first["stages"].items()} == {
        "dense": 1,
        "sparse": 1,
        "fused": 1,
    }
    out = ragkit("search", QUESTION, "--explain", "--top-k", "1")
    assert "BM25 1st, " in out
    assert f"chunk {first['chunk_id']}" in out


def test_filters_hold_for_every_result(ragkit: Run) -> None:
    found = json.loads(
        ragkit("search", "alarm door RMA", "--filter", "folder!=guides", "--filter", "priority>=2", "--json")
    )
    assert [result["source_document"] for result in found["results"]] == ["tickets.jsonl#t1"]
    assert "No passage matches the question and the filters." in ragkit("search", "door", "--filter", "priority>=9")


def test_a_filter_on_a_field_that_no_document_has_is_told(system: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["search", "door", "--filter", "priorty>=2"]) == 0
    assert "note: no document has the field 'priorty'; did you mean priority?" in capsys.readouterr().err
    assert main(["search", "door", "--filter", "page_number>=2", "--filter", "priority>=2"]) == 0
    assert "no document has" not in capsys.readouterr().err


def test_strategy_and_top_k_replace_the_configured_ones(ragkit: Run) -> None:
    found = json.loads(ragkit("search", "antenna", "--strategy", "sparse", "--json"))
    assert found["results"] == []  # no document has the word
    found = json.loads(ragkit("search", "antenna", "--strategy", "dense", "--top-k", "2", "--json"))
    assert len(found["results"]) == 2


def test_bad_input_is_exit_code_2(ragkit: Run) -> None:
    assert ragkit("search", "door", "--filter", "priority", code=2).startswith("error: cannot read the filter")
    assert "there is no index at nowhere" in ragkit("search", "door", "--set", "ingestion.store.path=nowhere", code=2)
    ragkit("search", "door", "--top-k", "0", code=2)


def terms_of(text: str) -> frozenset[int]:
    """A stand-in for BM25's terms: a word is its own term."""
    return frozenset({hash(text.casefold())})


@pytest.mark.parametrize("length", [40, 80, 200])
def test_a_long_passage_is_cut_to_where_the_words_are(length: int) -> None:
    text = "filler words " * 40 + "the amber light blinks " + "more filler " * 40
    shown = passage(text, terms_of("amber"), terms_of, length)
    assert "amber" in shown.plain
    assert len(shown.plain) <= length + 4
    assert shown.plain.startswith("… ")
    assert shown.plain.endswith(" …")
    [span] = [span for span in shown.spans if span.style == MATCH]
    assert shown.plain[span.start : span.end] == "amber"


def test_a_short_passage_is_whole_and_on_one_line() -> None:
    assert passage("One line.\n\nAnother.", frozenset(), terms_of).plain == "One line. Another."


def test_documents_cannot_steer_the_terminal() -> None:
    hostile = "a\x1b]0;title\x07b\x1b[2Jc\x9bd\ud800e\u202ef\rg"
    assert not set(clean(hostile)) & set("\x1b\x07\x9b\ud800\u202e\r")
    assert clean("Zürich\n\ttab 漢字") == "Zürich\n\ttab 漢字"
