"""`ragkit cache`, on a small index, with the answers of the extractive generator."""

from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path

import pytest

from ragkit.gateway.cache_sqlite import SqliteStore
from ragkit.gateway.cache_store import Bounds
from tests.cli.conftest import Run
from tests.gateway.redis_server import RedisServer, installed

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
    with closing(SqliteStore(system / "cache.sqlite", Bounds(1000, 10_000_000, None))) as store:
        for hit, right in zip(hits, (True, False, True), strict=True):
            assert store.judge("", hit["trace_id"], right) == 1
    told = json.loads(ragkit("cache", "report", "--json", *MEANING))
    assert (told["hits"], told["judged"], told["wrong"]) == (3, 3, 1)
    # Clopper and Pearson: the share p with P(at most 1 of 3) = 5%, which is 1 - (1 - p)^2 (1 + 2p) = 95%.
    assert told["bound"] == pytest.approx(0.8646, abs=1e-4)
    assert told["pairs"] == [[OTHER_WORDS, QUESTION]]
    assert (told["allowed"], told["stopped"]) == (None, [])


def test_report_says_that_hits_are_stopped_and_what_was_asked_anew(ragkit: Run, system: Path) -> None:
    bound = (*MEANING, "--set", "cache.max_false_hits=0.01")
    ragkit("ask", QUESTION, *bound)
    assert "hits in other words are given" in ragkit("cache", "report", *bound)
    hit = json.loads(ragkit("ask", OTHER_WORDS, "--json", *bound))
    with closing(SqliteStore(system / "cache.sqlite", Bounds(1000, 10_000_000, None))) as store:
        assert store.judge("", hit["trace_id"], False) == 1
    assert json.loads(ragkit("ask", OTHER_WORDS, "--json", *bound))["cache"] == "miss"
    told = ragkit("cache", "report", *bound)
    assert "0 compared while hits were stopped, 0 differed; 1 as their entry was not trusted with them" in told
    assert "no hits in other words until the bound is at most 1.00%: questions without a tenant" in told
    assert json.loads(ragkit("cache", "report", "--json", *bound))["stopped"] == [""]


@pytest.mark.integration
def test_the_commands_read_a_cache_on_redis(ragkit: Run) -> None:
    if not installed():
        pytest.skip("!!! REDIS IS NOT TESTED: there is no redis-server; apt-get install redis-server")
    with RedisServer() as server:
        there = (*MEANING, "--set", "cache.store=redis", "--set", f"cache.url={server.url}")
        assert json.loads(ragkit("cache", "stats", "--json", *there))["entries"] == 0
        caches = [json.loads(ragkit("ask", QUESTION, "--json", *there))["cache"] for _ in range(2)]
        assert caches == ["miss", "exact"]
        assert json.loads(ragkit("ask", OTHER_WORDS, "--json", *there))["cache"] == "semantic"
        assert "would be served (exact)" in ragkit("cache", "explain", QUESTION, *there)
        assert "1 hits in other words, 0 judged by people" in ragkit("cache", "report", *there)
        assert ragkit("cache", "clear", *there) == "1 answers taken out\n"
        server.stop()
        assert "start Redis there, or mend cache.url" in ragkit("cache", "stats", *there, code=2)
