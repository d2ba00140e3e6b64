"""BM25 as sparse vectors: the term weights of a chunk, to be multiplied by each term's idf inside the store.

Robertson and Zaragoza (2009), "The Probabilistic Relevance Framework: BM25 and Beyond":

    score(q, d) = sum over terms t of q:  idf(t) * tf * (k1 + 1) / (tf + k1 * (1 - b + b * |d| / avg))
    idf(t)      = ln(1 + (N - n_t + 0.5) / (n_t + 0.5))          (Lucene's form, never negative)

The store keeps everything after `idf(t)` as the weight of t in d and knows N and n_t. Words are cut, stemmed and
hashed by Qdrant's own tokenizer, so that the embedded engine and the server rank alike.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from difflib import get_close_matches
from functools import cache, lru_cache

from ragkit.config.schema import Bm25
from ragkit.errors import ConfigError
from ragkit.store import WeightedTerms

# With b = 0 and a huge k the tokenizer's weight tf * (k + 1) / (tf + k) is the term frequency itself.
_COUNTING_K = 1e7
LANGUAGES = (
    *("arabic", "azerbaijani", "basque", "bengali", "catalan", "chinese", "danish", "dutch", "english", "finnish"),
    *("french", "german", "greek", "hebrew", "hinglish", "hungarian", "indonesian", "italian", "japanese", "kazakh"),
    *("nepali", "norwegian", "portuguese", "romanian", "russian", "slovene", "spanish", "swedish", "tajik", "turkish"),
)
"""Languages that the tokenizer knows, as it names them; it keeps no list to ask for."""
_GRID = math.log(1.05)


class Bm25Encoder:
    """Terms and weights of a text under one setting of k1, b and language."""

    def __init__(self, config: Bm25) -> None:
        self._k1 = config.k1
        self._b = config.b
        self._language = config.language
        check_language(config.language)

    def terms(self, text: str) -> dict[int, int]:
        """How often each term (a hash) occurs in the text."""
        return _terms(self._language, text)

    def document(self, text: str, average_length: float) -> tuple[list[int], list[float]]:
        """Indices and weights of a chunk's sparse vector."""
        terms = self.terms(text)
        norm = self._k1 * (1 - self._b + self._b * sum(terms.values()) / max(average_length, 1.0))
        return list(terms), [count * (self._k1 + 1) / (count + norm) for count in terms.values()]

    def question(self, text: str | WeightedTerms) -> tuple[list[int], list[float]]:
        """Indices and weights of a question: each distinct term of a text once, as in the formula."""
        if not isinstance(text, str):
            return list(text.keys()), list(text.values())
        indices = sorted(self.terms(text))
        return indices, [1.0] * len(indices)


def check_language(language: str) -> None:
    """Raise ConfigError, with those that come near, for a language that the tokenizer does not know."""
    _counter(language)


def suggestion(word: str, known: Sequence[str]) -> str:
    """What may have been meant, or all there is."""
    near = get_close_matches(word.lower(), known, n=1)
    return f"did you mean {near[0]}?" if near else f"choose one of {', '.join(known)}"


def rounded_average_length(terms: int, chunks: int) -> float:
    """Mean number of terms in a chunk, rounded to a grid of 5% steps.

    Weights depend on it, so any change means rewriting all of them; on a grid an edit rarely changes it, and it
    still depends on nothing but the corpus, so that every way to the same corpus gives the same weights.

    >>> rounded_average_length(1000, 10) == rounded_average_length(1004, 10)
    True
    """
    if not terms or not chunks:
        return 1.0
    return math.exp(round(math.log(terms / chunks) / _GRID) * _GRID)


# A text on its way into the index is asked for three times: for the average, the manifest and the weights.
@lru_cache(maxsize=1024)
def _terms(language: str, text: str) -> dict[int, int]:
    counted = _counter(language).embed_document(text)
    return {index: max(1, round(value)) for index, value in zip(counted.indices, counted.values, strict=True)}


@cache
def _counter(language: str):
    import qdrant_edge

    try:
        return qdrant_edge.Bm25(qdrant_edge.Bm25Config(k=_COUNTING_K, b=0.0, language=language))
    except ValueError:
        raise ConfigError(
            f"retrieval.bm25.language: there is no stemmer for {language!r}", mend=suggestion(language, LANGUAGES)
        ) from None
