from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ragkit.evaluate.cases import Case, Evidence
from ragkit.evaluate.leakage import (
    NearDuplicates,
    leaks_between,
    leaks_of,
    like_documents,
    older_than_tuning,
    questions_in,
)
from ragkit.types import Document

BATTERY = "How long does the battery of the Hub H4 bridge a power failure?"


def case(identity: str, question: str, *documents: str) -> Case:
    return Case(id=identity, question=question, evidence=tuple(Evidence(document=name) for name in documents))


def document(name: str, text: str) -> Document:
    return Document(id=name, text=text, source=name, media_type="text/plain", title="", content_hash="")


def kinds(tuning: list[Case], test: list[Case]) -> list[tuple[str, str, str]]:
    return [(leak.kind, leak.test, leak.other) for leak in leaks_between(tuning, test)]


def test_the_same_question_in_both_parts_is_a_leak_whatever_its_marks() -> None:
    assert kinds([case("a", BATTERY)], [case("b", BATTERY.lower().rstrip("?"))]) == [("same question", "b", "a")]


def test_a_question_with_a_word_more_is_a_near_duplicate() -> None:
    longer = BATTERY.replace("power", "long power")
    assert kinds([case("a", BATTERY)], [case("b", f"For {BATTERY.lower()}")]) == [("like question", "b", "a")]
    assert kinds([case("a", longer)], [case("b", "What colour is the lamp of the Hub H4?")]) == []


@pytest.mark.parametrize(
    ("first", "second", "alike"),
    [
        ("How many Nodes does the Hub H4 serve at most?", "How many Nodes can the Hub H4 serve at most?", True),
        ("In what year did it come out in Germany?", "In which year did it come out in Germany?", True),
        ("how long does the hub h4 last on battery?", "How long can the Hub H4 last on battery?", True),
        ("When was Albert Einstein born?", "When was Isaac Newton born?", False),
        ("How long does the battery of the Hub H4 last?", "How long does the battery of the Hub H5 last?", False),
        ("How warm may it be in rooms above 20 metres?", "How warm may it be in rooms above 30 metres?", False),
        ("How many people lived in the city of Oslo?", "How many people lived in the city of Bergen?", False),
    ],
)
def test_a_number_or_name_makes_another_question_and_a_small_word_does_not(
    first: str, second: str, alike: bool
) -> None:
    expected = [("like question", "b", "a")] if alike else []
    assert kinds([case("a", first)], [case("b", second)]) == expected
    assert kinds([case("a", second)], [case("b", first)]) == expected


def test_a_document_that_is_the_same_but_for_a_word_is_a_leak_under_any_name() -> None:
    text = "The Hub H4 serves up to 64 Nodes. Its battery lasts 18 hours and the case is made of grey steel."
    documents = [document("a.md", text), document("x/b.md", text.replace("grey", "blue")), document("c.md", BATTERY)]
    tuning, test = [case("a", "How hot?", "a.md")], [case("b", "How wet?", "b.md"), case("c", "Why?", "c.md")]
    leaks = like_documents(tuning, test, documents)
    assert [(leak.kind, leak.test, leak.other, leak.detail) for leak in leaks] == [
        ("like document", "b", "a.md", "x/b.md")
    ]
    assert leaks[0] in leaks_of([*tuning, *test], {"a"}, documents)


def test_a_document_in_both_parts_is_a_leak_once_for_each_question() -> None:
    tuning = [case("a", "How hot?", "x.md", "y.md")]
    test = [case("b", "How cold?", "y.md", "y.md"), case("c", "How wet?", "z.md")]
    assert kinds(tuning, test) == [("shared document", "b", "a")]


def test_a_document_is_the_same_by_the_end_of_its_path() -> None:
    long, short = case("a", "How hot?", "guides/en/x.md"), case("b", "How cold?", "en/x.md")
    assert kinds([long], [short]) == [("shared document", "b", "a")]
    assert kinds([short], [long]) == [("shared document", "a", "b")]
    assert kinds([long], [case("c", "How wet?", "guides/de/x.md")]) == []


def test_a_row_is_a_part_of_its_file_and_a_path_may_be_written_otherwise() -> None:
    row, file, other = case("a", "How hot?", "set.jsonl#1"), case("b", "How cold?", "set.jsonl"), "set.jsonl#2"
    assert kinds([row], [file]) == [("shared document", "b", "a")]
    assert kinds([file], [row]) == [("shared document", "a", "b")]
    assert kinds([row], [case("c", "How wet?", other)]) == []
    assert kinds([case("a", "How hot?", "docs//a.md")], [case("b", "How wet?", "docs/a.md")]) != []


def test_dates_are_moments_and_found_by_any_name_of_the_document() -> None:
    dates = {"guides/new.md": "2025-01-01T00:30:00+02:00", "old.md": "2024-12-31T23:45:00Z", "x/set.jsonl#1": "2020"}
    tuning = [case("a", "How hot?", "new.md")]
    assert older_than_tuning(tuning, [case("b", "How cold?", "old.md")], dates) == []
    dates["old.md"] = "2024-12-31"
    [leak] = older_than_tuning(tuning, [case("b", "How cold?", "old.md")], dates)
    assert (leak.test, leak.detail) == ("b", "2024-12-31 before 2025-01-01T00:30:00+02:00")
    dates["x/set.jsonl#1"] = "2020-05-01"
    assert [leak.test for leak in older_than_tuning(tuning, [case("c", "How wet?", "set.jsonl")], dates)] == ["c"]


def test_a_question_that_stands_in_the_corpus_is_a_leak() -> None:
    faq = document("faq.md", f"# FAQ\n\n**{BATTERY}**\n\nUp to 8 hours.")
    other = document("other.md", "How long does the battery last? Nobody knows.")
    leaks = questions_in([faq, other], [case("b", BATTERY), case("short", "How hot is it?")])
    assert [(leak.kind, leak.test, leak.other) for leak in leaks] == [("question in the corpus", "b", "faq.md")]


def test_a_test_part_that_is_older_than_what_was_tuned_on_is_a_leak() -> None:
    dates = {"old.md": "2024-01-01", "new.md": "2026-01-01"}
    assert older_than_tuning([case("a", "?", "old.md")], [case("b", "?", "new.md")], dates) == []
    (leak,) = older_than_tuning(
        [case("a", "?", "new.md")], [case("b", "?", "old.md"), case("c", "?", "undated.md")], dates
    )
    assert (leak.kind, leak.test, leak.detail) == ("test older than tuning", "b", "2024-01-01 before 2026-01-01")


@settings(max_examples=20)  # each example makes 128 hashes of a text, twice
@given(st.lists(st.sampled_from(["alpha", "beta", "gamma", "delta"]), min_size=1, max_size=12).map(" ".join))
def test_a_text_is_alike_to_itself(text: str) -> None:
    known = NearDuplicates()
    known.add("a", text)
    assert known.like(text) == ["a"]


def test_a_text_without_words_is_alike_to_nothing() -> None:
    known = NearDuplicates()
    known.add("a", "?!")
    assert known.like("?!") == []


def test_a_suite_is_looked_through_whole() -> None:
    old, new = document("old.md", BATTERY), document("new.md", "Nothing.")
    dated = [replace(old, date_created="2024-01-01"), replace(new, date_created="2026-01-01")]
    cases = [case("a", "How hot is the Hub?", "new.md"), case("b", BATTERY, "old.md")]
    leaks = leaks_of(cases, {"a"}, dated)
    assert [(leak.kind, leak.test) for leak in leaks] == [
        ("test older than tuning", "b"),
        ("question in the corpus", "b"),
    ]
