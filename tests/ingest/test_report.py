"""What a run says it did."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

from ragkit.config.schema import Ingestion
from ragkit.ingest.area import Area
from ragkit.ingest.discover import Rejected, Source
from ragkit.ingest.plan import make_plan
from ragkit.ingest.report import IndexReport, Stopwatch
from ragkit.store.manifest import Entry
from ragkit.types import Chunk, Document


def report() -> IndexReport:
    sources = [
        Source(name, "/d", Path(name), content)
        for name, content in (("n", "1"), ("e", "2 now"), ("to", "4"), ("s", "5"))
    ]
    held = [
        Entry(name, name, "/d", content, "text/plain", "", 0, 1, 1, 1, "done")
        for name, content in (("e", "2"), ("gone", "3"), ("from", "4"), ("s", "5"))
    ]
    plan = make_plan([*sources, Rejected("r", "/d", "is big")], held, Area(["/d"], Ingestion()))
    counted = IndexReport.of_plan(plan, rebuilt=False)
    for source in plan.to_parse():
        document = Document("d", "x", source.name, "text/plain", "", source.content_hash)
        counted.add(plan.change_of(source), document, [], [])
    return counted


def test_every_source_is_counted_once() -> None:
    counted = report()
    assert (counted.new, counted.edited, counted.moved, counted.deleted, counted.unchanged) == (1, 1, 1, 1, 1)
    assert counted.failures == [("r", "is big")]
    assert counted.changed
    assert not IndexReport(unchanged=3, failures=[("r", "is big")]).changed


def test_documents_are_counted_by_type() -> None:
    counted = IndexReport()
    chunks = [Chunk(str(n), "d", "x", 0, 1, 7, {}) for n in range(2)]
    for name in ("a.md", "x/b.md", "t.jsonl#1.2", "README"):
        counted.add("new", Document("d", "x", name, "text/plain", "", "h", pages=(0, 1)), chunks, ["is odd"])
    counted.fail("z.pdf", "is empty")
    assert dict(counted.by_type) == {"md": 2, "jsonl": 1, "text": 1}
    assert (counted.parsed, counted.pages, counted.chunks_written, counted.tokens_written) == (5, 8, 8, 56)
    assert counted.warnings[0] == ("a.md", "is odd")
    assert counted.failures == [("z.pdf", "is empty")]


def test_it_is_plain_json() -> None:
    counted = report()
    counted.by_type["md"] += 2
    plain = json.loads(json.dumps(counted.finished(Stopwatch(), (4, 9, 99, 80)).as_dict()))
    assert plain["failures"] == [{"source": "r", "reason": "is big"}]
    assert (plain["documents"], plain["chunks"], plain["tokens"], plain["by_type"]) == (4, 9, 99, {"md": 2, "text": 3})
    assert plain["receipt"] is None


def test_a_stage_is_charged_for_its_own_time_only() -> None:
    watch = Stopwatch()

    def items() -> Iterator[int]:
        for item in (1, 2):
            time.sleep(0.02)
            yield item

    for _ in watch.iterate("parse", items()):
        with watch.measure("store"):
            time.sleep(0.05)
    assert 0.04 <= watch.seconds["parse"] < watch.seconds["store"]
    assert watch.seconds["store"] >= 0.1
    assert watch.total() >= 0.14


def test_time_counts_for_a_stage_that_fails() -> None:
    watch = Stopwatch()
    try:
        with watch.measure("embed"):
            time.sleep(0.01)
            raise ValueError
    except ValueError:
        pass
    assert watch.seconds["embed"] >= 0.01
