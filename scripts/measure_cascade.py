"""Extractive, small and large model in a cascade: is it cheaper than the large model alone, and as often right?

    python scripts/measure_cascade.py prepare DATA FOLDER     questions, corpus and suite, from XQuAD-en and COVID-QA

DATA holds `xquad-en` (BEIR layout with `answers` in the queries' metadata) and `covid-qa/covidQA.json`. What the
cascade is fitted to and what is reported are of different articles: of XQuAD-en the articles 0 to 23 and 24 to 47, of
COVID-QA one half of the articles and the other. FOLDER/suite.yaml then is a suite as any other:

    ragkit eval run --suite FOLDER/suite.yaml --part all -c eval/cascade/config.yaml \\
        --set routing.policy=single --set 'routing.endpoints=[{name: large, ...}]'
"""

from __future__ import annotations

import argparse
import json
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from ragkit.evaluate.cases import Case, Evidence
from ragkit.evaluate.squad import read_squad

FIRST_TEST_ARTICLE = 24
BLOCKS = 5
"""The questions stand in so many blocks, each a random part of all: a recording that is cut off is of a sample."""
TO_FIT, TO_REPORT = 100, 300
SEED = 5


def xquad(data: Path) -> tuple[list[Case], list[Case]]:
    """The questions of the articles 0 to 23, and those of 24 to 47."""
    qrels = dict(line.split("\t")[:2] for line in (data / "qrels/test.tsv").read_text().splitlines()[1:])
    parts: tuple[list[Case], list[Case]] = ([], [])
    for line in (data / "queries.jsonl").read_text(encoding="utf-8").splitlines():
        row: dict[str, Any] = json.loads(line)
        paragraph = qrels[row["_id"]]
        case = Case(
            id=f"x-{row['_id']}",
            question=row["text"],
            answers=tuple(row["metadata"]["answers"]),
            evidence=(Evidence(document=f"xquad.jsonl#{paragraph}"),),
            segment="xquad-en",
        )
        parts[int(paragraph.split("-")[0]) >= FIRST_TEST_ARTICLE].append(case)
    return parts


def covid(data: Path, documents: Path) -> tuple[list[Case], list[Case]]:
    """The questions of one half of the articles, and those of the other; the articles are written to `documents`."""
    cases = read_squad(data / "covidQA.json", documents).cases
    articles = sorted({case.cluster for case in cases})
    reported = set(random.Random(SEED).sample(articles, len(articles) // 2))
    parts: tuple[list[Case], list[Case]] = ([], [])
    for case in cases:
        if case.answerable:
            parts[case.cluster in reported].append(
                case.model_copy(update={"segment": "covid-qa", "id": f"c-{case.id}"})
            )
    return parts


def prepare(data: Path, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "xquad.jsonl").write_bytes((data / "xquad-en/corpus.jsonl").read_bytes())
    sets = [xquad(data / "xquad-en"), covid(data / "covid-qa", folder / "covid.jsonl")]
    data_sets: list[dict[str, str]] = []
    for block in range(BLOCKS):
        for name, part, count in (("fit", 0, TO_FIT), ("report", 1, TO_REPORT)):
            chosen: list[Case] = []
            for parts in sets:
                drawn = random.Random(SEED).sample(parts[part], count)
                chosen += sorted(drawn[block::BLOCKS], key=lambda case: case.cluster)
            path = folder / f"{name}-{block}.jsonl"
            path.write_text("".join(f"{row(case)}\n" for case in chosen), encoding="utf-8")
            data_sets.append({"path": path.name, "part": "tuning" if name == "fit" else "test"})
    suite = {"name": "cascade", "corpus": ["xquad.jsonl", "covid.jsonl"], "data": data_sets}
    (folder / "suite.yaml").write_text(yaml.safe_dump(suite, sort_keys=False), encoding="utf-8")


def row(case: Case) -> str:
    return json.dumps(case.model_dump(mode="json", exclude_defaults=True), ensure_ascii=False)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("action", choices=("prepare",))
    parser.add_argument("data", type=Path)
    parser.add_argument("folder", type=Path)
    args = parser.parse_args(arguments)
    prepare(args.data, args.folder)


if __name__ == "__main__":
    main()
