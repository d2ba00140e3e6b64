"""A whole system in one object: what the command line, a server and a notebook call.

rag = Ragkit.from_config("configs/quickstart.yaml")
rag.index(["docs/"])
print(rag.ask("How long is an RMA number valid?").text)
"""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator, Iterator, Sequence
from collections.abc import Generator as Yields
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Self

from ragkit.config.hashing import config_hash
from ragkit.config.load import load_config
from ragkit.config.schema import Config, Filter, Retrieval
from ragkit.embed import Embedder
from ragkit.errors import ConfigError, IndexMismatch, IndexSwitched
from ragkit.gateway.ledger import NOBODY, Payer
from ragkit.parts import Parts
from ragkit.rerank import Reranker
from ragkit.store.open import Snapshot, open_snapshot
from ragkit.succession import Succession

if TYPE_CHECKING:
    from ragkit import metered
    from ragkit.ask import Stages
    from ragkit.gateway.cache import AnswerCache, Verdict
    from ragkit.gateway.cache import Question as CacheQuestion
    from ragkit.gateway.routing import Request
    from ragkit.gateway.spending import Spending
    from ragkit.generate import Generator
    from ragkit.generate.reader import Reader
    from ragkit.ingest.index import Progress
    from ragkit.ingest.report import IndexReport, Receipt
    from ragkit.retrieve.query_transforms import Rewriter
    from ragkit.retrieve.retriever import Retrieved
    from ragkit.store.manifest import Manifest
    from ragkit.types import Answer, Document, ScoredChunk

Strategy = Literal["dense", "sparse", "hybrid"]


class Ragkit:
    """Index, search and ask by one config. Models load at their first use; safe to use from several threads.

    Readers follow the index: a search after another process has published a change sees that change. Where
    `ragkit index --blue-green` has switched it to another embedding model, or to other settings else, a system with
    those of this index and its models takes the place of this one (`in_force`, `ragkit/succession.py`). The config and
    the models of one `Ragkit` are always those of the index that `snapshot` gives. With `follow` False it stays
    with the settings of its config.
    """

    def __init__(self, config: Config, *, follow: bool = True) -> None:
        self.config = config
        self.config_hash = config_hash(config)
        self._succession = Succession(self) if follow else None
        self._settings: dict[str, Any] | None = None
        self._lock = threading.Lock()
        self._snapshot: Snapshot | None = None
        self._parts = Parts(config, self.config_hash)

    @classmethod
    def from_config(cls, config: str | Path | Config | None = None, overrides: Sequence[str] = ()) -> Self:
        """A system from a YAML file, a `Config`, or (without either) `./ragkit.yaml` or the defaults.

        `overrides` are as `--set` takes them: `retrieval.top_k=20`. Raises ConfigError.
        """
        if isinstance(config, Config):
            if overrides:
                raise ConfigError("overrides change a file, not a Config", mend="change the Config itself")
            return cls(config)
        if not isinstance(config, (str, Path)) and config is not None:  # pyright: ignore[reportUnnecessaryIsInstance]
            raise ConfigError(
                f"a config is a path or a Config, not {type(config).__name__}",
                mend="for a dictionary: Ragkit(Config.model_validate(...))",
            )
        return cls(load_config(None if config is None else Path(config), overrides).config)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the index, the ledger and the connections of endpoints. The object can be used again."""
        if self._leads:
            self._leads.close()
        with self._lock:
            if self._snapshot is not None:
                self._snapshot.close()
                self._snapshot = None
        self._parts.close()

    def index(
        self,
        paths: str | Path | Sequence[str | Path] = (),
        *,
        rebuild: bool = False,
        embed_again: bool = False,
        retry: bool = False,
        wait_s: float = 0.0,
        progress: Progress | None = None,
        engine: Literal["local", "ray"] | None = None,
    ) -> IndexReport:
        """Bring the index in line with files, folders, globs and `.jsonl` files, one or several; see `build_index`.

        `engine` is used in the place of `ingestion.engine`; ConfigError where the config does not go with it.
        """
        from ragkit.ingest.index import build_index

        system = self if rebuild or not self._leads else self._leads.now()
        if system is not self:
            return system.index(paths, retry=retry, wait_s=wait_s, progress=progress, engine=engine)
        self.let_go()
        ingestion = self.config.ingestion
        if engine is not None and engine != ingestion.engine:
            ingestion = ingestion.changed({"engine": engine})
        return build_index(
            self.config.model_copy(update={"ingestion": ingestion}),
            _several(paths),
            embedder=self.embedder,
            rebuild=rebuild,
            embed_again=embed_again,
            retry=retry,
            wait_s=wait_s,
            progress=progress,
        )

    def delete(
        self,
        names: str | Sequence[str] = (),
        *,
        paths: str | Path | Sequence[str | Path] = (),
        wait_s: float = 0.0,
    ) -> Receipt:
        """Take documents, or all that came from `paths`, out of the index; the receipt counts what is left of them.

        All 0, but for `files` while another process still reads the generation before; it goes with that reader, or
        where chunks lie on a server with the next writer.
        """
        from ragkit.ingest.delete import delete_documents

        system = self._leads.now() if self._leads else self
        if system is not self:
            return system.delete(names, paths=paths, wait_s=wait_s)
        self.let_go()
        receipt = delete_documents(
            self.config, [names] if isinstance(names, str) else names, paths=_several(paths), wait_s=wait_s
        )
        # Kept answers quote documents; those in the file of a cache that is off now, too.
        settings = self.config.cache
        kept = settings.path.exists() if settings.store == "sqlite" else settings.mode != "off"
        if kept:
            from ragkit.gateway.cache_evidence import sweep

            sweep(settings, self.snapshot().store)
        return receipt

    def search(
        self,
        question: str,
        *,
        top_k: int | None = None,
        strategy: Strategy | None = None,
        filters: Sequence[Filter] = (),
        rerank: bool = True,
        payer: Payer = NOBODY,
    ) -> list[ScoredChunk]:
        """The best chunks for a question, best first, each with its rank and score at every stage.

        `payer` is whom the ledger charges for models that cost something, and whose budgets hold.
        """
        found = self.retrieve(question, top_k=top_k, strategy=strategy, filters=filters, rerank=rerank, payer=payer)
        return found.results

    def retrieve(
        self,
        question: str,
        *,
        top_k: int | None = None,
        strategy: Strategy | None = None,
        filters: Sequence[Filter] = (),
        rerank: bool = True,
        payer: Payer = NOBODY,
    ) -> Retrieved:
        """`search` with its timings, and how far each stage looked for it. Raises ConfigError for an empty question or
        a value that the config would not take, and BudgetExceeded where `costs.budgets` do not allow what it costs."""
        question = _readable(question)
        self.follow()
        with self.in_force() as system:
            if system is not self:
                return system._retrieve(question, top_k, strategy, filters, rerank, payer)
            return self._retrieve(question, top_k, strategy, filters, rerank, payer)

    def _retrieve(
        self,
        question: str,
        top_k: int | None,
        strategy: Strategy | None,
        filters: Sequence[Filter],
        rerank: bool,
        payer: Payer,
    ) -> Retrieved:
        from ragkit.retrieve.retriever import retrieve

        retrieval = self.config.retrieval
        given = {"top_k": top_k, "strategy": strategy}
        if changes := {name: value for name, value in given.items() if value is not None}:
            retrieval = retrieval.changed(changes)
        if top_k is not None and top_k > retrieval.candidates:
            retrieval = retrieval.changed({"candidates": top_k})
        reranker = self.reranker if rerank else None
        store = self.snapshot().store

        def found(retrieval: Retrieval) -> Retrieved:
            return retrieve(question, store, self.embedder, retrieval, reranker, filters, self.rewriter(), whole=False)

        if self.config.costs.ledger is None:  # what keeps accounts takes a while to import
            return found(retrieval)
        config = self.config.searching(retrieval, "none" if reranker is None else retrieval.reranking.backend)
        with self.spending.search(question, payer, config) as call:
            return call.found(config, found(retrieval.changed({"transforms": []}) if call.free else retrieval))

    async def asearch(
        self,
        question: str,
        *,
        top_k: int | None = None,
        strategy: Strategy | None = None,
        filters: Sequence[Filter] = (),
        rerank: bool = True,
        payer: Payer = NOBODY,
    ) -> list[ScoredChunk]:
        """`search` without blocking the event loop."""
        import asyncio

        return await asyncio.to_thread(
            self.search, question, top_k=top_k, strategy=strategy, filters=filters, rerank=rerank, payer=payer
        )

    def ask(
        self, question: str, *, filters: Sequence[Filter] = (), payer: Payer = NOBODY, task: str | None = None
    ) -> Answer:
        """An answer with checked citations, or a refusal with its reason.

        `payer` is whom the ledger charges and whose budgets hold; rules of `routing` may go by `task`. Raises
        ConfigError for an empty question and BudgetExceeded where `costs.budgets` do not allow the call.
        """
        from ragkit import metered

        asked = self._asked(question, filters, payer, task)
        return metered.ask(self._opened(), asked)

    async def aask(
        self, question: str, *, filters: Sequence[Filter] = (), payer: Payer = NOBODY, task: str | None = None
    ) -> Answer:
        """`ask` without blocking the event loop."""
        import asyncio

        from ragkit import metered

        asked = self._asked(question, filters, payer, task)
        return await metered.aask(await asyncio.to_thread(self._opened), asked)

    def stream(
        self, question: str, *, filters: Sequence[Filter] = (), payer: Payer = NOBODY, task: str | None = None
    ) -> Iterator[str | Answer]:
        """Pieces of the answer as they come and, last, the checked `Answer`."""
        from ragkit import metered

        asked = self._asked(question, filters, payer, task)
        return metered.stream(self._opened(), asked)

    async def astream(
        self, question: str, *, filters: Sequence[Filter] = (), payer: Payer = NOBODY, task: str | None = None
    ) -> AsyncIterator[str | Answer]:
        """`stream` without blocking the event loop."""
        import asyncio

        from ragkit import metered

        asked = self._asked(question, filters, payer, task)
        async for piece in metered.astream(await asyncio.to_thread(self._opened), asked):
            yield piece

    def explain_cache(self, question: CacheQuestion) -> list[Verdict]:
        """The kept answers that come near a question, and what speaks against giving each again; [] without a cache."""
        opened = self._opened()
        return (
            [] if opened.cache is None else opened.cache.explain(replace(question, state=opened.state), opened.stages)
        )

    def judge_cached(self, trace_id: str, right: bool | None, *, tenant: str = "") -> int:
        """Tell the cache whether an answer was right for its question, None if nobody says so any more.

        The number of hits in other words that it was, by trace id: 0 for any other answer. See `cache.max_false_hits`.
        """
        cache = self.cache
        return 0 if cache is None else cache.judge(tenant, trace_id, right)

    def document(self, name: str) -> Document | None:
        """A document of the index with its text, by its name; citations' offsets point into this text."""
        self.follow()
        with self.in_force() as system:
            manifest = system.snapshot().manifest
            entry = manifest.find(name)
            return manifest.document(entry.id) if entry else None

    def snapshot(self) -> Snapshot:
        """The index as it is now; after a blue-green switch to other settings the last state with these, while it is
        held. Raises NoIndex, and IndexMismatch if the index was built with other settings."""
        with self._lock:
            held = self._snapshot
            if held is not None and held.is_current():
                return held
            try:
                # The one before is not closed: another thread may be reading from it. It goes with its last user.
                self._snapshot = open_snapshot(self.config, self.check)
                return self._snapshot
            except IndexSwitched:
                if held is None:
                    raise
        if self._succession:
            self._succession.go_over()
        return held

    @property
    def _leads(self) -> Succession | None:
        """The systems that may take the place of this one; None where it stays, or is one of those itself."""
        return self._succession if self._succession and self._succession.first is self else None

    def follow(self) -> None:
        """Where no index is opened yet: open it, and go over to other settings at once if it was switched to them."""
        if self._leads:
            self._leads.follow()

    @contextmanager
    def in_force(self) -> Yields[Ragkit]:
        """This system, or the one that took its place when the index was switched to other settings.

        Whatever is done with it in the block is of one index, and of the models and the config that belong to it.
        """
        with self._leads.in_force() if self._leads else nullcontext(self) as system:
            yield system

    def beside(self, config: Config) -> Ragkit:
        """A system for an index that may take the place of this one's: with its reranker and reader."""
        other = Ragkit(config, follow=False)
        other._succession = self._succession
        other._parts.share(self._parts)
        return other

    @property
    def holds_index(self) -> bool:
        """Whether a state of the index is opened."""
        return self._snapshot is not None

    def take(self, snapshot: Snapshot) -> None:
        """Search this state of the index from now on."""
        with self._lock:
            self._snapshot = snapshot

    def let_go(self) -> None:
        """Give up the opened snapshot, so that a writer can clear it away; threads that read from it keep it."""
        with self._lock:
            self._snapshot = None
        self._parts.forget_words()

    @property
    def embedder(self) -> Embedder:
        return self._parts.embedder

    @property
    def reranker(self) -> Reranker | None:
        return self._parts.reranker

    @property
    def generator(self) -> Generator:
        return self._parts.generator

    @property
    def reader(self) -> Reader | None:
        return self._parts.reader

    @property
    def spending(self) -> Spending:
        """The ledger and the budgets."""
        return self._parts.spending

    @property
    def cache(self) -> AnswerCache | None:
        """Answers of before; None where `cache.mode` is off."""
        return self._parts.cache

    def use(self, *, embedder: Embedder | None = None, generator: Generator | None = None) -> None:
        """Take these in the place of those that the config names: models that are loaded already, or of your own."""
        self._parts.use(embedder=embedder, generator=generator)

    def warm_router(self) -> None:
        """Load what the choice of an endpoint needs, so that the first question does not wait for it."""
        self._parts.warm_router()

    def rewriter(self, config: Config | None = None) -> Rewriter | None:
        """What does the `retrieval.transforms`, of the system's config or of another one over the same index and
        generator; None if there are none."""
        config = config or self.config
        return self._parts.rewriter(config, self.snapshot().store) if config.retrieval.transforms else None

    def stages(self) -> Stages:
        """What `ragkit.ask` runs on, with the index as it is now."""
        self.follow()
        with self.in_force() as system:
            return system._stages()

    def _stages(self) -> Stages:
        from ragkit.ask import Stages

        snapshot = self.snapshot()
        models = self.embedder, self.reranker, self.generator
        document = snapshot.manifest.document
        return Stages(self.config, self.config_hash, snapshot.store, *models, document, self.reader, self.rewriter())

    def _asked(self, question: str, filters: Sequence[Filter], payer: Payer, task: str | None) -> metered.Asked:
        """A question as it goes through `ragkit.metered`. Its time begins here, before the index is opened for it."""
        from ragkit.metered import Asked

        return Asked(_readable(question), filters, payer, task, self._request(payer, task))

    def _opened(self) -> metered.Opened:
        """What a question needs of the system in force."""
        from ragkit.metered import Opened

        self.follow()
        with self.in_force() as system:
            cache = system.cache
            # Before the stages, which may be of a later state: an entry may look older than it is, never newer.
            snapshot = system.snapshot()
            state = snapshot.state if cache is not None else ""
            return Opened(system._parts, cache, state, system._stages(), snapshot.manifest.lacking_vectors())

    def _request(self, payer: Payer, task: str | None) -> Request | None:
        """What is known of a request, from the moment on when it comes; None where there are no endpoints."""
        if not self.config.routing.endpoints:
            return None
        from ragkit.gateway.deadline import Deadline
        from ragkit.gateway.routing import Request

        return Request(payer.tenant, task, Deadline.after(self.config.routing.deadline_s))

    def check(self, manifest: Manifest) -> Config:
        """The config, if an index was built with its settings. Raises IndexSwitched or IndexMismatch."""
        from ragkit.ingest.settings import check_built_with, switched

        try:
            check_built_with(manifest, self._index_settings())
        except IndexMismatch as error:
            # Built anew by the settings that this process began with: there is a system for them.
            first = None if self._succession is None else self._succession.first
            if first is not None and first is not self and first.has_settings(manifest):
                raise switched(error) from None
            raise
        return self.config

    def _index_settings(self) -> dict[str, Any]:
        from ragkit.ingest.settings import index_settings_of

        if self._settings is None:
            self._settings = index_settings_of(self.config)
        return self._settings

    def has_settings(self, manifest: Manifest) -> bool:
        """Whether an index was built with the settings of the config."""
        from ragkit.ingest.settings import differences

        return not differences(manifest.meta("settings") or {}, self._index_settings())


def _several(paths: str | Path | Sequence[str | Path]) -> Sequence[str | Path]:
    given = [paths] if isinstance(paths, (str, Path)) else paths
    if not isinstance(given, (list, tuple)) or not all(isinstance(path, (str, Path)) for path in given):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise ConfigError("paths and names are text", mend="give a string, a Path, or a list of them")
    return given


def _readable(question: str) -> str:
    """The question, U+FFFD for halves of surrogate pairs, which no model reads. Raises ConfigError if it is empty."""
    from ragkit.ingest.discover import whole_characters

    if not isinstance(question, str):  # pyright: ignore[reportUnnecessaryIsInstance] - callers may be untyped
        raise ConfigError(f"the question is no text but {type(question).__name__}", mend="ask with a string")
    if not question.strip():
        raise ConfigError("the question is empty", mend="write what you want to know")
    return whole_characters(question)
