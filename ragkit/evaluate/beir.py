"""Read a retrieval data set in BEIR layout: corpus.jsonl, queries.jsonl, qrels/SPLIT.tsv.

Layout: Thakur et al. 2021, "BEIR: A Heterogenous Benchmark for Zero-shot Evaluation of Information Retrieval
Models". Files are read line by line: texts of documents are never held together, only ids are. A row that
cannot be understood ends the reading, because a score over a part of a data set is not that data set's
score.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, cast

from ragkit.errors import RagkitError
from ragkit.evaluate.cases import Case, Evidence, Questions
from ragkit.evaluate.json_lines import bad_line, iter_lines, iter_objects

LAYOUT = "a data set is a folder with corpus.jsonl, queries.jsonl and qrels/test.tsv"


class CorpusRow(NamedTuple):
    """One document of the corpus; `metadata` holds the row's "metadata" object, empty where it has none."""

    id: str
    title: str
    text: str
    metadata: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Dataset:
    """The queries that are judged, and their judgments.

    `queries` maps id to text and has exactly the keys of `qrels`, which maps query to document to grade (0:
    not relevant). `documents` counts the corpus. What was found and left out, or cannot be found, is
    counted: `unjudged_queries` (queries without judgments, ignored), `unknown_queries` (judged but not in
    queries.jsonl, ignored) and `unknown_documents` (distinct documents judged but not in the corpus; their
    judgments stay and lower the recall, as everywhere else).
    """

    path: Path
    queries: dict[str, str]
    qrels: dict[str, dict[str, int]]
    corpus_path: Path
    documents: int
    unjudged_queries: int = 0
    unknown_queries: int = 0
    unknown_documents: int = 0


def read_dataset(path: Path | str, split: str = "test") -> Dataset:
    """Read the queries and judgments of a BEIR folder and check them against its corpus, which is read once.

    Raises RagkitError if a file is missing or no query is left, ParseError with file and line for a bad row.

    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> _ = (folder / "corpus.jsonl").write_text('{"_id": "d1", "title": "Salt", "text": "Salt is salty."}')
    >>> _ = (folder / "queries.jsonl").write_text('{"_id": "q1", "text": "how does salt taste"}')
    >>> (folder / "qrels").mkdir()
    >>> _ = (folder / "qrels" / "test.tsv").write_text("query-id\\tcorpus-id\\tscore\\nq1\\td1\\t1")
    >>> dataset = read_dataset(folder)
    >>> dataset.queries, dataset.qrels, dataset.documents
    ({'q1': 'how does salt taste'}, {'q1': {'d1': 1}}, 1)
    """
    folder = Path(path)
    corpus, queries, qrels = _files(folder, split)
    texts = _read_queries(queries)
    judged = _read_qrels(qrels)
    known = {query: grades for query, grades in judged.items() if query in texts}
    if not known:
        raise RagkitError(
            f"{qrels} judges none of the {len(texts)} queries of {queries}",
            mend="the first column must hold the queries' _id",
        )
    unfound = {document for grades in known.values() for document in grades}
    documents = 0
    for row in iter_corpus(corpus):
        documents += 1
        unfound.discard(row.id)
    return Dataset(
        path=folder,
        queries={query: text for query, text in texts.items() if query in known},
        qrels={query: known[query] for query in texts if query in known},
        corpus_path=corpus,
        documents=documents,
        unjudged_queries=len(texts) - len(known),
        unknown_queries=len(judged) - len(known),
        unknown_documents=len(unfound),
    )


def iter_corpus(path: Path | str) -> Iterator[CorpusRow]:
    """The documents of a corpus.jsonl (or of the folder that holds it), in the order of the file.

    Raises ParseError with file and line for a row that is not a document or repeats an id, RagkitError for a
    missing file.
    """
    file = Path(path)
    file = file / "corpus.jsonl" if file.is_dir() else file
    for number, id_, row in _rows(file):
        title, metadata = row.get("title"), row.get("metadata")
        if metadata is not None and not isinstance(metadata, dict):
            raise bad_line(file, number, '"metadata" must be an object')
        if title is not None and not isinstance(title, str):
            raise bad_line(file, number, '"title" must be a string')
        yield CorpusRow(id_, title or "", _text(file, number, row), cast("dict[str, Any]", metadata or {}))


def beir_cases(path: Path | str, split: str = "test") -> Questions:
    """The judged queries of a BEIR folder as cases of a suite, and its corpus. Raises as `read_dataset`.

    A query's metadata may have `answers` (a list of texts); BEIR itself labels documents only. Documents graded 0 are
    left out, and a query without any other is unanswerable only if it says so (`answerable: false` in its metadata).
    Notes count judgments of documents and queries that are not there.
    """
    dataset = read_dataset(path, split)
    metadata: dict[str, dict[str, Any]] = {
        id_: row.get("metadata") or {} for _, id_, row in _rows(dataset.path / "queries.jsonl")
    }
    cases: list[Case] = []
    for query, text in dataset.queries.items():
        said: dict[str, Any] = metadata[query]
        answerable = said.get("answerable") is not False
        relevant = [(document, grade) for document, grade in dataset.qrels[query].items() if grade > 0]
        evidence = [Evidence(document=f"{dataset.corpus_path.name}#{name}", grade=grade) for name, grade in relevant]
        answers = [answer for answer in said.get("answers") or () if isinstance(answer, str) and answer]
        cases.append(
            Case(
                id=query,
                question=text,
                answers=tuple(answers) if answerable else (),
                evidence=tuple(evidence) if answerable else (),
                answerable=answerable,
            )
        )
    return Questions(cases, dataset.corpus_path, unusable(dataset))


def unusable(dataset: Dataset) -> tuple[str, ...]:
    """What of the judgments and queries of a data set cannot be used, in words; empty where all of it can."""
    missing = {
        "documents are judged that are not in the corpus, and lower the recall": dataset.unknown_documents,
        "queries are judged that are not in queries.jsonl, and left out": dataset.unknown_queries,
        "queries are not judged, and left out": dataset.unjudged_queries,
    }
    return tuple(f"{dataset.path}: {count} {what}" for what, count in missing.items() if count)


def dataset_hash(path: Path | str, split: str = "test") -> str:
    """Hash of a data set's bytes as "CORPUS-QUESTIONS", 16 hexadecimal digits each (sha256, cut).

    The first part covers corpus.jsonl alone, so two question sets over one corpus share it (and an index of
    it); the second covers queries.jsonl and the judgments. Raises RagkitError if a file is missing.
    """
    corpus, queries, qrels = _files(Path(path), split)
    questions = hashlib.sha256((_digest(queries) + _digest(qrels)).encode())
    return f"{_digest(corpus)[:16]}-{questions.hexdigest()[:16]}"


def _files(folder: Path, split: str) -> tuple[Path, Path, Path]:
    files = (folder / "corpus.jsonl", folder / "queries.jsonl", folder / "qrels" / f"{split}.tsv")
    for file in files:
        if not file.is_file():
            raise RagkitError(f"no file {file}", mend=LAYOUT)
    return files


def _digest(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def _read_queries(file: Path) -> dict[str, str]:
    return {id_: _text(file, number, row) for number, id_, row in _rows(file)}


def _read_qrels(file: Path) -> dict[str, dict[str, int]]:
    """Judgments by query. The first line is a header, unless its third column is a number."""
    judged: dict[str, dict[str, int]] = {}
    for number, line in iter_lines(file, LAYOUT):
        columns = [column.strip() for column in line.split("\t")]
        if len(columns) != 3 or not columns[0] or not columns[1]:
            raise bad_line(file, number, f"expected query-id TAB corpus-id TAB score, found {len(columns)} columns")
        query, document, grade = columns
        try:
            value = int(grade)
        except ValueError:
            if number == 1:
                continue
            raise bad_line(file, number, f"the score must be a whole number, not {grade!r}") from None
        if judged.setdefault(query, {}).setdefault(document, value) != value:
            raise bad_line(file, number, f"query {query!r} and document {document!r} are judged twice, differently")
    return judged


def _rows(file: Path) -> Iterator[tuple[int, str, dict[str, Any]]]:
    """Line number, id and content of each object of a .jsonl file; ids are checked to be new."""
    seen: dict[str, int] = {}
    for number, fields in iter_objects(file, LAYOUT):
        id_ = fields.get("_id")
        if not isinstance(id_, str) or not id_:
            raise bad_line(file, number, '"_id" must be a string that is not empty')
        if id_ in seen:
            raise bad_line(file, number, f"_id {id_!r} was already used in line {seen[id_]}")
        seen[id_] = number
        yield number, id_, fields


def _text(file: Path, number: int, row: dict[str, Any]) -> str:
    text = row.get("text")
    if not isinstance(text, str):
        raise bad_line(file, number, '"text" must be a string')
    return text
