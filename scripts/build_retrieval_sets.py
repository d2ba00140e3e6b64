"""Write COVID-QA, QED and the PEPs as BEIR folders, for scripts/choose_retrieval.py.

    python scripts/build_retrieval_sets.py DATA_DIR OUT_DIR

DATA_DIR holds `covid-qa/covidQA.json`, `qed/dev.jsonl` and `peps/`. What becomes a document and what answers a query:

- covid-qa: the paragraphs of the papers; the paragraph in which a labelled answer begins. A document is named
  PAPER-PARAGRAPH, as XQuAD's are ARTICLE-PARAGRAPH.
- qed: the paragraph that each question came with, named by the number of its Wikipedia page and its own.
- peps: the sentences by which PEPs cite one another (synthetic, see scripts/build_pep_citations.py), its small set:
  embedding all PEPs takes most of an hour on two cores. A query's own PEP must be left out (--ignore-identical-ids).
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from build_pep_citations import build as build_peps

SHORTEST = 200
"""Paragraphs with fewer characters, such as headings, go with the next one."""


def paragraphs(text: str) -> list[tuple[int, str]]:
    """Each paragraph with the offset of its first character.

    >>> paragraphs("A heading\\n\\n" + 200 * "a" + "\\n\\nThe end.")[1]
    (213, 'The end.')
    """
    found: list[tuple[int, str]] = []
    begin = 0
    for gap in [*re.finditer(r"\n\s*\n", text), None]:
        end = gap.start() if gap else len(text)
        if end - begin >= SHORTEST or (gap is None and text[begin:end].strip()):
            found.append((begin, text[begin:end]))
            begin = gap.end() if gap else end
    return found


def covid_qa(source: Path) -> Iterator[tuple[str, str, str, list[tuple[str, str]]]]:
    """(id, title, text, [(query id, question)]) of every paragraph."""
    for article in json.loads(source.read_text(encoding="utf-8"))["data"]:
        for paper in article["paragraphs"]:
            parts = paragraphs(paper["context"])
            asked: list[list[tuple[str, str]]] = [[] for _ in parts]
            for question in paper["qas"]:
                for answer in question["answers"][:1]:
                    place = max(n for n, (start, _) in enumerate(parts) if start <= answer["answer_start"] or n == 0)
                    asked[place].append((str(question["id"]), question["question"]))
            title = paper["context"].split("\n", 1)[0].strip()
            for number, ((_, text), queries) in enumerate(zip(parts, asked, strict=True)):
                yield f"{paper['document_id']}-{number}", title, text, queries


def qed(source: Path) -> Iterator[tuple[str, str, str, list[tuple[str, str]]]]:
    """As `covid_qa`. Questions that came with the same paragraph share it."""
    rows: list[dict[str, Any]] = [json.loads(line) for line in source.read_text(encoding="utf-8").splitlines()]
    pages = {title: number for number, title in enumerate(dict.fromkeys(row["title"] for row in rows))}
    asked: dict[tuple[str, str], list[tuple[str, str]]] = {}
    for number, row in enumerate(rows):
        asked.setdefault((row["title"], row["paragraph"]), []).append((f"q{number}", row["question"]))
    for number, ((title, text), queries) in enumerate(asked.items()):
        yield f"{pages[title]}-{number}", title, text, queries


def write(out: Path, documents: Iterator[tuple[str, str, str, list[tuple[str, str]]]]) -> None:
    (out / "qrels").mkdir(parents=True, exist_ok=True)
    queries: list[tuple[str, str, str]] = []
    with (out / "corpus.jsonl").open("w", encoding="utf-8", newline="\n") as file:
        for identity, title, text, asked in documents:
            file.write(json.dumps({"_id": identity, "title": title, "text": text}, ensure_ascii=False) + "\n")
            queries += [(query, question, identity) for query, question in asked]
    with (out / "queries.jsonl").open("w", encoding="utf-8", newline="\n") as file:
        file.writelines(json.dumps({"_id": q, "text": text}, ensure_ascii=False) + "\n" for q, text, _ in queries)
    with (out / "qrels/test.tsv").open("w", encoding="utf-8", newline="\n") as file:
        file.write("query-id\tcorpus-id\tscore\n")
        file.writelines(f"{query}\t{identity}\t1\n" for query, _, identity in queries)
    print(f"{out}: {len(queries)} queries")


def main(arguments: list[str]) -> int:
    if len(arguments) != 2:
        print(__doc__, file=sys.stderr)
        return 2
    data, out = map(Path, arguments)
    write(out / "covid-qa", covid_qa(data / "covid-qa/covidQA.json"))
    write(out / "qed", qed(data / "qed/dev.jsonl"))
    documents, queries = build_peps(data, out / "peps", small=True)
    print(f"{out / 'peps'}: {documents} documents, {len(queries)} queries")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
