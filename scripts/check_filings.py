"""Ask the hand-checked questions over the PDF filings and compare the cited pages.

    python scripts/check_filings.py PDF_DIR [--config configs/quickstart.yaml]

Questions and pages: eval/filings_questions.jsonl. An answered question is right if at least one citation leads to a
page of the named filing where the answer stands; whether the first one does is counted apart. Prints each miss, then
the counts.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path

from ragkit import Ragkit

QUESTIONS = Path(__file__).parent.parent / "eval" / "filings_questions.jsonl"


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("pdfs", type=Path)
    parser.add_argument("--config", type=Path, default=Path("configs/quickstart.yaml"))
    given = parser.parse_args()
    counts = {"answered": 0, "right page": 0, "first citation right": 0, "contains the answer": 0, "refused": 0}
    unanswerable = refused_rightly = answerable = 0
    with tempfile.TemporaryDirectory() as folder:
        rag = Ragkit.from_config(given.config, [f"ingestion.store.path={folder}/index"])
        rag.index([given.pdfs])
        for line in QUESTIONS.read_text(encoding="utf-8").splitlines():
            row = json.loads(line)
            answer = rag.ask(row["question"])
            if not row["answerable"]:
                unanswerable += 1
                refused_rightly += answer.refused
                continue
            answerable += 1
            if answer.refused:
                counts["refused"] += 1
                continue
            counts["answered"] += 1
            places = [(citation.source_document, citation.page_number) for citation in answer.citations]
            gold = [(row["document"], page) for page in row["pages"]]
            contained = any(" ".join(text.split()) in " ".join(answer.text.split()) for text in row["answers"])
            right = any(place in gold for place in places)
            counts["right page"] += right
            counts["first citation right"] += places[0] in gold
            counts["contains the answer"] += contained
            for citation in answer.citations:
                document = rag.document(citation.source_document)
                if document is None or document.text[citation.start : citation.end] != citation.quote:
                    raise SystemExit(f"{row['id']}: a citation does not hold: {citation}")
            if not (right and contained):
                print(
                    f"{row['id']}: {row['question']}\n  gold {row['answers']} on {gold}; cited {places}\n"
                    f"  {answer.text[:300]}"
                )
    print(f"{answerable} answerable: {counts}")
    print(f"{unanswerable} unanswerable: {refused_rightly} refused")


if __name__ == "__main__":
    main()
