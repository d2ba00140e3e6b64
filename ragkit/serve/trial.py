"""Retrieval with other settings than those in force: for one question, and how many saved cases it finds.

Only what changes no index and calls no language model may be tried, in bounds that keep a run no dearer than a search
with a reranker. Which rerankers may be loaded for it says `trial_rerankers.py`.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, get_args

from ragkit.config.edit import Scalar
from ragkit.config.schema import Config, Filter, Retrieval, Transform
from ragkit.evaluate.cases import Case
from ragkit.evaluate.gold import GoldFinder
from ragkit.retrieve.retriever import Retrieved, retrieve
from ragkit.serve.access import Caller
from ragkit.store.filters import parse_filter
from ragkit.system import Ragkit

if TYPE_CHECKING:
    from ragkit.rerank import Reranker
    from ragkit.retrieve.query_transforms import Rewriter

KEYS: Mapping[str, tuple[str, ...]] = {
    "strategy": ("retrieval", "strategy"),
    "candidates": ("retrieval", "candidates"),
    "top_k": ("retrieval", "top_k"),
    "fusion": ("retrieval", "fusion", "method"),
    "rrf_k": ("retrieval", "fusion", "k"),
    "alpha": ("retrieval", "fusion", "alpha"),
    "rerank_candidates": ("retrieval", "reranking", "candidates"),
    "rerank_weight": ("retrieval", "reranking", "weight"),
    "feedback": ("retrieval", "feedback", "method"),
    "neighbours": ("retrieval", "neighbours", "method"),
    "diversity": ("retrieval", "diversity", "method"),
    "diversity_weight": ("retrieval", "diversity", "weight"),
}
"""What may be tried, and the key of the config that it is."""
MOST_CASES = 200
TRANSFORMS: tuple[Transform, ...] = get_args(Transform)
_BY_RULE: frozenset[Transform] = frozenset({"spelling", "acronyms"})
_ELSE_BY_RULE: frozenset[Transform] = frozenset({"multi_query", "decompose"})
"""Rules take the place of a language model where there is none."""


@dataclass(frozen=True, slots=True)
class Found:
    """A saved case and the rank of the first passage that holds its evidence; None if none does."""

    id: str
    question: str
    rank: int | None


class Trial:
    """One choice of settings over the index as it is. Raises ConfigError for values that the config does not take."""

    def __init__(
        self,
        rag: Ragkit,
        caller: Caller,
        settings: Mapping[str, Scalar],
        reranker: Reranker | None,
        transforms: Sequence[Transform] | None = None,
        *,
        local: bool = False,
    ) -> None:
        """`transforms` None are those in force. Of both only those are done that ask no language model. `local`: the
        reranker is one of this machine, whatever the config has."""
        self._rag, self._caller = rag, caller
        self._snapshot = rag.snapshot()
        wanted = rag.config.retrieval.transforms if transforms is None else transforms
        tried = tried_transforms(rag.config)
        done: list[Transform] = [name for name in TRANSFORMS if name in wanted and name in tried]
        self.retrieval = changed(rag.config.retrieval, settings, done)
        self._reranker = reranker
        by = "none" if reranker is None else "cross_encoder" if local else self.retrieval.reranking.backend
        self._config = rag.config.searching(self.retrieval, by)
        self._rewriter: Rewriter | None = rag.rewriter(self._config)

    def search(self, question: str, filters: Sequence[Filter]) -> Retrieved:
        """The best passages of those that the caller sees, who pays for models that cost something."""
        conditions = [*filters, *self._caller.conditions]
        store, embedder = self._snapshot.store, self._rag.embedder
        with self._rag.spending.search(question, self._caller.payer, self._config) as call:
            found = retrieve(question, store, embedder, self.retrieval, self._reranker, conditions, self._rewriter)
            return call.found(self._config, found)

    def recall(self, cases: Sequence[Case], filters: Sequence[Filter], until: float) -> list[Found]:
        """The cases with evidence, each with the rank of the first passage that holds it; as many of them as there is
        time for (`until` on the monotonic clock)."""
        finder = GoldFinder(self._snapshot.manifest, self._snapshot.store)
        found: list[Found] = []
        for case in cases:
            if time.monotonic() > until:
                break
            chunks = {chunk for gold in finder.find(case) for chunk in gold.chunks}
            own = [*filters, *map(parse_filter, case.filters)]
            results = self.search(case.question, own).results
            rank = next((at for at, result in enumerate(results, start=1) if result.chunk.id in chunks), None)
            found.append(Found(case.id, case.question, rank))
        return found


def in_force(retrieval: Retrieval) -> dict[str, Scalar]:
    """The values that may be changed, as they are."""
    values: dict[str, Scalar] = {}
    for name, (_, *path) in KEYS.items():
        value: Any = retrieval
        for step in path:
            value = getattr(value, step)
        values[name] = value
    return values


def tried_transforms(config: Config) -> frozenset[Transform]:
    """Those that ask no language model under this config.

    >>> sorted(tried_transforms(Config()))
    ['acronyms', 'decompose', 'multi_query', 'spelling']
    """
    return _BY_RULE if config.can_write else _BY_RULE | _ELSE_BY_RULE


def changed(retrieval: Retrieval, settings: Mapping[str, Scalar], transforms: Sequence[Transform] = ()) -> Retrieval:
    """The settings with some of `KEYS` replaced, and with these transforms alone.

    >>> new = changed(Retrieval(), {"strategy": "dense", "alpha": 0.25})
    >>> new.strategy, new.fusion.alpha, new.fusion.method == Retrieval().fusion.method
    ('dense', 0.25, True)
    """
    top: dict[str, Any] = {"transforms": list(transforms)}
    parts: dict[str, dict[str, Any]] = {}
    for name, value in settings.items():
        _, *path = KEYS[name]
        if len(path) == 1:
            top[path[0]] = value
        else:
            parts.setdefault(path[0], {})[path[1]] = value
    top |= {part: getattr(retrieval, part).changed(values) for part, values in parts.items()}
    new = retrieval.changed(top)
    # As for a search: more results than candidates need more candidates.
    return new.changed({"candidates": max(new.candidates, new.top_k)})
