"""Flame graphs of ragkit's paths: `bash scripts/bench.sh profile [NAME ...]`, into docs/benchmarks/profiles.

Each is a quick run of ragkit's contender under py-spy, with its imports, a hundred samples a second.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from pathlib import Path

from eval.bench.process import environment
from eval.bench.results import FOLDER, commit
from eval.bench.spec import ROOT
from eval.bench.suite import SUITE

PATHS = {
    "index": ("index", "100 chunks"),
    "query": ("query", "4,000 chunks"),
    "chunk": ("chunk", "PEPs"),
    "parse": ("parse", "filings"),
    "rerank": ("rerank", "10 candidates"),
    "ask": ("cache", "240 chunks"),
    "evaluation": ("evaluation", "500 questions"),
}
"""Names to benchmarks and cases of quick runs."""


def main() -> None:
    names = sys.argv[1:] or list(PATHS)
    folder = FOLDER / "profiles"
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        bench, case = PATHS[name]
        _prepare(bench, case)
        out = folder / f"{name}.svg"
        with tempfile.TemporaryDirectory() as scratch:
            worker = [bench, case, "ragkit", "work", "quick", str(Path(scratch) / "out.json")]
            record = [str(Path(sys.executable).parent / "py-spy"), "record", "--rate", "100", "--subprocesses"]
            record += ["--format", "flamegraph", "--output", str(out), "--", sys.executable, "-m", "eval.bench.worker"]
            done = subprocess.run([*record, *worker], cwd=ROOT, env=environment(), capture_output=True, text=True)
        if done.returncode or not out.exists():
            sys.exit(f"{name}: py-spy ended with {done.returncode}: {done.stderr.strip()[-500:]}")
        # The graph is to name no folder of this machine.
        text = re.sub(r"process \d+:&quot;.*?&quot;", "process", out.read_text(encoding="utf-8"))
        text = text.replace(f"{ROOT}/", "").replace(sys.prefix, "")
        out.write_text(text, encoding="utf-8")
        print(f"{name}: {out.relative_to(ROOT)} ({out.stat().st_size / 1e3:.0f} kB), commit {commit()}")


def _prepare(name: str, case_name: str) -> None:
    """What the contender reads, made outside the graph."""
    bench = SUITE[name]
    case = next(case for case in bench.cases(True) if case.name == case_name)
    if bench.prepare is not None:
        bench.prepare(case)
    if bench.contenders["ragkit"].prepare is not None:
        with tempfile.TemporaryDirectory() as scratch:
            arguments = [name, case_name, "ragkit", "prepare", "quick", str(Path(scratch) / "out.json")]
            subprocess.run([sys.executable, "-m", "eval.bench.worker", *arguments], env=environment(), check=True)


if __name__ == "__main__":
    main()
