"""Measure what the core promises about speed; each figure is set against a floor measured in the same run.

    python scripts/measure_core.py startup
    python scripts/measure_core.py overhead CORPUS.jsonl     indexing against the bare model on the same chunks
    python scripts/measure_core.py embed DATASET             ONNX Runtime against torch, one question at a time and 50
    python scripts/measure_core.py query [CHUNKS]            our share of a hybrid query, outside the embedding model
    python scripts/measure_core.py memory [DOCUMENTS [TIMES [SENTENCES]]]    peak memory of indexing these, and more
    python scripts/measure_core.py plan [CHUNKS ...]         what `ragkit plan` foretells for these, and what there is
    python scripts/measure_core.py reindex FOLDER            index, index again unchanged, index after editing 7 files

Wall-clock seconds; medians of alternating runs where a command is short. Quote ratios: machines differ.
"""

from __future__ import annotations

import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ragkit.capacity.plan import line_at, power_at
from ragkit.capacity.trial import SIZES, points
from ragkit.config.schema import Config, Embedding
from ragkit.embed import make_embedder, make_token_counter
from ragkit.embed.models import found_model
from ragkit.embed.onnx_encoder import OnnxEncoder
from ragkit.embed.torch_encoder import TorchEncoder
from ragkit.ingest.index import build_index
from ragkit.models.onnx_export import exported
from ragkit.retrieve.retriever import retrieve
from ragkit.store.open import open_snapshot
from ragkit.store.qdrant_edge import EdgeStore
from ragkit.types import Chunk

CONFIG = Path(__file__).parent.parent / "configs" / "quickstart.yaml"


def quickstart(index: Path) -> Config:
    return Config.model_validate(
        {"ingestion": {"chunking": {"chunk_size": 200, "overlap": 30}, "store": {"path": str(index)}}}
    )


def seconds_of(command: list[str]) -> float:
    began = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return time.perf_counter() - began


def startup() -> None:
    """Whole processes, in turn: bare Python, `import ragkit`, `--help`, and a question to an index of eval/samples."""
    ragkit = str(Path(sys.executable).parent / "ragkit")
    with tempfile.TemporaryDirectory() as folder:
        index = ["-c", str(CONFIG), "--set", f"ingestion.store.path={folder}/index"]
        subprocess.run([ragkit, "index", *index, "--json"], check=True, stdout=subprocess.DEVNULL)
        commands = {
            "python -c pass": [sys.executable, "-c", "pass"],
            "import ragkit": [sys.executable, "-c", "import ragkit"],
            "ragkit --help": [ragkit, "--help"],
            "ragkit search": [ragkit, "search", "How long does the battery last?", *index],
            "ragkit ask": [ragkit, "ask", "How long does the battery last?", *index],
        }
        seconds: dict[str, list[float]] = {name: [] for name in commands}
        for _ in range(11):
            for name, command in commands.items():
                seconds[name].append(seconds_of(command))
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    for name, median in medians.items():
        print(f"{name:<16} {median:.3f} s (from {min(seconds[name]):.3f} to {max(seconds[name]):.3f})")
    print(f"import ragkit over bare Python: {medians['import ragkit'] - medians['python -c pass']:.3f} s")


def overhead(corpus: Path) -> None:
    """One process, seven pairs: `build_index` into a fresh folder and the model alone on its chunks, in turns first."""
    with tempfile.TemporaryDirectory() as folder:
        config = quickstart(Path(folder) / "index")
        embedder = make_embedder(config.ingestion.embedding)
        embedder.embed_passages(["load the model before the clock starts"])
        build_index(config, [corpus], embedder=embedder)
        snapshot = open_snapshot(config)
        store = snapshot.store
        assert isinstance(store, EdgeStore)
        texts = [chunk.indexed_text for chunk in store.iter_chunks()]
        del store
        snapshot.close()

        def index() -> None:
            build_index(config, [corpus], embedder=embedder)

        def encode() -> None:
            embedder.embed_passages(texts)

        ratios: list[float] = []
        for pair in range(7):
            shutil.rmtree(config.ingestion.store.path, ignore_errors=True)
            seconds: dict[str, float] = {}
            for work in (index, encode) if pair % 2 else (encode, index):
                began = time.perf_counter()
                work()
                seconds[work.__name__] = time.perf_counter() - began
            ratios.append(seconds["index"] / seconds["encode"])
            print(
                f"index {seconds['index']:.2f} s, bare encode of its {len(texts)} chunks {seconds['encode']:.2f} s, "
                f"ratio {ratios[-1]:.3f}"
            )
    print(f"median ratio {statistics.median(ratios):.3f} (from {min(ratios):.3f} to {max(ratios):.3f})")


def embed(data: Path) -> None:
    """Passages, questions one by one, and questions of 50 threads, by both ways of running the model, in turns.

    `data` is in BEIR layout. Core-seconds beside wall seconds: on a busy machine they differ less from run to run.
    """

    def texts(name: str, most: int) -> list[str]:
        lines = (data / name).read_text("utf-8").splitlines()[:most]
        return [str(json.loads(line)["text"]) for line in lines]

    passages, questions = texts("corpus.jsonl", 240), texts("queries.jsonl", 300)
    found = found_model(Embedding().model)
    exported_to = exported(found, "ragkit.embed.onnx_export")
    assert exported_to is not None
    window = make_token_counter(Embedding()).window
    encoders = {"ONNX": OnnxEncoder(found.folder, exported_to, window), "torch": TorchEncoder(found.folder, window)}
    spent: dict[tuple[str, str], list[tuple[float, float]]] = {}
    for turn in range(5):
        for name, encoder in sorted(encoders.items(), reverse=bool(turn % 2)):

            def one(text: str, encoder: OnnxEncoder | TorchEncoder = encoder) -> None:
                encoder.encode([text])

            one(questions[0])
            for work in ("passages", "questions one by one", "questions of 50 threads"):
                with ThreadPoolExecutor(50) as pool:
                    wall, core = time.perf_counter(), time.process_time()
                    if work == "passages":
                        encoder.encode(passages)
                    elif work == "questions one by one":
                        for text in questions:
                            one(text)
                    else:
                        list(pool.map(one, questions))
                    took = (time.perf_counter() - wall, time.process_time() - core)
                spent.setdefault((work, name), []).append(took)
    for work in ("passages", "questions one by one", "questions of 50 threads"):
        count = len(passages) if work == "passages" else len(questions)
        for name in encoders:
            wall, core = (statistics.median(each) / count * 1e3 for each in zip(*spent[work, name], strict=True))
            print(f"{work:<24} {name:<6} {wall:6.1f} ms of wall, {core:6.1f} ms of a core each")
        ratios = [mine[0] / theirs[0] for mine, theirs in zip(spent[work, "ONNX"], spent[work, "torch"], strict=True)]
        print(f"  ONNX to torch, wall: {statistics.median(ratios):.2f} (from {min(ratios):.2f} to {max(ratios):.2f})")


def query(count: int) -> None:
    """200 questions over chunks of random words with random vectors; the embedder is a table look-up."""
    generator = np.random.default_rng(0)
    words = np.array([f"word{number}" for number in range(20_000)])
    weights = 1 / np.arange(1, len(words) + 1)
    weights /= weights.sum()

    class Table:
        def embed_question(self, text: str) -> NDArray[np.float32]:
            return vectors[text]

        def embed_questions(self, texts: Sequence[str]) -> NDArray[np.float32]:
            return np.stack([vectors[text] for text in texts])

        def embed_passages(self, texts: Sequence[str]) -> NDArray[np.float32]:
            return self.embed_questions(texts)

    with tempfile.TemporaryDirectory() as folder:
        config = quickstart(Path(folder))
        store = EdgeStore(Path(folder) / "shard", config.retrieval.bm25)
        for begin in range(0, count, 500):
            rows = generator.standard_normal((500, 384)).astype(np.float32)
            rows /= np.linalg.norm(rows, axis=1, keepdims=True)
            chunks = [
                Chunk(
                    id=f"00000000-0000-0000-0000-{begin + number:012d}",
                    document_id=f"document {(begin + number) // 10}",
                    text=" ".join(generator.choice(words, 120, p=weights)),
                    start=0,
                    end=1,
                    token_count=120,
                    metadata={"source_document": f"{(begin + number) // 10}.md", "page_number": number},
                )
                for number in range(500)
            ]
            store.upsert(chunks, rows, 120.0)
        store.finish()
        questions = [" ".join(generator.choice(words, 8, p=weights)) for _ in range(200)]
        vectors = dict(zip(questions, generator.standard_normal((200, 384)).astype(np.float32), strict=True))
        for text in questions[:20]:
            retrieve(text, store, Table(), config.retrieval)
        on = {
            "feedback": {"method": "rm3"},
            "neighbours": {"method": "smooth"},
            "diversity": {"method": "mmr"},
        }
        everything = config.model_validate(
            {**config.model_dump(), "retrieval": {**config.retrieval.model_dump(), **on}}, strict=False
        )
        settings = {"the defaults": config.retrieval, "feedback, neighbours and diversity on": everything.retrieval}
        shares: dict[str, list[float]] = {name: [] for name in settings}
        stages: dict[str, dict[str, list[float]]] = {name: {} for name in settings}
        for text in questions:
            for name, retrieval in settings.items():
                began = time.perf_counter()
                found = retrieve(text, store, Table(), retrieval)
                shares[name].append((time.perf_counter() - began) * 1e3)
                for stage, value in found.timings_ms.items():
                    stages[name].setdefault(stage, []).append(value)
        store.close()
    for name, each in shares.items():
        p50, p95, p99 = np.percentile(each, [50, 95, 99])
        print(f"{count} chunks, 200 hybrid queries, {name}: p50 {p50:.2f} ms, p95 {p95:.2f}, p99 {p99:.2f}")
        print(
            "  p50 by stage: " + ", ".join(f"{stage} {statistics.median(ms):.2f}" for stage, ms in stages[name].items())
        )


def plan(sizes: Sequence[int]) -> None:
    """Indexes of the words of eval/samples: from trials of some sizes to larger ones, each then made and looked at."""
    samples = CONFIG.parent.parent / "eval" / "samples"
    with tempfile.TemporaryDirectory() as folder:
        config = quickstart(Path(folder) / "index")
        build_index(config, [samples])
        snapshot = open_snapshot(config)
        sample = list(snapshot.store.iter_chunks())
        snapshot.close()
        found = list(points(sample, 384, config.retrieval.bm25, Path(folder), (*SIZES, *sizes)))
    trials = found[: len(SIZES)]
    for real in found[len(SIZES) :]:
        disk = line_at([(point.chunks, point.disk_bytes) for point in trials], real.chunks)
        held = line_at([(point.chunks, point.memory_bytes) for point in trials], real.chunks)
        search = power_at([(point.chunks, point.search_s) for point in trials], real.chunks)
        for name, foretold, there, unit in (
            ("disk", disk / 1e6, real.disk_bytes / 1e6, "MB"),
            ("memory of the store", held / 1e6, real.memory_bytes / 1e6, "MB"),
            ("hybrid search", search * 1e3, real.search_s * 1e3, "ms of a core"),
        ):
            share = foretold / there - 1 if there else float("nan")
            print(f"{real.chunks:,} chunks, {name}: foretold {foretold:,.1f}, found {there:,.1f} {unit}, {share:+.0%}")


def memory(documents: int, times: int, sentences: int) -> None:
    """Peak memory of processes that index `documents` and `times` as many, each of so many sentences of random words
    (fifty are about ten chunks), with random vectors."""
    for count in (documents, times * documents):
        with tempfile.TemporaryDirectory() as folder:
            command = [sys.executable, __file__, "memory-of", str(count), str(sentences), folder]
            with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
                peak = 0.0
                while process.poll() is None:
                    peak = max(peak, _anonymous_mb(process.pid))
                    time.sleep(0.01)
                assert process.stdout is not None
                print(f"{process.stdout.read().strip()}: peak {peak:.0f} MB")


def _anonymous_mb(pid: int) -> float:
    """Memory of a process that the kernel cannot take back by dropping cached pages of files."""
    try:
        status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    except OSError:
        return 0.0
    return sum(float(line.split()[1]) / 1e3 for line in status.splitlines() if line.startswith("RssAnon"))


def memory_of(count: int, sentences: int, folder: Path) -> None:
    """Index `count` documents in this process, without an embedding model, and say what it took."""
    generator = np.random.default_rng(0)
    words = np.array([f"word{number}" for number in range(20_000)])

    class Random:
        def embed_question(self, text: str) -> NDArray[np.float32]:
            return self.embed_passages([text])[0]

        def embed_questions(self, texts: Sequence[str]) -> NDArray[np.float32]:
            return self.embed_passages(texts)

        def embed_passages(self, texts: Sequence[str]) -> NDArray[np.float32]:
            return generator.standard_normal((len(texts), 384)).astype(np.float32)

    rows = folder / "rows.jsonl"
    with rows.open("w", encoding="utf-8") as file:
        for number in range(count):
            text = ". ".join(" ".join(generator.choice(words, 12)).capitalize() for _ in range(sentences))
            file.write(json.dumps({"id": number, "text": f"{text}."}) + "\n")
    report = build_index(quickstart(folder / "index"), [rows], embedder=Random())
    size = sum(path.stat().st_size for path in (folder / "index").rglob("*") if path.is_file()) / 1e6
    print(f"{report.documents} documents, {report.chunks} chunks, index {size:.0f} MB")


def reindex(source: Path) -> None:
    """Whole `ragkit index` processes over a copy of the folder."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "files"
        shutil.copytree(source, copy)
        for path in [copy, *copy.rglob("*")]:
            path.chmod(0o755)
        ragkit = str(Path(sys.executable).parent / "ragkit")
        command = [ragkit, "index", str(copy), "-c", str(CONFIG), "--json"]
        command += ["--set", f"ingestion.store.path={folder}/index"]

        def run(label: str) -> None:
            began = time.perf_counter()
            done = subprocess.run(command, check=True, capture_output=True, text=True)
            report = json.loads(done.stdout)
            seconds = time.perf_counter() - began
            counts = {
                key: report[key] for key in ("new", "edited", "unchanged", "chunks_written", "embedded", "chunks")
            }
            print(f"{label}: {seconds:.2f} s whole process, {counts}, failures {len(report['failures'])}")

        run("first")
        run("unchanged")
        files = sorted(path for path in copy.rglob("*") if path.is_file() and path.suffix in (".rst", ".md", ".txt"))
        for path in files[:: max(1, len(files) // 7)][:7]:
            path.write_text(
                path.read_text(encoding="utf-8") + "\n\nOne more sentence for this file.\n", encoding="utf-8"
            )
        run("7 files edited")
        run("unchanged")


def main() -> None:
    command, *rest = sys.argv[1:] or ["help"]
    if command == "startup":
        startup()
    elif command == "overhead":
        overhead(Path(rest[0]))
    elif command == "embed":
        embed(Path(rest[0]))
    elif command == "query":
        query(int(rest[0]) if rest else 10_000)
    elif command == "memory":
        documents, times, sentences = (int(given) for given in [*rest, *("1000", "4", "50")[len(rest) :]])
        memory(documents, times, sentences)
    elif command == "memory-of":
        memory_of(int(rest[0]), int(rest[1]), Path(rest[2]))
    elif command == "plan":
        plan([int(size) for size in rest] or [100_000])
    elif command == "reindex":
        reindex(Path(rest[0]))
    else:
        sys.exit(__doc__)


if __name__ == "__main__":
    main()
