"""Measure what `ingestion.engine: ray` adds to indexing: the same documents, by this machine and through Ray on it.

    python scripts/measure_ray.py FOLDER [DOCUMENTS] [PAIRS]      defaults: 40 documents, 3 pairs

Whole runs of `ragkit index` into fresh folders, in turns, as processes of their own: the start of Ray, its workers and
their models is in them, and stands apart as the time of a run over one document. Of DOCUMENTS the folder's files are
taken evenly. Quote the ratios: machines differ, and on one machine Ray has no other to share the work with.
"""

from __future__ import annotations

import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ENGINES = ("local", "ray")


def seconds_of(engine: str, docs: Path, folder: Path) -> tuple[float, int]:
    """Of one run, and how many chunks it embedded."""
    shutil.rmtree(folder, ignore_errors=True)
    sets = (f"ingestion.engine={engine}", f"ingestion.store.path={folder}", "ingestion.embedding.device=cpu")
    command = [sys.executable, "-m", "ragkit.cli.main", "index", str(docs), "--json"]
    began = time.perf_counter()
    done = subprocess.run(
        [*command, *(part for each in sets for part in ("--set", each))], check=True, stdout=subprocess.PIPE
    )
    return time.perf_counter() - began, json.loads(done.stdout)["embedded"]


def main(corpus: Path, documents: int, pairs: int) -> None:
    files = sorted(path for path in corpus.iterdir() if path.is_file() and path.suffix != ".jsonl")
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        for name, chosen in (("one", files[:1]), ("some", files[:: max(1, len(files) // documents)][:documents])):
            (folder / name).mkdir()
            for path in chosen:
                shutil.copy(path, folder / name)
        starts: dict[str, list[float]] = {engine: [] for engine in ENGINES}
        whole: dict[str, list[float]] = {engine: [] for engine in ENGINES}
        for pair in range(pairs):
            for engine in ENGINES if pair % 2 else reversed(ENGINES):
                starts[engine].append(seconds_of(engine, folder / "one", folder / "index")[0])
                seconds, chunks = seconds_of(engine, folder / "some", folder / "index")
                whole[engine].append(seconds)
                print(
                    f"{engine:<6} one document {starts[engine][-1]:.1f} s, {chunks} chunks {seconds:.1f} s", flush=True
                )

    def ratio(name: str, over: list[float], under: list[float]) -> None:
        each = [a / b for a, b in zip(over, under, strict=True)]
        print(f"{name}: {statistics.median(each):.2f} (from {min(each):.2f} to {max(each):.2f} of {len(each)} pairs)")

    extra = [a - b for a, b in zip(starts["ray"], starts["local"], strict=True)]
    print(f"start of Ray: {statistics.median(extra):.1f} s (from {min(extra):.1f} to {max(extra):.1f})")
    ratio("whole runs, Ray over plain", whole["ray"], whole["local"])
    rest = {engine: [a - b for a, b in zip(whole[engine], starts[engine], strict=True)] for engine in ENGINES}
    ratio("what more documents cost, Ray over plain", rest["ray"], rest["local"])


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    numbers = [int(given) for given in sys.argv[2:]]
    main(Path(sys.argv[1]), *[*numbers, *(40, 3)[len(numbers) :]])
