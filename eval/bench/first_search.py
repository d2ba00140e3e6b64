"""One process that opens an index, asks one question and ends: `python -m eval.bench.first_search NAME FOLDER
QUESTION`."""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path
from typing import Any


def llamaindex(folder: Path, question: str) -> str:
    core: Any = import_module("llama_index.core")
    embed = _huggingface()
    index = core.load_index_from_storage(core.StorageContext.from_defaults(persist_dir=str(folder)), embed_model=embed)
    bm25 = import_module("llama_index.retrievers.bm25").BM25Retriever.from_persist_dir(str(folder / "bm25"))
    fusion = import_module("llama_index.core.retrievers").QueryFusionRetriever(
        [index.as_retriever(similarity_top_k=10), bm25],
        llm=core.llms.MockLLM(),
        mode="reciprocal_rerank",
        similarity_top_k=10,
        num_queries=1,
        use_async=False,
    )
    return fusion.retrieve(question)[0].node.get_content()


def _huggingface() -> Any:
    from eval.bench.corpus import model

    embedding: Any = import_module("llama_index.embeddings.huggingface").HuggingFaceEmbedding
    return embedding(model_name=str(model()), device="cpu", max_length=256)


def haystack(folder: Path, question: str) -> str:
    from eval.bench.corpus import model

    hay: Any = import_module("haystack")
    store = import_module("haystack.document_stores.in_memory").InMemoryDocumentStore.load_from_disk(
        str(folder / "store.json")
    )
    retrievers = import_module("haystack.components.retrievers.in_memory")
    embedders = import_module("haystack_integrations.components.embedders.sentence_transformers")
    device = import_module("haystack.utils").ComponentDevice.from_str("cpu")
    pipeline = hay.Pipeline()
    embedder = embedders.SentenceTransformersTextEmbedder(model=str(model()), progress_bar=False, device=device)
    pipeline.add_component("embedder", embedder)
    pipeline.add_component("dense", retrievers.InMemoryEmbeddingRetriever(store, top_k=10))
    pipeline.add_component("sparse", retrievers.InMemoryBM25Retriever(store, top_k=10))
    joiner = import_module("haystack.components.joiners").DocumentJoiner(join_mode="reciprocal_rank_fusion", top_k=10)
    pipeline.add_component("joiner", joiner)
    pipeline.connect("embedder.embedding", "dense.query_embedding")
    pipeline.connect("dense", "joiner")
    pipeline.connect("sparse", "joiner")
    found = pipeline.run({"embedder": {"text": question}, "sparse": {"query": question}})
    return found["joiner"]["documents"][0].content


def txtai(folder: Path, question: str) -> str:
    embeddings: Any = import_module("txtai").Embeddings()
    embeddings.load(str(folder / "txtai"))
    return embeddings.search(question, 10)[0]["text"]


def main() -> None:
    name, folder, question = sys.argv[1:]
    searches = {"llamaindex": llamaindex, "haystack": haystack, "txtai": txtai}
    print(searches[name](Path(folder), question))


if __name__ == "__main__":
    main()
