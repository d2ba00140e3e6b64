"""Rerankers of the catalogue for the playground: which can be tried here, and those that were, kept in bounds."""

from __future__ import annotations

import logging
import threading
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

from ragkit.errors import MissingExtra, ModelError
from ragkit.models.catalogue import Model, catalogue, in_words
from ragkit.models.resolve import find
from ragkit.rerank import Reranker
from ragkit.rerank.cross_encoder import load_cross_encoder
from ragkit.serve.problems import Problem

_log = logging.getLogger("ragkit.serve")
_ROOM = 1_500_000_000
"""Bytes of weights that may stay in memory beside the models in force."""

_LONGEST_WAIT_S = 30.0

State = Literal["here", "missing", "too_large"]


@dataclass(frozen=True, slots=True)
class RerankerChoice:
    """A reranker of the catalogue: on this machine, not on it, or of more bytes than may be loaded for a trial."""

    name: str
    size: str
    state: State
    fetch: str
    """The command that brings it to this machine."""


def choices() -> list[RerankerChoice]:
    """All rerankers of the catalogue, in its order. Looks at files, reads no weights.

    >>> [one.fetch for one in choices()][:1]
    ['ragkit models fetch ms-marco-MiniLM-L-6-v2']
    """
    return [_choice(model) for model in catalogue().values() if model.task == "reranking"]


def choice(name: str) -> RerankerChoice:
    """One that can be tried. Raises Problem (422, 409) for one that the catalogue has not, or that cannot be."""
    found = next((one for one in choices() if one.name == name), None)
    if found is None:
        raise Problem(422, "invalid_request", "there is no such reranker in the catalogue")
    if found.state == "missing":
        raise Problem(409, "not_on_this_machine", f"{name} is not on this machine; get it with: {found.fetch}")
    if found.state == "too_large":
        raise Problem(409, "too_large", f"{name} ({found.size}) is too large to be loaded for a trial")
    return found


def _choice(model: Model) -> RerankerChoice:
    here = find(model, check=False) is not None
    state: State = "too_large" if model.bytes > _ROOM else "here" if here else "missing"
    return RerankerChoice(model.name, in_words(model.bytes), state, f"ragkit models fetch {model.name}")


class TrialRerankers:
    """Loads rerankers and keeps them while there is room, the last used longest. One trial uses one at a time, so that
    no more are in memory than are kept here."""

    def __init__(self) -> None:
        self._turn = threading.Lock()
        self._loaded: dict[str, Reranker] = {}

    @contextmanager
    def used(self, name: str, within_s: float) -> Generator[Reranker]:
        """The reranker, for as long as the block runs. Raises Problem where it cannot be tried, or where others try
        one for longer than this one can wait."""
        choice(name)
        if not self._turn.acquire(timeout=min(max(0.0, within_s), _LONGEST_WAIT_S)):
            raise Problem(503, "busy", "another reranker is being tried; try again", retry_after=10)
        try:
            yield self._ready(name)
        finally:
            self._turn.release()

    def _ready(self, name: str) -> Reranker:
        known = self._loaded.pop(name, None)
        sizes = {other: catalogue()[other].bytes for other in self._loaded}
        while sizes and sum(sizes.values()) + catalogue()[name].bytes > _ROOM:
            oldest = next(iter(sizes))
            del sizes[oldest], self._loaded[oldest]
        if known is None:
            try:
                known = load_cross_encoder(name)
            except (ModelError, MissingExtra) as error:
                _log.error("the reranker %s cannot be tried: %s", name, error)
                raise Problem(
                    409, "not_usable", f"{name} cannot be run on this machine; the log of the server says why"
                ) from None
        self._loaded[name] = known
        return known
