"""What is searched for a question, by rules and with a language model that is played by a table."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from ragkit.config.schema import Bm25, Transform
from ragkit.retrieve.query_transforms import Query, Rewriter, parts
from ragkit.types import Chunk, Usage

TEXTS = ["The mean time between failures (MTBF) of the pump is long.", "The pump needs pressure; pressure is good."]


class Index:
    """The chunks of an index, and how often they were read."""

    def __init__(self) -> None:
        self.read = 0

    def chunks(self) -> Iterator[Chunk]:
        self.read += 1
        for number, text in enumerate(TEXTS):
            yield Chunk(str(number), "d", text, 0, len(text), 1, {"source_document": "d.md"})


def rewriter(*transforms: Transform, answer: str | None = None) -> Rewriter:
    def write(request: str, most: int) -> tuple[str, Usage]:
        return answer or "", Usage(10, 5)

    return Rewriter(transforms, Bm25(), Index().chunks, None if answer is None else write)


def searched(question: str, *transforms: Transform, answer: str | None = None) -> list[str]:
    return [query.text for query in rewriter(*transforms, answer=answer).rewrite(question).queries]


def test_without_transforms_the_question_is_searched_as_it_is() -> None:
    found = rewriter().rewrite("What presure?")
    assert found.queries == (Query("What presure?"),)
    assert found.usage is None


def test_words_that_the_documents_never_use_are_corrected_before_acronyms_are_written_out() -> None:
    assert searched("What presure and MTBF has the pump?", "acronyms", "spelling") == [
        "What pressure and MTBF (mean time between failures) has the pump?"
    ]


def test_a_meaning_is_followed_by_its_acronym() -> None:
    assert searched("the Mean time between failures?", "acronyms") == ["the Mean time between failures (MTBF)?"]


def test_the_words_of_the_index_are_read_once_and_only_when_needed() -> None:
    index = Index()
    by_rule = Rewriter(["multi_query"], Bm25(), index.chunks)
    by_rule.rewrite("What is the pressure?")
    assert index.read == 0
    knowing = Rewriter(["spelling", "acronyms"], Bm25(), index.chunks)
    for _ in range(3):
        knowing.rewrite("What is the pressure?")
    assert index.read == 1


def test_further_wordings_stand_behind_the_question() -> None:
    question = "What is the pressure of the pump?"
    assert searched(question, "multi_query") == [question, "the pressure of the pump", "pressure pump"]
    written = "1. How strong is the pump?\n2) How high is its pressure?\n\n- pump pressure\nmore than is taken"
    assert searched(question, "multi_query", answer=written) == [
        question,
        "How strong is the pump?",
        "How high is its pressure?",
        "pump pressure",
    ]


def test_a_model_that_writes_nothing_of_use_leaves_it_to_the_rules() -> None:
    question = "What is the pressure of the pump?"
    assert searched(question, "multi_query", answer="Hm.") == searched(question, "multi_query")


@pytest.mark.parametrize(
    ("question", "found"),
    [
        ("Compare the hub with the probe.", ["the hub", "the probe"]),
        ("hub vs. probe", ["hub", "probe"]),
        ("How long is it valid? Who pays for it?", ["How long is it valid?", "Who pays for it?"]),
        ("What is the range of the hub and the probe?", []),
    ],
)
def test_a_question_of_two_parts_is_divided_where_its_wording_shows_them(question: str, found: list[str]) -> None:
    assert parts(question) == found
    assert searched(question, "decompose") == [question, *found]


def test_an_imagined_passage_goes_with_the_question_and_its_tokens_are_counted() -> None:
    found = rewriter("hyde", "decompose", answer="The pump has a pressure of 4 bar.").rewrite("Which pressure?")
    assert found.queries[0] == Query("Which pressure?", "The pump has a pressure of 4 bar.")
    assert found.usage == Usage(20, 10)
