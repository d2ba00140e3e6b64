"""Parsing: what the processes, the limits and the layout of ragkit cost beside bare kreuzberg."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

from eval.bench.corpus import filings, has_data, peps
from eval.bench.spec import Bench, Case, Clock, Contender, Measure, Values

ABOUT = """\
Files to text, all of them in one call. ragkit parses in worker processes with a time limit for each file, finds
headings and ruled tables in PDFs (`ingestion.parsing.pdf_layout`), and reads text files itself, for which it needs
no parser; kreuzberg gives the text alone. `characters` says that both read the same. Starting the workers is
included, importing is not."""


def _paths(case: Case) -> list[Path]:
    return filings() if case.name == "filings" else peps(case.settings["every"])


def _ragkit(layout: bool):
    def work(case: Case, clock: Clock) -> Values:
        with clock("load_s"):
            from ragkit import Config
            from ragkit.ingest.discover import Source
            from ragkit.ingest.parse import Parsed
            from ragkit.ingest.workers import parse_sources

            import_module("kreuzberg")
        paths = _paths(case)
        config = Config.model_validate({"ingestion": {"parsing": {"pdf_layout": layout}}})
        with clock("seconds"):
            sources = [Source(path.name, str(path.parent), path, "") for path in paths]
            parsed = [outcome for _, outcome in parse_sources(sources, config.ingestion.parsing)]
        read = [each for each in parsed if isinstance(each, Parsed)]
        return _values(paths, clock, [each.text for each in read])

    return work


def one_by_one(case: Case, clock: Clock) -> Values:
    with clock("load_s"):
        kreuzberg: Any = import_module("kreuzberg")
    paths, settings = _paths(case), kreuzberg.ExtractionConfig(use_cache=False)
    with clock("seconds"):
        read = [kreuzberg.extract_file_sync(str(path), config=settings).content for path in paths]
    return _values(paths, clock, read)


def together(case: Case, clock: Clock) -> Values:
    with clock("load_s"):
        kreuzberg: Any = import_module("kreuzberg")
    paths, settings = _paths(case), kreuzberg.ExtractionConfig(use_cache=False)
    with clock("seconds"):
        found = kreuzberg.batch_extract_files_sync([str(path) for path in paths], config=settings)
        read = [each.content for each in found]
    return _values(paths, clock, read)


def _values(paths: list[Path], clock: Clock, texts: list[str]) -> Values:
    size = sum(path.stat().st_size for path in paths) / 1e6
    return {
        "mb_s": size / clock.seconds["seconds"],
        "files": len(texts),
        "characters": sum(len("".join(text.split())) for text in texts),
    }


CONTENDERS = {
    "ragkit": Contender("ragkit", _ragkit(layout=True), "`parse_sources` with its defaults"),
    "ragkit-plain": Contender("ragkit without layout", _ragkit(layout=False), "`parsing.pdf_layout: false`", own=True),
    "kreuzberg": Contender("kreuzberg, one by one", one_by_one, "`extract_file_sync`, without its cache", floor=True),
    "kreuzberg-batch": Contender(
        "kreuzberg, batch", together, "`batch_extract_files_sync`, without its cache", floor=True
    ),
}


def _cases(quick: bool) -> list[Case]:
    cases = [Case("PEPs", {"every": 10 if quick else 1})]
    return [Case("filings"), *cases] if has_data() else cases


PARSE = Bench(
    "parse",
    "Parsing",
    ABOUT,
    (
        Measure("seconds", "seconds"),
        Measure("mb_s", "MB/s of files", None),
        Measure("peak_mb", "peak memory, MB"),
        Measure("children_peak_mb", "largest worker, MB", None),
        Measure("files", "files", None),
        Measure("characters", "characters", None),
    ),
    CONTENDERS,
    _cases,
    minutes=10,
    plot=("seconds",),
)
