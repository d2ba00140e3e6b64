"""Measure what evaluating costs beside searching: 10,000 questions, their vectors kept from a run before.

    python scripts/measure_evaluation.py [QUESTIONS]

Makes a BEIR folder of random words (2,000 documents), evaluates it twice, and prints for the second time the whole, the
seconds of search alone, and what is left.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from ragkit.config.schema import Config
from ragkit.evaluate import retrieval

DOCUMENTS = 2_000


def write_dataset(folder: Path, questions: int) -> None:
    """Each question is some words of one document, its only relevant one."""
    random = np.random.default_rng(0)
    words = np.array([f"word{number}" for number in range(20_000)])
    texts = [random.choice(words, 60).tolist() for _ in range(DOCUMENTS)]
    (folder / "qrels").mkdir()
    with (folder / "corpus.jsonl").open("w") as corpus:
        for number, text in enumerate(texts):
            corpus.write(json.dumps({"_id": f"d{number}", "title": "", "text": " ".join(text)}) + "\n")
    with (folder / "queries.jsonl").open("w") as queries, (folder / "qrels" / "test.tsv").open("w") as qrels:
        qrels.write("query-id\tcorpus-id\tscore\n")
        for number in range(questions):
            asked = random.choice(texts[number % DOCUMENTS], 5).tolist()
            queries.write(json.dumps({"_id": f"q{number}", "text": " ".join(asked)}) + "\n")
            qrels.write(f"q{number}\td{number % DOCUMENTS}\t1\n")


def main() -> None:
    questions = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    searching = 0.0
    ranked: Any = retrieval.ranked_documents

    def timed(*arguments: Any) -> Any:
        nonlocal searching
        began = time.perf_counter()
        found = ranked(*arguments)
        searching += time.perf_counter() - began
        return found

    retrieval.ranked_documents = timed
    with tempfile.TemporaryDirectory() as folder:
        write_dataset(Path(folder), questions)
        for run in ("first", "second"):
            searching = 0.0
            began = time.perf_counter()
            report, _ = retrieval.evaluate_retrieval(Config(), Path(folder), cache=Path(folder) / "cache")
            whole = time.perf_counter() - began
            print(
                f"{run}: {report['queries']} questions in {whole:.1f} s, search {searching:.1f} s,"
                f" the rest {whole - searching:.1f} s; nDCG@10 {report['metrics']['ndcg@10']:.3f}"
            )


if __name__ == "__main__":
    main()
