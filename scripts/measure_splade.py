"""What SPLADE costs an index: time and size, with it and without, over the same documents.

    python scripts/measure_splade.py DIR [--sample N] [--splade MODEL ...]

DIR is a BEIR folder; its first N documents are indexed anew for each row, in a temporary folder. CPU seconds are those
of this process by stage; they depend less than time on what else the machine does. Bytes are what the generation takes
on the disk, tokens those of a chunk that have a weight.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Generator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from statistics import fmean

from ragkit.config.load import load_config
from ragkit.config.schema import Config
from ragkit.embed import make_embedder
from ragkit.embed.splade import make_splade
from ragkit.ingest import index
from ragkit.ingest.index import build_index
from ragkit.ingest.report import Stopwatch
from ragkit.store.folder import current_generation
from ragkit.store.open import open_snapshot

CONFIG = Path(__file__).parent.parent / "configs" / "quickstart.yaml"


class CpuStopwatch(Stopwatch):
    """CPU seconds by stage."""

    @contextmanager
    def measure(self, stage: str) -> Generator[None]:
        began = time.process_time()
        try:
            yield
        finally:
            self.seconds[stage] = self.seconds.get(stage, 0.0) + time.process_time() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", type=Path)
    parser.add_argument("--sample", type=int, default=200)
    parser.add_argument("--splade", nargs="+", default=["splade-tiny"], metavar="MODEL")
    given = parser.parse_args()
    index.Stopwatch = CpuStopwatch
    print("| sparse | chunks | embed, ms a chunk | SPLADE, ms a chunk | store, ms a chunk | bytes a chunk | tokens |")
    print("|---|---|---|---|---|---|---|")
    for model in (None, *given.splade):
        with tempfile.TemporaryDirectory() as folder:
            corpus = Path(folder) / "corpus.jsonl"
            with (given.dataset / "corpus.jsonl").open(encoding="utf-8") as lines:
                corpus.write_text("".join(islice(lines, given.sample)), encoding="utf-8")
            keys = [f"ingestion.store.path={folder}/index"]
            if model is not None:
                keys += ["retrieval.sparse=both", f"retrieval.splade_model={model}"]
            print(_row(model, load_config(CONFIG, keys).config, corpus), flush=True)


def _row(model: str | None, config: Config, corpus: Path) -> str:
    embedder, splade = make_embedder(config.ingestion.embedding), make_splade(config)
    embedder.embed_question("loads the model")
    if splade is not None:
        splade.embed_question("loads the model")
    report = build_index(config, [corpus], embedder=embedder)
    generation = current_generation(config.ingestion.store.path)
    assert generation is not None
    size = sum(path.stat().st_blocks * 512 for path in generation.rglob("*") if path.is_file())
    snapshot = open_snapshot(config)
    tokens = [
        row.size / 2 for entry in snapshot.manifest.entries() for row in snapshot.store.splade_of(entry.id).values()
    ]
    snapshot.close()
    each = [1e3 * report.seconds.get(stage, 0.0) / report.chunks for stage in ("embed", "splade", "store")]
    name = "bm25" if model is None else f"both, {Path(model).name}"
    cells = " | ".join(f"{ms:.1f}" for ms in each)
    return f"| {name} | {report.chunks} | {cells} | {size / report.chunks:,.0f} | {fmean(tokens or [0]):.0f} |"


if __name__ == "__main__":
    main()
