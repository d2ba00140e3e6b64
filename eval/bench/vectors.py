"""Where ragkit keeps vectors (`ingestion.store.vectors`): memory, disk, time and recall of each kind."""

from __future__ import annotations

from functools import partial

from eval.bench.process import status_mb
from eval.bench.query import prepare, timed
from eval.bench.query_contenders import build_ragkit, data_of, open_ragkit
from eval.bench.spec import Bench, Case, Clock, Contender, Measure, Values

ABOUT = """\
The same made corpora and questions as under Searching, in the kinds of `ingestion.store.vectors`. `own memory` is what
the process had to have after opening the index and all searches, beyond what it had before; `mapped` are pages of
the index's files that it has touched by then, which the system takes back when others need the room. All kinds keep
the whole vectors on disk: the quantised ones compare twice (scalar) or four times (binary) as many chunks as are asked
for by them, and no fewer than 400 or 800, which touches many pages."""


def _resident_mb() -> tuple[float, float]:
    """Of this process: its own memory, and pages of files."""
    return status_mb("self", "RssAnon"), status_mb("self", "RssFile")


def _work(case: Case, clock: Clock, kept: str) -> Values:
    data = data_of(case)
    before = _resident_mb()
    with clock("open_s"):
        searches = open_ragkit(case, kept)
    values = timed({kind: searches[kind] for kind in ("dense", "hybrid")}, data, case.settings["budget_s"])
    own, mapped = (now - was for now, was in zip(_resident_mb(), before, strict=True))
    return {**values, "own_mb": own, "mapped_mb": mapped}


def _contender(label: str, kept: str, setting: str) -> Contender:
    return Contender(label, partial(_work, kept=kept), setting, partial(build_ragkit, kept=kept), own=True)


CONTENDERS = {
    "ragkit": _contender("memory", "memory", "the default: 32 bits a number, read into memory as far as it fits"),
    "disk": _contender("disk", "disk", "32 bits, read when a search comes to them"),
    "scalar": _contender("scalar", "scalar", "8 bits in memory, 32 on disk"),
    "binary": _contender("binary", "binary", "1 bit in memory, 32 on disk"),
}
MEASURES = (
    Measure("dense_p50", "dense p50, ms"),
    Measure("dense_p95", "dense p95, ms"),
    Measure("dense_recall", "recall@10", None),
    Measure("hybrid_p50", "hybrid p50, ms"),
    Measure("own_mb", "own memory, MB"),
    Measure("mapped_mb", "mapped, MB"),
    Measure("disk_mb", "on disk, MB"),
    Measure("build_s", "build, s"),
)


def _cases(quick: bool) -> list[Case]:
    count = 20_000 if quick else 100_000
    return [Case(f"{count:,} chunks", {"chunks": count, "questions": 200, "budget_s": 20})]


def _long(quick: bool) -> list[Case]:
    count = 40_000 if quick else 1_000_000
    return [Case(f"{count:,} chunks", {"chunks": count, "questions": 200, "budget_s": 60})]


VECTORS = Bench(
    "vectors",
    "Keeping vectors",
    ABOUT,
    MEASURES,
    CONTENDERS,
    _cases,
    prepare,
    minutes=15,
    limit_s=1_800,
    plot=("mapped_mb",),
)
VECTORS_LONG = Bench(
    "vectors-1000000",
    "Keeping a million vectors",
    ABOUT,
    MEASURES,
    CONTENDERS,
    _long,
    prepare,
    rounds=3,
    quick_rounds=1,
    minutes=120,
    limit_s=7_200,
    plot=("mapped_mb",),
)
