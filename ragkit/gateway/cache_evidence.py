"""What an answer rests on, and whether that is as it was: an entry is served only while nothing better may be there.

The search of the entry's own question is done again with its stored vector, without a reranker or other wordings: no
model runs. Two things must hold. Every chunk that the answer was made from is there, character for character. And of
the chunks that the search puts where a prompt or a reranker reads, none is new: an edited or added document that comes
so far is a reason to answer anew. A chunk that was known and merely changed places is none, for adding a document
anywhere moves the weights of words a little.
"""

from __future__ import annotations

import contextvars
from collections.abc import Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ragkit.config.schema import Diversity, Filter, Reranking, Retrieval
from ragkit.embed.known import KnownQuestions
from ragkit.gateway.cache_entry import Entry, fingerprint, fingerprints
from ragkit.gateway.cache_store import open_store
from ragkit.generate.answerability import READ
from ragkit.retrieve.lists import kept_by_fusion
from ragkit.retrieve.retriever import Retrieved, retrieve

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ragkit.ask import Stages
    from ragkit.config.caching import Cache
    from ragkit.config.schema import Config
    from ragkit.store import StoreReader
    from ragkit.types import Answer

_AT_ONCE = 500
"""Chunks that are looked up in one call."""


@dataclass(frozen=True, slots=True)
class Found:
    """The cheap search of a question: `reach` chunks of its results are read by what comes behind it."""

    retrieved: Retrieved
    reach: int

    def known(self) -> frozenset[str]:
        """The fingerprints of all that was found."""
        return frozenset(fingerprint(result.chunk) for result in self.retrieved.results)


def search_cheaply(
    question: str, vector: NDArray[np.float32] | None, stages: Stages, filters: Sequence[Filter]
) -> Found:
    """The best chunks by the first stage alone, twice as many as are read; tells no listener."""
    retrieval = stages.config.retrieval
    reach = _reach(stages.config, reranks=stages.reranker is not None)
    top_k = max(2 * reach, reach + 10, retrieval.top_k)
    plain = retrieval.model_copy(
        update={
            "transforms": [],
            "reranking": Reranking(),
            "diversity": Diversity(),
            "top_k": top_k,
            "candidates": max(top_k, retrieval.candidates),
        }
    )
    embedder = stages.embedder if vector is None else KnownQuestions(stages.embedder, {question: vector})
    found = contextvars.Context().run(retrieve, question, stages.store, embedder, plain, None, filters)
    return Found(found, reach)


def changed(entry: Entry, found: Found, stages: Stages, state: str) -> str | None:
    """Why an entry cannot be served any more, None if it can; `found` is the cheap search of its question now."""
    if follows_state(stages.config.retrieval) and (not state or entry.state != state):
        return "index_changed"
    if any(fingerprint(result.chunk) not in entry.known for result in found.retrieved.results[: found.reach]):
        return "better_evidence"
    now = {result.chunk.id: result.chunk for result in found.retrieved.results}
    lacking = [chunk_id for chunk_id in entry.evidence if chunk_id not in now]
    if lacking:
        now |= stages.store.chunks(lacking)
    if any(chunk_id not in now or fingerprint(now[chunk_id]) != seen for chunk_id, seen in entry.evidence.items()):
        return "evidence_changed"
    if any(_content_hash(stages, document_id) != seen for document_id, seen in entry.documents.items()):
        return "evidence_changed"
    return None


def sweep(settings: Cache, store: StoreReader) -> int:
    """Take out the entries that rest on chunks which are not in the index any more, as after a deletion; how many.

    What stays is still compared when it is asked for: an edit is found then.
    """
    with closing(open_store(settings)) as cache:
        entries = cache.entries()
        wanted = list({chunk_id for entry in entries for chunk_id in entry.evidence})
        found: set[str] = set()
        for start in range(0, len(wanted), _AT_ONCE):
            found |= store.chunks(wanted[start : start + _AT_ONCE]).keys()
        gone = [entry for entry in entries if not entry.evidence.keys() <= found]
        for entry in gone:
            cache.drop(entry, "evidence_changed")
        return len(gone)


def evidence_of(answer: Answer, stages: Stages) -> dict[str, str] | None:
    """The fingerprints of the chunks that an answer was made from, None if one of them is not there any more."""
    wanted = dict.fromkeys((*answer.context, *(citation.chunk_id for citation in answer.citations)))
    chunks = {result.chunk.id: result.chunk for result in answer.results if result.chunk.id in wanted}
    lacking = [chunk_id for chunk_id in wanted if chunk_id not in chunks]
    if lacking:
        chunks |= stages.store.chunks(lacking)
    return fingerprints(chunks.values()) if len(chunks) == len(wanted) else None


def documents_of(answer: Answer, stages: Stages) -> dict[str, str]:
    """The content hashes of documents whose text widened passages: text beside a chunk is no chunk of the answer."""
    if stages.config.generation.expand == "none":
        return {}
    identities = _documents(answer)
    return {identity: _content_hash(stages, identity) or "" for identity in identities}


def follows_state(retrieval: Retrieval) -> bool:
    """Whether the cheap search says too little: other wordings of a question may find what it does not. Then an entry
    holds for one state of the index only."""
    return bool(retrieval.transforms)


def _documents(answer: Answer) -> Iterable[str]:
    used = set(answer.context)
    found = (result.chunk.document_id for result in answer.results if result.chunk.id in used)
    return dict.fromkeys((*found, *(citation.document_id for citation in answer.citations)))


def _content_hash(stages: Stages, document_id: str) -> str | None:
    document = stages.document(document_id)
    return None if document is None else document.content_hash


def _reach(config: Config, *, reranks: bool) -> int:
    """How many chunks of the first stage are read: by a reranker, by what takes out repetitions, or by the prompt."""
    read = max(config.generation.context_chunks, READ)
    if reranks:
        read = max(read, kept_by_fusion(config.retrieval, reranks=True))
    if config.retrieval.diversity.method == "mmr":
        read = max(read, config.retrieval.diversity.candidates)
    return read
