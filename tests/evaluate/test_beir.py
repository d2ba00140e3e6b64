"""A BEIR folder is read whole or refused with file and line; what does not fit together is counted."""

from __future__ import annotations

import json
import tracemalloc
from pathlib import Path
from typing import Any

import pytest

from ragkit.errors import ParseError, RagkitError
from ragkit.evaluate import json_lines
from ragkit.evaluate.beir import beir_cases, dataset_hash, iter_corpus, read_dataset

CORPUS = [
    {"_id": "d1", "title": "Salt", "text": "Salt is salty.", "metadata": {"year": 2001}},
    {"_id": "d2", "text": "The sea is wet."},
]
QUERIES = [{"_id": "q1", "text": "what is salty"}, {"_id": "q2", "text": "what is wet"}]
QRELS = "query-id\tcorpus-id\tscore\nq1\td1\t2\nq1\td2\t0\nq2\td2\t1\n"


def write(folder: Path, corpus: Any = None, queries: Any = None, qrels: str = QRELS) -> Path:
    def lines(rows: Any) -> str:
        return rows if isinstance(rows, str) else "".join(json.dumps(row) + "\n" for row in rows)

    (folder / "qrels").mkdir(parents=True, exist_ok=True)
    (folder / "corpus.jsonl").write_text(lines(CORPUS if corpus is None else corpus), encoding="utf-8")
    (folder / "queries.jsonl").write_text(lines(QUERIES if queries is None else queries), encoding="utf-8")
    (folder / "qrels" / "test.tsv").write_text(qrels, encoding="utf-8")
    return folder


def test_reads_queries_judgments_and_documents(tmp_path: Path) -> None:
    dataset = read_dataset(write(tmp_path))
    assert dataset.queries == {"q1": "what is salty", "q2": "what is wet"}
    assert dataset.qrels == {"q1": {"d1": 2, "d2": 0}, "q2": {"d2": 1}}
    assert dataset.documents == 2
    assert (dataset.unjudged_queries, dataset.unknown_queries, dataset.unknown_documents) == (0, 0, 0)
    rows = list(iter_corpus(dataset.corpus_path))
    assert rows[0] == ("d1", "Salt", "Salt is salty.", {"year": 2001})
    assert rows[1] == ("d2", "", "The sea is wet.", {})


def test_other_split(tmp_path: Path) -> None:
    folder = write(tmp_path)
    (folder / "qrels" / "dev.tsv").write_text("query-id\tcorpus-id\tscore\nq2\td1\t1\n")
    dataset = read_dataset(folder, "dev")
    assert dataset.qrels == {"q2": {"d1": 1}}
    assert dataset.unjudged_queries == 1


def test_counts_what_does_not_fit_together(tmp_path: Path) -> None:
    qrels = QRELS.replace("q2\td2\t1", "q9\td1\t1\nq8\td7\t1") + "q1\tgone\t1\n"
    dataset = read_dataset(write(tmp_path, qrels=qrels))
    assert dataset.queries.keys() == dataset.qrels.keys() == {"q1"}
    assert dataset.qrels["q1"]["gone"] == 1, "a judgment of a missing document lowers the recall, so it stays"
    assert (dataset.unjudged_queries, dataset.unknown_queries, dataset.unknown_documents) == (1, 2, 1)
    assert [note.removeprefix(f"{tmp_path}: ")[:24] for note in beir_cases(tmp_path).notes] == [
        "1 documents are judged t",
        "2 queries are judged tha",
        "1 queries are not judged",
    ]


def test_no_header_byte_order_mark_blank_lines_and_a_judgment_repeated(tmp_path: Path) -> None:
    queries = "\ufeff" + json.dumps(QUERIES[0]) + "\r\n\n" + json.dumps(QUERIES[1])
    dataset = read_dataset(write(tmp_path, queries=queries, qrels="q1\td1\t1\n\nq2\td2\t1\r\nq1\td1\t1"))
    assert dataset.qrels == {"q1": {"d1": 1}, "q2": {"d2": 1}}


BROKEN: list[tuple[dict[str, Any], str, str]] = [
    ({"corpus": '{"_id": "d1", "text": "a"}\n{"_id": '}, "corpus.jsonl:2", "not JSON"),
    ({"corpus": [*CORPUS, CORPUS[0]]}, "corpus.jsonl:3", "_id 'd1' was already used in line 1"),
    ({"corpus": [{"_id": "d1", "title": "a"}]}, "corpus.jsonl:1", '"text" must be a string'),
    ({"corpus": [{"_id": "d1", "text": "a", "title": 3}]}, "corpus.jsonl:1", '"title"'),
    ({"corpus": [{"_id": "d1", "text": "a", "metadata": []}]}, "corpus.jsonl:1", '"metadata"'),
    ({"corpus": [["d1"]]}, "corpus.jsonl:1", "not a JSON object"),
    ({"corpus": "[" * 200_000}, "corpus.jsonl:1", "not JSON"),
    ({"queries": [{"_id": 7, "text": "a"}]}, "queries.jsonl:1", '"_id" must be a string'),
    ({"queries": [*QUERIES, QUERIES[1]]}, "queries.jsonl:3", "already used in line 2"),
    ({"qrels": QRELS + "q1 d1 1\n"}, "test.tsv:5", "1 columns"),
    ({"qrels": QRELS + "q1\t0\td1\t1\n"}, "test.tsv:5", "4 columns"),
    ({"qrels": QRELS + "q1\td3\thigh\n"}, "test.tsv:5", "whole number, not 'high'"),
    ({"qrels": QRELS + "q1\td1\t1\n"}, "test.tsv:5", "judged twice"),
]


@pytest.mark.parametrize(("broken", "place", "message"), BROKEN)
def test_names_file_and_line_of_a_bad_row(tmp_path: Path, broken: dict[str, Any], place: str, message: str) -> None:
    folder = write(tmp_path, **broken)
    with pytest.raises(ParseError) as caught:
        read_dataset(folder)
    assert place in str(caught.value)
    assert message in str(caught.value)


def test_bytes_that_are_not_utf_8(tmp_path: Path) -> None:
    folder = write(tmp_path)
    with (folder / "corpus.jsonl").open("ab") as file:
        file.write(b'{"_id": "d3", "text": "caf\xe9"}\n')
    with pytest.raises(ParseError, match=r"corpus\.jsonl:3: not UTF-8"):
        list(iter_corpus(folder))


def test_a_line_without_end_is_refused_before_it_fills_the_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(json_lines, "MAX_LINE_BYTES", 1000)
    folder = write(tmp_path, corpus=[*CORPUS, {"_id": "d3", "text": "x" * 10_000_000}])
    tracemalloc.start()
    with pytest.raises(ParseError, match=r"corpus\.jsonl:3: the line is longer than 1000 bytes"):
        read_dataset(folder)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 5e6


@pytest.mark.parametrize("name", ["corpus.jsonl", "queries.jsonl", "qrels/test.tsv"])
def test_missing_file_says_how_a_data_set_looks(tmp_path: Path, name: str) -> None:
    folder = write(tmp_path)
    (folder / name).unlink()
    for read in (read_dataset, dataset_hash):
        with pytest.raises(RagkitError, match=r"no file .*; a data set is a folder with corpus\.jsonl"):
            read(folder)


def test_no_judged_query_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(RagkitError, match="judges none of the 2 queries"):
        read_dataset(write(tmp_path, qrels="query-id\tcorpus-id\tscore\nx\td1\t1\n"))


def test_hash_tells_corpus_from_questions(tmp_path: Path) -> None:
    folder = write(tmp_path)
    corpus, questions = dataset_hash(folder).split("-")
    write(folder, queries=[*QUERIES, {"_id": "q3", "text": "more"}])
    assert dataset_hash(folder).split("-")[0] == corpus
    assert dataset_hash(folder).split("-")[1] != questions
    write(folder, qrels=QRELS.replace("\t2", "\t1"))
    assert dataset_hash(folder).split("-")[0] == corpus
    assert dataset_hash(folder).split("-")[1] != questions
    write(folder, corpus=CORPUS[:1])
    assert dataset_hash(folder).split("-")[0] != corpus
    assert dataset_hash(folder).split("-")[1] == questions
