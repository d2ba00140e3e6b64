"""What judges get to see of a record."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from ragkit.evaluate.cases import Case
from ragkit.evaluate.judges import Exhibit
from ragkit.evaluate.judges.exhibit import exhibit_of, sentences
from ragkit.evaluate.record import CitationRow, PassageRow, Record
from ragkit.generate.citation_mentions import without_citations


def passage(text: str, *, in_prompt: bool = True, document: str = "a.pdf") -> PassageRow:
    return PassageRow(
        chunk_id=text,
        document=document,
        page=3,
        section=None,
        text=text,
        score=1.0,
        ranks={},
        in_prompt=in_prompt,
        labelled=False,
    )


def citation(quote: str) -> CitationRow:
    return CitationRow(document="a.pdf", page=3, start=0, end=1, quote=quote, support=1.0, resolves=True)


def record(**changes: Any) -> Record:
    case = Case(id="q", question="How long does it last?", answers=("10 hours",))
    return Record(case=case, text="It lasts 10 hours [Source: a.pdf, page 3].").model_copy(update=changes)


def test_the_answer_stands_without_its_citations() -> None:
    seen = exhibit_of(record(passages=(passage("The battery lasts 10 hours."),)))
    assert seen == Exhibit(
        "How long does it last?", "It lasts 10 hours.", ("The battery lasts 10 hours.",), ("10 hours",)
    )


def test_names_with_brackets_and_sections_are_taken_out_too() -> None:
    text = "One [Source: a [1].md, section Setup > Network]. Two [Source: b.md]. Three [Source: unknown.md] [2]."
    assert without_citations(text, {"a [1].md", "b.md"}) == "One. Two. Three [Source: unknown.md] [2]."


def test_evidence_is_what_stood_in_the_prompt_and_quotes_from_elsewhere() -> None:
    seen = exhibit_of(
        record(
            passages=(passage("First. Second."), passage("Not shown.", in_prompt=False), passage("First. Second.")),
            citations=(citation("Second."), citation("From a passage that is not kept.")),
        )
    )
    assert seen
    assert seen.evidence == ("First. Second.", "From a passage that is not kept.")


def test_nothing_to_judge() -> None:
    assert exhibit_of(record(refused=True)) is None
    assert exhibit_of(record(error="no server")) is None


def test_an_unanswerable_case_has_no_references() -> None:
    seen = exhibit_of(Record(case=Case(id="q", question="?", answerable=False), text="It is so."))
    assert seen
    assert seen.references == ()


@given(st.text(), st.lists(st.text(), max_size=3))
def test_equal_exhibits_have_equal_inputs_and_others_have_not(answer: str, evidence: list[str]) -> None:
    one = Exhibit("q", answer, tuple(evidence))
    assert one.inputs == Exhibit("q", answer, tuple(evidence)).inputs
    assert one.inputs != Exhibit("q", answer, (*evidence, "more")).inputs
    assert one.inputs != Exhibit("q", answer, tuple(evidence), ("more",)).inputs


@given(st.text())
def test_every_letter_stands_in_a_sentence(text: str) -> None:
    letters = [sign for sign in text if sign.isalnum()]
    assert [sign for sentence in sentences(text) for sign in sentence if sign.isalnum()] == letters
