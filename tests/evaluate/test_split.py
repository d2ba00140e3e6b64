from __future__ import annotations

import json
from pathlib import Path
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ragkit.evaluate.cases import Case, Evidence, read_jsonl
from ragkit.evaluate.split import split_cases, split_queries, write_split

DOCUMENTS = st.lists(st.integers(0, 15), max_size=3)


def cases_of(documents: list[list[int]]) -> list[Case]:
    return [
        Case(id=f"q{n}", question="?", evidence=tuple(Evidence(document=f"{each}.md") for each in names))
        for n, names in enumerate(documents)
    ]


def documents_of(cases: list[Case]) -> set[str]:
    return {evidence.document for case in cases for evidence in case.evidence}


@given(st.lists(DOCUMENTS, max_size=40), st.floats(0.1, 0.9))
def test_no_document_is_asked_about_in_both_parts_and_no_question_is_lost(names: list[list[int]], share: float) -> None:
    cases = cases_of(names)
    tuning, test = split_cases(cases, share)
    assert not documents_of(tuning) & documents_of(test)
    assert sorted(case.id for case in (*tuning, *test)) == sorted(case.id for case in cases)


@given(st.lists(DOCUMENTS, max_size=20), st.randoms())
def test_the_order_of_the_questions_does_not_matter(names: list[list[int]], shuffler: Random) -> None:
    cases = cases_of(names)
    shuffled = list(cases)
    shuffler.shuffle(shuffled)
    assert {c.id for c in split_cases(cases)[1]} == {c.id for c in split_cases(shuffled)[1]}


@pytest.mark.parametrize("share", [0.2, 0.5, 0.8])
def test_the_parts_have_about_the_wanted_sizes(share: float) -> None:
    cases = cases_of([[n % 60] for n in range(300)])
    _, test = split_cases(cases, share)
    assert abs(len(test) / len(cases) - share) < 0.05


def test_a_split_is_written_whole_with_its_hashes_and_read_back(tmp_path: Path) -> None:
    cases = cases_of([[n] for n in range(10)])
    tuning, test = split_cases(cases)
    facts = write_split(tuning, test, tmp_path / "split")
    assert read_jsonl(tmp_path / "split" / "tuning.jsonl") == tuning
    assert read_jsonl(tmp_path / "split" / "test.jsonl") == test
    assert json.loads((tmp_path / "split" / "split.json").read_text()) == facts


def test_a_document_is_the_same_however_its_label_is_written() -> None:
    names = ["guides/a.md", "a.md", "guides//a.md", "set.jsonl", "set.jsonl#1", "x/set.jsonl#1"]
    cases = [Case(id=name, question="?", evidence=(Evidence(document=name),)) for name in names]
    for part in split_cases(cases):
        assert {case.id for case in part} in (set(names[:3]), set(names[3:]))


def test_a_share_lies_between_0_and_1() -> None:
    with pytest.raises(ValueError, match="between 0 and 1"):
        split_cases([], 1.0)


def test_refuses_a_query_without_cluster() -> None:
    with pytest.raises(ValueError, match="no cluster for 1 queries, the first is 'b'"):
        split_queries(["a", "b"], {"a": "x"})


@given(st.dictionaries(st.text(max_size=5), st.sampled_from("abcdefgh"), max_size=60), st.randoms())
def test_halves_share_no_cluster_and_lose_no_query(cluster_of: dict[str, str], dice: Random) -> None:
    queries = list(cluster_of)
    tuning, test = split_queries(queries, cluster_of)
    assert sorted(tuning + test) == sorted(queries)
    assert not {cluster_of[query] for query in tuning} & {cluster_of[query] for query in test}
    dice.shuffle(queries)
    again = split_queries(queries, cluster_of)
    assert (set(again[0]), set(again[1])) == (set(tuning), set(test)), "the order of the queries is no matter"
    largest = max((list(cluster_of.values()).count(name) for name in "abcdefgh"), default=0)
    assert abs(len(tuning) - len(test)) <= largest


def test_halves_are_the_same_in_every_process() -> None:
    cluster_of = {f"q{number}": f"article {number % 5}" for number in range(10)}
    assert split_queries(cluster_of, cluster_of)[0] == ["q0", "q1", "q2", "q5", "q6", "q7"]
