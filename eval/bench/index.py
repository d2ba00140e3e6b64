"""Indexing: chunks to something on disk that can be searched by meaning and by words."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from eval.bench.corpus import chunk_rows, chunk_texts, chunking, model, size_mb
from eval.bench.spec import WORK, Bench, Case, Clock, Contender, Measure, Values

BATCH = 32
"""Texts that a model reads at once: of 10 (LlamaIndex's default), 16, 32, 64 and 128 the quickest or within 3% of
it for each of the peers on two threads."""

ABOUT = """\
The same chunks for everybody, in a file of JSON lines: of at most 200 tokens, the first 240 from XQuAD-en, then from
PEPs, papers and medical answers. Timed is everything from the file to a folder that another process can search by
meaning and by words: read, (ragkit: split), embed, build, write. The model is loaded and has run once before.
`bare encode` is sentence-transformers alone, with the vectors in one file: it makes nothing that could be searched."""


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


def ragkit(rows: Path, folder: Path, clock: Clock) -> None:
    with clock("load_s"):
        from ragkit import Ragkit

        rag = Ragkit(config(folder))
        rag.embedder.embed_passages(["load the model before the clock starts"])
    with clock("seconds"):
        report = rag.index([rows])
        rag.close()
    count = sum(1 for _ in rows.open(encoding="utf-8"))
    assert report.chunks == count, f"{report.chunks} chunks of {count}"


def bare(rows: Path, folder: Path, clock: Clock) -> None:
    with clock("load_s"):
        import numpy as np
        from sentence_transformers import SentenceTransformer

        encoder: Any = SentenceTransformer(str(model()), device="cpu")
        encoder.encode(["load the model before the clock starts"])
    with clock("seconds"):
        vectors = encoder.encode(chunk_texts(rows), batch_size=BATCH, show_progress_bar=False)
        np.save(folder / "vectors.npy", vectors)


def llamaindex(rows: Path, folder: Path, clock: Clock) -> None:
    with clock("load_s"):
        core, schema, embed = _llamaindex()
        bm25 = _load("llama_index.retrievers.bm25").BM25Retriever
    with clock("seconds"):
        nodes = [schema.TextNode(text=text, id_=f"c{number}") for number, text in enumerate(chunk_texts(rows))]
        index = core.VectorStoreIndex(nodes, embed_model=embed)
        index.storage_context.persist(str(folder))
        bm25.from_defaults(nodes=nodes, similarity_top_k=10).persist(str(folder / "bm25"))


def _llamaindex() -> tuple[Any, Any, Any]:
    core, schema = _load("llama_index.core"), _load("llama_index.core.schema")
    embedding = _load("llama_index.embeddings.huggingface").HuggingFaceEmbedding
    embed = embedding(model_name=str(model()), embed_batch_size=BATCH, device="cpu", max_length=256)
    embed.get_text_embedding("load the model before the clock starts")
    return core, schema, embed


def haystack(rows: Path, folder: Path, clock: Clock) -> None:
    with clock("load_s"):
        hay, stores = _load("haystack"), _load("haystack.document_stores.in_memory")
        writers = _load("haystack.components.writers")
        embedders = _load("haystack_integrations.components.embedders.sentence_transformers")
        device = _load("haystack.utils").ComponentDevice.from_str("cpu")
        embedder = embedders.SentenceTransformersDocumentEmbedder(
            model=str(model()), batch_size=BATCH, progress_bar=False, device=device
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


def txtai(rows: Path, folder: Path, clock: Clock) -> None:
    with clock("load_s"):
        embeddings = _load("txtai").Embeddings(
            path=str(model()), method="sentence-transformers", content=True, hybrid=True, gpu=False, encodebatch=BATCH
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


def _work(name: str, build: Callable[[Path, Path, Clock], None]) -> Callable[[Case, Clock], Values]:
    def work(case: Case, clock: Clock) -> Values:
        folder = _folder(case, name)
        build(chunk_rows(case.settings["chunks"]), folder, clock)
        disk = size_mb(folder)
        shutil.rmtree(folder)
        return {"disk_mb": disk}

    return work


def _prepare(case: Case) -> None:
    chunk_rows(case.settings["chunks"])


BUILDERS = {"ragkit": ragkit, "bare": bare, "llamaindex": llamaindex, "haystack": haystack, "txtai": txtai}
_SETTINGS = {
    "ragkit": ("ragkit", "`Ragkit.index` of the file; Qdrant Edge with BM25, `chunking.contextual_header` off"),
    "bare": ("bare encode", f"`SentenceTransformer.encode(batch_size={BATCH})`, `numpy.save`"),
    "llamaindex": (
        "LlamaIndex",
        f"`VectorStoreIndex` with `HuggingFaceEmbedding(embed_batch_size={BATCH})`, persisted, and `BM25Retriever`, "
        "persisted",
    ),
    "haystack": (
        "Haystack",
        f"pipeline of `SentenceTransformersDocumentEmbedder(batch_size={BATCH})` and `DocumentWriter` into "
        "`InMemoryDocumentStore` (which keeps BM25 too), `save_to_disk`",
    ),
    "txtai": ("txtai", f"`Embeddings(content=True, hybrid=True, encodebatch={BATCH})`, saved"),
}
_CONTENDERS = {
    name: Contender(*_SETTINGS[name][:1], _work(name, build), _SETTINGS[name][1], floor=name == "bare")
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
