"""What the cache keeps of an answer, and for whom: whose questions share entries, and what an answer rests on.

An entry holds the answer without its results, the fingerprints of the chunks that stood in its prompt or are cited, and
those of the chunks that a search found for its question. A fingerprint is of all that a reader or a filter sees of a
chunk, so that an edit of its text, its page or its metadata makes another one.
"""

from __future__ import annotations

import hashlib
import json
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from ragkit.types import Answer, Chunk, Citation, RemovedCitation, Span, Usage

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ragkit.config.schema import Config, Filter


@dataclass(frozen=True, slots=True)
class Entry:
    """An answer that can be given again.

    `evidence` has the fingerprint of each chunk that the answer was made from, by chunk id; `documents` the content
    hashes of their documents, where passages were widened; `known` the fingerprints of all chunks that were found for
    its question when it was answered; `state` the index that it was answered from. `vector` is that of the question,
    None where nothing is searched by meaning. `nano_usd` is what the answer cost, None if that is not known. A store
    adds when it came, its scope, and an id that is larger than those of the scope's entries before.
    """

    question: str
    vector: NDArray[np.float32] | None
    answer: Answer
    evidence: Mapping[str, str]
    known: frozenset[str]
    state: str
    nano_usd: int | None
    documents: Mapping[str, str]
    created: float = 0.0
    scope: str = ""
    id: int = 0


def scope_of(
    config: Config, config_hash: str, version: str, tenant: str, task: str | None, filters: Sequence[Filter]
) -> str:
    """Whose entries a question may be answered from: a digest of all that can make another answer of the same words.

    That is the tenant, the config (with it the models and the prompt), the index, ragkit's version, the conditions
    that results must meet, in whichever order, and the task where endpoints are chosen by it.

    >>> from ragkit.config.schema import Config, Filter
    >>> a, b = Filter(field="a", eq=1), Filter(field="b", eq=2)
    >>> scope_of(Config(), "h", "1", "acme", None, [a, b]) == scope_of(Config(), "h", "1", "acme", None, [b, a])
    True
    >>> scope_of(Config(), "h", "1", "acme", None, []) == scope_of(Config(), "h", "1", "umbrella", None, [])
    False
    """
    store = config.ingestion.store
    place = [store.url, store.collection] if store.backend != "qdrant_edge" else []
    # As Python writes them: a date is not the text that reads as one. What is no filter is refused by the search.
    parts = [
        tenant,
        config_hash,
        version,
        [store.backend, str(store.path.resolve()), *place],
        sorted({repr(condition) for condition in filters}) if isinstance(filters, list | tuple) else repr(filters),
        task if config.routing.endpoints else None,
    ]
    return _digest(json.dumps(parts, ensure_ascii=True))


def exact_key(question: str) -> str:
    """The question without what never changes its meaning: spaces, marks at its end, a capital at its beginning.

    Other capitals stay: "IT" is not "it".

    >>> exact_key("  How hot is  it? ") == exact_key("how hot is it")
    True
    >>> exact_key("How hot is IT?") == exact_key("how hot is it?")
    False
    """
    text = " ".join(unicodedata.normalize("NFC", question).split()).rstrip("?. ")
    return text[:1].lower() + text[1:]


def fingerprint(chunk: Chunk) -> str:
    """16 hexadecimal digits over all that is read of a chunk."""
    seen = [chunk.id, chunk.indexed_text, chunk.start, chunk.page_starts, dict(chunk.metadata)]
    return _digest(json.dumps(seen, ensure_ascii=True, sort_keys=True, default=str))[:16]


def fingerprints(chunks: Iterable[Chunk]) -> dict[str, str]:
    """The fingerprint of each chunk, by its id."""
    return {chunk.id: fingerprint(chunk) for chunk in chunks}


def packed(entry: Entry) -> str:
    """The entry but for its question and vector, as JSON."""
    answer = entry.answer
    return json.dumps(
        {
            "text": answer.text,
            "refused": answer.refused,
            "reason": answer.reason,
            "confidence": answer.confidence,
            "citations": [asdict(citation) for citation in answer.citations],
            "removed": [asdict(removed) for removed in answer.removed_citations],
            "unsupported": [[span.start, span.end] for span in answer.unsupported],
            "notes": answer.notes,
            "context": answer.context,
            "model": answer.model,
            "usage": asdict(answer.usage),
            "config_hash": answer.config_hash,
            "evidence": dict(entry.evidence),
            "documents": dict(entry.documents),
            "known": sorted(entry.known),
            "state": entry.state,
        },
        ensure_ascii=True,  # a model may write half of a surrogate pair, which no file takes
    )


def unpacked(body: str, question: str, vector: NDArray[np.float32] | None, nano_usd: int | None) -> Entry:
    """What `packed` was given. Raises ValueError, KeyError or TypeError for what it did not make."""
    kept: dict[str, Any] = json.loads(body)
    answer = Answer(
        text=kept["text"],
        refused=kept["refused"],
        reason=kept["reason"],
        confidence=kept["confidence"],
        citations=tuple(Citation(**citation) for citation in kept["citations"]),
        removed_citations=tuple(RemovedCitation(**removed) for removed in kept["removed"]),
        unsupported=tuple(Span(start, end) for start, end in kept["unsupported"]),
        notes=tuple(kept["notes"]),
        context=tuple(kept["context"]),
        model=kept["model"],
        usage=Usage(**kept["usage"]),
        config_hash=kept["config_hash"],
        results=(),
        trace_id="",
        timings_ms={},
    )
    known = frozenset[str](kept["known"])
    return Entry(question, vector, answer, kept["evidence"], known, kept["state"], nano_usd, kept["documents"])


def placed(entry: Entry, scope: str, identity: int, created: float) -> Entry:
    """The entry as the store has it."""
    return replace(entry, scope=scope, id=identity, created=created)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
