"""Extractive, small and large model in a cascade: is it cheaper than the large model alone, and as often right?

    python scripts/measure_cascade.py prepare DATA FOLDER     questions, corpus and suite, from XQuAD-en and COVID-QA
    python scripts/measure_cascade.py record FOLDER [--blocks 5]      ask all three, for hours; goes on after a kill
    python scripts/measure_cascade.py keep FOLDER             what was recorded, into eval/cascade/answers.jsonl
    python scripts/measure_cascade.py report [--most-lost 1]  fit on one part of it, report on the other

DATA holds `xquad-en` (BEIR layout with `answers` in the queries' metadata) and `covid-qa/covidQA.json`. What the
cascade is fitted to and what is reported are of different articles: of XQuAD-en the articles 0 to 23 and 24 to 47, of
COVID-QA one half of the articles and the other. The questions stand in blocks, each a random part of all. `report`
needs neither data nor language models; it is `ragkit router fit` over answers that are kept.
"""

from __future__ import annotations

import argparse
import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import yaml
from rich.console import Console

from ragkit.cli.progress import question_progress
from ragkit.cli.router import compared_table, steps_table
from ragkit.config import config_hash, load_config
from ragkit.embed import make_embedder
from ragkit.evaluate.cases import Case, Evidence
from ragkit.evaluate.record import Record
from ragkit.evaluate.runs import Runs
from ragkit.evaluate.squad import read_squad
from ragkit.evaluate.suite import LoadedSuite, load_suite
from ragkit.gateway.router_fit import fit
from ragkit.gateway.router_log import Logged, alone, logged, record
from ragkit.gateway.router_report import rivals

CONFIG = Path(__file__).parent.parent / "eval" / "cascade" / "config.yaml"
ANSWERS = CONFIG.with_name("answers.jsonl")
FIRST_TEST_ARTICLE = 24
BLOCKS = 5
"""The questions stand in so many blocks, each a random part of all: a recording that is cut off is of a sample."""
TO_FIT, TO_REPORT = 100, 300
PARTS = ("fit", "report")
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


def suite_of(folder: Path) -> LoadedSuite:
    return load_suite(folder / "suite.yaml", folder)


def record_blocks(folder: Path, blocks: int) -> None:
    """Ask each endpoint one block after the other: what is cut off has whole blocks of all three behind it."""
    config = load_config(CONFIG).config
    with Runs(folder / "runs.sqlite", create=True) as runs:
        for block in range(blocks):
            loaded = suite_of(folder)
            names = {f"{name}-{block}" for name in PARTS}
            cases = tuple(case for case in loaded.cases if case.id.partition("/")[0] in names)
            record(replace(loaded, cases=cases), config, runs, asked=lambda _: question_progress())


def keep(folder: Path) -> None:
    """Write what was recorded of whole blocks, a line a question."""
    config = load_config(CONFIG).config
    loaded = suite_of(folder)
    by_endpoint: list[dict[str, Record]] = []
    with Runs(folder / "runs.sqlite") as runs:
        for endpoint in config.routing.endpoints:
            mine = config_hash(alone(config, endpoint))
            found = [run for run in runs.all() if run.config_hash == mine]
            by_endpoint.append({each.case.id: each for run in found for each in runs.records(run.id)})
    whole = {f"{name}-{block}" for block in range(BLOCKS) if _is_whole(loaded, block, by_endpoint) for name in PARTS}
    asked = [case.id for case in loaded.cases if case.id.partition("/")[0] in whole]
    rows = logged(loaded, config, [[answers[name] for name in asked] for answers in by_endpoint])
    lines = [
        asdict(row)
        | {"part": "fit" if row.id in loaded.tuning else "report", "said": [a[row.id].text for a in by_endpoint]}
        for row in rows
    ]
    ANSWERS.write_text("".join(f"{json.dumps(line, ensure_ascii=False)}\n" for line in lines), encoding="utf-8")
    print(f"{len(lines)} questions in {ANSWERS}")


def _is_whole(loaded: LoadedSuite, block: int, by_endpoint: Sequence[Mapping[str, Record]]) -> bool:
    names = {f"{name}-{block}" for name in PARTS}
    cases = [case.id for case in loaded.cases if case.id.partition("/")[0] in names]
    return all(name in answers for name in cases for answers in by_endpoint)


def report(most_lost: float) -> None:
    if not ANSWERS.exists():
        raise SystemExit(f"there are no answers in {ANSWERS} yet: record and keep them first")
    config = load_config(CONFIG).config
    names = [endpoint.name for endpoint in config.routing.endpoints]
    parts: dict[str, list[Logged]] = {"fit": [], "report": []}
    for line in ANSWERS.read_text(encoding="utf-8").splitlines():
        kept: dict[str, Any] = json.loads(line)
        fields = {key: kept[key] for key in ("id", "question", "cluster", "segment")}
        values = (tuple(kept[key]) for key in ("right", "nano_usd", "signals"))
        parts[kept["part"]].append(Logged(**fields, **dict(zip(("right", "nano_usd", "signals"), values, strict=True))))
    found = fit(parts["fit"], most_lost / 100)
    embedder = make_embedder(config.ingestion.embedding)
    screen = Console(width=140)
    screen.print(steps_table(found, most_lost))
    for segment in ("", *sorted({row.segment for row in parts["report"]})):
        rows = [row for row in parts["report"] if segment in ("", row.segment)]
        screen.print(f"{segment or 'all'}:")
        screen.print(compared_table(rivals(names, embedder, found, parts["fit"], rows), names, len(rows)))


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("action", choices=("prepare", "record", "keep", "report"))
    parser.add_argument("folders", type=Path, nargs="*")
    parser.add_argument("--blocks", type=int, default=BLOCKS)
    parser.add_argument("--most-lost", type=float, default=1.0, help="points of accuracy")
    args = parser.parse_args(arguments)
    wanted = {"prepare": 2, "record": 1, "keep": 1, "report": 0}[args.action]
    if len(args.folders) != wanted:
        parser.error(f"{args.action} takes {wanted} folders")
    if args.action == "prepare":
        prepare(*args.folders)
    elif args.action == "record":
        record_blocks(args.folders[0], args.blocks)
    elif args.action == "keep":
        keep(args.folders[0])
    else:
        report(args.most_lost)


if __name__ == "__main__":
    main()
