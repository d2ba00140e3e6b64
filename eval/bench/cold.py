"""Cold start: whole processes, from the start to the end, with the files in the system's cache."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from eval.bench import index as indexing
from eval.bench.corpus import chunk_rows
from eval.bench.spec import ROOT, WORK, Bench, Case, Clock, Contender, Measure, Values

QUESTION = "How many points did the Panthers defense surrender?"
CHUNKS = 240
ABOUT = f"""\
Seconds of whole processes that were run once before, so that the files are in the system's cache; each value is the
median of three. The searches read an index of {CHUNKS} chunks that was made before (as under Indexing), load what
they need, ask one question and print the best chunk. Memory is that of the process or of the one that started it,
36 MB, if that is more. `ragkit ask` gives an answer with citations, extractive, without a language model."""


def seconds_of(command: Sequence[str], times: int = 3) -> float:
    """The median of whole processes, after one that is not counted."""
    taken: list[float] = []
    for number in range(times + 1):
        began = time.perf_counter()
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(f"{' '.join(command)}: {done.stderr.strip()[-300:]}")
        if number:
            taken.append(time.perf_counter() - began)
    return sorted(taken)[len(taken) // 2]


def python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


def ragkit(*arguments: str) -> list[str]:
    return [str(Path(sys.executable).parent / "ragkit"), *arguments]


def searching(name: str) -> list[str]:
    return [sys.executable, "-m", "eval.bench.first_search", name, str(_folder(name)), QUESTION]


def _folder(name: str) -> Path:
    return WORK / "cold" / name


def _settings() -> list[str]:
    """The key that says where the index is; the others are of the index."""
    return ["-c", str(_folder("ragkit") / "ragkit.yaml")]


def _prepare(name: str):
    def prepare(case: Case, clock: Clock) -> Values:
        folder = _folder(name)
        if case.name == "first search":
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
            indexing.BUILDERS[name](chunk_rows(CHUNKS), folder, clock, None)
            if name == "ragkit":
                chunking = "{strategy: recursive, chunk_size: 200, overlap: 0, contextual_header: false}"
                text = f"ingestion:\n  chunking: {chunking}\n  store:\n    path: {folder / 'index'}\n"
                (folder / "ragkit.yaml").write_text(text, encoding="utf-8")
        return {}

    return prepare


def _work(commands: dict[str, list[str]]):
    def work(case: Case, clock: Clock) -> Values:
        command = commands[case.name]
        if command[:1] == ["ragkit"]:
            command = ragkit(*command[1:], *(_settings() if command[1:2] != ["--help"] else []))
        return {"seconds": seconds_of(command)}

    return work


CONTENDERS = {
    "ragkit": Contender(
        "ragkit",
        _work(
            {
                "import": python("import ragkit"),
                "--help": ["ragkit", "--help"],
                "first search": ["ragkit", "search", QUESTION],
                "first search by words": ["ragkit", "search", QUESTION, "--set", "retrieval.strategy=sparse"],
                "first answer": ["ragkit", "ask", QUESTION],
            }
        ),
        "`import ragkit`, `ragkit search`, `ragkit ask`",
        _prepare("ragkit"),
    ),
    "python": Contender(
        "bare Python", _work({"import": python("pass"), "--help": python("pass")}), "`python -c pass`", floor=True
    ),
    "llamaindex": Contender(
        "LlamaIndex",
        _work({"import": python("import llama_index.core"), "first search": searching("llamaindex")}),
        "`import llama_index.core`; `load_index_from_storage` and `BM25Retriever.from_persist_dir`, hybrid",
        _prepare("llamaindex"),
    ),
    "haystack": Contender(
        "Haystack",
        _work({"import": python("import haystack"), "first search": searching("haystack")}),
        "`import haystack`; `InMemoryDocumentStore.load_from_disk`, hybrid",
        _prepare("haystack"),
    ),
    "txtai": Contender(
        "txtai",
        _work({"import": python("import txtai"), "first search": searching("txtai")}),
        "`import txtai`; `Embeddings.load`, hybrid",
        _prepare("txtai"),
    ),
}


def _rows(case: Case) -> None:
    del case
    chunk_rows(CHUNKS)


def _cases(quick: bool) -> list[Case]:
    del quick
    everybody = ("ragkit", "llamaindex", "haystack", "txtai")
    return [
        Case("import", contenders=("python", *everybody)),
        Case("--help", contenders=("python", "ragkit")),
        Case("first search", contenders=everybody),
        Case("first search by words", contenders=("ragkit",)),
        Case("first answer", contenders=("ragkit",)),
    ]


COLD = Bench(
    "cold",
    "Cold start",
    ABOUT,
    (Measure("seconds", "seconds"), Measure("children_peak_mb", "peak memory, MB")),
    CONTENDERS,
    _cases,
    _rows,
    minutes=20,
    plot=("seconds",),
)
