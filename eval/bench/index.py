"""Indexing: chunks to something on disk that can be searched by meaning and by words."""

from __future__ import annotations

import shutil
import statistics
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from eval.bench import results
from eval.bench.corpus import chunk_rows, chunk_texts, chunking, model, size_mb
from eval.bench.spec import WORK, Bench, Case, Clock, Contender, Measure, Values

BATCHES = (10, 32, 64, 128)
"""Texts that a model reads at once; 10 is LlamaIndex's default, 32 that of the others."""
TUNING = "index-batch"

ABOUT = """\
The same chunks for everybody, in a file of JSON lines: of at most 200 tokens, the first 240 from XQuAD-en, then
from PEPs, papers and medical answers. Timed is everything from the file to a folder that another process can search
by meaning and by words: read, (ragkit: split), embed, build, write. The model is loaded and has run once before.
Each peer has the batch size that was quickest for it under "Batch sizes for indexing", or 32 before that was
measured. The weights are the same for everybody; the peers run them by torch, as they do unless told otherwise, and
ragkit by ONNX Runtime where it can, with an export that it makes once on a machine and that is there before the
clock starts (the ONNX backends of the peers need optimum-onnx, no version of which can be installed beside these
versions of transformers). `bare encode` is sentence-transformers alone, with the vectors in one file: it makes
nothing that could be searched."""


def _folder(case: Case, name: str) -> Path:
    folder = WORK / "index" / f"{case.name}-{name}"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


def config(folder: Path) -> Any:
    from ragkit import Config

    return Config.model_validate(
        {"ingestion": {"chunking": chunking("recursive"), "store": {"path": str(folder / "index")}}}, strict=False
    )


@cache
def best_batch(name: str) -> int:
    """The batch size with the least median of seconds for a contender, by the full results of the tuning; else 32."""
    path = results.place(TUNING, quick=False)
    if not path.exists():
        return 32
    found = results.read(path)
    seconds = {
        batch: statistics.median(values.values())
        for batch in BATCHES
        for case in {run.case for run in found.runs}
        if (values := found.values(case, f"{name}-{batch}", "seconds"))
    }
    return min(seconds, key=lambda batch: seconds[batch], default=32)


def ragkit(rows: Path, folder: Path, clock: Clock, batch: int | None = None) -> None:
    del batch  # it sorts and batches by itself
    with clock("load_s"):
        from ragkit import Ragkit

        rag = Ragkit(config(folder))
        rag.embedder.embed_passages(["load the model before the clock starts"])
    with clock("seconds"):
        report = rag.index([rows])
        rag.close()
    count = sum(1 for _ in rows.open(encoding="utf-8"))
    assert report.chunks == count, f"{report.chunks} chunks of {count}"


def bare(rows: Path, folder: Path, clock: Clock, batch: int | None = None) -> None:
    with clock("load_s"):
        import numpy as np
        from sentence_transformers import SentenceTransformer

        encoder: Any = SentenceTransformer(str(model()), device="cpu")
        encoder.encode(["load the model before the clock starts"])
    with clock("seconds"):
        vectors = encoder.encode(chunk_texts(rows), batch_size=batch or best_batch("bare"), show_progress_bar=False)
        np.save(folder / "vectors.npy", vectors)


def embedder(rows: Path, folder: Path, clock: Clock, batch: int | None = None) -> None:
    del batch
    with clock("load_s"):
        import numpy as np

        from ragkit import Ragkit

        own = Ragkit(config(folder)).embedder
        own.embed_passages(["load the model before the clock starts"])
    with clock("seconds"):
        np.save(folder / "vectors.npy", own.embed_passages(chunk_texts(rows)))


def llamaindex(rows: Path, folder: Path, clock: Clock, batch: int | None = None) -> None:
    with clock("load_s"):
        core, schema, embed = _llamaindex(batch or best_batch("llamaindex"))
        bm25 = _load("llama_index.retrievers.bm25").BM25Retriever
    with clock("seconds"):
        nodes = [schema.TextNode(text=text, id_=f"c{number}") for number, text in enumerate(chunk_texts(rows))]
        index = core.VectorStoreIndex(nodes, embed_model=embed)
        index.storage_context.persist(str(folder))
        bm25.from_defaults(nodes=nodes, similarity_top_k=10).persist(str(folder / "bm25"))


def _llamaindex(batch: int) -> tuple[Any, Any, Any]:
    core, schema = _load("llama_index.core"), _load("llama_index.core.schema")
    embedding = _load("llama_index.embeddings.huggingface").HuggingFaceEmbedding
    embed = embedding(model_name=str(model()), embed_batch_size=batch, device="cpu", max_length=256)
    embed.get_text_embedding("load the model before the clock starts")
    return core, schema, embed


def haystack(rows: Path, folder: Path, clock: Clock, batch: int | None = None) -> None:
    with clock("load_s"):
        hay, stores = _load("haystack"), _load("haystack.document_stores.in_memory")
        writers = _load("haystack.components.writers")
        embedders = _load("haystack_integrations.components.embedders.sentence_transformers")
        device = _load("haystack.utils").ComponentDevice.from_str("cpu")
        embedder = embedders.SentenceTransformersDocumentEmbedder(
            model=str(model()), batch_size=batch or best_batch("haystack"), progress_bar=False, device=device
        )
        embedder.warm_up()
        embedder.run([hay.Document(content="load the model before the clock starts")])
        store = stores.InMemoryDocumentStore(embedding_similarity_function="cosine")
        pipeline = hay.Pipeline()
        pipeline.add_component("embedder", embedder)
        pipeline.add_component("writer", writers.DocumentWriter(store))
        pipeline.connect("embedder.documents", "writer.documents")
    with clock("seconds"):
        documents = [hay.Document(id=f"c{number}", content=text) for number, text in enumerate(chunk_texts(rows))]
        pipeline.run({"embedder": {"documents": documents}})
        store.save_to_disk(str(folder / "store.json"))


def txtai(rows: Path, folder: Path, clock: Clock, batch: int | None = None) -> None:
    with clock("load_s"):
        embeddings = _load("txtai").Embeddings(
            path=str(model()),
            method="sentence-transformers",
            content=True,
            hybrid=True,
            gpu=False,
            encodebatch=batch or best_batch("txtai"),
        )
        embeddings.batchtransform(["load the model before the clock starts"])
    with clock("seconds"):
        embeddings.index((f"c{number}", text, None) for number, text in enumerate(chunk_texts(rows)))
        embeddings.save(str(folder / "txtai"))
    embeddings.close()


def _load(module: str) -> Any:
    """A peer's module: without types, and imported when its contender runs."""
    from importlib import import_module

    return import_module(module)


Builder = Callable[[Path, Path, Clock, int | None], None]


def _work(name: str, build: Builder, batch: int | None = None) -> Callable[[Case, Clock], Values]:
    def work(case: Case, clock: Clock) -> Values:
        folder = _folder(case, f"{name}-{batch}")
        build(chunk_rows(case.settings["chunks"]), folder, clock, batch)
        disk = size_mb(folder)
        shutil.rmtree(folder)
        return {"disk_mb": disk}

    return work


def _prepare(case: Case) -> None:
    chunk_rows(case.settings["chunks"])


BUILDERS: dict[str, Builder] = {
    "ragkit": ragkit,
    "embedder": embedder,
    "bare": bare,
    "llamaindex": llamaindex,
    "haystack": haystack,
    "txtai": txtai,
}
_BATCH = {name: best_batch(name) for name in BUILDERS}
_SETTINGS = {
    "ragkit": ("ragkit", "`Ragkit.index` of the file; Qdrant Edge with BM25, `chunking.contextual_header` off"),
    "embedder": ("ragkit's embedder alone", "`Ragkit.embedder.embed_passages`, `numpy.save`"),
    "bare": ("bare encode", f"`SentenceTransformer.encode(batch_size={_BATCH['bare']})`, `numpy.save`"),
    "llamaindex": (
        "LlamaIndex",
        f"`VectorStoreIndex` with `HuggingFaceEmbedding(embed_batch_size={_BATCH['llamaindex']})`, persisted, and "
        "`BM25Retriever`, persisted",
    ),
    "haystack": (
        "Haystack",
        f"pipeline of `SentenceTransformersDocumentEmbedder(batch_size={_BATCH['haystack']})` and `DocumentWriter` "
        "into `InMemoryDocumentStore` (which keeps BM25 too), `save_to_disk`",
    ),
    "txtai": ("txtai", f"`Embeddings(content=True, hybrid=True, encodebatch={_BATCH['txtai']})`, saved"),
}
_FLOORS = ("bare", "embedder")
_CONTENDERS = {
    name: Contender(_SETTINGS[name][0], _work(name, build), _SETTINGS[name][1], floor=name in _FLOORS)
    for name, build in BUILDERS.items()
}
_MEASURES = (
    Measure("seconds", "seconds"),
    Measure("peak_mb", "peak memory, MB"),
    Measure("disk_mb", "on disk, MB"),
    Measure("load_s", "import and load, s"),
)


def _cases(quick: bool) -> list[Case]:
    return [Case(f"{count:,} chunks", {"chunks": count}) for count in ((100,) if quick else (240, 5_000))]


def _long(quick: bool) -> list[Case]:
    return [Case(f"{count:,} chunks", {"chunks": count}) for count in ((1_000,) if quick else (50_000,))]


_TUNED = {
    "ragkit": _CONTENDERS["ragkit"],
    **{
        f"{name}-{batch}": Contender(
            f"{_SETTINGS[name][0]}, {batch}", _work(name, build, batch), f"batches of {batch}", floor=name == "bare"
        )
        for name, build in BUILDERS.items()
        if name not in ("ragkit", "embedder")
        for batch in BATCHES
    },
}
INDEX_BATCH = Bench(
    TUNING,
    "Batch sizes for indexing",
    "How many texts a model reads at once; the quickest for each peer is what it has under Indexing. Else as there.",
    _MEASURES[:2],
    _TUNED,
    lambda quick: [Case(f"{count:,} chunks", {"chunks": count}) for count in ((32,) if quick else (1_000,))],
    _prepare,
    rounds=2,
    quick_rounds=1,
    minutes=20,
    plot=("seconds",),
)
INDEX = Bench(
    "index", "Indexing", ABOUT, _MEASURES, _CONTENDERS, _cases, _prepare, minutes=75, plot=("seconds", "peak_mb")
)
INDEX_LONG = Bench(
    "index-50000",
    "Indexing 50,000 chunks",
    ABOUT
    + "\n\nTwo rounds instead of five: one of all contenders takes some two hours, and nearly all of it is the model.",
    _MEASURES,
    _CONTENDERS,
    _long,
    _prepare,
    rounds=2,
    quick_rounds=1,
    minutes=220,
    limit_s=5_400,
    plot=("seconds", "peak_mb"),
)
