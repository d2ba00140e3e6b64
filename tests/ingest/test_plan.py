"""What a run has to do: the sources compared with what the index holds."""

from __future__ import annotations

from pathlib import Path

import pytest

from ragkit.config.schema import Ingestion
from ragkit.ingest.area import Area
from ragkit.ingest.discover import Rejected, Source
from ragkit.ingest.plan import make_plan
from ragkit.store.manifest import Entry, Failure, State


def source(name: str, content: str = "x", root: str = "/docs") -> Source:
    return Source(name, root, Path(root) / name, content)


def entry(name: str, content: str = "x", root: str = "/docs", state: State = "done") -> Entry:
    return Entry(f"id of {name}", name, root, content, "text/plain", name, 0, 1, 1, 1, state)


def area(*paths: str) -> Area:
    return Area(paths, Ingestion())


def names(items: list[Source] | list[Entry] | list[Rejected]) -> list[str]:
    return [item.name for item in items]


def test_nothing_held_makes_everything_new() -> None:
    plan = make_plan([source("b.md"), source("a.md")], [], area("/docs"))
    assert names(plan.to_parse()) == ["a.md", "b.md"]
    assert (len(plan.new), plan.unchanged, plan.is_empty) == (2, 0, False)


def test_the_same_again_is_nothing_to_do() -> None:
    plan = make_plan([source("a.md")], [entry("a.md")], area("/docs"))
    assert (plan.unchanged, plan.is_empty) == (1, True)


def test_each_kind_of_change() -> None:
    plan = make_plan(
        [source("same.md", "1"), source("edited.md", "2 now"), source("new.md", "3"), source("moved/to.md", "4")],
        [entry("same.md", "1"), entry("edited.md", "2"), entry("from.md", "4"), entry("gone.md", "5")],
        area("/docs"),
    )
    assert names(plan.new) == ["new.md", "moved/to.md"]
    assert names(plan.edited) == ["edited.md"]
    assert {name: before.name for name, before in plan.moved.items()} == {"moved/to.md": "from.md"}
    assert sorted(names(plan.gone)) == ["from.md", "gone.md"]
    assert plan.unchanged == 1


def test_one_vanished_document_cannot_have_moved_to_two_places() -> None:
    plan = make_plan([source("a.md", "1"), source("b.md", "1")], [entry("from.md", "1")], area("/docs"))
    assert list(plan.moved) == ["a.md"]


def test_alike_documents_all_move() -> None:
    plan = make_plan(
        [source("to1.md", "1"), source("to2.md", "1")], [entry("from1.md", "1"), entry("from2.md", "1")], area("/docs")
    )
    assert {name: before.name for name, before in plan.moved.items()} == {"to1.md": "from1.md", "to2.md": "from2.md"}


def test_a_copy_is_new_and_not_moved() -> None:
    plan = make_plan([source("a.md", "1"), source("copy.md", "1")], [entry("a.md", "1")], area("/docs"))
    assert (names(plan.new), plan.moved, plan.unchanged) == (["copy.md"], {}, 1)


def test_documents_of_other_roots_stay() -> None:
    plan = make_plan([source("a.md")], [entry("a.md"), entry("b.md", root="/other")], area("/docs"))
    assert plan.gone == []


def test_what_cannot_be_read_now_keeps_its_old_version() -> None:
    plan = make_plan([Rejected("a.pdf", "/docs", "is 3 GB")], [entry("a.pdf")], area("/docs"))
    assert plan.gone == []
    assert names(plan.rejected) == ["a.pdf"]
    assert plan.is_empty


@pytest.mark.parametrize("found", [True, False])
def test_what_a_crash_left_half_written_is_done_again(found: bool) -> None:
    held = [entry("a.md", state="pending"), entry("b.md", state="deleting", root="/other")]
    plan = make_plan([source("a.md")] if found else [], held, area("/docs"))
    assert names(plan.edited) == (["a.md"] if found else [])
    assert sorted(names(plan.gone)) == (["b.md"] if found else ["a.md", "b.md"])


def test_a_half_written_document_is_no_source_of_vectors_for_a_moved_one() -> None:
    plan = make_plan([source("to.md", "1")], [entry("from.md", "1", state="pending")], area("/docs"))
    assert plan.moved == {}


def test_rows_of_a_file_with_an_unreadable_row_are_not_gone() -> None:
    held = [
        Entry(f"id-{row}", f"faq.jsonl#{row}", "/docs", f"hash-{row}", "text/plain", "", 0, 1, 1, 1, "done")
        for row in ("a", "b")
    ]
    other = Entry("id-c", "gone.md", "/docs", "hash-c", "text/markdown", "", 0, 1, 1, 1, "done")
    found = [
        Source("faq.jsonl#a", "/docs", Path("/docs/faq.jsonl"), "hash-a", 0),
        Rejected("faq.jsonl:2", "/docs", "is no JSON object", keeps="/docs/faq.jsonl"),
    ]
    plan = make_plan(found, [*held, other], area("/docs"))
    assert [entry.name for entry in plan.gone] == ["gone.md"]


def test_documents_under_a_folder_that_cannot_be_listed_are_not_gone() -> None:
    held = [entry("a.md"), entry("sub/b.md"), entry("sub/x/t.jsonl#7"), entry("subway.md")]
    failures = [Failure(name, "/docs", "hash", "with", "is empty") for name in ("sub/c.pdf", "d.pdf")]
    plan = make_plan(
        [source("a.md"), Rejected("sub", "/docs", "cannot be read: Permission denied", keeps="/docs/sub")],
        held,
        area("/docs"),
        failures,
    )
    assert names(plan.gone) == ["subway.md"]
    assert [failure.name for failure in plan.remembered] == ["sub/c.pdf"]


def test_an_unchanged_document_of_another_root_changes_its_root_only() -> None:
    plan = make_plan([source("a.md")], [entry("a.md", root="/docs/*.md")], area("/docs"))
    assert (plan.unchanged, plan.rerooted, plan.is_empty) == (1, {"id of a.md": "/docs"}, False)
