"""Measure what `ingestion.engine: ray` adds to indexing: the same documents, by this machine and through Ray on it.

    python scripts/measure_ray.py FOLDER [DOCUMENTS] [PAIRS]      defaults: 40 documents, 3 pairs

Whole runs of `ragkit index` into fresh folders, in turns, as processes of their own: the start of Ray, its workers and
their models is in them, and stands apart as what a run over one document takes longer. DOCUMENTS are taken evenly of
the folder's files. Quote ratios: machines differ, and on one Ray has no other to share the work with. Where others use
the machine too, those of processor time (Linux) say what Ray adds; those of the clock favour who has more processes.
"""

from __future__ import annotations

import ctypes
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

ENGINES = ("local", "ray")


_BECOME_SUBREAPER = 36  # of Linux's prctl


@dataclass(frozen=True, slots=True)
class Run:
    """Seconds of the clock, seconds of processors over all processes of the run, and how many chunks it embedded."""

    wall: float
    cpu: float
    chunks: int


def run(engine: str, docs: Path, folder: Path) -> Run:
    shutil.rmtree(folder, ignore_errors=True)
    sets = (f"ingestion.engine={engine}", f"ingestion.store.path={folder}", "ingestion.embedding.device=cpu")
    command = [sys.executable, "-m", "ragkit.cli.main", "index", str(docs), "--json"]
    cpu: dict[int, float] = {}
    began = time.perf_counter()
    with subprocess.Popen(
        [*command, *(part for each in sets for part in ("--set", each))], stdout=subprocess.PIPE, text=True
    ) as process:
        while process.poll() is None:
            cpu |= cpu_of_descendants()
            time.sleep(0.2)
        wall = time.perf_counter() - began
        assert process.stdout is not None
        said = process.stdout.read()
    # Ray's processes outlive the run by a moment.
    while left := cpu_of_descendants():
        cpu |= left
        with suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        time.sleep(0.1)
    return Run(wall, sum(cpu.values()), json.loads(said)["embedded"])


def cpu_of_descendants() -> dict[int, float]:
    """Seconds of processors of each process under this one, by its id, until now."""
    parents: dict[int, int] = {}
    seconds: dict[int, float] = {}
    for entry in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            fields = (entry / "stat").read_text(encoding="utf-8", errors="replace").rsplit(")", 1)[1].split()
            parents[int(entry.name)] = int(fields[1])
            seconds[int(entry.name)] = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    found: dict[int, float] = {}
    for pid in seconds:
        above = pid
        while above in parents and above != os.getpid():
            above = parents[above]
        if above == os.getpid() and pid != above:
            found[pid] = seconds[pid]
    return found


def main(corpus: Path, documents: int, pairs: int) -> None:
    files = sorted(path for path in corpus.iterdir() if path.is_file() and path.suffix != ".jsonl")
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        for name, chosen in (("one", files[:1]), ("some", files[:: max(1, len(files) // documents)][:documents])):
            (folder / name).mkdir()
            for path in chosen:
                shutil.copy(path, folder / name)
        one: dict[str, list[Run]] = {engine: [] for engine in ENGINES}
        some: dict[str, list[Run]] = {engine: [] for engine in ENGINES}
        for pair in range(pairs):
            for engine in ENGINES if pair % 2 else reversed(ENGINES):
                one[engine].append(run(engine, folder / "one", folder / "index"))
                some[engine].append(run(engine, folder / "some", folder / "index"))
                for what, last in (("one document", one[engine][-1]), ("all", some[engine][-1])):
                    print(f"{engine:<6}{what}: {last.chunks} chunks, {last.wall:.1f} s, {last.cpu:.1f} s of processors")
    told("start of Ray, s", [a.wall - b.wall for a, b in zip(one["ray"], one["local"], strict=True)])
    told("start of Ray, s of processors", [a.cpu - b.cpu for a, b in zip(one["ray"], one["local"], strict=True)])
    for name, field in (("", "wall"), (", processors", "cpu")):
        whole = {engine: [getattr(each, field) for each in some[engine]] for engine in ENGINES}
        begun = {engine: [getattr(each, field) for each in one[engine]] for engine in ENGINES}
        rest = {engine: [a - b for a, b in zip(whole[engine], begun[engine], strict=True)] for engine in ENGINES}
        told(f"Ray over plain, whole runs{name}", quotients(whole))
        told(f"Ray over plain, without what one document costs{name}", quotients(rest))


def quotients(values: dict[str, list[float]]) -> list[float]:
    return [ray / plain for ray, plain in zip(values["ray"], values["local"], strict=True)]


def told(name: str, values: list[float]) -> None:
    print(
        f"{name}: {statistics.median(values):.2f} (from {min(values):.2f} to {max(values):.2f} of {len(values)} pairs)"
    )


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    ctypes.CDLL(None).prctl(_BECOME_SUBREAPER, 1)
    numbers = [int(given) for given in sys.argv[2:]]
    main(Path(sys.argv[1]), *[*numbers, *(40, 3)[len(numbers) :]])
