"""The nine checks in a row, on a run of a suite, and their evidence as files."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from ragkit.evaluate.checks import Check
from ragkit.evaluate.checks.answers import (
    check_attacks,
    check_citations,
    check_costs,
    check_latency,
    check_refusals,
    check_reranking,
    check_retrieval,
)
from ragkit.evaluate.checks.chunks import check_chunks
from ragkit.evaluate.checks.filters import check_filters
from ragkit.evaluate.record import Record
from ragkit.evaluate.suite import Suite
from ragkit.system import Ragkit


def run_checks(rag: Ragkit, records: Sequence[Record], suite: Suite) -> list[Check]:
    """The nine checks, in their order, under the suite's thresholds. `rag` is the system that the records are of."""
    demanded, seed = suite.checklist, suite.seed
    return [
        check_chunks(rag, records, demanded, seed),
        check_filters(rag, records, demanded, seed),
        check_retrieval(records, demanded, seed),
        check_reranking(records, demanded, seed),
        check_attacks(records, demanded),
        check_citations(records, demanded, seed),
        check_refusals(records, demanded, seed),
        check_latency(records, demanded),
        check_costs(records, demanded, seed),
    ]


def write_evidence(checks: Sequence[Check], folder: Path) -> dict[int, Path]:
    """A JSON-lines file for each check that has rows to look at; gives the files by the number of their check."""
    folder.mkdir(parents=True, exist_ok=True)
    files: dict[int, Path] = {}
    for check in checks:
        if check.evidence:
            file = folder / f"{check.number}-{check.title.replace(' ', '-')}.jsonl"
            rows = (json.dumps(dict(row), ensure_ascii=False, default=str) for row in check.evidence)
            file.write_text("".join(f"{row}\n" for row in rows), encoding="utf-8", errors="replace")
            files[check.number] = file
    return files
