"""Read a question set in SQuAD's JSON (Rajpurkar et al. 2016, 2018): its paragraphs become documents.

Also of this form: COVID-QA, XQuAD, GermanQuAD and most extractive sets. A question that is marked `is_impossible` is
unanswerable.
"""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, Field, ValidationError

from ragkit.durable import write_whole
from ragkit.errors import ParseError, RagkitError
from ragkit.evaluate.cases import Case, Evidence, Questions
from ragkit.evaluate.validation import in_words

Text = Annotated[str, Field(min_length=1)]


class _Answer(BaseModel):
    text: Text
    answer_start: Annotated[int, Field(ge=0)]


class _Question(BaseModel):
    id: Annotated[str, Field(min_length=1)] | int
    question: Annotated[str, Field(min_length=1, pattern=r"\S")]
    answers: list[_Answer] = []
    is_impossible: bool = False


class _Paragraph(BaseModel):
    context: str
    qas: list[_Question] = []


class _Article(BaseModel):
    title: str = ""
    paragraphs: list[_Paragraph]


class _File(BaseModel):
    data: list[_Article]


def read_squad(path: Path, documents: Path) -> Questions:
    """The questions; the paragraphs are written to the JSON-lines file `documents`, which `ragkit index` reads.

    Documents are called "NAME.jsonl#ARTICLE-PARAGRAPH", counted from 0. An answer that does not stand where the file
    says loses its place, not its text; without any place the whole paragraph is the evidence. A note counts them.
    Raises ParseError for a file of another form.

    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> answers = [{"text": "40 °C", "answer_start": 3}]
    >>> paragraph = {"context": "At 40 °C.", "qas": [{"id": "q", "question": "How hot?", "answers": answers}]}
    >>> _ = (folder / "set.json").write_text(json.dumps({"data": [{"title": "Heat", "paragraphs": [paragraph]}]}))
    >>> found = read_squad(folder / "set.json", folder / "set.jsonl")
    >>> found.cases[0].evidence[0].document, found.cases[0].evidence[0].start, found.documents.name
    ('set.jsonl#0-0', 3, 'set.jsonl')
    """
    articles = _parsed(path).data
    cases: list[Case] = []
    displaced: list[str] = []
    rows: list[dict[str, Any]] = []
    for number, article in enumerate(articles):
        for place, paragraph in enumerate(article.paragraphs):
            identity = f"{number}-{place}"
            rows.append({"id": identity, "text": paragraph.context, "metadata": {"title": article.title or path.stem}})
            cases += [_case(each, f"{documents.name}#{identity}", paragraph.context) for each in paragraph.qas]
            displaced += [
                str(question.id)
                for question in paragraph.qas
                for answer in question.answers
                if not _stands(answer, paragraph.context)
            ]
    if not cases:
        raise RagkitError(f"{path} holds no question")
    documents.parent.mkdir(parents=True, exist_ok=True)
    text = "".join(f"{json.dumps(row, ensure_ascii=False)}\n" for row in rows)
    write_whole(documents, text, private=True)  # documents word for word, beside whatever is open to others
    lost = f"{len(displaced)} answers do not stand at their characters, the first is one of question {displaced[:1]}"
    return Questions(_with_distinct_ids(cases), documents, (f"{path}: {lost}",) if displaced else ())


def _case(question: _Question, document: str, context: str) -> Case:
    answerable = not question.is_impossible and bool(question.answers)
    answers = question.answers if answerable else []
    places = sorted({(a.answer_start, a.answer_start + len(a.text)) for a in answers if _stands(a, context)})
    evidence = [Evidence(document=document, start=start, end=end) for start, end in places]
    return Case(
        id=str(question.id),
        question=question.question.strip(),
        answers=tuple(dict.fromkeys(answer.text.strip() or answer.text for answer in answers)),
        evidence=tuple(evidence) or ((Evidence(document=document),) if answerable else ()),
        answerable=answerable,
    )


def _stands(answer: _Answer, context: str) -> bool:
    return context[answer.answer_start :].startswith(answer.text)


def _with_distinct_ids(cases: list[Case]) -> list[Case]:
    """Some sets use an id twice; the later ones get a number that makes none of the others."""
    taken = {case.id for case in cases}
    seen: set[str] = set()
    distinct: list[Case] = []
    for case in cases:
        name = case.id
        if name in seen:
            name = next(new for number in itertools.count(2) if (new := f"{case.id}-{number}") not in taken)
            taken.add(name)
        seen.add(name)
        distinct.append(case if name == case.id else case.model_copy(update={"id": name}))
    return distinct


def _parsed(path: Path) -> _File:
    try:
        return _File.model_validate_json(path.read_bytes())
    except OSError as error:
        raise RagkitError(f"cannot read {path} ({error.strerror})") from None
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise ParseError(f"{path}: not in SQuAD's form: {in_words(first, _File)}") from None
