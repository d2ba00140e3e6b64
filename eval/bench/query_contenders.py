"""Who searches in the query benchmark: for each contender how its index is built, and how it is opened and asked."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from eval.bench.corpus import chunking, size_mb
from eval.bench.query_data import BEST, K1, B, Made, made
from eval.bench.spec import WORK, Case, Clock, Values

if TYPE_CHECKING:
    from numpy.typing import NDArray

Search = Callable[[str, Any], list[int]]
"""A question and its vector to the numbers of chunks, best first."""


class Table:
    """An embedder that knows the vectors of its texts: by question, and by passage while an index is built."""

    def __init__(self, data: Made, *, passages: bool) -> None:
        self._questions = dict(zip(data.questions, data.vectors, strict=True))
        # Hashes, for a million texts would be held twice.
        self._passages = {hash(text): row for row, text in enumerate(data.texts())} if passages else {}
        self._vectors = data.passage_vectors() if passages else None

    def embed_question(self, text: str) -> NDArray[np.float32]:
        return self._questions[text]

    def embed_questions(self, texts: Sequence[str]) -> NDArray[np.float32]:
        return np.stack([self._questions[text] for text in texts])

    def embed_passages(self, texts: Sequence[str]) -> NDArray[np.float32]:
        assert self._vectors is not None
        return np.asarray(self._vectors[[self._passages[hash(text)] for text in texts]])


def data_of(case: Case) -> Made:
    return made(case.settings["chunks"], case.settings["questions"])


def _folder(case: Case, name: str) -> Path:
    return WORK / "query" / f"{case.settings['chunks']}-{case.settings['questions']}-{name}"


def _fresh(case: Case, name: str) -> Path:
    folder = _folder(case, name)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


def _module(name: str) -> Any:
    return import_module(name)


def _ragkit(case: Case, kept: str, *, passages: bool) -> Any:
    from ragkit import Config, Ragkit

    table = Table(data_of(case), passages=passages)

    class Given(Ragkit):
        """A system whose vectors are given."""

        @property
        def embedder(self) -> Table:
            return table

    store = {"path": str(_folder(case, f"ragkit-{kept}") / "index"), "vectors": kept}
    # The words of a made chunk are longer than those of prose; 250 tokens is what the model would read.
    settings = {"ingestion": {"chunking": chunking("fixed_size", 250), "store": store}}
    return Given(Config.model_validate(settings, strict=False))


def build_ragkit(case: Case, clock: Clock, kept: str = "memory") -> Values:
    """`kept` is `ingestion.store.vectors`."""
    folder, rows = _fresh(case, f"ragkit-{kept}"), data_of(case).rows
    rag = _ragkit(case, kept, passages=True)
    with clock("build_s"):
        report = rag.index([rows])
        rag.close()
    assert report.chunks == case.settings["chunks"], f"{report.chunks} chunks of {case.settings['chunks']}"
    return {"disk_mb": size_mb(folder)}


def open_ragkit(case: Case, kept: str = "memory") -> Mapping[str, Search]:
    rag = _ragkit(case, kept, passages=False)

    def search(strategy: str) -> Search:
        def one(question: str, _: Any) -> list[int]:
            found = rag.retrieve(question, top_k=BEST, strategy=strategy).results
            return [int(each.chunk.source_document.rpartition("#")[2].lstrip("c")) for each in found]

        return one

    return {strategy: search(strategy) for strategy in ("dense", "sparse", "hybrid")}


def build_edge(case: Case, clock: Clock) -> Values:
    qe: Any = _module("qdrant_edge")
    folder, data = _fresh(case, "edge"), data_of(case)
    texts, vectors = data.texts(), data.passage_vectors()
    with clock("build_s"):
        shard = qe.EdgeShard.create(
            str(folder),
            qe.EdgeConfig(
                vectors={"dense": qe.EdgeVectorParams(size=vectors.shape[1], distance=qe.Distance.Cosine)},
                sparse_vectors={"bm25": qe.EdgeSparseVectorParams(modifier=qe.Modifier.Idf)},
            ),
        )
        encoder = qe.Bm25(_bm25(qe, sum(len(text.split()) for text in texts) / len(texts)))
        for begin in range(0, len(texts), 1000):
            points: list[Any] = []
            for row in range(begin, min(len(texts), begin + 1000)):
                sparse = encoder.embed_document(texts[row])
                points.append(qe.Point(row, {"dense": vectors[row].tolist(), "bm25": sparse}, {"text": texts[row]}))
            shard.update(qe.UpdateOperation.upsert_points(points))
        shard.optimize()
        shard.flush()
        shard.close()
    return {"disk_mb": size_mb(folder)}


def _bm25(qe: Any, average: float) -> Any:
    return qe.Bm25Config(k=K1, b=B, avg_len=average)


def open_edge(case: Case) -> Mapping[str, Search]:
    qe: Any = _module("qdrant_edge")
    shard = qe.EdgeShard.load(str(_folder(case, "edge")))
    encoder = qe.Bm25(_bm25(qe, 70.0))

    def ids(request: Any) -> list[int]:
        return [int(point.id) for point in shard.query(request)]

    def nearest(vector: Any) -> Any:
        return qe.Query.Nearest(vector.tolist(), using="dense")

    def words(question: str) -> Any:
        return qe.Query.Nearest(encoder.embed_query(question), using="bm25")

    def hybrid(question: str, vector: Any) -> list[int]:
        parts = [qe.Prefetch(limit=50, query=query) for query in (nearest(vector), words(question))]
        return ids(qe.QueryRequest(limit=BEST, prefetches=parts, query=qe.Fusion.Rrf(k=60), with_payload=True))

    return {
        "dense": lambda _, vector: ids(qe.QueryRequest(limit=BEST, query=nearest(vector), with_payload=True)),
        "sparse": lambda question, _: ids(qe.QueryRequest(limit=BEST, query=words(question), with_payload=True)),
        "hybrid": hybrid,
    }


def build_llamaindex(case: Case, clock: Clock) -> Values:
    core, schema = _module("llama_index.core"), _module("llama_index.core.schema")
    bm25s, stemmer = _module("bm25s"), _module("Stemmer").Stemmer("english")
    folder, data = _fresh(case, "llamaindex"), data_of(case)
    texts, vectors = data.texts(), data.passage_vectors()
    with clock("build_s"):
        nodes = [
            schema.TextNode(text=text, id_=str(row), embedding=vectors[row].tolist()) for row, text in enumerate(texts)
        ]
        index = core.VectorStoreIndex(nodes, embed_model=core.MockEmbedding(embed_dim=vectors.shape[1]))
        index.storage_context.persist(str(folder / "index"))
        retriever = _module("llama_index.retrievers.bm25").BM25Retriever
        tokens = bm25s.tokenize(texts, stopwords="en", stemmer=stemmer, show_progress=False)
        engine = bm25s.BM25(k1=K1, b=B)
        engine.index(tokens, show_progress=False)
        engine.corpus = [
            _module("llama_index.core.vector_stores.utils").node_to_metadata_dict(node) | {"node_id": node.node_id}
            for node in nodes
        ]
        retriever(existing_bm25=engine, similarity_top_k=BEST).persist(str(folder / "bm25"))
    return {"disk_mb": size_mb(folder)}


def open_llamaindex(case: Case) -> Mapping[str, Search]:
    core, schema = _module("llama_index.core"), _module("llama_index.core.schema")
    folder = _folder(case, "llamaindex")
    storage = core.StorageContext.from_defaults(persist_dir=str(folder / "index"))
    table = dict(zip(data_of(case).questions, data_of(case).vectors.tolist(), strict=True))

    class Known(core.MockEmbedding):
        def _get_query_embedding(self, query: str) -> list[float]:
            return table[query]

    embed = Known(embed_dim=384)
    index = core.load_index_from_storage(storage, embed_model=embed)
    dense = index.as_retriever(similarity_top_k=BEST)
    sparse = _module("llama_index.retrievers.bm25").BM25Retriever.from_persist_dir(str(folder / "bm25"))
    wide = [index.as_retriever(similarity_top_k=50), _module("copy").copy(sparse)]
    wide[1].similarity_top_k = 50
    fusion = _module("llama_index.core.retrievers").QueryFusionRetriever(
        wide, llm=core.llms.MockLLM(), mode="reciprocal_rerank", similarity_top_k=BEST, num_queries=1, use_async=False
    )

    def search(retriever: Any) -> Search:
        def one(question: str, vector: Any) -> list[int]:
            asked = schema.QueryBundle(question, embedding=vector.tolist())
            return [int(each.node.node_id) for each in retriever.retrieve(asked)]

        return one

    return {"dense": search(dense), "sparse": search(sparse), "hybrid": search(fusion)}


def build_llamaindex_qdrant(case: Case, clock: Clock) -> Values:
    core, schema = _module("llama_index.core"), _module("llama_index.core.schema")
    folder, data = _fresh(case, "llamaindex-qdrant"), data_of(case)
    vectors = data.passage_vectors()
    client, store = _llamaindex_qdrant(folder)
    with clock("build_s"):
        nodes = [
            schema.TextNode(text=text, id_=f"00000000-0000-0000-0000-{row:012d}", embedding=vectors[row].tolist())
            for row, text in enumerate(data.texts())
        ]
        core.VectorStoreIndex(
            nodes,
            storage_context=core.StorageContext.from_defaults(vector_store=store),
            embed_model=core.MockEmbedding(embed_dim=vectors.shape[1]),
        )
        client.close()
    return {"disk_mb": size_mb(folder)}


def _llamaindex_qdrant(folder: Path) -> tuple[Any, Any]:
    client = _module("qdrant_client").QdrantClient(path=str(folder / "qdrant"))
    return client, _module("llama_index.vector_stores.qdrant").QdrantVectorStore("chunks", client=client)


def open_llamaindex_qdrant(case: Case) -> Mapping[str, Search]:
    core, schema = _module("llama_index.core"), _module("llama_index.core.schema")
    _, store = _llamaindex_qdrant(_folder(case, "llamaindex-qdrant"))
    index = core.VectorStoreIndex.from_vector_store(store, embed_model=core.MockEmbedding(embed_dim=384))
    dense = index.as_retriever(similarity_top_k=BEST)

    def one(question: str, vector: Any) -> list[int]:
        asked = schema.QueryBundle(question, embedding=vector.tolist())
        return [int(each.node.node_id.rpartition("-")[2]) for each in dense.retrieve(asked)]

    return {"dense": one}


def _haystack_documents(case: Case) -> list[Any]:
    data, hay = data_of(case), _module("haystack")
    vectors = data.passage_vectors()
    return [
        hay.Document(id=str(row), content=text, embedding=vectors[row].tolist())
        for row, text in enumerate(data.texts())
    ]


def open_haystack(case: Case) -> Mapping[str, Search]:
    hay = _module("haystack")
    retrievers = _module("haystack.components.retrievers.in_memory")
    store = _module("haystack.document_stores.in_memory").InMemoryDocumentStore(
        embedding_similarity_function="cosine",
        bm25_algorithm="BM25Okapi",
        bm25_parameters={"k1": K1, "b": B},
        return_embedding=False,
    )
    store.write_documents(_haystack_documents(case))
    by_meaning = retrievers.InMemoryEmbeddingRetriever(store, top_k=BEST)
    by_words = retrievers.InMemoryBM25Retriever(store, top_k=BEST)
    pipeline = hay.Pipeline()
    pipeline.add_component("dense", retrievers.InMemoryEmbeddingRetriever(store, top_k=50))
    pipeline.add_component("sparse", retrievers.InMemoryBM25Retriever(store, top_k=50))
    joiner = _module("haystack.components.joiners").DocumentJoiner(join_mode="reciprocal_rank_fusion", top_k=BEST)
    pipeline.add_component("joiner", joiner)
    pipeline.connect("dense", "joiner")
    pipeline.connect("sparse", "joiner")

    def ids(found: Any) -> list[int]:
        return [int(document.id) for document in found["documents"]]

    def hybrid(question: str, vector: Any) -> list[int]:
        asked = {"dense": {"query_embedding": vector.tolist()}, "sparse": {"query": question}}
        return ids(pipeline.run(asked)["joiner"])

    return {
        "dense": lambda _, vector: ids(by_meaning.run(query_embedding=vector.tolist())),
        "sparse": lambda question, _: ids(by_words.run(query=question)),
        "hybrid": hybrid,
    }


def _haystack_qdrant(folder: Path) -> Any:
    return _module("haystack_integrations.document_stores.qdrant").QdrantDocumentStore(
        path=str(folder / "qdrant"), embedding_dim=384, progress_bar=False
    )


def build_haystack_qdrant(case: Case, clock: Clock) -> Values:
    folder = _fresh(case, "haystack-qdrant")
    documents, store = _haystack_documents(case), _haystack_qdrant(folder)
    with clock("build_s"):
        for begin in range(0, len(documents), 1000):
            store.write_documents(documents[begin : begin + 1000])
        store.close()
    return {"disk_mb": size_mb(folder)}


def open_haystack_qdrant(case: Case) -> Mapping[str, Search]:
    store = _haystack_qdrant(_folder(case, "haystack-qdrant"))
    retriever = _module("haystack_integrations.components.retrievers.qdrant").QdrantEmbeddingRetriever(
        store, top_k=BEST
    )

    def one(_: str, vector: Any) -> list[int]:
        return [int(document.id) for document in retriever.run(query_embedding=vector.tolist())["documents"]]

    return {"dense": one}


def open_txtai(case: Case) -> Mapping[str, Search]:
    data = data_of(case)
    table = Table(data, passages=True)

    def vectors(texts: Sequence[str]) -> Any:
        known = texts[0] in questions
        return table.embed_questions(texts) if known else table.embed_passages(texts)

    questions = set(data.questions)
    given = {"method": "external", "transform": vectors, "content": True}
    kinds: dict[str, dict[str, Any]] = {
        "dense": given,
        "sparse": {"keyword": True, "content": True},
        "hybrid": {**given, "hybrid": True},
    }
    rows = [(str(row), text, None) for row, text in enumerate(data.texts())]
    found: dict[str, Search] = {}
    for kind, settings in kinds.items():
        embeddings = _module("txtai").Embeddings(settings)
        embeddings.index(rows)
        found[kind] = lambda question, _, each=embeddings: [int(one["id"]) for one in each.search(question, BEST)]
    return found


def build_bm25s(case: Case, clock: Clock) -> Values:
    bm25s, stemmer = _module("bm25s"), _module("Stemmer").Stemmer("english")
    folder, texts = _fresh(case, "bm25s"), data_of(case).texts()
    with clock("build_s"):
        engine = bm25s.BM25(method="lucene", k1=K1, b=B, backend="numba")
        engine.index(bm25s.tokenize(texts, stopwords="en", stemmer=stemmer, show_progress=False), show_progress=False)
        engine.save(str(folder))
    return {"disk_mb": size_mb(folder)}


def open_bm25s(case: Case) -> Mapping[str, Search]:
    bm25s, stemmer = _module("bm25s"), _module("Stemmer").Stemmer("english")
    engine = bm25s.BM25.load(str(_folder(case, "bm25s")))
    engine.backend = "numba"
    engine.activate_numba_scorer()

    def one(question: str, _: Any) -> list[int]:
        tokens = bm25s.tokenize([question], stopwords="en", stemmer=stemmer, show_progress=False, return_ids=False)
        found, _scores = engine.retrieve(tokens, k=BEST, show_progress=False)
        return [int(row) for row in found[0]]

    return {"sparse": one}


def open_rank_bm25(case: Case) -> Mapping[str, Search]:
    import re

    texts = data_of(case).texts()
    engine = _module("rank_bm25").BM25Okapi([re.findall(r"\w+", text.lower()) for text in texts], k1=K1, b=B)

    def one(question: str, _: Any) -> list[int]:
        scores = engine.get_scores(re.findall(r"\w+", question.lower()))
        best = np.argpartition(scores, -BEST)[-BEST:]
        return best[np.argsort(-scores[best])].tolist()

    return {"sparse": one}
