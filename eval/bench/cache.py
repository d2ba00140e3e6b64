"""Answers that are given again: a hit beside the answer made anew."""

from __future__ import annotations

import shutil
import time
from pathlib import Path
from typing import Any

import numpy as np

from eval.bench.corpus import chunk_rows, rows_of
from eval.bench.spec import WORK, Bench, Case, Clock, Contender, Measure, Values

ABOUT = """\
Milliseconds of a whole `Ragkit.ask` over 240 chunks with the extractive generator: made anew, from the cache by the
same words, and from the cache by another wording ("Can you tell me ..."). Each hit searches the documents again, to
see that the answer still holds. None of the frameworks that are compared here has a cache of answers that knows its
documents, so there is nobody beside it but the answer made anew; with a language model an answer takes seconds."""
_WRAPPED = "Can you tell me {}"


def _questions(count: int) -> list[str]:
    """The first sentence of each chunk as something that is asked about it."""
    texts = [row["text"] for row in rows_of(chunk_rows(240))]
    return [f"what is said of {' '.join(text.split()[3:11])}?" for text in texts[:count]]


def _system(folder: Path, mode: str) -> Any:
    from ragkit import Config, Ragkit

    chunking = {"strategy": "recursive", "chunk_size": 200, "overlap": 0}
    settings = {
        "ingestion": {"chunking": chunking, "store": {"path": str(folder / "index")}},
        "cache": {"mode": mode, "path": str(folder / "cache.sqlite")},
    }
    return Ragkit(Config.model_validate(settings, strict=False))


def _prepare(case: Case) -> None:
    del case
    chunk_rows(240)


def _measured(kind: str):
    def work(case: Case, clock: Clock) -> Values:
        folder = WORK / "cache" / kind
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        questions = _questions(case.settings["questions"])
        with _system(folder, "off" if kind == "anew" else "semantic") as rag:
            with clock("load_s"):
                rag.index([chunk_rows(240)])
                rag.ask("what loads the models before the clock starts?")
            if kind != "anew":
                for question in questions:
                    rag.ask(question)
            asked = [_WRAPPED.format(question) for question in questions] if kind == "semantic" else questions
            milliseconds: list[float] = []
            hits = 0
            for question in asked:
                began = time.perf_counter()
                answer = rag.ask(question)
                taken = (time.perf_counter() - began) * 1e3
                if kind == "anew" or answer.cache == kind:
                    milliseconds.append(taken)
                    hits += kind != "anew"
        p50, p95, p99 = np.percentile(milliseconds, [50, 95, 99])
        return {"p50": float(p50), "p95": float(p95), "p99": float(p99), "hits": hits, "asked": len(asked)}

    return work


CACHE = Bench(
    "cache",
    "Cache hits",
    ABOUT,
    (
        Measure("p50", "p50, ms"),
        Measure("p95", "p95, ms"),
        Measure("p99", "p99, ms", None),
        Measure("hits", "hits", None),
        Measure("asked", "asked", None),
    ),
    {
        "ragkit": Contender("answer made anew", _measured("anew"), "`cache.mode: off`"),
        "exact": Contender("hit, same words", _measured("exact"), "`cache.mode: semantic`", own=True),
        "semantic": Contender("hit, other words", _measured("semantic"), "`cache.mode: semantic`", own=True),
    },
    lambda quick: [Case("240 chunks", {"questions": 40 if quick else 200})],
    _prepare,
    minutes=12,
    plot=("p50",),
)
