"""The user's questions: placed in the index, parted by document, with what was praised; and the sets made of chunks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ragkit import Ragkit
from ragkit.errors import RagkitError
from ragkit.evaluate.cases import Case, Evidence, read_jsonl
from ragkit.serve.access import Caller
from ragkit.serve.answers import Answers
from ragkit.serve.database import Database
from ragkit.train.mining import lexical_ranking, mine
from ragkit.train.passages import bare_text, corpus_of, heading_set, labelled_set, question_vectors, sentence_set
from ragkit.train.questions import Parts, collected, made, parted, placed, praised_answers


def parts_of(rag: Ragkit, handbook: Path) -> Parts:
    return parted(placed(read_jsonl(handbook / "questions.jsonl"), rag.snapshot()))


def test_each_question_finds_the_chunk_of_its_quote(rag: Ragkit, handbook: Path) -> None:
    asked = collected(rag, handbook / "questions.jsonl", handbook)
    assert asked.counts == {"of a file": 48}
    assert asked.notes == []
    assert not asked.synthetic
    chunks = rag.snapshot().store.chunks([chunk for each in asked.labelled for chunk in each.chunks])
    assert all("In force" in chunk.text for chunk in chunks.values())


def test_what_the_index_does_not_have_is_counted_and_left_out(rag: Ragkit, tmp_path: Path) -> None:
    file = tmp_path / "questions.jsonl"
    here = Case(id="a", question="How long?", evidence=(Evidence(document="heron.md", quote="It is 4 days"),))
    gone = Case(id="b", question="How far?", evidence=(Evidence(document="nowhere.md"),))
    none = Case(id="c", question="Who?", answerable=False)
    file.write_text("".join(case.model_dump_json(exclude_defaults=True) + "\n" for case in (here, gone, none)))
    asked = collected(rag, file, tmp_path)
    assert [each.case.id for each in asked.labelled] == ["a"]
    assert asked.unanswerable == [none]
    assert asked.notes == ["1 of 2 answerable questions of a file have no place in the index"]


def test_no_document_is_asked_about_in_two_parts(rag: Ragkit, handbook: Path) -> None:
    parts = parts_of(rag, handbook)
    groups = [
        {document for each in part for document in each.documents} for part in (parts.train, parts.tuning, parts.test)
    ]
    assert all(groups)
    assert not groups[0] & groups[1]
    assert not groups[0] & groups[2]
    assert not groups[1] & groups[2]
    assert parts.held_out == groups[1] | groups[2]
    assert len(parts.train) + len(parts.tuning) + len(parts.test) == 48
    assert len(parts.test) >= 20


def test_where_nothing_is_chosen_no_question_is_kept_for_it(rag: Ragkit, handbook: Path) -> None:
    labelled = placed(read_jsonl(handbook / "questions.jsonl"), rag.snapshot())
    choosing, all_trained = parted(labelled), parted(labelled, chooses=False)
    assert all_trained.tuning == []
    assert all_trained.test == choosing.test
    assert len(all_trained.train) == len(choosing.train) + len(choosing.tuning)
    assert not {document for each in all_trained.train for document in each.documents} & all_trained.held_out


def test_questions_about_one_document_cannot_be_parted(rag: Ragkit) -> None:
    cases = [
        Case(id=str(n), question=f"What {n}?", evidence=(Evidence(document="heron.md", quote="Superseded"),))
        for n in range(30)
    ]
    with pytest.raises(RagkitError, match="nothing can be held out"):
        parted(placed(cases, rag.snapshot()))


def test_training_sees_no_chunk_of_a_held_out_document(rag: Ragkit, handbook: Path) -> None:
    parts, store = parts_of(rag, handbook), rag.snapshot().store
    corpus = corpus_of(store, parts.held_out, frozenset(), seed=0)
    assert corpus.chunks
    assert not {chunk.document_id for chunk in corpus.chunks} & parts.held_out
    assert np.allclose(np.linalg.norm(corpus.vectors, axis=1), 1, atol=1e-5)
    sets = [labelled_set(parts.train, corpus), sentence_set(corpus, 50, 0), heading_set(corpus, 50, 0)]
    held = {entry.name.removesuffix(".md") for entry in rag.snapshot().manifest.entries() if entry.id in parts.held_out}
    for one in sets:
        words = {word for text in one.passages for word in text.casefold().split()}
        assert not words & {name.rsplit("/", 1)[-1] for name in held}


def test_the_superseded_rule_is_mined_as_the_hardest_wrong_passage(rag: Ragkit, handbook: Path) -> None:
    parts = parts_of(rag, handbook)
    corpus = corpus_of(rag.snapshot().store, parts.held_out, frozenset(), seed=0)
    one = labelled_set(parts.train, corpus)
    assert len(one.examples) == len(parts.train)
    pools = mine(one, lexical_ranking(one), corpus.vectors, question_vectors(one, rag.embedder), 5)
    for example, pool in zip(one.examples, pools, strict=True):
        assert "In force" in one.passages[example.positive]
        assert example.positive not in pool
        hardest = one.passages[int(pool[0])]
        assert "Superseded" in hardest
        assert example.question in hardest


def test_headings_ask_for_passages_that_do_not_show_them(rag: Ragkit) -> None:
    corpus = corpus_of(rag.snapshot().store, frozenset(), frozenset(), seed=0)
    one = heading_set(corpus, 1000, seed=0)
    assert one.examples
    for example in one.examples:
        heading = example.question.split()[-2:]
        assert " ".join(heading).casefold() not in one.passages[example.positive].casefold()
    chunk = corpus.chunks[one.examples[0].positive]
    assert bare_text(chunk) in chunk.text
    assert heading_set(corpus, 3, seed=5).examples == heading_set(corpus, 3, seed=5).examples


def test_praise_labels_a_question_by_what_its_answer_cites(rag: Ragkit) -> None:
    place = next(name for name in (e.name for e in rag.snapshot().manifest.entries()) if name.endswith("heron.md"))
    text = f"Counted from the order it comes to 12 days, holidays and Sundays left aside. [Source: {place}]"
    database = Database(rag.config.serve.folder)
    try:
        answers, caller = Answers(database), Caller("k", "", "read")
        for trace, verdict, answer in (("t1", "up", text), ("t2", "down", text), ("t3", "up", "No source at all.")):
            database.write("INSERT INTO answers (trace_id, tenant, key, at) VALUES (?, '', 'k', 0)", (trace,))
            said = {"trace_id": trace, "verdict": verdict, "reason": "", "question": f"How long, {trace}?"}
            assert answers.judge(caller, {**said, "answer": answer})
    finally:
        database.close()
    cases = praised_answers(rag)
    assert [case.question for case in cases] == ["How long, t1?"]
    found = placed(cases, rag.snapshot())[0]
    chunk = next(iter(rag.snapshot().store.chunks(list(found.chunks)).values()))
    assert "comes to 12 days" in chunk.text
    asked = collected(rag, None, Path())
    assert asked.counts == {"of praised answers": 1}
    assert collected(rag, None, Path(), praised=False).labelled == []
    (rag.config.serve.folder / "serve.sqlite").unlink()


def test_made_questions_are_kept_for_a_run_that_goes_on(rag: Ragkit, tmp_path: Path) -> None:
    first = made(rag, 12, 0, tmp_path)
    assert len(first) >= 5
    assert all(case.synthetic and case.id.startswith("made-") for case in first)
    file = next(tmp_path.glob("made-questions-*.jsonl"))
    assert file.stat().st_mode & 0o777 == 0o600  # it holds sentences of documents
    stamp = file.stat().st_mtime_ns
    assert made(rag, 12, 0, tmp_path) == first
    assert file.stat().st_mtime_ns == stamp
    assert made(rag, 12, 1, tmp_path) != first
