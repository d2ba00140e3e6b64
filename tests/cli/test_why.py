"""`ragkit why`: the explanation in words and as JSON. What it computes is specified in tests/retrieve/test_why.py."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

pytestmark = pytest.mark.integration  # the system fixture runs the engine and the model

Run = Callable[..., str]
QUESTION = "How long is the RMA number valid?"


def test_a_passage_in_the_results_is_explained_by_its_ranks_and_words(ragkit: Run) -> None:
    found = json.loads(ragkit("why", QUESTION, "--document", "guides/returns.md", "--json"))
    assert (found["rank"], found["verdict"]) == (1, "in the results: 1st of 10")
    assert found["stages"]["fused"]["rank"] == 1
    assert found["words"]["RMA"] == "matched"
    assert found["words"]["is"] == "ignored"
    assert found["changes"] == found["dropped_by"] == []
    out = ragkit("why", QUESTION, "--document", "guides/returns.md")
    assert "in the results: 1st of 10" in out
    assert "words missing: long" in out
    assert "what brings it in" not in out


def test_a_filter_that_drops_it_is_named(ragkit: Run) -> None:
    out = ragkit("why", QUESTION, "-d", "returns.md", "--filter", "folder!=guides")
    assert "not in the results: dropped by the filter folder!=guides" in out
    assert "remove folder!=guides: it is then 1st" in out


def test_a_limit_that_cuts_it_off_comes_with_the_setting_that_brings_it_in(ragkit: Run) -> None:
    arguments = ("why", "The alarm of the RMA number", "-d", "tickets.jsonl#t2")
    out = ragkit(*arguments, "--set", "retrieval.top_k=1")
    assert "after fusion, and the first 1 are kept" in out
    change = json.loads(ragkit(*arguments, "--set", "retrieval.top_k=1", "--json"))["changes"][0]
    assert f"--set retrieval.top_k={change['rank']}" in out
    again = json.loads(ragkit(*arguments, "--set", f"retrieval.top_k={change['rank']}", "--json"))
    assert again["rank"] == change["rank"]


def test_an_unknown_document_or_chunk_is_exit_code_2(ragkit: Run) -> None:
    error = ragkit("why", QUESTION, "-d", "guides/retuns.md", code=2)
    assert error == ("error: the index holds no document named 'guides/retuns.md'; did you mean guides/returns.md?\n")
    assert "no chunk 123" in ragkit("why", QUESTION, "-d", "guides/returns.md", "--chunk", "123", code=2)
    assert ragkit("why", " ", "-d", "guides/returns.md", code=2) == "error: the question is empty\n"
