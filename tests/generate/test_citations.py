"""Citations: any form is read, what is left can be checked to the character, what is made up is gone."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ragkit.generate.citation_format import format_citation
from ragkit.generate.citation_mentions import find_mentions
from ragkit.generate.citations import Resolved, resolve
from ragkit.generate.support import support_score
from ragkit.ingest.sentences import split_sentences
from ragkit.types import Chunk


def chunk(identity: str, name: str, text: str, start: int = 0, **metadata: str | int) -> Chunk:
    return Chunk(identity, name, text, start, start + len(text), 1, {"source_document": name, **metadata})


CONTEXT = (
    chunk(
        "battery",
        "guides/a.pdf",
        "The battery lasts 10 hours. It charges in 2 hours.",
        100,
        page_number=3,
        page_end=4,
    ),
    chunk("screen", "guides/a.pdf", "The screen is made of glass. It is bright.", 500, page_number=9),
    chunk("network", "b.md", "Connect the cable. The network uses DHCP.", 20, section_heading="Setup > Network"),
    chunk("refunds", "Smith, Jones [final].pdf", "Refunds are given within 30 days.", 7, page_number=1),
    chunk("plain", "notes.txt", "The meeting is on Monday. Bring your laptop."),
    chunk("twin one", "x/twin.pdf", "One.", page_number=1),
    chunk("twin two", "y/twin.pdf", "Two.", page_number=1),
)


def check(text: str) -> Resolved:
    return resolve(text, CONTEXT, support_score, split_sentences)


@pytest.mark.parametrize(
    ("written", "chunk_id", "canonical"),
    [
        ("[Source: guides/a.pdf, page 3]", "battery", "[Source: guides/a.pdf, page 3]"),
        ("[Source: a.pdf, page 3]", "battery", "[Source: guides/a.pdf, page 3]"),
        ("[source: A.PDF p. 3]", "battery", "[Source: guides/a.pdf, page 3]"),
        ("[Source: a.pdf, p.3]", "battery", "[Source: guides/a.pdf, page 3]"),
        ("[Source: a.pdf (page 3)]", "battery", "[Source: guides/a.pdf, page 3]"),
        ("[Source: a.pdf, page: 3]", "battery", "[Source: guides/a.pdf, page 3]"),
        ("[SOURCE:a, page 4]", "battery", "[Source: guides/a.pdf, page 4]"),
        ("[Source: a.pdf, pages 3-4]", "battery", "[Source: guides/a.pdf, page 3]"),
        ("[Source: a.pdf, pages 8 and 9]", "screen", "[Source: guides/a.pdf, page 9]"),
        ("[Source: [1] document: guides/a.pdf, page 3]", "battery", "[Source: guides/a.pdf, page 3]"),
        ("**[Source: a.pdf, page 3]**", "battery", "[Source: guides/a.pdf, page 3]"),
        ("[**Source:** a.pdf, page 3]", "battery", "[Source: guides/a.pdf, page 3]"),
        ("`[Source: a.pdf, page 3]`", "battery", "[Source: guides/a.pdf, page 3]"),
        ('[Source: "a.pdf", page 3]', "battery", "[Source: guides/a.pdf, page 3]"),
        ("【Source: a.pdf, page 3】", "battery", "[Source: guides/a.pdf, page 3]"),
        ("(Source: a.pdf, page 3)", "battery", "[Source: guides/a.pdf, page 3]"),
        ("[1]", "battery", "[Source: guides/a.pdf, page 3]"),
        ("[^1]", "battery", "[Source: guides/a.pdf, page 3]"),
        ("[Source: 1]", "battery", "[Source: guides/a.pdf, page 3]"),
        ("[Document 2]", "screen", "[Source: guides/a.pdf, page 9]"),
        ("【3†source】", "network", "[Source: b.md, section Setup > Network]"),
        ("[3](https://example.com/made-up)", "network", "[Source: b.md, section Setup > Network]"),
        ("[Source: b.md, section Setup > Network]", "network", "[Source: b.md, section Setup > Network]"),
        ("[Source: b.md, section: network]", "network", "[Source: b.md, section Setup > Network]"),
        ("[Source: b.md § Setup]", "network", "[Source: b.md, section Setup > Network]"),
        ("[Source: b.md, page X]", "network", "[Source: b.md, section Setup > Network]"),
        (
            "[Source: smith, jones [FINAL].pdf, page 1]",
            "refunds",
            "[Source: Smith, Jones [final].pdf, page 1]",
        ),
        ("[Source: notes.txt]", "plain", "[Source: notes.txt]"),
        ("[\u2060Source: notes.txt]", "plain", "[Source: notes.txt]"),
        ("[Source: y/twin.pdf, page 1]", "twin two", "[Source: y/twin.pdf, page 1]"),
        ("[a.pdf, page 3]", "battery", "[Source: guides/a.pdf, page 3]"),
        ("(a.pdf, p. 9)", "screen", "[Source: guides/a.pdf, page 9]"),
        ("**[a.pdf, pp. 3-4]**", "battery", "[Source: guides/a.pdf, page 3]"),
        ("[b.md, section Network]", "network", "[Source: b.md, section Setup > Network]"),
        ("[notes.txt]", "plain", "[Source: notes.txt]"),
        ("[Smith, Jones [final].pdf, page 1]", "refunds", "[Source: Smith, Jones [final].pdf, page 1]"),
        ("[a.pdf](a.pdf)", "battery", "[Source: guides/a.pdf, page 3]"),
        ("（a.pdf, page 9）", "screen", "[Source: guides/a.pdf, page 9]"),
        ("{Source: a.pdf, page 9}", "screen", "[Source: guides/a.pdf, page 9]"),
        ("[page 9 of a.pdf]", "screen", "[Source: guides/a.pdf, page 9]"),
        ("[a.pdf, page 9, paragraph 2]", "screen", "[Source: guides/a.pdf, page 9]"),
        ("[a.pdf:9]", "screen", "[Source: guides/a.pdf, page 9]"),
        ("[a.pdf, Seite 9]", "screen", "[Source: guides/a.pdf, page 9]"),
        ("[p. 9]", "screen", "[Source: guides/a.pdf, page 9]"),
        ("[b.md, Setup]", "network", "[Source: b.md, section Setup > Network]"),
        ("[Source: a.pdf,\npage 9]", "screen", "[Source: guides/a.pdf, page 9]"),
        ("[passage 2]", "screen", "[Source: guides/a.pdf, page 9]"),
        ("[cite: 2]", "screen", "[Source: guides/a.pdf, page 9]"),
        ("(Source 2)", "screen", "[Source: guides/a.pdf, page 9]"),
        ("【2:0†source】", "screen", "[Source: guides/a.pdf, page 9]"),
        ("`[2]`", "screen", "[Source: guides/a.pdf, page 9]"),
    ],
)
def test_every_form_is_read_and_written_in_one(written: str, chunk_id: str, canonical: str) -> None:
    for text in (f"It is so {written}.", f"It is so. {written}", f"{written} It is so."):
        resolved = check(text)
        assert resolved.text == text.replace(written, canonical)
        assert [citation.chunk_id for citation in resolved.citations] == [chunk_id]
        assert resolved.removed == ()


@pytest.mark.parametrize(
    ("written", "chunk_ids"),
    [
        ("[1, 3]", ["battery", "network"]),
        ("[1][3]", ["battery", "network"]),
        ("[1] [3]", ["battery", "network"]),
        ("[2-4]", ["screen", "network", "refunds"]),
        ("[Source: a.pdf, page 3; b.md, section Network]", ["battery", "network"]),
        ("[Source: a.pdf, page 3; page 9]", ["battery", "screen"]),
        ("[Source: a.pdf, page 3, Source: b.md]", ["battery", "network"]),
        ("(a.pdf, page 3; b.md, section Network)", ["battery", "network"]),
        ("[Source: a.pdf, page 3; Source: Smith, Jones [final].pdf, page 1]", ["battery", "refunds"]),
    ],
)
def test_several_citations_of_one_sentence(written: str, chunk_ids: list[str]) -> None:
    resolved = check(f"It is so {written}.")
    assert [citation.chunk_id for citation in resolved.citations] == chunk_ids
    assert resolved.text.count("[Source: ") == len(chunk_ids)
    assert resolved.text.endswith("].")


@pytest.mark.parametrize(
    ("written", "reason"),
    [
        ("[Source: made-up.pdf, page 3]", "no document of the context is named 'made-up.pdf'"),
        ("[Source: document_name, page X]", "no document of the context is named 'document_name'"),
        ("[Source: a.pdf, page 77]", "page 77 of guides/a.pdf was not in the context"),
        ("[Source: twin.pdf, page 1]", "several documents of the context are named 'twin.pdf'"),
        ("[Source: b.md, section Recycling]", "section 'Recycling' of b.md was not in the context"),
        ("[8]", "the context has no block 8"),
        ("[0]", "the context has no block 0"),
        ("([8])", "the context has no block 8"),
        ("[9999]", "the context has no block 9999"),
        ("[made-up.pdf, page 3]", "no document of the context is named 'made-up.pdf'"),
        ("[Annual Report, page 3]", "no document of the context is named 'Annual Report'"),
        ("(made-up.pdf, p. 3)", "no document of the context is named 'made-up.pdf'"),
        ("[a.pdf, page 77]", "page 77 of guides/a.pdf was not in the context"),
        ("[a.pdf, 77]", "page 77 of guides/a.pdf was not in the context"),
        ("[page 77]", "it names no document"),
        ("[wrong.pdf]", "no document of the context is named 'wrong.pdf'"),
        ("{Source: wrong.pdf, page 3}", "no document of the context is named 'wrong.pdf'"),
        ("[b.md, Recycling]", "section 'Recycling' of b.md was not in the context"),
        ("[9, page 3]", "the context has no block 9"),
        ("[[9]]", "the context has no block 9"),
        ("(see [9])", "the context has no block 9"),
        ("`[a.pdf, page 77]`", "page 77 of guides/a.pdf was not in the context"),
    ],
)
def test_what_was_not_in_the_context_is_taken_out_and_reported(written: str, reason: str) -> None:
    for text, left in [
        (f"It is so {written}.", "It is so."),
        (f"It is so. {written}", "It is so."),
        (f"{written} It is so.", "It is so."),
        (f"It is {written} so.", "It is so."),
        (f"It is so.\n{written}\nIndeed.", "It is so.\nIndeed."),
        (f"- It is so {written}\n- Indeed", "- It is so\n- Indeed"),
    ]:
        resolved = check(text)
        assert resolved.text == left
        assert resolved.citations == ()
        assert [removed.reason for removed in resolved.removed] == [reason]
        assert resolved.removed[0].text in text


def test_a_wrong_page_stays_if_the_only_chunk_of_the_document_spans_it() -> None:
    only = [chunk("long", "long.pdf", "It runs over three pages.", page_number=4, page_end=6)]
    assert resolve("It runs [Source: long.pdf, page 6].", only, support_score, split_sentences).removed == ()
    resolved = resolve("It runs [Source: long.pdf, page 7].", only, support_score, split_sentences)
    assert [removed.text for removed in resolved.removed] == ["[Source: long.pdf, page 7]"]


def test_a_good_and_a_bad_one_in_a_bracket() -> None:
    resolved = check("The screen is glass [Source: a.pdf, page 9; made-up.pdf, page 2].")
    assert resolved.text == "The screen is glass [Source: guides/a.pdf, page 9]."
    assert [removed.text for removed in resolved.removed] == ["made-up.pdf, page 2"]


def test_a_citation_that_the_token_limit_cut_off_is_taken_out() -> None:
    resolved = check("The screen is steel [Source: a.pd")
    assert resolved.text == "The screen is steel"
    assert [removed.reason for removed in resolved.removed] == ["it is unfinished"]


def test_a_citation_joined_from_the_rests_of_others_does_not_survive() -> None:
    assert check("Bad [[Source: bad.pdf]Source: made-up.pdf] end.").text == "Bad end."


@pytest.mark.parametrize(
    "text",
    [
        "Use `x[1]` there.",
        "```\nrows = [1, 2]\n```",
        "It was in [2023] so.",
        "An [aside] here.",
        "The (notes) are here.",
        "So it was said (see page 9).",
        "So it was said (Smith, p. 9).",
        "Use `open([a.pdf, page 3])` there.",
        "Sources: two people who were there.",
        "Use sys.argv[0] there.",
        "It lies in the interval [0, 1] so.",
    ],
)
def test_brackets_that_are_no_citations_stay(text: str) -> None:
    resolved = check(text)
    assert (resolved.text, resolved.removed, resolved.citations) == (text, (), ())


def test_a_reference_number_that_the_source_itself_has_is_no_citation() -> None:
    paper = [chunk("paper", "paper.pdf", "Enzymes fold quickly as was shown in [12] before.", page_number=2)]
    resolved = resolve("Enzymes fold quickly as was shown in [12] before [1].", paper, support_score, split_sentences)
    assert resolved.text == "Enzymes fold quickly as was shown in [12] before [Source: paper.pdf, page 2]."
    assert resolved.removed == ()


def test_a_citation_of_the_source_s_own_is_none_of_the_answer() -> None:
    paper = [chunk("paper", "paper.pdf", "Enzymes fold quickly [Smith, p. 9] in the cold.", page_number=2)]
    resolved = resolve("Enzymes fold quickly [Smith, p. 9] in the cold [1].", paper, support_score, split_sentences)
    assert resolved.text == "Enzymes fold quickly [Smith, p. 9] in the cold [Source: paper.pdf, page 2]."


class TestAListOfSourcesAtTheEnd:
    ANSWER = "The battery lasts 10 hours.\n\nThe network uses DHCP."

    @pytest.mark.parametrize(
        "listed",
        [
            "Sources:\n- a.pdf, page 3\n- b.md",
            "**Sources:**\n1. [Source: a.pdf, page 3]\n2. [Source: b.md, section Network]",
            "Source: a.pdf, page 3; b.md",
            "## References\n\n[1] a.pdf, page 3\n[3] b.md, section Network",
            "Sources: [1], [3]",
            "Sources: 1, 3",
            "Sources used:\n- [a.pdf](a.pdf), page 3\n- b.md: about the network",
        ],
    )
    def test_each_goes_to_the_sentence_that_it_backs(self, listed: str) -> None:
        resolved = check(f"{self.ANSWER}\n\n{listed}")
        assert resolved.text == (
            "The battery lasts 10 hours. [Source: guides/a.pdf, page 3]\n\n"
            "The network uses DHCP. [Source: b.md, section Setup > Network]"
        )
        assert resolved.removed == ()

    def test_numbers_mean_what_the_list_says(self) -> None:
        listed = "[1]: b.md, section Network\n[^2]: a.pdf, page 3"
        resolved = check(f"The network uses DHCP [1]. The battery lasts 10 hours.[^2]\n\n{listed}")
        assert resolved.text == (
            "The network uses DHCP [Source: b.md, section Setup > Network]."
            " The battery lasts 10 hours. [Source: guides/a.pdf, page 3]"
        )
        assert resolved.removed == ()

    def test_what_backs_nothing_is_reported(self) -> None:
        resolved = check(f"{self.ANSWER}\n\nSources:\n- a.pdf, page 3\n- made-up.pdf, page 9\n- notes.txt\n- b.md")
        assert "made-up" not in resolved.text
        assert "notes" not in resolved.text
        assert [(removed.text, removed.reason) for removed in resolved.removed] == [
            ("made-up.pdf, page 9", "no document of the context is named 'made-up.pdf'"),
            ("notes.txt", "it stands in a list, and no sentence rests on it"),
        ]

    @pytest.mark.parametrize("left", ["Sources:\n[Source: made-up.pdf]", "Sources:\n[Source: a.pd", "**Sources:**"])
    def test_no_heading_of_one_is_left(self, left: str) -> None:
        assert check(f"The screen is glass [2].\n\n{left}").plain == "The screen is glass."

    def test_a_list_alone_is_no_answer(self) -> None:
        assert check("Sources:\n- a.pdf, page 3").plain == ""


def test_blanks_beside_a_citation_do_not_make_it_the_source_s_own() -> None:
    made = [chunk("1", "a.md", "The tank holds 20 litres. See [1] for it."), chunk("2", "b.md", "The colour is blue.")]
    for answer in (f"The colour is blue [2]{' ' * 25}| Tank |", f"The colour is blue.\n\n{' ' * 25}[2]"):
        resolved = resolve(answer, made, support_score, split_sentences)
        assert {citation.source_document for citation in resolved.citations} == {"b.md"}
        assert "[2]" not in resolved.text


def test_the_quote_is_the_sentence_that_backs_the_claim() -> None:
    [citation] = check("It needs 2 hours to charge [Source: a.pdf].").citations
    assert citation.quote == "It charges in 2 hours."
    assert (citation.start, citation.end) == (128, 150)
    assert (citation.page_number, citation.document_id) == (3, "guides/a.pdf")


def test_of_several_chunks_the_one_that_backs_the_claim_is_taken() -> None:
    resolved = check("The screen is glass [Source: a.pdf].")
    assert resolved.text == "The screen is glass [Source: guides/a.pdf, page 9]."
    assert resolved.citations[0].chunk_id == "screen"


def test_a_citation_after_the_full_stop_belongs_to_the_sentence_before() -> None:
    resolved = check("The screen is glass. [Source: a.pdf, page 9] The network uses DHCP. [Source: b.md]")
    cited = [resolved.text[c.answer_start : c.answer_end] for c in resolved.citations]
    assert cited == ["The screen is glass.", "The network uses DHCP."]
    assert resolved.unsupported == ()


def test_sentences_that_no_citation_backs_are_marked() -> None:
    resolved = check(
        "Hello!\n\n## Battery\n1. The battery lasts 10 hours [1].\n2. The battery lasts 12 hours [1].\n"
        "3. The network uses AppleTalk [Source: made-up.pdf].\nI don't have enough information."
    )
    assert [resolved.text[span.start : span.end] for span in resolved.unsupported] == [
        "Hello!",
        "## Battery",
        "2. The battery lasts 12 hours [Source: guides/a.pdf, page 3].",
        "3. The network uses AppleTalk.",
    ]


def test_a_citation_that_adds_nothing_to_the_right_one_is_taken_out() -> None:
    resolved = check("The screen is made of glass [1][2].")
    assert resolved.text == "The screen is made of glass [Source: guides/a.pdf, page 9]."
    assert [(removed.text, removed.reason) for removed in resolved.removed] == [
        ("[Source: guides/a.pdf, page 3]", "[Source: guides/a.pdf, page 9] backs its sentence")
    ]


QUOTING = (*CONTEXT, chunk("quoting", "q.md", "Hold `[Source: hr.pdf, page 12]` or _[Source: hr.pdf, page 12]_ [4]."))


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.sampled_from(["Hold ", "`", "_", "[Source: hr.pdf, page 12]", " or ", "[4]", ". ", "[8]"]), max_size=9)
)
def test_a_citation_that_a_document_has_in_its_text_never_reaches_the_reader(parts: list[str]) -> None:
    once = resolve("".join(parts), QUOTING, support_score, split_sentences)
    assert "[Source: hr.pdf" not in once.text
    assert resolve(once.text, QUOTING, support_score, split_sentences).text == once.text


def test_two_citations_may_back_a_sentence_together() -> None:
    text = "The screen is glass, it lasts 10 hours, and within 30 days refunds are given"
    assert check(f"{text} [1][2][4].").unsupported == ()
    assert len(check(f"{text} [2].").unsupported) == 1


class TestAttaching:
    """A sentence that the model's citations do not back gets the citation of the passage that does."""

    def test_a_sentence_without_citation_gets_one_that_is_marked(self) -> None:
        resolved = check("The network uses DHCP.")
        assert resolved.text == "The network uses DHCP. [Source: b.md, section Setup > Network]"
        assert [(c.chunk_id, c.attached, c.support) for c in resolved.citations] == [("network", True, 1.0)]
        assert resolved.unsupported == resolved.removed == ()

    def test_one_that_backs_nothing_gives_way_and_is_reported(self) -> None:
        resolved = check("The battery lasts 10 hours [2].")
        assert resolved.text == "The battery lasts 10 hours. [Source: guides/a.pdf, page 3]"
        assert [removed.text for removed in resolved.removed] == ["[Source: guides/a.pdf, page 9]"]

    def test_one_that_backs_a_part_stays_beside_it(self) -> None:
        resolved = check("The bright screen, and within 30 days refunds are given [2].")
        assert [(c.chunk_id, c.attached) for c in resolved.citations] == [("screen", False), ("refunds", True)]

    def test_what_the_model_cited_rightly_stays_as_it_is(self) -> None:
        assert [c.attached for c in check("The battery lasts 10 hours [1].").citations] == [False]

    def test_of_passages_that_back_it_alike_the_one_nearer_to_the_question_is_taken(self) -> None:
        context = [
            chunk("one", "one.md", "The pump was sold for 308 dollars."),
            chunk("two", "two.md", "The defence gave up 308 points."),
        ]
        resolved = resolve("308", context, support_score, split_sentences, "How many points did the defence give up?")
        assert [c.chunk_id for c in resolved.citations] == ["two"]

    def test_nothing_is_attached_where_no_passage_backs_it(self) -> None:
        assert check("The battery lasts 12 hours.").citations == ()


def test_another_judge_may_replace_the_lexical_one() -> None:
    asked: list[tuple[str, str]] = []

    def sceptic(sentence: str, evidence: str) -> float:
        asked.append((sentence, evidence))
        return 0.2

    resolved = resolve("The screen is glass [2].", CONTEXT, sceptic, split_sentences)
    assert asked == [("The screen is glass.", "The screen is made of glass.")]
    assert resolved.citations[0].support == 0.2
    assert len(resolved.unsupported) == 1


def test_a_source_on_a_line_of_its_own_is_a_citation_and_a_heading_takes_nothing_from_the_next_line() -> None:
    resolved = check("The battery lasts 10 hours.\nSource: a.pdf, page 3\n\nSo it is.")
    assert resolved.text == "The battery lasts 10 hours.\n[Source: guides/a.pdf, page 3]\n\nSo it is."
    text = "The battery lasts 10 hours [1].\nSources:\n- a.pdf, page 9\nThey were few."
    assert "Sources:\n- a.pdf, page 9\nThey" in check(text).text


@pytest.mark.parametrize("text", ["", "   ", "[1]", "[8]", "[Source: a.pdf, page 3]", "...", "**"])
def test_answers_without_a_sentence(text: str) -> None:
    resolved = check(text)
    assert resolved.citations == resolved.unsupported == ()
    assert "[" not in resolved.text


FRAGMENTS = [
    *[
        "The battery lasts 10 hours",
        "The network uses DHCP.",
        ". ",
        "\n",
        "\n- ",
        " ",
        "**",
        "(",
        ")",
        "1. ",
        "|",
    ],
    *["[1]", "[2, 3]", "[9]", "【5】", "[[", "]", "`", "](http://a.b/c)", "[Source: ", "(Source: b.md)"],
    *["[Source: a.pdf, page 3]", "[Source: a.pdf]", "[Source: a.pdf, page 99]", "[Source: x; b.md; 4]"],
    *["[a.pdf, page 3]", "(b.md, section Setup)", "[x.pdf, p. 2]", "\nSources:\n", "- a.pdf, page 9\n", "[9999]"],
    *["[Source: b.md, section Setup]", "[Source: Smith, Jones [final].pdf]", "[Source: notes.txt, page 1]"],
]
pieces = st.lists(st.one_of(st.sampled_from(FRAGMENTS), st.text(max_size=6)), max_size=14).map("".join)


@settings(max_examples=400, deadline=None)
@given(pieces)
def test_whatever_the_model_says_its_citations_can_be_checked(text: str) -> None:
    resolved = check(text)
    by_id = {one.id: one for one in CONTEXT}
    for citation in resolved.citations:
        source = by_id[citation.chunk_id]
        assert citation.quote == source.text[citation.start - source.start : citation.end - source.start]
        assert citation.quote.strip() == citation.quote != ""
        assert 0 <= citation.support <= 1
        assert resolved.text[citation.answer_start : citation.answer_end].strip() != ""
        canonical = format_citation(citation.source_document, citation.page_number, citation.section_heading)
        assert canonical in resolved.text
    for span in resolved.unsupported:
        sentence = resolved.text[span.start : span.end]
        assert sentence == sentence.strip() != ""
    names = {one.source_document for one in CONTEXT}
    for mention in find_mentions(resolved.text, names.__contains__):
        assert mention.references
        assert all(reference.name in names for reference in mention.references)


@settings(max_examples=400, deadline=None)
@given(pieces)
@example("\nSources:\n. \n[Source: b.md, section Setup]")
def test_checking_a_checked_answer_changes_nothing(text: str) -> None:
    once = check(text)
    again = check(once.text)
    # What was attached reads as the answer's own the second time.
    citations = tuple(replace(citation, attached=False) for citation in once.citations)
    assert (again.text, again.citations, again.unsupported) == (once.text, citations, once.unsupported)
    assert again.removed == ()


# How far a passage backs a sentence

BATTERY = "In our tests, the battery lasted for 10 hours. It does not charge below zero degrees."


@pytest.mark.parametrize(
    ("sentence", "evidence", "low", "high"),
    [
        ("In our tests, the battery lasted for 10 hours.", BATTERY, 1.0, 1.0),  # verbatim
        ("The battery lasts 10 hours in tests.", BATTERY, 1.0, 1.0),  # inflected
        ("Tests show that the battery lasts ten hours.", BATTERY, 0.7, 1.0),  # a number in words
        ("The battery lasts 12 hours in tests.", BATTERY, 0.0, 0.3),  # another number
        ("The battery lasts 1,000 hours.", "The battery lasts 1000 hours.", 1.0, 1.0),
        ("It weighs 3.50 kg.", "It weighs 3,5 kg.", 1.0, 1.0),
        ("It has twenty-five valves.", "It has 25 valves.", 1.0, 1.0),
        ("It does not charge below zero degrees.", BATTERY, 1.0, 1.0),
        ("It charges below zero degrees.", BATTERY, 0.0, 0.3),  # negated in the evidence
        ("The battery isn't included.", "The battery is included.", 0.0, 0.3),  # negated in the sentence
        ("Refunds are not given after 30 days.", "No refunds are given after 30 days.", 1.0, 1.0),
        ("The capital of France is London.", "Paris is the capital of France.", 0.0, 0.4),  # another name
        ("The capital of France is Paris.", "Paris is the capital of France.", 1.0, 1.0),
        ("Whales are mammals.", BATTERY, 0.0, 0.0),
        ("Yes.", "Yes.", 1.0, 1.0),
        ("Yes.", BATTERY, 0.0, 0.0),
        ("", BATTERY, 0.0, 0.0),
    ],
)
def test_support(sentence: str, evidence: str, low: float, high: float) -> None:
    assert low <= support_score(sentence, evidence) <= high


@given(st.text(), st.text())
def test_support_is_between_0_and_1_and_a_verbatim_sentence_has_1(before: str, sentence: str) -> None:
    assert 0.0 <= support_score(sentence, before) <= 1.0
    if any(char.isalnum() for char in sentence):
        assert support_score(sentence, sentence) == 1.0
        assert support_score(sentence, f"{before}.\n{sentence}\n") == 1.0


def test_many_blanks_in_a_bracket_are_read_at_once() -> None:
    """White space that could stand in two places of a pattern would be tried in every way: minutes for this text."""
    assert find_mentions("[" + " " * 50_000 + "x", lambda name: False) == []
