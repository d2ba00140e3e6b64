"""What an evaluation asks: a question, what answers it, and where that stands; read from JSON lines or CSV.

A row that cannot be understood ends the reading with its file and line: a figure over a part of a set is not that set's
figure, and a misspelt key would otherwise drop a label in silence.
"""

from __future__ import annotations

import csv
import json
import posixpath
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError, model_validator

from ragkit.config.part import Part
from ragkit.errors import ParseError, RagkitError
from ragkit.evaluate.json_lines import bad_line, iter_objects
from ragkit.evaluate.validation import in_words

Attack = Literal["false_premise", "near_miss", "contradiction", "injected_instruction", "ignore_context"]
"""How an adversarial question tries to get an answer that the documents do not give."""

Text = Annotated[str, Field(min_length=1)]


class Evidence(Part):
    """A place that answers: a document of the index, in it a quote, pages or characters, or without these all of it."""

    document: Text
    """Its name in the index, as `ragkit inspect` lists it."""
    quote: str = ""
    """What stands there, word for word; white space and Markdown's marks aside."""
    pages: tuple[Annotated[int, Field(ge=1)], ...] = ()
    """Pages, from 1."""
    start: int | None = Field(default=None, ge=0)
    """With `end`: half-open range of characters of the text as indexed."""
    end: int | None = Field(default=None, ge=0)
    grade: int = Field(default=1, ge=0)
    """Graded relevance for nDCG; 0 is not relevant."""

    @model_validator(mode="after")
    def _whole_range(self) -> Evidence:
        if (self.start is None) != (self.end is None) or (self.start or 0) > (self.end or 0):
            raise ValueError("start and end belong together, and end comes behind start")
        return self


def other_names(document: str) -> list[str]:
    """The names by which labels may mean the same document: its last folders and file, and of a row its file.

    >>> other_names("guides//en/a.md"), other_names("sets/corpus.jsonl#1/2")
    (['guides/en/a.md', 'en/a.md', 'a.md'], ['corpus.jsonl#1/2', 'sets/corpus.jsonl', 'corpus.jsonl'])
    """
    file, sign, row = document.partition("#")
    file = posixpath.normpath(file)
    folders = file.split("/")
    ends = ["/".join(folders[start:]) for start in range(len(folders))]
    names = [f"{end}{sign}{row}" for end in ends] + (ends if sign else [])
    return [name for name in dict.fromkeys(names) if name != document]


class Case(Part):
    """One question with its labels."""

    id: Text
    question: Text
    answers: tuple[Text, ...] = ()
    """Spellings of the right answer, any of which will do; with `all_needed` its parts, of which each is needed."""
    evidence: tuple[Evidence, ...] = ()
    """Where the answer stands; any of the places will do, unless `all_needed`."""
    answerable: bool = True
    all_needed: bool = False
    segment: str = ""
    """Name of the group that the question is reported with too."""
    tenant: str = ""
    """Whose question it is: asked of the documents whose field "tenant" says so."""
    filters: tuple[Text, ...] = ()
    """Conditions as `--filter` takes them, under which the question is asked."""
    attack: Attack | None = None
    """The kind of an adversarial case."""
    forbidden: tuple[Text, ...] = ()
    """Texts of which none may stand in the answer: what the attack is after."""
    synthetic: bool = False
    """Nobody wrote or checked the question."""

    @model_validator(mode="after")
    def _labels_agree(self) -> Case:
        if not self.answerable and (self.answers or self.evidence):
            raise ValueError("an unanswerable question has neither answers nor evidence")
        if not self.question.strip():
            raise ValueError("the question is empty")
        return self

    @property
    def cluster(self) -> str:
        """What questions that succeed and fail together share: the first document of the evidence."""
        return self.evidence[0].document if self.evidence else self.id


@dataclass(frozen=True, slots=True)
class Questions:
    """The questions of a set, the documents that it brings along, and what of its labels cannot be used."""

    cases: list[Case]
    documents: Path | None = None
    notes: tuple[str, ...] = ()


def read_jsonl(path: Path) -> list[Case]:
    """Cases of a file with one JSON object a line; keys are those of `Case`, and `id` is the line when left out.

    `page` in an evidence stands for one page. Raises ParseError with file and line.

    >>> import tempfile
    >>> file = Path(tempfile.mkdtemp()) / "questions.jsonl"
    >>> row = '{"question": "How hot?", "answers": ["40 °C"], "evidence": [{"document": "a.md", "page": 2}]}'
    >>> _ = file.write_text(row)
    >>> case = read_jsonl(file)[0]
    >>> case.id, case.answers, case.evidence[0].pages
    ('line-1', ('40 °C',), (2,))
    """
    return _cases(path, iter_objects(path, "name a file of questions"))


def read_csv(path: Path) -> list[Case]:
    """Cases of a table whose columns are keys of `Case`, or `document`, `page`, `quote`, `start`, `end` and `grade` for
    a piece of evidence, `document_2`, `quote_2`, ... for a second one, and so on.

    Several answers, filters or forbidden texts stand in one cell with `|` between them. Raises ParseError with file
    and line.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            return _cases(path, _table_rows(path, csv.DictReader(file, strict=True)))
    except OSError as error:
        raise RagkitError(f"cannot read {path} ({error.strerror})", mend="name a file of questions") from None
    except UnicodeDecodeError as error:
        raise ParseError(f"{path}: not UTF-8 ({error.reason} at byte {error.start})") from None


def _table_rows(path: Path, reader: csv.DictReader[str]) -> Iterator[tuple[int, dict[str, Any]]]:
    try:
        for row in reader:
            yield reader.line_num, _from_cells(path, reader.line_num, row)
    except csv.Error as error:
        raise bad_line(path, reader.line_num, str(error)) from None


_PLACE_COLUMN = re.compile(r"(document|quote|page|start|end|grade)(?:_([1-9]\d*))?")
_TRUTH = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}


def _from_cells(path: Path, number: int, row: dict[Any, Any]) -> dict[str, Any]:
    if None in row:
        raise bad_line(path, number, "more cells than the first line names columns")
    if None in row.values():
        raise bad_line(path, number, "fewer cells than the first line names columns")
    result: dict[str, Any] = {}
    places: dict[int, dict[str, Any]] = {}
    for key, value in row.items():
        of_place = _PLACE_COLUMN.fullmatch(key)
        text = (value or "").strip()
        if not text:
            continue
        if key in ("answers", "filters", "forbidden"):
            result[key] = [part.strip() for part in text.split("|") if part.strip()]
        elif key in ("answerable", "all_needed", "synthetic"):
            result[key] = _TRUTH.get(text.lower(), text)
        elif of_place is not None:
            name, number_of_place = of_place[1], int(of_place[2] or 1)
            is_number = name not in ("document", "quote") and text.isdecimal()
            places.setdefault(number_of_place, {})[name] = int(text) if is_number else text
        else:
            result[key] = text
    return {**result, "evidence": [places[each] for each in sorted(places)]} if places else result


def _cases(path: Path, rows: Iterable[tuple[int, dict[str, Any]]]) -> list[Case]:
    cases: list[Case] = []
    seen: dict[str, int] = {}
    for number, row in rows:
        case = _case(path, number, {"id": f"line-{number}", **row})
        if case.id in seen:
            raise bad_line(path, number, f"id {case.id!r} was already used in line {seen[case.id]}")
        seen[case.id] = number
        cases.append(case)
    if not cases:
        raise RagkitError(f"{path} holds no question")
    return cases


def _case(path: Path, number: int, row: dict[str, Any]) -> Case:
    if isinstance(row["id"], int):
        row["id"] = str(row["id"])
    for place in row["evidence"] if isinstance(row.get("evidence"), list) else ():
        if isinstance(place, dict) and "page" in place:
            page: Any = place.pop("page")  # pyright: ignore[reportUnknownVariableType, reportUnknownMemberType]
            if page is not None:
                place["pages"] = [page]
    try:
        # As JSON, where a list may stand for a tuple while all else stays strict.
        return Case.model_validate_json(json.dumps(row))
    except ValidationError as error:
        raise bad_line(
            path, number, "; ".join(in_words(each, Case) for each in error.errors(include_url=False))
        ) from None
