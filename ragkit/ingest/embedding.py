"""Embed the texts of a run: each distinct text once, and none that was embedded before."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

import numpy as np

from ragkit.ingest.vectors import VectorJournal

if TYPE_CHECKING:
    from numpy.typing import NDArray

SLICE = 128
"""Texts that go to a model at once: what a killed run loses of each model that works for it."""


class PassageEmbedder(Protocol):
    """Of an `Embedder` or a `SpladeEncoder` what an index run needs."""

    def embed_passages(self, texts: Sequence[str]) -> Iterable[NDArray[np.float32]]:
        """A vector a text."""
        ...


class EmbedsSlices(Protocol):
    """Slices of texts to their vectors, a slice at a time with its number, in the order in which they are done."""

    def __call__(self, slices: Sequence[Sequence[str]]) -> Iterator[tuple[int, Iterable[NDArray[np.float32]]]]: ...


def in_turn(embedder: PassageEmbedder) -> EmbedsSlices:
    """One slice after the other, each when it is asked for."""

    def embed(slices: Sequence[Sequence[str]]) -> Iterator[tuple[int, Iterable[NDArray[np.float32]]]]:
        return enumerate(map(embedder.embed_passages, slices))

    return embed


class RunEmbedder:
    """`reuse` are vectors of before (of edited and moved documents), by text; `journal` those of a run cut off.

    `embedded` and `reused` count distinct texts, `repeated` what stands more than once in a run.
    """

    def __init__(self, embed: EmbedsSlices, journal: VectorJournal, reuse: Mapping[str, NDArray[np.float32]]) -> None:
        self._embed = embed
        self._journal = journal
        self._reuse = reuse
        self._resumes = len(journal) > 0
        self.embedded = 0
        self.reused = 0
        self.repeated = 0

    def embed(self, texts: Sequence[str], told: Callable[[float], None] | None = None) -> NDArray[np.float32]:
        """One row a text, in order. `told` hears from time to time which share of them, 0 to 1, is done."""
        return np.stack(self.each(texts, told)) if texts else np.zeros((0, 0), dtype=np.float32)

    def known(self, texts: Sequence[str]) -> dict[str, NDArray[np.float32]]:
        """Of these texts the vectors that need not be computed."""
        known = {text: self._reuse[text] for text in texts if text in self._reuse}
        if self._resumes:
            known |= self._journal.get([text for text in texts if text not in known])
        return known

    def each(self, texts: Sequence[str], told: Callable[[float], None] | None = None) -> list[NDArray[np.float32]]:
        """The same for vectors that differ in length. A sparse one of shape (2, n) may come back as (2 * n,)."""
        known = self.known(texts)
        # Long ones first: texts of one length waste no padding, and running out of memory shows at once.
        fresh = sorted({text for text in texts if text not in known}, key=lambda text: (-len(text), text))
        slices = [fresh[begin : begin + SLICE] for begin in range(0, len(fresh), SLICE)]
        done = 0
        for number, vectors in self._embed(slices):
            part = slices[number]
            self._journal.put(part, vectors)
            known.update(zip(part, vectors, strict=True))
            self.embedded += len(part)
            done += len(part)
            if told:
                told(done / len(fresh))
        distinct = len(set(texts))
        self.reused += distinct - len(fresh)
        self.repeated += len(texts) - distinct
        return [known[text] for text in texts]
