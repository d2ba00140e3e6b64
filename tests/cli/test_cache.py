"""`ragkit cache`, on a small index, with the answers of the extractive generator."""

from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path

import pytest

from ragkit.serve.access import ANYBODY
from ragkit.serve.answers import Answers
from ragkit.serve.database import Database
from ragkit.types import Answer
from tests.cli.conftest import Run

QUESTION = "How many days is the RMA number valid?"
ON = ("--set", "cache.mode=exact", "--set", "cache.path=cache.sqlite")


def test_without_a_cache_that_is_told(ragkit: Run) -> None:
    assert "the config has no cache; set cache.mode: exact" in ragkit("cache", "stats", code=2)
    assert "there is no cache cache.sqlite yet" in ragkit("cache", "stats", *ON, code=2)


def test_stats_count_what_happened(ragkit: Run) -> None:
    caches = [json.loads(ragkit("ask", QUESTION, "--json", *ON))["cache"] for _ in range(3)]
    assert caches == ["miss", "exact", "exact"]
    told = json.loads(ragkit("cache", "stats", "--json", *ON))
    assert (told["entries"], told["counts"]["exact"], told["counts"]["misses"]) == (1, 2, 1)
    assert told["hit_share"] == pytest.approx(2 / 3)
    table = ragkit("cache", "stats", *ON)
    assert "hits, same words" in table
    assert "66.7%" in table


def test_clear_takes_all_out(ragkit: Run) -> None:
    ragkit("ask", QUESTION, *ON)
    assert ragkit("cache", "clear", *ON) == "1 answers taken out\n"
    assert json.loads(ragkit("cache", "stats", "--json", *ON))["entries"] == 0
    assert json.loads(ragkit("ask", QUESTION, "--json", *ON))["cache"] == "miss"


def test_explain_says_what_would_be_served_and_what_speaks_against_it(ragkit: Run, system: Path) -> None:
    ragkit("ask", QUESTION, *ON)
    assert "would be served (exact)" in ragkit("cache", "explain", QUESTION, *ON)
    assert "no entry comes near" in ragkit("cache", "explain", "Which port does the hub need?", *ON)
    assert "no entry comes near" in ragkit("cache", "explain", QUESTION, "--tenant", "acme", *ON)
    returns = system / "docs" / "guides" / "returns.md"
    returns.write_text(returns.read_text(encoding="utf-8").replace("30 days", "40 days"), encoding="utf-8")
    ragkit("index")
    [entry] = json.loads(ragkit("cache", "explain", QUESTION, "--json", *ON))["entries"]
    assert entry["against"] == ["a new or edited document comes far enough to be read"]
    # Explaining changes nothing.
    assert json.loads(ragkit("cache", "stats", "--json", *ON))["entries"] == 1


MEANING = ("--set", "cache.mode=semantic", "--set", "cache.path=cache.sqlite", "--set", "serve.folder=serve")
OTHER_WORDS = "Please tell me how many days the RMA number is valid"


def test_report_bounds_the_wrong_hits_by_what_people_said(ragkit: Run, system: Path) -> None:
    ragkit("ask", QUESTION, *MEANING)
    hits = [json.loads(ragkit("ask", OTHER_WORDS, "--json", *MEANING)) for _ in range(3)]
    assert {hit["cache"] for hit in hits} == {"semantic"}
    assert "3 hits in other words, 0 judged by people, 0 called wrong" in ragkit("cache", "report", *MEANING)
    with closing(Database(system / "serve")) as database:
        answers = Answers(database)
        for hit, verdict in zip(hits, ("up", "down", "up"), strict=True):
            answers.note(ANYBODY, Answer("", False, (), (), "m", "h", hit["trace_id"], {}))
            said = {"trace_id": hit["trace_id"], "verdict": verdict, "reason": "", "question": "", "answer": ""}
            assert answers.judge(ANYBODY, said)
    told = json.loads(ragkit("cache", "report", "--json", *MEANING))
    assert (told["hits"], told["judged"], told["wrong"]) == (3, 3, 1)
    # Clopper and Pearson: the share p with P(at most 1 of 3) = 5%, which is 1 - (1 - p)^2 (1 + 2p) = 95%.
    assert told["bound"] == pytest.approx(0.8646, abs=1e-4)
    assert told["pairs"] == [[OTHER_WORDS, QUESTION]]
