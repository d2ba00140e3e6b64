"""Chunking: megabytes a second, and how many chunks end inside a sentence."""

from __future__ import annotations

import re
from ast import literal_eval
from collections.abc import Callable, Sequence
from functools import cache
from importlib import import_module
from itertools import pairwise
from typing import Any

from eval.bench.corpus import MODEL, TOKENS, chunking, data, filings, has_data, model, peps, rows_of
from eval.bench.spec import Bench, Case, Clock, Contender, Measure, Values

Span = tuple[int, int]
Chunker = Callable[[str], list[Span]]
"""A text to the spans of its chunks, in characters."""

ABOUT = f"""\
Chunks of at most {TOKENS} tokens of {MODEL}'s tokenizer without overlap, one process and one text after the other.
The texts are every 18th PEP and the four filings (as ragkit's parser reads them). `cut` is the share of the
boundaries between chunks that lie inside a sentence, on passages of SelQA whose sentences are known, ten passages
to a text; `surely cut`, on the texts themselves, counts boundaries with no sentence's end before them, no blank
line, and a small letter after them. `over budget` is the share of chunks with more than {TOKENS} tokens.

Semantic splitters run with the same {MODEL}, and with that model's word vectors alone, averaged, which is what ragkit
takes (the static model that chonkie recommends, potion, is not on the package index)."""


def _pieces(text: str, chunks: Sequence[str]) -> list[Span]:
    """Where chunks stand that come as texts alone, one behind the other."""
    spans: list[Span] = []
    at = 0
    for chunk in chunks:
        start = text.find(chunk.strip(), at)
        if start >= 0 and chunk.strip():
            spans.append((start, start + len(chunk.strip())))
            at = spans[-1][1]
    return spans


def cut_share(spans: Sequence[Span], inside: Callable[[int, int], bool]) -> tuple[int, int]:
    """(cut, boundaries): a boundary is cut if `inside` says so of the end of a chunk and the start of the next.

    >>> cut_share([(0, 3), (4, 6), (6, 9)], lambda end, start: start == 4)
    (1, 2)
    """
    pairs = list(pairwise(spans))
    return sum(inside(one[1], other[0]) for one, other in pairs), len(pairs)


def inside_marked(text: str, starts: set[int]) -> Callable[[int, int], bool]:
    """Whether a chunk that ends at `end` and one that starts at `start` part a sentence, by marked sentence starts.

    >>> text = "One two. Three."
    >>> inside_marked(text, {0, 9})(8, 9), inside_marked(text, {0, 9})(3, 4)
    (False, True)
    """

    def inside(end: int, start: int) -> bool:
        while start < len(text) and text[start].isspace():
            start += 1
        return start not in starts and start < len(text)

    return inside


def surely_inside(text: str) -> Callable[[int, int], bool]:
    """Whether anybody would say so, without marks.

    >>> text = "one two three. Four"
    >>> surely_inside(text)(7, 8), surely_inside(text)(14, 15)
    (True, False)
    """

    def inside(end: int, start: int) -> bool:
        # Splitters differ in whose the white space between two chunks is.
        before, after = text[:end].rstrip(), text[start:].lstrip()
        gap = text[len(before) : len(text) - len(after)]
        ended = not before or before[-1] in ".!?:;\"')]}|*`=-~_”’"
        return not ended and not re.search(r"\n\s*\n", gap) and after[:1].islower()

    return inside


@cache
def texts(kind: str, every: int) -> list[str]:
    if kind == "PEPs":
        return [path.read_text(encoding="utf-8") for path in peps(every)]
    from ragkit.ingest.parse import parse_file

    return [parse_file(path, False).text for path in filings()]


@cache
def marked(passages: int) -> list[tuple[str, set[int]]]:
    """Texts of ten passages each, with the starts of their sentences; none without the data."""
    if not has_data():
        return []
    # Several questions of the set have the same sentences.
    read = {str(row["sentences"]): row["sentences"] for row in rows_of(data() / "train" / "selqa.jsonl.gz")}
    rows = [literal_eval(each) if isinstance(each, str) else each for each in list(read.values())[:passages]]
    found: list[tuple[str, set[int]]] = []
    for begin in range(0, len(rows), 10):
        text, starts = "", set[int]()
        for sentences in rows[begin : begin + 10]:
            for sentence in sentences:
                starts.add(len(text))
                text += sentence.strip() + " "
            text = text.rstrip() + "\n\n"
        found.append((text, starts))
    return found


def ragkit(strategy: str) -> Chunker:
    from ragkit import Config, Document
    from ragkit.embed import make_embedder
    from ragkit.ingest.chunk import chunk_document
    from ragkit.ingest.settings import token_counter_of
    from ragkit.ingest.topics import make_sentence_encoder

    config = Config.model_validate({"ingestion": {"chunking": chunking(strategy)}})
    counter, embedding = token_counter_of(config), config.ingestion.embedding
    encoder = None
    if strategy == "semantic":
        encoder = make_sentence_encoder(embedding, counter, make_embedder(embedding))

    def chunk(text: str) -> list[Span]:
        document = Document(id="d", text=text, source="d.txt", title="", content_hash="", media_type="text/plain")
        chunks = chunk_document(document, config.ingestion.chunking, counter, encoder)
        return [(each.start, each.end) for each in chunks]

    return chunk


def _counter() -> Any:
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(model() / "tokenizer.json"))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


def _encoder(static: bool) -> Any:
    from sentence_transformers import SentenceTransformer

    full: Any = SentenceTransformer(str(model()), device="cpu")
    if not static:
        return full
    embedding: Any = import_module("sentence_transformers.models").StaticEmbedding
    weights = full[0].auto_model.embeddings.word_embeddings.weight.detach().numpy().copy()
    return SentenceTransformer(modules=[embedding(_counter(), embedding_weights=weights)], device="cpu")


def llamaindex_sentence() -> Chunker:
    parsers, tokenizer = import_module("llama_index.core.node_parser"), _counter()

    def tokens(text: str) -> list[int]:
        return tokenizer.encode(text, add_special_tokens=False).ids

    return _llamaindex(parsers.SentenceSplitter(chunk_size=TOKENS, chunk_overlap=0, tokenizer=tokens))


def llamaindex_semantic(static: bool) -> Callable[[], Chunker]:
    def make() -> Chunker:
        parsers = import_module("llama_index.core.node_parser")
        base, encoder = import_module("llama_index.core.embeddings").BaseEmbedding, _encoder(static)

        class Known(base):
            """The encoder that the others have too."""

            def _get_text_embedding(self, text: str) -> list[float]:
                return encoder.encode([text], show_progress_bar=False)[0].tolist()

            def _get_text_embeddings(self, texts: list[str]) -> list[list[float]]:
                return encoder.encode(texts, show_progress_bar=False).tolist()

            def _get_query_embedding(self, query: str) -> list[float]:
                return self._get_text_embedding(query)

            async def _aget_query_embedding(self, query: str) -> list[float]:
                return self._get_text_embedding(query)

        embed: Any = Known(embed_batch_size=128)
        return _llamaindex(parsers.SemanticSplitterNodeParser(embed_model=embed))

    return make


def _llamaindex(splitter: Any) -> Chunker:
    document: Any = import_module("llama_index.core").Document

    def chunk(text: str) -> list[Span]:
        return _pieces(text, [node.text for node in splitter.get_nodes_from_documents([document(text=text)])])

    return chunk


def chonkie_recursive() -> Chunker:
    chunker: Any = import_module("chonkie").RecursiveChunker(tokenizer=_counter(), chunk_size=TOKENS)
    return lambda text: [(each.start_index, each.end_index) for each in chunker.chunk(text)]


def chonkie_semantic(static: bool) -> Callable[[], Chunker]:
    def make() -> Chunker:
        chonkie = import_module("chonkie")
        embeddings = import_module("chonkie.embeddings").SentenceTransformerEmbeddings(_encoder(static))
        chunker: Any = chonkie.SemanticChunker(embedding_model=embeddings, chunk_size=TOKENS)
        return lambda text: [(each.start_index, each.end_index) for each in chunker.chunk(text)]

    return make


def semchunk() -> Chunker:
    chunker: Any = import_module("semchunk").chunkerify(_counter(), TOKENS)
    return lambda text: chunker(text, offsets=True)[1]


def _work(make: Callable[[], Chunker]) -> Callable[[Case, Clock], Values]:
    def work(case: Case, clock: Clock) -> Values:
        read = texts(case.name, case.settings["every"])
        with clock("load_s"):
            chunk = make()
            chunk("Load what is loaded late. Before the clock starts.\n\nAnd this paragraph, too.")
        with clock("seconds"):
            spans = [chunk(text) for text in read]
        counter = _counter()
        sizes = [
            len(counter.encode(text[start:end], add_special_tokens=False).ids)
            for text, each in zip(read, spans, strict=True)
            for start, end in each
        ]
        sure = [cut_share(each, surely_inside(text)) for text, each in zip(read, spans, strict=True)]
        gold = [cut_share(chunk(text), inside_marked(text, starts)) for text, starts in marked(case.settings["marked"])]
        values = {
            "mb_s": sum(len(text.encode()) for text in read) / 1e6 / clock.seconds["seconds"],
            "chunks": len(sizes),
            "tokens": sum(sizes) / max(1, len(sizes)),
            "over": sum(size > TOKENS for size in sizes) / max(1, len(sizes)),
            "sure": sum(cut for cut, _ in sure) / max(1, sum(count for _, count in sure)),
        }
        if gold:
            values["cut"] = sum(cut for cut, _ in gold) / max(1, sum(count for _, count in gold))
        return values

    return work


_SPLITTER = "chunk_size 200, overlap 0, the model's tokenizer"
CONTENDERS = {
    "ragkit": Contender("ragkit semantic", _work(lambda: ragkit("semantic")), "the default strategy"),
    "ragkit-recursive": Contender(
        "ragkit recursive", _work(lambda: ragkit("recursive")), "the same without topics", own=True
    ),
    "ragkit-fixed": Contender(
        "ragkit fixed_size", _work(lambda: ragkit("fixed_size")), "the same, ends anywhere", own=True
    ),
    "llamaindex-sentence": Contender("LlamaIndex SentenceSplitter", _work(llamaindex_sentence), _SPLITTER),
    "llamaindex-semantic": Contender(
        "LlamaIndex semantic",
        _work(llamaindex_semantic(static=False)),
        "`SemanticSplitterNodeParser`, its defaults, batches of 128; it takes no size",
    ),
    "llamaindex-semantic-static": Contender(
        "LlamaIndex semantic, word vectors", _work(llamaindex_semantic(static=True)), "the same with word vectors"
    ),
    "chonkie-recursive": Contender("chonkie recursive", _work(chonkie_recursive), "`RecursiveChunker`, " + _SPLITTER),
    "chonkie-semantic": Contender(
        "chonkie semantic", _work(chonkie_semantic(static=False)), "`SemanticChunker`, its defaults, chunk_size 200"
    ),
    "chonkie-semantic-static": Contender(
        "chonkie semantic, word vectors", _work(chonkie_semantic(static=True)), "the same with word vectors"
    ),
    "semchunk": Contender("semchunk", _work(semchunk), "`chunkerify`, " + _SPLITTER),
}


def _cases(quick: bool) -> list[Case]:
    marks = 40 if quick else 300
    cases = [Case("PEPs", {"every": 240 if quick else 18, "marked": marks})]
    return [*cases, Case("filings", {"every": 1, "marked": marks})] if has_data() and not quick else cases


CHUNK = Bench(
    "chunk",
    "Chunking",
    ABOUT,
    (
        Measure("mb_s", "MB/s", "higher"),
        Measure("cut", "cut", "lower"),
        Measure("sure", "surely cut", "lower"),
        Measure("over", "over budget", "lower"),
        Measure("tokens", "tokens a chunk", None),
        Measure("chunks", "chunks", None),
        Measure("peak_mb", "peak memory, MB", "lower"),
    ),
    CONTENDERS,
    _cases,
    minutes=45,
    limit_s=1_200,
    plot=("mb_s", "cut"),
)
