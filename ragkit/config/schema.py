"""The configuration tree: every key, its default, what it means. One YAML file is one `Config`.

A field made with `runtime(...)` changes where or how fast the work is done, never its result; it stays out of
the hashes (`ragkit.config.hashing`). Everything else counts.
"""

from __future__ import annotations

import re
from datetime import date, datetime
from pathlib import Path
from typing import Annotated, Literal, cast
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    ConfigDict,
    Field,
    PrivateAttr,
    SecretStr,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from ragkit.config.caching import Cache
from ragkit.config.costs import Costs
from ragkit.config.part import Address, Part, PathField, runtime
from ragkit.config.ray import Ray
from ragkit.config.routing import Routing
from ragkit.config.serving import Serve
from ragkit.config.store_place import StoreAddress

DEFAULT_SYSTEM_PROMPT = """\
Answer based ONLY on the provided context.
If the context doesn't contain the answer, say "I don't have enough information."
Cite sources using [Source: document_name, page X].
"""


WRITERS = frozenset({"openai", "llama_cpp"})
"""Backends of generation whose model also writes for `retrieval.transforms`."""


def _device(name: str) -> str:
    if not re.fullmatch(r"cpu|mps|(cuda|xpu|npu|hpu)(:\d+)?", name):
        raise ValueError("this is no device; write cpu, cuda, cuda:1 or mps, or leave it out")
    return name


Device = Annotated[str, AfterValidator(_device)]


class Parsing(Part):
    pdf_layout: bool = True
    """Find the headings and ruled tables of PDFs by their fonts and lines (about 0.1 s a page)."""
    workers: int = runtime(0, ge=0, le=64, description="Parser processes; 0 means one per CPU core.")
    timeout_s: float = runtime(
        60.0, gt=0, le=86_400, description="A file whose parsing takes longer is given up and named in the report."
    )
    max_file_mb: float = Field(default=100.0, gt=0)
    """Larger files are skipped and named in the report."""


class Chunking(Part):
    strategy: Literal["semantic", "recursive", "fixed_size"] = "semantic"
    """Where chunks may end: at topic breaks, at headings and paragraphs, or wherever the budget is full."""
    chunk_size: int = Field(default=512, ge=16, le=32_768)
    """Largest number of tokens of text in a chunk, counted by the embedding model's own tokenizer; left out, no more
    than the model reads."""
    overlap: int = Field(default=50, ge=0)
    """Tokens at the end of a chunk that the next one repeats, in whole sentences; left out, it shrinks with
    chunk_size."""
    contextual_header: bool = True
    """Put title and heading path before the text for embedding and BM25 (never for display)."""
    header_tokens: int = Field(default=32, ge=0, le=256)
    """Largest number of tokens of that header; it counts towards the model's window, beside chunk_size."""
    breakpoint_percentile: float = Field(default=80.0, gt=0, lt=100)
    """semantic: gaps between sentences whose depth lies above this percentile are topic breaks."""
    window: int = Field(default=3, ge=1, le=10)
    """semantic: sentences on either side of a gap that are compared."""
    language: str = "en"
    """Language code of the sentence splitter."""

    @model_validator(mode="after")
    def _overlap_is_smaller(self) -> Chunking:
        if self.overlap >= self.chunk_size:
            raise ValueError(f"overlap ({self.overlap}) must be smaller than chunk_size ({self.chunk_size})")
        return self


PREFIXES = ("query_prefix", "passage_prefix")


class Embedding(Part):
    backend: Literal["sentence_transformers", "openai"] = "sentence_transformers"
    """A model on this machine, or a server that speaks OpenAI's /v1/embeddings."""
    model: str = "all-MiniLM-L6-v2"
    """A known name, a folder in sentence-transformers format, or the model name of an API."""
    dimensions: int | None = Field(default=None, ge=1)
    """Keep this many leading dimensions (Matryoshka models only); null keeps all."""
    query_prefix: str = ""
    """Put before a question, for models trained with one (e5: "query: "); left out, what the list of models knows of
    one on this machine."""
    passage_prefix: str = ""
    """Put before a passage, for models trained with one (e5: "passage: "); left out, as query_prefix."""
    max_tokens: int | None = Field(default=None, ge=16)
    """The model's window in tokens; null reads it from the model (openai: 8191)."""
    base_url: Address | None = runtime(None, description="openai: address of the API, up to and including /v1.")
    api_key: SecretStr | None = runtime(None, strict=False, description="openai: key; use ${OPENAI_API_KEY}.")
    batch_size: int = runtime(32, ge=1, le=2048, description="Texts in one call of the model.")
    device: Device | None = runtime(None, description="sentence_transformers: cpu, cuda, cuda:1, mps; null chooses.")
    timeout_s: float = runtime(60.0, gt=0, le=86_400, description="openai: time limit of one call.")

    @model_validator(mode="before")
    @classmethod
    def _known_prefixes(cls, given: object) -> object:
        """Those of the catalogue in the place of what is left out; "" means none. For models on this machine only: a
        server may put them there itself.

        >>> Embedding(model="e5-base-v2").query_prefix, Embedding(model="e5-base-v2", query_prefix="").query_prefix
        ('query: ', '')
        """
        if not isinstance(given, dict):
            return given
        fields = cast("dict[str, object]", given)
        name = fields.get("model")
        if not isinstance(name, str) or fields.get("backend", "sentence_transformers") != "sentence_transformers":
            return fields
        from ragkit.models.catalogue import listed

        model = listed(name)
        return fields if model is None else {key: getattr(model, key) for key in PREFIXES} | fields


class Bm25(Part):
    k1: float = Field(default=1.2, ge=0, le=10)
    """Term-frequency saturation."""
    b: float = Field(default=0.75, ge=0, le=1)
    """Length normalisation: 0 none, 1 full."""
    language: str = "english"
    """Stop words and stemmer, as the engine names them."""


class Cluster(Part):
    """A Qdrant server of several nodes: how a collection is spread when it is made, and what is waited for.

    What is left out is the server's to decide.
    """

    shards: int | None = runtime(None, ge=1, le=10_000, description="Parts of a new collection; one a node or more.")
    replicas: int | None = runtime(None, ge=1, le=100, description="Copies of each part of a new collection.")
    write_replicas: int | None = runtime(
        None, ge=1, le=100, description="Copies that a write must reach before it counts; of a new collection."
    )
    ordering: Literal["weak", "medium", "strong"] | None = runtime(
        None, description="Order of writes: strong sends all through the leader of a part."
    )
    consistency: Literal["majority", "quorum", "all"] | Annotated[int, Field(ge=1, le=100)] | None = runtime(
        None, description="Copies that must agree on what is read: so many, majority, quorum or all."
    )

    @model_validator(mode="after")
    def _writes_reach_copies(self) -> Cluster:
        if self.write_replicas and self.write_replicas > (self.replicas or 1):
            raise ValueError("write_replicas is more than there are replicas")
        return self


StoredVectors = Literal["memory", "disk", "scalar", "binary"]


class Store(Part):
    backend: Literal["qdrant_edge", "qdrant", "pgvector"] = runtime(
        "qdrant_edge", description="Embedded engine, a Qdrant server, or PostgreSQL with pgvector."
    )
    path: PathField = runtime(
        Path(".ragkit/index"),
        description="Folder of the index; relative to the working directory. With a server: of its manifest.",
    )
    url: StoreAddress | None = runtime(
        None,
        description="qdrant: address of the server, e.g. http://localhost:6333. pgvector: of the database, e.g."
        " postgresql://ragkit@localhost:5432/ragkit.",
    )
    api_key: SecretStr | None = runtime(None, strict=False, description="qdrant: key; use ${QDRANT_API_KEY}.")
    password: SecretStr | None = runtime(
        None, strict=False, description="pgvector: password; use ${POSTGRES_PASSWORD}."
    )
    collection: str = runtime(
        "ragkit",
        min_length=1,
        description="qdrant, pgvector: how names of collections or tables begin; each index has one of its own.",
    )
    timeout_s: float = runtime(30.0, gt=0, le=86_400, description="qdrant, pgvector: time limit of one call.")
    vectors: StoredVectors = "memory"
    """Where searches read vectors. memory: all that fit, at once. disk: as they are needed. scalar, binary: from a
    quarter or a thirty-second of their size in memory; the best are then ordered by the whole ones on disk."""
    cluster: Cluster = Cluster()

    @field_validator("collection")
    @classmethod
    def _is_table(cls, collection: str, info: ValidationInfo) -> str:
        # PostgreSQL cuts names at 63 bytes, and the other tables of a collection have longer ones.
        if info.data.get("backend") == "pgvector" and not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]{0,46}", collection):
            raise ValueError("a table is named by up to 47 letters, digits and _, and begins with no digit")
        return collection

    @field_validator("vectors")
    @classmethod
    def _has_such_vectors(cls, vectors: str, info: ValidationInfo) -> str:
        if info.data.get("backend") == "pgvector" and vectors != "memory":
            raise ValueError("PostgreSQL decides itself what it keeps in memory; leave it out with backend pgvector")
        return vectors


class Ingestion(Part):
    sources: list[str] = runtime(
        [], description="Files, folders, globs and .jsonl files that `ragkit index` reads when given no path."
    )
    exclude: list[str] = Field(default_factory=lambda: [".git/", "node_modules/", "__pycache__/", ".ragkit/", ".venv/"])
    """Ignore patterns in .gitignore syntax, relative to each source folder."""
    follow_symlinks: bool = False
    """Follow links to files and folders; loops are cut either way."""
    progressive: bool = runtime(
        False, description="Publish everything by its words first; vectors fill in behind, in parts that grow."
    )
    parsing: Parsing = Parsing()
    chunking: Chunking = Chunking()
    embedding: Embedding = Embedding()
    store: Store = Store()
    engine: Literal["local", "ray"] = runtime(
        "local", description="What parses, chunks and embeds: this machine, or the machines of a Ray cluster."
    )
    ray: Ray = Ray()

    @model_validator(mode="after")
    def _goes_with_ray(self) -> Ingestion:
        if self.engine == "local":
            return self
        if self.embedding.device and ":" in self.embedding.device:
            raise ValueError(
                f"embedding.device {self.embedding.device} names one GPU, but with engine ray each process has its own;"
                f" write {self.embedding.device.split(':')[0]}"
            )
        if self.embedding.backend == "openai" and self.chunking.strategy == "semantic":
            raise ValueError(
                "chunking.strategy semantic asks embedding.backend openai for the vector of each sentence, from every"
                " machine and with its key; with engine ray set chunking.strategy to recursive or fixed_size"
            )
        return self


class Fusion(Part):
    method: Literal["rrf", "weighted", "dbsf"] = "dbsf"
    """rrf: by ranks; weighted: by normalised scores; dbsf: by distribution-based normalised scores."""
    k: int = Field(default=60, ge=1)
    """rrf: rank constant."""
    alpha: float = Field(default=0.5, ge=0, le=1)
    """weighted: weight of the dense score; the sparse one gets 1 - alpha."""


RerankingBackend = Literal["none", "cross_encoder", "http"]


class Reranking(Part):
    backend: RerankingBackend = "none"
    """Second-stage scoring: none, a model on this machine, or a service."""
    model: str | None = None
    """cross_encoder: a model of `ragkit models list`, hf:org/name, or a folder; http: name sent to the service."""
    candidates: int = Field(default=20, ge=1, le=1000)
    """Chunks of the fused list that are scored."""
    weight: float = Field(default=1.0, ge=0, le=1)
    """Share of the reranker's scores; what is left to 1 is that of the stage before, both standardised over the
    candidates. 1 orders by the reranker alone."""
    top_n: int | None = Field(default=None, ge=1)
    """Keep this many after reranking; null keeps retrieval.top_k."""
    base_url: Address | None = runtime(None, description="http: address up to the part before /rerank.")
    api_key: SecretStr | None = runtime(None, strict=False, description="http: key; use ${COHERE_API_KEY}.")
    device: Device | None = runtime(
        None, description="cross_encoder: cpu, cuda, cuda:1, mps; null runs ONNX on the processor, else torch chooses."
    )
    timeout_s: float = runtime(20.0, gt=0, le=86_400, description="http: time limit of one call.")

    @model_validator(mode="after")
    def _complete(self) -> Reranking:
        if self.backend == "cross_encoder" and not self.model:
            raise ValueError("backend cross_encoder needs model, e.g. bge-reranker-base (see ragkit models list)")
        if self.backend == "http" and not self.base_url:
            raise ValueError("backend http needs base_url, e.g. http://localhost:8000/v1")
        return self


Transform = Literal["spelling", "acronyms", "multi_query", "decompose", "hyde"]


class Feedback(Part):
    method: Literal["none", "rm3", "rocchio", "both"] = "none"
    """What is searched a second time, with what the first search found. rm3: words, with the terms that stand out
    there; rocchio: meaning, from a vector between the question and what was found. Neither does anything where the
    strategy does not search that way."""
    documents: int = Field(default=10, ge=1, le=100)
    """rm3: how many of the best chunks the terms come from."""
    terms: int = Field(default=30, ge=1, le=1000)
    """rm3: how many terms are added."""
    weight: float = Field(default=0.5, ge=0, le=1)
    """rm3: share of the question's own terms; 1 adds nothing."""
    rocchio_documents: int = Field(default=3, ge=1, le=100)
    """rocchio: how many of the best chunks the vector moves towards."""
    rocchio_weight: float = Field(default=0.7, ge=0, le=1)
    """rocchio: share of the question's own vector; 1 moves nothing."""


class Neighbours(Part):
    method: Literal["none", "smooth"] = "none"
    """smooth: a chunk's score is moved a little towards those of the chunks of other documents that are like it."""
    k: int = Field(default=8, ge=1, le=100)
    """smooth: how many."""
    weight: float = Field(default=0.3, ge=0, le=1)
    """smooth: their share of the new score."""
    among: int = Field(default=50, ge=2, le=1000)
    """smooth: how many of the best chunks exchange scores."""


class Diversity(Part):
    method: Literal["none", "mmr"] = "none"
    """mmr: of chunks that say the same, the later ones go down (maximal marginal relevance)."""
    weight: float = Field(default=0.7, ge=0, le=1)
    """mmr: share of relevance; what is left to 1 counts against likeness to chunks that stand higher. 1 changes no
    order."""
    candidates: int = Field(default=50, ge=1, le=1000)
    """mmr: how many of the best chunks are put in order, at least top_k."""


FilterScalar = str | int | float | bool | date | datetime


class Filter(Part):
    """One condition on a field, or a combination of conditions.

    A condition names `field` and one of `eq`, `any`, or a range of `gt`, `gte`, `lt`, `lte` (numbers or dates; a
    date compares with fields that hold ISO 8601 dates). A combination is one of `and`, `or`, `not`.
    """

    model_config = ConfigDict(validate_by_name=True, validate_by_alias=True)  # Filter(not_=...) in Python

    field: str | None = None
    eq: FilterScalar | None = None
    any: list[FilterScalar] | None = None
    gt: int | float | date | datetime | None = None
    gte: int | float | date | datetime | None = None
    lt: int | float | date | datetime | None = None
    lte: int | float | date | datetime | None = None
    and_: list[Filter] | None = Field(default=None, validation_alias="and", serialization_alias="and")
    or_: list[Filter] | None = Field(default=None, validation_alias="or", serialization_alias="or")
    not_: Filter | None = Field(default=None, validation_alias="not", serialization_alias="not")

    @model_validator(mode="after")
    def _one_kind(self) -> Filter:
        ranged = any(bound is not None for bound in (self.gt, self.gte, self.lt, self.lte))
        conditions = [self.eq is not None, self.any is not None, ranged]
        combinations = [self.and_ is not None, self.or_ is not None, self.not_ is not None]
        if self.field is not None and (sum(conditions) != 1 or any(combinations)):
            raise ValueError("a filter with `field` needs exactly one of eq, any, or a range (gt, gte, lt, lte)")
        if self.field is None and (sum(combinations) != 1 or any(conditions)):
            raise ValueError("a filter without `field` needs exactly one of and, or, not")
        return self


class Retrieval(Part):
    strategy: Literal["dense", "sparse", "hybrid"] = "hybrid"
    """By meaning (embedding), by words (`sparse`), or both."""
    sparse: Literal["bm25", "splade", "both"] = "bm25"
    """What a search by words is: BM25; SPLADE, a model that weighs the words of a text and others that mean the same;
    or both, each a list of its own to fusion. The index holds SPLADE's vectors only where this asks for them."""
    splade_model: str = "splade-tiny"
    """splade, both: a known name (`ragkit models list`), hf:org/name, or a folder of sentence-transformers'
    SparseEncoder; device and batch_size are those of ingestion.embedding."""
    candidates: int = Field(default=200, ge=1, le=10_000)
    """Chunks taken from each retriever before fusion; score-normalising fusion needs the tail of the lists."""
    top_k: int = Field(default=10, ge=1, le=1000)
    """Chunks kept after fusion (and reranking)."""
    fusion: Fusion = Fusion()
    bm25: Bm25 = Bm25()
    transforms: list[Transform] = Field(default_factory=list[Transform])
    """What is done to the question before the search, always in this order: spelling (words that the documents never
    use become the nearest that they do), acronyms (written out, or added, as the documents define them), multi_query
    (further wordings are searched too), decompose (the parts of a question of two parts are), hyde (a passage that a
    language model imagines as the answer is, by meaning). Lists of several searches are joined by fusion."""
    feedback: Feedback = Feedback()
    neighbours: Neighbours = Neighbours()
    reranking: Reranking = Reranking()
    diversity: Diversity = Diversity()
    filters: list[Filter] = Field(default_factory=list[Filter])
    """Conditions that every result must meet."""

    @model_validator(mode="after")
    def _feedback_has_terms(self) -> Retrieval:
        method = self.feedback.method
        if self.sparse == "splade" and method in ("rm3", "both"):
            raise ValueError(f"feedback.method {method} searches by BM25's terms; set sparse to bm25 or both")
        return self


class Refusal(Part):
    max_false_refusals: float = Field(default=0.05, gt=0, lt=1)
    """Share of answerable questions that may be refused for weak evidence. The threshold for it was calibrated on
    encyclopedia articles: count on your own questions (`ragkit eval checklist`, row 7)."""
    min_confidence: float | None = Field(default=None, ge=0, le=1)
    """Refuse when the estimated chance that the evidence answers is lower; null leaves it to `max_false_refusals`, 0
    refuses nothing."""
    slope: float = Field(default=1.0, gt=0)
    """With `intercept`: fits that chance to your own questions; its logit is multiplied by this. Set by `ragkit train
    answerability`, with `min_confidence`."""
    intercept: float = 0.0
    """Added to that logit."""
    ask_model: bool = False
    """llama_cpp: for small models, which seldom refuse. After the answer the model is asked whether the sentence
    nearest to the question answers it; if that is too doubtful the answer is a refusal, and else the sentence is quoted
    behind an answer that does not hold it."""


class Generation(Part):
    reader: str | None = None
    """A small model that looks for the answer in the first passages: it decides on refusals before another model is
    paid, and which sentences `extractive` quotes. The folder of one that scripts/train_reader.py made, or null."""
    backend: Literal["extractive", "openai", "vllm", "llama_cpp"] = "extractive"
    """Sentences of the documents word for word (no model), a model behind an OpenAI-compatible server, or a model in
    this process: by vLLM, or by llama.cpp."""
    model: str | None = None
    """Name of the model at the API (openai), or of a model that ragkit fetches (llama_cpp, vllm: `ragkit models list`,
    or a path); not used by extractive."""
    system_prompt: str = DEFAULT_SYSTEM_PROMPT
    """What a model is told before the documents; extractive does not read it."""
    reminder: str = ""
    """Put behind the question: a small model attends to what stands last."""
    temperature: float = Field(default=0.1, ge=0, le=2)
    """Randomness of a model's choice of words; 0 is the least."""
    max_tokens: int = Field(default=512, ge=1, le=1_000_000)
    """Longest answer."""
    stop: list[Annotated[str, Field(min_length=1)]] = Field(default_factory=list, max_length=4)
    """Texts that end an answer and are no part of it."""
    citations: Literal["names", "tags", "grammar", "json_schema"] = "names"
    """How a model cites: asked to write the document's name; asked to copy its short number ([1]), which small models
    do better; held to numbers by a grammar (llama_cpp, vllm and vLLM's server), or by a JSON schema."""
    context_tokens: int = Field(default=3000, ge=128, le=10_000_000)
    """Budget for the context blocks of the prompt; the lowest ranked are dropped first."""
    context_chunks: int = Field(default=5, ge=1, le=100)
    """Most chunks in the prompt."""
    packing: Literal["chunks", "sentences"] = "chunks"
    """What of them: whole chunks, as many as context_tokens has room for; or the sentences nearest to the question, and
    once what stands twice. In 300 tokens sentences keep about as many answers as whole chunks do in 450; raise
    context_chunks with it."""
    order: Literal["rank", "document"] = "rank"
    """Of the documents in the prompt: the best first; or by name and place, so that questions about the same documents
    begin alike and a prompt cache serves more of them."""
    prompt_cache: Literal["none", "openai", "anthropic"] = runtime(
        "none",
        description="openai: what tells the provider to keep the beginnings of prompts, where it does not do so by"
        " itself: a prompt_cache_key (openai), or cache_control marks (anthropic, through gateways that pass them on).",
    )
    expand: Literal["none", "window", "parent"] = "none"
    """What is read of a chunk that was found: itself; with the chunks beside it; or with all of its section. Either way
    no more than context_tokens / context_chunks, and passages that meet become one."""
    expand_by: int = Field(default=1, ge=1, le=20)
    """window: chunks on either side."""
    max_sentences: int = Field(default=3, ge=1, le=20)
    """extractive: most sentences in an answer."""
    refusal: Refusal = Refusal()
    base_url: Address | None = runtime(None, description="openai: address of the API, up to and including /v1.")
    api_key: SecretStr | None = runtime(None, strict=False, description="openai: key; use ${OPENAI_API_KEY}.")
    api_version: str | None = runtime(None, description="openai: set for Azure, e.g. 2024-10-21.")
    threads: int | None = runtime(None, ge=1, le=256, description="llama_cpp: CPU threads; null takes one per core.")
    gpu_layers: int = runtime(0, ge=-1, description="llama_cpp: layers on a GPU; -1 puts all there.")
    timeout_s: float = runtime(60.0, gt=0, le=86_400, description="openai: time limit of one answer.")

    @model_validator(mode="after")
    def _complete(self) -> Generation:
        examples = {
            "openai": "gpt-4o-mini",
            "llama_cpp": "qwen2.5-coder-1.5b-instruct",
            "vllm": "hf:Qwen/Qwen2.5-7B-Instruct",
        }
        if self.backend in examples and not self.model:
            raise ValueError(f"backend {self.backend} needs model, e.g. {examples[self.backend]}")
        if self.backend == "openai" and self.api_version and not self.base_url:
            raise ValueError("api_version is for Azure, which needs base_url too")
        if self.refusal.ask_model and self.backend != "llama_cpp":
            raise ValueError("refusal.ask_model is for backend llama_cpp")
        is_openai = self.base_url is None or urlsplit(self.base_url).hostname == "api.openai.com"
        if self.backend == "openai" and self.citations == "grammar" and (is_openai or self.api_version):
            raise ValueError("citations: grammar is nothing that OpenAI's API knows; set json_schema or tags")
        return self

    def without_model(self) -> Generation:
        """The same for sentences of the documents: no language model writes, nor is one asked.

        >>> Generation(backend="openai", model="m").without_model().backend
        'extractive'
        """
        refusal = self.refusal.model_copy(update={"ask_model": False})
        return self.model_copy(update={"backend": "extractive", "refusal": refusal})


class Origins(dict[str, str]):
    """For each key that was written somewhere, where: {"retrieval.top_k": "ragkit.yaml:4"}.

    Equal to any other: where a value was written makes no other config of it.
    """

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Origins)

    def __ne__(self, other: object) -> bool:
        return not self == other

    __hash__ = None  # pyright: ignore[reportAssignmentType] - as of any dict


class Config(Part):
    """A whole system. Every default here is the real default."""

    ingestion: Ingestion = Ingestion()
    retrieval: Retrieval = Retrieval()
    generation: Generation = Generation()
    routing: Routing = Routing()
    cache: Cache = Cache()
    costs: Costs = Costs()
    serve: Serve = Serve()
    _origins: Origins = PrivateAttr(default_factory=Origins)

    @model_validator(mode="after")
    def _endpoints_are_complete(self) -> Config:
        for endpoint in self.routing.endpoints:
            try:
                endpoint.over(self.generation)
            except ValidationError as error:
                said = "; ".join(str(one["ctx"]["error"]) if "ctx" in one else one["msg"] for one in error.errors())
                raise ValueError(f"routing.endpoints: {endpoint.name}: {said}") from None
        return self

    @model_validator(mode="after")
    def _has_a_writer(self) -> Config:
        if "hyde" in self.retrieval.transforms and not self.can_write:
            raise ValueError(
                "retrieval.transforms: hyde needs a language model; set generation.backend to openai or llama_cpp"
            )
        return self

    @property
    def can_write(self) -> bool:
        """Whether a language model can be asked for a text that is no answer: of `generation`, or of an endpoint."""
        asked = [each.over(self.generation) for each in self.routing.endpoints] or [self.generation]
        return any(generation.backend in WRITERS for generation in asked)

    @property
    def searches_by_api(self) -> bool:
        """Whether a search may ask a model behind an API, for a vector, an order or another wording."""
        retrieval = self.retrieval
        by_meaning = retrieval.strategy != "sparse" and self.ingestion.embedding.backend == "openai"
        return by_meaning or retrieval.reranking.backend == "http" or (bool(retrieval.transforms) and self.can_write)

    def searching(self, retrieval: Retrieval, reranked_by: RerankingBackend) -> Config:
        """The config of a search with these settings, which this kind of reranker orders."""
        reranking = retrieval.reranking.model_copy(update={"backend": reranked_by})
        return self.model_copy(update={"retrieval": retrieval.model_copy(update={"reranking": reranking})})

    @property
    def origins(self) -> Origins:
        """Where keys were written, if the config was read from a file; keys left at their default are absent."""
        return self._origins

    def read_from(self, origins: Origins) -> Config:
        """The config with the places where its keys were written."""
        config = self.model_copy()
        config._origins = origins
        return config
