"""A suite: which questions are asked, of which documents, and what the system must reach to pass.

One YAML file; paths in it are relative to it. Every key is checked, with file and line.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, ValidationError, model_validator

from ragkit.config.document import read_document
from ragkit.config.part import Part
from ragkit.errors import ConfigError
from ragkit.evaluate.cases import Case, Questions, read_csv, read_jsonl
from ragkit.evaluate.judges.settings import JudgeSettings
from ragkit.evaluate.split import check_part
from ragkit.evaluate.squad import read_squad
from ragkit.evaluate.validation import in_words

Format = Literal["jsonl", "csv", "squad", "beir"]
AskedPart = Literal["test", "tuning", "all"]
"""The part of a suite's questions that is asked."""

SHOWN = (
    "fused.document.ndcg@10",
    "fused.chunk.recall@10",
    "reranked.chunk.recall@10",
    "contained",
    "f1",
    "citation_precision",
    "citation_recall",
    "unsupported_share",
)


class QuestionSet(Part):
    """One file (or BEIR folder) of questions."""

    path: str
    format: Format | None = None
    """jsonl, csv, squad or beir; left out, the ending says it."""
    part: Literal["test", "tuning"] = "test"
    """What the questions may be used for: `ragkit eval sweep` chooses on tuning and reports on test."""
    split: str = "test"
    """beir: which qrels/SPLIT.tsv."""
    card: str | None = None
    """Data card of the set: source, licence, size, known faults."""


class Gate(Part):
    """A bound on a metric of the run, for all questions or those of one segment."""

    metric: str
    at_least: float | None = None
    at_most: float | None = None
    segment: str = ""

    @model_validator(mode="after")
    def _one_bound(self) -> Gate:
        if (self.at_least is None) == (self.at_most is None):
            raise ValueError("a gate needs either at_least or at_most")
        return self

    @property
    def demanded(self) -> str:
        """The bound in words."""
        return f"at least {self.at_least:g}" if self.at_least is not None else f"at most {self.at_most:g}"


class Thresholds(Part):
    """What each check demands; a suite's `checklist`. Shares are between 0 and 1."""

    max_damaged_chunks: float = Field(default=0.05, ge=0, le=1)
    """1: most chunks that cut a sentence, split a table or code block that would fit, or lack their heading."""
    max_cut_places: float = Field(default=0.05, ge=0, le=1)
    """1: most labelled places that no chunk has whole."""
    required_fields: dict[str, float] = Field(default_factory=lambda: {"source_document": 1.0})
    """2: least share of chunks that have a field, by its name."""
    min_recall: float = Field(default=0.8, ge=0, le=1)
    """3: least recall@10 of labelled places."""
    min_ndcg: float = Field(default=0.6, ge=0, le=1)
    """3: least nDCG@10 of labelled places."""
    min_questions: int = Field(default=50, ge=1)
    """3, 4: fewer labelled questions show nothing."""
    max_rerank_ms: float = Field(default=1000.0, ge=0)
    """4: most milliseconds (median) that reranking may take."""
    max_attack_success: float = Field(default=0.2, ge=0, le=1)
    """5: most adversarial questions that get what they are after."""
    min_resolving: float = Field(default=1.0, ge=0, le=1)
    """6: least share of citations whose quote stands at its characters."""
    min_supported: float = Field(default=0.9, ge=0, le=1)
    """6: least share of answered text that a citation backs."""
    min_rightly_cited: float = Field(default=0.7, ge=0, le=1)
    """6: least share of right answers with a citation that leads to a labelled place or to the answer."""
    min_refusals: float = Field(default=0.5, ge=0, le=1)
    """7: least share of unanswerable questions that are refused."""
    max_false_refusals: float = Field(default=0.1, ge=0, le=1)
    """7: most answerable questions that are refused."""
    interactive_s: float = Field(default=3.0, gt=0)
    """8: most seconds (95th percentile) for a question with one place."""
    complex_s: float = Field(default=30.0, gt=0)
    """8: most seconds (95th percentile) for a question that needs several places."""
    max_usd: float | None = Field(default=None, ge=0)
    """9: most dollars that an answer may cost on average; null only demands that every cost is known."""


class RunBudget(Part):
    """Where a run stops; what was asked is kept, and --resume goes on under a higher budget."""

    max_usd: float | None = Field(default=None, ge=0)
    """Dollars that the answers of the run may cost in all; an answer of unknown cost stops it. Checked after each
    question, so that it is passed by one question at most, or as many as are asked at once."""
    max_questions: int | None = Field(default=None, ge=1)
    """Questions that the run may ask in all."""


class Suite(Part):
    """The whole file. Gates decide the exit code of `ragkit eval run`."""

    name: Annotated[str, Field(pattern=r"^[\w.-]+$")]
    description: str = ""
    seed: int = 0
    """Of the bootstrap."""
    corpus: list[str] = Field(default_factory=list[str])
    """Files and folders that are indexed for this suite, apart from the config's own index; left out, the documents
    that squad and beir sets bring along, or else the config's index as it is."""
    data: Annotated[list[QuestionSet], Field(min_length=1)]
    metrics: list[str] = Field(default_factory=lambda: list(SHOWN))
    """What the summary shows; every metric is recorded."""
    segments: list[str] = Field(default_factory=list[str])
    """The segments that are reported for themselves, beside those that gates name; left out, all that have a name."""
    gates: list[Gate] = Field(default_factory=list[Gate])
    budget: RunBudget = RunBudget()
    max_failed: float = Field(default=0.0, ge=0, le=1)
    """Share of the questions that may end in an error."""
    judges: list[JudgeSettings] = Field(default_factory=list[JudgeSettings])
    """Who scores the answers beside the labels; their metrics are called "lexical.support", "llm.groundedness", ..."""
    checklist: Thresholds = Thresholds()
    """What `ragkit eval checklist` demands."""


@dataclass(frozen=True, slots=True)
class LoadedSuite:
    """A suite with its questions and the documents that it wants indexed (empty: the config's own index)."""

    suite: Suite
    path: Path
    cases: tuple[Case, ...]
    corpus: tuple[Path, ...]
    tuning: frozenset[str] = frozenset()
    """Ids of the cases that may be used for tuning; the others are for reporting."""
    notes: tuple[str, ...] = ()
    """What of the labels cannot be used."""

    @property
    def data_hash(self) -> str:
        """Hash of the questions and their labels (sha256, 16 hexadecimal digits)."""
        rows = "\n".join(case.model_dump_json() for case in self.cases)
        return hashlib.sha256(rows.encode("utf-8", "surrogatepass")).hexdigest()[:16]

    def only(self, part: AskedPart) -> LoadedSuite:
        """The suite with the questions of one part. Raises ConfigError if there is none."""
        kept = tuple(case for case in self.cases if part == "all" or (case.id in self.tuning) == (part == "tuning"))
        if not kept:
            raise ConfigError(f"{self.path} has no question for {part}", mend="use another --part, or add a set for it")
        return replace(self, cases=kept)


def load_suite(path: Path, scratch: Path) -> LoadedSuite:
    """Read a suite and its questions. `scratch` is a folder for documents that are taken out of squad files.

    Raises ConfigError with file and line for the suite, and for a part of a split that was changed or is used as the
    other one; ParseError with file and line for a question.
    """
    suite = _read(path)
    cases: list[Case] = []
    tuning: set[str] = set()
    notes: list[str] = []
    corpus = [_beside(path, given) for given in suite.corpus]
    for data, name in zip(suite.data, _names(suite.data), strict=True):
        file = _beside(path, data.path)
        check_part(file, data.part)
        # Sets in files of one name have documents of different names; nothing of a path leads out of the folder.
        label = re.sub(r"[^\w-]+", "-", name or file.stem).strip("-")
        documents = scratch / f"{label}.jsonl"
        found = read_questions(file, documents, data.format, data.split)
        if found.documents is not None and not suite.corpus and found.documents not in corpus:
            corpus.append(found.documents)
        # Ids are unique within a set; several sets may count alike.
        named = [case.model_copy(update={"id": f"{name}/{case.id}"}) if name else case for case in found.cases]
        cases += named
        notes += found.notes
        if data.part == "tuning":
            tuning.update(case.id for case in named)
    _check_segments(suite, path, cases)
    return LoadedSuite(suite, path, tuple(cases), tuple(corpus), frozenset(tuning), tuple(notes))


def _check_segments(suite: Suite, path: Path, cases: Sequence[Case]) -> None:
    """Raise ConfigError for a segment under `segments` that no question has."""
    known = sorted({case.segment for case in cases} - {""})
    for name in suite.segments:
        if name not in known:
            raise ConfigError(
                f"{path}: segments: no question has the segment {name!r}",
                mend=f"there are {', '.join(known)}" if known else "name the segment of questions in their file",
            )


def _names(sets: Sequence[QuestionSet]) -> list[str]:
    """What the ids of each set begin with: nothing for the only one, its file's name, or where these are alike its path
    and split. Raises ConfigError if a set is named twice."""
    if len(sets) == 1:
        return [""]
    stems = [Path(data.path).stem for data in sets]
    names = [
        stem if stems.count(stem) == 1 else f"{data.path}:{data.split}" for data, stem in zip(sets, stems, strict=True)
    ]
    for name in names:
        if names.count(name) > 1:
            raise ConfigError(f"the set {name} is named twice", mend="name each set of questions once")
    return names


def read_questions(file: Path, documents: Path, form: Format | None = None, split: str = "test") -> Questions:
    """The questions of a file or BEIR folder; the paragraphs of a SQuAD file go to `documents`.

    Raises ConfigError for an unknown ending without `form`, ParseError with file and line for a row that cannot be
    read.
    """
    kind = form or _format_of(file)
    if kind == "beir":
        from ragkit.evaluate.beir import beir_cases

        return beir_cases(file, split)
    if kind == "squad":
        return read_squad(file, documents)
    return Questions((read_csv if kind == "csv" else read_jsonl)(file))


def _format_of(file: Path) -> Format:
    if file.is_dir():
        return "beir"
    kinds: dict[str, Format] = {".jsonl": "jsonl", ".csv": "csv", ".json": "squad"}
    if file.suffix.lower() not in kinds:
        raise ConfigError(f"{file}: what format is this?", mend="name one: format: jsonl, csv, squad or beir")
    return kinds[file.suffix.lower()]


def _read(path: Path) -> Suite:
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"cannot read the suite {path} ({error.strerror})") from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path} is not UTF-8 text (byte {error.start})") from None
    document = read_document(text, str(path), os.environ)
    problems = [f"{problem.origin}: {problem.text}" for problem in document.problems]
    try:
        suite = Suite.model_validate(document.data)
    except ValidationError as error:
        for each in error.errors(include_url=False):
            places = (each["loc"][:end] for end in range(len(each["loc"]), -1, -1))
            origin = next((document.origins[place] for place in places if place in document.origins), path)
            problems.append(f"{origin}: {in_words(each, Suite)}")
        suite = None
    if suite is None or problems:
        raise ConfigError("\n  ".join(problems))
    return suite


def _beside(path: Path, given: str) -> Path:
    return Path(os.path.normpath(path.parent / given))
