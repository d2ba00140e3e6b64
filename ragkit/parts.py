"""What a system is made of, each part at its first use: models, endpoints, ledger and cache, all of one config."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from ragkit.config.schema import Config, Generation
from ragkit.config.written_at import written_at
from ragkit.embed import Embedder, make_embedder
from ragkit.embed.known import KnownQuestions
from ragkit.errors import ModelError
from ragkit.rerank import Reranker, make_reranker

if TYPE_CHECKING:
    from ragkit.gateway.cache import AnswerCache
    from ragkit.gateway.routing import Router
    from ragkit.gateway.spending import Spending
    from ragkit.generate import Generator
    from ragkit.generate.reader import Reader
    from ragkit.retrieve.query_transforms import Rewriter
    from ragkit.store import StoreReader

_LAST_QUESTIONS = 256
"""So many vectors of questions are kept: those of the requests that are being answered, and some more."""


class Parts:
    """The parts of one system. Threads that come at once make each of them once."""

    def __init__(self, config: Config, config_hash: str) -> None:
        self._config = config
        self._config_hash = config_hash
        # The generator asks for the embedder while it holds the lock.
        self._lock = threading.RLock()
        self._embedder: Embedder | None = None
        self._reranker: Reranker | None = None
        self._generator: Generator | None = None
        self._router: Router | None = None
        self._reader: Reader | None = None
        self._spending: Spending | None = None
        self._cache: AnswerCache | None = None
        # They know the words of one state of the index.
        self._rewriters: dict[str, Rewriter | None] = {}
        self._rewriters_of: StoreReader | None = None

    def close(self) -> None:
        """Close the ledger, the cache and the connections of endpoints. Models stay."""
        with self._lock:
            if self._spending is not None:
                self._spending.close()
                self._spending = None
            if self._cache is not None:
                self._cache.close()
                self._cache = None
            if self._router is not None:
                self._router.close()

    def use(self, *, embedder: Embedder | None = None, generator: Generator | None = None) -> None:
        """Take these in the place of those that the config names, before any of them was asked for."""
        with self._lock:
            self._embedder, self._generator = embedder or self._embedder, generator or self._generator

    def share(self, other: Parts) -> None:
        """Take over the models of another system that are the same whatever index they work on."""
        self._reranker, self._reader = other._reranker, other._reader

    def forget_words(self) -> None:
        """Give up what knows the words of an index."""
        with self._lock:
            self._rewriters, self._rewriters_of = {}, None

    @property
    def embedder(self) -> Embedder:
        with self._lock:
            if self._embedder is None:
                with written_at(self._config, "ingestion.embedding.model", kinds=(ModelError,)):
                    embedder = make_embedder(self._config.ingestion.embedding)
                    self._embedder = KnownQuestions(embedder, most=_LAST_QUESTIONS)
            return self._embedder

    @property
    def reranker(self) -> Reranker | None:
        with self._lock:
            if self._reranker is None:
                with written_at(self._config, "retrieval.reranking.model", kinds=(ModelError,)):
                    self._reranker = make_reranker(self._config.retrieval.reranking)
            return self._reranker

    @property
    def reader(self) -> Reader | None:
        from ragkit.generate import make_reader

        with self._lock:
            if self._reader is None:
                with written_at(self._config, "generation.reader", kinds=(ModelError,)):
                    self._reader = make_reader(self._config.generation)
            return self._reader

    @property
    def generator(self) -> Generator:
        from ragkit.ask import sentence_splitter
        from ragkit.generate import make_generator

        with self._lock:
            if self._generator is None:
                splitter, embedder, reader = sentence_splitter(self._config), self.embedder, self.reader

                def make(generation: Generation) -> Generator:
                    return make_generator(generation, splitter, embedder, reader)

                if self._config.routing.endpoints:
                    from ragkit.gateway.routing import RoutedGenerator, Router

                    self._router = Router(self._config, make, embedder)
                    self._generator = RoutedGenerator(self._router)
                    return self._generator
                with written_at(self._config, "generation.model", kinds=(ModelError,)):
                    self._generator = make(self._config.generation)
            return self._generator

    def warm_router(self) -> None:
        """Load what the choice of an endpoint needs, so that the first question does not wait for it."""
        if self._router is not None:
            self._router.warm()

    @property
    def spending(self) -> Spending:
        """The ledger and the budgets."""
        from ragkit.gateway.spending import Spending

        with self._lock:
            if self._spending is None:
                self._spending = Spending(self._config, self._config_hash)
            return self._spending

    @property
    def cache(self) -> AnswerCache | None:
        """Answers of before; None where `cache.mode` is off."""
        if self._config.cache.mode == "off":
            return None
        from ragkit.gateway.cache import AnswerCache

        with self._lock:
            if self._cache is None:
                self._cache = AnswerCache(self._config, self._config_hash)
            return self._cache

    def rewriter(self, config: Config, store: StoreReader) -> Rewriter | None:
        """What does the `retrieval.transforms` of a config over a store; None if there are none."""
        from ragkit.retrieve.query_transforms import make_rewriter

        key = repr(config.retrieval.transforms)
        with self._lock:
            if self._rewriters_of is not store:
                self._rewriters_of, self._rewriters = store, {}
            if key not in self._rewriters:
                self._rewriters[key] = make_rewriter(config, store, self._writer)
            return self._rewriters[key]

    def _writer(self) -> Generator:
        """The generator as transforms of the question use it: where no endpoint writes, the question stays as it is."""
        from ragkit.gateway.routing import RoutedGenerator

        generator = self.generator
        return generator.for_rewriting() if isinstance(generator, RoutedGenerator) else generator
