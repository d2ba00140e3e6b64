"""The user's own questions for training: from a file, from praised answers, or made; placed in the index, and parted.

Parts are cut by document. What training sees is never asked about in the part that the choice is made on, nor that in
the part that the result is reported on.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from ragkit.durable import write_whole
from ragkit.errors import RagkitError
from ragkit.evaluate.cases import Case, Evidence
from ragkit.evaluate.gold import Gold, GoldFinder
from ragkit.evaluate.split import split_cases

if TYPE_CHECKING:
    from ragkit.store.open import Snapshot
    from ragkit.system import Ragkit

SHARES = (0.2, 0.4)
"""Of the questions for choosing and for the report; the rest is trained on."""
FEW_LABELLED = 200
SHARES_OF_FEW = (0.25, 0.5)
"""Of fewer questions: they teach little, and it takes them to show anything."""
_PRAISED_AT_MOST = 100_000


@dataclass(frozen=True, slots=True)
class Labelled:
    """A question with the places of the index that answer it."""

    case: Case
    gold: tuple[Gold, ...]

    @property
    def chunks(self) -> frozenset[str]:
        """Ids of all chunks that hold one of the places."""
        return frozenset(chunk for place in self.gold for chunk in place.chunks)

    @property
    def documents(self) -> frozenset[str]:
        """Ids of the documents of the places."""
        return frozenset(place.document_id for place in self.gold if place.document_id is not None)


@dataclass(slots=True)
class Asked:
    """Questions by where they come from, those without a place in the index left out and counted in `notes`."""

    labelled: list[Labelled] = field(default_factory=list[Labelled])
    unanswerable: list[Case] = field(default_factory=list[Case])
    """Those of a file that are labelled so."""
    counts: dict[str, int] = field(default_factory=dict[str, int])
    notes: list[str] = field(default_factory=list[str])

    @property
    def synthetic(self) -> bool:
        """Whether nobody wrote any of them."""
        return all(each.case.synthetic for each in self.labelled)

    @property
    def digest(self) -> str:
        """Hash of the questions and their labels (sha256, 16 hexadecimal digits)."""
        rows = "\n".join(each.case.model_dump_json() for each in self.labelled)
        return hashlib.sha256(rows.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def collected(rag: Ragkit, file: Path | None, scratch: Path, *, praised: bool = True) -> Asked:
    """The questions of a file, and with `praised` of praised answers, that have their place in the index.

    Raises ConfigError or ParseError for a file that cannot be read, as a suite does.
    """
    from ragkit.evaluate.suite import read_questions

    snapshot = rag.snapshot()
    asked = Asked()
    if file is not None:
        found = read_questions(file, scratch / "documents-of-questions.jsonl")
        asked.notes += found.notes
        asked.unanswerable = [case for case in found.cases if not case.answerable]
        answerable = [case for case in found.cases if case.answerable]
        _add(asked, "of a file", placed(answerable, snapshot), len(answerable))
    if praised and (answers := praised_answers(rag)):
        _add(asked, "of praised answers", placed(answers, snapshot), len(answers))
    return asked


def _add(asked: Asked, source: str, labelled: Sequence[Labelled], given: int) -> None:
    known = {each.case.question.casefold() for each in asked.labelled}
    new = [each for each in labelled if each.case.question.casefold() not in known]
    asked.labelled += new
    asked.counts[source] = len(new)
    if len(labelled) < given:
        asked.notes.append(
            f"{given - len(labelled)} of {given} answerable questions {source} have no place in the index"
        )


def placed(cases: Sequence[Case], snapshot: Snapshot) -> list[Labelled]:
    """The answerable questions of which a chunk of the index holds a labelled place."""
    finder = GoldFinder(snapshot.manifest, snapshot.store)
    labelled = (Labelled(case, finder.find(case)) for case in cases if case.answerable)
    return [each for each in labelled if each.chunks]


def praised_answers(rag: Ragkit) -> list[Case]:
    """Questions whose answers somebody praised (`POST /v1/feedback`, verdict up), labelled by what the answers cite.

    The citations are resolved again in the index as it is now, and only what backs its sentence counts.
    """
    from ragkit.ask import sentence_splitter
    from ragkit.generate.citations import resolve
    from ragkit.generate.support import SUPPORTED, support_score
    from ragkit.serve.database import Database

    folder = rag.config.serve.folder
    if not (folder / "serve.sqlite").is_file():
        return []
    database = Database(folder)
    try:
        rows = database.rows(
            "SELECT trace_id, tenant, question, answer FROM feedback WHERE verdict = 'up' ORDER BY id DESC LIMIT ?",
            (_PRAISED_AT_MOST,),
        )
    finally:
        database.close()
    snapshot = rag.snapshot()
    entries = list(snapshot.manifest.entries())
    split = sentence_splitter(rag.config)
    cases: dict[tuple[str, str], Case] = {}
    for row in rows:
        named = [entry.id for entry in entries if entry.name in row["answer"]]
        context = [chunk for document in named for chunk in snapshot.store.chunks_of(document)]
        found = resolve(row["answer"], context, support_score, split, row["question"]).citations if context else ()
        evidence = tuple(
            Evidence(document=each.source_document, start=each.start, end=each.end)
            for each in found
            if each.support >= SUPPORTED and not each.attached
        )
        if evidence and row["question"].strip():
            case = Case(
                id=f"praised-{row['trace_id']}", question=row["question"], evidence=evidence, tenant=row["tenant"]
            )
            cases.setdefault((case.tenant, case.question.casefold()), case)
    return list(cases.values())


@dataclass(frozen=True, slots=True)
class Parts:
    """Questions for training, for choosing (none where nothing is chosen), and for the report. No document is asked
    about in two of them."""

    train: list[Labelled]
    tuning: list[Labelled]
    test: list[Labelled]

    @property
    def held_out(self) -> frozenset[str]:
        """Ids of the documents that training must not see."""
        return frozenset(document for each in (*self.tuning, *self.test) for document in each.documents)


def parted(labelled: Sequence[Labelled], *, chooses: bool = True) -> Parts:
    """The questions by part; without `chooses` there is nothing to choose, and the part for it is trained on.

    Raises RagkitError if a part would be empty that something is measured on.
    """
    by_id = {each.case.id: each for each in labelled}
    if len(by_id) < len(labelled):
        raise RagkitError("two questions have the same id", mend="give each its own, or leave id out")
    tuning_share, test_share = SHARES_OF_FEW if len(labelled) < FEW_LABELLED else SHARES
    rest, test = split_cases([each.case for each in labelled], test_share) if labelled else ([], [])
    train, tuning = split_cases(rest, tuning_share / (1 - test_share)) if rest and chooses else (rest, [])
    if not test or (chooses and not tuning):
        raise RagkitError(
            f"{len(labelled)} questions about too few documents: nothing can be held out to measure on",
            mend="add questions about other documents (--questions), or make some (--synthetic N)",
        )
    train, tuning, test = ([by_id[case.id] for case in part] for part in (train, tuning, test))
    return Parts(train, tuning, test)


def made(rag: Ragkit, count: int, seed: int, kept: Path, *, by_model: bool = True) -> list[Case]:
    """At most `count` questions that single sentences of the index answer; see `ragkit.evaluate.generate`.

    With `by_model` the config's language model writes them if it has one, else templates do. They are kept in a file
    of the folder `kept`, so that a run that goes on has the same and pays for none twice.
    """
    from ragkit.evaluate import generate
    from ragkit.evaluate.cases import read_jsonl
    from ragkit.evaluate.run import index_fingerprint

    asks = by_model and rag.config.can_write
    key = f"{index_fingerprint(rag.snapshot().manifest)} {count} {seed} {rag.config_hash} {asks}"
    file = kept / f"made-questions-{hashlib.sha256(key.encode()).hexdigest()[:8]}.jsonl"
    if not file.is_file():
        writer = generate.by_model(rag) if asks else generate.by_template
        cases = generate.generate_cases(rag, count, writer=writer, seed=seed).cases
        cases = [case.model_copy(update={"id": f"made-{case.id}"}) for case in cases]
        if not cases:
            return []
        kept.mkdir(parents=True, exist_ok=True)
        write_whole(file, "".join(f"{case.model_dump_json(exclude_defaults=True)}\n" for case in cases), private=True)
    return read_jsonl(file)
